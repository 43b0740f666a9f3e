//! Measures what a publisher sends: bitrate, frame rate, GOP length, jitter.
//!
//! It counts in whole seconds over a short window, so that the figures move calmly and cost nothing
//! to keep. It judges nothing: alarms are drawn from these figures elsewhere.

use std::{collections::VecDeque, time::Duration};

use media::{IngestUnit, MILLISECONDS, MediaKind};

use crate::api::Figures;

/// Seconds the rates are averaged over: long enough for two keyframes of a 2 s GOP, short enough to
/// show a change.
const WINDOW_SECONDS: usize = 5;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    index: u64,
    bytes: u64,
    video: u64,
    audio: u64,
}

/// Rolling counters of one publisher.
#[derive(Debug, Default)]
pub struct Health {
    seconds: VecDeque<Second>,
    last_video: Option<(Duration, u32)>,
    last_keyframe_ms: Option<u32>,
    figures: Figures,
}

impl Health {
    /// Counts one access unit arriving at `now`.
    pub fn record(&mut self, unit: &IngestUnit, now: Duration) {
        let bytes = unit.payload.len() as u64;
        self.figures.access_units += 1;
        self.figures.bytes += bytes;
        let index = now.as_secs();
        if self
            .seconds
            .back()
            .is_none_or(|second| second.index != index)
        {
            self.seconds.push_back(Second {
                index,
                ..Second::default()
            });
        }
        while self.seconds.len() > WINDOW_SECONDS + 1 {
            self.seconds.pop_front();
        }
        if let Some(second) = self.seconds.back_mut() {
            second.bytes += bytes;
            match unit.kind {
                MediaKind::Video => second.video += 1,
                MediaKind::Audio => second.audio += 1,
            }
        }
        if unit.kind == MediaKind::Video {
            self.record_video(unit, now);
        }
    }

    fn record_video(&mut self, unit: &IngestUnit, now: Duration) {
        if let Some((then, timestamp_ms)) = self.last_video {
            let arrived_ms = now.saturating_sub(then).as_secs_f64() * 1000.0;
            let stamped_ms = f64::from(milliseconds(unit).wrapping_sub(timestamp_ms) as i32);
            // RFC 3550 §6.4.1: a running mean with a gain of 1/16 is steady and needs no history.
            let difference = (arrived_ms - stamped_ms).abs().min(10_000.0);
            self.figures.jitter_ms += (difference - self.figures.jitter_ms) / 16.0;
        }
        self.last_video = Some((now, milliseconds(unit)));
        if unit.is_sync() {
            if let Some(last) = self.last_keyframe_ms {
                let gop = f64::from(milliseconds(unit).wrapping_sub(last) as i32) / 1000.0;
                // A clock that jumped says nothing about the GOP.
                if (0.0..120.0).contains(&gop) {
                    self.figures.gop_seconds = gop;
                    self.figures.gop_seconds_max = self.figures.gop_seconds_max.max(gop);
                }
            }
            self.last_keyframe_ms = Some(milliseconds(unit));
        }
    }

    /// The figures at `now`; a publisher that went silent shows falling rates.
    pub fn figures(&self, now: Duration) -> Figures {
        let newest = now.as_secs();
        let oldest = newest.saturating_sub(WINDOW_SECONDS as u64);
        // The running second is incomplete and left out, unless it is all there is.
        let whole = |second: &&Second| second.index >= oldest && second.index < newest;
        let counted: Vec<&Second> = self.seconds.iter().filter(whole).collect();
        let Some(first) = counted.first() else {
            return self.figures.clone();
        };
        let span = (newest - first.index) as f64;
        let total =
            |pick: fn(&Second) -> u64| counted.iter().map(|s| pick(s)).sum::<u64>() as f64 / span;
        Figures {
            bitrate_bps: (total(|s| s.bytes) * 8.0) as u64,
            frame_rate: total(|s| s.video),
            audio_rate: total(|s| s.audio),
            ..self.figures.clone()
        }
    }
}

/// A unit's time in milliseconds, modulo 2^32.
fn milliseconds(unit: &IngestUnit) -> u32 {
    unit.timescale.rescale(unit.dts, MILLISECONDS) as u32
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::RandomAccess;

    use super::*;

    fn unit(timestamp_ms: u32, is_sync: bool) -> IngestUnit {
        let payload = Bytes::from_static(&[0; 1000]);
        IngestUnit {
            kind: MediaKind::Video,
            timescale: MILLISECONDS,
            dts: timestamp_ms.into(),
            composition: 0,
            random_access: RandomAccess::idr_if(is_sync),
            payload,
        }
    }

    #[test]
    fn a_steady_publisher_shows_its_rate_and_gop() {
        let mut health = Health::default();
        for frame in 0..200u32 {
            let at = frame * 40;
            health.record(&unit(at, frame % 50 == 0), Duration::from_millis(at.into()));
        }
        let figures = health.figures(Duration::from_secs(8));
        assert_eq!((figures.frame_rate, figures.bitrate_bps), (25.0, 200_000));
        assert_eq!((figures.gop_seconds, figures.access_units), (2.0, 200));
        assert!(figures.jitter_ms < 0.01);
    }

    #[test]
    fn a_silent_publisher_falls_to_zero_and_a_jumped_clock_is_no_gop() {
        let mut health = Health::default();
        health.record(&unit(0, true), Duration::ZERO);
        health.record(&unit(3_600_000, true), Duration::from_millis(40));
        let figures = health.figures(Duration::from_secs(60));
        assert_eq!((figures.gop_seconds, figures.frame_rate), (0.0, 0.0));
    }
}
