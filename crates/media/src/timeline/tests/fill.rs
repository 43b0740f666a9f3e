//! Tracks that stop while the other one goes on.

use super::*;
use crate::timeline::fill::{AUDIO_QUIET_MAX_MS, VIDEO_QUIET_MAX_MS};

const FRAME: i64 = 12_000;
const UNIT: i64 = 1_024;

fn key(timestamp_ms: i64, composition: i32) -> IngestUnit {
    IngestUnit {
        random_access: RandomAccess::Idr,
        payload: Bytes::from_static(b"keyframe"),
        ..video(timestamp_ms, composition)
    }
}

impl Bench {
    /// Plays 30 fps with a keyframe each second and AAC, from `from` to `to` in milliseconds, in
    /// the order of their times; only what `keep` says is sent.
    fn play(&mut self, from: i64, to: i64, keep: impl Fn(MediaKind, i64) -> bool) {
        let mut inputs: Vec<IngestUnit> = Vec::new();
        for k in 0.. {
            let ms = k * 100 / 3;
            if ms >= to {
                break;
            }
            inputs.push(if k % 30 == 0 {
                key(ms, 0)
            } else {
                video(ms, 0)
            });
        }
        for k in 0.. {
            let ms = k * 64 / 3;
            if ms >= to {
                break;
            }
            inputs.push(audio(ms));
        }
        inputs.sort_by_key(|input| input.dts);
        for input in inputs {
            let ms = input.dts;
            if ms >= from && keep(input.kind, ms) {
                self.now = Duration::from_millis(ms as u64);
                self.push(input);
            }
        }
    }

    fn silence(&self) -> Vec<i64> {
        let silence = aac::Config::lc(48_000, 2).unwrap().silence();
        let silent = self.units.iter().filter(|unit| unit.payload == silence);
        silent.map(|unit| unit.dts).collect()
    }

    /// Decode times and durations of keyframes.
    fn keys(&self) -> Vec<(i64, i64)> {
        let keys = self
            .units
            .iter()
            .filter(|unit| unit.payload == b"keyframe"[..]);
        keys.map(|unit| (unit.dts, i64::from(unit.duration)))
            .collect()
    }

    /// Where each track ends, in seconds.
    fn ends(&self) -> [f64; 2] {
        [MediaKind::Video, MediaKind::Audio].map(|kind| {
            let last = self.units.iter().rfind(|unit| unit.kind == kind);
            last.map_or(0.0, |unit| {
                seconds(kind, unit.dts + i64::from(unit.duration))
            })
        })
    }
}

fn within(kind: MediaKind, of: MediaKind, ms: i64, from: i64, to: i64) -> bool {
    kind != of || ms < from || ms >= to
}

#[test]
fn audio_that_never_comes_back_is_silence_to_the_end() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 20_000, |kind, ms| {
        within(kind, MediaKind::Audio, ms, 6_000, 99_000)
    });
    // Silence follows video at a distance that never grows.
    let [video, audio] = bench.ends();
    assert!(video - audio < 0.3, "{video} {audio}");
    let stats = bench.timeline.stats().audio;
    assert!(stats.is_filled);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    let [video, audio] = bench.ends();
    assert!((video - audio).abs() < 0.022, "{video} {audio}");
    assert!(
        bench
            .steps(MediaKind::Audio)
            .iter()
            .all(|step| *step == UNIT)
    );
    // 6,000 ms are 281.25 units: the last real one is the 282nd.
    assert_eq!(bench.silence()[0], 282 * UNIT);
    assert_eq!(bench.silence().len(), 937 - 282);
}

