//! A broadcast survives its encoder, its clock, a change of picture and its origin.

use std::collections::BTreeSet;

use e2e::{
    Origin, PATIENCE,
    clip::Clip,
    free_port,
    peer::Ffmpeg,
    publisher::Publisher,
    until,
    viewer::{self, Rendition},
};
use flv::{Tag, TagKind};
use hls::check::Checker;
use http::StatusCode;

const SETTINGS: &str = "record = false\nladder = []\n";
const LADDER: &str = "record = false\n\
    [[origin.ladder]]\nwidth = 160\nbitrate = \"100k\"\npreset = \"ultrafast\"\n";

/// Waits until a rendition's playlist has this many segments after its last discontinuity.
async fn after_break(origin: &Origin, rendition: &str, breaks: usize, segments: usize) -> String {
    origin
        .text_when(&format!("/hls/foo/{rendition}/index.m3u8"), |text| {
            let parts: Vec<&str> = text.split("#EXT-X-DISCONTINUITY\n").collect();
            let last = parts
                .last()
                .map_or(0, |last| last.matches("#EXTINF").count());
            parts.len() == breaks + 1 && last >= segments
        })
        .await
}

/// One rendition obeys every rule, alone and beside the others; numbers are contiguous.
async fn conforms(origin: &Origin, renditions: &[&str]) -> Vec<Rendition> {
    let mut checker = Checker::new();
    checker.expect_reports(renditions.iter().map(|name| (*name).to_owned()));
    let mut fetched = Vec::new();
    for name in renditions {
        let rendition = viewer::fetch(origin, "foo", name).await;
        let found = checker.media(name, &rendition.text);
        assert!(found.is_empty(), "{found:#?}\n{}", rendition.text);
        viewer::assert_tiles(name, &rendition);
        fetched.push(rendition);
    }
    let found = checker.across();
    assert!(found.is_empty(), "{found:#?}");
    origin.assert_healthy().await;
    fetched
}

/// Numbers of the segments that a discontinuity comes before.
fn breaks(rendition: &Rendition) -> Vec<u64> {
    let broken = rendition
        .segments
        .iter()
        .filter(|segment| segment.discontinuity);
    broken.map(|segment| segment.msn).collect()
}

fn last_msn(rendition: &Rendition) -> u64 {
    rendition.segments.last().expect("segments").msn
}

fn urls(rendition: &Rendition) -> Vec<String> {
    rendition
        .playlist
        .segments
        .iter()
        .map(|segment| segment.uri.clone())
        .collect()
}

#[tokio::test]
async fn an_encoder_that_comes_back_goes_on_behind_one_discontinuity_on_every_rung() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), LADDER).await;
    let url = origin.publish_url("foo");
    let mut first = Ffmpeg::default().publish(folder.path(), "first", &url);
    origin
        .text_when("/hls/foo.m3u8", |text| text.contains("80p/"))
        .await;
    let run_id = origin.stream("foo").await["run"]["epoch"].clone();
    first.kill();
    origin
        .stream_when("foo", "waits", |stream| stream["state"] == "waiting")
        .await;
    let all = ["source", "80p", "audio"];
    let before = viewer::fetch(&origin, "foo", "source").await;
    assert!(!before.text.contains("#EXT-X-ENDLIST"), "not the end");
    assert_eq!(origin.get("/hls/foo.m3u8").await.status, StatusCode::OK);

    let _second = Ffmpeg::default().publish(folder.path(), "second", &url);
    for name in all {
        after_break(&origin, name, 1, 3).await;
    }
    let after = conforms(&origin, &all).await;
    for rendition in &after {
        assert_eq!(
            breaks(rendition),
            breaks(&after[0]),
            "one discontinuity at the same number"
        );
    }
    let numbers: Vec<u64> = after[0]
        .segments
        .iter()
        .map(|segment| segment.msn)
        .collect();
    let first = before.segments[0].msn;
    assert_eq!(numbers[0], first, "nothing has left the window");
    assert!(
        numbers.windows(2).all(|two| two[1] == two[0] + 1),
        "numbers go on: {numbers:?}"
    );
    for url in urls(&before) {
        let answer = origin.get(&format!("/hls/foo/source/{url}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{url} still answers");
    }
    let streams = origin.stream("foo").await;
    assert_eq!(streams["run"]["epoch"], run_id, "the same run");
    assert_eq!(streams["sessions"], 2);
}

