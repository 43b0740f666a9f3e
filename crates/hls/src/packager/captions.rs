//! Finds closed captions in the source's video: CEA-608 and CEA-708 in user data SEI messages
//! (ISO/IEC 14496-10 §D.1.6, ATSC A/53 part 4 §6.2.3).

use std::borrow::Cow;

/// NAL unit type of supplemental enhancement information.
const SEI: u8 = 6;

/// ITU-T T.35 country and provider of ATSC, the identifier, and the type of caption data.
const ATSC_CC: &[u8] = &[0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03];

/// `process_cc_data_flag`, and the mask of `cc_count`, in the byte that follows.
const PROCESS: u8 = 0x40;
const COUNT: u8 = 0x1f;

/// What EXT-X-MEDIA calls the captions of one picture: `CC1` (CEA-608) or `SERVICE1` (CEA-708);
/// `None` where it has none, or only padding.
pub(super) fn instream_id<'a>(nal_units: impl Iterator<Item = &'a [u8]>) -> Option<&'static str> {
    let is_sei = |nal: &&[u8]| nal.first().is_some_and(|header| header & 0x1f == SEI);
    let mut found = None;
    for nal in nal_units.filter(is_sei) {
        let message = unescaped(nal);
        let mut places = message.windows(ATSC_CC.len());
        let Some(at) = places.position(|bytes| bytes == ATSC_CC) else {
            continue;
        };
        let data = message.get(at + ATSC_CC.len()..).unwrap_or_default();
        let [flags, _reserved, triplets @ ..] = data else {
            continue;
        };
        if flags & PROCESS == 0 {
            continue;
        }
        let count = usize::from(flags & COUNT);
        for triplet in triplets.chunks_exact(3).take(count) {
            match kind(triplet) {
                Some("CC1") => return Some("CC1"),
                Some(other) => found = Some(other),
                None => {}
            }
        }
    }
    found
}

/// What three bytes of caption data belong to; `None` of padding and of the second field.
fn kind(triplet: &[u8]) -> Option<&'static str> {
    let [marker, first, second] = triplet else {
        return None;
    };
    let is_valid = marker & 0x04 != 0;
    // CEA-608 has odd parity: padding is 0x80 twice.
    let has_608 = (first | second) & 0x7f != 0;
    match marker & 0x03 {
        0 if is_valid && has_608 => Some("CC1"),
        3 if is_valid => Some("SERVICE1"),
        _ => None,
    }
}

/// A NAL unit without its emulation prevention bytes.
fn unescaped(nal: &[u8]) -> Cow<'_, [u8]> {
    if !nal.windows(3).any(|bytes| bytes == [0, 0, 3]) {
        return Cow::Borrowed(nal);
    }
    let mut zeros = 0;
    let kept = nal.iter().copied().filter(|byte| {
        let is_prevention = zeros >= 2 && *byte == 3;
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        !is_prevention
    });
    Cow::Owned(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sei(triplets: &[[u8; 3]]) -> Vec<u8> {
        let payload = 11 + 3 * triplets.len();
        let mut nal = vec![0x06, 0x04, payload as u8];
        nal.extend_from_slice(ATSC_CC);
        nal.extend([0x40 | triplets.len() as u8, 0xff]);
        nal.extend(triplets.iter().flatten());
        nal.extend([0xff, 0x80]);
        nal
    }

    fn found(nal: &[u8]) -> Option<&'static str> {
        let slice: &[u8] = &[0x65, 0x88, 0x80];
        instream_id([slice, nal].into_iter())
    }

    #[test]
    fn captions_are_told_from_padding() {
        let padding = [[0xfc, 0x80, 0x80], [0xf9, 0x00, 0x00], [0xfa, 0x00, 0x00]];
        assert_eq!(found(&sei(&padding)), None);
        let line_21 = [[0xfc, 0x94, 0x20], [0xf9, 0x00, 0x00]];
        assert_eq!(found(&sei(&line_21)), Some("CC1"));
        let both = [[0xff, 0x05, 0x22], [0xfc, 0x94, 0x20]];
        assert_eq!(found(&sei(&both)), Some("CC1"), "whichever comes first");
        assert_eq!(found(&sei(&both[..1])), Some("SERVICE1"));
        let field_2 = [[0xfd, 0x94, 0x20]];
        assert_eq!(found(&sei(&field_2)), None);
    }

    #[test]
    fn emulation_prevention_moves_nothing() {
        let mut nal = sei(&[[0xf9, 0x00, 0x00], [0xfa, 0x00, 0x00], [0xfc, 0x94, 0x20]]);
        let at = nal.windows(3).position(|b| b == [0xf9, 0, 0]).unwrap() + 3;
        nal.splice(at..at, [3]);
        assert_eq!(found(&nal), Some("CC1"));
    }

    #[test]
    fn other_messages_and_stumps_hold_none() {
        let whole = sei(&[[0xfc, 0x94, 0x20]]);
        for length in 0..whole.len() - 3 {
            assert_eq!(found(&whole[..length]), None, "{length}");
        }
        let mut other = whole.clone();
        other[10] = 0x06;
        assert_eq!(found(&other), None, "bar data");
        let mut slice = whole;
        slice[0] = 0x41;
        assert_eq!(found(&slice), None, "no SEI");
    }
}
