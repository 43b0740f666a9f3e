//! The edge: an HLS-aware caching proxy that protects the origins, fails over between them, and
//! leaves its fleet without cutting anybody off.
//!
//! ```text
//! viewer → handler → request (key) → cache::decide ──[ hit ]─────────────────────► answer
//!                                       └──[ miss ]─► single_flight (one per key) ──┘
//!                                                       └─► upstream: origin, next origin, store
//! ```
//!
//! It caches bytes and headers and reads playlists only as far as it must to tell how old they are;
//! it never parses media, and it has no state worth keeping: any edge can answer any URL.

#![deny(unsafe_code)]

mod access_log;
pub mod app;
mod audience;
pub mod cache;
pub mod config;
mod drain;
mod handler;
pub mod metrics;
mod page;
pub mod playlist;
pub mod request;
mod single_flight;
pub mod upstream;
mod vod;
mod zero_copy;

pub use app::{Addresses, App};
pub use config::Config;
