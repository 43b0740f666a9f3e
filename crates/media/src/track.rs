//! One elementary stream with one codec configuration.

use std::fmt;

use crate::{AudioConfig, Timescale, VIDEO_TIMESCALE, VideoConfig};

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

/// One elementary stream with one codec configuration. A changed configuration is a new track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Track {
    /// Video.
    Video(VideoTrack),
    /// Audio.
    Audio(AudioTrack),
}

/// A video track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// Ticks per second of the times in its access units.
    pub timescale: Timescale,
    /// How to decode it.
    pub config: VideoConfig,
}

/// An audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// Ticks per second of the times in its access units.
    pub timescale: Timescale,
    /// How to decode it.
    pub config: AudioConfig,
}

impl Track {
    /// A video track in [`VIDEO_TIMESCALE`].
    pub fn video(config: impl Into<VideoConfig>) -> Self {
        Self::Video(VideoTrack {
            timescale: VIDEO_TIMESCALE,
            config: config.into(),
        })
    }

    /// An audio track whose timescale is its sample rate, so that one frame is a whole number of
    /// ticks.
    pub fn audio(config: impl Into<AudioConfig>) -> Self {
        let config = config.into();
        Self::Audio(AudioTrack {
            timescale: config.timescale(),
            config,
        })
    }

    /// What it carries.
    pub fn kind(&self) -> MediaKind {
        match self {
            Self::Video(_) => MediaKind::Video,
            Self::Audio(_) => MediaKind::Audio,
        }
    }

    /// Ticks per second of the times in its access units.
    pub fn timescale(&self) -> Timescale {
        match self {
            Self::Video(track) => track.timescale,
            Self::Audio(track) => track.timescale,
        }
    }

    /// The RFC 6381 string for `CODECS`, derived from the configuration, never from settings.
    pub fn rfc6381(&self) -> String {
        match self {
            Self::Video(track) => track.config.rfc6381(),
            Self::Audio(track) => track.config.rfc6381(),
        }
    }

    /// The track, if it is one of video.
    pub fn as_video(&self) -> Option<&VideoTrack> {
        match self {
            Self::Video(track) => Some(track),
            Self::Audio(_) => None,
        }
    }

    /// The track, if it is one of audio.
    pub fn as_audio(&self) -> Option<&AudioTrack> {
        match self {
            Self::Audio(track) => Some(track),
            Self::Video(_) => None,
        }
    }
}
