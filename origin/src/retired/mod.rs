//! Segments that left the playlists: on disk for as long as somebody may hold a playlist that lists them.
//!
//! ```text
//! each second, each stream: snapshot -> segments no longer listed -> one file each -> memory let go
//! viewer asks for one                -> shelf -> the file's range -> answer
//! ```
//!
//! A removed segment stays fetchable for its own duration plus that of the longest playlist that listed it
//! (rfc8216bis §6.2.2). Kept in memory that would double what a stream costs, for bytes that hardly anybody asks for:
//! caches have them, live players are past them. The newest few stay in memory, for viewers whose playlist is a reload
//! old. A run that another one replaced goes to disk whole.
//!
//! A disk that is full or fails costs memory, nothing else: what cannot be written stays where it was. What this does
//! not do: outlive the process (its folder is emptied at start), nor record (`crate::recorder` does).

mod shelf;

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hls::{MediaSnapshot, Segment, Snapshot};
use service::Clock;
use tracing::warn;

use crate::{metrics::Metrics, registry::Registry, route::Media};

pub use shelf::Place;
use shelf::Shelf;

/// Removed segments that stay in memory: viewers who read the playlist just before.
const IN_MEMORY: usize = 3;

/// How often streams are looked through.
const EVERY: Duration = Duration::from_secs(1);

/// The folder and what is in it; clones share both.
#[derive(Clone, Debug)]
pub struct Retired {
    shelf: Arc<Shelf>,
    clock: Clock,
    metrics: Metrics,
    /// The last write failed, and the log says so.
    failing: Arc<AtomicBool>,
}

impl Retired {
    /// Empties (and makes) `folder`.
    pub fn open(folder: &Path, clock: Clock, metrics: Metrics) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(folder)?,
        }
        Ok(Self {
            shelf: Arc::new(Shelf::new(folder)),
            clock,
            metrics,
            failing: Arc::default(),
        })
    }

    /// The bytes of what is on disk; `None` when it is not there. Parts never are: playlists list them for three target
    /// durations only (rfc8216bis §6.2.2).
    pub async fn find(&self, place: Place<'_>, media: Media) -> Option<(media::Kind, Bytes)> {
        let (kind, path) = self.shelf.find(place, media)?;
        match tokio::fs::read(&path).await {
            Ok(bytes) => Some((kind, bytes.into())),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read a removed segment back");
                None
            }
        }
    }

    /// Looks through `registry`'s streams for ever.
    pub async fn run(self, registry: Arc<Registry>) {
        let mut last = HashMap::new();
        loop {
            self.clock.sleep(EVERY).await;
            let (retired, registry) = (self.clone(), Arc::clone(&registry));
            let sweep = move || {
                retired.sweep(&registry, &mut last);
                last
            };
            match tokio::task::spawn_blocking(sweep).await {
                Ok(seen) => last = seen,
                Err(_) => return,
            }
        }
    }

    /// `last`: each stream's snapshot of the last time.
    fn sweep(&self, registry: &Registry, last: &mut HashMap<String, Arc<Snapshot>>) {
        let mut seen = HashMap::new();
        for stream in registry.streams() {
            let Some(snapshot) = stream.snapshot() else {
                continue;
            };
            if let Some(old) = last.remove(stream.name())
                && epoch(&old) != epoch(&snapshot)
            {
                self.keep(stream.name(), &old, |media| media.retained());
            }
            let written = self.keep(stream.name(), &snapshot, removed);
            if let Some(through) = written {
                stream.release_through(through);
            }
            if let Some(snapshot) = stream.snapshot() {
                seen.insert(stream.name().to_owned(), snapshot);
            }
        }
        for (stream, old) in last.drain() {
            self.keep(&stream, &old, |media| media.retained());
        }
        *last = seen;
        self.shelf.expire(self.clock.now());
        let bytes = i64::try_from(self.shelf.bytes()).unwrap_or(i64::MAX);
        self.metrics.retired_bytes.set(bytes);
    }

    /// Writes what `choose` gives of each rendition; the number through which all renditions' are on disk now.
    fn keep(
        &self,
        stream: &str,
        snapshot: &Snapshot,
        choose: impl Fn(&MediaSnapshot) -> &[Arc<Segment>],
    ) -> Option<u64> {
        let mut through: Option<u64> = None;
        for media in snapshot.renditions() {
            let place = Place {
                stream,
                rendition: media.name(),
                epoch: media.epoch(),
            };
            let until = self.clock.now() + lifetime(media);
            for segment in choose(media) {
                if let Err(error) = self.write(place, media.kind(), segment, until) {
                    self.complain(&error);
                    return None;
                }
            }
            if let Some(newest) = choose(media).last() {
                through = Some(through.map_or(newest.msn, |through| through.min(newest.msn)));
            }
        }
        if through.is_some() {
            self.failing.store(false, Ordering::Relaxed);
        }
        through
    }

    fn write(
        &self,
        place: Place<'_>,
        kind: media::Kind,
        segment: &Segment,
        until: Duration,
    ) -> io::Result<()> {
        if let Some(init) = &segment.init {
            let bytes = std::iter::once(&init.bytes);
            self.shelf
                .put(place, Media::Init(init.index), kind, bytes, until)?;
        }
        if segment.gap {
            return Ok(());
        }
        let media = Media::Segment(segment.msn);
        self.shelf.put(place, media, kind, segment.pieces(), until)
    }

    fn complain(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let folder = self.shelf.folder().display();
            warn!(%error, %folder, "cannot write removed segments; they stay in memory until the disk takes them");
        }
    }
}

/// What is no longer listed, but for the newest.
fn removed(media: &MediaSnapshot) -> &[Arc<Segment>] {
    let removed = media.retained().len() - media.listed().len();
    &media.retained()[..removed.saturating_sub(IN_MEMORY)]
}

/// A segment's own duration and the longest playlist's: two segments more than what is listed, one for the open one.
fn lifetime(media: &MediaSnapshot) -> Duration {
    let listed: f64 = media.listed().iter().map(|segment| segment.seconds()).sum();
    Duration::from_secs_f64(listed) + 2 * Duration::from_secs(media.constants().target_duration)
}

fn epoch(snapshot: &Snapshot) -> Option<&str> {
    snapshot.renditions().first().map(|media| media.epoch())
}

#[cfg(test)]
mod tests;
