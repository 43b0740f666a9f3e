//! AAC: AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), ADTS, silence.
//!
//! It reads the fields that packaging needs (object type, rate, channels, frame length) and keeps
//! the bytes as sent, except where a program config element describes an ordinary layout: then the
//! configuration names that layout by its number. [`Config::unplayable`] says which configurations
//! browsers do not decode. [`Assembler`] turns what publishers send into configurations and raw
//! frames. It does not look into frames.

mod adts;
mod assembler;
mod silence;
mod specific_config;

use bytes::Bytes;

pub use assembler::Assembler;
use specific_config::{Read, object_type};

use crate::Timescale;

/// An AudioSpecificConfig longer than this is not one: real ones have 2 to 7 bytes, a program
/// config element with a comment some 30, 64 leaves room for extensions.
pub const CONFIG_BYTES_MAX: usize = 64;

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Why an AudioSpecificConfig cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ends before the fields it announces.
    #[error("AudioSpecificConfig ends after {0} bytes")]
    Truncated(usize),
    /// More than [`CONFIG_BYTES_MAX`].
    #[error("AudioSpecificConfig of {0} bytes exceeds {CONFIG_BYTES_MAX}")]
    TooLong(usize),
    /// No audio object type of AAC.
    #[error("audio object type {0} is no AAC; set the encoder to AAC-LC")]
    ObjectType(u8),
    /// Reserved index or a rate of 0.
    #[error("sampling frequency index {0} is reserved")]
    Rate(u8),
    /// Reserved.
    #[error("channel configuration {0} is not supported; use mono, stereo or 5.1")]
    Channels(u8),
}

/// Why browsers do not decode a configuration that is otherwise right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unplayable {
    /// Main, SSR, LTP, LD, ELD, USAC: everything but LC and what extends it.
    ObjectType(u8),
    /// 960 samples per frame: broadcast radio's length.
    FrameOf960,
    /// A layout that has no number of 1 to 7.
    ChannelLayout,
}

impl std::fmt::Display for Unplayable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::ObjectType(1) => "object type 1 (Main)",
            Self::ObjectType(3) => "object type 3 (SSR)",
            Self::ObjectType(4) => "object type 4 (LTP)",
            Self::ObjectType(object_type) => return write!(f, "object type {object_type}"),
            Self::FrameOf960 => "frames of 960 samples",
            Self::ChannelLayout => "a channel layout of its own",
        };
        f.write_str(name)
    }
}

/// A parsed AudioSpecificConfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    bytes: Bytes,
    object_type: u8,
    /// Rate and layout before SBR and parametric stereo.
    core: (u32, u8),
    sample_rate: u32,
    channels: u8,
    frame_samples: u32,
    unplayable: Option<Unplayable>,
}

