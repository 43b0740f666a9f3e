//! Recordings to VOD: plans each one into slices, encodes them wherever there is a worker, and
//! stitches the result into HLS whose multivariant playlist is written last and once.
//!
//! ```text
//! event ─► [plan] ─► slice jobs ─► [slice] ─► segments, manifest ─► [stitch] ─► playlists, VOD index
//! ```
//!
//! Everything a worker knows is in the queue and the stores, so workers come and go as the Spot
//! market likes. What this does not do: record, serve, or repair a recording's times.

#![forbid(unsafe_code)]

mod app;
pub mod config;
mod error;
mod input;
mod job;
mod layout;
pub mod metrics;
pub mod plan;
pub mod playlist;
pub mod progress;
mod rendition_writer;
mod retrying_store;
mod slice;
pub mod source;
mod stitch;
mod thumbnails;
mod vod;
mod vod_index;
mod worker;

pub use app::{App, Backends};
pub use config::Config;
pub use error::{Error, Result};
pub use input::Input;
pub use job::{SliceJob, asset_name};
pub use layout::{Manifest, Notes, RenditionSlice, SegmentInfo, Sheet, VOD_INDEX, multivariant};
pub use retrying_store::RetryingStore;
pub use vod::{Vod, bar, vod_file};
pub use vod_index::{IndexEntry, Info};
pub use worker::Worker;
