//! Bytes to and from RTMP sessions, without IO.
//!
//! ```text
//! TCP bytes --server::Session--> PublishRequested, Media(flv::Tag), PublishEnded
//! flv::Tag  --client::Session--> TCP bytes
//! ```
//!
//! Both sessions are driven alike: `push(bytes, now)`, then drain `next_output()` and
//! `next_event()`, then wait for bytes or for `next_timeout()`. `now` is the time since any fixed
//! start; nothing here reads a clock.
//!
//! Why mostly own code: `rml_rtmp` panics on legal input (two interleaved chunk streams share one
//! buffer there, and short commands index past their end), aborts on nested AMF0, reserves what a
//! header claims, and hides the fields that keys travel in. It is used for the handshake, simple
//! and digest, where it is sound: the input has a fixed size. Its serialiser loses empty messages
//! and copies every chunk, so writing is ours too. Tests hold both against it.
//!
//! Specs: Adobe RTMP 1.0 (2012) and Enhanced RTMP v2. What this does not do: play, RTMPT, RTMPE,
//! AMF3 values, shared objects, Adobe authentication, TLS (terminate it in front).

#![forbid(unsafe_code)]

mod chunk;
pub mod client;
mod command;
mod error;
mod message;
mod secret;
pub mod server;
mod transport;
pub mod url;

pub use chunk::{
    CHUNK_STREAMS_MAX, COMMAND_BYTES_MAX, MEDIA_BYTES_MAX, PARTIAL_BYTES_MAX, PARTIAL_MESSAGES_MAX,
};
pub use error::Error;
pub use secret::Secret;
pub use transport::{HANDSHAKE_BYTES, OUTPUT_BYTES_MAX};
