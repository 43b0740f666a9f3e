//! Segments on disk: those that playlists list, for the process after this one, and those that left
//! them, for as long as somebody may hold a playlist that lists them.
//!
//! ```text
//! a part is published    -> appended to its segment's file -> the stream's index written
//! a segment is unlisted  -> its memory let go -> viewer asks for it -> the file -> answer
//! the process is killed  -> the next one reads the index -> the same playlist, the same URLs
//! ```
//!
//! Restarts: a process that starts where another one was killed lists what that one listed
//! ([`hls::checkpoint`]), so players go on as after any reconnect of the encoder. Removed segments:
//! one stays fetchable for its own duration plus that of the longest playlist that listed it
//! (rfc8216bis §6.2.2). StoredFile in memory that would double what a stream costs, for bytes that
//! hardly anybody asks for: caches have them, live players are past them. The newest few stay in
//! memory, for viewers whose playlist is a reload old.
//!
//! Media never waits for the disk: one task follows what was published and writes it, a moment
//! later. A disk that is full or fails costs memory and, at a restart, gaps; nothing else. What
//! this does not do: outlive the machine (a pair of origins does), nor record (`crate::recorder`
//! does).

mod checkpoints;
mod files;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hls::{MediaSnapshot, Segment, Snapshot, checkpoint::ObjectRef};
use service::Clock;
use tracing::{info, warn};
use urls::MediaFile;

use crate::{
    config::Config,
    metrics::Metrics,
    stream::{Registry, SEQUENCE_MAX, new_run_id},
};

use checkpoints::{CheckpointFiles, Journal};
use files::Files;
pub use files::MediaKey;

/// Removed segments that stay in memory: viewers who read the playlist just before.
const IN_MEMORY: usize = 3;

/// How long a rest is taken after each look at the streams: many may publish at once.
const REST: Duration = Duration::from_millis(10);

/// How often files whose time is over are looked for, at least.
const EVERY: Duration = Duration::from_secs(1);

/// The folder and what is in it; clones share both.
#[derive(Clone, Debug)]
pub struct SegmentStore {
    files: Arc<Files>,
    checkpoints: CheckpointFiles,
    config: Arc<Config>,
    clock: Clock,
    metrics: Metrics,
    /// The last write failed, and the log says so.
    failing: Arc<AtomicBool>,
}

/// The run, and the first and the last closed segment of each rendition.
type Numbers = (String, Vec<(Option<u64>, Option<u64>)>);

/// What a stream has on disk.
#[derive(Debug, Default)]
struct StoredStream {
    /// The run and revision that were looked at.
    seen: Option<(String, u64)>,
    /// Which segments those were, but for what the open ones have.
    whole: Option<Numbers>,
    /// Files of what is listed.
    listed: HashSet<String>,
    /// How long an unlisted one stays: the longest of all its runs.
    lifetime: Duration,
    /// The index as it was written last.
    journal: Option<Journal>,
}

impl SegmentStore {
    /// Opens (and makes) `folder`.
    pub fn open(
        folder: &Path,
        config: Arc<Config>,
        clock: Clock,
        metrics: Metrics,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // What playlists promise follows from this; a process with other settings cannot keep it.
        let settings = format!("{:?}", config.hls);
        Ok(Self {
            files: Arc::new(Files::new(folder)),
            checkpoints: CheckpointFiles::new(folder, &settings),
            config,
            clock,
            metrics,
            failing: Arc::default(),
        })
    }

