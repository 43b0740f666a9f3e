//! Recordings to assets by one worker after the other, whatever dies and whatever comes twice.

#![forbid(unsafe_code)]

mod support;

use std::{collections::BTreeSet, sync::Arc, task::Poll, time::Duration};

use jobs::Queue as _;
use media::{Immersive, Orientation, Projection, StereoLayout};
use service::drain;
use store::{Disturbance, FaultSchedule, Faulty, Operation, Store};
use support::*;

const NAMES: [&str; 4] = ["source", "120p", "80p", "audio"];

#[tokio::test]
async fn a_recording_becomes_an_asset_with_every_unit_in_every_rung() {
    let fixture = Fixture::new().await;
    let made = recording(12, None);
    fixture.record(&made).await;
    let worker = fixture.worker();
    fixture.drain_queue(&worker).await;
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
    check(&*fixture.egress, &made, &NAMES).await;
    let warnings = decode_with_ffmpeg(&fixture.vod().join(ASSET).join("index.m3u8"));
    assert_eq!(warnings, "");
    let index: serde_json::Value =
        serde_json::from_str(&text(&*fixture.egress, "vod/index.json").await).unwrap();
    assert_eq!(index[0]["asset"], ASSET);
    assert_eq!(index[0]["stream"], "stage");
    assert_eq!(index[0]["duration"], 12.0);
    assert_eq!(index[0]["url"], format!("/vod/{ASSET}/index.m3u8"));
    assert_eq!(
        store::list_all(&*fixture.egress, "work/", 9).await.unwrap(),
        []
    );
    assert_eq!(fixture.queue.depth().await.unwrap(), jobs::Depth::default());
}

#[tokio::test]
async fn a_reconnect_is_a_discontinuity_in_every_rung_and_costs_no_unit() {
    let fixture = Fixture::new().await;
    let made = recording(10, Some((6, 25)));
    fixture.record(&made).await;
    fixture.drain_queue(&fixture.worker()).await;
    check(&*fixture.egress, &made, &NAMES).await;
    for name in NAMES {
        let read = read_rendition(&*fixture.egress, ASSET, name).await;
        let breaks = read
            .playlist
            .segments
            .iter()
            .map(|segment| segment.discontinuity);
        assert_eq!(
            breaks.collect::<Vec<_>>(),
            [false, false, false, true, false],
            "{name}"
        );
    }
}

#[tokio::test]
async fn how_pictures_lie_on_the_sphere_is_said_wherever_players_look() {
    let immersive = Immersive {
        fov: None,
        projection: Projection::HalfEquirectangular,
        stereo: StereoLayout::SideBySide,
        orientation: Orientation {
            yaw: 30.0,
            ..Orientation::default()
        },
    };
    let made = immersive_recording(4, None, immersive);
    let fixture = Fixture::new().await;
    fixture.record(&made).await;
    // The same without its sidecar: then its own boxes say it.
    let metadata = store::ObjectMetadata::default();
    let upload = "dropped/half.mp4";
    fixture
        .ingest
        .put(upload, made.bytes.clone(), metadata)
        .await
        .unwrap();
    fixture.tell(upload).await;
    fixture.drain_queue(&fixture.worker()).await;
    let etag = fixture.ingest.head(upload).await.unwrap().etag;
    for asset in [ASSET.to_owned(), transcoder::asset_name(upload, &etag)] {
        for name in ["source", "120p", "80p"] {
            let read = read_rendition(&*fixture.egress, &asset, name).await;
            assert_eq!(read.immersive, immersive, "{asset} {name}");
        }
        let key = format!("vod/{asset}/index.spatial.m3u8");
        let spatial = text(&*fixture.egress, &key).await;
        assert!(spatial.contains("CH-STEREO/PROJ-HEQU"), "{spatial}");
        let info = text(&*fixture.egress, &format!("vod/{asset}/info.json")).await;
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(
            (&info["projection"], &info["stereo"], &info["yaw"]),
            (
                &"half-equirectangular".into(),
                &"side-by-side".into(),
                &30.0.into()
            )
        );
        assert_eq!(info.get("state"), None, "a page waits for what has one");
    }
}

