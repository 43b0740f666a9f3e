//! All data of one decode time of one track: as it arrives with a millisecond clock, and as it leaves with exact ticks.

use bytes::Bytes;

use crate::MediaKind;

/// One access unit: a coded picture with all its NAL units, or one AAC frame.
///
/// Times are in the track's [`crate::Timescale`]. The payload is what a CMAF sample holds: length-prefixed NAL units
/// as they arrived (never rewritten: pass-through is bit-exact), or a raw AAC frame without ADTS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// The track it belongs to (a stream has at most one of each kind).
    pub kind: MediaKind,
    /// Decode time in ticks. Strictly increasing within a track between discontinuities.
    pub dts: i64,
    /// Presentation time in ticks; `pts - dts` is the composition offset as sent, never derived.
    pub pts: i64,
    /// Ticks until the next access unit's decode time; always positive.
    pub duration: u32,
    /// A decoder may start here (IDR; every AAC frame).
    pub is_sync: bool,
    /// The sample's bytes.
    pub payload: Bytes,
}

/// An access unit as a publisher sent it: stamped by a 32-bit millisecond clock that may wrap, jitter, jump or drift.
///
/// [`crate::Timeline`] is the only place that turns them into [`AccessUnit`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestUnit {
    /// The track it belongs to.
    pub kind: MediaKind,
    /// Decode time in milliseconds modulo 2^32 (some encoders: modulo 2^31), as sent.
    pub timestamp_ms: u32,
    /// Presentation minus decode time in milliseconds, as sent (FLV composition time, SI24). 0 for audio.
    pub composition_ms: i32,
    /// A decoder may start here.
    pub is_sync: bool,
    /// Length-prefixed NAL units, or one raw AAC frame.
    pub payload: Bytes,
}
