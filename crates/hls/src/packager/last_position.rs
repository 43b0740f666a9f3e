//! Going on from nothing but numbers: behind an origin's peer that died with all it had. Numbers stay next to those that
//! viewers know, and what was open becomes a gap. (What this origin itself left is listed again: [`super::resume`].)
//!
//! A player places a new playlist beside the one it knows by segments that both list, or by numbers that follow each
//! other (bis §6.2.2 has servers never leave any out). After a jump it guesses from the target duration, and hls.js
//! 1.7 then waits for a place that never comes. So a new run starts at the number that was open when the last one
//! died:
//!
//! ```text
//! before   ... N-2  N-1  N (open)
//! after                  N (gap)  N+1 (gap)  N+2 (gap)  discontinuity  N+3 ...
//! ```
//!
//! Three gaps, because a playlist without its end is never shorter than three target durations: so viewers need not
//! wait for more than one real segment, not even on rungs that are a little behind.
//!
//! What this does not do: keep the last_position anywhere, or judge whether it is recent enough to go on from.

use super::{CutPoint, Packager, ProgramDateTime, SegmentTiming};
use crate::{Error, PlaylistConstants};

/// Segments that stand for what was lost.
const GAPS: i64 = 3;

/// Where a stream stands that viewers watch: enough to go on from when the process dies now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LastPosition {
    /// The first number that is not listed whole.
    pub msn: u64,
    /// Its program date time, microseconds since 1970.
    pub date_micros: i64,
    /// Viewers were told of a discontinuity before it.
    pub discontinuity: bool,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    /// What playlists have promised.
    pub constants: PlaylistConstants,
}

impl Packager {
    /// Where it stands; `None` before the first playlist.
    pub fn last_position(&self) -> Option<LastPosition> {
        let constants = self.constants?;
        let newest = self.timings.back()?;
        let (msn, discontinuity, discontinuity_sequence) = match newest.end {
            None => (
                newest.msn,
                newest.discontinuity,
                newest.discontinuity_sequence,
            ),
            Some(_) => (self.next_msn, self.discontinuity, self.discontinuities),
        };
        Some(LastPosition {
            msn,
            date_micros: newest.program_date_time(newest.end_time()),
            discontinuity,
            discontinuity_sequence,
            constants,
        })
    }

    /// Goes on from `last_position`: call before [`Packager::start`], with the last_position's constants in the configuration.
    pub fn continue_after(&mut self, last_position: LastPosition) -> Result<(), Error> {
        if !self.timings.is_empty() || self.config.constants != Some(last_position.constants) {
            return Err(Error::State("cannot go on from another's last_position"));
        }
        self.next_msn = last_position.msn;
        self.discontinuities = last_position.discontinuity_sequence;
        self.last_position = Some(last_position);
        Ok(())
    }

    /// Lists what was lost before the first segment, which starts at `start`.
    pub(super) fn insert_gaps(&mut self, start: CutPoint, wall: i64) {
        let Some(last_position) = self.last_position.take() else {
            return;
        };
        let length = last_position.constants.target_ticks();
        // What follows is dated by the clock, what was lost by its distance to that: players show dates of what they
        // play. A clock that went back dates nothing before what viewers have seen.
        let anchor = ProgramDateTime {
            time: start.time,
            micros: wall.max(last_position.date_micros),
        };
        for ahead in (1..=GAPS).rev() {
            let at = |ahead: i64| CutPoint {
                dts: start.dts - ahead * length,
                time: start.time - ahead * length,
            };
            let timing = SegmentTiming {
                msn: self.next_msn,
                start: at(ahead),
                end: Some(at(ahead - 1)),
                ends_timeline: ahead == 1,
                closed_at: self.window.clock() + length,
                discontinuity: ahead == GAPS && last_position.discontinuity,
                discontinuity_sequence: self.discontinuities,
                anchor,
                has_video: false,
                has_audio: self.has_audio,
                has_inband_parameter_sets: self.has_inband_parameter_sets,
            };
            self.discontinuities += u64::from(timing.discontinuity);
            self.next_msn += 1;
            self.lose(&timing);
            self.window.push(timing.msn, length);
            self.timings.push_back(timing);
        }
        self.anchor = Some(anchor);
        self.discontinuity = true;
        self.follows_gaps = true;
    }

    fn lose(&mut self, timing: &SegmentTiming) {
        let all = [
            (&mut self.source, self.has_video),
            (&mut self.audio, self.has_audio),
        ];
        let rungs = self.rungs.iter_mut().map(|rung| (rung, true));
        for (rendition, is_there) in all.into_iter().chain(rungs) {
            if is_there {
                rendition.lose(timing);
            }
        }
    }

    /// How much a run that goes on lists before it is shown: a playlist without its end has three target durations
    /// (bis §6.2.2), also on rungs that are a segment behind.
    pub(super) fn shown_from(&self) -> Option<i64> {
        let constants = self.config.constants.filter(|_| self.follows_gaps)?;
        Some((GAPS + 1) * constants.target_ticks())
    }

    /// Whole segments that a rendition needs before it is shown; after a insert_gaps viewers wait for the first.
    pub(super) fn needed(&self) -> u64 {
        if self.follows_gaps {
            1
        } else {
            super::READY_SEGMENTS
        }
    }
}
