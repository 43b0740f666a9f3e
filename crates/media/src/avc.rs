//! AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1): what an H.264 encoder says of itself.
//!
//! The record is kept as sent and its first sequence parameter set is read for size, shape, rate and colour. It also
//! walks the length-prefixed NAL units of an access unit without copying. It does not rewrite parameter sets and does
//! not look into slices.

use bytes::Bytes;
use h264_reader::nal::{Nal as _, RefNal, sps::SeqParameterSet};

/// A record longer than this is not one: two parameter sets have under 100 bytes, a full set of 31 + 255 real ones
/// stays far below.
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
    /// Parses the bytes of an `avcC` box or an FLV AVC sequence header.
    pub fn parse(record: Bytes) -> Result<Self, Error> {
        if record.len() > CONFIG_BYTES_MAX {
            return Err(Error::TooLong(record.len()));
        }
        let damaged = |e: &dyn std::fmt::Debug| Error::Damaged(format!("{e:?}"));
        let Sets {
            nal_length_bytes,
            sps,
            pps,
        } = sets(&record)?;
        let owned = |sets: Vec<&[u8]>| sets.into_iter().map(|set| record.slice_ref(set)).collect();
        let (sps, pps): (Vec<Bytes>, Vec<Bytes>) = (owned(sps), owned(pps));
        let first = sps.first().ok_or(Error::Missing("sequence"))?;
        pps.first().ok_or(Error::Missing("picture"))?;
        let set = SeqParameterSet::from_bits(RefNal::new(first, &[], true).rbsp_bits())
            .map_err(|e| damaged(&e))?;
        let (width, height) = set.pixel_dimensions().map_err(|e| damaged(&e))?;
        let side = 16..=SIDE_PIXELS_MAX;
        if !side.contains(&width) || !side.contains(&height) {
            return Err(Error::Size(width, height));
        }
        let frame_rate = frame_rate(&set);
        Ok(Self {
            nal_length_bytes,
            width,
            height,
            frame_rate,
            sps,
            pps,
            record,
        })
    }

    /// The record as sent, for `avcC`.
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

    /// Frames per second as numerator and denominator, where the encoder declares it (VUI timing info).
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        self.frame_rate
    }

    /// `avc1.PPCCLL`, from the record's own bytes.
    pub fn rfc6381(&self) -> String {
        let byte = |i: usize| self.record.get(i).copied().unwrap_or(0);
        format!("avc1.{:02x}{:02x}{:02x}", byte(1), byte(2), byte(3))
    }

    /// The NAL units of an access unit of this track, without their lengths, up to the first that does not fit.
    pub fn nal_units<'a>(&self, payload: &'a [u8]) -> NalUnits<'a> {
        NalUnits {
            rest: payload,
            length_bytes: self.nal_length_bytes,
        }
    }
}

/// Iterator over length-prefixed NAL units; see [`Config::nal_units`].
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_bytes: usize,
}

impl NalUnits<'_> {
    /// Bytes not yet walked; not empty after the last item where the payload is damaged.
    pub fn rest(&self) -> &[u8] {
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

/// What a record holds, as slices of it.
struct Sets<'a> {
    nal_length_bytes: usize,
    sps: Vec<&'a [u8]>,
    pps: Vec<&'a [u8]>,
}

/// Takes a record apart. `h264-reader` can too, but panics on parameter sets of no bytes.
fn sets(record: &[u8]) -> Result<Sets<'_>, Error> {
    let damaged = |what: &str| Error::Damaged(what.to_owned());
    let (head, mut rest) = record
        .split_at_checked(5)
        .ok_or_else(|| damaged("it is too short"))?;
    let [1, _profile, _compatibility, _level, length_size] = *head else {
        return Err(damaged("its version is not 1"));
    };
    let nal_length_bytes = usize::from(length_size & 3) + 1;
    if nal_length_bytes == 3 {
        return Err(damaged("NAL unit lengths of 3 bytes do not exist"));
    }
    let sps = counted(&mut rest, 0x1f, 7)?;
    let pps = counted(&mut rest, 0xff, 8)?;
    Ok(Sets {
        nal_length_bytes,
        sps,
        pps,
    })
}

