//! Whole broadcasts on simulated time.

use std::time::Duration;

use bytes::Bytes;
use hls::check::Rule;
use media::{MediaKind, aac, timeline::Reason};
use proptest::prelude::*;
use testkit::{
    Broadcast, Publisher, Report, Shape,
    faults::{Act, schedules},
};

const HOUR_MS: i64 = 3_600_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Plays acts to one viewer who looks every second.
fn play(shape: Shape, acts: &[Act]) -> (Broadcast, Report) {
    let mut broadcast = Broadcast::new(Publisher::new(shape, Duration::ZERO)).unwrap();
    broadcast.watch(seconds(1));
    // Where units are missing, one lasts on for longer than a part may claim.
    if acts.iter().any(|act| !matches!(act, Act::Run(_))) {
        broadcast.viewers[0].0.tolerate(&[Rule::PartSumShort]);
    }
    for act in acts {
        broadcast.act(act).unwrap();
    }
    broadcast.end().unwrap();
    let report = broadcast.viewers[0].0.report().clone();
    (broadcast, report)
}

/// A while that does not end with a segment.
fn run(time: u64) -> Act {
    Act::Run(Duration::from_millis(time * 1000 + 700))
}

/// Nothing is wrong for the viewer.
fn assert_well(report: &Report) {
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.gaps, 0, "{:?}", report.gap_places);
    assert!(report.lip_sync_ms < 40.0, "{} ms", report.lip_sync_ms);
}

#[test]
fn a_steady_broadcast_is_flawless() {
    for (frame_rate, b_pictures) in [((30, 1), false), ((30_000, 1001), true), ((60, 1), true)] {
        let shape = Shape {
            frame_rate,
            declared_rate: Some(frame_rate),
            b_pictures,
            ..Shape::default()
        };
        let (broadcast, report) = play(shape, &[run(120)]);
        assert_well(&report);
        assert_eq!(report.discontinuities, 0);
        assert!(
            report.lip_sync_ms < 3.0 && report.wait < seconds(6),
            "{report:?}"
        );
        assert!(report.media_seconds > 119.0);
        let frame = media::timeline::frame_ticks(frame_rate).unwrap();
        assert!(broadcast.core.opened.iter().all(|dts| dts % frame == 0));
    }
}

#[test]
fn three_days_with_wraps_and_drift_are_flawless() {
    // Explicit SBR, 48 kHz: 2048 samples. 200 ppm between the clocks; the 31-bit wrap after an
    // hour.
    let audio = aac::Config::parse(Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00])).unwrap();
    let shape = Shape {
        frame_rate: (10, 1),
        declared_rate: Some((10, 1)),
        gop: 20,
        audio: Some(audio),
        audio_ppm: 200,
        first_ms: (1 << 31) - HOUR_MS,
        ..Shape::default()
    };
    let mut broadcast = Broadcast::new(Publisher::new(shape, Duration::ZERO)).unwrap();
    broadcast.watch(seconds(40));
    broadcast.drive_for(seconds(72 * 3600 + 1)).unwrap();
    broadcast.end().unwrap();
    let report = broadcast.viewers[0].0.report();
    assert_well(report);
    assert_eq!(report.discontinuities, 0);
    assert!(report.media_seconds > 72.0 * 3600.0 - 10.0);
}

#[test]
fn jumps_of_an_hour_either_way_are_one_discontinuity_each() {
    let acts = [
        run(20),
        Act::Jump(HOUR_MS),
        run(20),
        Act::Jump(-HOUR_MS),
        run(20),
    ];
    let (broadcast, report) = play(Shape::default(), &acts);
    assert_well(&report);
    assert_eq!(broadcast.core.discontinuities, [Reason::ClockJump; 2]);
    assert_eq!(report.discontinuities, 2);
}

#[test]
fn single_outliers_are_not_noticed() {
    let acts = [
        run(20),
        Act::Outlier(MediaKind::Video, 7 * HOUR_MS),
        run(10),
        Act::Outlier(MediaKind::Audio, -HOUR_MS),
        run(20),
    ];
    let (_, report) = play(Shape::default(), &acts);
    assert_well(&report);
    assert_eq!(report.discontinuities, 0);
}

#[test]
fn reconnects_go_on_with_one_discontinuity_each() {
    let acts = [
        run(20),
        Act::Reconnect(seconds(3)),
        run(20),
        Act::Reconnect(seconds(30)),
        run(20),
    ];
    let (broadcast, report) = play(Shape::default(), &acts);
    assert_well(&report);
    assert_eq!(broadcast.core.discontinuities, [Reason::Resumed; 2]);
    assert_eq!(report.discontinuities, 2);
}

#[test]
fn a_resize_is_one_discontinuity_with_a_new_init() {
    let acts = [run(20), Act::Resize((1920, 960)), run(20)];
    let (broadcast, report) = play(Shape::default(), &acts);
    assert_well(&report);
    assert_eq!(broadcast.core.discontinuities, [Reason::ConfigChanged]);
    assert_eq!(report.discontinuities, 1);
}

#[test]
fn lost_audio_keeps_lips_and_audio_together() {
    let acts = [run(20), Act::Lose(MediaKind::Audio, 30), run(20)];
    let (broadcast, report) = play(Shape::default(), &acts);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.lip_sync_ms < 40.0, "{}", report.lip_sync_ms);
    assert_eq!(broadcast.core.timeline.stats().audio.gaps, 1);
}

#[test]
fn a_track_that_stops_is_filled_and_leaves_no_gap() {
    // 12 s of audio at 46.875 units a second, 12 s of video.
    for (kind, units) in [(MediaKind::Audio, 562), (MediaKind::Video, 360)] {
        let acts = [run(20), Act::Lose(kind, units), run(40)];
        let (broadcast, report) = play(Shape::default(), &acts);
        assert_well(&report);
        assert_eq!(report.discontinuities, 0);
        let stats = broadcast.core.timeline.stats();
        let filled = match kind {
            MediaKind::Audio => stats.audio.filled_ticks as f64 / 48_000.0,
            MediaKind::Video => stats.video.filled_ticks as f64 / 360_000.0,
        };
        assert!((filled - 12.0).abs() < 1.0, "{kind}: {filled} s");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn viewers_progress_through_any_faults(
        acts in schedules(8),
        b_pictures: bool,
        jitter_ms in 0u32..4,
        wrap_bits in 31u32..33,
    ) {
        let shape = Shape { b_pictures, jitter_ms, wrap_bits, ..Shape::default() };
        let (_, report) = play(shape, &acts);
        prop_assert!(report.findings.is_empty(), "{:#?}", report.findings);
        prop_assert!(report.lip_sync_ms < 40.0, "{} ms", report.lip_sync_ms);
        prop_assert!(report.media_seconds > 0.0);
    }
}
