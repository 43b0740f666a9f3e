//! The packager through its public API, on simulated broadcasts.

mod common;

use std::time::Duration;

use common::{
    Broadcast, Source, WALL, audio_track, config, events, fresh, numbers, rung, video_track, watch,
};
use hls::{Config, Delivery, Event, Lookup, Packager, Start, Tracks, check::Checker, render_media};
use media::VIDEO_TIMESCALE;

fn text(broadcast: &mut Broadcast, name: &str) -> String {
    let snapshot = broadcast.packager.snapshot();
    render_media(snapshot.media(name).unwrap(), &Delivery::default())
}

#[test]
fn a_regular_broadcast_breaks_no_rule_at_any_reload() {
    for (fps, gop, rate) in [
        (30, 30, 48_000),
        (50, 100, 44_100),
        (24, 48, 32_000),
        (25, 50, 48_000),
    ] {
        let rungs = [rung("1920p", 5_800_000), rung("960p", 2_300_000)];
        let mut source = Source::regular(fps, gop);
        source.audio_rate = Some(rate);
        source.b_frames = 2;
        let mut config = config();
        config.window = Duration::from_secs(14);
        let mut broadcast = Broadcast::new(config, source, &rungs);
        let mut checker = Checker::new();
        let found = watch(&mut broadcast, &mut checker, u64::from(fps) * 60);
        assert_eq!(found, Vec::<String>::new(), "{fps} fps");
        let snapshot = broadcast.packager.snapshot();
        assert_eq!(snapshot.renditions().len(), 4);
        let listed: Vec<_> = snapshot
            .renditions()
            .iter()
            .map(|m| m.listed()[0].msn)
            .collect();
        assert!(
            listed.windows(2).all(|pair| pair[0] == pair[1]),
            "{listed:?}"
        );
    }
}

