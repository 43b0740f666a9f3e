//! AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1): taken apart, and made of parameter
//! sets.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    CONFIG_BYTES_MAX, Error,
    nal::{self, kind},
    sps::Sps,
};

/// Profiles whose records end before chroma format and bit depths (§5.3.3.1.2).
const SHORT_PROFILES: [u8; 3] = [66, 77, 88];

/// What a record holds.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub nal_length_bytes: usize,
    pub sps: Vec<Bytes>,
    pub pps: Vec<Bytes>,
    /// It is not as the specification has it: what could be found was taken.
    pub is_odd: bool,
}

impl Record {
    /// Takes a record apart, or the start codes that some encoders send in its place. Sets are
    /// known by their own headers, wherever they stand.
    pub(super) fn parse(record: &Bytes) -> Result<Self, Error> {
        if record.len() > CONFIG_BYTES_MAX {
            return Err(Error::TooLong(record.len()));
        }
        let mut found = Self {
            nal_length_bytes: 4,
            ..Self::default()
        };
        if nal::begins_with_start_code(record) {
            found.is_odd = true;
            nal::annex_b(record).for_each(|unit| found.take(record.slice_ref(unit)));
            return Ok(found);
        }
        let Some((&[version, .., length_size], rest)) = record.split_first_chunk::<5>() else {
            return Err(Error::Damaged("it is too short".to_owned()));
        };
        // Lengths of three bytes do not exist, and a header of another version was not written by
        // somebody who knew what the rest of it means.
        let length_bytes = usize::from(length_size & 3) + 1;
        found.is_odd = version != 1 || length_bytes == 3;
        found.nal_length_bytes = if found.is_odd { 4 } else { length_bytes };
        let mut rest = rest;
        for mask in [0x1f, 0xff] {
            if found.take_list(record, &mut rest, mask).is_none() {
                found.is_odd = true;
                break;
            }
        }
        match version == 1 || !found.sps.is_empty() {
            true => Ok(found),
            false => Err(Error::Damaged("its version is not 1".to_owned())),
        }
    }

    /// Reads a counted list of sets; `None` where it ends inside one.
    fn take_list(&mut self, record: &Bytes, rest: &mut &[u8], mask: u8) -> Option<()> {
        let (count, mut left) = rest.split_first()?;
        for _ in 0..count & mask {
            let (length, body) = left.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (set, after) = body.split_at_checked(length)?;
            if nal::begins_with_start_code(set) {
                self.is_odd = true;
                nal::annex_b(set).for_each(|unit| self.take(record.slice_ref(unit)));
            } else {
                self.take(record.slice_ref(set));
            }
            left = after;
        }
        *rest = left;
        Some(())
    }

    fn take(&mut self, set: Bytes) {
        match nal::nal_type(&set) {
            kind::SPS => self.sps.push(set),
            kind::PPS => self.pps.push(set),
            kind::SPS_EXTENSION | kind::SEI | kind::AUD if !self.sps.is_empty() => {}
            _ => self.is_odd = true,
        }
    }
}

/// A record of these sets with NAL unit lengths of `nal_length_bytes`; `level` in place of the one
/// that `first` names.
pub(super) fn build(
    first: &Sps,
    level: Option<u8>,
    nal_length_bytes: usize,
    (sps, pps): (&[Bytes], &[Bytes]),
) -> Result<Bytes, Error> {
    let bytes: usize = sps.iter().chain(pps).map(|set| set.len() + 2).sum();
    let mut out = BytesMut::with_capacity(bytes + 16);
    let level = level.unwrap_or(first.level);
    let length_size = (nal_length_bytes.max(1) - 1) as u8;
    out.put_slice(&[
        1,
        first.profile,
        first.constraints,
        level,
        0xfc | length_size,
    ]);
    for (sets, count_max, reserved) in [(sps, 31, 0xe0), (pps, 255, 0)] {
        let count = u8::try_from(sets.len())
            .ok()
            .filter(|count| *count <= count_max);
        let count =
            count.ok_or_else(|| Error::Damaged(format!("{} parameter sets", sets.len())))?;
        out.put_u8(reserved | count);
        for set in sets {
            let length = u16::try_from(set.len()).map_err(|_| Error::TooLong(set.len()))?;
            out.put_u16(length);
            out.put_slice(set);
        }
    }
    if !SHORT_PROFILES.contains(&first.profile) {
        let depths = [first.luma_depth - 8, first.chroma_depth - 8];
        out.put_slice(&[
            0xfc | first.chroma_format,
            0xf8 | depths[0],
            0xf8 | depths[1],
            0,
        ]);
    }
    match out.len() > CONFIG_BYTES_MAX {
        true => Err(Error::TooLong(out.len())),
        false => Ok(out.freeze()),
    }
}
