//! Decode times of video: on an exact frame grid where the rate is constant, as sent where it
//! varies.
//!
//! Millisecond stamps of 30 fps read 0, 33, 67, 100; the truth is 12,000 ticks apart. While stamps
//! stay within a third of a frame of the grid they only choose how many frames to advance, so two
//! receivers that rounded differently get equal differences. The grid follows a slow drift by a
//! thousandth of a frame per frame, once it is out of a dead band that rounding cannot leave. Three
//! stamps off the grid end the mode (or move the grid, if they agree with its rate).

use super::{TICKS_PER_MS, TrackStats, rate};

/// The shortest distance between two decode times: what a millisecond clock can tell apart.
const STEP_MIN: i64 = TICKS_PER_MS;
/// The usual duration while nothing is known: 30 fps.
const UNKNOWN_FRAME: i64 = 12_000;
/// Durations beyond this are pauses, not a rhythm to expect of the next frame.
const USUAL_MAX: i64 = 1_000 * TICKS_PER_MS;
/// Doubt that ends the belief in a rate: a picture off the grid adds two, one on it takes one.
/// Three in a row suffice, as do two of five for long (25 fps declared as 30); one now and then is
/// a hiccup of the encoder.
const DOUBT_MAX: u32 = 6;
/// Pictures in a row off the grid but in its rhythm that move the grid instead.
const REGULAR_MIN: u32 = 2;
/// Drift up to this (or a fifth of a frame) is left alone: ms rounding and usual jitter stay
/// inside.
const DEAD_BAND: i64 = 6 * TICKS_PER_MS;
/// Slewing ends here.
const CENTRED: i64 = TICKS_PER_MS;
/// The share of a new stamp in the smoothed distance: a second at 30 fps.
const SMOOTHING: f64 = 1.0 / 32.0;
/// `cts` is the difference of two rounded times: up to 2 ms from the grid, and half a millisecond
/// of goodwill.
const COMPOSITION_FIT: i64 = 5 * TICKS_PER_MS / 2;

/// Stamps video units.
#[derive(Debug)]
pub(super) struct Grid {
    frame: Option<i64>,
    declared: Option<i64>,
    last: Option<i64>,
    usual: i64,
    gauge: rate::Gauge,
    previous_sent: i64,
    doubt: u32,
    regular: u32,
    distance: f64,
    slewing: bool,
    measured_from: i64,
    measured_frames: i64,
}

impl Grid {
    pub(super) fn new(declared: Option<i64>) -> Self {
        Self {
            frame: declared,
            declared,
            last: None,
            usual: declared.unwrap_or(UNKNOWN_FRAME),
            gauge: rate::Gauge::default(),
            previous_sent: 0,
            doubt: 0,
            regular: 0,
            distance: 0.0,
            slewing: false,
            measured_from: 0,
            measured_frames: 0,
        }
    }

    /// The encoder says which rate it has; it is believed until the stamps contradict.
    pub(super) fn declare(&mut self, frame: Option<i64>) {
        if frame != self.declared {
            self.declared = frame;
            if let (Some(frame), Some(sent)) = (frame, self.last) {
                self.begin(frame, sent);
            } else if frame.is_some() {
                self.frame = frame;
            }
            self.usual = frame.unwrap_or(self.usual);
        }
    }

    /// A new publisher: the rate is believed again, the grid begins anew.
    pub(super) fn restart(&mut self) {
        *self = Self {
            usual: self.usual,
            ..Self::new(self.declared)
        };
    }

    pub(super) fn frame(&self) -> Option<i64> {
        self.frame
    }

    pub(super) fn usual_duration(&self) -> i64 {
        self.frame.unwrap_or(self.usual)
    }

    /// The decode time of the picture sent at `sent`, or after its predecessor; never below
    /// `floor`.
    pub(super) fn stamp(&mut self, sent: Option<i64>, floor: i64, stats: &mut TrackStats) -> i64 {
        let Some(last) = self.last else {
            let dts = sent.unwrap_or(floor).max(floor);
            self.previous_sent = dts;
            self.measured_from = dts;
            self.last = Some(dts);
            return dts;
        };
        let dts = match (sent, self.frame) {
            (None, _) => last + self.usual_duration(),
            (Some(sent), Some(frame)) => self.on_grid(sent, last, frame, stats),
            (Some(sent), None) => self.as_sent(sent, last, stats),
        };
        let dts = dts.max(floor).max(last + STEP_MIN);
        self.measured_frames += i64::from(sent.is_none());
        self.previous_sent = sent.unwrap_or(dts);
        if self.frame.is_none() && dts - last <= USUAL_MAX {
            self.usual = dts - last;
        }
        self.last = Some(dts);
        dts
    }

