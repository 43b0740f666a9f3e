//! One publisher's connection, as the origin sees it.
//!
//! ```text
//! Handshake -> AwaitingConnect -> Connected -> Deciding -> Publishing -> Connected
//!                                     \            \            \-> Closing
//!                                      \-> Closing  \-> Closing (reject)
//! ```
//!
//! The session checks what needs no knowledge of the outside: syntax, the application, the stream's
//! name. Whether the key is right and the name is free is its owner's business:
//! [`Event::PublishRequested`] asks, [`Session::accept`] and [`Session::reject`] answer. Until then
//! the bytes that follow are held back, so nothing is lost where an encoder does not wait for the
//! answer.
//!
//! Refusals go out as `onStatus` of level "error" before the connection closes: that is the only
//! form whose reason OBS and FFmpeg show to their user.

mod publish;
mod session;

pub use publish::{Code, PublishRequest, Rejection, RequestId};
pub use session::Session;

use std::time::Duration;

use flv::Tag;

/// Bytes held back while the owner decides on a publish: what one read of a socket delivers, a few
/// times over. A well-behaved encoder sends nothing at all before the answer.
pub const HELD_BYTES_MAX: usize = 1 << 20;

/// What a session waits for and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The only application there is; everything else is refused by name.
    pub app: String,
    /// From the connection to a publish request, the handshake included. 10 s: an encoder on a bad
    /// mobile network needs two or three, and a connection that never publishes holds a socket.
    pub publish_within: Duration,
    /// From the last byte of audio or video to the end. 10 s: a pulled cable must free the stream's
    /// name, while an encoder that rides out a network change must not lose it.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self {
            app: "live".to_owned(),
            publish_within: ten,
            idle: ten,
        }
    }
}

/// What a publisher does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It wants to publish: answer with [`Session::accept`] or [`Session::reject`].
    PublishRequested(PublishRequest),
    /// One audio, video or script message of the accepted publish.
    Media(Tag),
    /// It ended the publish in good order. The connection may publish again.
    PublishEnded,
}

#[cfg(test)]
mod tests;
