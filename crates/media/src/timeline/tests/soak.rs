//! Three days of clocks that wrap and drift apart.

use super::*;

/// Video at 24 fps and HE-AAC audio, their stamps `video_ppm` and `audio_ppm` off the true rate.
fn soak(hours: i64, video_ppm: i64, audio_ppm: i64) {
    let mut bench = Bench::new(Some((24, 1)));
    // Explicit SBR, 48 kHz: 2048 samples, 42.7 ms.
    let he: AudioConfig = aac::Config::parse(Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00]))
        .unwrap()
        .into();
    bench.timeline.set_audio(&he);
    let start_ms = (1_i64 << 32) - 3_600_000;
    let stamp = |units: i64, nanos: i64, ppm: i64| {
        units * nanos / 1_000 * (1_000_000 + ppm) / 1_000_000 / 1_000
    };
    let (mut frames, mut audio_units) = (0, 0);
    let mut at = [0.0, 0.0];
    let mut worst: f64 = 0.0;
    let end = hours * 3_600_000;
    loop {
        let video_ms = stamp(frames, 41_666_667, video_ppm);
        let audio_ms = stamp(audio_units, 42_666_667, audio_ppm);
        if video_ms.min(audio_ms) >= end {
            break;
        }
        if video_ms <= audio_ms {
            bench.timeline.push(
                video((start_ms + video_ms) & 0x7fff_ffff, 0),
                Duration::ZERO,
            );
            frames += 1;
        } else {
            bench
                .timeline
                .push(audio((start_ms + audio_ms) & 0x7fff_ffff), Duration::ZERO);
            audio_units += 1;
        }
        bench.drain();
        for unit in bench.units.drain(..) {
            // What the unit's stamp said, against where it lies.
            let index = unit.kind as usize;
            let (nanos, ppm) = [(41_666_667, video_ppm), (42_666_667, audio_ppm)][index];
            let truth = stamp(at[index] as i64, nanos, ppm) as f64 / 1000.0;
            worst = worst.max((seconds(unit.kind, unit.dts) - truth).abs());
            at[index] += 1.0;
        }
    }
    assert!(bench.breaks.is_empty(), "{:?}", bench.breaks);
    assert_eq!(bench.timeline.stats().audio.gaps, 0);
    // Each within 20 ms of the publisher's clock: within 40 ms of each other.
    assert!(worst < 0.020, "{worst} s off");
}

#[test]
fn three_days_with_wraps_and_200_ppm_between_the_clocks() {
    soak(72, 0, 200);
}

#[test]
fn drift_either_way_is_followed() {
    soak(4, -100, -300);
    soak(4, 150, -200);
}
