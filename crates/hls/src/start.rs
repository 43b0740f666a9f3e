//! Where a packager starts: with no history, or in a run that viewers know already.
//!
//! ```text
//! Fresh       N ...                                              numbers from the clock
//! JoinPeer    (peer: N-2 N-1)  N ...                             the peer's numbers, cuts and dates
//! AfterPeer   (lost: N-2 N-1 N)  gap gap gap  discontinuity ...  the peer died with its media
//! Restart     N-2 N-1 N  discontinuity  N+1 ...                  this origin's process was killed
//! ```
//!
//! Two origins that package the same source in one run must cut, number and date alike, so that the
//! same URL has the same bytes. What one of them knows of a segment's start is a [`Boundary`]; the
//! other starts there.
//!
//! What this does not do: store any of it, or judge whether it is recent enough to continue from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Keyframes, PlaylistConstants, Snapshot};

/// What the first segment follows.
#[derive(Clone, Debug)]
pub enum Start {
    /// Nothing: viewers have seen no segment of the run.
    Fresh {
        /// The first segment's Media Sequence Number: wall time in seconds, or more.
        first_msn: u64,
        /// Discontinuities before the first segment.
        discontinuity_sequence: u64,
    },
    /// The peer's segments: the first one here is the one that starts at `boundary`. Units before
    /// it are left out; the first unit of the leading track at or after it must lie exactly there.
    JoinPeer {
        /// The start of a segment of the peer's run.
        boundary: Boundary,
        /// What the peer's playlists promise; `None` while it has none. Then none appears here
        /// either until [`Packager::fix_constants`](crate::Packager::fix_constants).
        constants: Option<PlaylistConstants>,
    },
    /// Segments of a peer that died with its media: gaps stand for them.
    AfterPeer(LastPosition),
    /// What this origin's previous process listed, read back by
    /// [`Checkpoint::restore`](crate::checkpoint::Checkpoint::restore) for the run of the
    /// configuration.
    Restart(Arc<Snapshot>),
}

impl Start {
    /// Discontinuities that viewers know of once they are shown the first segment: a later run
    /// starts above.
    pub fn discontinuity_sequence(&self) -> u64 {
        match self {
            Self::Fresh {
                discontinuity_sequence,
                ..
            } => *discontinuity_sequence,
            Self::JoinPeer { boundary, .. } => boundary.discontinuity_sequence,
            // The one before what was lost, if viewers were told of it, and the one after.
            Self::AfterPeer(last) => last.discontinuity_sequence + 2,
            Self::Restart(snapshot) => snapshot.next_numbers().1 + 1,
        }
    }
}

/// Where a segment starts, and all that decides how the stream continues from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// Media Sequence Number of the segment that starts here.
    pub msn: u64,
    /// Decode time of its first leading unit, in ticks of the video timescale.
    pub dts: i64,
    /// Presentation time of the same: where audio is cut.
    pub time: i64,
    /// A discontinuity comes before it.
    pub discontinuity: bool,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    /// A presentation time of which the wall clock time is known: EXT-X-PROGRAM-DATE-TIME follows.
    pub anchor_time: i64,
    /// Microseconds since the Unix epoch at `anchor_time`.
    pub anchor_micros: i64,
    /// Ticks between the last two sync samples, the one that starts here included.
    pub keyframe_interval: Option<i64>,
    /// PART-TARGET in ticks of the video timescale; `None` in the first segment, whose frames
    /// decide it, and without parts.
    #[serde(default)]
    pub part_target: Option<i64>,
    /// The video configuration has changed in this run: keyframes bring their parameter sets along.
    #[serde(default, rename = "repeats_sets")]
    pub has_inband_parameter_sets: bool,
    /// What is known of the source's keyframes, which decides where segments start.
    #[serde(default)]
    pub keyframes: Keyframes,
}

/// How far a stream has come that viewers watch: enough to continue after its process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPosition {
    /// The first Media Sequence Number that is not listed whole.
    pub msn: u64,
    /// Its program date time, microseconds since the Unix epoch.
    pub date_micros: i64,
    /// Viewers were told of a discontinuity before it.
    pub discontinuity: bool,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    /// What playlists have promised.
    pub constants: PlaylistConstants,
}
