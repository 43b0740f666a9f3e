//! Frame rates: exact ticks from rounded, jittering, drifting and changing clocks.

use super::*;
use crate::timeline::frame_ticks;

const RATES: [(u32, u32); 10] = [
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (90, 1),
    (120, 1),
];

fn nth(k: i64, (frames, seconds): (u32, u32)) -> i64 {
    k * 1000 * i64::from(seconds) / i64::from(frames)
}

#[test]
fn declared_rates_are_exact_from_the_first_picture() {
    for rate in RATES {
        let mut bench = Bench::silent(Some(rate));
        for k in 0..2_000 {
            bench.push(video(nth(k, rate), 0));
        }
        let bench = bench.finish();
        let frame = frame_ticks(rate).unwrap();
        assert!(
            bench
                .steps(MediaKind::Video)
                .iter()
                .all(|step| *step == frame),
            "{rate:?}"
        );
    }
}

#[test]
fn undeclared_rates_are_recognised_and_then_exact() {
    for rate in RATES {
        let mut bench = Bench::silent(None);
        for k in 0..3_000 {
            bench.push(video(nth(k, rate), 0));
        }
        let frame = frame_ticks(rate).unwrap();
        assert_eq!(
            i64::from(bench.timeline.stats().video.frame_ticks),
            frame,
            "{rate:?}"
        );
        let bench = bench.finish();
        let steps = bench.steps(MediaKind::Video);
        assert!(steps[1_500..].iter().all(|step| *step == frame), "{rate:?}");
    }
}

#[test]
fn metadata_rates_mean_the_standard_ones() {
    assert_eq!(frame_ticks((2_997, 100)), Some(12_012));
    assert_eq!(frame_ticks((30, 1)), Some(12_000));
    assert_eq!(frame_ticks((23_976, 1000)), Some(15_015));
    assert_eq!(frame_ticks((5_994, 100)), Some(6_006));
    assert_eq!(frame_ticks((18, 1)), Some(20_000));
    assert_eq!(frame_ticks((17, 1)), None);
    assert_eq!(frame_ticks((0, 1)), None);
    assert_eq!(frame_ticks((1_000, 1)), None);
}

#[test]
fn a_wrongly_declared_rate_is_found_out() {
    for (declared, real) in [
        ((30, 1), (25, 1)),
        ((30, 1), (30_000, 1001)),
        ((60, 1), (30, 1)),
    ] {
        let mut bench = Bench::silent(Some(declared));
        for k in 0..3_000 {
            bench.push(video(nth(k, real), 0));
        }
        let bench = bench.finish();
        let end = *bench.times(MediaKind::Video).last().unwrap();
        assert!(
            (end - 360 * nth(2_999, real)).abs() < 8 * 360,
            "{declared:?} {real:?}"
        );
        let frame = frame_ticks(real).unwrap();
        let steps = bench.steps(MediaKind::Video);
        assert!(
            steps[2_000..].iter().all(|step| *step == frame),
            "{declared:?} {real:?}"
        );
    }
}

#[test]
fn dropped_frames_are_whole_frames_of_time() {
    let mut bench = Bench::silent(Some((30_000, 1001)));
    for k in (0..900).filter(|k| k % 7 != 3) {
        bench.push(video(nth(k, (30_000, 1001)), 0));
    }
    let bench = bench.finish();
    let steps = bench.steps(MediaKind::Video);
    assert!(steps.iter().all(|step| [12_012, 24_024].contains(step)));
    assert_eq!(bench.times(MediaKind::Video).last(), Some(&(898 * 12_012)));
}

#[test]
fn a_variable_rate_is_passed_on_in_milliseconds() {
    let mut bench = Bench::silent(None);
    let mut at = 0;
    let mut sent = Vec::new();
    for k in 0..500_i64 {
        bench.push(video(at, 0));
        sent.push(at * 360);
        at += 15 + (k * 7_919) % 61;
    }
    let bench = bench.finish();
    assert_eq!(bench.times(MediaKind::Video), sent);
}

#[test]
fn changes_between_constant_and_variable_only_go_forward() {
    let mut bench = Bench::silent(Some((30, 1)));
    let mut at = 0;
    for k in 0..2_000_i64 {
        bench.push(video(at, 0));
        at += match (k / 200) % 3 {
            0 => 33 + i64::from(k % 3 == 0),
            1 => 10 + (k * 7_919) % 71,
            _ => 40,
        };
    }
    let bench = bench.finish();
    let end = *bench.times(MediaKind::Video).last().unwrap();
    assert!((end - 360 * (at - 40)).abs() < 100 * 360, "{end} {at}");
}

#[test]
fn a_camera_clock_that_drifts_is_followed() {
    // 250 ppm slow: half a frame in 67 s.
    let mut bench = Bench::silent(Some((30, 1)));
    for k in 0..20_000 {
        bench.push(video(k * 100_025 / 3_000, 0));
    }
    let stats = bench.timeline.stats().video;
    assert_eq!(stats.gaps, 0);
    assert!(stats.slewed_ticks > 50_000);
    let bench = bench.finish();
    let end = *bench.times(MediaKind::Video).last().unwrap();
    assert!((end - 360 * (19_999 * 100_025 / 3_000)).abs() < 10 * 360);
}

#[test]
fn composition_offsets_survive_rounding() {
    let mut bench = Bench::silent(Some((30_000, 1001)));
    let order = [2, 4, 2, 0, 1];
    for k in 0..500_i64 {
        let (dts, pts) = (
            nth(k, (30_000, 1001)),
            nth(k + order[k as usize % 5], (30_000, 1001)),
        );
        bench.push(video(dts, (pts - dts) as i32));
    }
    let bench = bench.finish();
    for (k, unit) in bench.units.iter().enumerate() {
        assert_eq!(unit.pts - unit.dts, order[k % 5] * 12_012);
    }
}

#[test]
fn composition_offsets_of_a_variable_rate_are_exactly_those_sent() {
    let mut bench = Bench::silent(None);
    for (k, cts) in (0..40).zip([0, 91, 17, 3].into_iter().cycle()) {
        bench.push(video(k * k, cts));
    }
    let bench = bench.finish();
    let offsets = bench.units.iter().map(|u| (u.pts - u.dts) / 360);
    assert!(
        offsets
            .zip([0, 91, 17, 3].into_iter().cycle())
            .all(|(a, b)| a == b)
    );
}