    /// Ticks from decode to presentation: on the grid where the rate is constant and the offset
    /// lies near it.
    pub(super) fn composition(&self, sent: i64) -> i64 {
        let Some(frame) = self.frame else {
            return sent;
        };
        let snapped = (sent + frame / 2).div_euclid(frame) * frame;
        if (snapped - sent).abs() <= COMPOSITION_FIT {
            snapped
        } else {
            sent
        }
    }

    fn on_grid(&mut self, sent: i64, last: i64, frame: i64, stats: &mut TrackStats) -> i64 {
        let steps = (sent - last + frame / 2).div_euclid(frame).max(1);
        let grid = last + steps * frame;
        let distance = sent - grid;
        if distance.abs() * 3 > frame {
            return self.off_grid(sent, last, frame, grid);
        }
        self.doubt = self.doubt.saturating_sub(1);
        self.regular = 0;
        self.measured_frames += steps;
        if steps > 1 {
            stats.gaps += 1;
            stats.gap_ticks += ((steps - 1) * frame).unsigned_abs();
        }
        self.distance += (distance as f64 - self.distance) * SMOOTHING;
        let off_ms = distance.abs() as f64 / TICKS_PER_MS as f64;
        stats.jitter_ms += (off_ms - stats.jitter_ms) * SMOOTHING;
        grid + self.slew(sent, frame, stats)
    }

    /// How far to move the grid with this frame.
    fn slew(&mut self, sent: i64, frame: i64, stats: &mut TrackStats) -> i64 {
        let off = self.distance.abs();
        if self.slewing && off < CENTRED as f64 {
            self.slewing = false;
        } else if !self.slewing && off > DEAD_BAND.min(frame / 5) as f64 {
            let elapsed = sent - self.measured_from;
            match rate::explain(elapsed, self.measured_frames) {
                // 30 was declared, 29.97 is sent.
                Some(other) if other != frame => {
                    self.begin(other, sent);
                    return 0;
                }
                _ => self.slewing = true,
            }
        }
        if !self.slewing {
            return 0;
        }
        let step = (frame / 1024).max(1) * if self.distance < 0.0 { -1 } else { 1 };
        // The smoothed distance is known to shrink by as much; waiting for the stamps to show it
        // would overshoot.
        self.distance -= step as f64;
        stats.slewed_ticks += step;
        step
    }

    fn off_grid(&mut self, sent: i64, last: i64, frame: i64, grid: i64) -> i64 {
        let step = sent - self.previous_sent;
        let whole = (step + frame / 2).div_euclid(frame) * frame;
        let regular = (step - whole).abs() <= 2 * TICKS_PER_MS && whole > 0;
        self.doubt += 2;
        self.regular = if regular { self.regular + 1 } else { 0 };
        if self.doubt < DOUBT_MAX {
            return grid;
        }
        let dts = sent.max(last + STEP_MIN);
        if self.regular >= REGULAR_MIN {
            self.begin(frame, sent);
        } else {
            self.frame = None;
            self.usual = frame;
            self.doubt = 0;
            self.gauge.clear();
        }
        dts
    }

    fn as_sent(&mut self, sent: i64, last: i64, stats: &mut TrackStats) -> i64 {
        if let Some(frame) = self.gauge.push(sent) {
            self.begin(frame, sent);
            return self.on_grid(sent, last, frame, stats);
        }
        sent
    }

    /// Believes in a rate from here on.
    fn begin(&mut self, frame: i64, sent: i64) {
        self.frame = Some(frame);
        self.usual = frame;
        self.gauge.clear();
        self.doubt = 0;
        self.regular = 0;
        self.distance = 0.0;
        self.slewing = false;
        self.measured_from = sent;
        self.measured_frames = 0;
    }
}
