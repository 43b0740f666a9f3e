//! A recording on the local disk: sealed part files, one open part, a journal.
//!
//! ```text
//! spool/stage-1790000000-k3f9/journal
//!                             init.mp4      also at the head of the first part
//!                             00001.part    sealed: whole chunks, flushed to the disk, size and keyframes journalled
//!                             00002.part    open
//! ```
//!
//! The writer thread seals, the uploader confirms; both see one [`State`] behind a lock that
//! neither holds while it waits for anything but the journal's flush.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use store::UploadId;
use tokio::sync::Notify;

use contract::{Keyframes, SIDECAR_VERSION, Sidecar};

use super::{
    Error, Status,
    journal::{self, Begun, Entry, Journal, Sealed},
    quota::Quota,
};

mod recovery;
pub(super) use recovery::recover;

/// Parts of one size before they grow.
const PARTS_PER_STEP: u64 = 512;

/// Bytes at which part `number` is sealed. Parts grow with the recording, so that 10,000 of them,
/// S3's limit, hold a terabyte and a half when they begin at 8 MiB: nine days of 16 Mb/s. The
/// largest has 20 times the first's bytes.
pub(super) fn part_target(first: u64, number: u32) -> u64 {
    first * (1 + u64::from(number) / PARTS_PER_STEP)
}

/// A recording in the spool.
#[derive(Debug)]
pub(super) struct Spooled {
    folder: PathBuf,
    begun: Begun,
    state: Mutex<State>,
    /// Written and not confirmed by the store; beside the lock, for those who must not wait for it.
    unconfirmed: AtomicU64,
    /// Fires when there is more to upload, or all of it.
    pub(super) changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    journal: Journal,
    pub(super) parts: Vec<Sealed>,
    pub(super) confirmed: Vec<store::Part>,
    pub(super) upload: Option<UploadId>,
    pub(super) closed: bool,
    pub(super) stored: Option<String>,
    pub(super) announced: bool,
    pub(super) dropped_units: u64,
    /// Bytes of the open part.
    open_bytes: u64,
    pub(super) failing: Option<String>,
    gaps: Vec<i64>,
    discontinuities: Vec<i64>,
}

impl State {
    fn new(journal: Journal) -> Self {
        Self {
            journal,
            parts: Vec::new(),
            confirmed: Vec::new(),
            upload: None,
            closed: false,
            stored: None,
            announced: false,
            dropped_units: 0,
            open_bytes: 0,
            failing: None,
            gaps: Vec::new(),
            discontinuities: Vec::new(),
        }
    }

    /// Takes a fact up, as it happens or as the journal tells it.
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Begun(_) => {}
            Entry::Discontinuity(at) => self.discontinuities.push(at),
            Entry::Gap(at) => self.gaps.push(at),
            Entry::Sealed(part) => {
                self.parts.push(part);
                self.open_bytes = 0;
            }
            Entry::Closed { dropped_units } => {
                self.closed = true;
                self.dropped_units = dropped_units;
            }
            Entry::Upload(id) => {
                self.upload = Some(id);
                self.confirmed.clear();
            }
            Entry::Confirmed(part) => self.confirmed.push(part),
            Entry::Stored(key) => self.stored = Some(key),
            Entry::Announced => self.announced = true,
        }
    }

    /// Bytes in sealed parts.
    pub(super) fn sealed_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    fn confirmed_bytes(&self) -> u64 {
        self.confirmed.iter().map(|part| part.size).sum()
    }
}

