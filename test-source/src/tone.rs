//! Makes the audio: a soft tone that lets gaps be heard, and a beep with each flash.

use std::f32::consts::TAU;

use crate::console::FLASH;

/// The beep, in Hz.
const BEEP_HZ: u64 = 1_000;
/// The tones below it, left and right, so that swapped channels are heard.
const SOFT_HZ: [u64; 2] = [220, 330];
/// -14 dB below full scale.
const BEEP_LEVEL: f32 = 0.2;
/// -38 dB.
const SOFT_LEVEL: f32 = 0.0125;
/// The beep swells and fades within this, so that it does not click.
const RAMP_SECONDS: f32 = 0.004;

/// Generates samples in order.
#[derive(Clone, Debug)]
pub struct Tone {
    sample_rate: u64,
    /// Unix nanoseconds of sample 0, within its second.
    start_nanos: u64,
    next: u64,
}

impl Tone {
    /// Sound whose first sample is heard at this Unix time.
    pub fn new(sample_rate: u32, start: std::time::Duration) -> Self {
        Self {
            sample_rate: u64::from(sample_rate),
            start_nanos: u64::from(start.subsec_nanos()),
            next: 0,
        }
    }

    /// Samples given out so far.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// The next samples, left and right, up to sample number `end`.
    pub fn until(&mut self, end: u64) -> [Vec<f32>; 2] {
        let range = self.next..end.max(self.next);
        self.next = range.end;
        [0, 1].map(|side| {
            range
                .clone()
                .map(|n| self.sample(n, SOFT_HZ[side]))
                .collect()
        })
    }

    fn sample(&self, number: u64, soft_hz: u64) -> f32 {
        // Phases are counted in whole samples of one second, so that they stay exact for days.
        let in_second = number % self.sample_rate;
        let wave = |hz: u64| {
            let turn = (in_second * hz % self.sample_rate) as f32 / self.sample_rate as f32;
            (turn * TAU).sin()
        };
        let nanos = in_second * 1_000_000_000 / self.sample_rate + self.start_nanos;
        let second = (nanos % 1_000_000_000) as f32 / 1e9;
        let left = FLASH.as_secs_f32() - second;
        let beep = (second / RAMP_SECONDS)
            .min(left / RAMP_SECONDS)
            .clamp(0.0, 1.0);
        wave(soft_hz) * SOFT_LEVEL + wave(BEEP_HZ) * BEEP_LEVEL * beep
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_beep_begins_at_the_full_second() {
        let mut tone = Tone::new(48_000, Duration::from_millis(1_700_000_000_250));
        let [left, right] = tone.until(48_000);
        let loud =
            |from: usize, to: usize| left[from..to].iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(loud(0, 35_900) < 0.02);
        assert!(loud(36_300, 40_000) > 0.15);
        assert!(loud(41_000, 48_000) < 0.02);
        assert_ne!(left, right);
        assert_eq!(tone.until(48_000)[0].len(), 0);
    }
}
