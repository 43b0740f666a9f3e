//! What is kept, under which key, and what viewers are told about it.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{Edge, Origin, PLAYLIST, SEGMENT, config, live, media, playlist, respond};
use store::{MemoryStore, ObjectMetadata, Store};

#[tokio::test]
async fn hits_say_their_age_and_who_answers() {
    let origin = Origin::start(|_, _| async { media(vec![7; 100_000]) });
    let edge = Edge::with_hand(config(&[&origin])).await;
    let miss = edge.get(SEGMENT).await;
    assert_eq!(
        (miss.status, miss.header("x-cache"), miss.body.len()),
        (200, "MISS", 100_000)
    );
    edge.reaches("edge_cache_entries", 0.0).await;
    while edge.get(SEGMENT).await.header("x-cache") != "HIT" {
        tokio::task::yield_now().await;
    }
    edge.advance(Duration::from_secs(17));
    let hit = edge.get(SEGMENT).await;
    assert_eq!((hit.header("x-cache"), hit.header("age")), ("HIT", "17"));
    assert_eq!(
        hit.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(hit.header("access-control-allow-origin"), "*");
    assert!(hit.header("access-control-expose-headers").contains("Age"));
    assert_eq!(
        (hit.header("x-served-by"), hit.header("etag")),
        ("edge-1", "\"tag\"")
    );
    assert_eq!(hit.header("content-type"), "video/mp4");
    assert_eq!(origin.count(SEGMENT), 1);
}

#[tokio::test]
async fn range_head_and_conditions_are_answered_from_the_cache() {
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = body.clone();
    let origin = Origin::start(move |_, _| {
        let body = answer.clone();
        async move { media(body) }
    });
    let edge = Edge::start(config(&[&origin])).await;
    // The first asks for a range and gets it from the arriving body, the next from the cached one.
    for _ in 0..2 {
        let part = edge
            .ask("GET", SEGMENT, &[("range", "bytes=100000-100009")])
            .await;
        assert_eq!(part.status, 206);
        assert_eq!(part.header("content-range"), "bytes 100000-100009/200000");
        assert_eq!(part.body[..], body[100_000..100_010]);
    }
    assert_eq!(edge.get(SEGMENT).await.body[..], body[..]);
    let head = edge.ask("HEAD", SEGMENT, &[]).await;
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        ("200000", 0)
    );
    assert_eq!(
        edge.ask("GET", SEGMENT, &[("if-none-match", "\"tag\"")])
            .await
            .status,
        304
    );
    assert_eq!(
        edge.ask("GET", SEGMENT, &[("range", "bytes=200000-")])
            .await
            .status,
        416
    );
    assert!(
        origin.count(SEGMENT) <= 2,
        "a range that left early may have ended the first fetch"
    );
}

#[tokio::test]
async fn playlists_are_compressed_once_for_those_who_take_it() {
    let origin = Origin::start(|_, _| async { live(9) });
    let edge = Edge::start(config(&[&origin])).await;
    let packed = edge
        .ask("GET", PLAYLIST, &[("accept-encoding", "br, gzip")])
        .await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("vary"), "Accept-Encoding");
    let plain = edge.get(PLAYLIST).await;
    assert_eq!(
        (plain.header("content-encoding"), &plain.body[..]),
        ("", playlist(9).as_bytes())
    );
}

/// video.js 8 asks again for the part that has just completed a segment, until it sees the next
/// one.
#[tokio::test]
async fn who_asks_for_a_part_it_has_gets_the_present_playlist() {
    const WAITED: &str = "public, max-age=1, s-maxage=12, stale-if-error=0";
    let newest = Arc::new(AtomicU64::new(9));
    let seen = Arc::clone(&newest);
    let origin = Origin::start(move |_, _| {
        let msn = seen.load(Ordering::Relaxed);
        // Only the first had to be waited for: later ones are satisfied on arrival.
        let lifetime = if msn == 9 {
            WAITED
        } else {
            "public, max-age=1"
        };
        async move { respond(200, lifetime, playlist(msn)) }
    });
    let edge = Edge::with_hand(config(&[&origin])).await;
    let asked = format!("{PLAYLIST}?_HLS_msn=10&_HLS_part=0");
    let first = edge.get(&asked).await;
    assert_eq!(first.header("cache-control"), WAITED, "browsers: a second");
    newest.store(10, Ordering::Relaxed);
    edge.advance(Duration::from_millis(900));
    let herd = edge.get(&asked).await;
    assert_eq!((herd.header("x-cache"), &herd.body), ("HIT", &first.body));
    assert_eq!(origin.count(&asked), 1);
    edge.advance(Duration::from_millis(100));
    let again = edge.get(&asked).await;
    assert_eq!(again.body[..], *playlist(10).as_bytes());
    assert_eq!(again.header("cache-control"), "public, max-age=1");
    newest.store(11, Ordering::Relaxed);
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.get(&asked).await.body[..], *playlist(11).as_bytes());
}

