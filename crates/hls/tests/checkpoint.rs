//! A process is killed: what it left is listed by the next one, which goes on behind it.

mod common;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use common::{Broadcast, Source, broadcast, config, rung, watch};
use hls::{
    Config, Delivery, Packager, Snapshot, Start,
    check::Checker,
    checkpoint::{Checkpoint, ObjectRef},
    render_media, render_multivariant,
};
use media::VIDEO_TIMESCALE;

type Disk = HashMap<(String, String, ObjectRef), Bytes>;

/// What the segment store would hold of `snapshot`.
fn disk(snapshot: &Snapshot) -> Disk {
    let mut disk = Disk::new();
    for media in snapshot.renditions() {
        for segment in media.retained().iter().chain(media.open()) {
            let run_id = segment.run_id.as_deref().unwrap_or(media.run_id());
            let key = |what| (media.name().to_owned(), run_id.to_owned(), what);
            if let Some(init) = &segment.init {
                disk.insert(key(ObjectRef::Init(init.index)), init.bytes.clone());
            }
            disk.insert(key(ObjectRef::Segment(segment.msn)), segment.to_bytes());
        }
    }
    disk
}

/// Written down and read back.
fn restored(snapshot: &Snapshot, disk: &Disk, run_id: &str) -> Option<Snapshot> {
    let text = serde_json::to_string(&Checkpoint::of(snapshot)?).unwrap();
    let index: Checkpoint = serde_json::from_str(&text).unwrap();
    index.restore(run_id, |rendition, run_id, what| {
        disk.get(&(rendition.to_owned(), run_id.to_owned(), what))
            .cloned()
    })
}

/// Continues from `restored_run`, `away` after `died`'s last picture.
fn gone_on(died: &Broadcast, restored_run: Snapshot, away: Duration) -> Broadcast {
    let settings = Config {
        run_id: restored_run.run_id().to_owned(),
        ..config()
    };
    let packager = Packager::new(settings, Start::Restart(Arc::new(restored_run))).unwrap();
    common::gone_on(died, packager, away)
}

fn check(checker: &mut Checker, snapshot: &Snapshot) -> Vec<String> {
    let texts = snapshot.renditions().iter();
    let found = texts
        .flat_map(|media| checker.media(media.name(), &render_media(media, &Delivery::default())));
    found.map(|violation| violation.to_string()).collect()
}

#[test]
fn viewers_see_what_they_knew_then_a_discontinuity() {
    for (frames, away_ms) in [(0, 400), (7, 900), (29, 5_000), (47, 3_000), (59, 90_000)] {
        let (mut died, mut checker) = broadcast(31, 60);
        let none = Vec::<String>::new();
        assert_eq!(watch(&mut died, &mut checker, frames), none);
        let before = died.packager.snapshot();
        let restored_run = restored(&before, &disk(&before), "e2").unwrap();
        assert_eq!(check(&mut checker, &restored_run), none, "{frames} frames");

        let mut next = gone_on(&died, restored_run, Duration::from_millis(away_ms));
        assert_eq!(
            watch(&mut next, &mut checker, 20 * 30),
            none,
            "{frames}, {away_ms} ms"
        );
        let after = next.packager.snapshot();
        for media in after.renditions() {
            let old = before.media(media.name()).unwrap();
            let known = old.listed().last().unwrap();
            let there = media
                .retained()
                .iter()
                .find(|one| one.msn == known.msn)
                .unwrap();
            assert_eq!(there.run_id.as_deref(), Some("e1"));
            assert_eq!(there.to_bytes(), known.to_bytes());
            let breaks = media.retained().iter().filter(|one| one.discontinuity);
            let [only] = breaks.collect::<Vec<_>>()[..] else {
                panic!("one discontinuity");
            };
            assert_eq!(only.run_id, None, "where the new run begins");
            let expected = before.next_numbers().0;
            assert_eq!(
                only.msn,
                expected,
                "{}: right behind what viewers know",
                media.name()
            );
        }
        assert!(after.multivariant().is_some(), "listed all the time");
    }
}