#[test]
fn first_playlist_has_three_segments_and_the_target_duration_stays() {
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 30), &[]);
    broadcast.run(180);
    assert!(broadcast.packager.snapshot().media("source").is_none());
    broadcast.run(1);
    let snapshot = broadcast.packager.snapshot();
    assert_eq!(snapshot.media("source").unwrap().listed().len(), 3);
    let constants = snapshot.constants().unwrap();
    assert_eq!(
        (constants.target_duration, constants.part_target),
        (2, Some(180_000))
    );

    // Keyframes stop coming in time: segments do not grow, and say that they are dependent.
    broadcast.source.is_sync = Box::new(|frame| frame <= 180 && frame % 30 == 0);
    assert!(text(&mut broadcast, "source").contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    let mut checker = Checker::new();
    let found = watch(&mut broadcast, &mut checker, 200);
    assert!(
        found
            .iter()
            .all(|violation| violation.contains("hint-broken")),
        "{found:?}"
    );
    assert_eq!(broadcast.packager.snapshot().constants(), Some(constants));
    assert!(!text(&mut broadcast, "source").contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    assert!(text(&mut broadcast, "audio").contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    let late = events(&mut broadcast.packager);
    assert!(
        late.iter()
            .any(|event| matches!(event, Event::LateSync { .. }))
    );
}

#[test]
fn the_multivariant_playlist_appears_with_the_last_renditions_third_segment() {
    let mut source = Source::regular(30, 60);
    source.rung_lag = 20;
    let mut broadcast = Broadcast::new(config(), source, &[rung("960p", 1_000_000)]);
    while broadcast.packager.snapshot().multivariant().is_none() {
        broadcast.step();
    }
    // Six seconds of pictures, and what the rung is behind.
    assert!(
        (180..=202).contains(&broadcast.frame),
        "after {} pictures",
        broadcast.frame
    );
    let snapshot = broadcast.packager.snapshot();
    assert_eq!(snapshot.multivariant().unwrap().variants.len(), 2);
    assert!(snapshot.multivariant().unwrap().audio.len() == 1);
}

#[test]
fn rungs_stay_independent_where_the_source_is_not() {
    let mut source = Source::regular(30, 30);
    source.is_sync = Box::new(|frame| frame < 200 && frame % 30 == 0);
    let mut broadcast = Broadcast::new(config(), source, &[rung("960p", 1_000_000)]);
    broadcast.run_seconds(20);
    let snapshot = broadcast.packager.snapshot();
    let independent = |name: &str| {
        let media = snapshot.media(name).unwrap();
        media.listed().iter().all(|segment| segment.independent)
    };
    assert!(!independent("source") && independent("960p"));
    assert!(!text(&mut broadcast, "source").contains("INDEPENDENT-SEGMENTS"));
    assert!(text(&mut broadcast, "960p").contains("#EXT-X-INDEPENDENT-SEGMENTS"));
}

#[test]
fn numbers_go_on_across_a_reconnect() {
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &[]);
    broadcast.run_seconds(21);
    broadcast.packager.interrupt();
    let before = broadcast
        .packager
        .snapshot()
        .media("source")
        .unwrap()
        .last_msn()
        .unwrap();
    assert_eq!(
        before,
        WALL + 10,
        "the torn segment is published when the publisher goes"
    );
    broadcast.discontinuity(Source::regular(30, 60), Duration::from_secs(30));
    let mut checker = Checker::new();
    assert_eq!(
        watch(&mut broadcast, &mut checker, 300),
        Vec::<String>::new()
    );
    let snapshot = broadcast.packager.snapshot();
    let expected: Vec<u64> = (WALL..).take(15).collect();
    assert_eq!(numbers(snapshot.media("source").unwrap()), expected);
    assert_eq!(
        text(&mut broadcast, "source")
            .matches("EXT-X-DISCONTINUITY\n")
            .count(),
        1
    );
}

#[test]
fn discontinuity_sequence_grows_when_the_discontinuity_leaves_on_every_rendition() {
    let rungs = [rung("960p", 1_000_000)];
    let mut config = config();
    config.window = Duration::from_secs(14);
    let start = Start::Fresh {
        first_msn: WALL,
        discontinuity_sequence: 7,
    };
    let packager = Packager::new(config, start).unwrap();
    let mut broadcast = Broadcast::started(packager, Source::regular(30, 60), &rungs);
    broadcast.run_seconds(10);
    broadcast.discontinuity(Source::regular(30, 60), Duration::from_secs(5));
    let mut seen = Vec::new();
    for _ in 0..40 {
        broadcast.run_seconds(1);
        let snapshot = broadcast.packager.snapshot();
        let sequences: Vec<String> = snapshot
            .renditions()
            .iter()
            .map(|media| {
                let text = render_media(media, &Delivery::default());
                let line = text
                    .lines()
                    .find(|l| l.starts_with("#EXT-X-DISCONTINUITY-SEQUENCE"));
                let first = media.listed()[0].msn;
                format!("{first} {}", line.unwrap())
            })
            .collect();
        assert!(
            sequences.windows(2).all(|pair| pair[0] == pair[1]),
            "{sequences:?}"
        );
        seen.push(sequences[0].clone());
    }
    seen.dedup();
    // Segment 5 has the discontinuity: 7 while it is listed, 8 from when segment 6 is the first.
    assert!(seen.contains(&format!("{} #EXT-X-DISCONTINUITY-SEQUENCE:7", WALL + 5)));
    assert!(seen.contains(&format!("{} #EXT-X-DISCONTINUITY-SEQUENCE:8", WALL + 6)));
}

#[test]
fn a_changed_configuration_is_a_discontinuity_with_a_new_map_everywhere() {
    let rungs = [rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    broadcast.run_seconds(10);
    let tracks = Tracks {
        video: Some(video_track(0x20)),
        audio: Some(audio_track(44_100)),
    };
    broadcast.packager.discontinuity(tracks).unwrap();
    broadcast.flush_rungs();
    broadcast.packager.rung_track(0, video_track(0x15)).unwrap();
    broadcast.source.audio_rate = Some(44_100);
    broadcast.audio_dts = VIDEO_TIMESCALE.rescale(broadcast.dts, broadcast.timescale());
    broadcast.frame = 0;
    broadcast.run_seconds(8);
    let snapshot = broadcast.packager.snapshot();
    for media in snapshot.renditions() {
        let text = render_media(media, &Delivery::default());
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
        assert_eq!(text.matches("#EXT-X-MAP:").count(), 2, "{text}");
        let at: Vec<u64> = media
            .listed()
            .iter()
            .filter(|segment| segment.discontinuity)
            .map(|segment| segment.msn)
            .collect();
        assert_eq!(at, [WALL + 5], "{}", media.name());
        let index = |n: usize| media.listed()[n].init.as_ref().unwrap().index;
        assert_ne!(index(4), index(5));
        assert!(media.init(index(4)).is_some() && media.init(index(5)).is_some());
    }
    let mut checker = Checker::new();
    assert_eq!(
        watch(&mut broadcast, &mut checker, 60),
        Vec::<String>::new()
    );
}

/// What a playlist says after its last segment, up to the reports.
fn ahead(text: &str) -> Vec<&str> {
    let (_, after) = text.rsplit_once(".m4s\n").unwrap();
    after
        .lines()
        .take_while(|line| !line.starts_with("#EXT-X-RENDITION-REPORT"))
        .map(|line| line.split(",URI=").next().unwrap())
        .collect()
}

#[test]
fn a_discontinuity_is_announced_on_every_rendition_before_its_first_part() {
    let rungs = [rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    let mut checker = Checker::new();
    assert_eq!(
        watch(&mut broadcast, &mut checker, 30 * 21),
        Vec::<String>::new()
    );
    broadcast.packager.interrupt();
    broadcast.flush_rungs();
    let announced = ["#EXT-X-DISCONTINUITY", "#EXT-X-PRELOAD-HINT:TYPE=PART"];
    for name in ["source", "960p", "audio"] {
        let text = text(&mut broadcast, name);
        assert_eq!(ahead(&text), announced, "{name}: {text}");
        assert_eq!(checker.media(name, &text), []);
    }
    // It comes, and only once; the checker compares each playlist with the one before.
    broadcast.discontinuity(Source::regular(30, 60), Duration::from_secs(3));
    assert_eq!(
        watch(&mut broadcast, &mut checker, 30 * 9),
        Vec::<String>::new()
    );
    let text = text(&mut broadcast, "source");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
}

#[test]
fn an_end_takes_the_announcement_along() {
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &[]);
    broadcast.run_seconds(21);
    broadcast.packager.interrupt();
    broadcast.end();
    let text = text(&mut broadcast, "source");
    assert!(!text.contains("DISCONTINUITY\n") && text.ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn an_init_segment_that_is_to_change_is_hinted_and_served_before_its_first_part() {
    let rungs = [rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    broadcast.run_seconds(10);
    let tracks = Tracks {
        video: Some(video_track(0x20)),
        audio: Some(audio_track(48_000)),
    };
    broadcast.packager.discontinuity(tracks).unwrap();
    broadcast.flush_rungs();
    broadcast.frame = 0;
    broadcast.run(1);
    let hinted = text(&mut broadcast, "source");
    let announced = [
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PRELOAD-HINT:TYPE=MAP",
        "#EXT-X-PRELOAD-HINT:TYPE=PART",
    ];
    assert_eq!(ahead(&hinted), announced, "{hinted}");
    let index = hinted
        .split_once("TYPE=MAP,URI=\"e1/init-")
        .and_then(|(_, rest)| rest.split_once(".mp4")?.0.parse().ok())
        .unwrap();
    let snapshot = broadcast.packager.snapshot();
    let source = snapshot.media("source").unwrap();
    let init = source.init(index).unwrap().clone();
    // Sound stays as it was.
    assert!(!text(&mut broadcast, "audio").contains("TYPE=MAP"));

    broadcast.run_seconds(1);
    let listed = text(&mut broadcast, "source");
    let map = format!("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"e1/init-{index}.mp4\"\n");
    assert!(
        listed.contains(&map) && !listed.contains("TYPE=MAP"),
        "{listed}"
    );
    let snapshot = broadcast.packager.snapshot();
    let open = snapshot.media("source").unwrap().open().unwrap();
    assert_eq!(open.init.as_ref(), Some(&init));
}

#[test]
fn an_unchanged_configuration_keeps_its_map() {
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &[]);
    broadcast.run_seconds(10);
    broadcast.discontinuity(Source::regular(30, 60), Duration::ZERO);
    broadcast.run_seconds(10);
    let text = text(&mut broadcast, "source");
    let maps: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("#EXT-X-MAP"))
        .collect();
    assert_eq!(maps.len(), 2, "repeated after the discontinuity");
    assert_eq!(maps[0], maps[1]);
}

#[test]
fn a_new_run_shares_no_url_with_the_old_one() {
    let urls = |config: Config, first_msn: u64| {
        let start = Start::Fresh {
            first_msn,
            discontinuity_sequence: 0,
        };
        let packager = Packager::new(config, start).unwrap();
        let mut broadcast = Broadcast::started(packager, Source::regular(30, 60), &[]);
        broadcast.run_seconds(12);
        let text = text(&mut broadcast, "source");
        let quoted = text
            .split('"')
            .filter(|piece| piece.ends_with(".m4s") || piece.ends_with(".mp4"));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        quoted.chain(lines).map(str::to_owned).collect::<Vec<_>>()
    };
    let first = urls(config(), WALL);
    let mut next = config();
    next.run_id = "e2".into();
    let second = urls(next, WALL + 60);
    assert!(first.len() > 10 && first.iter().all(|url| !second.contains(url)));
}

#[test]
fn a_stream_of_sound_alone_is_cut_by_sound() {
    let mut config = config();
    config.window = Duration::from_secs(14);
    let mut packager = Packager::new(config, fresh()).unwrap();
    let tracks = Tracks {
        video: None,
        audio: Some(audio_track(44_100)),
    };
    packager.start(tracks, Vec::new()).unwrap();
    let mut checker = Checker::new();
    for index in 0..44_100 * 40 / 1024 {
        let unit = media::AccessUnit {
            kind: media::MediaKind::Audio,
            dts: index * 1024,
            pts: index * 1024,
            duration: 1024,
            random_access: media::RandomAccess::Idr,
            payload: bytes::Bytes::from_static(&[0; 20]),
        };
        packager.push_source(unit, WALL as i64 * 1_000_000).unwrap();
        let snapshot = packager.snapshot();
        if let Some(media) = snapshot.media("audio") {
            let text = render_media(media, &Delivery::default());
            assert_eq!(checker.media("audio", &text), [], "{text}");
        }
    }
    let snapshot = packager.snapshot();
    let multivariant = snapshot.multivariant().unwrap();
    assert_eq!(multivariant.variants.len(), 1);
    assert_eq!(multivariant.variants[0].codecs, "mp4a.40.2");
    assert_eq!(multivariant.variants[0].resolution, None);
}

#[test]
fn two_origins_publish_the_same_bytes() {
    let segments = |broadcast: &mut Broadcast| {
        let snapshot = broadcast.packager.snapshot();
        let media = snapshot.media("source").unwrap();
        let retained = media.retained().iter();
        retained
            .map(|s| {
                (
                    s.msn,
                    s.init.as_ref().unwrap().index,
                    s.parts.clone(),
                    s.program_date_time,
                )
            })
            .collect::<Vec<_>>()
    };
    let mut first = Broadcast::new(config(), Source::regular(30, 60), &[]);
    first.run_seconds(10);
    let snapshot = first.packager.snapshot();
    // The second starts with the keyframe that opens the sixth segment and adopts what the first
    // says of it.
    let (dts, audio_dts) = (first.dts, first.audio_dts);
    first.run(1);
    let start = Start::JoinPeer {
        boundary: first.packager.newest_boundary().unwrap(),
        constants: snapshot.constants(),
    };
    let packager = Packager::new(config(), start).unwrap();
    let mut second = Broadcast::started(packager, Source::regular(30, 60), &[]);
    (second.dts, second.audio_dts) = (dts, audio_dts);
    first.run(13 * 30 - 1);
    second.run_seconds(13);
    let (first, second) = (segments(&mut first), segments(&mut second));
    assert!(second.len() >= 6 && first.ends_with(&second));
}

#[test]
fn what_leaves_the_window_stays_fetchable_and_then_goes() {
    let mut config = config();
    config.window = Duration::from_secs(14);
    let mut broadcast = Broadcast::new(config, Source::regular(30, 60), &[]);
    let (mut seen, mut removed_at) = (false, None);
    let mut gone_at = None;
    for second in 0..120 {
        broadcast.run_seconds(1);
        let snapshot = broadcast.packager.snapshot();
        let Some(media) = snapshot.media("source") else {
            continue;
        };
        let listed = media.listed().iter().any(|segment| segment.msn == WALL + 3);
        let part = media.part(WALL + 3, 0);
        seen |= listed;
        if seen && !listed && removed_at.is_none() {
            removed_at = Some(second);
        }
        if seen && part == Lookup::Missing && gone_at.is_none() {
            gone_at = Some(second);
        }
        assert!(snapshot.retained_bytes() > 0);
    }
    let kept = gone_at.unwrap() - removed_at.unwrap();
    assert!((16..=20).contains(&kept), "kept for {kept} s");
    // 14 s listed, 18 s kept, one open: 17 segments of 60 pictures of 100 bytes, boxes and sound.
    let bytes = broadcast.packager.retained_bytes();
    assert!(bytes < 17 * 60 * 250, "{bytes}");
}

#[test]
fn bandwidth_is_never_below_the_measured_peak_and_not_far_above() {
    let mut source = Source::regular(30, 60);
    source.size = Box::new(|frame| 2_000 + ((frame / 60 * 7_919) % 13) as usize * 500);
    let mut broadcast = Broadcast::new(config(), source, &[rung("960p", 50_000_000)]);
    for _ in 0..60 {
        broadcast.run_seconds(1);
        let snapshot = broadcast.packager.snapshot();
        let Some(multivariant) = snapshot.multivariant() else {
            continue;
        };
        let peak = |name: &str| {
            let media = snapshot.media(name).unwrap();
            let rate =
                |s: &std::sync::Arc<hls::Segment>| s.byte_length() as f64 * 8.0 / s.seconds();
            media.listed().iter().map(rate).fold(0.0, f64::max)
        };
        for variant in &multivariant.variants {
            let measured = peak(&variant.rendition) + peak("audio");
            let said = variant.bandwidth as f64;
            assert!(
                measured <= said && said <= measured * 1.25 + 2_000.0,
                "{measured} {said}"
            );
            assert!(variant.average_bandwidth <= variant.bandwidth);
        }
    }
}

#[test]
fn wrong_calls_are_refused_with_a_reason() {
    let mut wrong = config();
    wrong.part_target = Some(Duration::from_secs(3));
    let error = Packager::new(wrong, fresh()).unwrap_err().to_string();
    assert_eq!(error, "cannot use part_target = 3s: make it 100ms to 2s");
    let mut packager = Packager::new(config(), fresh()).unwrap();
    assert!(packager.start(Tracks::default(), Vec::new()).is_err());
    let swapped = Tracks {
        video: Some(audio_track(48_000)),
        audio: None,
    };
    assert!(packager.start(swapped, Vec::new()).is_err());
    assert!(packager.rung_gap(3).is_err());
    packager.end();
    assert!(packager.snapshot().media("source").is_none());
}
