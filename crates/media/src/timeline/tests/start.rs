//! Where zero lies, and how a timeline starts, resumes and changes its tracks.

use super::*;

#[test]
fn the_earlier_track_gets_the_zero_and_the_other_keeps_its_distance() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.push(video(7_000, 66));
    bench.push(audio(6_950));
    bench.av(7_033, 500);
    let bench = bench.finish();
    assert_eq!(bench.times(MediaKind::Audio)[0], 0);
    assert_eq!(bench.times(MediaKind::Video)[0], 50 * 360);
    assert!(bench.breaks.is_empty());
}

#[test]
fn video_alone_starts_after_a_short_wait() {
    let mut bench = Bench::silent(Some((25, 1)));
    for k in 0..10 {
        bench.push(video(k * 40, 0));
    }
    assert_eq!(bench.times(MediaKind::Video)[..3], [0, 14_400, 28_800]);
}

#[test]
fn audio_hours_away_from_video_is_aligned_by_arrival() {
    let mut bench = Bench::new(Some((30, 1)));
    let hours = 5 * 3_600_000;
    for k in 0..300 {
        bench.now = Duration::from_millis(k as u64 * 100 / 3);
        bench.push(video(hours + k * 100 / 3, 0));
        bench.push(audio(k * 64 / 3));
    }
    assert!(bench.timeline.stats().split_bases);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    assert!(bench.times(MediaKind::Video)[0] < 36_000 && bench.times(MediaKind::Audio)[0] < 4_800);
}

#[test]
fn b_frames_start_at_zero_and_keep_the_offsets_sent() {
    let mut bench = Bench::new(Some((30, 1)));
    for (k, cts) in [67, 134, 66, 0, 33, 133, 67, 0, 33].into_iter().enumerate() {
        bench.push(video(k as i64 * 100 / 3, cts));
        bench.push(audio(k as i64 * 64 / 3));
    }
    let bench = bench.finish();
    let video = bench.units.iter().filter(|u| u.kind == MediaKind::Video);
    let offsets: Vec<i64> = video.map(|u| (u.pts - u.dts) / 12_000).collect();
    assert_eq!(offsets, [2, 4, 2, 0, 1, 4, 2, 0, 1]);
    assert_eq!(bench.times(MediaKind::Video)[0], 0);
}

#[test]
fn a_negative_first_composition_offset_lifts_the_start() {
    let mut bench = Bench::silent(Some((30, 1)));
    for k in 0..12 {
        bench.push(video(k * 100 / 3, -40));
    }
    let bench = bench.finish();
    assert!(bench.units[0].pts >= 0 && bench.units[0].dts >= 40 * 360);
}

#[test]
fn a_wild_composition_offset_does_not_move_the_zero_by_seconds() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.push(video(0, -8_388_608));
    bench.av(33, 1_000);
    let bench = bench.finish();
    assert!(bench.times(MediaKind::Video)[0] < 360_000 && bench.units[0].pts >= 0);
}

#[test]
fn a_resumed_publisher_continues_above_everything_with_one_discontinuity() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 2_000);
    bench.timeline.resume();
    bench.announce(Some((30, 1)));
    bench.now += Duration::from_secs(20);
    let before = bench.units.len();
    bench.av(0, 2_000);
    let bench = bench.finish();
    assert_eq!(bench.breaks, [Reason::Resumed]);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let unit = bench.units[before..]
            .iter()
            .rfind(|u| u.kind == kind)
            .unwrap();
        let at = seconds(kind, unit.dts);
        assert!((3.9..4.2).contains(&at), "{kind} ends at {at}");
    }
}

#[test]
fn a_changed_configuration_breaks_once_and_a_repeated_one_never() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 1_000);
    bench.timeline.set_video(&avc_config(0), Some((30, 1)));
    bench
        .timeline
        .set_audio(&aac::Config::lc(48_000, 2).unwrap().into());
    bench.drain();
    assert!(bench.breaks.is_empty());
    bench.timeline.set_video(&avc_config(8), Some((30, 1)));
    bench.av(1_000, 1_000);
    let bench = bench.finish();
    assert_eq!(bench.breaks, [Reason::ConfigChanged]);
    assert!(
        bench
            .steps(MediaKind::Video)
            .iter()
            .all(|step| *step == 12_000)
    );
    assert!(
        bench
            .steps(MediaKind::Audio)
            .iter()
            .all(|step| *step == 1_024)
    );
}

#[test]
fn a_new_sample_rate_goes_on_at_the_same_time() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 1_024);
    bench
        .timeline
        .set_audio(&aac::Config::lc(24_000, 2).unwrap().into());
    bench.drain();
    let end = bench.times(MediaKind::Audio).last().copied().unwrap() + 1_024;
    bench.checks[MediaKind::Audio as usize] = Check::default();
    for k in 0..4 {
        bench.push(audio(1_024 + k * 128 / 3));
    }
    let bench = bench.finish();
    let audio = bench.times(MediaKind::Audio);
    assert_eq!(audio[audio.len() - 4], end / 2);
    assert_eq!(bench.breaks, [Reason::ConfigChanged]);
}

#[test]
fn a_track_that_comes_later_joins_the_clock_of_the_first() {
    let mut bench = Bench::silent(Some((30, 1)));
    for k in 0..60 {
        bench.push(video(9_000 + k * 100 / 3, 0));
    }
    bench
        .timeline
        .set_audio(&aac::Config::lc(48_000, 2).unwrap().into());
    bench.av(11_000, 1_000);
    let bench = bench.finish();
    assert_eq!(bench.breaks, [Reason::ConfigChanged]);
    assert_eq!(bench.times(MediaKind::Audio)[0], 2 * 48_000);
}