/// A plain answer is kept as long as its origin lets a shared cache keep it.
#[tokio::test]
async fn a_plain_playlist_is_kept_for_its_s_maxage() {
    let lifetime = "public, max-age=1, s-maxage=3";
    let origin = Origin::start(move |_, _| async move { respond(200, lifetime, playlist(9)) });
    let edge = Edge::with_hand(config(&[&origin])).await;
    edge.get(PLAYLIST).await;
    edge.advance(Duration::from_millis(2900));
    let kept = edge.get(PLAYLIST).await;
    assert_eq!((kept.header("x-cache"), kept.header("age")), ("HIT", "2"));
    edge.advance(Duration::from_millis(100));
    edge.get(PLAYLIST).await;
    assert_eq!(origin.count(PLAYLIST), 2);
}

#[tokio::test]
async fn origins_see_paths_and_directives_alone() {
    let origin = Origin::start(|_, headers| async move {
        assert!(!headers.contains_key("cmcd-session") && !headers.contains_key("cookie"));
        live(9)
    });
    let edge = Edge::start(config(&[&origin])).await;
    let cmcd = [("cmcd-session", "sid=\"b\""), ("cookie", "id=7")];
    edge.ask(
        "GET",
        &format!("{PLAYLIST}?CMCD=sid%3D%22a%22%2Cbs&session=7"),
        &cmcd,
    )
    .await;
    edge.get(&format!(
        "{PLAYLIST}?_HLS_part=1&x=2&_HLS_msn=10&CMCD=sid%3D%22a%22"
    ))
    .await;
    let directed = format!("{PLAYLIST}?_HLS_msn=10&_HLS_part=1");
    assert_eq!(origin.keys(), [PLAYLIST.to_owned(), directed]);
    assert_eq!(edge.metric("edge_viewer_stalls_total").await, 1.0);
    edge.reaches("edge_viewers", 2.0).await;
    let preflight = edge
        .ask("OPTIONS", SEGMENT, &[("origin", "http://x")])
        .await;
    assert_eq!(
        (preflight.status, preflight.header("access-control-max-age")),
        (204, "86400")
    );
}

#[tokio::test]
async fn lifetimes_end_when_the_origin_said() {
    let msn = Arc::new(AtomicU64::new(9));
    let now = Arc::clone(&msn);
    let origin = Origin::start(move |_, _| {
        let msn = now.load(Ordering::Relaxed);
        async move { live(msn) }
    });
    let edge = Edge::with_hand(config(&[&origin])).await;
    edge.get(PLAYLIST).await;
    msn.store(10, Ordering::Relaxed);
    edge.advance(Duration::from_millis(999));
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(9));
    edge.advance(Duration::from_millis(1));
    assert_eq!(edge.get(PLAYLIST).await.body, playlist(10));
    assert_eq!(origin.count(PLAYLIST), 2);
}

#[tokio::test]
async fn answers_that_must_not_be_kept_are_not() {
    let origin = Origin::start(|key, _| async move {
        match key.contains("_HLS_msn=99") {
            true => respond(400, "no-store", "too far ahead"),
            false => live(9),
        }
    });
    let edge = Edge::start(config(&[&origin])).await;
    let far = format!("{PLAYLIST}?_HLS_msn=99");
    for expected in 1..=3 {
        let got = edge.get(&far).await;
        assert_eq!((got.status, &got.body[..]), (400, &b"too far ahead"[..]));
        assert_eq!(origin.count(&far), expected);
    }
}

