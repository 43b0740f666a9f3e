//! Why a session ends.

use std::time::Duration;

use flv::amf0;

use crate::{
    chunk::{CHUNK_STREAMS_MAX, PARTIAL_BYTES_MAX, PARTIAL_MESSAGES_MAX},
    server::HELD_BYTES_MAX,
    transport::OUTPUT_BYTES_MAX,
};

/// Why a session ends. Each of these costs the one connection; the peer is at fault in all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an RTMP client: TLS, HTTP, a port scan.
    #[error("cannot complete the handshake: {0}")]
    Handshake(String),
    /// A message beyond the limit of its kind.
    #[error("message of type {kind} with {bytes} bytes exceeds {max}")]
    MessageTooLong {
        /// RTMP message type.
        kind: u8,
        /// What the header announces.
        bytes: u32,
        /// The limit of that type.
        max: u32,
    },
    /// More unfinished messages at once than any encoder interleaves.
    #[error("more than {PARTIAL_MESSAGES_MAX} unfinished messages at once")]
    PartialMessages,
    /// More bytes in unfinished messages than any encoder interleaves.
    #[error("more than {PARTIAL_BYTES_MAX} bytes in unfinished messages")]
    PartialBytes,
    /// More chunk streams than any encoder uses.
    #[error("more than {CHUNK_STREAMS_MAX} chunk streams")]
    ChunkStreams,
    /// A chunk size of 0 or beyond 2^31 - 1.
    #[error("chunk size {0} is outside 1 to 2147483647")]
    ChunkSize(u32),
    /// A control message shorter than its fields.
    #[error("control message of type {kind} has only {bytes} bytes")]
    ControlTooShort {
        /// RTMP message type.
        kind: u8,
        /// Its length.
        bytes: usize,
    },
    /// A command that is not AMF0 that we read.
    #[error("cannot read a command: {0}")]
    Command(#[from] amf0::Error),
    /// A command where it has no meaning.
    #[error("command {command} is out of order: {expected} must come first")]
    Order {
        /// What came.
        command: &'static str,
        /// What was missing.
        expected: &'static str,
    },
    /// The peer sends requests but does not read the answers.
    #[error("peer does not read: more than {OUTPUT_BYTES_MAX} bytes wait for it")]
    PeerDoesNotRead,
    /// Media without waiting for the publish to be accepted.
    #[error("more than {HELD_BYTES_MAX} bytes arrived before the publish was accepted")]
    Impatient,
    /// Nothing published in time.
    #[error("no publish within {0:?} of connecting")]
    NoPublish(Duration),
    /// A publisher that fell silent: cable pulled, or a frozen encoder.
    #[error("no media for {0:?}")]
    Idle(Duration),
    /// The server did not accept our publish in time.
    #[error("no answer from the server within {0:?}")]
    NoAnswer(Duration),
    /// The sender asks for more than the network takes.
    #[error("cannot queue {bytes} bytes: {pending} of {max} already wait for the network")]
    Backlog {
        /// Bytes of the tag.
        bytes: usize,
        /// Bytes waiting.
        pending: usize,
        /// The limit.
        max: usize,
    },
    /// A tag before the publish was accepted or after it ended.
    #[error("cannot send media: the publish is {0}")]
    NotPublishing(&'static str),
}
