use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use cmaf::{Scanner, TopLevel};
use jobs::{Options, Sqlite, event::Message as Event};
use media::{MediaKind, RandomAccess, aac, avc};
use store::{Disturbance, FaultSchedule, Faulty, MemoryStore, ObjectMetadata, Operation};
use writer::Writer;

use contract::Sidecar;

use super::*;

mod crash;
mod live;
mod refused;

/// Bytes of each picture: some 20 make a part.
const PICTURE_BYTES: usize = 300_000;
const SECONDS: i64 = 4;
const RUN_ID: &str = "k3f9";
const KEY: &str = "recordings/stage/1790000000-k3f9.mp4";

/// x264, High, level 3.1, 1280x640 and a narrower one.
fn tracks(level: u8) -> Vec<Track> {
    let sps = [
        0x67, 0x64, 0x00, level, 0xac, 0xd9, 0x40, 0x50, 0x05, 0x1b, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    let pps = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let mut record = vec![1, 0x64, 0, level, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend(sps);
    record.extend([1, 0, pps.len() as u8]);
    record.extend(pps);
    let video = avc::Config::parse(Bytes::from(record)).unwrap();
    vec![
        Track::audio(aac::Config::lc(48_000, 2).unwrap()),
        Track::video(video),
    ]
}

/// `seconds` from `start` of 10 fps video with a keyframe each second, and AAC, in the order of
/// their times.
fn broadcast(start: i64, seconds: i64) -> Vec<AccessUnit> {
    let video = (0..10 * seconds).map(|n| {
        let dts = start * 360_000 + n * 36_000;
        AccessUnit {
            kind: MediaKind::Video,
            dts,
            pts: dts + 72_000,
            duration: 36_000,
            random_access: RandomAccess::idr_if(n % 10 == 0),
            payload: Bytes::from(vec![n as u8; PICTURE_BYTES]),
        }
    });
    let audio = (0..seconds * 48_000 / 1024).map(|n| {
        let dts = start * 48_000 + n * 1024;
        let payload = Bytes::from(vec![n as u8; 200]);
        AccessUnit {
            kind: MediaKind::Audio,
            dts,
            pts: dts,
            duration: 1024,
            random_access: RandomAccess::Idr,
            payload,
        }
    });
    let mut units = video.chain(audio).collect::<Vec<_>>();
    let moment = |unit: &AccessUnit| match unit.kind {
        MediaKind::Video => unit.dts * 2,
        MediaKind::Audio => unit.dts * 15,
    };
    units.sort_by_key(moment);
    units
}

fn meta() -> Meta {
    Meta {
        stream: "stage".into(),
        started_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        run_id: RUN_ID.into(),
        immersive: Immersive::default(),
    }
}

fn config(spool: &Path, store: Arc<dyn Store>) -> Config {
    Config {
        spool: spool.to_owned(),
        quota: 1 << 30,
        part_bytes: store::PART_BYTES_MIN,
        store,
        announce: None,
        backoff: Backoff::endless(Duration::from_micros(100), Duration::from_millis(2)),
    }
}

/// One recording's units in file order, checked against its sidecar.
async fn read(store: &dyn Store, key: &str) -> (Vec<AccessUnit>, Sidecar) {
    let file = store.get(key).await.unwrap().bytes(1 << 30).await.unwrap();
    let name = key.replace(".mp4", ".json");
    let text = store
        .get(&name)
        .await
        .unwrap()
        .bytes(1 << 20)
        .await
        .unwrap();
    let sidecar: Sidecar = serde_json::from_slice(&text).unwrap();
    assert_eq!(sidecar.bytes, file.len() as u64);
    let mut scanner = Scanner::new();
    scanner.push(&file);
    let Some(TopLevel::Init(init)) = scanner.pull().unwrap() else {
        panic!("no init segment")
    };
    let init = cmaf::read_init(&init).unwrap();
    let mut units = Vec::new();
    while let Some(item) = scanner.pull().unwrap() {
        let TopLevel::Chunk(bytes) = item else {
            panic!("a second init segment")
        };
        units.extend(
            cmaf::read_chunk(&init, &bytes)
                .unwrap()
                .into_iter()
                .map(|s| s.unit),
        );
    }
    assert_eq!(scanner.pending(), 0);
    let syncs = units
        .iter()
        .filter(|unit| unit.kind == MediaKind::Video && unit.is_sync());
    assert_eq!(
        sidecar.keyframes.dts,
        syncs.map(|unit| unit.dts).collect::<Vec<_>>()
    );
    for (dts, offset) in sidecar.keyframes.dts.iter().zip(&sidecar.keyframes.offset) {
        let mut scanner = Scanner::new();
        scanner.push(&file[*offset as usize..]);
        let Some(TopLevel::Chunk(bytes)) = scanner.pull().unwrap() else {
            panic!("no chunk")
        };
        let first = &cmaf::read_chunk(&init, &bytes).unwrap()[0].unit;
        assert_eq!(
            (first.dts, first.is_sync(), first.kind),
            (*dts, true, MediaKind::Video)
        );
    }
    (units, sidecar)
}

fn of_kind(units: &[AccessUnit], kind: MediaKind) -> Vec<AccessUnit> {
    units
        .iter()
        .filter(|unit| unit.kind == kind)
        .cloned()
        .collect()
}

fn assert_same(recorded: &[AccessUnit], sent: &[AccessUnit]) {
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let (recorded, sent) = (of_kind(recorded, kind), of_kind(sent, kind));
        assert_eq!(recorded.len(), sent.len(), "{kind}");
        assert!(recorded == sent, "{kind}");
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn a_session_becomes_one_recording_and_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let store = Arc::new(
        store::Folder::open(folder.path().join("ingest"))
            .await
            .unwrap(),
    );
    let jobs = folder.path().join("jobs");
    let queue = Arc::new(Sqlite::open(jobs, &Options::default()).await.unwrap());
    let mut config = config(&spool, store.clone());
    config.announce = Some(queue.clone());
    let recorder = Recorder::open(config).await.unwrap();
    let handle = recorder.start(meta());
    let mut sent = Vec::new();
    // The encoder goes and comes back, three times, with the same settings.
    for run in 0..3 {
        handle.init(&tracks(0x1f));
        let units = broadcast(run * 10, 2);
        units.iter().for_each(|unit| handle.push(unit));
        sent.extend(units);
        handle.discontinuity();
    }
    handle.finish().notified().await;
    recorder.settled().await;
    let (units, sidecar) = read(&*store, KEY).await;
    assert_same(&units, &sent);
    assert_eq!(
        sidecar.discontinuities,
        [2, 12, 22].map(|second| second * 360_000)
    );
    assert_eq!(
        (sidecar.duration, sidecar.dropped_units, sidecar.gaps.len()),
        (22.0, 0, 0)
    );
    assert_eq!(
        (sidecar.stream.as_str(), sidecar.started_at),
        ("stage", 1_790_000_000.0)
    );
    let delivery = queue.receive(10, Duration::ZERO).await.unwrap();
    assert_eq!(delivery.len(), 1);
    let Event::Created { objects, .. } = jobs::event::parse(&delivery[0].body) else {
        panic!()
    };
    assert_eq!(
        (objects[0].key.as_str(), objects[0].bucket.as_str()),
        (KEY, store.url())
    );
    assert_eq!(objects[0].size, Some(sidecar.bytes));
    assert!(is_empty(&spool));
    assert_eq!(recorder.spooled_bytes(), 0);
    assert_eq!(recorder.status(), []);
}

/// The reference's recordings ended at 128,000 KiB.
#[tokio::test]
async fn a_recording_goes_on_beyond_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let recorder = Recorder::open(config(folder.path(), store.clone()))
        .await
        .unwrap();
    let mut writer = writer(&recorder);
    let (mut seconds, mut bytes) = (0, 0);
    while bytes < 130_000 << 10 {
        let units = broadcast(seconds, SECONDS);
        bytes += units.iter().map(|unit| unit.payload.len()).sum::<usize>();
        seconds += SECONDS;
        writer.take(&units);
    }
    writer.close();
    recorder.settled().await;
    let (_, sidecar) = read(&*store, KEY).await;
    assert!(sidecar.bytes > bytes as u64);
    assert_eq!(
        (sidecar.duration, sidecar.dropped_units),
        (seconds as f64, 0)
    );
    assert_eq!(sidecar.keyframes.dts.len() as i64, seconds);
}

#[tokio::test]
async fn an_encoder_that_returns_with_other_settings_begins_another_file_at_zero() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let recorder = Recorder::open(config(folder.path(), store.clone()))
        .await
        .unwrap();
    let handle = recorder.start(meta());
    for (start, level) in [(0, 0x1f), (7, 0x20)] {
        handle.init(&tracks(level));
        broadcast(start, 2)
            .iter()
            .for_each(|unit| handle.push(unit));
    }
    drop(handle);
    while recorder.stored() < 2 {
        recorder.settled().await;
        tokio::task::yield_now().await;
    }
    assert_same(&read(&*store, KEY).await.0, &broadcast(0, 2));
    let second = read(&*store, "recordings/stage/1790000000-k3f9-2.mp4").await;
    assert_same(&second.0, &broadcast(0, 2));
}

