//! What viewers notice when an origin fails: nothing.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{Edge, Origin, PLAYLIST, SEGMENT, config, live, media, playlist, respond};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use service::http::{Body, Response};

fn not_found() -> Response {
    respond(404, "max-age=60", "no such stream")
}

#[tokio::test]
async fn a_404_is_tried_on_the_backup_and_soon_forgotten() {
    let primary = Origin::start(|_, _| async { not_found() });
    let has_it = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&has_it);
    let backup = Origin::start(move |_, _| {
        let has_it = says.load(Relaxed);
        async move { if has_it { live(9) } else { not_found() } }
    });
    let edge = Edge::with_hand(config(&[&primary, &backup])).await;
    assert_eq!(edge.get(PLAYLIST).await.status, 200);
    assert_eq!((primary.count(PLAYLIST), backup.count(PLAYLIST)), (1, 1));
    has_it.store(false, Relaxed);
    let other = "/hls/b/source/index.m3u8";
    let missing = edge.get(other).await;
    assert_eq!(missing.status, 404);
    has_it.store(true, Relaxed);
    edge.advance(Duration::from_millis(999));
    assert_eq!(edge.get(other).await.status, 404, "kept for a herd");
    edge.advance(Duration::from_millis(1));
    assert_eq!(
        edge.get(other).await.status,
        200,
        "but no longer than a second"
    );
}

#[tokio::test]
async fn a_killed_primary_is_not_noticed() {
    let mut primary = Origin::start(|_, _| async { media("from either") });
    let backup = Origin::start(|_, _| async { media("from either") });
    let edge = Edge::start(config(&[&primary, &backup])).await;
    assert_eq!(edge.get("/hls/a/source/e1/1.m4s").await.status, 200);
    assert_eq!(backup.keys(), [""; 0], "the primary is preferred");
    primary.kill();
    for n in 2..30 {
        let got = edge.get(&format!("/hls/a/source/e1/{n}.m4s")).await;
        assert_eq!((got.status, &got.body[..]), (200, &b"from either"[..]));
    }
}

/// The first `sent` bytes of `body`, then the connection dies with its origin.
fn breaking(body: &[u8], sent: usize) -> Response {
    let first = Bytes::copy_from_slice(&body[..sent]);
    let frames = futures_util::stream::iter([Ok(Frame::data(first))]).chain(
        futures_util::stream::pending::<Result<Frame<Bytes>, service::http::BodyError>>(),
    );
    let length = body.len() as u64;
    let mut response = media("");
    *response.body_mut() = Body::stream(StreamBody::new(frames));
    response
        .headers_mut()
        .insert("content-length", HeaderValue::from(length));
    response
}

#[tokio::test]
async fn a_body_that_breaks_off_is_completed_from_the_backup() {
    let body: Arc<Vec<u8>> = Arc::new((0..500_000_u32).map(|n| (n % 241) as u8).collect());
    let (sent, whole) = (Arc::clone(&body), Arc::clone(&body));
    let mut primary = Origin::start(move |_, _| {
        let response = breaking(&sent, 200_000);
        async move { response }
    });
    let backup = Origin::start(move |_, headers: HeaderMap| {
        let content = service::http::Content::new([Bytes::from(whole.to_vec())], "video/mp4")
            .with_etag("tag");
        let response = content.respond(&http::Method::GET, &headers);
        async move { response }
    });
    let edge = Edge::start(config(&[&primary, &backup])).await;
    let request = http::Request::get(format!("http://{}{SEGMENT}", edge.http));
    let response = edge.send(request.body(Body::empty()).unwrap()).await;
    let mut body_of_viewer = response.into_body();
    let mut got = Vec::new();
    while got.len() < 200_000 {
        let frame = body_of_viewer.frame().await.unwrap().unwrap();
        got.extend_from_slice(frame.data_ref().unwrap());
    }
    primary.kill();
    got.extend_from_slice(&body_of_viewer.collect().await.unwrap().to_bytes());
    assert!(got == *body, "every byte, in order");
    assert_eq!(edge.metric("edge_upstream_resumed_total").await, 1.0);
}

#[tokio::test]
async fn a_body_that_nobody_can_complete_is_cut_not_shortened() {
    let mut origin = Origin::start(|_, _| async { breaking(&[1; 300_000], 100_000) });
    let edge = Edge::start(config(&[&origin])).await;
    let request = http::Request::get(format!("http://{}{SEGMENT}", edge.http));
    let response = edge.send(request.body(Body::empty()).unwrap()).await;
    let mut body = response.into_body();
    let mut got = 0;
    while got < 100_000 {
        got += body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .data_ref()
            .unwrap()
            .len();
    }
    origin.kill();
    assert!(body.collect().await.is_err());
}