#[test]
fn changes_made_again_give_the_same_index() {
    let source = Source::regular(30, 60);
    let mut broadcast = Broadcast::new(config(), source, &[rung("960p", 1_000_000)]);
    let (mut written, mut wholes, mut longest) = (None::<Checkpoint>, 0, 0);
    for frame in 0..120 * 30 {
        broadcast.mute[0] = (900..1100).contains(&frame);
        broadcast.step();
        if frame % 1000 == 999 {
            let pause = Duration::from_secs(2);
            broadcast.discontinuity(Source::regular(30, 60), pause);
        }
        let Some(now) = Checkpoint::of(&broadcast.packager.snapshot()) else {
            continue;
        };
        let change = written.as_ref().and_then(|before| now.since(before));
        written = match (written, change) {
            (Some(mut index), Some(change)) => {
                let text = serde_json::to_string(&change).unwrap();
                longest = longest.max(text.len());
                index.apply(serde_json::from_str(&text).unwrap()).unwrap();
                assert_eq!(index, now, "frame {frame}");
                Some(index)
            }
            _ => {
                wholes += 1;
                Some(now)
            }
        };
    }
    let whole = serde_json::to_string(&written).unwrap().len();
    assert!(wholes <= 2, "{wholes}: nothing but segments changes");
    assert!(longest * 5 < whole, "{longest} bytes at a time of {whole}");
}

#[test]
fn what_is_open_is_kept_as_far_as_it_got() {
    let (mut died, _) = broadcast(31, 60);
    died.run(50);
    let before = died.packager.snapshot();
    let open = before
        .media("source")
        .unwrap()
        .open()
        .expect("a segment")
        .clone();
    let restored_run = restored(&before, &disk(&before), "e2").unwrap();
    let last = restored_run
        .media("source")
        .unwrap()
        .listed()
        .last()
        .unwrap()
        .clone();
    assert_eq!((last.msn, last.gap), (open.msn, false));
    assert_eq!(last.parts, open.parts);
    assert!(last.seconds() < 2.0, "{}", last.seconds());
    assert_eq!(
        restored_run.media("960p").unwrap().last_msn(),
        Some(open.msn)
    );
    assert_eq!(
        restored_run.media("audio").unwrap().last_msn(),
        Some(open.msn)
    );
    let end = died.dts as f64 / f64::from(VIDEO_TIMESCALE.rate());
    let kept = restored_run.end_seconds();
    assert!(
        kept <= end && kept > end - 0.6,
        "{kept} of {end}: but for what made no part yet"
    );
}

#[test]
fn a_rung_that_had_nothing_of_the_newest_segment_has_a_gap_there() {
    let (mut died, mut checker) = broadcast(31, 60);
    let found = watch(&mut died, &mut checker, 47);
    assert_eq!(found, Vec::<String>::new());
    let before = died.packager.snapshot();
    let open = before.media("source").unwrap().open().unwrap().msn;
    assert!(before.media("960p").unwrap().open().is_none());
    let restored_run = restored(&before, &disk(&before), "e2").unwrap();
    let last = restored_run.media("960p").unwrap().listed().last().unwrap();
    assert_eq!((last.msn, last.gap), (open, true));
    assert!(
        !restored_run
            .media("source")
            .unwrap()
            .listed()
            .last()
            .unwrap()
            .gap
    );
}

