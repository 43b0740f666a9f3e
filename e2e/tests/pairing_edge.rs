//! Either origin of a pair may die and be replaced, again and again, behind an edge: nobody
//! notices.
//!
//! `make pairing` runs the long form: ten deaths in random order, and the page in Chromium among
//! the viewers.

mod pairing_common;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{
    audience::{Audience, Manner, assert_content},
    edge::Edge,
    page::Page,
    publisher::Publisher,
};
use pairing_common::{
    encoder::{Encoded, Shape},
    keeper::{Keeper, assert_consecutive},
    pair::Pair,
};
use tokio::task::JoinSet;

/// How many deaths, where more are wanted than a run of all tests has time for.
const DEATHS: &str = "PANOCAST_PAIR_DEATHS";
/// Which random order; printed, so that it can be asked for again.
const SEED: &str = "PANOCAST_PAIR_SEED";

const AUDIENCE: [(Manner, usize); 2] = [(Manner::Plain, 75), (Manner::LowLatency, 25)];

/// A stall shorter than this is none: pictures that last longer than their time nobody sees.
const STALL_MAX: Duration = Duration::from_millis(100);

/// What a new origin lists before its partner may die: as far back as players are behind.
const WARM_SEGMENTS: usize = 4;

const SETTINGS: &str = "ladder = []";

fn shape(seconds: u64) -> Shape {
    Shape {
        name: "show",
        rate: (30, 1),
        gop: 30,
        starts_ms: [0, 2_350],
        seconds,
    }
}

/// A pair with its encoder, and an edge before it.
struct Stage {
    folder: tempfile::TempDir,
    pair: Pair,
    edge: Edge,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let pair = Pair::start(folder.path(), SETTINGS).await;
        let ports = [pair.origins[0].http, pair.origins[1].http];
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../player/dist");
        let settings = format!("player = \"{}\"", page.display());
        let edge = Edge::start(folder.path(), "edge", &ports, &settings).await;
        Self { folder, pair, edge }
    }

    fn url(&self, rendition: &str) -> String {
        self.edge.url(&format!("/hls/show/{rendition}/index.m3u8"))
    }

    async fn warm(&self) {
        self.pair.locked(1).await;
        for index in [0, 1] {
            self.pair
                .lists(index, "show", &["source", "audio"], WARM_SEGMENTS)
                .await;
            let origin = self.pair.origins[index].http;
            let up = format!("edge_origin_up{{origin=\"http://127.0.0.1:{origin}\"}}");
            self.edge.metric_when(&up, |value| value == 1.0).await;
        }
    }
}

/// Which origin dies when: any order, but both of the first two, so that soon nothing is left of
/// the first pair.
fn order(deaths: usize, mut seed: u64) -> Vec<usize> {
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 20) as usize % 2
    };
    let first = random();
    let rest = (2..deaths).map(|_| random());
    [first, 1 - first].into_iter().chain(rest).collect()
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_die_and_are_replaced_and_nobody_notices() {
    let deaths = asked(DEATHS).unwrap_or(3) as usize;
    let now = || {
        std::time::UNIX_EPOCH
            .elapsed()
            .map_or(1, |now| now.as_secs())
    };
    let seed = asked(SEED).unwrap_or_else(now);
    println!("{SEED}={seed}");
    let mut stage = Stage::start().await;
    // Longer than a death, a start and a lock take.
    let shape = shape(60 + 30 * deaths as u64);
    let encoded = Encoded::stamped(stage.folder.path(), &shape);
    let began = Instant::now();
    let mut publishers = JoinSet::new();
    for (origin, start_ms) in stage.pair.origins.iter().zip(shape.starts_ms) {
        publishers.spawn(Arc::clone(&encoded).publish(origin.publish_url("show"), began, start_ms));
    }
    stage.warm().await;
    let keepers = ["source", "audio"].map(|rendition| Keeper::start(stage.url(rendition)));
    let audience = Audience::start(&stage.url("source"), &AUDIENCE);
    audience.all_go_on(1).await;
    let address = stage.edge.url("/?url=/hls/show.m3u8");
    let page = Page::open_where_asked(stage.folder.path(), &address).await;
    for dead in order(deaths, seed) {
        stage.pair.kill(dead);
        audience.all_go_on(1).await;
        stage.pair.replace(dead).await;
        stage.warm().await;
    }
    audience.all_go_on(2).await;
    if let Some(page) = page {
        let seen = page.close().await;
        assert_eq!(seen["stalls"], 0, "{seen:#}");
    }
    let seen = audience.end().await;
    let longest = seen.iter().map(|one| one.longest_stall).max();
    println!("longest stall of {} viewers: {longest:?}", seen.len());
    assert_content(&seen, STALL_MAX);
    assert!(seen.iter().all(|one| one.discontinuities == 0));
    stage.pair.agree().await;
    let [source, audio] = keepers;
    let (source, audio) = (source.end().await, audio.end().await);
    publishers.abort_all();
    for kept in [&source, &audio] {
        kept.assert_whole();
        kept.assert_tiles();
        let [first, last] = [kept.segments.first(), kept.segments.last()].map(Option::unwrap);
        assert_eq!(first.run_id, last.run_id, "one run through all deaths");
        assert_eq!(first.discontinuities, last.discontinuities);
    }
    assert_consecutive(&source.numbers(stage.folder.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_that_only_fails_over_is_one_discontinuity() {
    let stage = Stage::start().await;
    let shape = Shape {
        name: "show",
        ..shape(60)
    };
    let encoded = Encoded::stamped(stage.folder.path(), &shape);
    let began = Instant::now();
    let [primary, backup] = &stage.pair.origins;
    let mut first = Publisher::connect(&primary.publish_url("show"))
        .await
        .expect("accepted");
    let first = tokio::spawn({
        let encoded = Arc::clone(&encoded);
        async move { encoded.send(&mut first, began).await }
    });
    stage
        .pair
        .lists(0, "show", &["source", "audio"], WARM_SEGMENTS)
        .await;
    let keeper = Keeper::start(stage.url("source"));
    let audience = Audience::start(&stage.url("source"), &AUDIENCE);
    audience.all_go_on(1).await;
    first.abort();
    // An encoder notices, and connects to the backup.
    let second = tokio::spawn(encoded.publish(backup.publish_url("show"), began, 0));
    stage
        .pair
        .lists(1, "show", &["source", "audio"], WARM_SEGMENTS)
        .await;
    let newest = stage.pair.origins[1].stream("show").await["run"]["next_msn"].as_u64();
    audience.all_reach(newest.expect("a number")).await;
    let seen = audience.end().await;
    let failures: Vec<_> = seen.iter().flat_map(|one| &one.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let kept = keeper.end().await;
    second.abort();
    assert!(kept.failures.is_empty(), "{:#?}", kept.failures);
    let segments = &kept.segments;
    let numbers = segments.iter().map(|segment| segment.msn);
    let mut numbers: Vec<u64> = numbers.chain(kept.gaps.iter().copied()).collect();
    numbers.sort_unstable();
    assert!(
        numbers.windows(2).all(|two| two[1] == two[0] + 1),
        "no number is left out: {numbers:?}"
    );
    assert_eq!(kept.gaps.len(), 3, "of what was lost: {:?}", kept.gaps);
    let breaks = segments
        .windows(2)
        .filter(|two| two[1].discontinuities != two[0].discontinuities);
    assert_eq!(breaks.count(), 1, "exactly one discontinuity");
    let runs = segments
        .windows(2)
        .filter(|two| two[1].run_id != two[0].run_id);
    assert_eq!(runs.count(), 1, "at the change of runs");
}
