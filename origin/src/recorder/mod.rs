//! Every published stream to one recording in the ingest store, while it runs and whatever dies
//! meanwhile.
//!
//! ```text
//! Handle::push ──bounded queue──► writer thread ──► spool/<recording>/00001.part …
//!                                     │                   │ sealed, flushed to disk
//!                                     └──► journal        ▼
//!                                            ▲── confirmed ── uploader ──► parts, sidecar, complete
//!                                                                   └──► event to the queue, then the spool goes
//! ```
//!
//! A recording is one fragmented MP4 per session, at source quality, of any length:
//! `recordings/<stream>/<started at>-<run_id>.mp4`. Beside it stands a sidecar (`….json`) with the
//! projection and a keyframe index, written before the MP4 appears. A part of the upload holds
//! whole chunks, so that what a crash leaves behind is playable up to its last chunk; the journal
//! says what the store confirmed, and the next start goes on from there.
//!
//! The live path is never slowed: [`Handle::push`] does not wait, and what the disk cannot take in
//! time is dropped up to the next keyframe, counted and named in the sidecar. What this does not
//! do: decide what a session is.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    time::SystemTime,
};

use jobs::Queue;
use media::{AccessUnit, Immersive, MediaKind, Track};
use service::backoff::Backoff;
use store::Store;
use tokio::sync::{Notify, Semaphore, watch};

mod chunks;
mod journal;
pub mod open;
mod part_file;
mod quota;
mod spool;
mod upload;
mod writer;

#[cfg(test)]
mod tests;

use chunks::{CHUNK_BYTES_MAX, CHUNK_TARGET};
use quota::Quota;
use spool::Spooled;

/// Access units that may wait for the writer thread: about 10 s of 60 fps video with audio. A disk
/// that stands still longer than that loses data whatever we do.
const WAITING_UNITS_MAX: u64 = 1 << 10;

/// Their bytes that may wait for the writer thread: 10 s of the fattest source in use (50 Mb/s).
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// Access units handed to the writer thread at once at most; a second has about 110 of 60 fps video
/// with audio.
const BATCH_UNITS_MAX: usize = 128;

/// Parts of all recordings that are sent at once: bounds memory to some 4 × 8 MiB and leaves the
/// network to viewers.
const SENDING_MAX: usize = 4;

/// Bytes of a part when an upload begins; 8 MiB is what S3's own tools use. Later parts grow, see
/// `spool::part_target`.
pub const PART_BYTES: u64 = 8 << 20;

/// How the recorder works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where recordings wait until the store has confirmed them; survives a restart.
    pub spool: PathBuf,
    /// Most disk the spool may take. Confirmed parts go first; with none left, new data is dropped.
    pub quota: u64,
    /// Bytes of the first parts. At least [`store::PART_BYTES_MIN`].
    pub part_bytes: u64,
    /// Where recordings go.
    pub store: Arc<dyn Store>,
    /// Who is told of a finished recording; `None` where the store tells by itself, as S3 does.
    pub announce: Option<Arc<dyn Queue>>,
    /// How long to wait between attempts at a store or queue that fails.
    pub backoff: Backoff,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// The stream's name.
    pub stream: String,
    /// When its session began.
    pub started_at: SystemTime,
    /// The run's name, as in media URLs.
    pub run_id: String,
    /// How the picture lies on the sphere.
    pub immersive: Immersive,
}

/// Why a recording cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spool cannot be used.
    #[error("cannot use spool {path}: {source}; give the process this folder")]
    Spool {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Parts smaller than the store takes.
    #[error(
        "cannot upload parts of {bytes} bytes: the least is {least}",
        bytes = .0,
        least = store::PART_BYTES_MIN
    )]
    PartBytes(u64),
}

/// How one recording is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// The stream's name.
    pub stream: String,
    /// The recording's key in the store.
    pub key: String,
    /// Whether its session still runs.
    pub live: bool,
    /// Bytes written so far.
    pub bytes: u64,
    /// Bytes the store has confirmed.
    pub confirmed_bytes: u64,
    /// Access units that could not be recorded.
    pub dropped_units: u64,
    /// The last failure of the store or the disk, while it lasts.
    pub failing: Option<String>,
}

/// Records streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    quota: Quota,
    sending: Semaphore,
    runtime: tokio::runtime::Handle,
    recordings: Mutex<Vec<Arc<Spooled>>>,
    /// Recordings that are not yet stored and announced.
    open: watch::Sender<usize>,
    stored: AtomicU64,
    /// Told of each recording that is whole in the store: stream and key.
    on_stored: OnceLock<OnStored>,
}

