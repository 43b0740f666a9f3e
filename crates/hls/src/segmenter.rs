//! Decides where segments start, and the target duration that follows from it.
//!
//! A segment wants to start at a sync sample once the current one has lasted the segment target.
//! The target duration is fixed for life when the first playlist appears (bis §4.4.3.1), from what
//! was seen until then:
//!
//! - regular keyframes: the longest segment seen, rounded;
//! - irregular keyframes (intervals that differ by more than a tenth): the segment target plus the
//!   longest interval, since a segment that misses its target by a hair waits one whole interval
//!   more. Intervals that are never below the target cannot miss it: where they differ by at most
//!   half a second (a busy encoder left frames out) they count as regular, because players keep
//!   three target durations behind live;
//! - never below the configured target, never below [`TARGET_DURATION_MIN`].
//!
//! From then on no segment may round to more. When no sync sample comes in time the cut is made
//! anyway and the segment is *dependent*; the next sync sample then opens a segment at once, to get
//! back to independent ones.

use media::{Timescale, VIDEO_TIMESCALE};

/// The least target duration, in seconds. 1 would leave no room: a keyframe half a second late
/// would break it, and segments cut at the limit could be shorter than the second per number that
/// numbering by the clock allows.
pub const TARGET_DURATION_MIN: u64 = 2;

/// The longest segment before a target duration exists, in seconds: encoders that were never
/// configured send a keyframe every 8 to 10 s.
pub const PROVISIONAL_SECONDS_MAX: i64 = 10;

/// How much a segment stays below the duration that would round to more than the target duration,
/// in ticks: audio segments end up to one frame (43 ms for HE-AAC at 48 kHz, 64 ms at 16 kHz) after
/// the video's.
const MARGIN: i64 = 36_000;

/// A sync sample ends a segment early when the next is expected past the limit and this many ticks
/// have gone (1 s, the time one number must last).
const EARLY_MIN: i64 = 360_000;

/// What a unit of the leading track does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the open segment.
    Continue,
    /// It opens the next segment.
    Open {
        /// It is a sync sample.
        independent: bool,
    },
}

/// Cuts the leading track into segments. Times are in [`VIDEO_TIMESCALE`].
#[derive(Clone, Debug)]
pub struct Segmenter {
    target: i64,
    limit: i64,
    open: Option<(i64, bool)>,
    last_sync: Option<i64>,
    last_interval: Option<i64>,
    shortest_interval: i64,
    longest_interval: i64,
    longest_segment: i64,
}

impl Segmenter {
    /// A segmenter that aims at segments of `target` ticks.
    pub fn new(target: i64) -> Self {
        Self {
            target,
            limit: ticks(PROVISIONAL_SECONDS_MAX),
            open: None,
            last_sync: None,
            last_interval: None,
            shortest_interval: i64::MAX,
            longest_interval: 0,
            longest_segment: 0,
        }
    }

    /// Judges the next unit. Does not change what is open: the caller may open for reasons of its
    /// own.
    pub fn judge(&self, dts: i64, duration: i64, is_sync: bool) -> Verdict {
        let Some((start, independent)) = self.open else {
            return match is_sync {
                true => Verdict::Open { independent: true },
                false => Verdict::Continue,
            };
        };
        let elapsed = dts - start;
        if is_sync {
            let due = elapsed >= self.target - duration / 2;
            let next = self.last_interval.map_or(0, |interval| elapsed + interval);
            let late_next = next > self.limit && elapsed >= EARLY_MIN;
            if due || late_next || !independent {
                return Verdict::Open { independent: true };
            }
        }
        if elapsed > 0 && elapsed + duration > self.limit {
            return Verdict::Open {
                independent: is_sync,
            };
        }
        Verdict::Continue
    }

