use proptest::prelude::*;

use super::*;
use crate::source::AudioTrack;

const SECOND: i64 = 360_000;

fn probe(keyframes: Vec<i64>, end: i64, breaks: Vec<i64>) -> Probe {
    Probe {
        video: Some(Video {
            width: 3840,
            height: 1920,
            rate: (30, 1),
            keyframes,
            is_common: true,
            breaks,
        }),
        audio: vec![AudioTrack {
            track: 0,
            sample_rate: 48_000,
            channels: 2,
            language: None,
            title: None,
            is_default: true,
            is_copied: true,
            frame_samples: 1024,
            start: 0,
            end: end / SECOND * 48_000,
        }],
        end,
        bytes: 2_000_000 * (end / SECOND) as u64,
        immersive: Immersive::default(),
        stream: Some("stage".into()),
        started_at: Some(1.79e9),
        warnings: Vec::new(),
        upload: None,
    }
}

fn settings() -> Settings {
    Settings {
        ladder: contract::vod_ladder(),
        slice_seconds: 30.0,
        segment_seconds: 6.0,
    }
}

fn make(probe: &Probe) -> Plan {
    let recording = Recording {
        key: "k".into(),
        etag: "e".into(),
        bytes: probe.bytes,
    };
    plan("asset".into(), recording, probe, &settings()).unwrap()
}

#[test]
fn two_second_groups_make_six_second_segments_and_thirty_second_slices() {
    let plan = make(&probe(
        (0..60).map(|n| n * 2 * SECOND).collect(),
        120 * SECOND,
        vec![],
    ));
    assert_eq!(plan.segments.len(), 20);
    let first = &plan.segments[0];
    assert_eq!((first.start, first.end), (0, 6 * SECOND));
    assert_eq!(first.groups, [2 * SECOND, 4 * SECOND]);
    assert_eq!(plan.slices, [0, 5, 10, 15]);
    assert_eq!(
        plan.slice(3).map(|(n, _)| n).collect::<Vec<_>>(),
        [15, 16, 17, 18, 19]
    );
    assert_eq!(plan.slice(4).count(), 0);
    assert_eq!(plan.seconds(), 120.0);
    assert!(plan.copy);
    let rungs = plan.rungs().unwrap();
    assert_eq!(
        rungs.iter().map(|rung| rung.width).collect::<Vec<_>>(),
        [2560, 1920, 1280, 854, 640, 426, 320]
    );
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn half_second_groups_are_joined_and_long_ones_are_kept() {
    let plan = make(&probe(
        (0..40).map(|n| n * SECOND / 2).collect(),
        20 * SECOND,
        vec![],
    ));
    assert_eq!(
        plan.segments
            .iter()
            .map(|s| s.start / SECOND)
            .collect::<Vec<_>>(),
        [0, 6, 12, 18]
    );
    assert_eq!(plan.segments[3].end, 20 * SECOND);
    let plan = make(&probe(
        (0..4).map(|n| n * 12 * SECOND).collect(),
        48 * SECOND,
        vec![],
    ));
    assert_eq!(plan.segments.len(), 4);
    assert!(!plan.copy, "groups of 12 s cannot be sent as they are");
    assert_eq!(plan.rungs().unwrap()[0].width, 3840);
}

#[test]
fn a_break_ends_segment_and_slice_and_is_named() {
    let keyframes = [0, 2, 4, 6, 8, 50, 52, 54].map(|n| n * SECOND).to_vec();
    let plan = make(&probe(keyframes, 56 * SECOND, vec![9 * SECOND]));
    let shape = plan
        .segments
        .iter()
        .map(|s| (s.start / SECOND, s.end / SECOND, s.discontinuity));
    assert_eq!(
        shape.collect::<Vec<_>>(),
        [(0, 6, false), (6, 9, false), (50, 56, true)]
    );
    assert_eq!(plan.slices, [0, 2]);
    assert_eq!(plan.seconds(), 15.0);
}

#[test]
fn a_rich_source_is_encoded_at_its_own_width_too() {
    let mut rich = probe(
        (0..60).map(|n| n * 2 * SECOND).collect(),
        120 * SECOND,
        vec![],
    );
    rich.bytes *= 4;
    let plan = make(&rich);
    assert!(!plan.copy);
    let top = &plan.rungs().unwrap()[0];
    assert_eq!((top.width, top.height), (3840, 1920));
}

#[test]
fn sound_alone_is_one_slice_of_even_segments() {
    let mut probe = probe(vec![], 61 * SECOND, vec![]);
    probe.video = None;
    let plan = make(&probe);
    assert_eq!((plan.segments.len(), plan.slices.len()), (10, 1));
    assert_eq!(plan.segments[9].end, 61 * SECOND);
    assert_eq!(plan.rungs().unwrap(), []);
}

#[test]
fn a_source_narrower_than_the_ladder_is_copied_or_encoded_but_never_enlarged() {
    let mut small = probe(
        (0..9).map(|n| n * 2 * SECOND).collect(),
        18 * SECOND,
        vec![],
    );
    if let Some(video) = &mut small.video {
        (video.width, video.height) = (480, 270);
    }
    small.bytes = 18 * 30_000;
    let plan = make(&small);
    assert!(plan.copy);
    assert!(plan.rungs().unwrap().iter().all(|rung| rung.width < 480));
}

proptest! {
    #[test]
    fn every_plan_covers_all_media_once(
        steps in proptest::collection::vec(1i64..15 * SECOND, 1..120),
        pauses in proptest::collection::btree_map(0usize..120, 1i64..100 * SECOND, 0..5),
    ) {
        let (mut keyframes, mut breaks, mut at, mut media) = (Vec::new(), Vec::new(), 0, 0);
        for (n, step) in steps.iter().enumerate() {
            keyframes.push(at);
            at += step;
            media += step;
            if let Some(pause) = pauses.get(&n).filter(|_| n + 1 < steps.len()) {
                breaks.push(at);
                at += pause;
            }
        }
        let end = keyframes[keyframes.len() - 1] + steps[steps.len() - 1];
        let plan = make(&probe(keyframes.clone(), end, breaks.clone()));
        prop_assert!(plan.segments.windows(2).all(|w| w[0].end <= w[1].start));
        prop_assert!(plan.segments.iter().all(|s| s.start < s.end));
        prop_assert_eq!(plan.segments[0].start, 0);
        prop_assert_eq!(plan.segments[plan.segments.len() - 1].end, end);
        for segment in &plan.segments {
            prop_assert!(keyframes.binary_search(&segment.start).is_ok());
            prop_assert!(segment.groups.iter().all(|g| (segment.start..segment.end).contains(g)));
        }
        let mut numbers = Vec::new();
        for slice in 0..plan.slices.len() as u32 {
            let mut segments = plan.slice(slice);
            numbers.extend(segments.by_ref().map(|(n, _)| n));
            prop_assert!(plan.slice(slice).skip(1).all(|(_, s)| !s.discontinuity));
        }
        prop_assert_eq!(numbers, (0..plan.segments.len() as u32).collect::<Vec<_>>());
        let planned: i64 = plan.segments.iter().map(|s| s.end - s.start).sum();
        let short = breaks.len() as i64 * ticks(BREAK_SECONDS_MIN);
        prop_assert!((planned - media).abs() <= short, "{planned} of {media}");
    }
}