impl Config {
    /// Parses the bytes of an AudioSpecificConfig.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        Self::parse_mending(bytes).map(|(config, _)| config)
    }

    /// The same, with whether a program config element was replaced by the number of its layout.
    fn parse_mending(bytes: Bytes) -> Result<(Self, bool), Error> {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(Error::TooLong(bytes.len()));
        }
        let read = Read::parse(&bytes)?;
        let channels = match read.layout {
            // Parametric stereo: mono and how to spread it.
            Some(1) if read.object_type == object_type::PS => 2,
            Some(7) => 8,
            Some(layout) => layout,
            None => read.channels,
        };
        let is_sbr = read.sbr_rate.is_some();
        let is_extended_lc = matches!(
            read.object_type,
            object_type::LC | object_type::SBR | object_type::PS
        ) && read.core_object_type == object_type::LC;
        let mut unplayable = if !is_extended_lc {
            Some(Unplayable::ObjectType(read.core_object_type))
        } else if read.has_960_samples {
            Some(Unplayable::FrameOf960)
        } else {
            read.layout.is_none().then_some(Unplayable::ChannelLayout)
        };
        let mut replaced = None;
        if read.has_program_config && unplayable.is_none() {
            replaced = read.layout.and_then(|layout| read.with_layout(layout));
            unplayable = replaced.is_none().then_some(Unplayable::ChannelLayout);
        }
        let core_samples = if read.has_960_samples { 960 } else { 1024 };
        let is_replaced = replaced.is_some();
        let config = Self {
            object_type: match is_sbr {
                true => read.object_type.max(object_type::SBR),
                false => read.object_type,
            },
            core: (read.rate, read.layout.unwrap_or(read.channels)),
            sample_rate: read.sbr_rate.unwrap_or(read.rate),
            channels,
            frame_samples: if is_sbr {
                core_samples * 2
            } else {
                core_samples
            },
            unplayable,
            bytes: replaced.unwrap_or(bytes),
        };
        Ok((config, is_replaced))
    }

    /// An AAC-LC configuration, for encoders of ours and tests. `None` where the rate or channel
    /// count has no index.
    pub fn lc(sample_rate: u32, channels: u8) -> Option<Self> {
        let index = RATES.iter().position(|rate| *rate == sample_rate)? as u8;
        let bytes = [(2 << 3) | (index >> 1), (index << 7) | (channels << 3)];
        Self::parse(Bytes::copy_from_slice(&bytes)).ok()
    }

    /// The bytes, for `esds`: as sent, or with the number of the layout for a program config
    /// element.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Samples per second of the decoded audio.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Decoded channels.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// Decoded samples per access unit: 1024 or 960, twice that with SBR. Always positive.
    pub fn frame_samples(&self) -> u32 {
        self.frame_samples
    }

    /// The sample rate as a timescale.
    pub fn timescale(&self) -> Timescale {
        Timescale::new(self.sample_rate).unwrap_or(crate::VIDEO_TIMESCALE)
    }

    /// Why browsers do not decode it: it has to be encoded anew. `None` where they do.
    pub fn unplayable(&self) -> Option<Unplayable> {
        self.unplayable
    }

    /// An access unit of silence, to fill a hole with: its elements carry no spectral data at all
    /// (ISO/IEC 14496-3 §4.4.2, `raw_data_block`).
    pub fn silence(&self) -> Bytes {
        silence::frame(self.core.1)
    }

    /// `mp4a.40.2`, `mp4a.40.5`, …
    ///
    /// HE-AAC v2 is named as HE-AAC: what decodes one decodes the other, and fewer players know
    /// the number 29.
    pub fn rfc6381(&self) -> String {
        let named = match self.object_type {
            object_type::PS => object_type::SBR,
            other => other,
        };
        format!("mp4a.40.{named}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lc_stereo_and_mono() {
        let config = Config::parse(Bytes::from_static(&[0x12, 0x10])).unwrap();
        assert_eq!(
            (
                config.sample_rate(),
                config.channels(),
                config.frame_samples()
            ),
            (44_100, 2, 1024)
        );
        assert_eq!(config.rfc6381(), "mp4a.40.2");
        assert_eq!(
            Config::lc(48_000, 1).unwrap().bytes().as_ref(),
            [0x11, 0x88]
        );
    }

    #[test]
    fn reads_explicit_he_aac_with_the_output_rate() {
        // AOT 5, core 24 kHz, stereo, extension 48 kHz, AOT 2.
        let config = Config::parse(Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00])).unwrap();
        assert_eq!(
            (config.sample_rate(), config.frame_samples()),
            (48_000, 2048)
        );
        assert_eq!(config.rfc6381(), "mp4a.40.5");
    }

    #[test]
    fn silence_has_the_elements_of_its_channels() {
        let silence = |channels| Config::lc(48_000, channels).unwrap().silence();
        assert_eq!(silence(1).as_ref(), [0, 0, 0, 0b111]);
        assert_eq!(silence(2).len(), 7);
        assert_eq!(silence(2)[0] >> 5, 1);
        assert!(silence(6).len() > silence(5).len());
    }

    fn config(bytes: &'static [u8]) -> Config {
        Config::parse(Bytes::from_static(bytes)).unwrap()
    }

    #[test]
    fn reads_he_aac_told_behind_lc_and_parametric_stereo() {
        // LC, 24 kHz, stereo; then 0x2b7, SBR, present, 48 kHz.
        let told = config(&[0x13, 0x10, 0x56, 0xe5, 0x98]);
        assert_eq!((told.sample_rate(), told.frame_samples()), (48_000, 2048));
        assert_eq!((told.rfc6381().as_str(), told.channels()), ("mp4a.40.5", 2));
        assert_eq!(told.bytes().len(), 5);
        // The extension says that there is none: FFmpeg writes it so behind LC.
        let none = config(&[0x11, 0x90, 0x56, 0xe5, 0x00]);
        assert_eq!((none.sample_rate(), none.frame_samples()), (48_000, 1024));
        assert_eq!(none.rfc6381(), "mp4a.40.2");
        // PS, core 24 kHz, mono, extension 48 kHz, LC.
        let spread = config(&[0xeb, 0x09, 0x88, 0x00]);
        assert_eq!(
            (spread.channels(), spread.rfc6381().as_str()),
            (2, "mp4a.40.5")
        );
        assert_eq!(spread.silence(), silence::frame(1));
        assert_eq!(spread.unplayable(), None);
    }

    #[test]
    fn what_browsers_do_not_decode_says_why() {
        let why = |bytes| config(bytes).unplayable();
        assert_eq!(why(&[0x09, 0x90]), Some(Unplayable::ObjectType(1)));
        assert_eq!(why(&[0x21, 0x90]), Some(Unplayable::ObjectType(4)));
        assert_eq!(why(&[0x11, 0x94]), Some(Unplayable::FrameOf960));
        // ELD: object type 39 by its escape.
        assert_eq!(
            why(&[0xf8, 0xe6, 0x20, 0x00]),
            Some(Unplayable::ObjectType(39))
        );
        assert_eq!(why(&[0x11, 0x90]), None);
        assert_eq!(config(&[0x11, 0x94]).frame_samples(), 960);
        assert_eq!(Unplayable::ObjectType(4).to_string(), "object type 4 (LTP)");
    }

    #[test]
    fn a_program_config_element_is_named_by_number_where_it_has_one() {
        let mended = |bytes: &'static [u8]| {
            let (config, is_mended) = Config::parse_mending(Bytes::from_static(bytes)).unwrap();
            let found = (config.channels(), config.unplayable(), is_mended);
            (found, config.bytes().clone())
        };
        // Front a single and a pair, back a pair, one LFE: 5.1.
        let (found, bytes) = mended(&[0x11, 0x80, 0x04, 0xc8, 0x05, 0x00, 0x01, 0x08, 0x80, 0x00]);
        assert_eq!(
            (found, bytes.as_ref()),
            ((6, None, true), &[0x11, 0xb0][..])
        );
        // A pair, with a comment.
        let stereo: &[u8] = &[
            0x11, 0x80, 0x04, 0xc4, 0x00, 0x00, 0x20, 0x03, 0x61, 0x62, 0x63,
        ];
        let (found, bytes) = mended(stereo);
        assert_eq!(
            (found, bytes.as_ref()),
            ((2, None, true), &[0x11, 0x90][..])
        );
        // FFmpeg's 2.1: a pair and an LFE have no number. Nor has its 5.1(side): a pair, a single
        // in front, a single at the side, a pair behind.
        let own: &[u8] = b"\x11\x80\x04\xc4\x01\x00\x20\x00\x0dLavc59.37.100\x56\xe5\x00";
        let (found, bytes) = mended(own);
        assert_eq!(found, (3, Some(Unplayable::ChannelLayout), false));
        assert_eq!(bytes, own);
        let side = b"\x11\x80\x04\xc8\x44\x00\x20\x00\xc4\x0dLavc59.37.100\x56\xe5\x00";
        assert_eq!(mended(side).0, (6, Some(Unplayable::ChannelLayout), false));
    }

    #[test]
    fn refuses_what_is_no_configuration() {
        let error = |bytes: &'static [u8]| Config::parse(Bytes::from_static(bytes)).unwrap_err();
        assert_eq!(error(&[]), Error::Truncated(0));
        assert_eq!(error(&[0x12, 0x00]), Error::Truncated(2));
        assert_eq!(error(&[0x17, 0x00]), Error::Rate(14));
        assert_eq!(error(&[0x11, 0xc0]), Error::Channels(8));
        assert_eq!(error(&[0x51, 0x90]), Error::ObjectType(10));
        let long = Config::parse(Bytes::from(vec![0; 65]));
        assert_eq!(long, Err(Error::TooLong(65)));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            if let Ok(config) = Config::parse(Bytes::from(bytes)) {
                assert!(config.sample_rate() > 0 && config.channels() > 0);
            }
        }
    }
}
