//! Random broadcasts: whatever the source does, renditions agree, times are contiguous and
//! playlists are legal.

mod common;

use std::time::Duration;

use cmaf::{read_init, read_segment};
use common::{Broadcast, Source, config, rung};
use hls::{Delivery, MediaSnapshot, Segment, check::Checker, render_media, render_multivariant};
use media::{MediaKind, VIDEO_TIMESCALE};
use proptest::prelude::*;

/// Ticks per frame at 23.976, 24, 25, 29.97, 30, 50, 59.94 and 60 fps.
const FRAMES: [u32; 8] = [15_015, 15_000, 14_400, 12_012, 12_000, 7_200, 6_006, 6_000];

#[derive(Clone, Debug)]
enum Act {
    Run(u64),
    Mute(usize),
    Unmute(usize),
    Lose(usize),
    Stall(u64),
    Silence(u64),
    Discontinuity {
        gap_ms: u64,
        frame: usize,
        gops: Vec<u64>,
    },
}

#[derive(Clone, Debug)]
struct Plan {
    frame: usize,
    gops: Vec<u64>,
    b_frames: i64,
    audio_rate: Option<u32>,
    rungs: usize,
    lag: usize,
    acts: Vec<Act>,
}

/// Keyframe intervals in tenths of a second, used round and round; one alone is a regular GOP.
fn gops() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        (3u64..60).prop_map(|gop| vec![gop]),
        Just(vec![10]),
        Just(vec![20]),
        prop::collection::vec(2u64..40, 2..6),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let act = prop_oneof![
        6 => (1u64..12).prop_map(Act::Run),
        1 => (0usize..3).prop_map(Act::Mute),
        2 => (0usize..3).prop_map(Act::Unmute),
        1 => (0usize..3).prop_map(Act::Lose),
        1 => (100u64..12_000).prop_map(Act::Stall),
        1 => (1u64..9).prop_map(Act::Silence),
        1 => (0u64..30_000, 0usize..8, gops())
            .prop_map(|(gap_ms, frame, gops)| Act::Discontinuity { gap_ms, frame, gops }),
    ];
    let rates = prop::sample::select(vec![None, Some(48_000), Some(44_100), Some(16_000)]);
    (
        0usize..8,
        gops(),
        0i64..3,
        rates,
        0usize..3,
        0usize..60,
        prop::collection::vec(act, 2..8),
    )
        .prop_map(
            |(frame, gops, b_frames, audio_rate, rungs, lag, acts)| Plan {
                frame,
                gops,
                b_frames,
                audio_rate,
                rungs,
                lag,
                acts,
            },
        )
}

fn source(plan: &Plan, frame: usize, gops: &[u64]) -> Source {
    let ticks = FRAMES[frame];
    let frames: Vec<u64> = gops
        .iter()
        .map(|gop| (gop * 36_000 / u64::from(ticks)).max(1))
        .collect();
    let round: u64 = frames.iter().sum();
    Source {
        frame: ticks,
        is_sync: Box::new(move |frame| {
            let mut left = frame % round;
            frames.iter().any(|gop| {
                let here = left == 0;
                left = left.wrapping_sub(*gop);
                here
            })
        }),
        b_frames: plan.b_frames,
        size: Box::new(|frame| 50 + (frame as usize * 7919) % 100),
        audio_rate: plan.audio_rate,
        rung_lag: plan.lag,
    }
}

struct Watcher {
    checker: Checker,
    changes: u64,
}

impl Watcher {
    /// Looks at the playlists after every few changes, as players with their own rhythm would.
    fn look(&mut self, broadcast: &mut Broadcast, always: bool) -> Result<(), TestCaseError> {
        if !broadcast.packager.has_changed() && !always {
            return Ok(());
        }
        self.changes += 1;
        if !self.changes.is_multiple_of(11) && !always {
            return Ok(());
        }
        let snapshot = broadcast.packager.snapshot();
        if let Some(multivariant) = snapshot.multivariant() {
            render_multivariant(multivariant, Some("x"), hls::Flavour::Web);
        }
        for media in snapshot.renditions() {
            let text = render_media(media, &Delivery::default());
            for violation in self.checker.media(media.name(), &text) {
                // A hint is a forecast; keyframes that come at random cannot be foreseen. And sound
                // that breaks off leaves a segment with less than its share.
                if !["hint-broken", "part-sum-short"].contains(&violation.rule.id()) {
                    return Err(TestCaseError::fail(format!("{violation}\n{text}")));
                }
            }
        }
        if let Some(violation) = self.checker.across().first() {
            return Err(TestCaseError::fail(violation.to_string()));
        }
        Ok(())
    }
}

