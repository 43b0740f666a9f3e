//! The origin: RTMP in, pass-through and ladder as aligned HLS out, recordings on the side.
//!
//! ```text
//! ingest --> registry --> stream { timeline, packager, ladder, recording } --> view --> http
//! ```
//!
//! The media work is done by the crates it joins; here are the sockets, the locks and the rules of who may publish.

#![forbid(unsafe_code)]

pub mod app;
mod auth;
#[cfg(feature = "ec2")]
pub mod aws;
mod clock_text;
pub mod config;
mod epoch;
mod http;
mod ingest;
mod memory;
pub mod metrics;
mod operator;
pub mod recorder;
pub mod recording;
mod registry;
mod route;
mod selfcheck;
mod shelf;
mod stream;
mod twin;

pub use app::{Addresses, App};
pub use config::Config;
