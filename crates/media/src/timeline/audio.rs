//! Decode times of audio: counted in samples, and led back to the publisher's clock where the count
//! drifts.
//!
//! AAC access units have a fixed number of samples, so the count is exact where millisecond stamps
//! are not. The stamps serve three ends: to notice lost units (filled with as many of silence), to
//! notice audio beyond its time (a unit dropped), and to follow a slow drift by one sample per
//! access unit.

use bytes::Bytes;

use super::TrackStats;
use crate::{AudioConfig, Timescale, VIDEO_TIMESCALE};

/// Stamps that must agree before a short gap or a surplus is believed: stamps taken at capture
/// jitter by a whole unit.
const AGREEING: usize = 3;
/// A jump ahead that the video's clock confirms is a gap at once.
const GAP_AT_ONCE_MS: i64 = 100;
/// Less than this behind the clock is drift, not a lost unit.
const GAP_MIN_MS: i64 = 12;
/// More audio than time by this much: a unit is dropped before the ear sees lips move.
const SURPLUS_MAX_MS: i64 = 30;
/// Drift up to this is left alone: rounding and usual jitter stay inside, and lip sync bears 40 ms.
const DEAD_BAND_MS: i64 = 10;
/// Slewing ends here.
const CENTRED_MS: i64 = 2;
/// The share of a new stamp in the smoothed distance: about a second.
const SMOOTHING: f64 = 1.0 / 32.0;

/// Stamps audio units.
#[derive(Debug)]
pub(super) struct Counter {
    scale: Timescale,
    frame: i64,
    silence: Bytes,
    next: Option<i64>,
    recent: [i64; AGREEING],
    recent_count: usize,
    distance: f64,
    slewing: bool,
}

impl Counter {
    /// A counter that goes on at `end`, if anything was emitted.
    pub(super) fn new(config: &AudioConfig, end: Option<i64>) -> Self {
        Self {
            scale: config.timescale(),
            frame: i64::from(config.frame_samples()),
            silence: config.silence(),
            next: end,
            recent: [0; AGREEING],
            recent_count: 0,
            distance: 0.0,
            slewing: false,
        }
    }

    /// A new publisher: the count begins wherever its first unit lies.
    pub(super) fn restart(&mut self) {
        self.next = None;
        self.settle(0.0);
    }

    /// The unit before was given its usual duration: the count goes on at its end.
    pub(super) fn follow(&mut self, end: i64) {
        self.next = Some(end);
    }

    pub(super) fn timescale(&self) -> Timescale {
        self.scale
    }

    /// An access unit of digital silence.
    pub(super) fn silence(&self) -> Bytes {
        self.silence.clone()
    }

    pub(super) fn usual_duration(&self) -> i64 {
        self.frame
    }

    /// The decode time of the unit sent at `sent` (shared ticks), or after its predecessor; `None`
    /// for a surplus one.
    pub(super) fn stamp(
        &mut self,
        sent: Option<i64>,
        floor: i64,
        sibling: Option<i64>,
        stats: &mut TrackStats,
    ) -> Option<i64> {
        let shared = sent;
        let sent = sent.map(|ticks| VIDEO_TIMESCALE.rescale(ticks, self.scale));
        let next = match self.next {
            Some(next) => next,
            None => sent.unwrap_or(floor).max(floor),
        };
        let mut dts = next;
        if let Some(sent) = sent {
            let distance = sent - next;
            let confirmed = shared
                .zip(sibling)
                .is_some_and(|(shared, sibling)| self.confirms(shared, next, sibling));
            if let Some(lost) = self.lost(distance, confirmed) {
                stats.gaps += 1;
                stats.gap_ticks += lost.unsigned_abs();
                self.settle((distance - lost) as f64);
                dts = next + lost;
            } else if self.is_surplus() {
                self.settle(0.0);
                return None;
            } else {
                dts = next + self.slew(distance, stats);
            }
        }
        let dts = dts.max(floor);
        self.next = Some(dts + self.frame);
        Some(dts)
    }

    /// The track comes back after filling up to `end`: a unit sent at `sent` goes as many whole
    /// units after that as fit best. `None` where that would be before it.
    pub(super) fn rejoin(&mut self, sent: i64, end: i64) -> Option<i64> {
        let distance = VIDEO_TIMESCALE.rescale(sent, self.scale) - end;
        let units = (distance + self.frame / 2).div_euclid(self.frame);
        if units < 0 {
            return None;
        }
        let dts = end + units * self.frame;
        self.settle((distance - units * self.frame) as f64);
        self.next = Some(dts + self.frame);
        Some(dts)
    }

    /// Whether the video's place speaks for the stamp rather than for the count.
    fn confirms(&self, sent: i64, next: i64, sibling: i64) -> bool {
        let counted = self.scale.rescale(next, VIDEO_TIMESCALE);
        (sent - sibling).abs() < (counted - sibling).abs()
    }

    /// Samples lost before this unit: whole units, as many as fit best.
    fn lost(&mut self, distance: i64, confirmed: bool) -> Option<i64> {
        self.recent.rotate_left(1);
        self.recent[AGREEING - 1] = distance;
        self.recent_count = (self.recent_count + 1).min(AGREEING);
        let least = if confirmed && distance > self.scale.from_millis(GAP_AT_ONCE_MS) {
            distance
        } else if self.recent_count == AGREEING {
            self.recent.iter().copied().min().unwrap_or(0)
        } else {
            0
        };
        let threshold = (self.frame * 3 / 5).max(self.scale.from_millis(GAP_MIN_MS));
        let units = (least + self.frame / 2).div_euclid(self.frame);
        (least > threshold && units > 0).then_some(units * self.frame)
    }

    fn is_surplus(&self) -> bool {
        let threshold = (self.frame * 3 / 4).max(self.scale.from_millis(SURPLUS_MAX_MS));
        self.recent_count == AGREEING && self.recent.iter().all(|distance| *distance < -threshold)
    }

    /// Samples to add to this unit's time.
    fn slew(&mut self, distance: i64, stats: &mut TrackStats) -> i64 {
        self.distance += (distance as f64 - self.distance) * SMOOTHING;
        let off_ms = self.scale.seconds(distance.abs()) * 1000.0;
        stats.jitter_ms += (off_ms - stats.jitter_ms) * SMOOTHING;
        let off = self.distance.abs();
        if off < self.scale.from_millis(CENTRED_MS) as f64 {
            self.slewing = false;
        } else if off > self.scale.from_millis(DEAD_BAND_MS) as f64 {
            self.slewing = true;
        }
        if !self.slewing {
            return 0;
        }
        let step = if self.distance < 0.0 { -1 } else { 1 };
        self.distance -= step as f64;
        stats.slewed_ticks += step;
        step
    }

    fn settle(&mut self, distance: f64) {
        self.distance = distance;
        self.slewing = false;
        self.recent_count = 0;
    }
}