#[tokio::test]
async fn a_successor_takes_over_from_a_publisher_that_hangs() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), SETTINGS).await;
    let url = origin.publish_url("foo");
    let zombie = Ffmpeg::default().publish(folder.path(), "zombie", &url);
    origin
        .text_when("/hls/foo/source/index.m3u8", |_| true)
        .await;
    zombie.signal("STOP");
    let clip = Clip::make(folder.path(), "320x160", 2);
    let mut successor = Publisher::connect(&url)
        .await
        .expect("it takes over at once");
    assert!(
        successor
            .send(clip.headers_at(0).chain(clip.turns(0, 4)))
            .await
    );
    after_break(&origin, "source", 1, 3).await;
    zombie.signal("CONT");
    let mut zombie = zombie;
    assert!(!zombie.wait("the old one is sent away").await.success());
    assert!(
        zombie.output().contains("another publisher took over"),
        "and told why: {}",
        zombie.output()
    );
    assert!(
        successor.send(clip.turns(8_000, 1)).await,
        "the new one is not touched"
    );
    let after = conforms(&origin, &["source", "audio"]).await;
    assert_eq!(breaks(&after[0]).len(), 1);
    successor.leave().await;
}

#[tokio::test]
async fn a_publisher_that_falls_silent_is_dropped() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings =
        format!("{SETTINGS}[origin.publish]\nidle_timeout = \"1s\"\non_conflict = \"reject\"\n");
    let origin = Origin::start(folder.path(), &settings).await;
    let clip = Clip::make(folder.path(), "160x80", 2);
    let url = origin.publish_url("foo");
    let mut silent = Publisher::connect(&url).await.expect("the name is free");
    assert!(
        silent
            .send(clip.headers_at(0).chain(clip.turns(0, 4)))
            .await
    );
    origin
        .stream_when("foo", "is free again", |stream| {
            stream["publisher"].is_null()
        })
        .await;
    assert_eq!(origin.log_lines(&["bad input", "foo"]).len(), 1);
    Publisher::connect(&url)
        .await
        .expect("the successor is let in")
        .leave()
        .await;
}

/// What is published is all there, as long as it was, behind `expected` discontinuities.
async fn clock_scenario(publish: impl FnOnce(&Clip) -> Vec<Tag>, expected: usize, turns: usize) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(
        folder.path(),
        &format!("{SETTINGS}[origin.publish]\nreconnect_window = \"0s\"\n"),
    )
    .await;
    let clip = Clip::make(folder.path(), "160x80", 2);
    let mut publisher = Publisher::connect(&origin.publish_url("foo"))
        .await
        .expect("accepted");
    assert!(
        publisher.send(publish(&clip)).await,
        "the origin takes it all"
    );
    publisher.leave().await;
    origin
        .text_when("/hls/foo/source/index.m3u8", |text| {
            text.contains("#EXT-X-ENDLIST")
        })
        .await;
    let renditions = conforms(&origin, &["source", "audio"]).await;
    for rendition in &renditions {
        assert_eq!(breaks(rendition).len(), expected, "{}", rendition.text);
        assert_eq!(breaks(rendition), breaks(&renditions[0]));
    }
    let frames = clip
        .media
        .iter()
        .filter(|tag| tag.kind == TagKind::Video)
        .count()
        * turns;
    let got = renditions[0].units().count();
    // A discontinuity has to start with a keyframe, and the clip has one each second.
    let lost = frames - got;
    assert!(lost < 1 + 25 * expected, "{lost} frames are lost");
    let seconds: f64 = renditions[0]
        .segments
        .iter()
        .map(|segment| segment.seconds)
        .sum();
    let sent = got as f64 / 25.0;
    assert!((seconds - sent).abs() < 0.1, "{seconds} s for {sent} s");
}

