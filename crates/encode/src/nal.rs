//! Turns Annex B byte streams into length-prefixed NAL units and configuration records.
//!
//! Encoders write start codes (H.264 Annex B); samples and records hold lengths (ISO/IEC 14496-15).
//! Parameter sets, access unit delimiters, filler and the encoder's own signature are left out of
//! samples: the record already has the first, and nobody reads the rest. It does not look into
//! slices.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of each NAL unit's length field in what is written here.
pub(crate) const LENGTH_BYTES: usize = 4;

const TYPE_IDR: u8 = 5;
const TYPE_SEI: u8 = 6;
const TYPE_SPS: u8 = 7;
const TYPE_PPS: u8 = 8;
const TYPE_AUD: u8 = 9;
const TYPE_FILLER: u8 = 12;
/// `user_data_unregistered` (H.264 §D.1.7): x264 writes its options there.
const SEI_USER_DATA: u8 = 5;

fn nal_type(unit: &[u8]) -> u8 {
    unit.first().copied().unwrap_or(0) & 0x1f
}

/// The NAL units of an Annex B byte stream, without start codes and trailing zeros.
pub(crate) fn annex_b(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
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

/// One sample of `avc1` form, and whether it holds an IDR picture.
pub(crate) fn sample(stream: &[u8]) -> (Bytes, bool) {
    let mut out = BytesMut::with_capacity(stream.len() + 16);
    let mut is_sync = false;
    for unit in annex_b(stream) {
        match nal_type(unit) {
            TYPE_SPS | TYPE_PPS | TYPE_AUD | TYPE_FILLER => continue,
            TYPE_SEI if unit.get(1) == Some(&SEI_USER_DATA) => continue,
            TYPE_IDR => is_sync = true,
            _ => {}
        }
        out.put_u32(u32::try_from(unit.len()).unwrap_or(u32::MAX));
        out.put_slice(unit);
    }
    (out.freeze(), is_sync)
}

/// An AVCDecoderConfigurationRecord from an encoder's global header: Annex B, or already a record.
pub(crate) fn record(header: &[u8]) -> Result<Bytes, &'static str> {
    if header.first() == Some(&1) {
        return Ok(Bytes::copy_from_slice(header));
    }
    let of_type = |wanted: u8| annex_b(header).filter(move |unit| nal_type(unit) == wanted);
    let sps = of_type(TYPE_SPS)
        .next()
        .ok_or("no sequence parameter set")?;
    let (Some(&profile), Some(&compatibility), Some(&level)) = (sps.get(1), sps.get(2), sps.get(3))
    else {
        return Err("sequence parameter set of under 4 bytes");
    };
    let pps = of_type(TYPE_PPS).next().ok_or("no picture parameter set")?;
    let mut out = BytesMut::with_capacity(header.len() + 16);
    let length_size = (LENGTH_BYTES - 1) as u8;
    out.put_slice(&[1, profile, compatibility, level, 0xfc | length_size, 0xe1]);
    put_set(&mut out, sps)?;
    out.put_u8(1);
    put_set(&mut out, pps)?;
    // Profiles above Main carry chroma format and bit depths (§5.3.3.1.2): 4:2:0 and 8 bits here,
    // always.
    if !matches!(profile, 66 | 77 | 88) {
        out.put_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Ok(out.freeze())
}

fn put_set(out: &mut BytesMut, unit: &[u8]) -> Result<(), &'static str> {
    let length = u16::try_from(unit.len()).map_err(|_| "parameter set of over 65535 bytes")?;
    out.put_u16(length);
    out.put_slice(unit);
    Ok(())
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
    }

    #[test]
    fn a_sample_has_only_what_a_decoder_of_avc1_needs() {
        let stream = [
            0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 1, 0, 0, 1, 6, 5, 7, 0, 0, 1, 0x65, 3, 4,
        ];
        let (payload, is_sync) = sample(&stream);
        assert!(is_sync);
        assert_eq!(payload.as_ref(), [0, 0, 0, 3, 0x65, 3, 4]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_never_grows_unduly(bytes in proptest::collection::vec(0u8..3, 0..64)) {
            let units: usize = annex_b(&bytes).map(<[u8]>::len).sum();
            assert!(units <= bytes.len());
            let _ = (sample(&bytes), record(&bytes));
        }
    }
}