#[test]
fn audio_that_comes_back_is_where_it_was_sent() {
    for (from, to) in [
        (6_000, 8_000),
        (6_000, 60_000),
        (5_990, 7_337),
        (100, 1_500),
    ] {
        let mut bench = Bench::new(Some((30, 1)));
        bench.play(0, to + 5_000, |kind, ms| {
            within(kind, MediaKind::Audio, ms, from, to)
        });
        let stats = bench.timeline.stats().audio;
        let bench = bench.finish();
        assert!(bench.breaks.is_empty());
        assert!(
            bench
                .steps(MediaKind::Audio)
                .iter()
                .all(|step| *step == UNIT)
        );
        // The first unit sent at or after `to` is the next multiple of 64 / 3 ms.
        let units = |ms: i64| (ms * 3 + 63) / 64;
        let silent: Vec<i64> = (units(from)..units(to)).map(|unit| unit * UNIT).collect();
        assert_eq!(bench.silence(), silent, "{from} to {to}");
        assert_eq!(stats.filled as usize, silent.len());
        assert_eq!(stats.filled_ticks, (silent.len() as i64 * UNIT) as u64);
        assert_eq!((stats.gaps, stats.dropped), (1, 0));
        let filled = u128::from(stats.filled_ticks) * 1000 / 48_000;
        assert_eq!(bench.fills, [(MediaKind::Audio, filled)]);
    }
}

#[test]
fn a_pause_of_audio_below_the_bound_is_filled_when_it_is_over() {
    let mut bench = Bench::new(Some((30, 1)));
    let to = 3_000 + AUDIO_QUIET_MAX_MS - 100;
    bench.play(0, 6_000, |kind, ms| {
        within(kind, MediaKind::Audio, ms, 3_000, to)
    });
    let bench = bench.finish();
    assert!(bench.fills.is_empty() && bench.breaks.is_empty());
    assert_eq!(
        bench.silence().len() as i64,
        (to * 3 + 63) / 64 - (3_000 * 3 + 63) / 64
    );
}

#[test]
fn repeated_mutes_never_move_audio_against_video() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 120_000, |kind, ms| {
        kind == MediaKind::Video || ms % 5_000 < 2_700
    });
    let bench = bench.finish();
    assert_eq!(bench.fills.len(), 23);
    let sent = bench
        .units
        .iter()
        .filter(|unit| unit.payload == b"audio"[..]);
    for unit in sent {
        // Every unit lies on the grid of those before the first mute.
        assert_eq!(unit.dts % UNIT, 0);
        assert!(unit.dts * 1000 / 48_000 % 5_000 < 2_700 + 22, "{unit:?}");
    }
}

#[test]
fn audio_that_is_announced_and_never_sent_is_silence_from_the_start() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 10_000, |kind, _| kind == MediaKind::Video);
    let bench = bench.finish();
    assert_eq!(bench.times(MediaKind::Audio)[0], 0);
    assert_eq!(bench.silence().len(), 468);
    assert!(bench.breaks.is_empty());
}

#[test]
fn audio_that_starts_late_follows_silence() {
    for late in [600, 1_000, 3_000, 26_000] {
        let mut bench = Bench::new(Some((30, 1)));
        bench.play(0, late + 4_000, |kind, ms| {
            within(kind, MediaKind::Audio, ms, 0, late)
        });
        let bench = bench.finish();
        assert!(bench.breaks.is_empty());
        let first = bench
            .units
            .iter()
            .find(|unit| unit.payload == b"audio"[..])
            .unwrap();
        let at = seconds(MediaKind::Audio, first.dts) * 1000.0;
        let sent = ((late * 3 + 63) / 64) as f64 * 64.0 / 3.0;
        assert!((at - sent).abs() < 11.0, "{at} ms, sent at {sent}");
        assert!(bench.times(MediaKind::Audio)[0] < UNIT);
        assert_eq!(bench.silence().len(), ((first.dts + 1) / UNIT) as usize);
    }
}

#[test]
fn empty_audio_is_silence_in_its_place() {
    let mut bench = Bench::new(Some((30, 1)));
    for k in 0..300 {
        bench.push(video(k * 64 / 3, 0));
        let payload = if k < 100 {
            Bytes::from_static(b"audio")
        } else {
            Bytes::new()
        };
        bench.push(IngestUnit {
            payload,
            ..audio(k * 64 / 3)
        });
    }
    assert_eq!(bench.timeline.stats().audio.filled, 200);
    let bench = bench.finish();
    assert_eq!(
        bench.silence(),
        (100..300).map(|k| k * UNIT).collect::<Vec<_>>()
    );
}

