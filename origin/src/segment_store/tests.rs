//! A simulated stream whose window slides: what leaves it can be fetched from disk, byte for byte,
//! until it may go; and a process that is killed, whose successor shows what it showed.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use hls::Lookup;
use service::clock::Hand;
use testkit::{Publisher as Encoder, Shape};

use super::*;
use crate::{
    Config,
    config::{Hls, OnConflict},
    stream::{DiscontinuityStore, Environment, Publication, Publisher, Stream},
};

/// Sunday 2026-11-01, 12:00:00 UTC.
const WALL: Duration = Duration::from_secs(1_793_534_400);
const WINDOW: Duration = Duration::from_secs(20);

struct Bench {
    /// The stream's.
    name: &'static str,
    clock: Clock,
    hand: Hand,
    encoder: Encoder,
    registry: Registry,
    publication: Option<Publication>,
    segment_store: SegmentStore,
    stored: HashMap<String, StoredStream>,
    disk: Arc<tempfile::TempDir>,
}

impl Bench {
    fn new() -> Self {
        Self::named("foo")
    }

    fn named(name: &'static str) -> Self {
        let disk = Arc::new(tempfile::tempdir().expect("a folder"));
        let idle = Self::idle(disk, WALL, Config::default());
        let mut bench = Self { name, ..idle };
        bench.publish();
        bench
    }

    /// Another process on the same disk, so long after the first one started. The first one's files
    /// stay as they are.
    fn killed(self, after: Duration) -> Self {
        let next = Self::idle(Arc::clone(&self.disk), WALL + after, Config::default());
        let name = self.name;
        Self { name, ..next }
    }

    fn idle(disk: Arc<tempfile::TempDir>, wall: Duration, config: Config) -> Self {
        let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH + wall);
        let metrics = Metrics::new(&service::metrics::Registry::new());
        let config = Arc::new(Config {
            ladder: Vec::new(),
            hls: Hls {
                window: service::config::Duration(WINDOW),
                ..config.hls
            },
            ..config
        });
        let folder = disk.path().join("shelf");
        let segment_store =
            SegmentStore::open(&folder, Arc::clone(&config), clock.clone(), metrics.clone());
        let segment_store = segment_store.expect("opens");
        let environment = Environment {
            clock: clock.clone(),
            metrics,
            recorder: None,
            discontinuities: DiscontinuityStore::open(disk.path()).expect("opens"),
            peer: None,
            events: Default::default(),
            published: Arc::default(),
        };
        let registry = Registry::new(config, environment);
        for (name, restored) in segment_store.restore().expect("the disk is there") {
            registry.restore(&name, restored);
        }
        let encoder = Encoder::new(Shape::default(), Duration::ZERO);
        Self {
            name: "foo",
            clock,
            hand,
            encoder,
            registry,
            publication: None,
            segment_store,
            stored: HashMap::new(),
            disk,
        }
    }

    fn publish(&mut self) {
        self.publication = Some(publish(
            &self.registry,
            self.name,
            &self.encoder,
            self.clock.now(),
        ));
    }

    /// Publishes for so long, looking through the streams each second.
    fn run(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            let sent = self.encoder.send();
            let before = self.clock.now();
            self.hand.advance(sent.at.saturating_sub(before));
            let event = media::IngestEvent::Unit(sent.unit);
            let publication = self.publication.as_ref().expect("it publishes");
            publication.push(event, self.clock.now());
            if before.as_secs() != self.clock.now().as_secs() {
                self.registry.tick();
                self.sweep();
            }
        }
    }

    fn sweep(&mut self) {
        self.segment_store.sweep(&self.registry, &mut self.stored);
    }

    fn stream(&self) -> Arc<Stream> {
        self.registry.find(self.name).expect("it was published")
    }

    fn media(&self) -> Arc<MediaSnapshot> {
        let view = self.stream().view("source").expect("it can be watched");
        Arc::clone(view.borrow().media())
    }

    async fn find(&self, run_id: &str, media: MediaFile) -> Option<Bytes> {
        let key = MediaKey {
            stream: self.name,
            rendition: "source",
            run_id,
        };
        let (kind, bytes) = self.segment_store.find(key, media).await?;
        assert_eq!(kind, media::MediaKind::Video);
        Some(bytes)
    }
}

fn publish(registry: &Registry, name: &str, encoder: &Encoder, now: Duration) -> Publication {
    let publisher = Publisher {
        address: SocketAddr::from(([127, 0, 0, 1], 9)),
        encoder: "bench".to_owned(),
    };
    let publication = registry
        .claim(name, publisher, OnConflict::Takeover)
        .expect("free");
    let video = encoder.video().expect("it sends pictures").clone();
    for event in [
        media::IngestEvent::VideoConfig(video),
        media::IngestEvent::AudioConfig(encoder.shape().audio.clone().expect("and audio").into()),
    ] {
        publication.push(event, now);
    }
    publication
}

