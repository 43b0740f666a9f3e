//! Low-latency HLS of a running stream as a player meets it: directives, hints, deltas, reports,
//! headers.

use std::{collections::BTreeSet, io::Read, path::Path};

use e2e::{Answer, Origin, PATIENCE, clip::Clip, publisher::Publisher, request, until};
use hls::check::{Checker, Media, parse_media};
use http::{HeaderMap, StatusCode};

const SETTINGS: &str = "record = false\nladder = []\n[origin.publish]\nidle_timeout = \"60s\"\n";

const SOURCE: &str = "/hls/foo/source/index.m3u8";

/// A stream with `turns` of two seconds packaged, whose publisher goes on when it is told to.
struct Stage {
    origin: Origin,
    publisher: Publisher,
    clip: Clip,
    sent_ms: u32,
}

impl Stage {
    async fn start(folder: &Path, turns: u32) -> Self {
        let origin = Origin::start(folder, SETTINGS).await;
        let clip = Clip::make(folder, "160x80", 2);
        let mut publisher = Publisher::connect(&origin.publish_url("foo"))
            .await
            .expect("the name is free");
        assert!(publisher.send(clip.headers_at(0)).await);
        let mut stage = Self {
            origin,
            publisher,
            clip,
            sent_ms: 0,
        };
        stage.advance(turns).await;
        // The last unit of each track waits for its successor, the last segment for its end.
        let whole = turns as usize - 1;
        for name in ["source", "audio"] {
            let path = format!("/hls/foo/{name}/index.m3u8");
            let all = |text: &str| text.matches("#EXTINF").count() == whole && parts(text).1 > 2;
            stage.origin.text_when(&path, all).await;
        }
        stage
    }

    async fn advance(&mut self, turns: u32) {
        assert!(
            self.publisher
                .send(self.clip.turns(self.sent_ms, turns))
                .await
        );
        self.sent_ms += turns * self.clip.length_ms;
    }

    async fn playlist(&self, query: &str) -> Answer {
        self.origin.get(&format!("{SOURCE}{query}")).await
    }
}

fn parsed(text: &str) -> Media {
    parse_media(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The open segment's number and how many parts of it are listed.
fn parts(text: &str) -> (u64, u64) {
    let media = parsed(text);
    let next = media.last_msn().map_or(0, |last| last + 1);
    let open = media.open.filter(|open| !open.parts.is_empty());
    open.map_or((next, 0), |open| (open.msn, open.parts.len() as u64))
}

#[tokio::test]
async fn a_player_follows_part_by_part_and_every_reload_obeys_the_rules() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Stage {
        origin,
        mut publisher,
        clip,
        sent_ms,
    } = Stage::start(folder.path(), 10).await;
    let mut checker = Checker::new();
    checker.expect_reports(["source", "audio"].map(str::to_owned));
    let first = origin.get(SOURCE).await.text();
    assert_eq!(checker.media("source", &first), []);
    let live = clip.turns(sent_ms, 2).collect::<Vec<_>>();
    let live = tokio::spawn(async move { publisher.send_live(live).await.then_some(publisher) });

    let (mut msn, mut part) = parts(&first);
    let (mut hints, mut lifetimes) = (BTreeSet::new(), BTreeSet::new());
    let mut seen = first;
    for _ in 0..7 {
        let hint = parsed(&seen).hint.expect("a hint");
        let query = format!("?_HLS_msn={msn}&_HLS_part={part}");
        let path = format!("{SOURCE}{query}");
        let hinted = format!("/hls/foo/source/{hint}");
        let (answer, early) = tokio::join!(origin.get(&path), origin.get(&hinted));
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        seen = answer.text();
        lifetimes.insert(answer.header("cache-control").to_owned());
        assert_eq!(checker.media("source", &seen), [], "{seen}");
        assert!(
            seen.contains(&format!("{msn}.{part}.m4s")),
            "has what was asked for: {seen}"
        );
        // What was hinted came, whole, before the playlist that lists it was needed.
        assert_eq!(early.status, StatusCode::OK, "{hint}: {}", early.text());
        assert_eq!(early.header("content-length"), early.body.len().to_string());
        let again = origin.get(&hinted).await;
        assert_eq!(again.body, early.body, "{hint} is whole the first time");
        hints.insert(hint);
        (msn, part) = parts(&seen);
    }
    assert_eq!(hints.len(), 7, "each reload brought a new part: {hints:?}");
    assert!(
        lifetimes.contains("public, max-age=1, s-maxage=12, stale-if-error=0"),
        "shared caches may keep what was waited for: {lifetimes:?}"
    );
    let report = seen
        .lines()
        .find(|line| line.contains("../audio/index.m3u8"))
        .expect("a report");
    assert!(
        report.contains("LAST-MSN=") && report.contains("LAST-PART="),
        "{report}"
    );
    live.await
        .expect("sent")
        .expect("the origin took it")
        .leave()
        .await;
}

#[tokio::test]
async fn deltas_leave_out_what_a_player_has() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let stage = Stage::start(folder.path(), 16).await;
    let mut checker = Checker::new();
    let full = stage.playlist("").await.text();
    assert_eq!(checker.media("source", &full), []);
    let delta = stage.playlist("?_HLS_skip=YES").await.text();
    assert_eq!(checker.media("source", &delta), [], "{delta}");
    let skipped = parsed(&delta).skipped;
    assert!(
        skipped >= 7,
        "{skipped} of 15 segments, six target durations stay: {delta}"
    );
    assert!(delta.contains("#EXT-X-VERSION:9"));
    assert_eq!(stage.playlist("?_HLS_skip=v2").await.text(), delta);
    stage.origin.assert_healthy().await;
    stage.publisher.leave().await;
}

