//! H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1), parameter sets, NAL units.
//!
//! A record is kept as sent where it is right; its first sequence parameter set is read for size
//! and rate, and wins where the record's own bytes say otherwise. [`Assembler`] turns what
//! publishers send into one configuration and clean access units. It does not rewrite parameter
//! sets or slices, and looks into slices only to tell intra pictures from others.

mod assembler;
mod bits;
pub mod nal;
mod random_access;
mod record;
mod sps;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use assembler::Assembler;
use nal::kind;
pub use nal::{NalUnits, annex_b};
use record::Record;
use sps::Sps;

use crate::{RandomAccess, Repair};

/// A record longer than this is not one: two parameter sets have under 100 bytes, a full set of 31
/// + 255 real ones stays far below.
pub const CONFIG_BYTES_MAX: usize = 16 << 10;

/// The largest picture side accepted, in pixels: level 6.2 ends at 16,384 x 8,192.
pub const SIDE_PIXELS_MAX: u32 = 16_384;

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More than [`CONFIG_BYTES_MAX`].
    #[error("AVC configuration of {0} bytes exceeds {CONFIG_BYTES_MAX}")]
    TooLong(usize),
    /// The record or its first sequence parameter set is damaged.
    #[error("AVC configuration is damaged: {0}")]
    Damaged(String),
    /// No sequence or no picture parameter set.
    #[error("AVC configuration has no {0} parameter set")]
    Missing(&'static str),
    /// A picture size of 0 or beyond [`SIDE_PIXELS_MAX`].
    #[error("picture of {0}x{1} is outside 16x16 to {SIDE_PIXELS_MAX}x{SIDE_PIXELS_MAX}")]
    Size(u32, u32),
}

/// A parsed AVCDecoderConfigurationRecord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    record: Bytes,
    nal_length_bytes: usize,
    width: u32,
    height: u32,
    frame_rate: Option<(u32, u32)>,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
}

impl Config {
    /// Parses the bytes of an `avcC` box or an FLV AVC sequence header; what is wrong in them and
    /// can be known from the parameter sets is put right.
    pub fn parse(record: Bytes) -> Result<Self, Error> {
        Self::parse_mending(record).map(|(config, _)| config)
    }

    /// The same, with what was put right.
    pub fn parse_mending(record: Bytes) -> Result<(Self, Vec<Repair>), Error> {
        let found = Record::parse(&record)?;
        let mut repairs = Vec::new();
        if found.is_odd {
            repairs.push(Repair::SequenceHeader);
        }
        let sent = (!found.is_odd).then_some(record);
        let config = Self::new(found, sent, &mut repairs)?;
        Ok((config, repairs))
    }

