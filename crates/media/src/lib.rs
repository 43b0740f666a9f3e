//! The vocabulary every crate speaks: time, codecs, tracks, access units, projection.
//!
//! It depends on nothing of ours, holds no clock, file, socket or thread, and knows no container: FLV and RTMP sit
//! on one side of it, CMAF and HLS on the other, and only [`Track`] and [`AccessUnit`] cross.

#![forbid(unsafe_code)]

pub mod aac;
mod access_unit;
pub mod avc;
mod projection;
mod time;
pub mod timeline;
mod track;

pub use access_unit::{AccessUnit, IngestUnit};
pub use projection::{Immersive, Orientation, Projection, StereoLayout, UnknownName};
pub use time::{Timescale, VIDEO_TIMESCALE};
pub use timeline::Timeline;
pub use track::{Codec, MediaKind, Track};
