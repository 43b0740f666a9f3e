//! A publisher in a struct: it stamps video and audio with whatever clock a test wants.

mod fill;
mod jumps;
mod properties;
mod rates;
mod soak;
mod start;

use std::time::Duration;

use bytes::Bytes;

use super::{Event, Reason, Timeline};
use crate::{
    AccessUnit, AudioConfig, IngestUnit, MILLISECONDS, MediaKind, RandomAccess, VIDEO_TIMESCALE,
    VideoConfig, aac, avc,
};

/// Constrained Baseline, level 3.1, 320 pixels high and `16 * (80 + step)` wide, without a word
/// about its rate.
fn avc_config(step: u8) -> VideoConfig {
    let width_mbs = 79 + u32::from(step);
    // sps id, log2_max_frame_num-4, poc type 2, one reference; then no gaps, width and height in
    // macroblocks - 1, frames only, 8x8 inference, no cropping, no VUI, stop bit.
    let mut bits = String::new();
    for value in [0, 0, 2, 1] {
        bits += &exp_golomb(value);
    }
    bits += "0";
    bits += &exp_golomb(width_mbs);
    bits += &exp_golomb(19);
    bits += "110";
    bits += "01";
    let mut sps = vec![0x67, 0x42, 0xc0, 0x1f];
    sps.extend(bits.as_bytes().chunks(8).map(|byte| {
        (0..8).fold(0, |value, i| {
            (value << 1) | u8::from(byte.get(i) == Some(&b'1'))
        })
    }));
    let pps = [0x68, 0xce, 0x3c, 0x80];
    let mut record = vec![1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend(sps);
    record.extend([1, 0, pps.len() as u8]);
    record.extend(pps);
    avc::Config::parse(Bytes::from(record)).unwrap().into()
}

fn exp_golomb(value: u32) -> String {
    let code = format!("{:b}", value + 1);
    "0".repeat(code.len() - 1) + &code
}

fn aac_config() -> AudioConfig {
    aac::Config::lc(48_000, 2).unwrap().into()
}

fn video(timestamp_ms: i64, composition: i32) -> IngestUnit {
    IngestUnit {
        kind: MediaKind::Video,
        timescale: MILLISECONDS,
        dts: timestamp_ms,
        composition,
        random_access: RandomAccess::No,
        payload: Bytes::from_static(b"picture"),
    }
}

fn audio(timestamp_ms: i64) -> IngestUnit {
    IngestUnit {
        kind: MediaKind::Audio,
        composition: 0,
        random_access: RandomAccess::Idr,
        payload: Bytes::from_static(b"audio"),
        ..video(timestamp_ms, 0)
    }
}

/// A timeline with 30 fps declared and AAC at 48 kHz, fed by a clock and checked at every step.
struct Bench {
    timeline: Timeline,
    now: Duration,
    checks: [Check; 2],
    units: Vec<AccessUnit>,
    breaks: Vec<Reason>,
    /// Tracks that came back, and for how many milliseconds they were filled.
    fills: Vec<(MediaKind, u128)>,
}

/// What every track promises.
#[derive(Clone, Copy, Default)]
struct Check {
    last: Option<(i64, i64)>,
    broken: bool,
}

impl Bench {
    fn new(rate: Option<(u32, u32)>) -> Self {
        let mut bench = Self {
            timeline: Timeline::new(),
            now: Duration::ZERO,
            checks: [Check::default(); 2],
            units: Vec::new(),
            breaks: Vec::new(),
            fills: Vec::new(),
        };
        bench.announce(rate);
        bench
    }

    fn announce(&mut self, rate: Option<(u32, u32)>) {
        self.timeline.set_video(&avc_config(0), rate);
        self.timeline.set_audio(&aac_config());
    }

    fn silent(rate: Option<(u32, u32)>) -> Self {
        let mut bench = Self::new(None);
        bench.timeline = Timeline::new();
        bench.timeline.set_video(&avc_config(0), rate);
        bench
    }

    fn push(&mut self, input: IngestUnit) {
        self.timeline.push(input, self.now);
        self.drain();
    }

    /// Pushes video and audio, both starting at `from`, in the order of their times.
    fn av(&mut self, from_ms: i64, millis: i64) {
        let (mut frames, mut audio_units) = (0, 0);
        loop {
            let (video_ms, audio_ms) = (frames * 100 / 3, audio_units * 64 / 3);
            if video_ms.min(audio_ms) >= millis {
                return;
            }
            if audio_ms <= video_ms {
                self.now += Duration::from_micros(21_333);
                self.push(audio(from_ms + audio_ms));
                audio_units += 1;
            } else {
                self.push(video(from_ms + video_ms, 0));
                frames += 1;
            }
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.timeline.next() {
            match event {
                Event::Discontinuity { reason } => {
                    self.breaks.push(reason);
                    self.checks.iter_mut().for_each(|check| check.broken = true);
                }
                Event::Stopped { .. } => {}
                Event::Returned { kind, filled } => self.fills.push((kind, filled.as_millis())),
                Event::AccessUnit(unit) => {
                    self.checks[unit.kind as usize].take(&unit);
                    self.units.push(unit);
                }
            }
        }
    }

    fn finish(mut self) -> Self {
        self.timeline.flush();
        self.drain();
        self
    }

    fn times(&self, kind: MediaKind) -> Vec<i64> {
        let units = self.units.iter().filter(|unit| unit.kind == kind);
        units.map(|unit| unit.dts).collect()
    }

    fn steps(&self, kind: MediaKind) -> Vec<i64> {
        let times = self.times(kind);
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Check {
    fn take(&mut self, unit: &AccessUnit) {
        assert!(
            unit.duration > 0 && unit.dts >= 0 && unit.pts >= 0,
            "{unit:?}"
        );
        if let Some((dts, end)) = self.last {
            assert!(unit.dts > dts, "{unit:?} after {dts}");
            assert!(unit.dts >= end, "{unit:?} overlaps, end {end}");
            assert!(
                self.broken || unit.dts == end,
                "{unit:?} leaves a hole after {end}"
            );
        }
        self.broken = false;
        self.last = Some((unit.dts, unit.dts + i64::from(unit.duration)));
    }
}

fn seconds(kind: MediaKind, ticks: i64) -> f64 {
    match kind {
        MediaKind::Video => VIDEO_TIMESCALE.seconds(ticks),
        MediaKind::Audio => ticks as f64 / 48_000.0,
    }
}
