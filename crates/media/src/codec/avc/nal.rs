//! NAL units: told apart by type, walked by their lengths, split at start codes (H.264 §7.4.1,
//! Annex B).

/// `nal_unit_type`.
pub mod kind {
    /// A slice of a picture that is no IDR picture.
    pub const SLICE: u8 = 1;
    /// The headers and motion of a slice; its coefficients follow in two more.
    pub const PARTITION_A: u8 = 2;
    /// A slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// Sequence parameter set extension.
    pub const SPS_EXTENSION: u8 = 13;
}

/// The type of a NAL unit; 0 (unspecified) for one of no bytes.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

/// Whether a NAL unit holds coded picture data: slices and data partitions.
pub fn is_vcl(unit: &[u8]) -> bool {
    (kind::SLICE..=kind::IDR).contains(&nal_type(unit))
}

/// Iterator over length-prefixed NAL units, without their lengths, up to the first that does not
/// fit.
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_bytes: usize,
}

impl<'a> NalUnits<'a> {
    /// Walks `payload`, whose lengths have `length_bytes` bytes each.
    pub fn new(payload: &'a [u8], length_bytes: usize) -> Self {
        Self {
            rest: payload,
            length_bytes,
        }
    }

    /// Bytes not yet walked; not empty after the last item where the payload is damaged.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, body) = self.rest.split_at_checked(self.length_bytes)?;
        let length = length
            .iter()
            .fold(0usize, |value, byte| (value << 8) | usize::from(*byte));
        let (unit, rest) = body.split_at_checked(length)?;
        self.rest = rest;
        Some(unit)
    }
}

/// The NAL units of an Annex B byte stream, without start codes, trailing zeros and empty units.
pub fn annex_b(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let current = rest?;
        let end = start_code(current).unwrap_or(current.len());
        let (unit, tail) = current.split_at(end);
        rest = after_start_code(tail);
        let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
        Some(&unit[..unit.len() - zeros])
    })
    .filter(|unit| !unit.is_empty())
}

/// Whether bytes begin with a start code, of three bytes or with more zeros before it.
pub fn begins_with_start_code(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    zeros >= 2 && bytes.get(zeros) == Some(&1)
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    let at = start_code(stream)?;
    stream.get(at + 3..)
}

/// Where the next `00 00 01` is.
fn start_code(stream: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        // The 1 is the rarest byte of the three, so look for it and then back.
        let at = from + stream.get(from..)?.iter().position(|byte| *byte == 1)?;
        if at >= 2 && stream[at - 1] == 0 && stream[at - 2] == 0 {
            return Some(at - 2);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_three_and_four_byte_start_codes() {
        let stream = [
            0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 9, 0, 0,
        ];
        let units: Vec<&[u8]> = annex_b(&stream).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68], &[0x65, 9]]);
        assert_eq!(annex_b(&[1, 2, 3]).count(), 0);
        assert_eq!(annex_b(&[0, 0, 1]).count(), 0);
        assert!(begins_with_start_code(&stream) && begins_with_start_code(&stream[1..]));
        assert!(begins_with_start_code(&[0, 0, 0, 0, 1]));
        assert!(!begins_with_start_code(&[0, 1]) && !begins_with_start_code(&[0, 0, 2]));
    }

    #[test]
    fn walks_lengths_of_one_two_and_four_bytes_and_stops_at_damage() {
        let payload = [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 6, 0, 0, 0, 9, 1];
        let mut units = NalUnits::new(&payload, 4);
        assert_eq!(units.next(), Some(&[0x65, 1][..]));
        assert_eq!(units.next(), Some(&[6][..]));
        assert_eq!(units.next(), None);
        assert_eq!(units.rest().len(), 5);
        assert!(NalUnits::new(&[1, 9, 2, 0x65, 4], 1).eq([&[9][..], &[0x65, 4]]));
        assert!(NalUnits::new(&[0, 1, 9, 0, 0], 2).eq([&[9][..], &[]]));
    }

    proptest::proptest! {
        #[test]
        fn splitting_never_grows(bytes in proptest::collection::vec(0u8..3, 0..64)) {
            let units: usize = annex_b(&bytes).map(<[u8]>::len).sum();
            assert!(units <= bytes.len());
        }
    }
}
