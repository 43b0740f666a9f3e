//! A stream beside its recording: whatever the store does, viewers get every part at the same
//! moment.

use std::net::SocketAddr;

use hls::Snapshot;
use media::IngestEvent;
use service::{Clock, config::File, metrics::Registry};
use testkit::{Publisher as Simulated, Shape};

use super::*;
use crate::{
    config::OnConflict,
    metrics::Metrics,
    stream::{Claim, DiscontinuityStore, Environment, Publication, Publisher, Stream},
};

/// Bytes of a picture: with 30 a second a quota of 6 MiB is used up after 5 s.
const BYTES: usize = 40_000;
const QUOTA: u64 = 6 << 20;
const TIME: Duration = Duration::from_secs(20);

pub(super) fn publish(
    folder: &Path,
    clock: &Clock,
    recorder: Option<Recorder>,
) -> (Arc<Stream>, Publication) {
    let file = File::parse("o.toml", "[origin]\nladder = []\n").unwrap();
    let config = crate::config::Config::load(&file).unwrap().stream("stage");
    let environment = Environment {
        clock: clock.clone(),
        metrics: Metrics::new(&Registry::new()),
        recorder,
        discontinuities: DiscontinuityStore::open(folder).unwrap(),
        peer: None,
        events: Default::default(),
        published: Arc::default(),
    };
    let stream = Stream::new("stage", config, environment);
    let publisher = Publisher {
        address: SocketAddr::from(([127, 0, 0, 1], 1935)),
        encoder: String::new(),
    };
    let Claim::Granted(publication) = stream.claim(publisher, OnConflict::Takeover) else {
        panic!("nobody else publishes")
    };
    (stream, publication)
}

/// How far viewers of each rendition are: last segment, its parts, bytes in all.
fn progress(snapshot: &Snapshot) -> Vec<(Option<u64>, usize, u64)> {
    let renditions = snapshot.renditions().iter();
    let figures = renditions.map(|media| {
        let open = media.open().map_or(0, |open| open.parts.len());
        let bytes = media.retained().iter().map(|one| one.byte_length()).sum();
        (media.last_msn(), open, bytes)
    });
    figures.collect()
}

#[tokio::test]
async fn a_store_that_stalls_and_a_full_spool_never_delay_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let stalled = Arc::new(Faulty::new(store.clone(), FaultSchedule::calm()));
    stalled.set_stalled(true);
    let mut config = config(&folder.path().join("spool"), stalled.clone());
    config.quota = QUOTA;
    let recorder = Recorder::open(config).await.unwrap();
    let (clock, hand) = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    let (plain, other) = publish(&folder.path().join("a"), &clock, None);
    let (recorded, publication) = publish(&folder.path().join("b"), &clock, Some(recorder.clone()));
    let shape = Shape {
        picture_bytes: BYTES,
        ..Shape::default()
    };
    let mut simulated = Simulated::new(shape, Duration::ZERO);
    let video = IngestEvent::VideoConfig(simulated.video().unwrap().clone());
    let audio = IngestEvent::AudioConfig(simulated.shape().audio.clone().unwrap().into());
    for event in [video, audio] {
        other.push(event.clone(), Duration::ZERO);
        publication.push(event, Duration::ZERO);
    }
    let mut moved = 0;
    loop {
        let sent = simulated.send();
        if sent.at > TIME {
            break;
        }
        hand.advance(sent.at.saturating_sub(clock.now()));
        let event = IngestEvent::Unit(sent.unit);
        other.push(event.clone(), sent.at);
        publication.push(event, sent.at);
        let seen = [&plain, &recorded].map(|stream| stream.snapshot().map(|s| progress(&s)));
        assert_eq!(seen[0], seen[1], "at {:?}", sent.at);
        moved += usize::from(seen[0].is_some());
    }
    assert!(moved > 100, "viewers got something");
    // All the while the store had been asked and said nothing, and the spool filled up.
    while recorder.spooled_bytes() < QUOTA - (1 << 20) || stalled.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorder.stored(), 0);
    assert!(recorder.unconfirmed_bytes() > 0);
    drop(publication);
    recorded.seal();
    stalled.set_stalled(false);
    while recorder.stored() == 0 {
        recorder.settled().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(recorder.unconfirmed_bytes(), 0);
    let objects = store::list_all(&*store, "recordings/stage/", 9)
        .await
        .unwrap();
    let (units, sidecar) = read(&*store, &objects[1].key).await;
    assert!(!units.is_empty() && !sidecar.gaps.is_empty() && sidecar.dropped_units > 0);
}