/// Reads a counted list of parameter sets, which must be of NAL unit type `kind`.
fn counted<'a>(rest: &mut &'a [u8], mask: u8, kind: u8) -> Result<Vec<&'a [u8]>, Error> {
    let cut = || Error::Damaged("it ends inside a parameter set".to_owned());
    let (count, mut left) = rest.split_first().ok_or_else(cut)?;
    let mut found = Vec::new();
    for _ in 0..count & mask {
        let (length, body) = left.split_first_chunk::<2>().ok_or_else(cut)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (set, after) = body.split_at_checked(length).ok_or_else(cut)?;
        if set.first().is_none_or(|header| header & 0x1f != kind) {
            return Err(Error::Damaged(
                "a parameter set is empty or of another type".to_owned(),
            ));
        }
        found.push(set);
        left = after;
    }
    *rest = left;
    Ok(found)
}

fn frame_rate(set: &SeqParameterSet) -> Option<(u32, u32)> {
    let timing = set.vui_parameters.as_ref()?.timing_info.as_ref()?;
    // One frame is two field ticks (H.264 §E.2.1).
    let denominator = timing.num_units_in_tick.checked_mul(2)?;
    let rate = f64::from(timing.time_scale) / f64::from(denominator);
    // Encoders write nonsense here when they have a variable rate (for example 1000 fps).
    (1.0..=240.0)
        .contains(&rate)
        .then_some((timing.time_scale, denominator))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264, High, level 4.0, 1280x640, 30 fps.
    pub(crate) fn record() -> Bytes {
        let sps: &[u8] = &[
            0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0x1b, 0x01, 0x10, 0x00, 0x00,
            0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
        ];
        let pps: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
        let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1];
        record.extend((sps.len() as u16).to_be_bytes());
        record.extend(sps);
        record.push(1);
        record.extend((pps.len() as u16).to_be_bytes());
        record.extend(pps);
        Bytes::from(record)
    }

    #[test]
    fn reads_size_rate_and_codec_string() {
        let config = Config::parse(record()).unwrap();
        assert_eq!(config.rfc6381(), "avc1.64001f");
        assert_eq!(config.nal_length_bytes(), 4);
        assert_eq!((config.width(), config.height()), (1280, 640));
        assert_eq!(config.frame_rate().map(|(n, d)| n / d), Some(30));
    }

    #[test]
    fn empty_or_cut_parameter_sets_are_damage() {
        let good = record();
        for (at, byte) in [(7, 0), (8, 0x68), (4, 0xfe), (0, 2), (6, 0xff)] {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            let error = Config::parse(Bytes::from(bytes)).unwrap_err();
            assert!(matches!(error, Error::Damaged(_)), "{at}: {error}");
        }
        let no_sps = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]);
        assert_eq!(Config::parse(no_sps), Err(Error::Missing("sequence")));
        // Found by fuzzing: a sequence parameter set of no bytes.
        let empty = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 0, 1, 0, 0]);
        assert!(matches!(Config::parse(empty), Err(Error::Damaged(_))));
    }

    #[test]
    fn walks_nal_units_and_stops_at_damage() {
        let config = Config::parse(record()).unwrap();
        let payload = [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 6, 0, 0, 0, 9, 1];
        let mut units = config.nal_units(&payload);
        assert_eq!(units.next(), Some(&[0x65, 1][..]));
        assert_eq!(units.next(), Some(&[6][..]));
        assert_eq!(units.next(), None);
        assert_eq!(units.rest().len(), 5);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(cut in 0usize..60, at in 0usize..50, byte: u8) {
            let mut bytes = record().to_vec();
            if let Some(place) = bytes.get_mut(at) { *place = byte; }
            bytes.truncate(cut);
            let _ = Config::parse(Bytes::from(bytes));
        }
    }
}