#[test]
fn video_that_never_comes_back_shows_its_last_keyframe_to_the_end() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 20_000, |kind, ms| {
        within(kind, MediaKind::Video, ms, 6_500, 99_000)
    });
    let [video, audio] = bench.ends();
    assert!(audio - video < 0.7, "{video} {audio}");
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    let [video, audio] = bench.ends();
    assert!((audio - video).abs() < 0.41, "{video} {audio}");
    // Seven sent, then one each 12 frames from where the last frame ends.
    let again: Vec<(i64, i64)> = bench.keys().split_off(7);
    let first = 195 * FRAME;
    let expected = (0..again.len() as i64).map(|k| (first + k * 12 * FRAME, 12 * FRAME));
    assert_eq!(again, expected.collect::<Vec<_>>());
}

#[test]
fn video_that_comes_back_goes_on_with_its_next_keyframe() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 15_000, |kind, ms| {
        within(kind, MediaKind::Video, ms, 6_500, 10_300)
    });
    let stats = bench.timeline.stats().video;
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    assert_eq!(stats.dropped, 21, "frames of a group without its keyframe");
    let keys = bench.keys();
    // 6.5 s to the keyframe at 11 s: eleven of 12 frames and one of three.
    let again = &keys[7..19];
    assert!(
        again[..11]
            .iter()
            .all(|(_, duration)| *duration == 12 * FRAME),
        "{again:?}"
    );
    assert_eq!(again[11], ((195 + 132) * FRAME, 3 * FRAME));
    assert_eq!(keys[19].0, 330 * FRAME);
    assert_eq!(bench.fills, [(MediaKind::Video, 4_500)]);
}

#[test]
fn presentation_times_grow_where_b_frames_are_cut_off() {
    // Groups of 31: a keyframe, then a P-frame before each two B-frames.
    let reorder = |k: i64| match k % 31 {
        0 => 1,
        k => [3, 0, 0][(k as usize - 1) % 3],
    };
    for stop in 150..156 {
        let mut bench = Bench::new(Some((30, 1)));
        for k in 0..400_i64 {
            let ms = k * 100 / 3;
            let composition = ((k + reorder(k)) * 100 / 3 - ms) as i32;
            if k < stop || k >= 310 {
                let is_key = k % 31 == 0;
                bench.push(if is_key {
                    key(ms, composition)
                } else {
                    video(ms, composition)
                });
            }
            bench.push(audio(ms));
        }
        let bench = bench.finish();
        assert!(bench.breaks.is_empty());
        let video = bench
            .units
            .iter()
            .filter(|unit| unit.kind == MediaKind::Video);
        let mut shown: Vec<i64> = video.map(|unit| unit.pts).collect();
        let sent = shown.len();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), sent, "no two are shown at once");
        let keys = bench
            .units
            .iter()
            .filter(|unit| unit.is_sync() && unit.kind == MediaKind::Video);
        let keys: Vec<&AccessUnit> = keys.collect();
        for pair in keys.windows(2) {
            assert!(pair[1].pts > pair[0].pts);
            let before = bench
                .units
                .iter()
                .filter(|unit| unit.kind == MediaKind::Video);
            let before = before.take_while(|unit| unit.dts < pair[1].dts);
            assert!(
                before.map(|unit| unit.pts).max() < Some(pair[1].pts),
                "{stop}"
            );
        }
    }
}

#[test]
fn slides_at_one_frame_a_second_are_left_alone() {
    let mut bench = Bench::new(None);
    for k in 0..2_000_i64 {
        let ms = k * 64 / 3;
        if k % 47 == 0 {
            // 0.7 to 1.3 s apart.
            let shake = [0, 300, -100, 250][(k / 47 % 4) as usize];
            let input = if k == 0 {
                key(ms, 0)
            } else {
                video(ms + shake, 0)
            };
            bench.push(input);
        }
        bench.push(audio(ms));
    }
    assert_eq!(bench.timeline.stats().video.filled, 0);
    let bench = bench.finish();
    assert_eq!(bench.fills, []);
    assert_eq!(bench.breaks, []);
}