/// A camera that does not stitch: its own pictures stay as they are, the rungs are stitched.
#[tokio::test]
async fn a_rung_may_lie_on_the_sphere_in_another_way() {
    let immersive = Immersive {
        projection: Projection::DualFisheye,
        fov: Some(190.0),
        ..Immersive::default()
    };
    let fixture = Fixture::new().await;
    fixture
        .record(&immersive_recording(4, None, immersive))
        .await;
    let mut settings = settings();
    for rung in &mut settings.ladder {
        rung.projection = Some(Projection::Equirectangular);
    }
    fixture.drain_queue(&fixture.worker_for(settings)).await;
    let source = read_rendition(&*fixture.egress, ASSET, "source").await;
    assert_eq!(source.immersive.projection, Projection::DualFisheye);
    let rung = read_rendition(&*fixture.egress, ASSET, "80p").await;
    assert_eq!(rung.immersive.projection, Projection::Equirectangular);
    let spatial = text(&*fixture.egress, &format!("vod/{ASSET}/index.spatial.m3u8")).await;
    assert_eq!(spatial.matches("CH-MONO/PROJ-EQUI").count(), 2, "{spatial}");
    let info = text(&*fixture.egress, &format!("vod/{ASSET}/info.json")).await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(
        (&info["projection"], &info["fov"]),
        (&"dual-fisheye".into(), &190.0.into())
    );
    let rungs = info["rungs"].as_array().unwrap();
    let sizes: Vec<_> = rungs.iter().map(|rung| rung["width"].as_u64()).collect();
    assert_eq!(sizes, [Some(240), Some(160)]);
    assert!(
        rungs
            .iter()
            .all(|rung| rung["projection"] == "equirectangular")
    );
}