    /// A configuration of these parameter sets, without start codes or lengths, whose access units
    /// have NAL unit lengths of four bytes.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, Error> {
        Self::from_sets_mending(sps, pps).map(|(config, _)| config)
    }

    fn from_sets_mending(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<(Self, Vec<Repair>), Error> {
        let found = Record {
            nal_length_bytes: 4,
            sps,
            pps,
            is_odd: false,
        };
        let mut repairs = Vec::new();
        let config = Self::new(found, None, &mut repairs)?;
        Ok((config, repairs))
    }

    fn new(found: Record, sent: Option<Bytes>, repairs: &mut Vec<Repair>) -> Result<Self, Error> {
        let Record {
            nal_length_bytes,
            sps,
            pps,
            ..
        } = found;
        let first = sps.first().ok_or(Error::Missing("sequence"))?;
        pps.first().ok_or(Error::Missing("picture"))?;
        let set = Sps::parse(first).map_err(Error::Damaged)?;
        let side = 16..=SIDE_PIXELS_MAX;
        if !side.contains(&set.width) || !side.contains(&set.height) {
            return Err(Error::Size(set.width, set.height));
        }
        let level = set.needed_level();
        repairs.extend(set.is_faulty.then_some(Repair::ParameterSet));
        repairs.extend(level.map(|_| Repair::Level));
        let record = match sent {
            Some(record) if agrees(&record, &set, level, sps.len()) => record,
            sent => {
                // A level that was raised has a name of its own.
                let is_wrong = |record: Bytes| !agrees(&record, &set, None, sps.len());
                let is_wrong = sent.is_some_and(is_wrong);
                repairs.extend(is_wrong.then_some(Repair::SequenceHeader));
                record::build(&set, level, nal_length_bytes, (&sps, &pps))?
            }
        };
        Ok(Self {
            nal_length_bytes,
            width: set.width,
            height: set.height,
            frame_rate: set.frame_rate,
            sps,
            pps,
            record,
        })
    }

    /// The same configuration for access units whose NAL unit lengths have four bytes.
    fn with_four_length_bytes(self) -> Result<Self, Error> {
        if self.nal_length_bytes == 4 {
            return Ok(self);
        }
        let mut record = self.record.to_vec();
        if let Some(length_size) = record.get_mut(4) {
            *length_size |= 3;
        }
        Ok(Self {
            nal_length_bytes: 4,
            record: Bytes::from(record),
            ..self
        })
    }

    /// The record, for `avcC`: as sent where it was right.
    pub fn record(&self) -> &Bytes {
        &self.record
    }

    /// The first sequence parameter set, without its length.
    pub fn sps(&self) -> &[u8] {
        self.sps.first().map_or(&[], |set| set)
    }

    /// The first picture parameter set, without its length.
    pub fn pps(&self) -> &[u8] {
        self.pps.first().map_or(&[], |set| set)
    }

    /// Every parameter set, in the order decoders need them, without lengths.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &Bytes> {
        self.sps.iter().chain(&self.pps)
    }

    /// Bytes of each NAL unit's length field: 1, 2 or 4.
    pub fn nal_length_bytes(&self) -> usize {
        self.nal_length_bytes
    }

    /// Width in pixels, after cropping.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, after cropping.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Frames per second as numerator and denominator, where the encoder declares it (VUI timing
    /// info).
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        self.frame_rate
    }

    /// `avc1.PPCCLL`, from the record's own bytes.
    pub fn rfc6381(&self) -> String {
        let byte = |i: usize| self.record.get(i).copied().unwrap_or(0);
        format!("avc1.{:02x}{:02x}{:02x}", byte(1), byte(2), byte(3))
    }

    /// The NAL units of an access unit of this track, without their lengths, up to the first that
    /// does not fit.
    pub fn nal_units<'a>(&self, payload: &'a [u8]) -> NalUnits<'a> {
        NalUnits::new(payload, self.nal_length_bytes)
    }

    /// Where decoding may start in an access unit of this track.
    pub fn random_access(&self, payload: &[u8]) -> RandomAccess {
        random_access::of(self.nal_units(payload))
    }

    /// Whether an access unit brings a sequence parameter set of its own.
    pub fn has_inband_parameter_sets(&self, payload: &[u8]) -> bool {
        self.nal_units(payload)
            .any(|unit| nal::nal_type(unit) == kind::SPS)
    }

    /// An access unit with this configuration's parameter sets in front of its slices
    /// (H.264 §7.4.1.2.3); `None` where it has its own, or they do not fit its length fields.
    pub fn with_parameter_sets(&self, payload: &[u8]) -> Option<Bytes> {
        let length_bytes = self.nal_length_bytes;
        let fits = |set: &Bytes| set.len() >> (8 * length_bytes) == 0;
        if self.has_inband_parameter_sets(payload) || !self.parameter_sets().all(fits) {
            return None;
        }
        // Nothing comes before a delimiter.
        let first = self.nal_units(payload).next();
        let delimiter = first.filter(|unit| nal::nal_type(unit) == kind::AUD);
        let (before, after) =
            payload.split_at(delimiter.map_or(0, |unit| length_bytes + unit.len()));
        let sets: usize = self.parameter_sets().map(|set| set.len() + 4).sum();
        let mut out = Vec::with_capacity(payload.len() + sets);
        out.extend_from_slice(before);
        for set in self.parameter_sets() {
            let length = (set.len() as u32).to_be_bytes();
            out.extend_from_slice(&length[length.len() - length_bytes..]);
            out.extend_from_slice(set);
        }
        out.extend_from_slice(after);
        Some(out.into())
    }
}

/// Whether a record's own profile and level are those of its first set. With several sets it names
/// what holds for all of them (§5.3.3.1.2), so only zeros are wrong there.
fn agrees(record: &[u8], set: &Sps, level: Option<u8>, sets: usize) -> bool {
    let expected = [set.profile, set.constraints, level.unwrap_or(set.level)];
    match (record.get(1..4), sets) {
        (Some(named), 1) => named == expected,
        (Some(&[profile, _, named]), _) => profile != 0 && named >= expected[2],
        _ => false,
    }
}
