//! What an encoder says of itself beside the media.

use crate::{Projection, StereoLayout};

/// What a publisher claims. Everything is optional and as sent, and nothing of it is trusted for
/// packaging: codecs, size and rate come from the configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceMetadata {
    /// Picture width in pixels.
    pub width: Option<u32>,
    /// Picture height in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Video bits per second / 1000.
    pub video_bitrate_kbps: Option<u32>,
    /// Audio bits per second / 1000.
    pub audio_bitrate_kbps: Option<u32>,
    /// Audio samples per second.
    pub audio_sample_rate: Option<u32>,
    /// Audio channels.
    pub audio_channels: Option<u32>,
    /// The program, for example `obs-output module (libobs version 30.2.0)`.
    pub encoder: Option<String>,
    /// How the picture lies on the sphere, by the names of [`Projection`].
    pub projection: Option<Projection>,
    /// How the eyes share a frame, by the names of [`StereoLayout`].
    pub stereo: Option<StereoLayout>,
}
