//! Recordings made here, a worker's surroundings in a folder, and a check of every byte of an
//! asset.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use encode::{Picture, audio, video};
use jobs::{Queue, Sqlite, event};
use media::{AccessUnit, Immersive, MediaKind, Track, VIDEO_TIMESCALE};
use service::{Clock, backoff::Backoff, drain};
use store::{Folder, ObjectMetadata, Store};
use transcoder::{
    Worker,
    plan::{LadderRung, Settings},
    progress::Progress,
};

pub const KEY: &str = "recordings/stage/1790000000-k3f9.mp4";
pub const ASSET: &str = "stage-1790000000-k3f9";
const RATE: u32 = 15;
const GROUP: u32 = 30;

/// A recording as the recorder writes it, with what is in it.
pub struct TestRecording {
    pub bytes: Bytes,
    pub sidecar: String,
    pub video: Vec<AccessUnit>,
    pub audio: Vec<AccessUnit>,
}

/// `seconds` of moving picture and tone; after `pause.0` seconds the encoder is away for `pause.1`.
pub fn recording(seconds: u32, pause: Option<(i64, i64)>) -> TestRecording {
    immersive_recording(seconds, pause, Immersive::default())
}

/// The same with pictures that lie on the sphere as told.
pub fn immersive_recording(
    seconds: u32,
    pause: Option<(i64, i64)>,
    immersive: Immersive,
) -> TestRecording {
    let (video_track, mut video) = video_units(seconds);
    let (audio_track, mut audio) = tone(seconds);
    if let Some((at, away)) = pause {
        for unit in &mut video {
            shift(unit, at * 360_000, away * 360_000);
        }
        for unit in &mut audio {
            shift(unit, at * 48_000, away * 48_000);
        }
    }
    let tracks = [video_track, audio_track];
    write(&tracks, video, audio, pause, &immersive)
}

fn shift(unit: &mut AccessUnit, at: i64, by: i64) {
    if unit.dts >= at {
        unit.dts += by;
        unit.pts += by;
    }
}

fn video_units(seconds: u32) -> (Track, Vec<AccessUnit>) {
    let mut config = video::Config::new(320, 160, (RATE, 1), 300_000);
    config.b_pictures = 2;
    config.preset = "ultrafast".into();
    let mut encoder = video::Encoder::new(config).unwrap();
    let mut units = Vec::new();
    for n in 0..seconds * RATE {
        let mut picture = Picture::new(320, 160).unwrap();
        for index in 0..3 {
            let plane = picture.plane_mut(index).unwrap();
            for (y, row) in plane.data.chunks_mut(plane.stride).enumerate() {
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample =
                        ((x as u32 * 2 + y as u32 + n * 5) as u8 / (2 + index as u8 * 2)) + 40;
                }
            }
        }
        units.extend(encoder.encode(&picture, n % GROUP == 0).unwrap());
    }
    let track = encoder.track().clone();
    units.extend(encoder.finish().unwrap());
    (track, units)
}

fn tone(seconds: u32) -> (Track, Vec<AccessUnit>) {
    let config = audio::Config {
        sample_rate: 48_000,
        channels: 1,
        bitrate: 64_000,
    };
    let mut encoder = audio::Encoder::new(config, 0).unwrap();
    let samples = (0..seconds * 48_000)
        .map(|n| (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.3)
        .collect::<Vec<_>>();
    let mut units = encoder.encode(&[&samples]).unwrap();
    units.extend(encoder.finish().unwrap());
    units.retain(|unit| unit.dts >= 0 && unit.dts < i64::from(seconds) * 48_000);
    (encoder_track(48_000), units)
}

fn encoder_track(rate: u32) -> Track {
    Track::audio(media::aac::Config::lc(rate, 1).unwrap())
}

fn write(
    tracks: &[Track],
    video: Vec<AccessUnit>,
    audio: Vec<AccessUnit>,
    pause: Option<(i64, i64)>,
    immersive: &Immersive,
) -> TestRecording {
    let mut file = BytesMut::new();
    file.extend_from_slice(&cmaf::init_segment_multi(tracks, immersive).unwrap());
    let (mut dts, mut offset, mut sequence) = (Vec::new(), Vec::new(), 0);
    let mut late = audio.iter().peekable();
    for group in video.chunk_by(|_, next| !next.is_sync()) {
        dts.push(group[0].dts);
        offset.push(file.len());
        sequence += 1;
        file.extend_from_slice(&cmaf::chunk_of(1, &tracks[0], sequence, group).unwrap());
        let end = group[group.len() - 1].dts + 24_000;
        let mut units = Vec::new();
        while let Some(unit) = late.next_if(|unit| unit.dts * 15 < end * 2) {
            units.push(unit.clone());
        }
        for units in units.chunk_by(|a, b| a.dts + 1024 == b.dts) {
            sequence += 1;
            file.extend_from_slice(&cmaf::chunk_of(2, &tracks[1], sequence, units).unwrap());
        }
    }
    let end = video
        .last()
        .map_or(0, |unit| unit.dts + i64::from(unit.duration));
    let breaks: Vec<i64> = pause.iter().map(|(at, _)| at * 360_000).collect();
    let sidecar = serde_json::json!({
        "version": 1, "stream": "stage", "started_at": 1.79e9, "epoch": "k3f9",
        "projection": immersive.projection, "stereo": immersive.stereo,
        "orientation": immersive.orientation, "fov": immersive.fov,
        "duration": VIDEO_TIMESCALE.seconds(end), "bytes": file.len(), "tracks": [],
        "dropped_units": 0, "gaps": [], "discontinuities": breaks,
        "keyframes": {"dts": dts, "offset": offset},
    });
    TestRecording {
        bytes: file.freeze(),
        sidecar: sidecar.to_string(),
        video,
        audio,
    }
}

/// A worker's surroundings. The queue's clock stands still until a test moves it.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub ingest: Arc<Folder>,
    pub egress: Arc<Folder>,
    pub queue: Arc<Sqlite>,
    pub time: Arc<AtomicI64>,
}

