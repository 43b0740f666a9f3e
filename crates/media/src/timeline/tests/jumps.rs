//! Clocks that jump, repeat, wrap and pause.

use super::*;

#[test]
fn a_single_outlier_is_stamped_where_it_belongs() {
    let mut bench = Bench::new(Some((30, 1)));
    for k in 0..90 {
        let broken = k == 40;
        bench.push(video(
            k * 100 / 3 + if broken { 2_146_858_000 } else { 0 },
            0,
        ));
        bench.push(audio(k * 64 / 3 + if broken { -900_000 } else { 0 }));
    }
    assert_eq!(bench.timeline.stats().video.restamped, 1);
    assert_eq!(bench.timeline.stats().audio.restamped, 1);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
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
fn a_jump_of_an_hour_either_way_is_one_discontinuity_for_both_tracks() {
    for hours in [1, -1] {
        let mut bench = Bench::new(Some((30, 1)));
        bench.av(7_200_000, 2_000);
        bench.av(7_202_000 + hours * 3_600_000, 2_000);
        let bench = bench.finish();
        assert_eq!(bench.breaks, [Reason::ClockJump], "{hours} h");
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let end = seconds(kind, *bench.times(kind).last().unwrap());
            assert!((3.9..4.05).contains(&end), "{kind} ends at {end} s");
        }
    }
}

#[test]
fn a_jump_keeps_video_and_audio_together() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 2_000);
    bench.av(50_000_000, 4_000);
    let bench = bench.finish();
    let ends = [MediaKind::Video, MediaKind::Audio]
        .map(|kind| seconds(kind, bench.times(kind).pop().unwrap()));
    assert!((ends[0] - ends[1]).abs() < 0.04, "{ends:?}");
}

#[test]
fn a_jump_at_the_edge_of_what_is_one_takes_both_tracks_along() {
    for by in [-400, -314, -290, -270, -250, 4_950, 4_980, 5_010, 5_040] {
        let mut bench = Bench::new(Some((30, 1)));
        bench.av(20_000, 2_000);
        bench.av(22_000 + by, 8_000);
        let bench = bench.finish();
        let end = |kind| seconds(kind, bench.times(kind).pop().unwrap());
        let off = end(MediaKind::Video) - end(MediaKind::Audio);
        assert!(off.abs() < 0.06, "{by} ms: {off} s");
    }
}

#[test]
fn two_outliers_that_disagree_are_not_a_timeline() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 1_000);
    for wild in [90_000_000, 4_000_000, 55_000_000, 700_000_000] {
        bench.push(video(wild, 0));
    }
    bench.av(1_133, 1_000);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
}

#[test]
fn no_unit_lasts_longer_than_the_bound_whatever_the_stamps() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 1_000);
    bench.av(9_000, 1_000);
    bench.av(3_000, 1_000);
    bench.av(2_000_000_000, 1_000);
    let bench = bench.finish();
    let longest = |kind| bench.steps(kind).into_iter().max().unwrap();
    assert!(longest(MediaKind::Video) <= 12_000 * 2);
    assert!(longest(MediaKind::Audio) <= 1_024 * 2);
    assert_eq!(bench.breaks.len(), 3);
}

#[test]
fn both_wraps_pass_unnoticed() {
    for wrap in [1_i64 << 31, 1 << 32] {
        let mut bench = Bench::new(Some((30, 1)));
        let mask = wrap - 1;
        for k in 0..300 {
            bench.push(video((wrap - 5_000 + k * 100 / 3) & mask, 0));
            bench.push(audio((wrap - 5_000 + k * 64 / 3) & mask));
        }
        let bench = bench.finish();
        assert!(bench.breaks.is_empty());
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
}

#[test]
fn repeated_and_slightly_backward_times_are_spread_and_counted() {
    let mut bench = Bench::silent(None);
    for at in [0, 40, 80, 80, 75, 160, 200, 240, 280, 320, 360, 400] {
        bench.push(video(at, 0));
    }
    assert_eq!(bench.timeline.stats().video.backward, 2);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    assert_eq!(bench.units.len(), 12);
}

#[test]
fn audio_that_pauses_while_video_goes_on_comes_back_in_its_place() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 2_000);
    for k in 60..360 {
        bench.push(video(k * 100 / 3, 0));
    }
    bench.av(12_000, 1_000);
    assert_eq!(bench.timeline.stats().audio.gaps, 1);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    let ends = [MediaKind::Video, MediaKind::Audio]
        .map(|kind| seconds(kind, bench.times(kind).pop().unwrap()));
    assert!((ends[0] - ends[1]).abs() < 0.04, "{ends:?}");
}

#[test]
fn lost_audio_is_filled_with_as_much_silence() {
    let mut bench = Bench::new(Some((30, 1)));
    for k in 0..300 {
        if k < 900 {
            bench.push(video(k * 64 / 3, 0));
        }
        if !(100..140).contains(&k) {
            bench.push(audio(k * 64 / 3));
        }
    }
    let stats = bench.timeline.stats().audio;
    assert_eq!((stats.gaps, stats.gap_ticks), (1, 40 * 1_024));
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    assert!(
        bench
            .steps(MediaKind::Audio)
            .iter()
            .all(|step| *step == 1_024)
    );
    assert_eq!(bench.times(MediaKind::Audio).last(), Some(&(299 * 1_024)));
    let silence = aac::Config::lc(48_000, 2).unwrap().silence();
    let silent = bench.units.iter().filter(|u| u.payload == silence);
    let silent: Vec<i64> = silent.map(|u| u.dts / 1_024).collect();
    assert_eq!(silent, (100..140).collect::<Vec<_>>());
}

#[test]
fn one_lost_audio_unit_is_filled_too() {
    let mut bench = Bench::new(Some((30, 1)));
    for k in 0..300 {
        bench.push(video(k * 64 / 3, 0));
        if k != 100 {
            bench.push(audio(k * 64 / 3));
        }
    }
    let bench = bench.finish();
    assert_eq!(bench.times(MediaKind::Audio).last(), Some(&(299 * 1_024)));
}

#[test]
fn audio_beyond_its_time_is_dropped_before_lip_sync_is_lost() {
    let mut bench = Bench::new(Some((30, 1)));
    let mut sent = 0;
    for k in 0..600 {
        bench.push(video(k * 64 / 3, 0));
        // Every 50th unit is sent twice.
        for _ in 0..1 + usize::from(k % 50 == 49) {
            bench.push(audio(k * 64 / 3));
            sent += 1;
        }
    }
    assert!(bench.timeline.stats().audio.dropped > 8);
    let bench = bench.finish();
    let last = seconds(
        MediaKind::Audio,
        bench.times(MediaKind::Audio).pop().unwrap(),
    );
    assert!(
        (last - 599.0 * 0.021_333).abs() < 0.04,
        "{last}, {sent} sent"
    );
}

#[test]
fn video_that_pauses_lengthens_the_last_unit_up_to_the_bound() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.av(0, 1_000);
    for k in 47..187 {
        bench.push(audio(k * 64 / 3));
    }
    bench.av(4_000, 1_000);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    assert!(
        bench.steps(MediaKind::Video).contains(&(12_000 * 91)),
        "{:?}",
        bench.steps(MediaKind::Video)
    );
}