#[tokio::test]
async fn memory_holds_the_window_and_disk_what_left_it() {
    let mut bench = Bench::new();
    bench.run(Duration::from_secs(15));
    let early = Arc::clone(&bench.media().listed()[0]);
    let whole: Vec<u8> = early.pieces().flat_map(|piece| piece.to_vec()).collect();
    bench.run(Duration::from_secs(25));
    let media = bench.media();
    assert!(media.retained().len() <= media.listed().len() + IN_MEMORY + 1);
    assert_eq!(media.segment(early.msn), Lookup::Missing, "not in memory");
    let run_id = media.run_id();
    let found = bench.find(run_id, MediaFile::Segment(early.msn)).await;
    assert_eq!(found.as_deref(), Some(whole.as_slice()));
    let init = early.init.as_ref().expect("pictures have one");
    let found = bench.find(run_id, MediaFile::Init(init.index)).await;
    assert_eq!(found.as_ref(), Some(&init.bytes));
    assert_eq!(
        bench.find("elsewhere", MediaFile::Segment(early.msn)).await,
        None
    );

    bench.run(Duration::from_secs(20));
    let found = bench.find(run_id, MediaFile::Segment(early.msn)).await;
    assert_eq!(found, None, "its time is over");
    let files = fs::read_dir(bench.segment_store.files.folder()).expect("a folder");
    assert!(files.count() < 60, "gone from disk too");
}

#[tokio::test]
async fn a_run_that_ended_stays_fetchable_when_another_takes_its_place() {
    let mut bench = Bench::new();
    bench.run(Duration::from_secs(30));
    let old = bench.media();
    let newest = old.listed().last().expect("listed").msn;
    // Beyond the reconnect window: the run ends, and the next publisher begins another.
    bench.publication = None;
    bench.hand.advance(Duration::from_secs(120));
    bench.registry.tick();
    bench.sweep();
    let now = bench.clock.now();
    bench.publication = Some(publish(&bench.registry, bench.name, &bench.encoder, now));
    bench.encoder.reconnect(bench.clock.now());
    bench.run(Duration::from_secs(15));
    assert_ne!(bench.media().run_id(), old.run_id(), "another run");
    let found = bench.find(old.run_id(), MediaFile::Segment(newest)).await;
    assert!(
        found.is_some(),
        "viewers may still play what they were told of"
    );
}

#[tokio::test]
async fn a_disk_that_fails_costs_memory_only() {
    let mut bench = Bench::new();
    bench.run(Duration::from_secs(15));
    let early = bench.media().listed()[0].msn;
    let folder = bench.disk.path().join("shelf");
    let away = bench.disk.path().join("away");
    fs::rename(&folder, &away).expect("moved");
    fs::write(&folder, "no folder").expect("written");
    bench.run(Duration::from_secs(25));
    let found = bench.media().segment(early) != Lookup::Missing;
    assert!(found, "what could not be written is still in memory");
    fs::remove_file(&folder).expect("removed");
    fs::rename(&away, &folder).expect("moved");
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.media().segment(early), Lookup::Missing);
    let run_id = bench.media().run_id().to_owned();
    assert!(
        bench
            .find(&run_id, MediaFile::Segment(early))
            .await
            .is_some()
    );
}

#[tokio::test]
async fn a_killed_process_is_followed_by_one_that_shows_the_same() {
    let mut bench = Bench::new();
    bench.run(Duration::from_millis(30_300));
    bench.sweep();
    let before = bench.media();
    let known: Vec<Arc<Segment>> = before
        .listed()
        .iter()
        .chain(before.open())
        .cloned()
        .collect();
    let run_id = before.run_id().to_owned();

    let mut next = bench.killed(Duration::from_secs(32));
    let shown = next.media();
    let listed: Vec<u64> = shown.listed().iter().map(|one| one.msn).collect();
    let expected: Vec<u64> = known.iter().map(|one| one.msn).collect();
    assert_eq!(listed, expected, "before its encoder is back");
    assert!(next.stream().is_watchable());
    for (old, new) in known.iter().zip(shown.listed()) {
        assert_eq!(new.to_bytes(), old.to_bytes());
        assert!(
            next.find(&run_id, MediaFile::Segment(old.msn))
                .await
                .is_some(),
            "on disk too"
        );
    }

    next.publish();
    next.run(Duration::from_secs(9));
    let after = next.media();
    let fresh = after
        .listed()
        .iter()
        .find(|one| one.run_id.is_none())
        .expect("new ones");
    assert_eq!(fresh.msn, expected.last().expect("some") + 1);
    assert!(fresh.discontinuity);
    let end = shown
        .listed()
        .last()
        .and_then(|one| one.end_seconds())
        .expect("ours");
    let start = fresh.end_seconds().expect("ours") - fresh.seconds();
    assert!(start >= end - 0.001, "{start} after {end}: times go on");
    assert_eq!(
        next.stream().report().run.map(|run| run.run_id),
        Some(shown.run_id().to_owned()),
        "as announced"
    );
}

