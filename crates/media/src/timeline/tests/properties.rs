//! What holds for any input.

use proptest::prelude::*;

use super::*;
use crate::timeline::frame_ticks;

/// One thing a publisher may do.
#[derive(Clone, Debug)]
enum Deed {
    Steady(u16),
    Jump(i64),
    Skip(u16),
    Outlier(i64),
    Resume,
    Reconfigure(u8),
    Resample,
    Pause(bool, u16),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (1u16..200).prop_map(Deed::Steady),
        1 => any::<i32>().prop_map(|ms| Deed::Jump(i64::from(ms))),
        1 => (-400i64..6_000).prop_map(Deed::Jump),
        1 => (1u16..7_000).prop_map(Deed::Skip),
        1 => any::<i32>().prop_map(|ms| Deed::Outlier(i64::from(ms))),
        1 => Just(Deed::Resume),
        1 => (0u8..4).prop_map(|step| Deed::Reconfigure(step * 8)),
        1 => Just(Deed::Resample),
        1 => (any::<bool>(), 1u16..400).prop_map(|(audio, units)| Deed::Pause(audio, units)),
    ]
}

/// Plays deeds into a bench; it checks tiling and order at every unit.
fn play(bench: &mut Bench, deeds: &[Deed], jitter_ms: i64) {
    let (mut offset, mut time, mut sample_rate) = (0_i64, 0_i64, 48_000);
    for (round, deed) in deeds.iter().enumerate() {
        let (mut units, mut without) = (10, None);
        match deed {
            Deed::Steady(count) => units = i64::from(*count),
            Deed::Jump(ms) => offset += ms,
            Deed::Skip(ms) => time += i64::from(*ms),
            Deed::Outlier(ms) => bench.push(video(time + offset + ms, 0)),
            Deed::Resume => {
                bench.timeline.resume();
                bench.timeline.set_video(&avc_config(0), None);
                let audio = aac::Config::lc(sample_rate, 2).unwrap().into();
                bench.timeline.set_audio(&audio);
            }
            Deed::Reconfigure(step) => bench.timeline.set_video(&avc_config(*step), None),
            Deed::Resample => {
                sample_rate = if sample_rate == 48_000 {
                    44_100
                } else {
                    48_000
                };
                bench
                    .timeline
                    .set_audio(&aac::Config::lc(sample_rate, 2).unwrap().into());
                bench.drain();
                bench.checks[MediaKind::Audio as usize] = Check::default();
            }
            Deed::Pause(audio, count) => {
                units = i64::from(*count);
                without = Some(if *audio {
                    MediaKind::Audio
                } else {
                    MediaKind::Video
                });
            }
        }
        for k in 0..units {
            let shake = if jitter_ms == 0 {
                0
            } else {
                (k * 7_919 + round as i64) % jitter_ms
            };
            bench.now += Duration::from_millis(33);
            if without != Some(MediaKind::Video) {
                bench.push(video(time + offset + shake, (k % 3) as i32 * 33));
            }
            if without != Some(MediaKind::Audio) {
                bench.push(audio(time + offset + shake));
                bench.push(audio(time + offset + 21));
            }
            time += 33;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_track_tiles_and_goes_forward_under_any_faults(
        deeds in proptest::collection::vec(deed(), 1..20),
        jitter_ms in 0i64..60,
        declared: bool,
    ) {
        let mut bench = Bench::new(declared.then_some((30, 1)));
        play(&mut bench, &deeds, jitter_ms);
        let bench = bench.finish();
        let pushed = bench.timeline.stats();
        let given = pushed.video.units + pushed.audio.units + pushed.audio.filled;
        prop_assert!(given >= bench.units.len() as u64);
    }

    #[test]
    fn no_stamps_at_all_make_a_hole_of_hours(
        stamps in proptest::collection::vec((any::<bool>(), any::<u32>(), any::<i16>()), 1..400),
    ) {
        let mut bench = Bench::new(Some((30, 1)));
        for (is_video, stamp, cts) in &stamps {
            let input = if *is_video {
                video(i64::from(*stamp), i32::from(*cts))
            } else {
                audio(i64::from(*stamp))
            };
            bench.push(input);
        }
        let bench = bench.finish();
        let bound = 6.0 * stamps.len() as f64;
        for unit in &bench.units {
            prop_assert!(seconds(unit.kind, unit.dts) < bound);
            prop_assert!(seconds(unit.kind, i64::from(unit.duration)) < 10.1);
        }
    }

    #[test]
    fn paired_origins_derive_equal_differences_from_differently_rounded_clocks(
        rate in proptest::sample::select(vec![
            (24_000, 1001), (25, 1), (30_000, 1001), (30, 1), (60_000, 1001), (60, 1), (120, 1),
        ]),
        starts in (0i64..5_000_000, 0i64..5_000_000),
        late in 0usize..200,
        rounding in proptest::collection::vec((0i64..2, 0i64..2), 400),
        dropped in proptest::collection::vec(0usize..400, 0..6),
        b_frames: bool,
    ) {
        let exact = |k: usize| k as i64 * 1_000_000 * rate.1 / rate.0;
        let derived = |start_us: i64, from: usize, rounded: &dyn Fn(usize) -> i64| {
            let mut bench = Bench::silent(Some((rate.0 as u32, rate.1 as u32)));
            for k in (from..400).filter(|k| !dropped.contains(k)) {
                let reorder = if b_frames { [2, 4, 2, 0, 1][k % 5] } else { 0 };
                let ms = |k: usize, extra| (exact(k) - exact(from) + start_us + 500 * extra) / 1000;
                let dts = ms(k, rounded(k));
                bench.push(video(dts, (ms(k + reorder, 1) - dts) as i32));
            }
            bench.finish().units
        };
        let ours = derived(starts.0, 0, &|k| rounding[k].0);
        let theirs = derived(starts.1, late, &|k| rounding[k].1);
        let ours = &ours[ours.len() - theirs.len()..];
        let shift = ours[0].dts - theirs[0].dts;
        for (a, b) in ours.iter().zip(&theirs) {
            prop_assert_eq!((a.dts - shift, a.pts - shift, a.duration), (b.dts, b.pts, b.duration));
        }
        let frame = frame_ticks((rate.0 as u32, rate.1 as u32)).unwrap();
        prop_assert!(ours.iter().all(|unit| i64::from(unit.duration) % frame == 0));
    }
}