    /// Notes a sync sample; call after [`Segmenter::judge`] for each.
    pub fn note_sync(&mut self, dts: i64) {
        if let Some(last) = self.last_sync.replace(dts) {
            let interval = dts - last;
            self.last_interval = Some(interval);
            self.shortest_interval = self.shortest_interval.min(interval);
            self.longest_interval = self.longest_interval.max(interval);
        }
    }

    /// Ticks between the last two sync samples.
    pub fn last_interval(&self) -> Option<i64> {
        self.last_interval
    }

    /// A segment starts at `dts`.
    pub fn open(&mut self, dts: i64, independent: bool) {
        self.open = Some((dts, independent));
    }

    /// The open segment ends at `dts`.
    pub fn close(&mut self, dts: i64) {
        if let Some((start, _)) = self.open.take() {
            self.longest_segment = self.longest_segment.max(dts - start);
        }
    }

    /// The timeline breaks: intervals across the break mean nothing.
    pub fn interrupt(&mut self) {
        self.last_sync = None;
        self.last_interval = None;
    }

    /// Whether the open segment is expected to end at or before `dts`: judging by the last keyframe
    /// interval, where `jitter` ticks later counts too, or because it has no room for one more unit
    /// of `duration`.
    pub fn expects_cut_by(&self, dts: i64, jitter: i64, duration: i64) -> bool {
        let Some((start, independent)) = self.open else {
            return false;
        };
        if dts - start + duration > self.limit {
            return true;
        }
        let (Some(sync), Some(interval)) = (self.last_sync, self.last_interval) else {
            return false;
        };
        // The first expected sync sample that is due: in a dependent segment, the next one is.
        let due = match independent {
            true => start + self.target,
            false => start,
        };
        let ahead = (due - sync).max(0);
        let intervals = (ahead / interval.max(1)).max(1);
        let mut next = sync + intervals * interval;
        // A few ticks of jitter must not move the cut by a whole interval.
        if next < due - interval / 50 {
            next += interval;
        }
        next <= dts + jitter
    }

    /// The target duration in seconds that what was seen calls for.
    pub fn target_duration(&self) -> u64 {
        let spread = self.longest_interval.saturating_sub(self.shortest_interval);
        let never_misses = self.shortest_interval >= self.target && spread <= ticks(1) / 2;
        let irregular =
            self.longest_interval > 0 && spread > self.longest_interval / 10 && !never_misses;
        let longest = if irregular {
            self.longest_segment
                .max(self.target + self.longest_interval)
                .min(ticks(PROVISIONAL_SECONDS_MAX))
        } else {
            self.longest_segment
        };
        let rounded = u64::try_from((longest + MARGIN + ticks(1) / 2) / ticks(1)).unwrap_or(0);
        let configured = u64::try_from((self.target + ticks(1) - 1) / ticks(1)).unwrap_or(0);
        rounded.max(configured).max(TARGET_DURATION_MIN)
    }

    /// Fixes the target duration: no later segment will round to more than `seconds`.
    pub fn fix(&mut self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(PROVISIONAL_SECONDS_MAX);
        self.limit = ticks(seconds) + ticks(1) / 2 - MARGIN;
    }

    /// The longest a segment may be, in ticks.
    pub fn limit(&self) -> i64 {
        self.limit
    }
}

