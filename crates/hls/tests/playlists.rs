//! Playlist text against golden files, read back by another parser; blocking reload and lookups.
//!
//! `UPDATE_GOLDEN=1 cargo test -p hls` rewrites the files; read the difference before committing
//! it.

mod common;

use std::{path::PathBuf, time::Duration};

use common::{Broadcast, Source, WALL, config, rung};
use hls::{
    Config, Delivery, Flavour, Hint, Lookup, MediaSnapshot, Snapshot,
    reload::{BadRequest, Decision, Directives, Skip, decide, ends_as_asked},
    render_media, render_multivariant,
};
use media::{Immersive, Projection, StereoLayout};

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "{name}");
    let (rest, parsed) = m3u8_rs::parse_playlist(text.as_bytes()).unwrap();
    assert!(rest.is_empty());
    match parsed {
        m3u8_rs::Playlist::MediaPlaylist(media) => {
            let listed = text
                .lines()
                .filter(|line| line.starts_with("#EXTINF"))
                .count();
            assert_eq!(media.segments.len(), listed);
            assert!(
                media
                    .segments
                    .iter()
                    .all(|segment| segment.program_date_time.is_some())
            );
        }
        m3u8_rs::Playlist::MasterPlaylist(multivariant) => {
            assert!(
                multivariant
                    .variants
                    .iter()
                    .all(|variant| variant.codecs.is_some())
            );
        }
    }
}

fn broadcast() -> Broadcast {
    let mut config = config();
    config.window = Duration::from_secs(14);
    let rungs = [rung("1920p", 5_800_000), rung("480p", 500_000)];
    let mut source = Source::regular(30, 60);
    source.rung_lag = 20;
    source.size = Box::new(|frame| if frame % 60 == 0 { 9_000 } else { 1_000 });
    Broadcast::new(config, source, &rungs)
}

fn full(snapshot: &Snapshot, name: &str) -> String {
    render_media(snapshot.media(name).unwrap(), &Delivery::default())
}

#[test]
fn live_low_latency() {
    let mut broadcast = broadcast();
    broadcast.run(30 * 40 + 50);
    let snapshot = broadcast.packager.snapshot();
    golden("live_source.m3u8", &full(&snapshot, "source"));
    golden("live_rung.m3u8", &full(&snapshot, "480p"));
    golden("live_audio.m3u8", &full(&snapshot, "audio"));
    let multivariant = snapshot.multivariant().unwrap();
    golden(
        "multivariant_web.m3u8",
        &render_multivariant(multivariant, Some("test"), Flavour::Web),
    );
    golden(
        "multivariant_spatial.m3u8",
        &render_multivariant(multivariant, Some("test"), Flavour::Spatial),
    );
}

#[test]
fn live_with_discontinuity_and_gaps() {
    let mut broadcast = broadcast();
    broadcast.run_seconds(12);
    broadcast.packager.rung_gap(1).unwrap();
    broadcast.mute[1] = true;
    broadcast.run_seconds(4);
    broadcast.mute[1] = false;
    broadcast.discontinuity(Source::regular(30, 60), Duration::from_secs(3));
    broadcast.run_seconds(5);
    let snapshot = broadcast.packager.snapshot();
    golden("live_discontinuity.m3u8", &full(&snapshot, "source"));
    golden("live_gaps.m3u8", &full(&snapshot, "480p"));
}

#[test]
fn ended() {
    let mut broadcast = broadcast();
    broadcast.run_seconds(7);
    broadcast.end();
    let snapshot = broadcast.packager.snapshot();
    let text = full(&snapshot, "source");
    assert!(text.ends_with("#EXT-X-ENDLIST\n"));
    assert!(!text.contains("HINT") && !text.contains("EXT-X-PART:") && !text.contains("REPORT"));
    golden("ended.m3u8", &text);
}

#[test]
fn ended_before_the_first_playlist_lists_what_there_is() {
    let mut broadcast = broadcast();
    broadcast.run_seconds(1);
    broadcast.end();
    let snapshot = broadcast.packager.snapshot();
    assert_eq!(snapshot.media("source").unwrap().listed().len(), 1);
    assert_eq!(snapshot.multivariant().unwrap().variants.len(), 3);
}

#[test]
fn without_parts_nothing_low_latency_is_said() {
    let mut config = config();
    config.part_target = None;
    let mut broadcast = Broadcast::new(config, Source::regular(30, 60), &[]);
    broadcast.run_seconds(15);
    let snapshot = broadcast.packager.snapshot();
    let text = full(&snapshot, "source");
    assert!(
        !text.contains("PART") && text.contains("CAN-BLOCK-RELOAD=YES"),
        "{text}"
    );
    golden("live_without_parts.m3u8", &text);
    let media = snapshot.media("source").unwrap();
    let next = media.last_msn().unwrap() + 1;
    let wait = Decision::Wait {
        msn: next,
        part: None,
    };
    assert_eq!(decide(&directives(Some(next), Some(0)), media), wait);
    assert_eq!(media.part(next, 0), Lookup::Missing);
}