    /// The streams that an earlier process left, by name; what else it left is removed. A pair of
    /// origins goes on from what the other one has.
    pub fn restore(&self) -> io::Result<Vec<(String, Arc<Snapshot>)>> {
        let mut restored = Vec::new();
        if self.config.peer.is_none() {
            for (stream, index) in self.checkpoints.valid_checkpoints(self.clock.wall())? {
                let found =
                    index.restore(&new_run_id(self.clock.wall()), |rendition, run_id, what| {
                        let key = MediaKey {
                            stream: &stream,
                            rendition,
                            run_id,
                        };
                        self.files.read(key, media_of(what))
                    });
                let sane = |found: &Snapshot| found.next_numbers().1 <= SEQUENCE_MAX;
                let Some(snapshot) = found.filter(sane) else {
                    warn!(
                        stream,
                        "a stream of an earlier process makes no sense; it starts anew"
                    );
                    self.checkpoints.remove(&stream)?;
                    continue;
                };
                self.take_over(&stream, &snapshot);
                let (next_msn, _) = snapshot.next_numbers();
                info!(
                    stream,
                    next_msn, "goes on with what an earlier process left"
                );
                restored.push((stream, Arc::new(snapshot)));
            }
        }
        let spared = |name: &str| CheckpointFiles::owns(name) && self.config.peer.is_none();
        self.files.delete_unknown_files(spared)?;
        Ok(restored)
    }

    fn take_over(&self, stream: &str, snapshot: &Snapshot) {
        each(stream, snapshot, |key, kind, segment, _| {
            let pieces = pieces_of(segment).map(|(media, pieces)| {
                let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
                (media, bytes as u64)
            });
            for (media, bytes) in pieces {
                if let Err(error) = self.files.take_over(key, media, kind, bytes) {
                    self.complain(&error);
                }
            }
        });
    }

