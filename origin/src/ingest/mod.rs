//! Takes streams from publishers: one file per protocol, one rule of who may publish.

mod auth;
mod foreign_audio;
mod rtmp;

pub use self::rtmp::Ingest;