/// A writer driven by hand, whose process can be made to die by forgetting it.
fn writer(recorder: &Recorder) -> Writer {
    let mut writer = Writer::new(recorder.shared.clone(), meta(), Arc::default());
    writer.init(tracks(0x1f));
    writer
}

impl Writer {
    fn take(&mut self, units: &[AccessUnit]) {
        for unit in units {
            self.load.waiting_units.fetch_add(1, Ordering::SeqCst);
            self.load
                .waiting_bytes
                .fetch_add(unit.payload.len() as u64, Ordering::SeqCst);
            self.unit(unit.clone());
        }
    }
}

/// The store is away for the whole session and the quota is small: the live path goes on, the gap
/// is named, and what was kept arrives later.
#[tokio::test]
async fn a_full_spool_drops_up_to_the_next_keyframe_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let faulty = Arc::new(Faulty::new(store.clone(), FaultSchedule::calm()));
    faulty.set_outage(true);
    let mut config = config(folder.path(), faulty.clone());
    config.quota = 7 << 20;
    let recorder = Recorder::open(config).await.unwrap();
    let mut writer = writer(&recorder);
    let sent = broadcast(0, SECONDS);
    writer.take(&sent);
    assert!(recorder.spooled_bytes() <= 7 << 20);
    let status = &recorder.status()[0];
    assert_eq!(
        recorder.unconfirmed_bytes(),
        status.bytes - status.confirmed_bytes
    );
    assert!(recorder.unconfirmed_bytes() > 5 << 20);
    writer.close();
    faulty.set_outage(false);
    recorder.settled().await;
    let (units, sidecar) = read(&*store, KEY).await;
    assert_eq!(
        sidecar.dropped_units + units.len() as u64,
        sent.len() as u64
    );
    assert!(sidecar.dropped_units > 0 && !sidecar.gaps.is_empty());
    let video = of_kind(&units, MediaKind::Video);
    assert!(
        video
            .iter()
            .all(|unit| of_kind(&sent, MediaKind::Video).contains(unit))
    );
    assert_eq!(recorder.spooled_bytes(), 0);
}