/// `turns` before and after a step of the clock to `jump_ms`.
fn jump(clip: &Clip, start_ms: u32, jump_ms: u32) -> Vec<Tag> {
    let before = clip.headers_at(start_ms).chain(clip.turns(start_ms, 4));
    before.chain(clip.turns(jump_ms, 4)).collect()
}

const HOUR_MS: u32 = 3_600_000;

#[tokio::test]
async fn timestamp_jump_forward_is_one_discontinuity() {
    clock_scenario(|clip| jump(clip, 0, HOUR_MS), 1, 8).await;
}

#[tokio::test]
async fn timestamp_jump_back_is_one_discontinuity() {
    clock_scenario(|clip| jump(clip, HOUR_MS, 7), 1, 8).await;
}

#[tokio::test]
async fn single_wild_timestamps_do_no_harm() {
    let wild = |clip: &Clip| {
        let mut tags: Vec<Tag> = clip.headers_at(0).chain(clip.turns(0, 6)).collect();
        let video_tags: Vec<usize> = (0..tags.len())
            .filter(|index| {
                tags[*index].kind == TagKind::Video && tags[*index].timestamp_ms > 3_000
            })
            .collect();
        for index in video_tags.iter().step_by(20) {
            tags[*index].timestamp_ms = 2_146_858_000;
        }
        tags
    };
    clock_scenario(wild, 0, 6).await;
}

#[tokio::test]
async fn the_32_bit_clock_wraps_unnoticed() {
    // 4 s of 16 before the wrap, and 31 bits, where OBS wraps.
    clock_scenario(
        |clip| {
            clip.headers_at(0)
                .chain(clip.turns(u32::MAX - 3_999, 8))
                .collect()
        },
        0,
        8,
    )
    .await;
    clock_scenario(
        |clip| {
            let masked = |tag: Tag| Tag {
                timestamp_ms: tag.timestamp_ms & 0x7fff_ffff,
                ..tag
            };
            clip.headers_at(0)
                .chain(clip.turns((1 << 31) - 4_000, 8).map(masked))
                .collect()
        },
        0,
        8,
    )
    .await;
}

#[tokio::test]
async fn another_picture_size_is_one_aligned_discontinuity_on_every_rung() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), LADDER).await;
    let small = Clip::make(folder.path(), "320x160", 2);
    let large = Clip::make(folder.path(), "480x240", 2);
    let mut publisher = Publisher::connect(&origin.publish_url("foo"))
        .await
        .expect("accepted");
    // At the pace of its own clock, as the ladder needs it.
    let length_ms = 8_000;
    for (clip, start_ms, breaks) in [(&small, 0, 0), (&large, length_ms, 1)] {
        let tags = clip.headers_at(start_ms).chain(clip.turns(start_ms, 4));
        assert!(publisher.send_live(tags).await);
        after_break(&origin, "80p", breaks, 2).await;
    }
    let after = conforms(&origin, &["source", "80p", "audio"]).await;
    for rendition in &after {
        assert_eq!(breaks(rendition).len(), 1, "{}", rendition.text);
        assert_eq!(breaks(rendition), breaks(&after[0]), "at the same number");
    }
    for rendition in &after {
        assert!(
            rendition.text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:"),
            "{}",
            rendition.text
        );
    }
    let sizes = |rendition: &Rendition| -> BTreeSet<_> {
        let tracks = rendition
            .inits
            .values()
            .map(|(_, init)| init.tracks[0].track.clone());
        tracks
            .filter_map(|track| Some(track.as_video()?.config.dimensions()))
            .collect()
    };
    let both = BTreeSet::from([(320, 160), (480, 240)]);
    assert_eq!(sizes(&after[0]), both);
    // The rung is as wide as before and the picture's shape is the same, so its init segment is
    // too.
    assert_eq!(sizes(&after[1]), BTreeSet::from([(160, 80)]));
    publisher.leave().await;
}

