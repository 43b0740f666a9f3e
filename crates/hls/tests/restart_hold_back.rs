//! The encoder was away: after a long pause viewers get more than one segment at once, after a
//! short one what there is.

mod common;

use std::time::Duration;

use common::{Broadcast, watch};
use hls::{Delivery, check::Checker, render_media};
use media::VIDEO_TIMESCALE;

/// A broadcast whose encoder comes back after `away`.
fn paused(away: Duration, gop: u64) -> (Broadcast, Checker) {
    let (mut broadcast, mut checker) = common::broadcast(31, gop);
    broadcast.packager.interrupt();
    broadcast.flush_rungs();
    for media in broadcast.packager.snapshot().renditions() {
        let text = render_media(media, &Delivery::default());
        assert!(checker.media(media.name(), &text).is_empty());
    }
    let tracks = broadcast.source.tracks();
    broadcast.packager.discontinuity(tracks).unwrap();
    broadcast.dts += VIDEO_TIMESCALE.ticks(away);
    broadcast.audio_dts = VIDEO_TIMESCALE.rescale(broadcast.dts, broadcast.timescale());
    broadcast.frame = 0;
    (broadcast, checker)
}

fn shown(broadcast: &mut Broadcast) -> (Option<u64>, usize) {
    let snapshot = broadcast.packager.snapshot();
    let media = snapshot.media("960p").unwrap();
    let parts = media.open().map_or(0, |open| open.parts.len());
    (media.last_msn(), parts)
}

#[test]
fn after_a_long_pause_three_segments_come_at_once() {
    let (mut broadcast, mut checker) = paused(Duration::from_secs(30), 60);
    let before = shown(&mut broadcast);
    broadcast.run(120 + 30);
    assert_eq!(
        shown(&mut broadcast),
        before,
        "two and a half are not shown"
    );
    assert!(!broadcast.packager.has_changed(), "and wake nobody");
    broadcast.run(40);
    let after = shown(&mut broadcast);
    assert_eq!(after.0, before.0.map(|msn| msn + 3));
    assert_eq!(
        watch(&mut broadcast, &mut checker, 600),
        Vec::<String>::new()
    );
}

#[test]
fn after_a_short_pause_the_first_part_is_shown() {
    let (mut broadcast, mut checker) = paused(Duration::from_secs(3), 60);
    let before = shown(&mut broadcast);
    broadcast.run(30);
    let after = shown(&mut broadcast);
    assert!(after.0 == before.0 && after.1 > 0, "{after:?}");
    assert_eq!(
        watch(&mut broadcast, &mut checker, 600),
        Vec::<String>::new()
    );
}

#[test]
fn an_encoder_that_leaves_again_is_not_held_back() {
    let (mut broadcast, _) = paused(Duration::from_secs(30), 60);
    let before = shown(&mut broadcast);
    broadcast.run(80);
    broadcast.packager.interrupt();
    broadcast.flush_rungs();
    assert!(shown(&mut broadcast).0 > before.0, "what there is is shown");
}

#[test]
fn two_long_segments_are_enough() {
    let (mut broadcast, _) = paused(Duration::from_secs(60), 150);
    let before = shown(&mut broadcast);
    broadcast.run(250);
    assert_eq!(shown(&mut broadcast), before);
    broadcast.run(60);
    assert_eq!(shown(&mut broadcast).0, before.0.map(|msn| msn + 2));
}
