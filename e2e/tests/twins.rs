//! One encoder publishes to two origins over two connections that start apart, each with its own clock; what both list
//! they answer with the same bytes, whatever dies and comes back.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{Origin, publisher::Publisher, run, until, viewer};
use flv::{Tag, TagKind, file::Reader};
use http::StatusCode;

/// What an encoder makes: its rate, and when each connection starts, in milliseconds.
struct Shape {
    name: &'static str,
    rate: (u64, u64),
    gop: &'static str,
    starts_ms: [u64; 2],
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "thirty",
        rate: (30, 1),
        gop: "60",
        starts_ms: [0, 3_317],
    },
    Shape {
        name: "ntsc",
        rate: (30_000, 1001),
        gop: "30",
        starts_ms: [6_900, 0],
    },
    Shape {
        name: "sixty",
        rate: (60, 1),
        gop: "120",
        starts_ms: [0, 0],
    },
];

/// Longer than any scenario.
const SECONDS: u64 = 180;

/// One encoded access unit, with the encoder's exact time in microseconds.
#[derive(Clone)]
struct Coded {
    at_us: u64,
    tag: Tag,
}

/// What the encoder makes, once for both connections.
struct Encoded {
    headers: Vec<Tag>,
    media: Vec<Coded>,
}

impl Encoded {
    fn make(folder: &Path, shape: &Shape) -> Self {
        let path = folder.join(format!("{}.flv", shape.name));
        let path = path.to_string_lossy();
        let (frames, seconds) = shape.rate;
        let picture = format!("testsrc2=s=160x80:r={frames}/{seconds}");
        let length = SECONDS.to_string();
        let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i", &picture];
        arguments.extend([
            "-f",
            "lavfi",
            "-i",
            "anoisesrc=a=0.1:r=48000",
            "-t",
            &length,
        ]);
        arguments.extend([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
        ]);
        arguments.extend([
            "-bf",
            "2",
            "-b_strategy",
            "0",
            "-sc_threshold",
            "0",
            "-g",
            shape.gop,
        ]);
        arguments.extend([
            "-threads", "1", "-c:a", "aac", "-b:a", "64k", "-f", "flv", &path,
        ]);
        run("ffmpeg", &arguments);
        Self::read(
            &std::fs::read(&*path).expect("the file was made"),
            shape.rate,
        )
    }

    fn read(bytes: &[u8], (frames, seconds): (u64, u64)) -> Self {
        let mut reader = Reader::new();
        reader.push(bytes);
        let (mut headers, mut media) = (Vec::new(), Vec::new());
        let (mut pictures, mut sounds) = (0, 0);
        while let Some(tag) = reader.next_tag().expect("ffmpeg writes sound FLV") {
            let second = tag.body.get(1).copied();
            let at_us = match tag.kind {
                TagKind::Script => None,
                _ if second == Some(0) => None,
                TagKind::Video if second == Some(2) => continue,
                TagKind::Video => {
                    pictures += 1;
                    Some((pictures - 1) * 1_000_000 * seconds / frames)
                }
                TagKind::Audio => {
                    sounds += 1;
                    Some((sounds - 1) * 1_000_000 * 1024 / 48_000)
                }
            };
            match at_us {
                Some(at_us) => media.push(Coded { at_us, tag }),
                None => headers.push(tag),
            }
        }
        media.sort_by_key(|coded| coded.at_us);
        Self { headers, media }
    }
}

/// One of the encoder's connections: comes back after every loss, wherever the broadcast is then, with a clock that
/// starts at zero and rounds in its own way.
async fn publish(url: String, rtmp: u16, encoded: Arc<Encoded>, began: Instant, start_ms: u64) {
    let mut from_us = start_ms * 1000 + 377;
    loop {
        let begin = began + Duration::from_micros(from_us);
        tokio::time::sleep_until(begin.into()).await;
        if tokio::net::TcpStream::connect(("127.0.0.1", rtmp))
            .await
            .is_ok()
            && let Ok(mut publisher) = Publisher::connect(&url).await
        {
            let zero_us = began.elapsed().as_micros() as u64;
            let headers: Vec<Tag> = encoded.headers.clone();
            let mut lives = publisher.send(headers).await;
            for coded in encoded.media.iter().filter(|coded| coded.at_us >= zero_us) {
                if !lives {
                    break;
                }
                tokio::time::sleep_until((began + Duration::from_micros(coded.at_us)).into()).await;
                let timestamp_ms = ((coded.at_us - zero_us + 500) / 1000) as u32;
                lives = publisher
                    .send([Tag {
                        timestamp_ms,
                        ..coded.tag.clone()
                    }])
                    .await;
            }
        }
        from_us = began.elapsed().as_micros() as u64 + 200_000;
        if from_us > SECONDS * 1_000_000 {
            return;
        }
    }
}

fn settings(peer: u16, primary: bool) -> String {
    format!(
        "record = false\nladder = []\npeer = \"http://127.0.0.1:{peer}\"\npeer_secret = \"between us\"\n\
         primary = {primary}\n[origin.hls]\nwindow = \"12s\""
    )
}

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