#[test]
fn tracks_whose_stamps_are_seconds_apart_are_left_alone() {
    for apart in [-4_000, -1_000, 1_000, 4_000] {
        let mut bench = Bench::new(Some((30, 1)));
        for k in 0..3_000_i64 {
            let ms = 10_000 + k * 64 / 3;
            bench.push(if k % 30 == 0 {
                key(ms, 0)
            } else {
                video(ms, 0)
            });
            bench.push(audio(ms + apart));
        }
        let stats = bench.timeline.stats();
        assert_eq!(stats.video.filled, 0, "{apart} ms");
        // Silence before audio that starts later, and no other.
        let at_start = (apart.max(0) * 3 / 64) as u64;
        assert_eq!(stats.audio.filled, at_start, "{apart} ms");
        let bench = bench.finish();
        assert!(bench.breaks.is_empty() && bench.fills.is_empty());
    }
}

#[test]
fn bursts_of_a_second_are_left_alone() {
    let mut bench = Bench::new(Some((30, 1)));
    for second in 0..30_i64 {
        for k in 0..30 {
            let ms = second * 1_000 + k * 100 / 3;
            bench.push(if k == 0 { key(ms, 0) } else { video(ms, 0) });
        }
        for k in second * 375 / 8..(second + 1) * 375 / 8 {
            bench.push(audio(k * 64 / 3));
        }
    }
    let stats = bench.timeline.stats();
    assert_eq!((stats.video.filled, stats.audio.filled), (0, 0));
    assert_eq!((stats.video.dropped, stats.audio.dropped), (0, 0));
}

#[test]
fn a_microphone_that_delivers_late_what_it_recorded_loses_only_what_is_past() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 4_000, |_, _| true);
    bench.play(4_000, 7_000, |kind, _| kind == MediaKind::Video);
    // Three seconds of audio at once, then all is as before.
    bench.play(4_000, 7_000, |kind, _| kind == MediaKind::Audio);
    bench.play(7_000, 12_000, |_, _| true);
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    let sent = bench
        .units
        .iter()
        .filter(|unit| unit.payload == b"audio"[..]);
    assert!(sent.clone().all(|unit| unit.dts % UNIT == 0));
    assert!(bench.silence().len() < 2_800 * 3 / 64 + 2);
    let last = sent.last().unwrap();
    assert_eq!(last.dts, 562 * UNIT);
}

#[test]
fn a_clock_that_stood_still_while_its_track_was_away_goes_on_by_arrival() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 4_000, |_, _| true);
    bench.play(4_000, 10_000, |kind, _| kind == MediaKind::Video);
    for k in 300..900_i64 {
        bench.push(if k % 30 == 0 {
            key(k * 100 / 3, 0)
        } else {
            video(k * 100 / 3, 0)
        });
        for unit in k * 25 / 16..(k + 1) * 25 / 16 {
            // Six seconds behind for ever.
            bench.push(audio(unit * 64 / 3 - 6_000));
        }
    }
    let bench = bench.finish();
    let sent = bench
        .units
        .iter()
        .filter(|unit| unit.payload == b"audio"[..]);
    let again = sent.clone().find(|unit| unit.dts > 10 * 48_000).unwrap();
    assert!(seconds(MediaKind::Audio, again.dts) < 13.0, "{again:?}");
    let [video, audio] = bench.ends();
    assert!((video - audio).abs() < 0.06, "{video} {audio}");
}

#[test]
fn both_tracks_stopping_and_coming_back_are_filled_alike() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 12_000, |_, ms| !(4_000..7_000).contains(&ms));
    let bench = bench.finish();
    assert!(bench.breaks.is_empty());
    assert_eq!(
        bench.keys().len(),
        4 + 8 + 5,
        "three seconds are eight of 12 frames"
    );
    let [video, audio] = bench.ends();
    assert!((video - audio).abs() < 0.022);
    let longest = bench.steps(MediaKind::Video).into_iter().max().unwrap();
    assert!(longest <= VIDEO_QUIET_MAX_MS * 360);
}