#[tokio::test]
async fn a_silent_primary_delays_a_playlist_by_less_than_a_segment() {
    let silent = Origin::start(|_, _| std::future::pending());
    let backup = Origin::start(|_, _| async { live(9) });
    let edge = Edge::with_hand(config(&[&silent, &backup])).await;
    let asked = edge.get(PLAYLIST);
    let moved = async {
        while silent.count(PLAYLIST) == 0 {
            tokio::task::yield_now().await;
        }
        // In small steps: the timer starts after the primary has been asked.
        let mut waited = Duration::ZERO;
        while backup.count(PLAYLIST) == 0 {
            edge.advance(Duration::from_millis(10));
            waited += Duration::from_millis(10);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waited
    };
    let (got, waited) = tokio::join!(asked, moved);
    assert_eq!(got.status, 200);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_stale_playlist_is_replaced_by_the_backups() {
    let primary = Origin::start(|_, _| async { live(9) });
    let msn = Arc::new(AtomicU64::new(9));
    let moving = Arc::clone(&msn);
    let backup = Origin::start(move |_, _| {
        let msn = moving.load(Relaxed);
        async move { live(msn) }
    });
    let edge = Edge::with_hand(config(&[&primary, &backup])).await;
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(9));
    msn.store(10, Relaxed);
    edge.advance(Duration::from_secs(2));
    assert_eq!(
        edge.get(PLAYLIST).await.body,
        playlist(9),
        "within 1.5 target durations"
    );
    edge.advance(Duration::from_millis(1_500));
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(10));
    edge.advance(Duration::from_secs(1));
    msn.store(11, Relaxed);
    assert_eq!(
        edge.get(PLAYLIST).await.body,
        playlist(11),
        "the backup is ahead, and asked first"
    );
    assert_eq!(edge.metric("edge_stale_playlists_total").await, 1.0);
    assert_eq!(edge.metric("edge_streams_led").await, 1.0);
}

#[tokio::test]
async fn a_resting_stream_stays_200_and_a_dead_one_does_not() {
    let origins = [
        Origin::start(|_, _| async { live(9) }),
        Origin::start(|_, _| async { live(9) }),
    ];
    let edge = Edge::with_hand(config(&[&origins[0], &origins[1]])).await;
    assert_eq!(edge.get(PLAYLIST).await.status, 200);
    edge.advance(Duration::from_secs(60));
    assert_eq!(
        edge.get(PLAYLIST).await.status,
        200,
        "its encoder may come back"
    );
    edge.advance(Duration::from_secs(20));
    let frozen = edge.get(PLAYLIST).await;
    assert_eq!((frozen.status, frozen.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn what_is_too_far_ahead_for_a_frozen_primary_is_asked_of_the_backup() {
    // As rfc8216bis section 6.2.5.2 has it: two segments past the end is a mistake of the client's.
    let primary = Origin::start(|key, _| async move {
        match key.contains("_HLS_msn=14") {
            true => respond(400, "no-store", "too far ahead"),
            false => live(9),
        }
    });
    let backup = Origin::start(|_, _| async { live(14) });
    let edge = Edge::start(config(&[&primary, &backup])).await;
    let ahead = format!("{PLAYLIST}?_HLS_msn=14&_HLS_part=0");
    let got = edge.get(&ahead).await;
    assert_eq!((got.status, got.body), (200, playlist(14).into()));
}

#[tokio::test]
async fn a_backup_that_has_it_later_answers_while_the_primary_blocks() {
    let primary = Origin::start(|key, _| async move {
        match key.contains("_HLS_msn") {
            true => std::future::pending().await,
            false => live(9),
        }
    });
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let backup = Origin::start(move |_, _| {
        let turn = counted.fetch_add(1, Relaxed);
        async move {
            match turn {
                0..2 => respond(404, "max-age=1", "not yet"),
                _ => live(10),
            }
        }
    });
    let edge = Edge::with_hand(config(&[&primary, &backup])).await;
    let ahead = format!("{PLAYLIST}?_HLS_msn=10&_HLS_part=0");
    let time_passes = async {
        while asked.load(Relaxed) < 3 {
            edge.advance(Duration::from_millis(50));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (got, ()) = tokio::join!(edge.get(&ahead), time_passes);
    assert_eq!((got.status, got.body), (200, playlist(10).into()));
}

#[tokio::test]
async fn media_outlives_its_origins_and_live_playlists_do_not() {
    let mut origin = Origin::start(|key, _| async move {
        match key.ends_with("m3u8") {
            true => live(9),
            false => respond(200, "max-age=1", "segment"),
        }
    });
    let edge = Edge::with_hand(config(&[&origin])).await;
    edge.get(PLAYLIST).await;
    edge.get(SEGMENT).await;
    origin.kill();
    edge.advance(Duration::from_secs(2));
    let stale = edge.get(PLAYLIST).await;
    assert_eq!((stale.status, stale.header("x-cache")), (200, "STALE"));
    // Longer than anybody waits for an origin to come back.
    edge.advance(Duration::from_secs(20));
    assert_eq!(edge.get(PLAYLIST).await.status, 503);
    let segment = edge.get(SEGMENT).await;
    assert_eq!((segment.status, segment.header("x-cache")), (200, "STALE"));
}

#[tokio::test]
async fn a_restarted_origin_is_used_again_without_anybody() {
    let mut origin = Origin::start(|_, _| async { live(9) });
    let address = origin.address;
    let edge = Edge::with_hand(config(&[&origin])).await;
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(9));
    origin.kill();
    edge.advance(Duration::from_secs(20));
    assert_eq!(edge.get(PLAYLIST).await.status, 503);
    // A new run numbers on from the wall clock: another epoch, higher numbers.
    let _again = Origin::start_at(address, |_, _| async { live(1_000) });
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(1_000));
}

#[tokio::test]
async fn viewers_wait_for_an_origin_that_is_back_in_a_moment() {
    let mut origin = Origin::start(|_, _| async { live(9) });
    let address = origin.address;
    let edge = Edge::with_hand(config(&[&origin])).await;
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(9));
    origin.kill();
    edge.advance(Duration::from_secs(4));
    let restarts = async {
        // Its streams come up after it has.
        let ready = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&ready);
        let again = Origin::start_at(address, move |_, _| {
            let turn = asked.fetch_add(1, Relaxed);
            async move {
                match turn {
                    0..3 => respond(404, "max-age=1", "no such stream"),
                    _ => live(1_000),
                }
            }
        });
        while ready.load(Relaxed) < 4 {
            edge.advance(Duration::from_millis(50));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        again
    };
    let (got, _again) = tokio::join!(edge.get(PLAYLIST), restarts);
    assert_eq!((got.status, got.body), (200, playlist(1_000).into()));
}

#[tokio::test]
async fn numbers_that_go_back_everywhere_are_taken_in_the_end() {
    let msn = Arc::new(AtomicU64::new(50));
    let moving = Arc::clone(&msn);
    let origin = Origin::start(move |_, _| {
        let msn = moving.load(Relaxed);
        async move { live(msn) }
    });
    let edge = Edge::with_hand(config(&[&origin])).await;
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(50));
    msn.store(5, Relaxed);
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(5));
    msn.store(6, Relaxed);
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(6));
}