impl Spooled {
    /// Makes the folder of a new recording. `init` is kept beside the first part, which begins with
    /// it too.
    pub(super) fn create(spool: &Path, begun: Begun, init: &[u8]) -> Result<Self, Error> {
        let name = begun.key.trim_end_matches(".mp4").replace('/', "-");
        let folder = spool.join(name);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Spool { path, source }
        };
        fs::create_dir_all(spool).map_err(fail(spool))?;
        fs::create_dir(&folder).map_err(fail(&folder))?;
        let file = init_path(&folder);
        fs::write(&file, init).map_err(fail(&file))?;
        let path = folder.join("journal");
        let mut journal = Journal::open(&path).map_err(fail(&path))?;
        journal
            .append(&Entry::Begun(begun.clone()))
            .map_err(fail(&path))?;
        let synced = fs::File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(fail(&folder))?;
        Ok(Self::with_state(folder, begun, State::new(journal)))
    }

    fn with_state(folder: PathBuf, begun: Begun, state: State) -> Self {
        let spooled = Self {
            folder,
            begun,
            state: Mutex::new(state),
            unconfirmed: AtomicU64::new(0),
            changed: Notify::new(),
        };
        spooled.measure(&spooled.state());
        spooled
    }

    /// The key it is to have in the store.
    pub(super) fn key(&self) -> &str {
        &self.begun.key
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a fact durable, then takes it up and wakes the uploader.
    pub(super) fn record(&self, entry: Entry) -> io::Result<()> {
        let mut state = self.state();
        state.journal.append(&entry)?;
        state.apply(entry);
        self.measure(&state);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The open part has this many bytes now.
    pub(super) fn set_open_bytes(&self, bytes: u64) {
        let mut state = self.state();
        state.open_bytes = bytes;
        self.measure(&state);
    }

    fn measure(&self, state: &State) {
        let written = state.sealed_bytes() + state.open_bytes;
        let unconfirmed = written.saturating_sub(state.confirmed_bytes());
        self.unconfirmed.store(unconfirmed, Ordering::Relaxed);
    }

    /// Bytes written that the store has not confirmed. Never waits.
    pub(super) fn unconfirmed_bytes(&self) -> u64 {
        self.unconfirmed.load(Ordering::Relaxed)
    }

    pub(super) fn part_path(&self, number: u32) -> PathBuf {
        part_path(&self.folder, number)
    }

    /// The init segment, which the first part begins with.
    pub(super) fn init_path(&self) -> PathBuf {
        init_path(&self.folder)
    }

    /// Whether the local file of a sealed part is still there.
    pub(super) fn has_part(&self, number: u32) -> bool {
        self.part_path(number).exists()
    }

    /// What the store shall know of it, for an upload of exactly `confirmed`.
    pub(super) fn sidecar(&self) -> Sidecar {
        let state = self.state();
        let (mut keyframes, mut bytes, mut seconds) = (Keyframes::default(), 0u64, 0f64);
        for sent in &state.confirmed {
            let Some(part) = state.parts.iter().find(|part| part.number == sent.number) else {
                continue;
            };
            // More than the file's bytes where the init segment was put before them.
            let start = bytes + sent.size.saturating_sub(part.size);
            for (dts, offset) in &part.keyframes {
                keyframes.dts.push(*dts);
                keyframes.offset.push(start + offset);
            }
            bytes += sent.size;
            seconds = part.seconds;
        }
        Sidecar {
            version: SIDECAR_VERSION,
            stream: self.begun.stream.clone(),
            started_at: self.begun.started_at,
            epoch: self.begun.run_id.clone(),
            projection: self.begun.projection,
            fov: self.begun.fov,
            stereo: self.begun.stereo,
            orientation: self.begun.orientation,
            duration: seconds,
            bytes,
            tracks: self.begun.tracks.clone(),
            dropped_units: state.dropped_units,
            gaps: state.gaps.clone(),
            discontinuities: state.discontinuities.clone(),
            keyframes,
        }
    }

    pub(super) fn stream(&self) -> &str {
        &self.begun.stream
    }

    pub(super) fn status(&self) -> Status {
        let state = self.state();
        Status {
            stream: self.begun.stream.clone(),
            key: self.begun.key.clone(),
            live: !state.closed,
            bytes: state.sealed_bytes() + state.open_bytes,
            confirmed_bytes: state.confirmed_bytes(),
            dropped_units: state.dropped_units,
            failing: state.failing.clone(),
        }
    }

    /// Removes it from the disk: the store has it all.
    pub(super) fn remove(&self, quota: &Quota) -> io::Result<()> {
        // What was shed before is neither here nor counted any more.
        let parts = self.state().parts.clone();
        let there = parts.iter().filter(|part| self.has_part(part.number));
        let bytes = there.map(|part| part.size).sum();
        // The journal goes last: a folder without one is nobody's.
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name != "journal") {
                fs::remove_file(path)?;
            }
        }
        quota.release(&self.folder, bytes);
        fs::remove_dir_all(&self.folder)
    }

    /// Its files must stay, whatever an earlier upload confirmed.
    pub(super) fn hold(&self, quota: &Quota) {
        quota.hold(&self.folder);
    }

    /// Nothing of it is worth keeping.
    pub(super) fn is_empty(&self) -> bool {
        self.state().parts.is_empty()
    }
}

fn part_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:05}.part"))
}

fn init_path(folder: &Path) -> PathBuf {
    folder.join("init.mp4")
}
