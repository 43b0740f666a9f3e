//! RTMP chunks to messages and back (RTMP 1.0 §5.3). The word "chunk" in this sense stays in this
//! module.
//!
//! The limits below are the whole of what a peer can make a session hold, whatever its headers
//! claim: memory is taken as bytes arrive.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// The largest audio, video or aggregate message: an 8K keyframe at 100 Mb/s is about 4 MiB, twice
/// that must fit.
pub const MEDIA_BYTES_MAX: u32 = 8 << 20;

/// The largest command or data message: `connect` has under 1 KiB, a key index of an hour about 100
/// KiB.
pub const COMMAND_BYTES_MAX: u32 = 256 << 10;

/// The largest control message: they have at most 6 bytes; a user control event of Flash has 10.
pub const CONTROL_BYTES_MAX: u32 = 64;

/// Chunk streams remembered per connection. Encoders use 3 to 6; each one costs about 64 bytes.
pub const CHUNK_STREAMS_MAX: usize = 64;

/// Unfinished messages at once. Encoders interleave at most audio, video, data and control.
pub const PARTIAL_MESSAGES_MAX: usize = 8;

/// Bytes in unfinished messages at once: one of the largest video messages, one more begun, and the
/// small ones.
pub const PARTIAL_BYTES_MAX: usize = 16 << 20;

/// The chunk size before anything is said (RTMP 1.0 §5.4.1).
pub const CHUNK_BYTES_INITIAL: u32 = 128;

/// From here on the 24-bit timestamp field says "see the extended timestamp".
const EXTENDED_FROM: u32 = 0xff_ffff;

#[cfg(test)]
mod tests;