pub const VISIBILITY: Duration = Duration::from_secs(120);

impl Fixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ingest = Arc::new(Folder::open(folder.path().join("ingest")).await.unwrap());
        let egress = Arc::new(Folder::open(folder.path().join("egress")).await.unwrap());
        let time = Arc::new(AtomicI64::new(1_790_000_000_000));
        let clock: jobs::Clock = {
            let time = time.clone();
            Arc::new(move || time.load(Ordering::SeqCst))
        };
        let options = jobs::Options {
            visibility: VISIBILITY,
            ..Default::default()
        };
        let path = folder.path().join("jobs");
        let queue = Sqlite::open_with_clock(path, &options, clock)
            .await
            .unwrap();
        Self {
            folder,
            ingest,
            egress,
            queue: Arc::new(queue),
            time,
        }
    }

    pub fn worker_on(&self, ingest: Arc<dyn Store>, egress: Arc<dyn Store>) -> Worker {
        self.worker_with(ingest, egress, &Progress::new(Clock::real()), settings())
    }

    /// A worker with another ladder.
    pub fn worker_for(&self, settings: Settings) -> Worker {
        let (ingest, egress) = (self.ingest.clone(), self.egress.clone());
        self.worker_with(ingest, egress, &Progress::new(Clock::real()), settings)
    }

    /// A worker whose progress and failures a test looks at.
    pub fn worker_that_tells(&self, progress: &Progress) -> Worker {
        let (ingest, egress) = (self.ingest.clone(), self.egress.clone());
        self.worker_with(ingest, egress, progress, settings())
    }

    fn worker_with(
        &self,
        ingest: Arc<dyn Store>,
        egress: Arc<dyn Store>,
        progress: &Progress,
        settings: Settings,
    ) -> Worker {
        let progress = progress.clone();
        let worker = Worker::new(ingest, egress, self.queue.clone(), settings, progress);
        let quick = Backoff::within(
            Duration::from_micros(100),
            Duration::from_millis(2),
            Duration::from_secs(5),
        );
        worker.unwrap().with_backoff(quick)
    }

    pub fn worker(&self) -> Worker {
        self.worker_on(self.ingest.clone(), self.egress.clone())
    }

    /// Puts a recording of ours in and says so.
    pub async fn record(&self, made: &TestRecording) {
        let metadata = ObjectMetadata::default();
        let sidecar = Bytes::from(made.sidecar.clone());
        self.ingest
            .put(&KEY.replace("mp4", "json"), sidecar, metadata)
            .await
            .unwrap();
        self.ingest
            .put(KEY, made.bytes.clone(), metadata)
            .await
            .unwrap();
        self.tell(KEY).await;
    }

    /// The event of an object.
    pub async fn tell(&self, key: &str) {
        let object = event::ObjectCreated {
            bucket: self.ingest.url().into(),
            key: key.into(),
            size: None,
            etag: None,
            version_id: None,
            sequencer: None,
        };
        let body = event::object_created(&object, std::time::UNIX_EPOCH);
        self.queue.send(&[body]).await.unwrap();
    }

    /// Lets a worker do all there is to do.
    pub async fn drain_queue(&self, worker: &Worker) {
        let (_signal, watch) = drain::channel();
        loop {
            let taken = self.queue.receive(1, Duration::ZERO).await.unwrap();
            if taken.is_empty() {
                if self.queue.depth().await.unwrap().held == 0 {
                    return;
                }
                self.expire();
                continue;
            }
            for delivery in taken {
                worker.handle(delivery, &watch).await;
            }
        }
    }

    /// Held messages come back.
    pub fn expire(&self) {
        self.time
            .fetch_add(VISIBILITY.as_millis() as i64, Ordering::SeqCst);
    }

    pub fn vod(&self) -> std::path::PathBuf {
        self.folder.path().join("egress/vod")
    }
}