#[tokio::test]
async fn recordings_come_from_the_egress_store() {
    let origin = Origin::start(|_, _| async { respond(404, "max-age=1", "") });
    let store = MemoryStore::new();
    let metadata = ObjectMetadata::default();
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.m4s\n#EXT-X-ENDLIST\n";
    store
        .put("vod/x/index.m3u8", text.into(), metadata)
        .await
        .unwrap();
    let long = text.repeat(1000);
    store
        .put("vod/x/long.m3u8", long.into(), metadata)
        .await
        .unwrap();
    store
        .put("vod/x/1.m4s", vec![5; 300_000].into(), metadata)
        .await
        .unwrap();
    store
        .put("vod/index.json", "[]".into(), metadata)
        .await
        .unwrap();
    let clock = service::Clock::real();
    let edge = Edge::start_with(config(&[&origin]), Some(Arc::new(store)), clock, None).await;
    let list = edge.get("/vod/x/index.m3u8").await;
    assert_eq!((list.status, &list.body[..]), (200, text.as_bytes()));
    assert_eq!(list.header("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(
        list.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(
        edge.get("/vod/index.json").await.header("cache-control"),
        "public, max-age=1"
    );
    let part = edge
        .ask("GET", "/vod/x/1.m4s?a=b", &[("range", "bytes=299999-")])
        .await;
    assert_eq!((part.status, &part.body[..]), (206, &[5][..]));
    // The first answer, not only what the cache gives later.
    let long = edge
        .ask("GET", "/vod/x/long.m3u8", &[("accept-encoding", "gzip")])
        .await;
    assert_eq!(long.header("content-encoding"), "gzip");
    assert!(long.body.len() < 1000, "{}", long.body.len());
    let missing = edge.get("/vod/y/index.m3u8").await;
    assert_eq!(
        (missing.status, missing.header("cache-control")),
        (404, "public, max-age=1")
    );
    assert_eq!(origin.keys(), [""; 0], "origins are not asked");
}

#[tokio::test]
async fn what_memory_has_no_room_for_comes_back_from_the_disk() {
    let origin = Origin::start(|_, _| async { media(vec![9; 3 << 20]) });
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&[&origin]);
    config.cache_memory = "16MiB".parse().unwrap();
    config.object_max = "4MiB".parse().unwrap();
    config.cache_disk = Some(folder.path().to_owned());
    let edge = Edge::start(config).await;
    let key = |n: usize| format!("/hls/a/source/e1/{n}.m4s");
    for n in 0..8 {
        assert_eq!(edge.get(&key(n)).await.body.len(), 3 << 20);
        edge.reaches("edge_disk_bytes", (n + 1) as f64 * f64::from(3 << 20))
            .await;
    }
    for n in 0..8 {
        assert_eq!(edge.get(&key(n)).await.body, vec![9; 3 << 20]);
        assert_eq!(origin.count(&key(n)), 1, "{n}");
    }
    assert!(edge.metric("edge_disk_hits_total").await >= 4.0);
}

#[tokio::test]
async fn the_page_and_readiness_are_served() {
    let origin = Origin::start(|_, _| async { respond(404, "max-age=1", "") });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>player").unwrap();
    let mut config = config(&[&origin]);
    config.player = folder.path().to_owned();
    config.public_readyz = true;
    let edge = Edge::start(config).await;
    let page = edge.get("/?url=/hls/test.m3u8").await;
    assert_eq!((page.status, &page.body[..]), (200, &b"<p>player"[..]));
    assert_eq!(edge.get("/readyz").await.status, 200);
    assert_eq!(edge.get("/nothing").await.status, 404);
    assert_eq!(origin.keys(), [""; 0]);
}

#[tokio::test]
async fn any_stream_is_served_from_the_first_request_on() {
    // Nobody has announced anything to this edge: origins are all it knows.
    let origin = Origin::start(|key, _| async move {
        match key.ends_with("m3u8") {
            true => live(9),
            false => media(key),
        }
    });
    let edge = Edge::start(config(&[&origin])).await;
    for stream in ["a", "never-seen-before"] {
        let playlist = format!("/hls/{stream}/source/index.m3u8");
        let segment = format!("/hls/{stream}/source/e1/7.m4s");
        assert_eq!(edge.get(&playlist).await.status, 200);
        assert_eq!(edge.get(&segment).await.body, segment);
    }
}

#[tokio::test]
async fn a_new_run_of_the_origin_is_never_answered_with_old_bytes() {
    let script = |run_id: &'static str| {
        move |key: String, _| async move {
            match key {
                key if key.ends_with("m3u8") => {
                    let listed = format!("\n{run_id}");
                    respond(200, "max-age=1", playlist(7).replace("\n7.m4s", &listed))
                }
                key if key.ends_with(run_id) => media(run_id),
                _ => respond(404, "max-age=1", "not of this run"),
            }
        }
    };
    let mut origin = Origin::start(script("e1/7.m4s"));
    let address = origin.address;
    let edge = Edge::with_hand(config(&[&origin])).await;
    let listed = |body: &[u8], run: &str| String::from_utf8_lossy(body).contains(run);
    assert!(listed(&edge.get(PLAYLIST).await.body, "e1/7.m4s"));
    assert_eq!(edge.get(SEGMENT).await.body, "e1/7.m4s");
    origin.kill();
    let _again = Origin::start_at(address, script("e2/7.m4s"));
    edge.advance(Duration::from_secs(5));
    // The same number, another run: another URL, so whatever is cached of the old one is no harm.
    assert!(listed(&edge.get(PLAYLIST).await.body, "e2/7.m4s"));
    let new = SEGMENT.replace("e1", "e2");
    assert_eq!(edge.get(&new).await.body, "e2/7.m4s");
    let old = edge.get(SEGMENT).await;
    assert_eq!((&old.body[..], old.header("age")), (&b"e1/7.m4s"[..], "5"));
}