#[tokio::test]
async fn a_publisher_that_does_not_come_back_ends_what_a_killed_process_left() {
    let mut bench = Bench::new();
    bench.run(Duration::from_secs(20));
    bench.sweep();
    let mut next = bench.killed(Duration::from_secs(21));
    let last = next.media().last_msn();
    next.hand.advance(Duration::from_secs(59));
    next.registry.tick();
    assert!(!next.media().is_ended(), "it may still come");
    next.hand.advance(Duration::from_secs(2));
    next.registry.tick();
    assert!(next.media().is_ended() && !next.stream().is_watchable());
    next.sweep();
    // Whoever comes later starts a run of its own, above everything that was shown.
    next.publish();
    next.encoder.reconnect(next.clock.now());
    next.run(Duration::from_secs(9));
    assert!(!next.media().is_ended());
    assert!(next.media().listed()[0].msn > last.expect("a number"));
    assert!(next.media().listed().iter().all(|one| one.run_id.is_none()));
}

#[tokio::test]
async fn what_cannot_be_gone_on_with_is_removed() {
    let left = || {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(20));
        bench.sweep();
        bench
    };
    let count = |bench: &Bench| {
        fs::read_dir(bench.disk.path().join("shelf"))
            .expect("a folder")
            .count()
    };
    let late = left().killed(Duration::from_secs(20 + 700));
    assert_eq!(
        (late.registry.streams().len(), count(&late)),
        (0, 0),
        "viewers are gone"
    );

    let bench = left();
    let mut other = Config::default();
    other.hls.part_target = service::config::Duration(Duration::from_millis(250));
    let other = Bench::idle(
        Arc::clone(&bench.disk),
        WALL + Duration::from_secs(21),
        other,
    );
    assert_eq!(
        (other.registry.streams().len(), count(&other)),
        (0, 0),
        "other promises"
    );

    let bench = left();
    let rebooted = SegmentStore {
        checkpoints: bench.segment_store.checkpoints.rebooted(),
        ..bench.segment_store.clone()
    };
    assert!(
        rebooted.restore().expect("reads").is_empty(),
        "writes may be lost"
    );

    let bench = left();
    let index = bench.disk.path().join("shelf").join("foo.index");
    for damage in ["", "{}", "[1,2", "null"] {
        fs::write(&index, damage).expect("writes");
        assert!(
            bench.segment_store.restore().expect("reads").is_empty(),
            "{damage:?}"
        );
        assert!(!index.exists());
    }
}

#[tokio::test]
async fn an_index_with_impossible_numbers_is_not_gone_on_with() {
    for (field, number) in [
        ("msn", u64::MAX),
        ("discontinuity_sequence", u64::MAX),
        ("discontinuity_sequence", SEQUENCE_MAX),
    ] {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(20));
        bench.sweep();
        let path = bench.disk.path().join("shelf").join("foo.index");
        let text = fs::read_to_string(&path).expect("it was written");
        let whole = text.lines().next().expect("a line");
        let mut index: serde_json::Value = serde_json::from_str(whole).expect("ours");
        for rendition in index["run"]["renditions"].as_array_mut().expect("some") {
            let segments = rendition["segments"].as_array_mut().expect("some");
            let newest = segments.last_mut().expect("some");
            newest[field] = number.into();
            newest["discontinuity"] = true.into();
        }
        fs::write(&path, index.to_string()).expect("writes");
        assert!(
            bench.segment_store.restore().expect("reads").is_empty(),
            "{field} {number}"
        );
    }
}

#[tokio::test]
async fn a_stream_may_be_called_index() {
    let mut bench = Bench::named("index");
    bench.run(Duration::from_secs(20));
    bench.sweep();
    let before = bench.media();
    let next = bench.killed(Duration::from_secs(21));
    let numbers =
        |media: &MediaSnapshot| -> Vec<u64> { media.listed().iter().map(|one| one.msn).collect() };
    let after = next.media();
    assert!(numbers(&after).starts_with(&numbers(&before)));
    assert!(after.listed().iter().all(|one| !one.gap), "nothing is lost");
}

#[tokio::test]
async fn a_line_that_was_cut_short_costs_what_it_said() {
    for (torn, lost) in [("{\"renditions\":[[0,{\"fir", 0), ("", 1)] {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(20));
        bench.sweep();
        let before = bench.media();
        let path = bench.disk.path().join("shelf").join("foo.index");
        let text = fs::read_to_string(&path).expect("it was written");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 5, "changes are appended");
        let kept = lines[..lines.len() - lost].join("\n");
        fs::write(&path, format!("{kept}\n{torn}")).expect("writes");
        let next = bench.killed(Duration::from_secs(21));
        let parts = |media: &MediaSnapshot| -> usize {
            let segments = media.listed().iter().chain(media.open());
            segments.map(|segment| segment.parts.len()).sum()
        };
        let missing = parts(&before) - parts(&next.media());
        assert_eq!(missing > 0, lost > 0, "{torn:?}: {missing} parts");
        assert!(missing < 4, "{missing}");
    }
}
