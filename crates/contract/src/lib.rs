//! Defines once what the origin and the transcoder write for each other and for players.
//!
//! - [`info`]: `info.json`, what a player must know of a stream or an asset.
//! - [`sidecar`]: the description beside a recording, written by the recorder, read by VOD.
//! - [`ladder`]: one configured rung, the two default ladders, and the renditions' fixed names.
//!
//! Plain data with serde. It holds no file, clock or socket, and decides nothing.

#![forbid(unsafe_code)]

pub mod info;
pub mod ladder;
pub mod sidecar;

pub use info::{Info, RungInfo, StartedAt};
pub use ladder::{AUDIO, RungConfig, SOURCE, live_ladder, vod_ladder};
pub use sidecar::{Keyframes, SIDECAR_VERSION, Sidecar, TrackSummary};