/// With a store that keeps up, a quota far below the recording's size drops nothing: confirmed
/// parts make room.
#[tokio::test]
async fn a_small_quota_sheds_confirmed_parts_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut config = config(folder.path(), store.clone());
    config.quota = 14 << 20;
    let recorder = Recorder::open(config).await.unwrap();
    let mut writer = writer(&recorder);
    let sent = broadcast(0, 3 * SECONDS);
    for units in sent.chunks(10) {
        writer.take(units);
        let uploaded = || {
            let status = &recorder.status()[0];
            status.bytes - status.confirmed_bytes <= 9 << 20
        };
        while !uploaded() {
            tokio::task::yield_now().await;
        }
    }
    writer.close();
    recorder.settled().await;
    assert_same(&read(&*store, KEY).await.0, &sent);
}

/// The store forgets the upload while it runs, after parts were shed: what is left is uploaded anew
/// and plays.
#[tokio::test]
async fn an_upload_the_store_forgot_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let recorder = Recorder::open(config(folder.path(), store.clone()))
        .await
        .unwrap();
    let mut writer = writer(&recorder);
    let sent = broadcast(0, 2 * SECONDS);
    writer.take(&sent);
    while recorder.status()[0].confirmed_bytes < 10 << 20 {
        tokio::task::yield_now().await;
    }
    let upload = store.list_uploads("").await.unwrap().remove(0);
    store.abort_upload(&upload.key, &upload.id).await.unwrap();
    assert!(
        !recorder.shared.quota.reserve(1 << 30),
        "everything confirmed is shed"
    );
    writer.close();
    recorder.settled().await;
    let (units, sidecar) = read(&*store, KEY).await;
    let video = of_kind(&units, MediaKind::Video);
    assert!(!video.is_empty() && video[0].is_sync() && video.len() < 80);
    assert!(of_kind(&sent, MediaKind::Video).ends_with(&video));
    assert!(sidecar.duration > 7.9);
}

