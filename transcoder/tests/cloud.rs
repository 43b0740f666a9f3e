//! The whole way over the real AWS SDKs: recordings in S3, the bucket's own events in SQS, two
//! workers, VOD in another bucket; against a simulated AWS that carries the deployment's storage.

#![cfg(feature = "aws")]
#![forbid(unsafe_code)]

#[path = "../../crates/store/tests/support/mod.rs"]
mod moto;
mod support;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use jobs::Queue;
use moto::{Deployment, SECRET};
use service::{Clock, backoff::Backoff, drain};
use store::{Disturbance, FaultSchedule, Faulty, ObjectMetadata, Store};
use support::*;
use transcoder::{Worker, progress::Progress};

const PUBLISHERS: u32 = 10;

async fn open(aws: &Deployment) -> (Arc<dyn Store>, Arc<dyn Store>, Arc<dyn Queue>) {
    let stores = store::Options {
        endpoint: Some(aws.endpoint.clone()),
        region: Some(aws.region.clone()),
        path_style: None,
        credentials: Some(store::Credentials {
            access_key_id: SECRET.into(),
            secret_access_key: SECRET.into(),
        }),
    };
    let jobs = jobs::Options {
        endpoint: Some(aws.endpoint.clone()),
        region: Some(aws.region.clone()),
        credentials: Some(jobs::Credentials {
            access_key_id: SECRET.into(),
            secret_access_key: SECRET.into(),
        }),
        ..jobs::Options::default()
    };
    let bucket = |name: &str| format!("s3://{name}");
    (
        store::open(&bucket(&aws.ingest), &stores)
            .await
            .unwrap()
            .into(),
        store::open(&bucket(&aws.egress), &stores)
            .await
            .unwrap()
            .into(),
        jobs::open(&aws.queue, &jobs).await.unwrap().into(),
    )
}

/// As the recorder does: parts while it runs, the sidecar, then all at once.
async fn upload(store: &dyn Store, key: &str, made: &TestRecording) {
    let metadata = ObjectMetadata::default();
    let upload = store.create_upload(key, metadata).await.unwrap();
    let part = store
        .put_part(key, &upload, 1, made.bytes.clone())
        .await
        .unwrap();
    let sidecar = Bytes::from(made.sidecar.clone());
    store
        .put(&key.replace(".mp4", ".json"), sidecar, metadata)
        .await
        .unwrap();
    store.complete_upload(key, &upload, &[part]).await.unwrap();
}

/// Answers 503 for a while, again and again.
fn storms() -> FaultSchedule {
    let mut count = 0;
    FaultSchedule::by(move |_, _| {
        count += 1;
        (count % 60 >= 45).then_some(Disturbance::Refuse)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_publishers_stop_at_once_and_ten_assets_appear() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let aws = Deployment::start(&deploy);
    let (ingest, egress, queue) = open(&aws).await;
    let made = recording(4, None);
    let key = |n| format!("recordings/stage {n}/1790000000-k3f9.mp4").replace(' ', "_");
    for n in 0..PUBLISHERS {
        upload(&*ingest, &key(n), &made).await;
    }
    let progress = Progress::new(Clock::real());
    let (signal, watch) = drain::channel();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let egress = Arc::new(Faulty::new(egress.clone(), storms()));
        let (ingest, queue) = (ingest.clone(), queue.clone());
        let worker = Worker::new(ingest, egress, queue, settings(), progress.clone()).unwrap();
        let waits = Backoff::within(
            Duration::from_millis(1),
            Duration::from_millis(20),
            Duration::from_secs(60),
        );
        let (worker, watch) = (worker.with_backoff(waits), watch.clone());
        workers.spawn(async move { worker.run(1, watch).await });
    }
    // What comes twice changes nothing.
    for n in 0..PUBLISHERS {
        upload_event(&*queue, &aws.ingest, &key(n)).await;
    }
    progress
        .until(|report| report.assets_done >= u64::from(PUBLISHERS))
        .await;
    signal.leave();
    while workers.join_next().await.is_some() {}
    assert_eq!(queue.dead_letters().await.unwrap(), []);
    assert_eq!(progress.report().failures, []);
    let index = text(&*egress, "vod/index.json").await;
    let index: Vec<transcoder::IndexEntry> = serde_json::from_str(&index).unwrap();
    let mut assets: Vec<String> = index.iter().map(|entry| entry.asset.clone()).collect();
    assets.sort();
    let expected = (0..PUBLISHERS).map(|n| format!("stage_{n}-1790000000-k3f9"));
    assert_eq!(assets, expected.collect::<Vec<_>>());
    for asset in assets {
        let audio = read_rendition(&*egress, &asset, "audio").await;
        assert!(audio.segments.concat() == made.audio);
        for rung in ["source", "120p", "80p"] {
            let read = read_rendition(&*egress, &asset, rung).await;
            assert_eq!(
                read.segments.concat().len(),
                made.video.len(),
                "{asset} {rung}"
            );
        }
    }
}

async fn upload_event(queue: &dyn Queue, bucket: &str, key: &str) {
    let object = jobs::event::ObjectCreated {
        bucket: bucket.into(),
        key: key.into(),
        size: None,
        etag: None,
        version_id: None,
        sequencer: None,
    };
    queue
        .send(&[jobs::event::object_created(&object, std::time::UNIX_EPOCH)])
        .await
        .unwrap();
}
