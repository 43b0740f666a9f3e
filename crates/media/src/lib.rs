//! The vocabulary every crate speaks: time, codecs, tracks, access units, projection.
//!
//! It depends on nothing of ours, holds no clock, file, socket or thread, and knows no container:
//! FLV and RTMP sit on one side of it, CMAF and HLS on the other, and only [`IngestEvent`],
//! [`Track`] and [`AccessUnit`] cross.

#![forbid(unsafe_code)]

mod access_unit;
mod codec;
mod ingest;
mod projection;
mod time;
pub mod timeline;
mod track;

pub use access_unit::{AccessUnit, RandomAccess};
pub use codec::{AudioConfig, VideoConfig, aac, avc};
pub use ingest::{
    AudioPacket, ForeignAudio, ForeignCodec, IngestEvent, IngestUnit, Repair, SkipReason, Skipped,
    SourceMetadata, VideoPacket,
};
pub use projection::{Immersive, Orientation, Projection, StereoLayout, UnknownName};
pub use time::{MILLISECONDS, Timescale, VIDEO_TIMESCALE};
pub use timeline::Timeline;
pub use track::{AudioTrack, MediaKind, Track, VideoTrack};
