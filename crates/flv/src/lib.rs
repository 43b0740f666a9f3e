//! Turns FLV tags into what a publisher said, and back.
//!
//! An RTMP audio, video or data message body *is* an FLV tag body, so this crate sits between
//! `rtmp` and `media`:
//!
//! ```text
//! Tag --Demuxer--> IngestEvent: configuration | unit | metadata | repaired | skipped | …
//! VideoConfig, AudioConfig, AccessUnit, SourceMetadata --mux--> Tag --file--> .flv bytes
//! ```
//!
//! It reads the classic headers (H.264 as codec 7, AAC as format 10; Adobe Flash Video File Format
//! 10.1, annex E) and the FourCC headers of Enhanced RTMP v2. Video codecs other than H.264 are
//! named and skipped; audio codecs other than AAC leave as foreign audio.
//!
//! Coded picture data passes through untouched; what stands around it is made clean by
//! [`media::avc::Assembler`] and [`media::aac::Assembler`]. What this crate does not do: unwrap or
//! smooth timestamps (that is [`media`]'s timeline), or hold a clock, file or socket.

#![forbid(unsafe_code)]

pub mod amf0;
mod demux;
mod error;
pub mod file;
mod header;
pub mod metadata;
pub mod mux;

pub use demux::Demuxer;
pub use error::Error;
pub use metadata::SCRIPT_BYTES_MAX;

use bytes::Bytes;

/// What a tag carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// Audio (type 8).
    Audio,
    /// Video (type 9).
    Video,
    /// Script data (type 18): a name and values in AMF0.
    Script,
}

impl TagKind {
    /// The tag type, which is also the RTMP message type.
    pub const fn id(self) -> u8 {
        match self {
            TagKind::Audio => 8,
            TagKind::Video => 9,
            TagKind::Script => 18,
        }
    }

    /// The kind of a tag type; `None` for every other number.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            8 => Some(TagKind::Audio),
            9 => Some(TagKind::Video),
            18 => Some(TagKind::Script),
            _ => None,
        }
    }
}

/// One FLV tag without its framing: the body of one RTMP media message.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// Decode time in milliseconds, as sent, modulo 2^32.
    pub timestamp_ms: u32,
    /// Codec header and payload.
    pub body: Bytes,
}

impl std::fmt::Debug for Tag {
    /// MediaKind, time and the first bytes: a body may be megabytes long.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = &self.body[..self.body.len().min(8)];
        let (kind, at) = (self.kind, self.timestamp_ms);
        write!(
            f,
            "Tag({kind:?} at {at} ms, {} bytes {head:02x?})",
            self.body.len()
        )
    }
}