#[tokio::test]
async fn directives_that_cannot_be_followed_are_400_and_patience_ends_at_503() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let stage = Stage::start(folder.path(), 5).await;
    let (msn, part) = parts(&stage.playlist("").await.text());
    for query in [
        "_HLS_msn=abc".to_owned(),
        "_HLS_msn=-1".to_owned(),
        "_HLS_part=1".to_owned(),
        "_HLS_skip=NO".to_owned(),
        format!("_HLS_msn={}", msn + 2),
        format!("_HLS_msn={msn}&_HLS_part={}", part + 40),
        "_HLS_msn=99999999999999999999".to_owned(),
    ] {
        let answer = stage.playlist(&format!("?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            answer.text().starts_with("cannot"),
            "{query}: {}",
            answer.text()
        );
    }
    // What is known already, and what others add to the query, is answered at once.
    for query in [
        format!("_HLS_msn={}&_HLS_part=0", msn - 1),
        "CMCD=sid%3D1&x".to_owned(),
    ] {
        assert_eq!(
            stage.playlist(&format!("?{query}")).await.status,
            StatusCode::OK,
            "{query}"
        );
    }
    let late = stage.playlist(&format!("?_HLS_msn={}", msn + 1)).await;
    assert_eq!(
        late.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        late.text()
    );
    assert_eq!(late.header("retry-after"), "1");
    stage.origin.assert_healthy().await;
    stage.publisher.leave().await;
}

#[tokio::test]
async fn a_thousand_waiting_players_are_all_answered_by_the_next_part() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut stage = Stage::start(folder.path(), 5).await;
    let (msn, part) = parts(&stage.playlist("").await.text());
    let url = stage
        .origin
        .url(&format!("{SOURCE}?_HLS_msn={msn}&_HLS_part={part}"));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let url = url.clone();
        waiting.spawn(async move { e2e::get(&url).await });
    }
    let metrics = format!("http://127.0.0.1:{}/metrics", stage.origin.admin);
    until("a thousand requests wait", PATIENCE, async || {
        let text = e2e::get(&metrics).await?.text();
        text.lines()
            .any(|line| line == "origin_blocked_requests 1000")
            .then_some(())
    })
    .await;
    stage.advance(1).await;
    let mut texts = BTreeSet::new();
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.expect("no panic").expect("an answer");
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        texts.insert(answer.text());
    }
    for text in texts {
        assert!(text.contains(&format!("{msn}.{part}.m4s")), "{text}");
    }
    let text = e2e::get(&metrics).await.expect("metrics").text();
    assert!(
        text.lines().any(|line| line == "origin_blocked_requests 0"),
        "nobody waits"
    );
    stage.origin.assert_healthy().await;
    stage.publisher.leave().await;
}

