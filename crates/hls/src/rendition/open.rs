//! Holds the segment that grows, and makes what it may become: whole, grown so far, or a gap.

use std::sync::Arc;

use media::{AccessUnit, Timescale, VIDEO_TIMESCALE};

use super::PartTarget;
use crate::{Init, Part, Segment, part, timing::SegmentTiming};

/// Audio that ends this much before its segment broke off: whole frames always reach past the end,
/// so only rounding is less.
pub(super) const BROKEN_OFF_MS: i64 = 10;

/// At the end of a timeline audio may also lack the reordering delay by which video is shown after
/// the last audio that came.
pub(super) const ENDED_SHORT_MS: i64 = 250;

/// The open segment.
#[derive(Debug)]
pub(super) struct Open {
    pub timing: SegmentTiming,
    pub init: Arc<Init>,
    pub parts: Vec<Part>,
    /// Units that do not make a part yet.
    pub pending: Vec<AccessUnit>,
    pub bytes: u64,
    /// Presentation time of its first unit, in ticks of the video timescale.
    pub first_time: i64,
    /// How long that unit lasts, likewise.
    pub first_lasts: i64,
    pub start: i64,
    pub end: i64,
    pub independent: bool,
    /// Units are missing: it will be a gap.
    pub broken: bool,
}

/// A whole segment.
pub(super) fn build(open: Open, duration: i64, timescale: Timescale) -> Segment {
    let program_date_time = open.program_date_time();
    Segment {
        msn: open.timing.msn,
        run_id: None,
        parts: open.parts,
        duration,
        timescale,
        program_date_time,
        discontinuity: open.timing.discontinuity,
        discontinuity_sequence: open.timing.discontinuity_sequence,
        init: Some(open.init),
        independent: open.independent,
        gap: false,
    }
}

/// The open segment as far as its parts go.
pub(super) fn grown(open: &Open, timescale: Timescale) -> Segment {
    Segment {
        msn: open.timing.msn,
        run_id: None,
        parts: open.parts.clone(),
        duration: open.parts.iter().map(|part| part.duration).sum(),
        timescale,
        program_date_time: open.program_date_time(),
        discontinuity: open.timing.discontinuity,
        discontinuity_sequence: open.timing.discontinuity_sequence,
        init: Some(open.init.clone()),
        independent: open.independent,
        gap: false,
    }
}

/// A lost segment; parts already published stay, the rest is filled with gaps.
pub(super) fn gap(
    open: Option<Open>,
    timing: &SegmentTiming,
    length: i64,
    timescale: Timescale,
    part_target: PartTarget,
) -> Segment {
    let (mut parts, init, independent) = match open {
        Some(open) => (open.parts, Some(open.init), open.independent),
        None => (Vec::new(), None, true),
    };
    if let PartTarget::Ticks(target) = part_target {
        let target = (VIDEO_TIMESCALE.rescale(target, timescale)).max(1);
        let mut left = length - parts.iter().map(|part| part.duration).sum::<i64>();
        while left > 0 && parts.len() < part::PARTS_MAX {
            parts.push(Part {
                bytes: bytes::Bytes::new(),
                duration: left.min(target),
                independent: false,
                gap: true,
            });
            left -= target;
        }
    }
    Segment {
        msn: timing.msn,
        run_id: None,
        parts,
        duration: length,
        timescale,
        program_date_time: timing.program_date_time(timing.start.time),
        discontinuity: timing.discontinuity,
        discontinuity_sequence: timing.discontinuity_sequence,
        init,
        independent,
        gap: true,
    }
}

impl Open {
    /// The presentation time its share of the segment starts at: its first unit's, unless that one
    /// came late.
    pub fn lead_in(&self) -> i64 {
        let start = self.timing.start.time;
        let late = self.first_time - start > self.first_lasts;
        if late { start } else { self.first_time }
    }

    fn program_date_time(&self) -> i64 {
        self.timing.program_date_time(self.lead_in())
    }
}

/// FNV-1a, 32 bits: names init segments by content. Not a security measure; collisions are resolved
/// where it is used.
pub(super) fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