/// A playlist to segment `msn`, the newest of which is a gap.
fn gap(msn: u64) -> Response {
    let text = playlist(msn);
    let (before, newest) = text.rsplit_once("#EXTINF").expect("segments");
    let body = format!("{before}#EXT-X-GAP\n#EXTINF{newest}");
    respond(200, "max-age=1", body)
}

#[tokio::test]
async fn who_has_no_more_to_say_is_not_asked_first_until_it_is_level() {
    let (lost, newest) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(9)),
    );
    let (is_lost, msn) = (Arc::clone(&lost), Arc::clone(&newest));
    let primary = Origin::start(move |_, _| {
        let answer = match is_lost.load(Relaxed) {
            true => gap(10),
            false => live(msn.load(Relaxed)),
        };
        async move { answer }
    });
    let msn = Arc::clone(&newest);
    let backup = Origin::start(move |_, _| {
        let answer = live(msn.load(Relaxed));
        async move { answer }
    });
    let edge = Edge::with_hand(config(&[&primary, &backup])).await;
    assert_eq!(edge.get(PLAYLIST).await.status, 200);
    assert_eq!(backup.count(PLAYLIST), 0);
    lost.store(true, Relaxed);
    newest.store(10, Relaxed);
    let key = |msn: u64| format!("{PLAYLIST}?_HLS_msn={msn}");
    let got = edge.get(&key(10)).await;
    assert!(
        !String::from_utf8_lossy(&got.body).contains("GAP"),
        "{got:?}"
    );
    assert_eq!((primary.count(&key(10)), backup.count(&key(10))), (1, 1));
    newest.store(11, Relaxed);
    assert_eq!(edge.get(&key(11)).await.status, 200);
    assert_eq!(
        (primary.count(&key(11)), backup.count(&key(11))),
        (0, 1),
        "who leads is asked alone"
    );
    assert_eq!(edge.metric("edge_streams_led").await, 1.0);
    lost.store(false, Relaxed);
    while edge.metric("edge_streams_led").await > 0.0 {
        edge.advance(Duration::from_millis(200));
    }
    newest.store(12, Relaxed);
    assert_eq!(edge.get(&key(12)).await.status, 200);
    assert_eq!(
        (primary.count(&key(12)), backup.count(&key(12))),
        (1, 0),
        "it is preferred again"
    );
}