fn headers(answer: &Answer, without: &[&str]) -> HeaderMap {
    let mut headers = answer.headers.clone();
    for name in ["date"].iter().chain(without) {
        headers.remove(*name);
    }
    headers
}

#[tokio::test]
async fn headers_ranges_and_tags() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let stage = Stage::start(folder.path(), 5).await;
    let origin = &stage.origin;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        request(method, &origin.url(path), headers)
            .await
            .expect("an answer")
    };
    let playlist = stage.playlist("").await;
    let media = parsed(&playlist.text());
    let segment = format!("/hls/foo/source/{}", media.segments[0].uri);
    let init = format!(
        "/hls/foo/source/{}",
        media.segments[0].map.as_deref().expect("a map")
    );
    let open = media.open.as_ref().expect("an open segment");
    let part = format!("/hls/foo/source/{}", open.parts[0].uri);

    // Text is packed for who wants it, and the same.
    let packed = ask("GET", SOURCE, &[("accept-encoding", "br, gzip;q=0.8")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(
        packed
            .header("vary")
            .to_ascii_lowercase()
            .contains("accept-encoding")
    );
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(&packed.body[..]);
    reader.read_to_string(&mut text).expect("gzip");
    assert_eq!(text, playlist.text());
    assert_eq!(
        playlist.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(playlist.header("content-encoding"), "");

    // Lifetimes: media never change, playlists are kept for half a target duration, but six by
    // shared caches where a request was held for what they end with, errors for a second.
    assert_eq!(
        playlist.header("cache-control"),
        "public, max-age=1, stale-if-error=0"
    );
    let (msn, part_count) = parts(&playlist.text());
    let known = stage
        .playlist(&format!("?_HLS_msn={msn}&_HLS_part={}", part_count - 1))
        .await;
    assert_eq!(
        known.header("cache-control"),
        "public, max-age=1, stale-if-error=0",
        "satisfied on arrival"
    );
    for path in [&segment, &init, &part] {
        let answer = ask("GET", path, &[]).await;
        assert_eq!(answer.header("content-type"), "video/mp4");
        let lifetime = answer.header("cache-control");
        assert!(lifetime.contains("immutable"), "{path}: {lifetime}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("accept-ranges"), "bytes");
    }
    for path in [
        "/hls/nobody.m3u8",
        "/hls/foo/720p/index.m3u8",
        "/hls/foo/source/x/1.m4s",
        "/x",
    ] {
        let answer = ask("GET", path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=1",
            "{path}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
    }

    // HEAD is GET without the body.
    for path in [SOURCE, &segment, "/hls/foo.m3u8", "/hls/foo/info.json"] {
        let (get, head) = (ask("GET", path, &[]).await, ask("HEAD", path, &[]).await);
        assert!(head.body.is_empty());
        assert_eq!(headers(&head, &[]), headers(&get, &[]), "{path}");
        // Who has it need not fetch it again.
        let tag = get.header("etag").to_owned();
        let same = ask("GET", path, &[("if-none-match", &tag)]).await;
        assert_eq!(same.status, StatusCode::NOT_MODIFIED, "{path}");
        assert!(same.body.is_empty());
    }

    // Ranges of media.
    let whole = ask("GET", &segment, &[]).await.body;
    let length = whole.len();
    for (range, expected) in [
        ("bytes=0-99".to_owned(), &whole[..100]),
        (format!("bytes={}-", length - 10), &whole[length - 10..]),
        ("bytes=-7".to_owned(), &whole[length - 7..]),
    ] {
        let answer = ask("GET", &segment, &[("range", &range)]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(&answer.body[..], expected, "{range}");
        assert!(
            answer
                .header("content-range")
                .ends_with(&format!("/{length}"))
        );
    }
    let beyond = ask("GET", &segment, &[("range", &format!("bytes={length}-"))]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);

    // The rest of HTTP.
    let preflight = ask("OPTIONS", SOURCE, &[("origin", "http://page.example")]).await;
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert_eq!(
        ask("POST", SOURCE, &[]).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    stage.origin.assert_healthy().await;
    stage.publisher.leave().await;
}
