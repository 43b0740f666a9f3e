//! A run after a peer that died: numbers are consecutive, and gaps stand for what was lost.

mod common;

use std::time::Duration;

use common::{Broadcast, broadcast, config, watch};
use hls::{Config, Delivery, LastPosition, Packager, Start, render_media};

/// Continues from `last_position` in another process, `away` after `died`'s last picture.
fn gone_on(died: &Broadcast, last_position: LastPosition, away: Duration) -> Broadcast {
    let settings = Config {
        run_id: "e2".into(),
        ..config()
    };
    let packager = Packager::new(settings, Start::AfterPeer(last_position)).unwrap();
    common::gone_on(died, packager, away)
}

#[test]
fn a_killed_process_is_gone_on_from_without_a_broken_rule() {
    for (frames, away_ms) in [(0, 400), (1, 3_000), (29, 5_000), (59, 90_000)] {
        let (mut died, mut checker) = broadcast(31, 60);
        assert_eq!(watch(&mut died, &mut checker, frames), Vec::<String>::new());
        let last_position = died.packager.last_position().unwrap();
        let mut next = gone_on(&died, last_position, Duration::from_millis(away_ms));
        let found = watch(&mut next, &mut checker, 60 * 30);
        assert_eq!(found, Vec::<String>::new(), "{frames} frames, {away_ms} ms");
        let snapshot = next.packager.snapshot();
        for media in snapshot.renditions() {
            let [lost, also, last, first, ..] = media.retained() else {
                panic!("{} lists its segments", media.name());
            };
            assert!(
                lost.gap && also.gap && last.gap && !first.gap,
                "{}",
                media.name()
            );
            assert_eq!((lost.msn, first.discontinuity), (last_position.msn, true));
        }
    }
}

#[test]
fn the_first_playlist_needs_one_segment_only() {
    let (died, _) = broadcast(31, 60);
    let last_position = died.packager.last_position().unwrap();
    let mut next = gone_on(&died, last_position, Duration::from_secs(7));
    next.run(62);
    let snapshot = next.packager.snapshot();
    assert_eq!(snapshot.constants(), Some(last_position.constants));
    assert_eq!(snapshot.media("source").unwrap().listed().len(), 4);
    next.run(10);
    assert!(
        next.packager.snapshot().multivariant().is_some(),
        "rungs are as quick"
    );
}

#[test]
fn a_discontinuity_that_was_told_of_is_kept() {
    let (mut died, mut checker) = broadcast(31, 60);
    died.packager.interrupt();
    died.flush_rungs();
    let last_position = died.packager.last_position().unwrap();
    assert!(last_position.discontinuity);
    assert_eq!(
        last_position.msn,
        died.packager.next_msn(),
        "nothing is open"
    );
    for media in died.packager.snapshot().renditions() {
        let text = render_media(media, &Delivery::default());
        assert!(checker.media(media.name(), &text).is_empty());
    }
    let mut next = gone_on(&died, last_position, Duration::from_secs(4));
    assert_eq!(watch(&mut next, &mut checker, 600), Vec::<String>::new());
    assert_eq!(
        next.packager.discontinuity_sequence(),
        last_position.discontinuity_sequence + 2
    );
}

#[test]
fn a_clock_that_went_back_dates_nothing_before_what_was_shown() {
    let (died, _) = broadcast(31, 60);
    let last_position = died.packager.last_position().unwrap();
    let mut next = gone_on(&died, last_position, Duration::ZERO);
    next.dts = 0;
    next.audio_dts = 0;
    next.run_seconds(10);
    let snapshot = next.packager.snapshot();
    let dates: Vec<i64> = snapshot
        .media("source")
        .unwrap()
        .listed()
        .iter()
        .map(|one| one.program_date_time)
        .collect();
    assert!(
        dates.is_sorted() && dates[3] == last_position.date_micros,
        "{dates:?}"
    );
}

#[test]
fn nothing_is_said_of_a_position_before_the_first_playlist() {
    let packager = Packager::new(config(), common::fresh()).unwrap();
    assert_eq!(packager.last_position(), None);
}
