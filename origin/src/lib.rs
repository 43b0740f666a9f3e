//! The origin: RTMP in, pass-through and ladder as aligned HLS out, recordings on the side.
//!
//! ```text
//! ingest --> registry --> stream { timeline, packager, ladder, recording } --> view --> http
//! ```
//!
//! The media work is done by the crates it joins; here are the sockets, the locks and the rules of
//! who may publish.

#![forbid(unsafe_code)]

mod api;
pub mod app;
#[cfg(feature = "ec2")]
pub mod aws;
pub mod config;
mod http;
mod ingest;
pub mod metrics;
mod operator;
mod peer;
pub mod recorder;
mod rfc3339;
mod segment_store;
mod stream;
mod thumbnail;

pub use app::{Addresses, App};
pub use config::Config;