#[tokio::test]
async fn the_same_parameter_sets_again_change_nothing() {
    let repeats = |clip: &Clip| {
        let again = |turn: u32| {
            let at = turn * clip.length_ms;
            clip.headers_at(at)
                .chain(clip.turns(at, 1))
                .collect::<Vec<_>>()
        };
        (0..6).flat_map(again).collect()
    };
    clock_scenario(repeats, 0, 6).await;
}

#[tokio::test]
async fn numbers_go_on_and_urls_never_return_without_what_a_killed_origin_left() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (rtmp, http, admin) = (free_port(), free_port(), free_port());
    let mut origin = Origin::start_on(folder.path(), SETTINGS, rtmp, http, admin).await;
    let clip = Clip::make(folder.path(), "160x80", 2);
    let url = origin.publish_url("foo");
    let mut publisher = Publisher::connect(&url).await.expect("accepted");
    assert!(
        publisher
            .send(clip.headers_at(0).chain(clip.turns(0, 6)))
            .await
    );
    origin.text_when("/hls/foo.m3u8", |_| true).await;
    let before = viewer::fetch(&origin, "foo", "source").await;
    let run_id = origin.stream("foo").await["run"]["epoch"].clone();
    origin.process.kill();
    drop(origin);
    // A machine that has nothing of it but the count of discontinuities.
    std::fs::remove_dir_all(folder.path().join("state/shelf")).expect("removed");
    // Numbers are the clock's seconds: what a live run of this length would have let pass.
    let first = before.segments[0].msn;
    until("the clock is past the first run", PATIENCE, async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.ok().filter(|now| now.as_secs() > first)
    })
    .await;

    let origin = Origin::start_on(folder.path(), SETTINGS, rtmp, http, admin).await;
    let mut publisher = Publisher::connect(&url).await.expect("accepted");
    assert!(
        publisher
            .send(clip.headers_at(0).chain(clip.turns(0, 6)))
            .await
    );
    origin.text_when("/hls/foo.m3u8", |_| true).await;
    let after = viewer::fetch(&origin, "foo", "source").await;
    assert_ne!(
        origin.stream("foo").await["run"]["epoch"],
        run_id,
        "another run"
    );
    // Sent faster than it lasts, the first run's numbers may have got ahead of the clock.
    assert!(
        after.segments[0].msn > before.segments[0].msn,
        "numbers lie above"
    );
    assert!(after.playlist.discontinuity_sequence > before.playlist.discontinuity_sequence);
    for url in urls(&before) {
        let answer = origin.get(&format!("/hls/foo/source/{url}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{url} is gone");
        assert!(!urls(&after).contains(&url), "{url} never returns");
    }
    publisher.leave().await;
}

/// In a checkpoint file: the whole is its first line, what changed since then are the others.
fn newest_of_first_rendition(index: &str) -> Option<serde_json::Value> {
    let mut newest = None;
    for line in index.lines() {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let whole = line["run"]["renditions"][0]["segments"].as_array();
        let changes = line["renditions"].as_array().into_iter().flatten();
        let mut changed = changes.filter(|change| change[0] == 0);
        let changed = changed.find_map(|change| change[1]["segments"].as_array());
        let segments = whole.or(changed);
        newest = segments.and_then(|all| all.last().cloned()).or(newest);
    }
    newest
}