#[tokio::test]
async fn of_two_origins_that_recorded_one_session_the_longer_is_kept_and_none_is_lost() {
    let sent = broadcast(0, SECONDS);
    for (theirs, ours) in [
        (40_000_000, KEY),
        (10, "recordings/stage/1790000000-k3f9-twin1.mp4"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let other = Bytes::from(vec![0; theirs]);
        store
            .put(KEY, other.clone(), ObjectMetadata::default())
            .await
            .unwrap();
        let recorder = Recorder::open(config(folder.path(), store.clone()))
            .await
            .unwrap();
        let mut writer = writer(&recorder);
        writer.take(&sent);
        writer.close();
        recorder.settled().await;
        assert_eq!(
            store.get(KEY).await.unwrap().bytes(1 << 30).await.unwrap(),
            other
        );
        if ours != KEY {
            assert_same(&read(&*store, ours).await.0, &sent);
        }
        assert_eq!(store.list_uploads("").await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_store_that_fails_at_random_gets_it_all() {
    let sent = broadcast(0, SECONDS);
    for seed in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let faulty = Arc::new(Faulty::new(store.clone(), FaultSchedule::seeded(seed, 400)));
        let recorder = Recorder::open(config(folder.path(), faulty.clone()))
            .await
            .unwrap();
        let mut writer = writer(&recorder);
        writer.take(&sent);
        writer.close();
        recorder.settled().await;
        assert_same(&read(&*store, KEY).await.0, &sent);
        assert!(
            faulty
                .seen()
                .iter()
                .any(|(operation, _)| *operation == Operation::PutPart)
        );
    }
}

/// The writer thread is woken once per chunk, and as soon as one is complete.
#[test]
fn units_are_handed_over_when_they_complete_a_chunk() {
    let mut batch = Batch::default();
    let handed = |batch: &mut Batch, units: &[AccessUnit]| {
        let completing = units.iter().filter(|unit| {
            let completes = batch.push((*unit).clone());
            completes.then(|| batch.take()).is_some()
        });
        completing
            .map(|unit| (unit.kind, unit.dts))
            .collect::<Vec<_>>()
    };
    let units = broadcast(0, 4);
    assert_eq!(handed(&mut batch, &units[..3]).len(), 3, "no tracks yet");
    batch.follow(&tracks(0x1f));
    let at_keyframes = [0, 1, 2, 3].map(|second| (MediaKind::Video, second * 360_000));
    assert_eq!(handed(&mut batch, &units), at_keyframes);
    // Longer groups are cut at the length of a chunk.
    let first = units.iter().position(|unit| unit.kind == MediaKind::Video);
    let mut long = units.clone();
    for (index, unit) in long.iter_mut().enumerate() {
        let starts = unit.kind == MediaKind::Audio || Some(index) == first;
        unit.random_access = RandomAccess::idr_if(unit.is_sync() && starts);
    }
    batch.follow(&tracks(0x1f));
    assert_eq!(handed(&mut batch, &long), at_keyframes);
    // Audio alone, by its own length.
    batch.follow(&tracks(0x1f)[..1]);
    let sounds = of_kind(&units, MediaKind::Audio);
    let seconds = handed(&mut batch, &sounds).len();
    assert!((2..=3).contains(&seconds), "{seconds}");
}

#[test]
fn parts_grow_so_that_no_session_runs_out_of_them() {
    let total: u64 = (1..=store::PART_NUMBER_MAX)
        .map(|n| spool::part_target(PART_BYTES, n))
        .sum();
    assert!(total > 700 << 30, "{total}");
}