type OnStored = Box<dyn Fn(&str, &str) + Send + Sync>;

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Shared {
    fn recordings(&self) -> MutexGuard<'_, Vec<Arc<Spooled>>> {
        self.recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a spooled recording under way to the store.
    fn upload(self: &Arc<Self>, spooled: Arc<Spooled>) {
        self.recordings().push(spooled.clone());
        self.open.send_modify(|open| *open += 1);
        let shared = self.clone();
        self.runtime.spawn(async move {
            upload::run(&shared, &spooled).await;
            shared
                .recordings()
                .retain(|other| !Arc::ptr_eq(other, &spooled));
            shared.stored.fetch_add(1, Ordering::Relaxed);
            if let Some(tell) = shared.on_stored.get() {
                tell(spooled.stream(), spooled.key());
            }
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

impl Recorder {
    /// Opens the spool and goes on with whatever an earlier process left in it.
    pub async fn open(config: Config) -> Result<Self, Error> {
        if config.part_bytes < store::PART_BYTES_MIN {
            return Err(Error::PartBytes(config.part_bytes));
        }
        let quota = Quota::new(config.quota);
        let shared = Arc::new(Shared {
            quota,
            sending: Semaphore::new(SENDING_MAX),
            runtime: tokio::runtime::Handle::current(),
            recordings: Mutex::default(),
            open: watch::channel(0).0,
            stored: AtomicU64::new(0),
            on_stored: OnceLock::new(),
            config,
        });
        let recover = {
            let shared = shared.clone();
            move || spool::recover(&shared.config.spool, &shared.quota)
        };
        let left = match tokio::task::spawn_blocking(recover).await {
            Ok(left) => left?,
            Err(error) => {
                let source = io::Error::other(error);
                return Err(Error::Spool {
                    path: shared.config.spool.clone(),
                    source,
                });
            }
        };
        for spooled in left {
            tracing::info!(
                recording = spooled.key(),
                "going on with a recording left behind"
            );
            shared.upload(Arc::new(spooled));
        }
        Ok(Self { shared })
    }

    /// Begins a recording. Nothing is written before [`Handle::init`] and a first access unit.
    pub fn start(&self, meta: Meta) -> Handle {
        let (sender, receiver) = channel();
        let load = Arc::new(Load::default());
        let stream = meta.stream.clone();
        let writer = writer::Writer::new(self.shared.clone(), meta, load.clone());
        let started = std::thread::Builder::new()
            .name(format!("record-{stream}"))
            .spawn(move || writer.run(&receiver));
        if let Err(error) = started {
            tracing::error!(stream, %error, "cannot record: no thread for the writer");
        }
        Handle {
            sender,
            batch: Mutex::default(),
            load,
            in_gap: AtomicBool::new(false),
            stream,
        }
    }

    /// Calls `tell` with stream and key of each recording that is whole in the store; the first
    /// caller is told.
    pub fn on_stored(&self, tell: impl Fn(&str, &str) + Send + Sync + 'static) {
        let _ = self.shared.on_stored.set(Box::new(tell));
    }

    /// How recordings that are not yet in the store are doing.
    pub fn status(&self) -> Vec<Status> {
        self.shared
            .recordings()
            .iter()
            .map(|spooled| spooled.status())
            .collect()
    }

    /// Recordings stored since this process began.
    pub fn stored(&self) -> u64 {
        self.shared.stored.load(Ordering::Relaxed)
    }

    /// Bytes the spool takes on the disk.
    pub fn spooled_bytes(&self) -> u64 {
        self.shared.quota.used()
    }

    /// Bytes written that the store has not confirmed. Never waits for the disk.
    pub fn unconfirmed_bytes(&self) -> u64 {
        let recordings = self.shared.recordings();
        recordings
            .iter()
            .map(|spooled| spooled.unconfirmed_bytes())
            .sum()
    }

    /// Ends when every finished recording is in the store and announced. For a drain: the caller
    /// sets the deadline, and what did not make it is taken up by the next start.
    pub async fn settled(&self) {
        // The sender lives in `shared`, which we hold.
        let _ = self
            .shared
            .open
            .subscribe()
            .wait_for(|open| *open == 0)
            .await;
    }
}

/// What the writer thread is told.
enum Message {
    Init(Vec<Track>),
    Units(Vec<AccessUnit>),
    Discontinuity,
    /// Media was lost before this point.
    Gap,
    Finish(Arc<Notify>),
}

/// What waits for a writer thread, and what it could not take.
#[derive(Debug, Default)]
struct Load {
    waiting_units: AtomicU64,
    waiting_bytes: AtomicU64,
    dropped: AtomicU64,
}

/// Access units that the writer thread need not see yet: nothing is written before a chunk is
/// complete, and a thread woken for each unit costs more than what it then does.
#[derive(Debug, Default)]
struct Batch {
    units: Vec<AccessUnit>,
    bytes: usize,
    /// The kind that completes chunks, with the ticks one may last; `None` before there are tracks.
    leading: Option<(MediaKind, i64)>,
    /// Decode time of the first of that kind since the last chunk.
    since: Option<i64>,
}

impl Batch {
    fn follow(&mut self, tracks: &[Track]) {
        let leading = tracks.iter().min_by_key(|track| track.kind());
        self.leading = leading.map(|track| (track.kind(), track.timescale().ticks(CHUNK_TARGET)));
        self.since = None;
    }

    /// Adds a unit. True when the writer may have something to write now.
    fn push(&mut self, unit: AccessUnit) -> bool {
        let (kind, dts) = (unit.kind, unit.dts);
        let is_keyframe = kind == MediaKind::Video && unit.is_sync();
        self.bytes += unit.payload.len();
        self.units.push(unit);
        let Some((leading, longest)) = self.leading else {
            return true;
        };
        let mut completes = self.units.len() >= BATCH_UNITS_MAX || self.bytes >= CHUNK_BYTES_MAX;
        if kind == leading {
            let since = *self.since.get_or_insert(dts);
            if is_keyframe || dts.saturating_sub(since) >= longest {
                self.since = Some(dts);
                completes = true;
            }
        }
        completes
    }

    fn take(&mut self) -> Vec<AccessUnit> {
        self.bytes = 0;
        let room = Vec::with_capacity(self.units.len());
        std::mem::replace(&mut self.units, room)
    }
}

/// One recording under way. No call waits. Dropping it ends the recording as [`Handle::finish`]
/// does.
#[derive(Debug)]
pub struct Handle {
    /// Unbounded by itself: units are bounded by `load`, and the rest are as few as an encoder's
    /// reconnects.
    sender: Sender<Message>,
    batch: Mutex<Batch>,
    load: Arc<Load>,
    in_gap: AtomicBool,
    stream: String,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Handle {
    /// The tracks from now on. The same tracks again change nothing (an encoder that came back);
    /// others end this recording's file and begin another, because one MP4 describes its tracks
    /// once.
    pub fn init(&self, tracks: &[Track]) {
        self.tell(Message::Init(tracks.to_vec()));
        self.batch().follow(tracks);
    }

    /// Takes an access unit, or drops it when the disk is too slow; then it drops on up to the next
    /// keyframe.
    pub fn push(&self, unit: &AccessUnit) {
        let bytes = unit.payload.len() as u64;
        let full = self.load.waiting_units.load(Ordering::Acquire) >= WAITING_UNITS_MAX
            || self.load.waiting_bytes.load(Ordering::Acquire) + bytes > WAITING_BYTES_MAX;
        if full {
            self.load.dropped.fetch_add(1, Ordering::AcqRel);
            if !self.in_gap.swap(true, Ordering::AcqRel) {
                tracing::warn!(
                    stream = self.stream,
                    "the spool's disk is too slow: a gap begins"
                );
                self.tell(Message::Gap);
            }
            return;
        }
        self.in_gap.store(false, Ordering::Release);
        self.load.waiting_units.fetch_add(1, Ordering::AcqRel);
        self.load.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        let mut batch = self.batch();
        if batch.push(unit.clone()) {
            self.send(batch);
        }
    }

    /// The media after this does not follow from the media before.
    pub fn discontinuity(&self) {
        self.tell(Message::Discontinuity);
    }

    /// Access units that could not be recorded so far.
    pub fn dropped_units(&self) -> u64 {
        self.load.dropped.load(Ordering::Acquire)
    }

    /// Ends the recording. The returned signal fires once all of it is in the spool, where it
    /// outlives the process; [`Recorder::settled`] waits for the store.
    pub fn finish(self) -> Arc<Notify> {
        let written = Arc::new(Notify::new());
        self.tell(Message::Finish(written.clone()));
        written
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what waits, then the message.
    fn tell(&self, message: Message) {
        self.send(self.batch());
        // The writer goes only after the handle; without its thread (already logged) nothing is
        // recorded.
        let _ = self.sender.send(message);
    }

    fn send(&self, mut batch: MutexGuard<'_, Batch>) {
        if !batch.units.is_empty() {
            let _ = self.sender.send(Message::Units(batch.take()));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.send(self.batch());
    }
}
