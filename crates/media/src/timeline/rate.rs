//! The frame rates that are constant in exact ticks, and how to recognise one in millisecond
//! stamps.

use std::collections::VecDeque;

use super::TICKS_PER_MS;
use crate::VIDEO_TIMESCALE;

/// Rates that encoders produce, slowest first, as frames per seconds; a declared rate snaps to the
/// nearest.
const STANDARD: [(u32, u32); 21] = [
    (5, 1),
    (10, 1),
    (12, 1),
    (25, 2),
    (15_000, 1001),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (72, 1),
    (90, 1),
    (100, 1),
    (120_000, 1001),
    (120, 1),
];

/// A declared rate this close to a standard one means it: 23.98 is 24000/1001, while 29.97 and 30
/// are 1000 ppm apart.
const SNAP_PPM: u64 = 400;

/// Frames looked at before a rate is believed: 1.6 s at 30 fps, and enough to tell 24 from 23.976
/// by its sum.
const WINDOW: usize = 48;

/// Stamps of a constant rate lie this close to its grid: a millisecond of rounding at either end,
/// and one of jitter.
const FIT: i64 = 3 * TICKS_PER_MS / 2;

/// Ticks of one frame at a rate of `frames` per `seconds`, where that is a standard rate or a whole
/// number of ticks.
pub fn frame_ticks((frames, seconds): (u32, u32)) -> Option<i64> {
    if frames == 0 || seconds == 0 {
        return None;
    }
    let (frames, seconds) = (u64::from(frames), u64::from(seconds));
    if !(seconds..=240 * seconds).contains(&frames) {
        return None;
    }
    for (f, s) in STANDARD {
        let (f, s) = (u64::from(f), u64::from(s));
        let (declared, standard) = (frames * s, f * seconds);
        if declared.abs_diff(standard) * 1_000_000 <= standard * SNAP_PPM {
            return i64::try_from(ticks_per_second() * s / f).ok();
        }
    }
    let ticks = ticks_per_second() * seconds;
    ticks
        .is_multiple_of(frames)
        .then(|| i64::try_from(ticks / frames).ok())?
}

/// The standard frame duration that explains `elapsed` ticks for `frames` frames, if exactly one
/// does.
pub(super) fn explain(elapsed: i64, frames: i64) -> Option<i64> {
    let off = |frame: i64| (elapsed - frames * frame).abs();
    let frame = standard().min_by_key(|frame| off(*frame))?;
    (off(frame) <= 3 * TICKS_PER_MS).then_some(frame)
}

/// Watches a variable rate until it turns out to be constant.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    times: VecDeque<i64>,
    since_check: usize,
}

impl Gauge {
    /// Takes a stamp; the frame duration, once a window of them lies on one grid.
    pub(super) fn push(&mut self, time: i64) -> Option<i64> {
        self.times.push_back(time);
        if self.times.len() <= WINDOW {
            return None;
        }
        self.times.pop_front();
        self.since_check += 1;
        if self.since_check < WINDOW / 4 {
            return None;
        }
        self.since_check = 0;
        let fits = standard().filter_map(|frame| Some((self.misfit(frame)?, frame)));
        fits.min().map(|(_, frame)| frame)
    }

    /// The widest distance from the grid of `frame`, if all stamps lie near it and most steps are
    /// one frame.
    fn misfit(&self, frame: i64) -> Option<i64> {
        let first = *self.times.front()?;
        let (mut low, mut high, mut singles, mut last) = (0, 0, 0, 0);
        for time in self.times.iter().skip(1) {
            let elapsed = time - first;
            let index = (elapsed + frame / 2).div_euclid(frame);
            let off = elapsed - index * frame;
            low = off.min(low);
            high = off.max(high);
            singles += usize::from(index - last == 1);
            last = index;
        }
        (high - low <= 2 * FIT && singles * 2 > self.times.len()).then_some(high - low)
    }

    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.since_check = 0;
    }
}

fn standard() -> impl Iterator<Item = i64> {
    STANDARD.into_iter().filter_map(frame_ticks)
}

fn ticks_per_second() -> u64 {
    u64::from(VIDEO_TIMESCALE.rate())
}