#[tokio::test]
async fn duplicates_strangers_and_late_jobs_change_nothing() {
    let fixture = Fixture::new().await;
    let made = recording(6, None);
    fixture.record(&made).await;
    fixture.tell(KEY).await;
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
    let body = |asset| transcoder::SliceJob::new(asset, 0).body();
    fixture
        .queue
        .send(&[test.into(), body(ASSET), "hello".into()])
        .await
        .unwrap();
    fixture.tell("recordings/stage/1790000000-k3f9.json").await;
    fixture.drain_queue(&fixture.worker()).await;
    let objects = store::list_all(&*fixture.egress, "vod/", 999)
        .await
        .unwrap();
    fixture.tell(KEY).await;
    fixture.queue.send(&[body(ASSET)]).await.unwrap();
    fixture.drain_queue(&fixture.worker()).await;
    assert_eq!(
        store::list_all(&*fixture.egress, "vod/", 999)
            .await
            .unwrap(),
        objects
    );
    check(&*fixture.egress, &made, &NAMES).await;
    let dead = fixture.queue.dead_letters().await.unwrap();
    assert_eq!(
        dead.iter()
            .map(|letter| letter.body.as_str())
            .collect::<Vec<_>>(),
        ["hello"]
    );
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// A process whose worker dies at its `operation`-th operation on the egress store, before or after
/// that took effect. Gives what it asked of the store, or `None` where it lived to the end.
fn process_that_dies(fixture: &Fixture, operation: u32, takes_effect: bool) -> Option<Arc<Faulty>> {
    let (died, death) = std::sync::mpsc::channel();
    let mut count = 0;
    let schedule = FaultSchedule::by(move |_, _| {
        count += 1;
        if count <= operation {
            return None;
        }
        if takes_effect && count == operation + 1 {
            return Some(Disturbance::LoseAnswer);
        }
        let _ = died.send(());
        Some(Disturbance::Stall(Duration::from_secs(1 << 30)))
    });
    let faulty = Arc::new(Faulty::new(fixture.egress.clone(), schedule));
    let worker = fixture.worker_on(fixture.ingest.clone(), faulty.clone());
    let runtime = runtime();
    let survived = runtime.block_on(async {
        let work = fixture.drain_queue(&worker);
        tokio::pin!(work);
        std::future::poll_fn(|context| {
            if death.try_recv().is_ok() {
                return Poll::Ready(false);
            }
            let polled = work.as_mut().poll(context).map(|()| true);
            context.waker().wake_by_ref();
            polled
        })
        .await
    });
    runtime.shutdown_background();
    (!survived).then_some(faulty)
}

/// Segments of the top rung that were asked to be written.
fn written(store: &Faulty) -> BTreeSet<String> {
    let puts = store.seen().into_iter().filter(|(operation, key)| {
        *operation == Operation::Put && key.contains("/source/") && key.ends_with(".m4s")
    });
    puts.map(|(_, key)| key).collect()
}

/// Whatever the moment, others take over, and at most one slice is made again.
#[test]
fn a_worker_killed_at_any_store_operation_costs_one_slice_at_most() {
    let made = recording(6, None);
    // One in three is enough of a spread, with every kind of operation among them.
    for kill in (0..).step_by(3) {
        let runtime = runtime();
        let fixture = runtime.block_on(Fixture::new());
        runtime.block_on(fixture.record(&made));
        let Some(dead) = process_that_dies(&fixture, kill / 2, kill % 2 == 1) else {
            assert!(kill > 40, "{kill}");
            return;
        };
        let rest = Arc::new(Faulty::new(fixture.egress.clone(), FaultSchedule::calm()));
        let worker = fixture.worker_on(fixture.ingest.clone(), rest.clone());
        fixture.expire();
        runtime.block_on(async {
            fixture.drain_queue(&worker).await;
            check(&*fixture.egress, &made, &NAMES).await;
            assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
        });
        let again = written(&dead).intersection(&written(&rest)).count();
        assert!(
            again <= 2,
            "kill {kill}: {again} segments of slices of two made again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_race_for_everything_make_one_asset() {
    let fixture = Fixture::new().await;
    let made = recording(8, None);
    fixture.record(&made).await;
    fixture.tell(KEY).await;
    let (signal, watch) = drain::channel();
    let seen = Arc::new(Faulty::new(fixture.egress.clone(), FaultSchedule::calm()));
    let worker = fixture.worker_on(fixture.ingest.clone(), seen.clone());
    let running = tokio::spawn({
        let worker = worker.clone();
        async move { worker.run(4, watch).await }
    });
    while fixture
        .egress
        .head(&transcoder::multivariant(ASSET))
        .await
        .is_err()
        || fixture.queue.depth().await.unwrap() != jobs::Depth::default()
    {
        tokio::task::yield_now().await;
    }
    signal.leave();
    running.await.unwrap();
    check(&*fixture.egress, &made, &NAMES).await;
    assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
}

#[tokio::test]
async fn a_store_that_fails_at_random_gets_a_whole_asset() {
    let made = recording(4, None);
    for seed in 0..4 {
        let fixture = Fixture::new().await;
        fixture.record(&made).await;
        let faulty = |store: Arc<dyn Store>, seed| {
            Arc::new(Faulty::new(store, FaultSchedule::seeded(seed, 250)))
        };
        let ingest = faulty(fixture.ingest.clone(), seed);
        let egress = faulty(fixture.egress.clone(), seed + 100);
        fixture
            .drain_queue(&fixture.worker_on(ingest, egress))
            .await;
        check(&*fixture.egress, &made, &NAMES).await;
        assert_eq!(fixture.queue.dead_letters().await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_worker_gives_its_slice_back_at_once() {
    let fixture = Fixture::new().await;
    let made = recording(4, None);
    fixture.record(&made).await;
    let (signal, watch) = drain::channel();
    let stalled = Arc::new(Faulty::new(fixture.egress.clone(), FaultSchedule::calm()));
    let worker = fixture.worker_on(fixture.ingest.clone(), stalled.clone());
    let event = fixture
        .queue
        .receive(1, Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    worker.handle(event, &watch).await;
    let slice = fixture
        .queue
        .receive(1, Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    signal.leave();
    worker.handle(slice, &watch).await;
    // Without its visibility having run out, the message is there again for others.
    let (_signal, watch) = drain::channel();
    let again = fixture
        .queue
        .receive(1, Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(again.receive_count, 2);
    fixture.worker().handle(again, &watch).await;
    check(&*fixture.egress, &made, &NAMES).await;
}
