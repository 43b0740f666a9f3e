//! Finding the zero: the first units are held until each track has one, then the earlier gets
//! it.

use std::time::Duration;

use super::{
    Reason, START_WAIT, START_WAIT_SINGLE, START_WAIT_VIDEO, STEP_MAX, TICKS_PER_MS, Timeline,
    fill::Heard,
    other,
    track_state::{Clock, Stamp},
};
use crate::{IngestUnit, MediaKind, VIDEO_TIMESCALE};

/// Arrivals held at the start: a second of 120 fps and of AAC at 96 kHz is 214.
const START_HELD_MAX: usize = 512;
/// A first composition offset lifts the zero by this much at most: sixteen reordered pictures at 24
/// fps.
const LIFT_MAX_MS: i64 = 667;

#[derive(Debug)]
pub(super) enum State {
    /// Nothing placed since the start or since a resume: waiting for the tracks' first units.
    Starting {
        held: Vec<(IngestUnit, Duration)>,
        resumed: bool,
    },
    /// Every unit is placed as it comes.
    Running,
}

impl Default for State {
    fn default() -> Self {
        State::Starting {
            held: Vec::new(),
            resumed: false,
        }
    }
}

impl Timeline {
    pub(super) fn may_start(&self) -> bool {
        let State::Starting { held, .. } = &self.state else {
            return false;
        };
        let (Some((first, from)), Some((last, to))) = (held.first(), held.last()) else {
            return false;
        };
        let configured = |kind| self.track(kind).is_announced;
        let both = configured(MediaKind::Video) && configured(MediaKind::Audio);
        if both && held.iter().any(|(input, _)| input.kind != first.kind) {
            return true;
        }
        let wait = match (both, first.kind) {
            (false, _) => START_WAIT_SINGLE,
            (true, MediaKind::Video) => START_WAIT,
            (true, MediaKind::Audio) => START_WAIT_VIDEO,
        };
        let media = Stamp::of(last).since(Stamp::of(first));
        held.len() >= START_HELD_MAX
            || to.saturating_sub(*from) >= wait
            || (media >= VIDEO_TIMESCALE.ticks(wait) && last.kind == first.kind)
    }

    /// Gives each held track its offset to the shared zero, then places what was held.
    pub(super) fn start(&mut self) {
        let State::Starting { held, resumed } = std::mem::replace(&mut self.state, State::Running)
        else {
            return;
        };
        let Some((first, first_now)) = held.first() else {
            return;
        };
        let base = self.end();
        // Ticks after the first unit: by the publisher's clock, or by arrival where the
        // clocks differ.
        let second = held.iter().find(|(a, _)| a.kind != first.kind);
        let after = second.map_or(0, |(input, now)| {
            let sent = Stamp::of(input).since(Stamp::of(first));
            let waited = VIDEO_TIMESCALE.ticks(now.saturating_sub(*first_now));
            if (sent - waited).abs() > STEP_MAX {
                waited
            } else {
                sent
            }
        });
        let mut zero = base - after.min(0);
        let firsts = [(first, 0), (second.map_or(first, |(a, _)| a), after)];
        // A first picture shown before its decode time would lie before the zero.
        let early = firsts.iter().map(|(a, ticks)| {
            let early = after.min(0) - ticks - a.composition_ticks().min(0);
            early.max(0)
        });
        zero += early.max().unwrap_or(0).min(LIFT_MAX_MS * TICKS_PER_MS);
        self.generation += 1;
        for (input, ticks) in firsts.into_iter().take(1 + usize::from(second.is_some())) {
            let generation = self.generation;
            let track = self.track_mut(input.kind);
            track.clock = Some(Clock::at(Stamp::of(input), zero + ticks));
            track.generation = generation;
        }
        if resumed {
            self.break_timeline(Reason::Resumed);
        }
        self.video.has_begun = held.iter().any(|(input, _)| input.kind == MediaKind::Video);
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let units = self.track(other(kind)).stats.units;
            let track = self.track_mut(kind);
            track.heard = track.is_announced.then_some(Heard {
                own: zero,
                other: zero,
                units,
            });
        }
        for (input, now) in held {
            self.place(input, now);
        }
    }

    /// The end of everything placed, in ticks of [`VIDEO_TIMESCALE`].
    pub(super) fn end(&self) -> i64 {
        let ends = [&self.video, &self.audio].map(|track| {
            let end = track.end.unwrap_or(0);
            track.timescale().rescale(end, VIDEO_TIMESCALE)
        });
        ends.into_iter().max().unwrap_or(0).max(0)
    }
}
