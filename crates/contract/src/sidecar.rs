//! The sidecar of a recording: how it looks and where its keyframes are.
//!
//! The recorder writes it beside each recording; VOD then plans without reading the recording.
//! Readers accept fields they do not know; [`SIDECAR_VERSION`] changes when one they know changes
//! its meaning.

use media::{Immersive, Orientation, Projection, StereoLayout, Track};
use serde::{Deserialize, Serialize};

/// The version that is written and understood.
pub const SIDECAR_VERSION: u32 = 1;

/// One recording's description, `recordings/<stream>/<started at>-<epoch>.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// [`SIDECAR_VERSION`].
    pub version: u32,
    /// The stream's name.
    pub stream: String,
    /// When its session began, in seconds since 1970.
    pub started_at: f64,
    /// The run's name.
    #[serde(default)]
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
    #[serde(default)]
    pub tracks: Vec<TrackSummary>,
    /// Access units that could not be recorded.
    #[serde(default)]
    pub dropped_units: u64,
    /// Where media was lost, in the leading track's ticks.
    #[serde(default)]
    pub gaps: Vec<i64>,
    /// Where the encoder came back, in the leading track's ticks.
    #[serde(default)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

impl Sidecar {
    /// Whether readers of this version can trust it: they understand the version, and its keyframes
    /// rise in time and place.
    pub fn is_usable(&self) -> bool {
        let Keyframes { dts, offset } = &self.keyframes;
        let rises = dts.is_sorted() && offset.is_sorted() && dts.len() == offset.len();
        self.version == SIDECAR_VERSION && rises
    }

    /// How the pictures lie on the sphere.
    pub fn immersive(&self) -> Immersive {
        Immersive {
            projection: self.projection,
            stereo: self.stereo,
            orientation: self.orientation,
            fov: self.fov,
        }
    }

    /// Ends of media that do not go on at once, in order.
    pub fn breaks(&self) -> Vec<i64> {
        let mut breaks = [self.gaps.clone(), self.discontinuities.clone()].concat();
        breaks.sort_unstable();
        breaks.dedup();
        breaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_later_writers_are_passed_over_and_other_versions_are_not_trusted() {
        let text = r#"{"version":1,"stream":"s","started_at":1.5,"projection":"equirectangular",
            "stereo":"mono","orientation":{"yaw":0.0,"pitch":0.0,"roll":0.0},"duration":2.0,
            "bytes":9,"gaps":[7],"discontinuities":[5,7],"later":true,
            "keyframes":{"dts":[0,4],"offset":[1,2]}}"#;
        let sidecar: Sidecar = serde_json::from_str(text).unwrap();
        assert!(sidecar.is_usable());
        assert_eq!(sidecar.breaks(), [5, 7]);
        let back: Sidecar =
            serde_json::from_str(&serde_json::to_string(&sidecar).unwrap()).unwrap();
        assert_eq!(back, sidecar);
        let other = Sidecar {
            version: 2,
            ..sidecar.clone()
        };
        assert!(!other.is_usable());
        let mut falls = sidecar;
        falls.keyframes.dts = vec![4, 0];
        assert!(!falls.is_usable());
    }
}
