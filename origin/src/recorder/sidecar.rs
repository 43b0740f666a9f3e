//! What stands beside a recording: how it looks and where its keyframes are.
//!
//! Readers must accept fields they do not know; [`SIDECAR_VERSION`] changes when one they know
//! changes its meaning.

use media::{Orientation, Projection, StereoLayout, Track};
use serde::{Deserialize, Serialize};

/// The version this crate writes.
pub const SIDECAR_VERSION: u32 = 1;

/// One recording's description, `recordings/<stream>/<started at>-<run_id>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// [`SIDECAR_VERSION`].
    pub version: u32,
    /// The stream's name.
    pub stream: String,
    /// When its session began, in seconds since 1970.
    pub started_at: f64,
    /// The run's name.
    pub epoch: String,
    /// Sphere to picture.
    pub projection: Projection,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// Where the picture's centre lies.
    pub orientation: Orientation,
    /// What one lens sees, degrees, where that is not the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fov: Option<f64>,
    /// Seconds from beginning to end, gaps included.
    pub duration: f64,
    /// The recording's size.
    pub bytes: u64,
    /// What is in it, in file order.
    pub tracks: Vec<TrackSummary>,
    /// Access units that could not be recorded.
    pub dropped_units: u64,
    /// Where media was lost, in the leading track's ticks.
    pub gaps: Vec<i64>,
    /// Where the encoder came back, in the leading track's ticks.
    pub discontinuities: Vec<i64>,
    /// Where a reader may begin.
    pub keyframes: Keyframes,
}

/// Keyframes, as columns: the file begins its decoding there and, at that byte, a chunk of the
/// video track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Keyframes {
    /// Decode times in ticks of the video track.
    pub dts: Vec<i64>,
    /// Byte offsets in the recording.
    pub offset: Vec<u64>,
}

/// One track in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackSummary {
    /// `video` or `audio`.
    pub kind: String,
    /// RFC 6381.
    pub codec: String,
    /// Ticks per second.
    pub timescale: u32,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
}

impl From<&Track> for TrackSummary {
    fn from(track: &Track) -> Self {
        let (width, height, channels) = match track {
            Track::Video(track) => {
                let (width, height) = track.config.dimensions();
                (Some(width), Some(height), None)
            }
            Track::Audio(track) => (None, None, Some(track.config.channels())),
        };
        Self {
            kind: track.kind().to_string(),
            codec: track.rfc6381(),
            timescale: track.timescale().rate(),
            width,
            height,
            channels,
        }
    }
}
