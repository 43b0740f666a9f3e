//! Files by the URL that names them, each growing to its length, some with a time to go.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use urls::MediaFile;

/// Whose media.
#[derive(Clone, Copy, Debug)]
pub struct MediaKey<'a> {
    /// Stream name.
    pub stream: &'a str,
    /// Rendition name.
    pub rendition: &'a str,
    /// The run's name.
    pub run_id: &'a str,
}

/// One file.
#[derive(Debug)]
struct StoredFile {
    kind: media::MediaKind,
    bytes: u64,
    /// Open while more is to come.
    file: Option<File>,
    /// When it may go, on the process clock; `None` while playlists list it.
    until: Option<Duration>,
}

/// A folder of files.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    kept: Mutex<HashMap<String, StoredFile>>,
}

impl Files {
    /// In `folder`; what is there already counts for nothing until it is taken over.
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

    /// Brings a file to the length of its `pieces`: what it has of them already stays, the rest is
    /// appended. It stays open while it `grows`. Gives its name.
    pub fn fill(
        &self,
        key: MediaKey<'_>,
        media: MediaFile,
        kind: media::MediaKind,
        pieces: &[&Bytes],
        grows: bool,
    ) -> io::Result<String> {
        let name = file_name(key, media);
        let known = self
            .lock()
            .get_mut(&name)
            .map(|kept| (kept.bytes, kept.file.take()));
        let (there, file) = known.unwrap_or_default();
        let path = self.folder.join(&name);
        match append(&path, file, there, pieces) {
            Ok((file, bytes)) => {
                let kept = StoredFile {
                    kind,
                    bytes,
                    file: file.filter(|_| grows),
                    until: None,
                };
                self.lock().insert(name.clone(), kept);
                Ok(name)
            }
            Err(error) => {
                // Half a file serves nobody, and its room is wanted.
                let _ = fs::remove_file(&path);
                self.lock().remove(&name);
                Err(error)
            }
        }
    }

    /// Takes over the first `bytes` of a file that an earlier process left.
    pub fn take_over(
        &self,
        key: MediaKey<'_>,
        media: MediaFile,
        kind: media::MediaKind,
        bytes: u64,
    ) -> io::Result<()> {
        let name = file_name(key, media);
        let file = OpenOptions::new()
            .write(true)
            .open(self.folder.join(&name))?;
        file.set_len(bytes)?;
        let kept = StoredFile {
            kind,
            bytes,
            file: None,
            until: None,
        };
        self.lock().insert(name, kept);
        Ok(())
    }

    /// The bytes of a file that an earlier process left.
    pub fn read(&self, key: MediaKey<'_>, media: MediaFile) -> Option<Bytes> {
        let bytes = fs::read(self.folder.join(file_name(key, media))).ok()?;
        Some(bytes.into())
    }

    /// Where the bytes of `media` are, and whether they are pictures or audio.
    pub fn find(&self, key: MediaKey<'_>, media: MediaFile) -> Option<(media::MediaKind, PathBuf)> {
        let name = file_name(key, media);
        let kind = self.lock().get(&name)?.kind;
        Some((kind, self.folder.join(name)))
    }

    /// Lets files go at `until`.
    pub fn retire<'a>(&self, names: impl Iterator<Item = &'a String>, until: Duration) {
        let mut kept = self.lock();
        for name in names {
            if let Some(kept) = kept.get_mut(name) {
                kept.until = Some(until);
            }
        }
    }

    /// Removes what may go at `now`; the bytes of what stays. A file that somebody reads is gone
    /// when they are done.
    pub fn expire(&self, now: Duration) -> u64 {
        let mut bytes = 0;
        self.lock().retain(|name, kept| {
            let stays = kept.until.is_none_or(|until| until > now);
            if stays {
                bytes += kept.bytes;
            } else {
                let _ = fs::remove_file(self.folder.join(name));
            }
            stays
        });
        bytes
    }

    /// Removes every file that nobody took over, but for those `spared`.
    pub fn delete_unknown_files(&self, spared: impl Fn(&str) -> bool) -> io::Result<()> {
        let kept = self.lock();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let known = name
                .to_str()
                .is_some_and(|name| kept.contains_key(name) || spared(name));
            if !known {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, StoredFile>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends what comes after the first `there` bytes of `pieces`, to `file` where it is open; the
/// file, if it is open now, and the length then. A file shorter than `there`, or removed, is not
/// what was written: that fails.
fn append(
    path: &Path,
    file: Option<File>,
    there: u64,
    pieces: &[&Bytes],
) -> io::Result<(Option<File>, u64)> {
    let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    if length <= there {
        return Ok((file, there));
    }
    let mut file = match file {
        Some(file) => file,
        None => OpenOptions::new().create(true).append(true).open(path)?,
    };
    cut(&file, there)?;
    let mut known = usize::try_from(there).unwrap_or(usize::MAX);
    for piece in pieces {
        file.write_all(piece.get(known..).unwrap_or_default())?;
        known = known.saturating_sub(piece.len());
    }
    Ok((Some(file), length))
}

/// Makes a file exactly so long that has at least so much.
fn cut(file: &File, length: u64) -> io::Result<()> {
    let found = file.metadata()?;
    if found.nlink() == 0 || found.len() < length {
        let reason = "somebody cut a file short";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
    }
    if found.len() > length {
        file.set_len(length)?;
    }
    Ok(())
}

/// Names of streams, renditions and runs are safe in a file name and hold no dot: see
/// [`urls::is_name`].
fn file_name(key: MediaKey<'_>, media: MediaFile) -> String {
    let MediaKey {
        stream,
        rendition,
        run_id,
    } = key;
    let file = match media {
        MediaFile::Init(index) => format!("init-{index}"),
        MediaFile::Segment(msn) => msn.to_string(),
        MediaFile::Part(msn, part) => format!("{msn}-{part}"),
    };
    format!("{stream}.{rendition}.{run_id}.{file}")
}