#[test]
fn audio_plays_alone_until_video_comes() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 8_000, |kind, ms| {
        within(kind, MediaKind::Video, ms, 0, 9_000)
    });
    assert!(!bench.timeline.carries(MediaKind::Video));
    assert!(bench.timeline.carries(MediaKind::Audio));
    assert!(bench.times(MediaKind::Audio).len() > 300);
    // From the middle of a group: the keyframe at 9 s is the first to be seen.
    bench.play(8_000, 12_000, |kind, ms| {
        within(kind, MediaKind::Video, ms, 0, 8_500)
    });
    assert!(bench.timeline.carries(MediaKind::Video));
    let bench = bench.finish();
    assert_eq!(bench.breaks, [Reason::TrackJoined]);
    assert_eq!(bench.times(MediaKind::Video)[0], 270 * FRAME);
    assert!(
        bench
            .steps(MediaKind::Audio)
            .iter()
            .all(|step| *step == UNIT)
    );
}

#[test]
fn a_track_whose_stamps_stand_still_is_counted_on() {
    for still in [MediaKind::Audio, MediaKind::Video] {
        let mut bench = Bench::new(Some((30, 1)));
        for k in 0..900_i64 {
            let ms = k * 100 / 3;
            let stamp = |kind, ms: i64| {
                if kind == still && (4_000..9_000).contains(&ms) {
                    4_000
                } else {
                    ms
                }
            };
            let at = stamp(MediaKind::Video, ms);
            bench.push(if k % 30 == 0 {
                key(at, 0)
            } else {
                video(at, 0)
            });
            for unit in k * 25 / 16..(k + 1) * 25 / 16 {
                bench.push(audio(stamp(MediaKind::Audio, unit * 64 / 3)));
            }
        }
        let stats = bench.timeline.stats();
        assert_eq!((stats.video.filled, stats.audio.filled), (0, 0), "{still}");
        assert_eq!(
            (stats.video.dropped, stats.audio.dropped),
            (0, 0),
            "{still}"
        );
        let bench = bench.finish();
        assert!(bench.breaks.is_empty(), "{still}: {:?}", bench.breaks);
        let steps = |kind, usual| {
            bench
                .steps(kind)
                .into_iter()
                .filter(move |step| *step != usual)
        };
        assert_eq!(steps(MediaKind::Audio, UNIT).count(), 0);
        assert_eq!(steps(MediaKind::Video, FRAME).count(), 0);
    }
}

#[test]
fn a_resumed_publisher_without_audio_gets_no_silence() {
    let mut bench = Bench::new(Some((30, 1)));
    bench.play(0, 3_000, |_, _| true);
    bench.timeline.resume();
    bench.timeline.set_video(&avc_config(0), Some((30, 1)));
    let before = bench.units.len();
    bench.play(0, 5_000, |kind, _| kind == MediaKind::Video);
    assert!(!bench.timeline.carries(MediaKind::Audio));
    let bench = bench.finish();
    let after = bench.units[before..]
        .iter()
        .filter(|unit| unit.kind == MediaKind::Audio);
    assert!(after.count() <= 1, "what was held left");
}

#[test]
fn video_that_stops_before_late_audio_comes_is_filled_too() {
    for stop in [500, 3_000, 8_036] {
        let mut bench = Bench::new(Some((30, 1)));
        let late = stop + 4_000;
        bench.play(0, late + 6_000, |kind, ms| match kind {
            MediaKind::Video => ms < stop,
            MediaKind::Audio => ms >= late,
        });
        let bench = bench.finish();
        assert!(bench.breaks.is_empty(), "{:?}", bench.breaks);
        let [video, audio] = bench.ends();
        assert!((video - audio).abs() < 0.41 && audio > (late + 5_900) as f64 / 1000.0);
    }
}
