//! One encoder publishes to two origins over two connections that start apart, each with its own
//! clock; what both list they answer with the same bytes, whatever dies and comes back.

mod pairing_common;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use e2e::{Origin, until};
use http::StatusCode;
use pairing_common::{
    encoder::{Encoded, Shape},
    pair::{Pair, playlist, position},
};

/// Longer than the scenario.
const SECONDS: u64 = 180;

const SHAPES: [Shape; 3] = [
    Shape {
        name: "thirty",
        rate: (30, 1),
        gop: 60,
        starts_ms: [0, 3_317],
        seconds: SECONDS,
    },
    Shape {
        name: "ntsc",
        rate: (30_000, 1001),
        gop: 30,
        starts_ms: [6_900, 0],
        seconds: SECONDS,
    },
    Shape {
        name: "sixty",
        rate: (60, 1),
        gop: 120,
        starts_ms: [0, 0],
        seconds: SECONDS,
    },
];

const SETTINGS: &str = "ladder = []\n[origin.hls]\nwindow = \"12s\"";

/// Every pass-through URL that a playlist lists, with its line's context removed.
fn listed(text: &str) -> Vec<String> {
    let quoted = |line: &str| Some(line.split_once("URI=\"")?.1.split_once('"')?.0.to_owned());
    let mut urls = Vec::new();
    for line in text.lines() {
        if line.starts_with("#EXT-X-MAP") || line.starts_with("#EXT-X-PART:") {
            urls.extend(quoted(line));
        } else if !line.starts_with('#') && !line.is_empty() {
            urls.push(line.to_owned());
        }
    }
    urls
}

/// Fetches everything both list; how many bodies were compared.
async fn compare(origins: [&Origin; 2], stream: &str) -> usize {
    let mut compared = 0;
    for rendition in ["source", "audio"] {
        let [Some(one), Some(other)] = [
            playlist(origins[0], stream, rendition).await,
            playlist(origins[1], stream, rendition).await,
        ] else {
            return 0;
        };
        let [one_urls, other_urls] = [listed(&one), listed(&other)];
        for url in one_urls.iter().filter(|url| other_urls.contains(url)) {
            let path = format!("/hls/{stream}/{rendition}/{url}");
            let [a, b] = [origins[0].get(&path).await, origins[1].get(&path).await];
            // A window may have moved on between the two questions.
            if [a.status, b.status] == [StatusCode::OK, StatusCode::OK] {
                assert!(a.body == b.body, "{path} differs");
                compared += 1;
            }
        }
        agree(&one, &other);
    }
    compared
}

/// What is said of a segment: the lines before its URI and that, without the map in force, which
/// the first one repeats.
fn described(text: &str) -> BTreeMap<String, Vec<&str>> {
    let mut all = BTreeMap::new();
    let mut lines = Vec::new();
    for line in text.lines().skip_while(|line| !is_of_segment(line)) {
        match line {
            _ if !line.starts_with('#') => {
                _ = all.insert(line.to_owned(), std::mem::take(&mut lines))
            }
            _ if is_of_segment(line) && !line.starts_with("#EXT-X-MAP") => lines.push(line),
            _ => {}
        }
    }
    all
}

fn is_of_segment(line: &str) -> bool {
    let tags = [
        "#EXTINF",
        "#EXT-X-PART:",
        "#EXT-X-PROGRAM-DATE-TIME",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-GAP",
        "#EXT-X-MAP",
    ];
    tags.iter().any(|tag| line.starts_with(tag))
        && !line.starts_with("#EXT-X-DISCONTINUITY-SEQUENCE")
}

/// What is said of the whole playlist, but for how far it reaches on both ends.
fn header(text: &str) -> Vec<&str> {
    let reach = ["#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE"];
    let lines = text.lines().take_while(|line| !is_of_segment(line));
    lines
        .filter(|line| !reach.iter().any(|tag| line.starts_with(tag)))
        .collect()
}

/// Both playlists say the same of what both list, down to the line; parts may be listed longer by
/// one of them.
fn agree(one: &str, other: &str) {
    assert_eq!(header(one), header(other));
    let is_part = |line: &&&str| line.starts_with("#EXT-X-PART:");
    let other = described(other);
    for (url, mut lines) in described(one) {
        let Some(same) = other.get(&url) else {
            continue;
        };
        let mut same = same.clone();
        if lines.iter().any(|line| is_part(&line)) != same.iter().any(|line| is_part(&line)) {
            lines.retain(|line| !is_part(&line));
            same.retain(|line| !is_part(&line));
        }
        assert_eq!(lines, same, "{url}");
    }
}

/// Waits until each stream has this many bodies in common, all of them equal.
async fn alike(pair: &Pair) {
    let [one, other] = &pair.origins;
    for shape in &SHAPES {
        let what = format!("{} is listed by both", shape.name);
        until(&what, e2e::PATIENCE, async || {
            (compare([one, other], shape.name).await >= 20).then_some(())
        })
        .await;
    }
    pair.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_encoder_two_origins_same_bytes_through_deaths() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let encode = |shape| Encoded::test_picture(folder.path(), shape, "160x80");
    let encoded: Vec<Arc<Encoded>> = SHAPES.iter().map(encode).collect();
    let mut pair = Pair::start(folder.path(), SETTINGS).await;
    let began = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for (shape, encoded) in SHAPES.iter().zip(&encoded) {
        for (origin, start_ms) in pair.origins.iter().zip(shape.starts_ms) {
            let url = origin.publish_url(shape.name);
            publishers.spawn(Arc::clone(encoded).publish(url, began, start_ms));
        }
    }
    pair.locked(SHAPES.len()).await;
    alike(&pair).await;
    for dead in [0, 1] {
        let survivor = 1 - dead;
        let mut before = Vec::new();
        for shape in &SHAPES {
            before.push(position(&pair.origins[survivor], shape.name).await);
        }
        pair.kill(dead);
        pair.replace(dead).await;
        pair.locked(SHAPES.len()).await;
        alike(&pair).await;
        for (shape, (run_id, first, newest)) in SHAPES.iter().zip(before) {
            let after = position(&pair.origins[survivor], shape.name).await;
            assert_eq!(after.0, run_id, "viewers of the survivor see one run");
            let on = after.1 >= first && after.2 > newest;
            assert!(on, "{}: numbers go on", shape.name);
        }
    }
    publishers.abort_all();
}

#[tokio::test]
async fn a_stranger_learns_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let pair = Pair::start(folder.path(), SETTINGS).await;
    let url = pair.origins[0].url("/peer/v1/streams/thirty");
    let wrong = e2e::request("GET", &url, &[("x-panocast-peer", "guess")]).await;
    assert_eq!(wrong.expect("an answer").status, StatusCode::FORBIDDEN);
    let right = e2e::request("GET", &url, &[("x-panocast-peer", "between us")]).await;
    let right = right.expect("an answer");
    assert_eq!(right.status, StatusCode::OK);
    let facts: serde_json::Value = serde_json::from_slice(&right.body).expect("JSON");
    assert_eq!(facts["state"], "absent");
}
