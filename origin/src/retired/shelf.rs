//! Files by the URL that names them, each with a time to go.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use crate::route::Media;

/// Whose media.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Stream name.
    pub stream: &'a str,
    /// Rendition name.
    pub rendition: &'a str,
    /// The run's name.
    pub epoch: &'a str,
}

/// One file.
#[derive(Clone, Copy, Debug)]
struct Kept {
    kind: media::Kind,
    bytes: u64,
    until: Duration,
}

/// A folder of files.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    kept: Mutex<HashMap<String, Kept>>,
}

impl Shelf {
    /// Over an empty `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            kept: Mutex::default(),
        }
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of `pieces`, to go at `until` on the process clock. A file that is there already stays as long as
    /// the later of both wants.
    pub fn put<'a>(
        &self,
        place: Place<'_>,
        media: Media,
        kind: media::Kind,
        pieces: impl Iterator<Item = &'a Bytes>,
        until: Duration,
    ) -> io::Result<()> {
        let name = file_name(place, media);
        if let Some(old) = self.lock().get_mut(&name) {
            old.until = old.until.max(until);
            return Ok(());
        }
        let path = self.folder.join(&name);
        match write(&path, pieces) {
            Ok(bytes) => {
                let kept = Kept { kind, bytes, until };
                self.lock().insert(name, kept);
                Ok(())
            }
            Err(error) => {
                // Half a file serves nobody, and its room is wanted.
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Where the bytes of `media` are, and whether they are pictures or sound.
    pub fn find(&self, place: Place<'_>, media: Media) -> Option<(media::Kind, PathBuf)> {
        let name = file_name(place, media);
        let kind = self.lock().get(&name)?.kind;
        Some((kind, self.folder.join(name)))
    }

    /// Removes what may go at `now`. A file that somebody reads is gone when they are done.
    pub fn expire(&self, now: Duration) {
        self.lock().retain(|name, kept| {
            let stays = kept.until > now;
            if !stays {
                let _ = fs::remove_file(self.folder.join(name));
            }
            stays
        });
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.lock().values().map(|kept| kept.bytes).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write<'a>(path: &Path, pieces: impl Iterator<Item = &'a Bytes>) -> io::Result<u64> {
    let mut file = File::create(path)?;
    let mut bytes = 0;
    for piece in pieces {
        file.write_all(piece)?;
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}

/// Names of streams, renditions and runs are safe in a file name and hold no dot: see [`crate::route`].
fn file_name(place: Place<'_>, media: Media) -> String {
    let Place {
        stream,
        rendition,
        epoch,
    } = place;
    let file = match media {
        Media::Init(index) => format!("init-{index}"),
        Media::Segment(msn) => msn.to_string(),
        Media::Part(msn, part) => format!("{msn}-{part}"),
    };
    format!("{stream}.{rendition}.{epoch}.{file}")
}
