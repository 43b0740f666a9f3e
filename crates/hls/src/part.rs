//! Decides how long parts are: the PART-TARGET of a stream, and where each part ends.
//!
//! bis §4.4.4.9 allows durations of 85 to 100 % of PART-TARGET except for the last part of a
//! segment. With a constant frame rate a target of a whole number of frames makes every part
//! exactly 100 %. Players take the target as a constant (CoreMedia pauses for ever when it
//! changes), so it is chosen once per run.

use std::time::Duration;

use media::{AccessUnit, Timescale, VIDEO_TIMESCALE};

/// The most parts of one segment: `mfhd` sequence numbers keep ten bits for the part.
pub const PARTS_MAX: usize = 1 << 10;

/// The least a part may last, in percent of PART-TARGET, unless it is independent or the segment's
/// last.
const PART_PERCENT_MIN: i64 = 85;

/// PART-TARGET in [`VIDEO_TIMESCALE`] ticks from the configured one, given the frame durations of
/// the first segment.
///
/// Constant frame rate: a whole number of frames, such that parts of that size fill a segment of
/// `segment_target` without a stump at its end. Variable: the configured duration as it is.
pub fn target(
    part_target: Duration,
    segment_target: Duration,
    timescale: Timescale,
    durations: impl Iterator<Item = u32> + Clone,
) -> i64 {
    let configured = VIDEO_TIMESCALE.ticks(part_target).max(1);
    let Some(frame) = constant(durations) else {
        return configured;
    };
    let frame = i64::from(frame);
    let own = |duration| timescale.ticks(duration).max(1);
    let segment_frames = divide_round(own(segment_target), frame).max(1);
    let parts = divide_round(own(segment_target), own(part_target)).max(1);
    let even = segment_frames.div_euclid(parts) + i64::from(segment_frames % parts != 0);
    let nearest = divide_round(own(part_target), frame).max(1);
    // An even split may stray from what was asked when segments are few parts long; then the
    // nearest count wins.
    let frames = if even * 5 <= nearest * 6 && even * 6 >= nearest * 5 {
        even
    } else {
        nearest
    };
    to_video_ticks_up(frames * frame, timescale)
}

/// The one duration all access units share, if they do.
fn constant(mut durations: impl Iterator<Item = u32>) -> Option<u32> {
    let first = durations.next()?;
    durations.all(|duration| duration == first).then_some(first)
}

fn divide_round(value: i64, by: i64) -> i64 {
    (value + by / 2) / by
}

/// Rounded up, so that a duration always fits the target made from it.
fn to_video_ticks_up(ticks: i64, timescale: Timescale) -> i64 {
    let numerator = i128::from(ticks) * i128::from(VIDEO_TIMESCALE.rate());
    let rate = i128::from(timescale.rate());
    i64::try_from((numerator + rate - 1) / rate).unwrap_or(i64::MAX)
}

/// Whether `ticks` of `timescale` are no longer than the target.
pub(crate) fn fits(ticks: i64, timescale: Timescale, target: i64) -> bool {
    fits_times(ticks, timescale, target, 100)
}

/// Whether `ticks` of `timescale` are no longer than `percent` of the target.
fn fits_times(ticks: i64, timescale: Timescale, target: i64, percent: i64) -> bool {
    i128::from(ticks) * i128::from(VIDEO_TIMESCALE.rate()) * 100
        <= i128::from(target) * i128::from(timescale.rate()) * i128::from(percent)
}

/// How many of `pending`, from the front, make a finished part; `None` while the next unit may
/// still fit.
pub fn finished(pending: &[AccessUnit], timescale: Timescale, target: i64) -> Option<usize> {
    let fits = |ticks| fits(ticks, timescale, target);
    let mut total = 0;
    for (index, unit) in pending.iter().enumerate() {
        let duration = i64::from(unit.duration);
        if !fits(total + duration) {
            let part = pending.get(..index).unwrap_or(&[]);
            let may_be_short = index > 0 && part.iter().any(|unit| unit.is_sync());
            let long_enough = !fits_times(total, timescale, target, PART_PERCENT_MIN);
            // A frame that outlasts its turn joins the part before rather than leave it too short.
            return Some(if may_be_short || long_enough {
                index
            } else {
                index + 1
            });
        }
        total += duration;
    }
    let last = pending.last()?;
    // The next unit will most likely last as long as this one: publish now rather than one frame
    // later.
    let foreseen = !fits(total + i64::from(last.duration));
    let allowed = pending.iter().all(|unit| unit.is_sync())
        || !fits_times(total, timescale, target, PART_PERCENT_MIN);
    let full = (foreseen && allowed) || pending.len() >= cmaf::sample_count_max();
    full.then_some(pending.len())
}

/// The `mfhd` sequence number of a part: from its place alone, so that two origins write the same
/// bytes.
///
/// It grows along the playlist and wraps after four million segments; readers order by decode time.
pub fn sequence(msn: u64, part: usize) -> u32 {
    ((msn << 10) | (part as u64 & (PARTS_MAX as u64 - 1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(part_ms: u64, segment_ms: u64, frame: u32) -> i64 {
        target(
            Duration::from_millis(part_ms),
            Duration::from_millis(segment_ms),
            VIDEO_TIMESCALE,
            std::iter::repeat_n(frame, 60),
        )
    }

    #[test]
    fn target_is_whole_frames_without_a_stump() {
        assert_eq!(ticks(500, 2000, 12_000), 15 * 12_000);
        assert_eq!(ticks(500, 2000, 12_012), 15 * 12_012);
        assert_eq!(ticks(500, 2000, 15_015), 12 * 15_015);
        assert_eq!(ticks(500, 2000, 6_000), 30 * 6_000);
        // 50 frames in four parts: 13, 13, 13, 11.
        assert_eq!(ticks(500, 2000, 14_400), 13 * 14_400);
        assert_eq!(ticks(1000, 6000, 12_000), 30 * 12_000);
    }

    #[test]
    fn variable_rates_keep_the_configured_target() {
        let durations = [11_880u32, 12_240, 11_880];
        let target = target(
            Duration::from_millis(500),
            Duration::from_secs(2),
            VIDEO_TIMESCALE,
            durations.into_iter(),
        );
        assert_eq!(target, 180_000);
    }

    #[test]
    fn sequence_numbers_grow_along_a_playlist() {
        assert!(sequence(1_800_000, 3) < sequence(1_800_000, 4));
        assert!(sequence(1_800_000, 900) < sequence(1_800_001, 0));
    }
}
