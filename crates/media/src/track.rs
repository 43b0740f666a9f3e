//! One elementary stream with one codec configuration.

use std::fmt;

use crate::{Timescale, VIDEO_TIMESCALE, aac, avc};

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Encoded pictures.
    Video,
    /// Encoded sound.
    Audio,
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
        })
    }
}

/// A track's codec configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264 in `avc1` form: parameter sets in the record, not in band.
    Avc(avc::Config),
    /// AAC.
    Aac(aac::Config),
}

/// One elementary stream with one codec configuration. A changed configuration is a new track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Ticks per second of the times in its access units.
    pub timescale: Timescale,
    /// How to decode it.
    pub codec: Codec,
}

impl Track {
    /// A video track in [`VIDEO_TIMESCALE`].
    pub fn video(config: avc::Config) -> Self {
        Self {
            timescale: VIDEO_TIMESCALE,
            codec: Codec::Avc(config),
        }
    }

    /// An audio track whose timescale is its sample rate, so that one AAC frame is a whole number of ticks.
    pub fn audio(config: aac::Config) -> Self {
        Self {
            timescale: config.timescale(),
            codec: Codec::Aac(config),
        }
    }

    /// What it carries.
    pub fn kind(&self) -> MediaKind {
        match self.codec {
            Codec::Avc(_) => MediaKind::Video,
            Codec::Aac(_) => MediaKind::Audio,
        }
    }

    /// The RFC 6381 string for `CODECS`, derived from the configuration record, never from settings.
    pub fn rfc6381(&self) -> String {
        match &self.codec {
            Codec::Avc(config) => config.rfc6381(),
            Codec::Aac(config) => config.rfc6381(),
        }
    }

    /// The H.264 configuration, if this is video.
    pub fn avc(&self) -> Option<&avc::Config> {
        match &self.codec {
            Codec::Avc(config) => Some(config),
            Codec::Aac(_) => None,
        }
    }

    /// The AAC configuration, if this is audio.
    pub fn aac(&self) -> Option<&aac::Config> {
        match &self.codec {
            Codec::Aac(config) => Some(config),
            Codec::Avc(_) => None,
        }
    }
}
