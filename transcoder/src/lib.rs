//! Recordings to VOD: plans each one into slices, encodes them wherever there is a worker, and
//! stitches the result into HLS whose multivariant playlist is written last and once.
//!
//! ```text
//! event ─► [plan] ─► slice jobs ─► [slice] ─► segments, manifest ─► [stitch] ─► playlists, catalogue
//! ```
//!
//! Everything a worker knows is in the queue and the stores, so workers come and go as the Spot
//! market likes. What this does not do: record, serve, or repair a recording's times.

#![forbid(unsafe_code)]

mod app;
mod catalogue;
pub mod config;
mod error;
mod input;
mod job;
mod layout;
pub mod metrics;
mod patient;
mod pictures;
mod piece;
pub mod plan;
pub mod playlist;
pub mod progress;
mod slice;
pub mod source;
mod stitch;
mod vod;
mod worker;

pub use app::{App, Places};
pub use catalogue::{Entry, Info};
pub use config::Config;
pub use error::{Error, Result};
pub use input::Input;
pub use job::{SliceJob, asset_name};
pub use layout::{CATALOGUE, Made, Manifest, Piece, Sheet, multivariant};
pub use patient::Patient;
pub use vod::{bar, vod_file};
pub use worker::Worker;
