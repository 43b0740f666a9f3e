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
mod rfc3339;
pub mod config;
mod run_id;
mod http;
mod ingest;
mod discontinuity_store;
pub mod metrics;
mod operator;
pub mod recorder;
mod registry;
mod route;
mod conformance;
mod segment_store;
mod stream;
mod pairing;

pub use app::{Addresses, App};
pub use config::Config;
