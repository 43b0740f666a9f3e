//! Codecs: what a configuration says, and how coded bytes are told apart.
//!
//! Everything outside this folder names a codec only through [`VideoConfig`] and [`AudioConfig`]
//! and matches them exhaustively, so that a new codec is a file here and compiler errors there.

pub mod aac;
pub mod avc;

use bytes::Bytes;

use crate::{RandomAccess, Timescale};

/// How to decode a video track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoConfig {
    /// H.264 in `avc1` form: parameter sets in the record.
    Avc(avc::Config),
}

impl VideoConfig {
    /// Width and height in pixels, after cropping.
    pub fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::Avc(config) => (config.width(), config.height()),
        }
    }

    /// Frames per second as numerator and denominator, where the encoder declares it.
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        match self {
            Self::Avc(config) => config.frame_rate(),
        }
    }

    /// The RFC 6381 string for `CODECS`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::Avc(config) => config.rfc6381(),
        }
    }

    /// Where decoding may start in an access unit.
    pub fn random_access(&self, payload: &[u8]) -> RandomAccess {
        match self {
            Self::Avc(config) => config.random_access(payload),
        }
    }

    /// Whether an access unit is whole: its parts have lengths that fill it, and it has some.
    pub fn is_whole(&self, payload: &[u8]) -> bool {
        match self {
            Self::Avc(config) => {
                let mut units = config.nal_units(payload);
                units.by_ref().count() > 0 && units.rest().is_empty()
            }
        }
    }

    /// Whether an access unit brings parameter sets of its own.
    pub fn has_inband_parameter_sets(&self, payload: &[u8]) -> bool {
        match self {
            Self::Avc(config) => config.has_inband_parameter_sets(payload),
        }
    }

    /// An access unit with this configuration's parameter sets in front; `None` where it has its
    /// own, or needs none.
    pub fn with_parameter_sets(&self, payload: &[u8]) -> Option<Bytes> {
        match self {
            Self::Avc(config) => config.with_parameter_sets(payload),
        }
    }
}

impl From<avc::Config> for VideoConfig {
    fn from(config: avc::Config) -> Self {
        Self::Avc(config)
    }
}

/// How to decode an audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioConfig {
    /// AAC.
    Aac(aac::Config),
}

impl AudioConfig {
    /// Samples per second of the decoded audio.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Aac(config) => config.sample_rate(),
        }
    }

    /// Decoded channels.
    pub fn channels(&self) -> u8 {
        match self {
            Self::Aac(config) => config.channels(),
        }
    }

    /// Decoded samples per access unit; always positive.
    pub fn frame_samples(&self) -> u32 {
        match self {
            Self::Aac(config) => config.frame_samples(),
        }
    }

    /// The sample rate as a timescale.
    pub fn timescale(&self) -> Timescale {
        match self {
            Self::Aac(config) => config.timescale(),
        }
    }

    /// An access unit of silence, to fill a hole with.
    pub fn silence(&self) -> Bytes {
        match self {
            Self::Aac(config) => config.silence(),
        }
    }

    /// The RFC 6381 string for `CODECS`.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::Aac(config) => config.rfc6381(),
        }
    }
}

impl From<aac::Config> for AudioConfig {
    fn from(config: aac::Config) -> Self {
        Self::Aac(config)
    }
}
