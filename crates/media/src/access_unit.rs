//! All data of one decode time of one track, with exact ticks.

use bytes::Bytes;

use crate::MediaKind;

/// Where decoding may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RandomAccess {
    /// Not here: what came before is needed.
    No,
    /// Here, with nothing before: an IDR picture, or any audio frame.
    Idr,
    /// Here, but pictures are right only after some more (H.264 §D.2.8): open groups of pictures,
    /// intra refresh.
    RecoveryPoint {
        /// Frames until they are; 0: from this one on, in the order of presentation.
        frames: u32,
    },
    /// Perhaps here: a picture of intra slices alone, of which nothing more is said.
    Intra,
}

impl RandomAccess {
    /// [`RandomAccess::Idr`] or [`RandomAccess::No`].
    pub const fn idr_if(is_idr: bool) -> Self {
        match is_idr {
            true => Self::Idr,
            false => Self::No,
        }
    }

    /// Whether a decoder may start here with nothing before and shows every picture after: a sync
    /// sample of ISO/IEC 14496-12.
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::Idr)
    }
}

/// One access unit: a coded picture with all its NAL units, or one AAC frame.
///
/// Times are in the track's [`crate::Timescale`]. The payload is what a CMAF sample holds:
/// length-prefixed NAL units, of which those with coded picture data are the publisher's own bytes
/// in the pass-through, or a raw AAC frame without ADTS.
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
    /// Where decoding may start; [`RandomAccess::Idr`] for all audio.
    pub random_access: RandomAccess,
    /// The sample's bytes.
    pub payload: Bytes,
}

impl AccessUnit {
    /// Whether a decoder may start here with nothing before.
    pub fn is_sync(&self) -> bool {
        self.random_access.is_sync()
    }
}