async fn playlist(origin: &Origin, stream: &str, rendition: &str) -> Option<String> {
    let answer = e2e::get(&origin.url(&format!("/hls/{stream}/{rendition}/index.m3u8"))).await?;
    (answer.status == StatusCode::OK).then(|| answer.text())
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

/// Segments in both playlists are described alike.
fn agree(one: &str, other: &str) {
    let [one, other] = [viewer::parse(one), viewer::parse(other)];
    assert_eq!(one.target_duration, other.target_duration);
    let facts = |playlist: &m3u8_rs::MediaPlaylist| {
        let sequence = playlist.media_sequence;
        let numbered = playlist.segments.iter().zip(sequence..);
        numbered
            .map(|(s, msn)| (msn, (s.uri.clone(), s.duration.to_bits(), s.discontinuity)))
            .collect::<BTreeMap<_, _>>()
    };
    let other = facts(&other);
    for (msn, facts) in facts(&one) {
        if let Some(same) = other.get(&msn) {
            assert_eq!(&facts, same, "segment {msn}");
        }
    }
}

async fn locked(origins: [&Origin; 2], what: &str) {
    until(what, e2e::PATIENCE, async || {
        for origin in origins {
            let streams = origin.streams().await;
            let streams = streams.as_array()?;
            let locked = |s: &serde_json::Value| s["twin"]["state"] == "locked";
            if streams.len() != SHAPES.len() || !streams.iter().all(locked) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// Waits until each stream has this many bodies in common, all of them equal.
async fn alike(origins: [&Origin; 2]) {
    for shape in &SHAPES {
        until(
            &format!("{} is listed by both", shape.name),
            e2e::PATIENCE,
            async || (compare(origins, shape.name).await >= 20).then_some(()),
        )
        .await;
    }
    for origin in origins {
        let streams = origin.streams().await;
        for stream in streams.as_array().expect("a list") {
            assert_eq!(stream["twin"]["disagreements"], 0, "{stream}");
        }
    }
}

/// Name of the run, and numbers, as a viewer of this origin sees them.
async fn position(origin: &Origin, stream: &str) -> (String, u64, u64) {
    let text = playlist(origin, stream, "source")
        .await
        .expect("the survivor answers");
    let parsed = viewer::parse(&text);
    assert!(
        parsed.segments.iter().all(|segment| !segment.discontinuity),
        "{text}"
    );
    let last = parsed.segments.last().expect("segments");
    let (epoch, _) = last.uri.split_once('/').expect("epoch and number");
    let newest = parsed.media_sequence + parsed.segments.len() as u64;
    (epoch.to_owned(), parsed.media_sequence, newest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p26_one_encoder_two_origins_same_bytes_through_deaths() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let encoded: Vec<Arc<Encoded>> = SHAPES
        .iter()
        .map(|shape| Arc::new(Encoded::make(folder.path(), shape)))
        .collect();
    let ports: [[u16; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| e2e::free_port()));
    let folders = ["a", "b"].map(|name| folder.path().join(name));
    let start = async |index: usize| {
        std::fs::create_dir_all(&folders[index]).expect("a folder");
        let [rtmp, http, admin] = ports[index];
        let settings = settings(ports[1 - index][1], index == 0);
        Origin::start_on(&folders[index], &settings, rtmp, http, admin).await
    };
    let mut origins = [start(0).await, start(1).await];
    let began = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for (shape, encoded) in SHAPES.iter().zip(&encoded) {
        for (index, origin) in origins.iter().enumerate() {
            let (url, encoded) = (origin.publish_url(shape.name), Arc::clone(encoded));
            publishers.spawn(publish(
                url,
                origin.rtmp,
                encoded,
                began,
                shape.starts_ms[index],
            ));
        }
    }
    locked([&origins[0], &origins[1]], "both are locked").await;
    alike([&origins[0], &origins[1]]).await;

    for dead in [0, 1] {
        let survivor = 1 - dead;
        let mut before = Vec::new();
        for shape in &SHAPES {
            before.push(position(&origins[survivor], shape.name).await);
        }
        origins[dead].process.kill();
        origins[dead] = start(dead).await;
        locked([&origins[0], &origins[1]], "the restarted origin is locked").await;
        alike([&origins[0], &origins[1]]).await;
        for (shape, (epoch, first, newest)) in SHAPES.iter().zip(before) {
            let after = position(&origins[survivor], shape.name).await;
            assert_eq!(after.0, epoch, "viewers of the survivor see one run");
            assert!(
                after.1 >= first && after.2 > newest,
                "{}: numbers go on",
                shape.name
            );
        }
    }
    publishers.abort_all();
}

/// What an encoder sends to two origins that know nothing of each other's secret is carried by each alone.
#[tokio::test]
async fn a_stranger_learns_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let origin = Origin::start(folder.path(), &settings(1, true)).await;
    let url = origin.url("/peer/v1/streams/thirty");
    let wrong = e2e::request("GET", &url, &[("x-panocast-peer", "guess")]).await;
    assert_eq!(wrong.expect("an answer").status, StatusCode::FORBIDDEN);
    let right = e2e::request("GET", &url, &[("x-panocast-peer", "between us")]).await;
    let right = right.expect("an answer");
    assert_eq!(right.status, StatusCode::OK);
    let facts: serde_json::Value = serde_json::from_slice(&right.body).expect("JSON");
    assert_eq!(facts["state"], "absent");
}