pub fn settings() -> Settings {
    let rung = |width, bitrate| LadderRung {
        preset: Some("ultrafast".into()),
        ..LadderRung::new(width, bitrate)
    };
    Settings {
        ladder: vec![rung(160, 60_000), rung(240, 120_000), rung(320, 400_000)],
        slice_seconds: 4.0,
        segment_seconds: 2.0,
    }
}

pub async fn text(store: &dyn Store, key: &str) -> String {
    let bytes = store.get(key).await.unwrap().bytes(1 << 24).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One rendition read back: its playlist and its units by segment.
pub struct Read {
    pub playlist: m3u8_rs::MediaPlaylist,
    pub segments: Vec<Vec<AccessUnit>>,
    pub track: Track,
    pub immersive: Immersive,
}

pub async fn read_rendition(store: &dyn Store, asset: &str, name: &str) -> Read {
    let base = format!("vod/{asset}/{name}");
    let playlist = text(store, &format!("{base}/index.m3u8")).await;
    let (_, playlist) = m3u8_rs::parse_media_playlist(playlist.as_bytes()).unwrap();
    assert!(playlist.end_list);
    let (mut init, mut segments, mut track) = (None, Vec::new(), None);
    let mut immersive = Immersive::default();
    for segment in &playlist.segments {
        if let Some(map) = &segment.map {
            let key = format!("{base}/{}", map.uri);
            let bytes = store.get(&key).await.unwrap().bytes(1 << 20).await.unwrap();
            let read = cmaf::read_init(&bytes).unwrap();
            track = Some(read.tracks[0].track.clone());
            immersive = read.immersive;
            init = Some(read);
        }
        let key = format!("{base}/{}", segment.uri);
        let bytes = store.get(&key).await.unwrap().bytes(1 << 24).await.unwrap();
        let units = cmaf::read_segment(init.as_ref().unwrap(), &bytes).unwrap();
        segments.push(
            units
                .into_iter()
                .map(|sample| sample.unit)
                .collect::<Vec<_>>(),
        );
    }
    Read {
        playlist,
        segments,
        track: track.unwrap(),
        immersive,
    }
}

/// Checks every rendition of the asset of a recording of ours, unit by unit.
pub async fn check(store: &dyn Store, made: &TestRecording, names: &[&str]) {
    let master = text(store, &format!("vod/{ASSET}/index.m3u8")).await;
    let (_, master) = m3u8_rs::parse_master_playlist(master.as_bytes()).unwrap();
    let listed: Vec<_> = master
        .variants
        .iter()
        .map(|v| v.uri.trim_end_matches("/index.m3u8"))
        .collect();
    assert_eq!(listed, names);
    let times: Vec<i64> = made.video.iter().map(|unit| unit.dts).collect();
    let mut starts = Vec::new();
    for name in names.iter().filter(|name| **name != "audio") {
        let read = read_rendition(store, ASSET, name).await;
        let units: Vec<_> = read.segments.iter().flatten().cloned().collect();
        assert_eq!(
            units.iter().map(|unit| unit.dts).collect::<Vec<_>>(),
            times,
            "{name}"
        );
        assert!(units.iter().all(|unit| unit.pts >= unit.dts), "{name}");
        for (segment, entry) in read.segments.iter().zip(&read.playlist.segments) {
            assert!(segment[0].is_sync(), "{name}");
            let ticks: i64 = segment.iter().map(|unit| i64::from(unit.duration)).sum();
            assert!((VIDEO_TIMESCALE.seconds(ticks) - f64::from(entry.duration)).abs() < 1e-4);
        }
        if *name == "source" {
            assert!(
                units == made.video,
                "the top rung is the recording's own bytes"
            );
        }
        starts.push(
            read.segments
                .iter()
                .map(|segment| segment[0].dts)
                .collect::<Vec<_>>(),
        );
    }
    assert!(
        starts.windows(2).all(|pair| pair[0] == pair[1]),
        "rungs cut alike"
    );
    let read = read_rendition(store, ASSET, "audio").await;
    let units: Vec<_> = read.segments.iter().flatten().cloned().collect();
    assert!(
        units == made.audio,
        "audio is the recording's own, {} units",
        units.len()
    );
    assert_eq!(units.first().map(|unit| unit.kind), Some(MediaKind::Audio));
}

/// What FFmpeg has to say when it decodes all of it.
pub fn decode_with_ffmpeg(playlist: &Path) -> String {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-i"])
        .arg(playlist)
        // The file's own ticks: in those of a guessed rate two pictures may fall together.
        .args(["-map", "0", "-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed: apt-get install ffmpeg");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file made by ffmpeg with these arguments.
pub fn ffmpeg(arguments: &[&str], to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .arg(to)
        .output()
        .expect("ffmpeg is installed: apt-get install ffmpeg");
    assert!(output.status.success(), "{output:?}");
}
