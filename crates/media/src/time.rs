//! Media time: `i64` ticks counted in a [`Timescale`].

use std::{fmt, num::NonZeroU32, time::Duration};

/// The timescale of every video track here, in ticks per second.
///
/// 360 kHz holds one frame of every rate in use as a whole number of ticks (23.976 fps = 15015,
/// 29.97 = 12012, 59.94 = 6006, 25 = 14400, 50 = 7200, 60 = 6000), and a millisecond of RTMP time
/// too (360). 90 kHz cannot hold 23.976 fps exactly, and two origins that must agree to the byte
/// cannot afford to round.
pub const VIDEO_TIMESCALE: Timescale = match NonZeroU32::new(360_000) {
    Some(rate) => Timescale(rate),
    None => unreachable!(),
};

/// The clock of RTMP and FLV.
pub const MILLISECONDS: Timescale = match NonZeroU32::new(1000) {
    Some(rate) => Timescale(rate),
    None => unreachable!(),
};

/// Ticks per second of a track's media time (ISO/IEC 14496-12, `mdhd.timescale`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// A timescale of `rate` ticks per second; `None` for 0.
    pub const fn new(rate: u32) -> Option<Self> {
        match NonZeroU32::new(rate) {
            Some(rate) => Some(Self(rate)),
            None => None,
        }
    }

    /// Ticks per second.
    pub const fn rate(self) -> u32 {
        self.0.get()
    }

    /// `ticks` of this timescale counted in `to`, rounded to the nearest (halves away from zero).
    pub fn rescale(self, ticks: i64, to: Timescale) -> i64 {
        if self == to {
            return ticks;
        }
        let numerator = i128::from(ticks) * i128::from(to.rate());
        let denominator = i128::from(self.rate());
        let half = denominator / 2 * numerator.signum();
        saturate((numerator + half) / denominator)
    }

    /// Whole milliseconds in ticks.
    pub fn from_millis(self, millis: i64) -> i64 {
        saturate(i128::from(millis) * i128::from(self.rate()) / 1000)
    }

    /// A duration in ticks, rounded to the nearest.
    pub fn ticks(self, duration: Duration) -> i64 {
        let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX >> 40);
        saturate((nanos * i128::from(self.rate()) + 500_000_000) / 1_000_000_000)
    }

    /// `ticks` in seconds, for people and playlists.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 / f64::from(self.rate())
    }

    /// `ticks` as a duration; negative ticks become zero.
    pub fn duration(self, ticks: i64) -> Duration {
        let nanos = i128::from(ticks.max(0)) * 1_000_000_000 / i128::from(self.rate());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Timescale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_durations_are_whole_ticks() {
        for (frames, seconds) in [
            (24_000, 1001),
            (30_000, 1001),
            (60_000, 1001),
            (25, 1),
            (50, 1),
            (60, 1),
        ] {
            assert_eq!(360_000 * seconds % frames, 0, "{frames}/{seconds}");
        }
    }

    #[test]
    fn rescale_rounds_to_nearest_both_sides_of_zero() {
        let audio = Timescale::new(44_100).unwrap();
        assert_eq!(audio.rescale(44_100, VIDEO_TIMESCALE), 360_000);
        assert_eq!(audio.rescale(1, VIDEO_TIMESCALE), 8);
        assert_eq!(audio.rescale(-1, VIDEO_TIMESCALE), -8);
        assert_eq!(
            VIDEO_TIMESCALE.rescale(i64::MAX, audio),
            1_129_863_074_514_710_036
        );
    }
}