#[test]
fn delta_updates_skip_what_is_older_than_six_target_durations() {
    let mut broadcast = broadcast();
    broadcast.run_seconds(60);
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap();
    let delta = Delivery {
        skip: Some(Skip::Yes),
    };
    let text = render_media(media, &delta);
    golden("live_delta.m3u8", &text);
    let listed = media.listed();
    let skipped: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS="))
        .unwrap()
        .parse()
        .unwrap();
    let rest: f64 = listed[skipped..]
        .iter()
        .map(|segment| segment.seconds())
        .sum();
    assert!(rest >= 12.0 && rest - listed[skipped].seconds() < 12.0);
    let mut checker = hls::check::Checker::new();
    checker.media("source", &render_media(media, &Delivery::default()));
    assert_eq!(checker.media("source", &text), []);
}

#[test]
fn spatial_says_what_the_draft_has_words_for() {
    let line = |projection, stereo, flavour| {
        let mut config = config();
        config.immersive = Immersive {
            projection,
            stereo,
            ..Immersive::default()
        };
        let mut broadcast = Broadcast::new(config, Source::regular(30, 60), &[]);
        broadcast.run_seconds(10);
        let snapshot = broadcast.packager.snapshot();
        render_multivariant(snapshot.multivariant().unwrap(), None, flavour)
    };
    let spatial = |projection, stereo| line(projection, stereo, Flavour::Spatial);
    let text = spatial(Projection::HalfEquirectangular, StereoLayout::SideBySide);
    assert!(
        text.contains("REQ-VIDEO-LAYOUT=\"CH-STEREO/PROJ-HEQU\"") && text.contains("VERSION:12")
    );
    let text = spatial(Projection::Rectilinear, StereoLayout::Mono);
    assert!(!text.contains("REQ-") && text.contains("VERSION:6"));
    let text = line(
        Projection::Equirectangular,
        StereoLayout::Mono,
        Flavour::Web,
    );
    assert!(!text.contains("REQ-") && text.contains("VERSION:6"));
    assert!(text.contains("DATA-ID=\"org.panocast.projection\",VALUE=\"equirectangular\""));
}

#[test]
fn captions_are_said_of_the_source_alone_and_none_of_all() {
    let mut broadcast = broadcast();
    broadcast.run_seconds(20);
    let shown = broadcast
        .packager
        .snapshot()
        .multivariant()
        .unwrap()
        .clone();
    let lines = |shown: &hls::Multivariant| {
        let text = render_multivariant(shown, Some("foo"), Flavour::Web);
        let said = |line: &str| line.contains("CAPTIONS").then(|| line.to_owned());
        text.lines().filter_map(said).collect::<Vec<_>>()
    };
    let none = lines(&shown);
    assert_eq!(none.len(), shown.variants.len());
    assert!(
        none.iter()
            .all(|line| line.ends_with(",CLOSED-CAPTIONS=NONE"))
    );

    let mut with = (*shown).clone();
    with.captions = Some("CC1".to_owned());
    let said = lines(&with);
    let group = "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"Captions\",\
                 DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID=\"CC1\"";
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], group);
    assert!(said[1].ends_with(",CLOSED-CAPTIONS=\"captions\""));
}

fn directives(msn: Option<u64>, part: Option<u64>) -> Directives {
    Directives {
        msn,
        part,
        skip: None,
    }
}

/// Segments 0..=9 closed with four parts each, segment 10 open with two parts.
fn at_the_live_edge() -> std::sync::Arc<MediaSnapshot> {
    let mut broadcast = broadcast();
    broadcast.run(30 * 20 + 31);
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap().clone();
    assert_eq!(media.last_msn(), Some(WALL + 9));
    assert_eq!(media.open().unwrap().parts.len(), 2);
    media
}

#[test]
fn blocking_reload_answers_as_the_draft_says() {
    let media = at_the_live_edge();
    let ask = |msn: u64, part: Option<u64>| decide(&directives(Some(WALL + msn), part), &media);
    let wait = |msn: u64, part: Option<u64>| Decision::Wait {
        msn: WALL + msn,
        part,
    };
    assert_eq!(decide(&directives(None, None), &media), Decision::Now);
    assert_eq!(
        decide(&directives(None, Some(0)), &media),
        Decision::BadRequest(BadRequest::PartWithoutMsn)
    );
    // Whole segments.
    assert_eq!(ask(9, None), Decision::Now);
    assert_eq!(ask(10, None), wait(10, None));
    assert_eq!(ask(11, None), wait(11, None));
    assert!(matches!(
        ask(12, None),
        Decision::BadRequest(BadRequest::SegmentTooFarAhead { .. })
    ));
    // Behind the window: the playlist as it is, never an error.
    assert_eq!(
        decide(&directives(Some(3), Some(900)), &media),
        Decision::Now
    );
    // Parts.
    assert_eq!(ask(9, Some(3)), Decision::Now);
    assert_eq!(ask(10, Some(1)), Decision::Now);
    assert_eq!(ask(10, Some(2)), wait(10, Some(2)));
    assert_eq!(ask(10, Some(7)), wait(10, Some(7)));
    assert!(matches!(
        ask(10, Some(8)),
        Decision::BadRequest(BadRequest::PartTooFarAhead { .. })
    ));
    assert_eq!(ask(11, Some(0)), wait(11, Some(0)));
    // Beyond the last part of a finished segment: part 0 of the next, which is there.
    assert_eq!(ask(9, Some(4)), Decision::Now);
    assert_eq!(ask(9, Some(400)), Decision::Now);
    assert_eq!(ask(5, Some(400)), Decision::Now);
    assert_eq!(media.constants().block_limit(), Duration::from_secs(6));
}

