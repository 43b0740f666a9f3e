//! After a long pause, a little at once.
//!
//! A player that waited for the encoder has played all it had. Given the first segment (or part) as soon as it is there,
//! it plays that and stands still again until the next one comes: a stall for each, because what it has never gets ahead
//! of what it plays. It starts as a new viewer does, so it is given what a new viewer is given: all renditions are held
//! back together until each has as many segments of the new timeline as a first playlist needs. That costs viewers who
//! have waited for longer than three target durations six seconds more. Two segments were not enough: until a player
//! without low latency has seen the next one, its own reload interval and a cache's lifetime pass.
//!
//! After a short pause nothing is held back: players still play then, or have only just stopped.

use super::{Packager, State, publish::enough};
use crate::rendition::Rendition;

/// What players keep ahead of what they play, in target durations (bis §4.4.3.8, HOLD-BACK): a longer pause has used it
/// up.
const PAUSE_TARGETS: i64 = 3;

/// What is not shown yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestartHoldBack {
    /// The first segment after the pause.
    first_msn: u64,
    /// The media clock there.
    clock: i64,
}

impl Packager {
    /// The next segment comes after a discontinuity, at `wall` (microseconds since 1970).
    pub(super) fn judge_pause(&mut self, wall: i64) {
        let Some(constants) = self.constants else {
            return;
        };
        let end = self.last_end().unwrap_or(wall);
        let target = i64::try_from(constants.target_duration).unwrap_or(i64::MAX);
        let long = target.saturating_mul(PAUSE_TARGETS * 1_000_000);
        self.hold_back = (wall.saturating_sub(end) > long).then_some(RestartHoldBack {
            first_msn: self.next_msn,
            clock: self.window.clock(),
        });
    }

    /// Whether viewers are shown nothing new for now.
    pub(super) fn is_withheld(&self) -> bool {
        let (Some(hold_back), State::Cutting | State::Stalled) = (self.hold_back, self.state)
        else {
            return false;
        };
        let own = [
            (&self.source, self.has_video),
            (&self.audio, self.has_audio),
        ];
        let own = own
            .into_iter()
            .filter_map(|(rendition, there)| there.then_some(rendition));
        let closed = |rendition: &Rendition| rendition.cursor.saturating_sub(hold_back.first_msn);
        let closed = own.chain(&self.rungs).map(closed).min().unwrap_or(0);
        !enough(closed, self.window.clock() - hold_back.clock)
    }
}