fn play(plan: &Plan) -> Result<Broadcast, TestCaseError> {
    let mut config = config();
    config.window = Duration::from_secs(3600);
    let rungs: Vec<_> = (0..plan.rungs)
        .map(|i| rung(&format!("r{i}"), 1_000_000))
        .collect();
    let mut broadcast = Broadcast::new(config, source(plan, plan.frame, &plan.gops), &rungs);
    let mut watcher = Watcher {
        checker: Checker::new(),
        changes: 0,
    };
    for act in &plan.acts {
        match act {
            Act::Run(seconds) => {
                let frames = seconds * 360_000 / u64::from(broadcast.source.frame);
                for _ in 0..frames {
                    broadcast.step();
                    watcher.look(&mut broadcast, false)?;
                }
            }
            Act::Mute(rung) | Act::Unmute(rung) => {
                if let Some(mute) = broadcast.mute.get_mut(*rung) {
                    *mute = matches!(act, Act::Mute(_));
                    if *mute {
                        broadcast.packager.rung_gap(*rung).unwrap();
                    }
                }
            }
            Act::Lose(rung) => broadcast.lose(*rung),
            Act::Stall(millis) => broadcast.stall(Duration::from_millis(*millis)),
            Act::Silence(seconds) => {
                broadcast.audio_mute = true;
                broadcast.run_seconds(*seconds);
                broadcast.audio_mute = false;
            }
            Act::Discontinuity {
                gap_ms,
                frame,
                gops,
            } => {
                let next = source(plan, *frame, gops);
                broadcast.discontinuity(next, Duration::from_millis(*gap_ms));
            }
        }
    }
    broadcast.end();
    watcher.look(&mut broadcast, true)?;
    Ok(broadcast)
}

/// Start and end of each whole segment's samples, in the rendition's ticks.
fn spans(plan: &Plan, media: &MediaSnapshot) -> Result<Vec<(u64, i64, i64)>, TestCaseError> {
    let mut spans = Vec::new();
    for segment in media.retained().iter().filter(|segment| !segment.gap) {
        let init = segment.init.as_ref().unwrap();
        let head = read_init(&init.bytes).unwrap();
        let samples = read_segment(&head, &segment.to_bytes()).unwrap();
        prop_assert!(!samples.is_empty());
        prop_assert_eq!(samples[0].unit.is_sync(), segment.independent);
        let mut at = samples[0].unit.dts;
        for sample in &samples {
            let follows = sample.unit.dts == at || !is_whole(plan, media);
            prop_assert!(
                follows && sample.unit.dts >= at,
                "{} {}",
                media.name(),
                segment.msn
            );
            at = sample.unit.dts + i64::from(sample.unit.duration);
        }
        spans.push((segment.msn, samples[0].unit.dts, at));
    }
    Ok(spans)
}

/// Sound that was never sent leaves a hole that nothing can fill.
fn is_whole(plan: &Plan, media: &MediaSnapshot) -> bool {
    let silent = plan.acts.iter().any(|act| matches!(act, Act::Silence(_)));
    media.kind() == MediaKind::Video || !silent
}

fn contiguous(
    plan: &Plan,
    media: &MediaSnapshot,
    spans: &[(u64, i64, i64)],
) -> Result<(), TestCaseError> {
    let whole = is_whole(plan, media);
    let segment = |msn: u64| -> &Segment {
        media
            .retained()
            .iter()
            .find(|segment| segment.msn == msn)
            .unwrap()
    };
    for pair in spans.windows(2) {
        let [(before, _, end), (msn, start, _)] = pair else {
            continue;
        };
        prop_assert!(start >= end);
        if *msn == before + 1 && !segment(*msn).discontinuity && whole {
            prop_assert_eq!(
                start,
                end,
                "{} between {} and {}",
                media.name(),
                before,
                msn
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_broadcast_is_aligned_contiguous_and_legal(plan in plan()) {
        let mut broadcast = play(&plan)?;
        let snapshot = broadcast.packager.snapshot();
        let Some(source) = snapshot.media("source") else {
            return Ok(());
        };
        let boundaries = spans(&plan, source)?;
        contiguous(&plan, source, &boundaries)?;
        let numbers: Vec<u64> = source.retained().iter().map(|segment| segment.msn).collect();
        let expected: Vec<u64> = (common::WALL..).take(numbers.len()).collect();
        prop_assert_eq!(&numbers, &expected);

        for media in snapshot.renditions() {
            prop_assert!(media.is_ended());
            let own = spans(&plan, media)?;
            contiguous(&plan, media, &own)?;
            // Numbers without holes, ending where the source ends.
            let all: Vec<u64> = media.retained().iter().map(|segment| segment.msn).collect();
            prop_assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1));
            prop_assert_eq!(all.last(), numbers.last());
            // A last segment of a picture or two may hold no frame of sound.
            let lossless = media.kind() == MediaKind::Video && !plan.acts.iter().any(|act| {
                matches!(act, Act::Mute(_) | Act::Lose(_) | Act::Stall(_) | Act::Silence(_))
            });
            prop_assert!(!lossless || media.retained().iter().all(|segment| !segment.gap));
            for (msn, start, end) in own {
                let Some((_, from, to)) = boundaries.iter().find(|span| span.0 == msn) else {
                    continue;
                };
                if media.kind() == MediaKind::Video {
                    prop_assert_eq!((start, end), (*from, *to), "{} {}", media.name(), msn);
                } else {
                    let segment = media.retained().iter().find(|s| s.msn == msn).unwrap();
                    let start = segment.timescale.rescale(start, VIDEO_TIMESCALE);
                    let frame = segment.timescale.rescale(1024, VIDEO_TIMESCALE);
                    // Cut at the first frame at or after the boundary's presentation time.
                    let delay = plan.b_frames * i64::from(*FRAMES.iter().max().unwrap());
                    let silent = plan.acts.iter().any(|act| matches!(act, Act::Silence(_)));
                    prop_assert!(start >= *from);
                    prop_assert!(silent || start <= *from + delay + frame);
                }
            }
        }
    }
}
