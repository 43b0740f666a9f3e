//! `info.json`: what a player must know before it shows a picture, live or afterwards.
//!
//! Live streams have a `state`, assets a `duration`: a page waits for the return of whatever has a
//! `state`. Fields stand in the order of their names, as they always were in the served bytes.

use media::{Immersive, Projection, StereoLayout};
use serde::{Deserialize, Serialize};

/// The whole of `info.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Seconds of media; assets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// What one lens sees, or how wide a flat picture is, degrees; `null` for the usual.
    pub fov: Option<f64>,
    /// The stream's name.
    pub name: String,
    /// Where the picture's centre lies above the horizon, degrees.
    pub pitch: f64,
    /// Sphere to picture.
    pub projection: Projection,
    /// Where the picture's centre is tilted, degrees clockwise.
    pub roll: f64,
    /// Rungs that lie on the sphere in another way than the source.
    pub rungs: Vec<RungInfo>,
    /// When it began; `null` before that.
    pub started_at: Option<StartedAt>,
    /// How a live stream is doing: `live`, `reconnecting`, `ended` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// What is missing in or was done to an upload, one sentence each; assets only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Where the picture's centre lies to the right of north, degrees.
    pub yaw: f64,
}

/// A rung with a projection of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungInfo {
    /// Pixels.
    pub height: u32,
    /// Sphere to picture.
    pub projection: Projection,
    /// Pixels.
    pub width: u32,
}

/// A beginning as the two kinds have always said it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StartedAt {
    /// Live: RFC 3339.
    Text(String),
    /// Assets: seconds since 1970.
    Seconds(f64),
}

impl Info {
    /// What is known of `name` from the picture's shape alone.
    pub fn new(name: impl Into<String>, immersive: &Immersive) -> Self {
        Self {
            duration: None,
            fov: immersive.fov,
            name: name.into(),
            pitch: immersive.orientation.pitch,
            projection: immersive.projection,
            roll: immersive.orientation.roll,
            rungs: Vec::new(),
            started_at: None,
            state: None,
            stereo: immersive.stereo,
            warnings: Vec::new(),
            yaw: immersive.orientation.yaw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_and_vod_keep_the_keys_that_players_read() {
        let mut live = Info::new("stage", &Immersive::default());
        live.state = Some("live".into());
        live.started_at = Some(StartedAt::Text("2026-11-02T12:00:00Z".into()));
        assert_eq!(
            serde_json::to_string(&live).unwrap(),
            r#"{"fov":null,"name":"stage","pitch":0.0,"projection":"equirectangular","roll":0.0,"rungs":[],"started_at":"2026-11-02T12:00:00Z","state":"live","stereo":"mono","yaw":0.0}"#
        );
        let mut asset = Info::new("stage", &Immersive::default());
        asset.duration = Some(30.5);
        asset.started_at = Some(StartedAt::Seconds(1.79e9));
        asset.rungs.push(RungInfo {
            height: 720,
            projection: Projection::EquiAngularCubemap,
            width: 960,
        });
        asset.warnings.push("it is cut short".into());
        let text = serde_json::to_string(&asset).unwrap();
        assert_eq!(
            text,
            r#"{"duration":30.5,"fov":null,"name":"stage","pitch":0.0,"projection":"equirectangular","roll":0.0,"rungs":[{"height":720,"projection":"eac","width":960}],"started_at":1790000000.0,"stereo":"mono","warnings":["it is cut short"],"yaw":0.0}"#
        );
        assert_eq!(serde_json::from_str::<Info>(&text).unwrap(), asset);
    }
}