const fn ticks(seconds: i64) -> i64 {
    const RATE: Timescale = VIDEO_TIMESCALE;
    seconds * RATE.rate() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 12_000;

    /// Runs `frames` frames with sync samples where `sync` says; returns the starts of segments in
    /// frames.
    fn run(segmenter: &mut Segmenter, from: i64, to: i64, sync: impl Fn(i64) -> bool) -> Vec<i64> {
        let mut starts = Vec::new();
        for frame in from..to {
            let dts = frame * FRAME;
            if let Verdict::Open { independent } = segmenter.judge(dts, FRAME, sync(frame)) {
                segmenter.close(dts);
                segmenter.open(dts, independent);
                starts.push(frame);
            }
            if sync(frame) {
                segmenter.note_sync(dts);
            }
        }
        starts
    }

    #[test]
    fn every_second_gop_of_one_second() {
        let mut segmenter = Segmenter::new(ticks(2));
        assert_eq!(
            run(&mut segmenter, 0, 181, |f| f % 30 == 0),
            [0, 60, 120, 180]
        );
        assert_eq!(segmenter.target_duration(), 2);
    }

    #[test]
    fn long_gops_make_long_segments_and_a_matching_target_duration() {
        let mut segmenter = Segmenter::new(ticks(2));
        assert_eq!(
            run(&mut segmenter, 0, 451, |f| f % 150 == 0),
            [0, 150, 300, 450]
        );
        assert_eq!(segmenter.target_duration(), 5);
    }

    #[test]
    fn irregular_keyframes_get_headroom() {
        let mut segmenter = Segmenter::new(ticks(2));
        run(&mut segmenter, 0, 300, |f| {
            [0, 20, 80, 140, 170, 230].contains(&f)
        });
        assert_eq!(segmenter.target_duration(), 4);
    }

    #[test]
    fn pictures_left_out_of_a_gop_do_not_double_the_target_duration() {
        let mut segmenter = Segmenter::new(ticks(2));
        run(&mut segmenter, 0, 331, |f| {
            [0, 70, 130, 190, 264, 330].contains(&f)
        });
        assert_eq!(segmenter.target_duration(), 3, "2.47 s are the longest");
        let mut segmenter = Segmenter::new(ticks(2));
        run(&mut segmenter, 0, 331, |f| {
            [0, 69, 129, 189, 255, 330].contains(&f)
        });
        assert_eq!(segmenter.target_duration(), 3, "2.5 s");
        let mut segmenter = Segmenter::new(ticks(2));
        run(&mut segmenter, 0, 256, |f| {
            [0, 69, 129, 189, 255].contains(&f)
        });
        assert_eq!(segmenter.target_duration(), 2, "2.3 s");
    }

    #[test]
    fn a_late_sync_cuts_anyway_and_recovers_at_the_next() {
        let mut segmenter = Segmenter::new(ticks(2));
        segmenter.fix(2);
        let sync = |f: i64| f == 0 || f == 150;
        assert_eq!(run(&mut segmenter, 0, 151, sync), [0, 72, 144, 150]);
    }

    #[test]
    fn a_gop_that_no_longer_divides_the_target_cuts_early_instead_of_dependent() {
        let mut segmenter = Segmenter::new(ticks(2));
        segmenter.fix(2);
        let starts = run(&mut segmenter, 0, 226, |f| f % 45 == 0);
        // The second interval is the first that is known.
        assert!(starts.ends_with(&[135, 180, 225]), "{starts:?}");
    }

    #[test]
    fn the_end_of_a_segment_is_foreseen_from_the_keyframe_interval() {
        let mut segmenter = Segmenter::new(ticks(2));
        run(&mut segmenter, 0, 151, |f| f % 30 == 0);
        assert!(!segmenter.expects_cut_by(165 * FRAME, FRAME / 2, FRAME));
        assert!(segmenter.expects_cut_by(180 * FRAME, FRAME / 2, FRAME));
    }

    #[test]
    fn a_cut_at_the_limit_and_the_one_after_it_are_expected() {
        let mut segmenter = Segmenter::new(ticks(2));
        segmenter.fix(2);
        // A keyframe every three seconds: cut at 72 frames, then at the keyframe.
        run(&mut segmenter, 0, 91, |f| f % 90 == 0);
        assert!(!segmenter.expects_cut_by(161 * FRAME, FRAME / 2, FRAME));
        assert!(segmenter.expects_cut_by(162 * FRAME, FRAME / 2, FRAME));
        run(&mut segmenter, 91, 165, |f| f % 90 == 0);
        assert!(!segmenter.expects_cut_by(177 * FRAME, FRAME / 2, FRAME));
        assert!(segmenter.expects_cut_by(180 * FRAME, FRAME / 2, FRAME));
    }
}
