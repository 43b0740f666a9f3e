//! Measures BANDWIDTH and AVERAGE-BANDWIDTH of one rendition from the segments it made.
//!
//! bis §4.4.6.2: BANDWIDTH is the largest bit rate of any run of contiguous segments that lasts 0.5
//! to 1.5 target durations, container included. Nobody can measure the future of a live stream, so
//! the published value holds [`HEADROOM_PERCENT`] above the peak seen and only ever rises: whenever
//! a playlist is fetched, no segment made until then exceeds it, and it is never far above what was
//! really sent. Players that loaded an earlier value keep it.

use std::collections::VecDeque;

use media::VIDEO_TIMESCALE;

/// What is added to a measured peak before it is published: enough that ordinary fluctuation does
/// not change the playlist, below the 25 % by which Apple's rules let a live peak stray.
pub const HEADROOM_PERCENT: u64 = 15;

/// What is added to the measured average (the rules allow a live average up to 110 % of it).
const AVERAGE_HEADROOM_PERCENT: u64 = 5;

/// Published values are whole multiples of this, in bits per second.
const STEP: u64 = 1_000;

/// Segments remembered before the target duration is known, or within 1.5 of it: ten seconds of 200
/// ms segments.
const RECENT_MAX: usize = 64;

/// Measures one rendition.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    recent: VecDeque<(u64, i64)>,
    target_ticks: Option<i64>,
    peak: u64,
    published: u64,
    bytes: u64,
    ticks: i64,
}

impl Meter {
    /// A meter that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A segment of `bytes` that lasted `ticks` of [`VIDEO_TIMESCALE`].
    pub fn push(&mut self, bytes: u64, ticks: i64) {
        if ticks <= 0 {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.ticks = self.ticks.saturating_add(ticks);
        self.recent.push_back((bytes, ticks));
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        self.measure_newest(self.recent.len());
        self.publish();
    }

    /// The next segment does not follow the last: runs end here.
    pub fn gap(&mut self) {
        self.recent.clear();
    }

    /// The target duration is known: measures what was seen so far.
    pub fn fix(&mut self, target_seconds: u64) {
        let seconds = i64::try_from(target_seconds).unwrap_or(i64::MAX / 1_000_000);
        self.target_ticks = Some(seconds.saturating_mul(i64::from(VIDEO_TIMESCALE.rate())));
        for end in 1..=self.recent.len() {
            self.measure_newest(end);
        }
        self.publish();
    }

    /// The highest bit rate of a run so far, in bits per second; 0 before a run was long enough.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// BANDWIDTH, once something was measured.
    pub fn bandwidth(&self) -> Option<u64> {
        (self.published > 0).then_some(self.published)
    }

    /// AVERAGE-BANDWIDTH, once something was measured; never above BANDWIDTH.
    pub fn average(&self) -> Option<u64> {
        let average = bits_per_second(self.bytes, self.ticks);
        (self.published > 0)
            .then(|| round_up(average, AVERAGE_HEADROOM_PERCENT).min(self.published))
    }

    /// Measures every run that ends with the `end`-th remembered segment.
    fn measure_newest(&mut self, end: usize) {
        let Some(target) = self.target_ticks else {
            return;
        };
        let (mut bytes, mut ticks) = (0u64, 0i64);
        for (size, duration) in self.recent.iter().take(end).rev() {
            bytes += size;
            ticks += duration;
            if ticks * 2 > target * 3 {
                break;
            }
            if ticks * 2 >= target {
                self.peak = self.peak.max(bits_per_second(bytes, ticks));
            }
        }
    }

    fn publish(&mut self) {
        if self.peak > self.published {
            self.published = round_up(self.peak, HEADROOM_PERCENT);
        }
    }
}

fn bits_per_second(bytes: u64, ticks: i64) -> u64 {
    let bits = u128::from(bytes) * 8 * u128::from(VIDEO_TIMESCALE.rate());
    let ticks = u128::try_from(ticks.max(1)).unwrap_or(1);
    u64::try_from(bits.div_ceil(ticks)).unwrap_or(u64::MAX)
}

fn round_up(value: u64, percent: u64) -> u64 {
    let raised = value.saturating_mul(100 + percent).div_ceil(100);
    raised.div_ceil(STEP).saturating_mul(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 360_000;

    #[test]
    fn the_peak_is_taken_over_runs_of_half_to_one_and_a_half_targets() {
        let mut meter = Meter::new();
        meter.push(1_000_000, 2 * SECOND);
        assert_eq!(meter.bandwidth(), None);
        meter.fix(2);
        assert_eq!(meter.peak(), 4_000_000);
        // Too short to count alone; with the one before it a little above, within the headroom
        // published.
        meter.push(300_000, SECOND / 2);
        assert_eq!(
            meter.peak(),
            bits_per_second(1_300_000, 2 * SECOND + SECOND / 2)
        );
        assert_eq!(meter.bandwidth(), Some(4_600_000));
    }

    #[test]
    fn the_published_value_rises_only_and_never_lies_below_the_peak() {
        let mut meter = Meter::new();
        meter.fix(2);
        let mut before = 0;
        for size in [100_000, 400_000, 420_000, 90_000, 500_000] {
            meter.push(size, 2 * SECOND);
            let published = meter.bandwidth().unwrap();
            assert!(published >= before && published >= meter.peak());
            assert!(published <= meter.peak() * 116 / 100 + STEP);
            assert!(meter.average().unwrap() <= published);
            before = published;
        }
    }

    #[test]
    fn runs_do_not_reach_across_a_gap() {
        let mut meter = Meter::new();
        meter.fix(4);
        meter.push(500_000, SECOND);
        meter.gap();
        meter.push(500_000, SECOND);
        assert_eq!(meter.peak(), 0);
    }
}
