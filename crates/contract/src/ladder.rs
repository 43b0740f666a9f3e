//! Ladders as operators configure them, and the names of the renditions that every stream has.

use media::Projection;
use serde::{Deserialize, Serialize};

/// The rendition of the publisher's or the recording's own video.
pub const SOURCE: &str = "source";

/// The audio rendition.
pub const AUDIO: &str = "audio";

/// One configured rung. `B` is how its bitrate is spelled: text in a config file, a number in a
/// plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungConfig<B> {
    /// Picture width in pixels; the height follows the source's shape.
    pub width: u32,
    /// Average video bitrate, bits per second.
    pub bitrate: B,
    /// At most this many pictures per second, met by keeping every n-th picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fps: Option<u32>,
    /// Encoder preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// FFmpeg's name of the encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// Another projection than the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<Projection>,
}

impl<B> RungConfig<B> {
    /// A rung with everything else left to the encoder's defaults.
    pub fn new(width: u32, bitrate: B) -> Self {
        Self {
            width,
            bitrate,
            max_fps: None,
            preset: None,
            encoder: None,
            projection: None,
        }
    }

    /// The same rung with its bitrate spelled in another way.
    pub fn map_bitrate<C>(self, spell: impl FnOnce(B) -> C) -> RungConfig<C> {
        RungConfig {
            width: self.width,
            bitrate: spell(self.bitrate),
            max_fps: self.max_fps,
            preset: self.preset,
            encoder: self.encoder,
            projection: self.projection,
        }
    }
}

/// The ladder of a live stream where none is configured: as many rungs as a usual machine encodes
/// beside its other work.
pub fn live_ladder() -> Vec<RungConfig<u32>> {
    ladder(&[(1920, 5_800), (960, 2_300), (480, 500)])
}

/// The ladder of VOD where none is configured: time costs little there, so steps are small.
pub fn vod_ladder() -> Vec<RungConfig<u32>> {
    ladder(&[
        (320, 110),
        (426, 250),
        (640, 500),
        (854, 1_080),
        (1280, 2_100),
        (1920, 4_000),
        (2560, 8_000),
        (3840, 16_500),
    ])
}

/// Rungs of widths and kilobits per second.
fn ladder(rungs: &[(u32, u32)]) -> Vec<RungConfig<u32>> {
    let rung = |&(width, kilobits): &(u32, u32)| RungConfig::new(width, kilobits * 1000);
    rungs.iter().map(rung).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_left_to_the_encoder_and_wrong_keys_are_errors() {
        let rung: RungConfig<u32> =
            serde_json::from_str(r#"{"width":640,"bitrate":500000}"#).unwrap();
        assert_eq!(rung, RungConfig::new(640, 500_000));
        assert_eq!(
            serde_json::to_string(&rung).unwrap(),
            r#"{"width":640,"bitrate":500000}"#
        );
        let wrong = r#"{"width":640,"bitrate":500000,"hight":320}"#;
        assert!(serde_json::from_str::<RungConfig<u32>>(wrong).is_err());
        let text = rung.map_bitrate(|bits| format!("{}k", bits / 1000));
        assert_eq!(text.bitrate, "500k");
    }
}
