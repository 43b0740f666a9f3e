//! A simulated stream whose window slides: what leaves it can be fetched from disk, byte for byte, until it may go.

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
    auth::OnConflict,
    config::Hls,
    memory::Memory,
    stream::{Environment, Publication, Publisher, Stream},
};

/// Sunday 2026-11-01, 12:00:00 UTC.
const WALL: Duration = Duration::from_secs(1_793_534_400);
const WINDOW: Duration = Duration::from_secs(20);

struct Bench {
    clock: Clock,
    hand: Hand,
    encoder: Encoder,
    registry: Registry,
    publication: Option<Publication>,
    retired: Retired,
    last: HashMap<String, Arc<Snapshot>>,
    disk: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH + WALL);
        let disk = tempfile::tempdir().expect("a folder");
        let metrics = Metrics::new(&service::metrics::Registry::new());
        let folder = disk.path().join("retired");
        let retired = Retired::open(&folder, clock.clone(), metrics.clone()).expect("opens");
        let environment = Environment {
            clock: clock.clone(),
            metrics,
            recorder: None,
            memory: Memory::open(disk.path()).expect("opens"),
            twin: None,
        };
        let config = Config {
            ladder: Vec::new(),
            hls: Hls {
                window: service::config::Duration(WINDOW),
                ..Hls::default()
            },
            ..Config::default()
        };
        let registry = Registry::new(Arc::new(config), environment);
        let encoder = Encoder::new(Shape::default(), Duration::ZERO);
        let publication = Some(publish(&registry, &encoder, Duration::ZERO));
        Self {
            clock,
            hand,
            encoder,
            registry,
            publication,
            retired,
            last: HashMap::new(),
            disk,
        }
    }

    /// Publishes for so long, looking through the streams each second.
    fn run(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            let sent = self.encoder.send();
            let before = self.clock.now();
            self.hand.advance(sent.at.saturating_sub(before));
            let event = flv::Event::AccessUnit(sent.arrival);
            let publication = self.publication.as_ref().expect("it publishes");
            publication.push(event, self.clock.now());
            if before.as_secs() != self.clock.now().as_secs() {
                self.registry.tick();
                self.sweep();
            }
        }
    }

    fn sweep(&mut self) {
        self.retired.sweep(&self.registry, &mut self.last);
    }

    fn stream(&self) -> Arc<Stream> {
        self.registry.find("foo").expect("it was published")
    }

    fn media(&self) -> Arc<MediaSnapshot> {
        let view = self.stream().view("source").expect("it can be watched");
        Arc::clone(view.borrow().media())
    }

    async fn find(&self, epoch: &str, media: Media) -> Option<Bytes> {
        let place = Place {
            stream: "foo",
            rendition: "source",
            epoch,
        };
        let (kind, bytes) = self.retired.find(place, media).await?;
        assert_eq!(kind, media::Kind::Video);
        Some(bytes)
    }
}

fn publish(registry: &Registry, encoder: &Encoder, now: Duration) -> Publication {
    let publisher = Publisher {
        address: SocketAddr::from(([127, 0, 0, 1], 9)),
        encoder: "bench".to_owned(),
    };
    let publication = registry
        .claim("foo", publisher, OnConflict::Takeover)
        .expect("free");
    let video = encoder.video().expect("it sends pictures").clone();
    for event in [
        flv::Event::VideoConfig(video),
        flv::Event::AudioConfig(encoder.shape().sound.clone().expect("and sound")),
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
    let epoch = media.epoch();
    let found = bench.find(epoch, Media::Segment(early.msn)).await;
    assert_eq!(found.as_deref(), Some(whole.as_slice()));
    let init = early.init.as_ref().expect("pictures have one");
    let found = bench.find(epoch, Media::Init(init.index)).await;
    assert_eq!(found.as_ref(), Some(&init.bytes));
    assert_eq!(
        bench.find("elsewhere", Media::Segment(early.msn)).await,
        None
    );

    bench.run(Duration::from_secs(20));
    let found = bench.find(epoch, Media::Segment(early.msn)).await;
    assert_eq!(found, None, "its time is over");
    let files = fs::read_dir(bench.retired.shelf.folder()).expect("a folder");
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
    bench.publication = Some(publish(&bench.registry, &bench.encoder, now));
    bench.encoder.reconnect(bench.clock.now());
    bench.run(Duration::from_secs(15));
    assert_ne!(bench.media().epoch(), old.epoch(), "another run");
    let found = bench.find(old.epoch(), Media::Segment(newest)).await;
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
    let folder = bench.disk.path().join("retired");
    fs::remove_dir_all(&folder).expect("removed");
    bench.run(Duration::from_secs(25));
    let found = bench.media().segment(early) != Lookup::Missing;
    assert!(found, "what could not be written is still in memory");
    fs::create_dir(&folder).expect("made");
    bench.run(Duration::from_secs(3));
    assert_eq!(bench.media().segment(early), Lookup::Missing);
    let epoch = bench.media().epoch().to_owned();
    assert!(bench.find(&epoch, Media::Segment(early)).await.is_some());
}