#[test]
fn lost_bytes_are_gaps_and_nothing_else_is() {
    let (mut died, _) = broadcast(31, 60);
    let before = died.packager.snapshot();
    let mut disk = disk(&before);
    let lost = before.media("960p").unwrap().listed()[3].msn;
    let short = before.media("audio").unwrap().listed()[5].msn;
    disk.remove(&("960p".to_owned(), "e1".to_owned(), ObjectRef::Segment(lost)));
    let cut = disk.get_mut(&(
        "audio".to_owned(),
        "e1".to_owned(),
        ObjectRef::Segment(short),
    ));
    cut.unwrap().truncate(40);
    let restored_run = restored(&before, &disk, "e2").unwrap();
    let gaps: Vec<(&str, u64)> = restored_run
        .renditions()
        .iter()
        .flat_map(|media| media.listed().iter().map(|one| (media.name(), one)))
        .filter(|(_, one)| one.gap)
        .map(|(name, one)| (name, one.msn))
        .collect();
    assert_eq!(gaps, [("960p", lost), ("audio", short)]);
    assert_eq!(
        check(&mut Checker::new(), &restored_run),
        Vec::<String>::new()
    );
}

#[test]
fn a_process_may_be_killed_again_before_its_encoder_is_back() {
    let (mut died, mut checker) = broadcast(31, 60);
    let before = died.packager.snapshot();
    let disk = disk(&before);
    let once = restored(&before, &disk, "e2").unwrap();
    let twice = restored(&once, &disk, "e3").unwrap();
    assert_eq!(twice.next_numbers(), before.next_numbers());
    let mut next = gone_on(&died, twice, Duration::from_secs(2));
    assert_eq!(watch(&mut next, &mut checker, 300), Vec::<String>::new());
    let text = render_media(
        next.packager.snapshot().media("source").unwrap(),
        &Delivery::default(),
    );
    assert!(
        text.contains("e1/") && text.contains("e3/") && !text.contains("e2/"),
        "{text}"
    );
}

#[test]
fn a_publisher_that_never_comes_back_leaves_playlists_with_an_end() {
    let (mut died, mut checker) = broadcast(31, 60);
    let before = died.packager.snapshot();
    let restored_run = restored(&before, &disk(&before), "e2").unwrap();
    let ended = restored_run.ended();
    assert_eq!(check(&mut checker, &ended), Vec::<String>::new());
    let text = render_media(ended.media("source").unwrap(), &Delivery::default());
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert!(
        Checkpoint::of(&ended).is_none(),
        "nobody goes on from an end"
    );
}

#[test]
fn variants_are_listed_as_before_until_they_are_measured() {
    let (mut died, _) = broadcast(31, 60);
    let before = died.packager.snapshot();
    let restored_run = restored(&before, &disk(&before), "e2").unwrap();
    let text = |snapshot: &Snapshot| {
        let shown = snapshot.multivariant().expect("listed");
        render_multivariant(shown, Some("foo"), hls::Flavour::Web)
    };
    assert_eq!(text(&restored_run), text(&before));
    let settings = Config {
        run_id: "e2".into(),
        ..config()
    };
    let mut packager = Packager::new(settings, Start::Restart(Arc::new(restored_run))).unwrap();
    let source = Source::regular(30, 60);
    packager
        .start(source.tracks(), vec![rung("960p", 1_000_000)])
        .unwrap();
    assert_eq!(
        text(&packager.snapshot()),
        text(&before),
        "before any unit came"
    );
}

#[test]
fn strangers_and_nonsense_are_refused() {
    let (mut died, _) = broadcast(31, 60);
    let before = died.packager.snapshot();
    let restored_run = Arc::new(restored(&before, &disk(&before), "e2").unwrap());
    let other = Packager::new(config(), Start::Restart(restored_run));
    assert!(other.is_err(), "it was restored for another run");
    let text = serde_json::to_string(&Checkpoint::of(&before).unwrap()).unwrap();
    let first = before.media("source").unwrap().listed()[0].msn;
    let jumbled = text.replacen(&format!("\"msn\":{first}"), "\"msn\":7", 1);
    assert_ne!(jumbled, text);
    let jumbled: Checkpoint = serde_json::from_str(&jumbled).unwrap();
    assert!(jumbled.restore("e2", |_, _, _| None).is_none());
}
