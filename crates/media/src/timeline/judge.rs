//! Decides where on the shared timeline a unit lies: near its predecessor, after a pause, on a
//! clock that jumped, or nowhere that its stamp says.

use std::time::Duration;

use super::{
    OUTLIERS_MAX, Reason, START_WAIT, STEP_MAX, TICKS_PER_MS, Timeline, other,
    track_state::{Clock, Stamp, Verdict},
};
use crate::{MediaKind, VIDEO_TIMESCALE};

/// A track that joins this much too early is placed late and slewed; more moves both tracks. Lip
/// sync bears 40 ms.
const JOIN_SLACK_MS: i64 = 20;

impl Timeline {
    /// Decides where on the shared timeline a unit lies.
    pub(super) fn judge(&mut self, kind: MediaKind, stamp: Stamp, now: Duration) -> Verdict {
        let sibling = self.sibling(kind);
        let track = self.track_mut(kind);
        let Some(mut clock) = track.clock.clone() else {
            return self.join(kind, stamp, now);
        };
        if let Some(ticks) = clock.near(stamp) {
            // A jump too small to be one for this track may have been one for the other.
            if let Some((other, _, generation)) = &sibling
                && *generation > track.generation
                && track.fits_better(other.ticks(stamp), ticks)
            {
                track.generation = *generation;
                return self.adopt(kind, other.clone(), stamp);
            }
            track.outliers = None;
            let step = clock.advance(stamp);
            let repeats = step <= 0 && track.pending();
            track.stats.backward += u64::from(repeats);
            track.clock = Some(clock);
            return match step {
                0 if repeats => Verdict::Repeat,
                _ => Verdict::At(ticks),
            };
        }
        // Far from its predecessor. A pause, if the other track's clock went the same way.
        let ticks = clock.ticks(stamp);
        let agrees = |ticks: i64| {
            let position = sibling.as_ref().map(|(_, position, _)| *position);
            position.is_some_and(|position| (ticks - position).abs() <= STEP_MAX)
        };
        if clock.is_ahead(stamp) && agrees(ticks) {
            track.outliers = None;
            clock.advance(stamp);
            track.clock = Some(clock);
            return Verdict::At(ticks);
        }
        // Or the jump the other track made already.
        if let Some((other, _, generation)) = &sibling
            && *generation > track.generation
            && agrees(other.ticks(stamp))
        {
            track.generation = *generation;
            return self.adopt(kind, other.clone(), stamp);
        }
        if track.outlier(stamp) < OUTLIERS_MAX {
            return Verdict::Restamp;
        }
        self.new_timeline(kind, stamp)
    }

    /// The third outlier in a row: what follows is counted from here, contiguous with what was.
    fn new_timeline(&mut self, kind: MediaKind, stamp: Stamp) -> Verdict {
        let follows = self.track(other(kind)).generation > self.track(kind).generation
            && self.track(other(kind)).clock.is_some();
        if !follows {
            self.generation += 1;
            self.break_timeline(Reason::ClockJump);
        }
        let generation = self.generation;
        let track = self.track_mut(kind);
        let ticks = track.expected().unwrap_or(0);
        track.clock = Some(Clock::at(stamp, ticks));
        track.generation = generation;
        track.outliers = None;
        Verdict::At(ticks)
    }

    /// The first unit of a track while the other runs: on the other's clock, or by arrival.
    fn join(&mut self, kind: MediaKind, stamp: Stamp, now: Duration) -> Verdict {
        let generation = self.generation;
        let seen = self.track(other(kind)).seen;
        let Some((clock, position, _)) = self.sibling(kind) else {
            let ticks = self.end();
            let track = self.track_mut(kind);
            track.clock = Some(Clock::at(stamp, ticks));
            return Verdict::At(ticks);
        };
        self.track_mut(kind).generation = generation;
        if (clock.ticks(stamp) - position).abs() <= STEP_MAX {
            return self.adopt(kind, clock, stamp);
        }
        let waited = now.saturating_sub(seen).min(START_WAIT);
        let ticks = position + VIDEO_TIMESCALE.ticks(waited);
        self.adopt(kind, Clock::at(stamp, ticks), stamp)
    }

    /// Puts a track on `clock`. Where that would overlap what it has emitted, both tracks move up.
    fn adopt(&mut self, kind: MediaKind, mut clock: Clock, stamp: Stamp) -> Verdict {
        let track = self.track(kind);
        let floor = track.expected().unwrap_or(0);
        let early = floor - clock.ticks(stamp);
        // What was filled gives way to nothing: a unit that comes too late for it is dropped.
        if track.absence.is_none() && early > JOIN_SLACK_MS * TICKS_PER_MS {
            clock.raise(early);
            if let Some(sibling) = &mut self.track_mut(other(kind)).clock {
                sibling.raise(early);
            }
        }
        clock.advance(stamp);
        let ticks = clock.ticks(stamp);
        let track = self.track_mut(kind);
        track.clock = Some(clock);
        track.outliers = None;
        Verdict::At(ticks)
    }

    /// The other track's clock, where it is, and which timeline it follows, if it runs.
    fn sibling(&self, kind: MediaKind) -> Option<(Clock, i64, u32)> {
        let track = self.track(other(kind));
        Some((track.clock.clone()?, track.position()?, track.generation))
    }
}
