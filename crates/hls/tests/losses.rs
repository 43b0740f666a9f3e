//! What is missing becomes a gap, and what comes back is aligned.

mod common;

use std::time::Duration;

use common::{Broadcast, Source, WALL, config, events, numbers, rung, watch};
use hls::{Delivery, Event, Lookup, MediaSnapshot, check::Checker, render_media};

#[test]
fn a_lost_rung_gets_gaps_and_comes_back_aligned() {
    let rungs = [rung("1920p", 2_000_000), rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    broadcast.run_seconds(11);
    broadcast.mute[0] = true;
    broadcast.packager.rung_gap(0).unwrap();
    broadcast.run_seconds(8);
    broadcast.mute[0] = false;
    let mut checker = Checker::new();
    assert_eq!(
        watch(&mut broadcast, &mut checker, 240),
        Vec::<String>::new()
    );
    let snapshot = broadcast.packager.snapshot();
    let lost = snapshot.media("1920p").unwrap();
    let gaps: Vec<u64> = lost
        .listed()
        .iter()
        .filter(|s| s.gap)
        .map(|s| s.msn - WALL)
        .collect();
    assert_eq!(gaps, [5, 6, 7, 8, 9]);
    assert!(matches!(lost.segment(WALL + 6), Lookup::Missing));
    let other = snapshot.media("960p").unwrap();
    assert!(other.listed().iter().all(|segment| !segment.gap));
    assert_eq!(numbers(lost), numbers(other));
    assert!(
        snapshot
            .multivariant()
            .unwrap()
            .variants
            .iter()
            .any(|v| &*v.rendition == "1920p")
    );
    let raised = events(&mut broadcast.packager);
    assert!(
        raised
            .iter()
            .filter(|event| matches!(event, Event::Gap { .. }))
            .count()
            == 5
    );
}

#[test]
fn a_rung_that_says_nothing_is_given_up_within_bounds() {
    let mut broadcast = Broadcast::new(
        config(),
        Source::regular(30, 60),
        &[rung("960p", 1_000_000)],
    );
    broadcast.run_seconds(11);
    broadcast.mute[0] = true;
    for _ in 0..30 {
        broadcast.run_seconds(1);
        let snapshot = broadcast.packager.snapshot();
        let last = |name: &str| snapshot.media(name).unwrap().last_msn().unwrap();
        // Six seconds and the segment at hand.
        assert!(last("source") - last("960p") <= 4);
    }
}

#[test]
fn a_rung_that_never_comes_up_delays_the_multivariant_playlist_within_bounds_only() {
    let rungs = [rung("1920p", 2_000_000), rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    broadcast.mute[0] = true;
    broadcast.run_seconds(14);
    assert!(broadcast.packager.snapshot().multivariant().is_none());
    broadcast.run_seconds(5);
    let names = |broadcast: &mut Broadcast| {
        let snapshot = broadcast.packager.snapshot();
        let variants = &snapshot.multivariant().unwrap().variants;
        variants
            .iter()
            .map(|variant| variant.rendition.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&mut broadcast), ["source", "960p"]);
    // It joins once it has come up, and its numbers are the others'.
    broadcast.mute[0] = false;
    broadcast.run_seconds(12);
    assert_eq!(names(&mut broadcast), ["source", "1920p", "960p"]);
    let snapshot = broadcast.packager.snapshot();
    let own = numbers(snapshot.media("1920p").unwrap());
    assert!(numbers(snapshot.media("source").unwrap()).ends_with(&own));
}

#[test]
fn pictures_that_stand_still_become_gaps_while_sound_goes_on() {
    let rungs = [rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    broadcast.run_seconds(11);
    let mut checker = Checker::new();
    watch(&mut broadcast, &mut checker, 1);
    // Seven seconds of sound alone; encoders give out what they still hold.
    broadcast.flush_rungs();
    for _ in 0..210 {
        broadcast.dts += i64::from(broadcast.source.frame);
        broadcast.step_audio();
        let snapshot = broadcast.packager.snapshot();
        for media in snapshot.renditions() {
            let found = checker.media(media.name(), &render_media(media, &Delivery::default()));
            assert!(
                found.iter().all(|v| v.rule.id() == "hint-broken"),
                "{found:?}"
            );
        }
    }
    broadcast.frame = 0;
    let found = watch(&mut broadcast, &mut checker, 240);
    assert!(
        found
            .iter()
            .all(|violation| violation.contains("hint-broken")),
        "{found:?}"
    );
    broadcast.end();
    let snapshot = broadcast.packager.snapshot();
    let gaps = |name: &str| {
        let media = snapshot.media(name).unwrap();
        media
            .listed()
            .iter()
            .map(|s| u8::from(s.gap))
            .collect::<Vec<_>>()
    };
    assert_eq!(gaps("source"), gaps("960p"));
    assert!(gaps("source").iter().sum::<u8>() >= 3);
    assert!(gaps("audio").iter().all(|gap| *gap == 0));
    let raised = events(&mut broadcast.packager);
    assert!(
        raised
            .iter()
            .any(|event| matches!(event, Event::VideoStalled { .. }))
    );
    assert!(
        raised
            .iter()
            .any(|event| matches!(event, Event::VideoResumed { .. }))
    );
}

#[test]
fn sound_that_stops_becomes_gaps_and_comes_back() {
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &[]);
    broadcast.run_seconds(11);
    broadcast.audio_mute = true;
    broadcast.run_seconds(10);
    broadcast.audio_mute = false;
    broadcast.run_seconds(10);
    let snapshot = broadcast.packager.snapshot();
    let audio = snapshot.media("audio").unwrap();
    let gaps: Vec<u64> = audio
        .listed()
        .iter()
        .filter(|s| s.gap)
        .map(|s| s.msn - WALL)
        .collect();
    assert_eq!(gaps, [6, 7, 8, 9]);
    let source = snapshot.media("source").unwrap();
    let total = |media: &MediaSnapshot| media.listed().iter().map(|s| s.seconds()).sum::<f64>();
    let difference = total(audio) - total(source);
    assert!(
        difference.abs() < 0.1,
        "playlists must not drift apart: {difference}"
    );
}

#[test]
fn pictures_and_sound_may_come_and_go() {
    let mut source = Source::regular(30, 60);
    source.audio_rate = None;
    let mut broadcast = Broadcast::new(config(), source, &[]);
    broadcast.run_seconds(11);
    assert!(broadcast.packager.snapshot().media("audio").is_none());
    broadcast.discontinuity(Source::regular(30, 60), Duration::ZERO);
    broadcast.run_seconds(11);
    let mut silent = Source::regular(30, 60);
    silent.audio_rate = None;
    broadcast.discontinuity(silent, Duration::ZERO);
    broadcast.run_seconds(11);
    let snapshot = broadcast.packager.snapshot();
    let (source, audio) = (
        snapshot.media("source").unwrap(),
        snapshot.media("audio").unwrap(),
    );
    assert!(numbers(source).ends_with(&numbers(audio)));
    let gaps = audio.listed().iter().filter(|segment| segment.gap).count();
    assert_eq!(gaps, 5, "a rendition once listed stays");
    assert_eq!(
        source.listed().iter().filter(|s| s.discontinuity).count(),
        2
    );
}

#[test]
fn a_rungs_last_picture_before_an_interruption_ends_with_the_source() {
    let rungs = [rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    broadcast.run_seconds(9);
    broadcast.packager.interrupt();
    // Its encoder learns durations from the next picture, which comes after the reconnect.
    broadcast.stretch(0, 7_777_777);
    broadcast.discontinuity(Source::regular(30, 60), Duration::from_millis(21_605));
    let mut checker = Checker::new();
    let found = watch(&mut broadcast, &mut checker, 300);
    assert_eq!(found, Vec::<String>::new());
    let snapshot = broadcast.packager.snapshot();
    let ends = |name: &str| {
        let listed = snapshot.media(name).unwrap().listed();
        listed
            .iter()
            .map(|s| (s.msn, s.duration))
            .collect::<Vec<_>>()
    };
    let (rung, source) = (ends("960p"), ends("source"));
    assert_eq!(rung[..], source[..rung.len()]);
    assert!(rung.len() > 6);
}

/// Every playlist, judged.
fn judged(broadcast: &mut Broadcast, checker: &mut Checker) -> Vec<String> {
    let snapshot = broadcast.packager.snapshot();
    let mut found = Vec::new();
    for media in snapshot.renditions() {
        found.extend(checker.media(media.name(), &render_media(media, &Delivery::default())));
    }
    found.extend(checker.across());
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn an_interruption_one_picture_into_a_segment_is_that_picture_and_a_gap_in_sound_as_long() {
    let rungs = [rung("960p", 1_000_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 60), &rungs);
    let mut checker = Checker::new();
    assert_eq!(
        watch(&mut broadcast, &mut checker, 30 * 20 + 1),
        Vec::<String>::new()
    );
    broadcast.packager.interrupt();
    broadcast.flush_rungs();
    assert_eq!(judged(&mut broadcast, &mut checker), Vec::<String>::new());
    let snapshot = broadcast.packager.snapshot();
    for name in ["source", "960p", "audio"] {
        let last = snapshot.media(name).unwrap().listed().last().unwrap();
        assert_eq!((last.msn, last.gap), (WALL + 10, name == "audio"), "{name}");
        assert!((last.seconds() - 1.0 / 30.0).abs() < 0.001, "{name}");
    }
    broadcast.discontinuity(Source::regular(30, 60), Duration::from_secs(3));
    assert_eq!(
        watch(&mut broadcast, &mut checker, 30 * 9),
        Vec::<String>::new()
    );
}

#[test]
fn sound_that_outlasts_its_pictures_never_exceeds_the_target_duration() {
    let mut source = Source::regular(30, 30);
    // No keyframe comes after six seconds: segments are cut where the target duration ends.
    source.is_sync = Box::new(|frame| frame <= 180 && frame % 30 == 0);
    let mut broadcast = Broadcast::new(config(), source, &[]);
    broadcast.run_seconds(7);
    let opened = broadcast.opened.len();
    while broadcast.opened.len() == opened {
        broadcast.run(1);
    }
    broadcast.run(71);
    assert_eq!(
        broadcast.opened.len(),
        opened + 1,
        "a picture is missing to the next cut"
    );
    // A quarter of a second of sound ahead of the pictures, as encoders send it.
    let pictures_end = broadcast.dts;
    broadcast.dts += 8 * i64::from(broadcast.source.frame);
    broadcast.step_audio();
    broadcast.dts = pictures_end;
    broadcast.packager.interrupt();
    assert_eq!(
        judged(&mut broadcast, &mut Checker::new()),
        Vec::<String>::new()
    );
}