#[tokio::test]
async fn a_killed_origin_shows_what_it_showed_and_goes_on_behind_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (rtmp, http, admin) = (free_port(), free_port(), free_port());
    let mut origin = Origin::start_on(folder.path(), SETTINGS, rtmp, http, admin).await;
    let clip = Clip::make(folder.path(), "160x80", 2);
    let url = origin.publish_url("foo");
    let publish = async || {
        let mut publisher = Publisher::connect(&url).await.expect("accepted");
        let media = clip.headers_at(0).chain(clip.turns(0, 5));
        assert!(publisher.send(media).await);
        publisher
    };
    let publisher = publish().await;
    // Everything that was sent is shown: 10 s, the last of it as parts.
    origin
        .text_when("/hls/foo/source/index.m3u8", |text| {
            let hints_fourth =
                |line: &str| line.contains("PRELOAD-HINT") && line.contains(".3.m4s");
            text.matches("#EXTINF").count() == 4 && text.lines().any(hints_fourth)
        })
        .await;
    let before = viewer::fetch(&origin, "foo", "source").await;
    let on_disk = folder.path().join("state/shelf/foo.index");
    until("the newest part is written", PATIENCE, async || {
        let index = std::fs::read_to_string(&on_disk).ok()?;
        let newest = newest_of_first_rendition(&index)?;
        let is_fifth = newest["msn"].as_u64() == Some(before.playlist.media_sequence + 4);
        (is_fifth && newest["parts"].as_array()?.len() >= 3).then_some(())
    })
    .await;
    origin.process.kill();
    drop((origin, publisher));

    let origin = Origin::start_on(folder.path(), SETTINGS, rtmp, http, admin).await;
    let shown = viewer::fetch(&origin, "foo", "source").await;
    assert_eq!(
        shown.playlist.media_sequence,
        before.playlist.media_sequence
    );
    assert_eq!(
        shown.segments.len(),
        5,
        "before its encoder is back: {}",
        shown.text
    );
    for (old, new) in before.segments.iter().zip(&shown.segments) {
        assert_eq!((old.msn, &old.units), (new.msn, &new.units));
    }
    let (known, kept) = (urls(&before), urls(&shown));
    assert!(
        kept.starts_with(&known),
        "{known:?} under the URLs they had: {kept:?}"
    );

    let publisher = publish().await;
    for rendition in ["source", "audio"] {
        after_break(&origin, rendition, 1, 3).await;
    }
    let after = conforms(&origin, &["source", "audio"]).await;
    let last = shown.segments.last().expect("segments").msn;
    assert!(
        after
            .iter()
            .all(|rendition| breaks(rendition) == [last + 1])
    );
    assert!(!after[0].text.contains("#EXT-X-GAP"), "{}", after[0].text);
    publisher.leave().await;
}

#[tokio::test]
async fn after_the_reconnect_window_the_playlists_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = format!("{LADDER}[origin.publish]\nreconnect_window = \"1s\"\n");
    let origin = Origin::start(folder.path(), &settings).await;
    let url = origin.publish_url("foo");
    let mut first = Ffmpeg::default().publish(folder.path(), "first", &url);
    origin
        .text_when("/hls/foo.m3u8", |text| text.contains("80p/"))
        .await;
    first.kill();
    for name in ["source", "80p", "audio"] {
        let path = format!("/hls/foo/{name}/index.m3u8");
        origin
            .text_when(&path, |text| text.ends_with("#EXT-X-ENDLIST\n"))
            .await;
    }
    let ended = conforms(&origin, &["source", "80p", "audio"]).await;
    assert_eq!(last_msn(&ended[0]), last_msn(&ended[1]));
    let index = origin.get("/hls/index.json").await.text();
    assert_eq!(index, "[]", "not listed as live");

    // Whoever comes later starts a new run above it.
    let clip = Clip::make(folder.path(), "160x80", 2);
    let mut later = Publisher::connect(&url).await.expect("accepted");
    assert!(later.send(clip.headers_at(0).chain(clip.turns(0, 6))).await);
    let first_of_next = until("the next run", PATIENCE, async || {
        let text = origin.get("/hls/foo/source/index.m3u8").await.text();
        (!text.contains("#EXT-X-ENDLIST") && text.contains("#EXTINF"))
            .then(|| viewer::parse(&text).media_sequence)
    })
    .await;
    assert!(first_of_next > last_msn(&ended[0]), "numbers go on");
    later.leave().await;
}