#[test]
fn an_answer_satisfies_for_long_only_where_it_ends_with_what_was_asked_for() {
    let media = at_the_live_edge();
    let asked = |msn: u64, part| ends_as_asked(&directives(Some(WALL + msn), part), &media);
    assert!(asked(10, Some(1)), "the newest part");
    let others = [(10, Some(0)), (10, Some(2)), (9, Some(3)), (9, Some(4))];
    assert!(others.iter().all(|(msn, part)| !asked(*msn, *part)));
    assert!(
        !asked(10, None) && !asked(9, None),
        "a part is open behind it"
    );
    assert!(!asked(10, Some(u64::MAX)));
    assert!(!ends_as_asked(&directives(None, None), &media));

    let mut broadcast = broadcast();
    broadcast.run(30 * 20 + 1);
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap();
    let asked = |msn: u64, part| ends_as_asked(&directives(Some(WALL + msn), part), media);
    let all = [None, Some(2), Some(3), Some(4)];
    let found = all.iter().any(|part| asked(9, *part));
    assert!(
        !found,
        "video.js asks for the last part of a finished segment again"
    );

    let settings = Config {
        part_target: None,
        ..config()
    };
    let mut broadcast = Broadcast::new(settings, Source::regular(30, 60), &[]);
    broadcast.run_seconds(21);
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap();
    let asked = |msn: u64| ends_as_asked(&directives(Some(WALL + msn), None), media);
    assert!(asked(9) && !asked(8) && !asked(10));
}

#[test]
fn beyond_the_last_part_waits_for_the_next_segments_first() {
    let mut broadcast = broadcast();
    broadcast.run(30 * 20 + 1);
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap();
    assert!(media.open().is_none(), "no part yet");
    let wait = Decision::Wait {
        msn: WALL + 10,
        part: Some(0),
    };
    assert_eq!(decide(&directives(Some(WALL + 9), Some(4)), media), wait);
}

#[test]
fn an_ended_stream_ignores_directives() {
    let mut broadcast = broadcast();
    broadcast.run_seconds(10);
    broadcast.end();
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap();
    assert_eq!(
        decide(&directives(Some(WALL + 99), Some(5)), media),
        Decision::Now
    );
    let delta = Delivery {
        skip: Some(Skip::V2),
    };
    assert!(!render_media(media, &delta).contains("SKIP:"));
    assert_eq!(media.part(WALL + 5, 0), Lookup::Missing);
}

#[test]
fn parts_are_found_pending_or_missing() {
    let media = at_the_live_edge();
    assert!(matches!(media.part(WALL + 9, 3), Lookup::Found(bytes) if &bytes[4..8] == b"moof"));
    assert!(matches!(media.part(WALL + 10, 1), Lookup::Found(_)));
    assert_eq!(media.part(WALL + 10, 2), Lookup::Pending);
    assert_eq!(media.part(WALL + 10, 3), Lookup::Missing);
    assert_eq!(media.part(WALL + 9, 4), Lookup::Missing);
    assert_eq!(media.part(1, 0), Lookup::Missing);
    assert!(matches!(media.segment(WALL + 9), Lookup::Found(segment) if segment.parts.len() == 4));
    assert_eq!(media.segment(WALL + 10), Lookup::Pending);
    assert_eq!(media.segment(WALL + 11), Lookup::Missing);
    let hint = Hint {
        msn: WALL + 10,
        part: 2,
    };
    assert_eq!(media.hint(), Some(hint));
}

#[test]
fn the_hint_at_the_end_of_a_segment_is_the_next_segments_first_part() {
    let mut broadcast = broadcast();
    broadcast.run(30 * 22);
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("source").unwrap();
    assert_eq!(media.open().unwrap().parts.len(), 4);
    let hint = Hint {
        msn: WALL + 11,
        part: 0,
    };
    assert_eq!(media.hint(), Some(hint));
    assert_eq!(media.part(WALL + 11, 0), Lookup::Pending);
    assert_eq!(
        media.part(WALL + 10, 4),
        Lookup::Pending,
        "should the forecast fail"
    );
}

#[test]
fn a_segment_is_the_sum_of_its_parts() {
    let media = at_the_live_edge();
    let Lookup::Found(segment) = media.segment(WALL + 9) else {
        panic!("segment 9 is closed");
    };
    let whole = segment.to_bytes();
    assert_eq!(whole.len() as u64, segment.byte_length());
    let joined: Vec<u8> = segment.pieces().flat_map(|piece| piece.to_vec()).collect();
    assert_eq!(whole, joined);
}