    /// The bytes of what is on disk; `None` when it is not there. Parts never are: playlists list
    /// them for three target durations only (rfc8216bis §6.2.2).
    pub async fn find(
        &self,
        key: MediaKey<'_>,
        media: MediaFile,
    ) -> Option<(media::MediaKind, Bytes)> {
        let (kind, path) = self.files.find(key, media)?;
        match tokio::fs::read(&path).await {
            Ok(bytes) => Some((kind, bytes.into())),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read a removed segment back");
                None
            }
        }
    }

    /// Follows `registry`'s streams for ever.
    pub async fn run(self, registry: Arc<Registry>) {
        let mut stored = HashMap::new();
        let published = registry.published();
        loop {
            let (segment_store, registry) = (self.clone(), Arc::clone(&registry));
            let sweep = move || {
                segment_store.sweep(&registry, &mut stored);
                stored
            };
            match tokio::task::spawn_blocking(sweep).await {
                Ok(now) => stored = now,
                Err(_) => return,
            }
            self.clock.sleep(REST).await;
            tokio::select! {
                () = published.notified() => {}
                () = self.clock.sleep(EVERY) => {}
            }
        }
    }

    fn sweep(&self, registry: &Registry, stored: &mut HashMap<String, StoredStream>) {
        let streams = registry.streams();
        let mut failed = None;
        for stream in &streams {
            let Some(snapshot) = stream.snapshot() else {
                continue;
            };
            let of_stream = stored.entry(stream.name().to_owned()).or_default();
            let now = (snapshot.run_id().to_owned(), snapshot.revision());
            if of_stream.seen.as_ref() == Some(&now) {
                continue;
            }
            match self.keep(stream.name(), &snapshot, of_stream) {
                Ok(()) => {
                    of_stream.seen = Some(now);
                    if let Some(through) = removed_through(&snapshot) {
                        stream.release_through(through);
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        let gone = |name: &String| !streams.iter().any(|stream| stream.name() == name);
        for (name, stored) in stored.extract_if(|name, _| gone(name)) {
            let until = self.clock.now() + stored.lifetime;
            self.files.retire(stored.listed.iter(), until);
            failed = self.checkpoints.remove(&name).err().or(failed);
        }
        match failed {
            Some(error) => self.complain(&error),
            None => self.failing.store(false, Ordering::Relaxed),
        }
        let bytes = self.files.expire(self.clock.now());
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.segment_store_bytes.set(bytes);
    }

    /// Writes what is new of a stream, and what belongs together.
    fn keep(&self, stream: &str, snapshot: &Snapshot, stored: &mut StoredStream) -> io::Result<()> {
        let numbers = Some(numbers(snapshot));
        let only_open = stored.whole == numbers;
        stored.whole = None;
        let mut listed = HashSet::new();
        let mut written = Ok(());
        each(stream, snapshot, |key, kind, segment, grows| {
            if only_open && !grows {
                return;
            }
            for (media, pieces) in pieces_of(segment) {
                match self.files.fill(key, media, kind, &pieces, grows) {
                    Ok(name) => drop(listed.insert(name)),
                    Err(error) => written = Err(error),
                }
            }
        });
        if only_open {
            stored.listed.extend(listed);
        } else {
            self.unlist(snapshot, stored, listed);
        }
        // What could not be written is found to be missing.
        if self.config.peer.is_none() {
            self.checkpoints
                .write(stream, snapshot, &mut stored.journal)?;
        }
        stored.whole = numbers.filter(|_| written.is_ok());
        written
    }

    /// Lets what is not `listed` any more go in time.
    fn unlist(&self, snapshot: &Snapshot, stored: &mut StoredStream, listed: HashSet<String>) {
        // A new run has nothing to go by yet.
        let lifetimes = snapshot.renditions().iter().map(|media| lifetime(media));
        stored.lifetime = lifetimes.fold(stored.lifetime, Duration::max);
        let until = self.clock.now() + stored.lifetime;
        self.files.retire(stored.listed.difference(&listed), until);
        stored.listed = listed;
    }

    fn complain(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let folder = self.files.folder().display();
            warn!(%error, %folder, "cannot keep segments on disk; they stay in memory until the disk takes them, and a restart would show gaps");
        }
    }
}

fn numbers(snapshot: &Snapshot) -> Numbers {
    let all = snapshot.renditions().iter().map(|media| media.retained());
    let ends = all.map(|closed| {
        let msn = |segment: &Arc<Segment>| segment.msn;
        (closed.first().map(msn), closed.last().map(msn))
    });
    (snapshot.run_id().to_owned(), ends.collect())
}

/// Calls `act` with every segment that is listed, or in memory and was, with its place and whether
/// it still grows.
fn each<'a>(
    stream: &'a str,
    snapshot: &'a Snapshot,
    mut act: impl FnMut(MediaKey<'a>, media::MediaKind, &'a Segment, bool),
) {
    for media in snapshot.renditions() {
        let closed = media.retained().iter().map(|segment| (segment, false));
        for (segment, grows) in closed.chain(media.open().map(|segment| (segment, true))) {
            let key = MediaKey {
                stream,
                rendition: media.name(),
                run_id: segment.run_id.as_deref().unwrap_or(media.run_id()),
            };
            act(key, media.kind(), segment, grows);
        }
    }
}

/// The files of a segment.
fn pieces_of(segment: &Segment) -> impl Iterator<Item = (MediaFile, Vec<&Bytes>)> {
    let init = segment
        .init
        .iter()
        .map(|init| (MediaFile::Init(init.index), vec![&init.bytes]));
    let own = (!segment.gap).then(|| (MediaFile::Segment(segment.msn), segment.pieces().collect()));
    init.chain(own)
}

fn media_of(object: ObjectRef) -> MediaFile {
    match object {
        ObjectRef::Init(index) => MediaFile::Init(index),
        ObjectRef::Segment(msn) => MediaFile::Segment(msn),
    }
}

/// The number of the newest segment that need not be in memory any more, if there is one: in all
/// renditions.
fn removed_through(snapshot: &Snapshot) -> Option<u64> {
    let of_media = |media: &Arc<MediaSnapshot>| {
        let removed = media.retained().len() - media.listed().len();
        let index = removed.checked_sub(IN_MEMORY + 1)?;
        Some(media.retained().get(index)?.msn)
    };
    snapshot.renditions().iter().filter_map(of_media).min()
}

/// A segment's own duration and the longest playlist's: two segments more than what is listed, one
/// for the open one.
fn lifetime(media: &MediaSnapshot) -> Duration {
    let listed: f64 = media.listed().iter().map(|segment| segment.seconds()).sum();
    Duration::from_secs_f64(listed) + 2 * Duration::from_secs(media.constants().target_duration)
}

#[cfg(test)]
mod tests;
