//! Blocking playlist reload (bis §6.2.5.2): what a request with delivery directives gets, decided
//! without waiting.
//!
//! The HTTP side asks [`decide`] again after each change until the answer is not
//! [`Decision::Wait`], or answers 503 once [`crate::PlaylistConstants::block_limit`] has passed.

pub use urls::{Directives, Skip};

use crate::MediaSnapshot;

/// How many segments past the last one may be asked for.
const AHEAD_MAX: u64 = 2;

/// Why a request is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A part of which segment?
    #[error("cannot use _HLS_part without _HLS_msn")]
    PartWithoutMsn,
    /// So far ahead that the client must be confused.
    #[error("cannot wait for segment {msn}: the last one is {last}")]
    SegmentTooFarAhead {
        /// Asked for.
        msn: u64,
        /// Last complete segment.
        last: u64,
    },
    /// So far ahead that the client must be confused.
    #[error("cannot wait for part {part} of segment {msn}: it is too far ahead")]
    PartTooFarAhead {
        /// The segment asked for.
        msn: u64,
        /// The part asked for.
        part: u64,
    },
}

/// What to do with a playlist request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer with the playlist as it is.
    Now,
    /// Hold the request until the playlist has this segment, or this part of it.
    Wait {
        /// The segment.
        msn: u64,
        /// The part; `None` for the whole segment.
        part: Option<u64>,
    },
    /// Answer 400.
    BadRequest(BadRequest),
}

/// Decides on a request for the playlist of `media`.
pub fn decide(directives: &Directives, media: &MediaSnapshot) -> Decision {
    // "the Server MUST ignore" blocking directives once the playlist is final: there is nothing to
    // wait for.
    if media.is_ended() {
        return Decision::Now;
    }
    let Some(msn) = directives.msn else {
        return match directives.part {
            Some(_) => Decision::BadRequest(BadRequest::PartWithoutMsn),
            None => Decision::Now,
        };
    };
    let Some(last) = media.last_msn() else {
        return Decision::Now;
    };
    if msn > last.saturating_add(AHEAD_MAX) {
        return Decision::BadRequest(BadRequest::SegmentTooFarAhead { msn, last });
    }
    match directives
        .part
        .filter(|_| media.constants().part_target.is_some())
    {
        None if msn <= last => Decision::Now,
        None => Decision::Wait { msn, part: None },
        Some(part) => decide_part(media, msn, part, last),
    }
}

fn decide_part(media: &MediaSnapshot, msn: u64, part: u64, last: u64) -> Decision {
    // "If the client asks for a Part Index greater than that of the final Partial Segment of the
    // Parent Segment, the Server MUST treat the request as one for Part Index 0 of the following
    // Parent Segment."
    let (msn, part) = if msn == last {
        let parts = media
            .listed()
            .last()
            .map_or(0, |segment| segment.parts.len() as u64);
        if part < parts {
            (msn, part)
        } else {
            (msn + 1, 0)
        }
    } else {
        (msn, part)
    };
    if msn <= last {
        return Decision::Now;
    }
    let present = match media.open() {
        Some(open) if open.msn == msn => open.parts.len() as u64,
        Some(open) if open.msn > msn => return Decision::Now,
        _ => 0,
    };
    if part < present {
        return Decision::Now;
    }
    if part + 1 > present + advance_limit(media) {
        return Decision::BadRequest(BadRequest::PartTooFarAhead { msn, part });
    }
    Decision::Wait {
        msn,
        part: Some(part),
    }
}

/// Whether shared caches may keep the answer to a request that was held: the playlist ends with the
/// very part that was asked for, within a segment; without parts, with the segment.
///
/// An answer that has more, or had it all along, may be asked for again by a player that wants
/// news: video.js asks for the last part of a finished segment until it sees the next one, and
/// stands still for as long as a cache repeats that answer.
pub fn ends_as_asked(directives: &Directives, media: &MediaSnapshot) -> bool {
    let Some(msn) = directives.msn else {
        return false;
    };
    if media.constants().part_target.is_none() {
        return media.last_msn() == Some(msn);
    }
    let open = media.open().filter(|open| open.msn == msn);
    let parts = open.map(|open| open.parts.len() as u64);
    parts.is_some() && parts == directives.part.and_then(|part| part.checked_add(1))
}

/// The Advance Part Limit: three parts, or three seconds' worth where parts are shorter than a
/// second.
fn advance_limit(media: &MediaSnapshot) -> u64 {
    let seconds = media.constants().part_target_seconds().unwrap_or(1.0);
    if seconds >= 1.0 {
        3
    } else {
        (3.0 / seconds.max(0.01)).ceil() as u64
    }
}
