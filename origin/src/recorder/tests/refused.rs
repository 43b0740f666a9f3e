//! What a refused publish leaves behind: nothing.

use super::{live::publish, *};
use crate::stream::Publication;
use media::IngestEvent;
use service::Clock;
use testkit::{Publisher as Simulated, Shape};

/// What a publisher that sent `sent` of audio and then ended by `end` leaves: stored recordings,
/// and what the stream says happened.
async fn left_by(sent: Duration, end: fn(&mut Publication)) -> (usize, bool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let config = config(&folder.path().join("spool"), store.clone());
    let recorder = Recorder::open(config).await.unwrap();
    let (clock, hand) = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_790_000_000));
    let (stream, mut publication) = publish(folder.path(), &clock, Some(recorder.clone()));
    let mut simulated = Simulated::new(Shape::default(), Duration::ZERO);
    let audio = simulated.shape().audio.clone().unwrap();
    publication.push(
        IngestEvent::AudioConfig(media::AudioConfig::Aac(audio)),
        Duration::ZERO,
    );
    loop {
        let next = simulated.send();
        if next.at > sent {
            break;
        }
        hand.advance(next.at.saturating_sub(clock.now()));
        if next.unit.kind == MediaKind::Audio {
            publication.push(IngestEvent::Unit(next.unit), next.at);
        }
    }
    end(&mut publication);
    drop(publication);
    stream.seal();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        recorder.settled().await;
    }
    let objects = store::list_all(&*store, "recordings/", 9).await.unwrap();
    let recorded = stream.events().recent().into_iter();
    let events = recorded.map(|record| serde_json::to_value(record.event).unwrap());
    let names = events.map(|event| event["event"].as_str().unwrap().to_owned());
    let has_snapshot = stream.snapshot().is_some();
    (objects.len(), has_snapshot, names.collect())
}

#[tokio::test]
async fn a_publish_refused_at_its_first_picture_leaves_no_recording_and_no_run() {
    for sent in [100, 300, 1500].map(Duration::from_millis) {
        let (objects, has_snapshot, events) = left_by(sent, |publication| {
            publication.refuse("cannot take HEVC");
        })
        .await;
        assert_eq!((objects, has_snapshot), (0, false), "{sent:?}: {events:?}");
        assert_eq!(events.first().map(String::as_str), Some("publish_started"));
        assert_eq!(events.last().map(String::as_str), Some("publish_ended"));
    }
}

#[tokio::test]
async fn a_short_publish_that_ends_in_good_order_is_recorded() {
    let sent = Duration::from_millis(300);
    let (objects, ..) = left_by(sent, |publication| publication.leave("goodbye")).await;
    assert_eq!(objects, 2, "media and sidecar");
}
