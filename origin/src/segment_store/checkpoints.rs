//! What says how the files of a stream belong together: one small file for each stream. Its first
//! line is the whole, each further one what a part changed; after [`APPENDED_MAX`] bytes it is made
//! anew.
//!
//! Making it anew for each part took a tenth of what an origin takes that only passes through: a
//! file system needs 60 us to make a file and as long to rename it over another one.
//!
//! It is believed only on the machine, in the boot and with the playlist settings it was made with,
//! and while viewers may still be there: a process can have been killed then, but no write was
//! lost, and what playlists promised holds.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hls::{
    Snapshot,
    checkpoint::{Checkpoint, CheckpointDelta},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use urls::is_name;

/// Players are gone after this; then numbers start by the clock again.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Changes that are written behind the whole before it is written anew: half a minute of them, read
/// in a millisecond.
const APPENDED_MAX: usize = 64 << 10;

/// Names the time since the machine was started.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What follows the stream's name. No medium's file ends so, nor has one so few dots.
const SUFFIX: &str = ".index";

/// Where an index is written before it takes the place of the one before; no stream's name begins
/// with a dot.
const FRESH: &str = ".index.new";

#[derive(Deserialize, Serialize)]
struct CheckpointHeader {
    boot: Arc<str>,
    settings: Arc<str>,
    run: Checkpoint,
}

/// The index file of one stream, open.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// What it says.
    run: Checkpoint,
    appended: usize,
}

impl Journal {
    fn append(&mut self, change: &CheckpointDelta) -> io::Result<()> {
        let line = line(change)?;
        self.appended += line.len();
        self.file.write_all(&line)
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The index files of a folder.
#[derive(Clone, Debug)]
pub struct CheckpointFiles {
    folder: Arc<Path>,
    boot: Arc<str>,
    /// What playlists depend on.
    settings: Arc<str>,
}

impl CheckpointFiles {
    /// Of `folder`; `settings` is what playlists depend on.
    pub fn new(folder: &Path, settings: &str) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        Self {
            folder: folder.into(),
            boot: boot.trim().into(),
            settings: settings.into(),
        }
    }

    /// Whether a file of this name is one.
    pub fn owns(name: &str) -> bool {
        stream_of(name).is_some()
    }

    /// Writes what viewers of `stream` see. Where they see nothing, or nothing more is to come, the
    /// file is removed. `journal` is where it was written the last time, and whole again after an
    /// error.
    pub fn write(
        &self,
        stream: &str,
        snapshot: &Snapshot,
        journal: &mut Option<Journal>,
    ) -> io::Result<()> {
        let before = journal.take();
        let Some(run) = Checkpoint::of(snapshot) else {
            return self.remove(stream);
        };
        let before = before.filter(|journal| journal.appended < APPENDED_MAX);
        let change = before.and_then(|journal| Some((run.since(&journal.run)?, journal)));
        *journal = Some(match change {
            Some((change, mut journal)) => {
                journal.append(&change)?;
                Journal { run, ..journal }
            }
            None => self.start(stream, run)?,
        });
        Ok(())
    }

    /// Writes it whole, in the place of the one before or not at all.
    fn start(&self, stream: &str, run: Checkpoint) -> io::Result<Journal> {
        let noted = CheckpointHeader {
            boot: self.boot.clone(),
            settings: self.settings.clone(),
            run,
        };
        let fresh = self.folder.join(FRESH);
        let mut file = File::create(&fresh)?;
        file.write_all(&line(&noted)?)?;
        fs::rename(&fresh, self.path(stream))?;
        let (run, appended) = (noted.run, 0);
        Ok(Journal {
            file,
            run,
            appended,
        })
    }

    /// Nothing goes on from there.
    pub fn remove(&self, stream: &str) -> io::Result<()> {
        match fs::remove_file(self.path(stream)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Every stream that can be gone on with, and its run. Those that cannot are removed.
    pub fn valid_checkpoints(&self, wall: SystemTime) -> io::Result<Vec<(String, Checkpoint)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(stream) = name.to_str().and_then(stream_of) else {
                continue;
            };
            match self.read(stream, wall) {
                Ok(run) => found.push((stream.to_owned(), run)),
                Err(reason) => {
                    warn!(
                        stream,
                        reason, "a stream of an earlier process is not gone on with"
                    );
                    self.remove(stream)?;
                }
            }
        }
        Ok(found)
    }

    fn read(&self, stream: &str, wall: SystemTime) -> Result<Checkpoint, &'static str> {
        let text = fs::read(self.path(stream)).map_err(|_| "its index cannot be read")?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let whole = lines.next().unwrap_or_default();
        let mut noted: CheckpointHeader =
            serde_json::from_slice(whole).map_err(|_| "its index is of another version")?;
        // The last line may have been cut short with its process.
        for change in lines.map_while(|line| serde_json::from_slice(line).ok()) {
            let applied = noted.run.apply(change);
            applied.ok_or("its index contradicts itself")?;
        }
        let end = u64::try_from(noted.run.end_micros()).unwrap_or(0);
        let end = UNIX_EPOCH + Duration::from_micros(end);
        // What was sent faster than it lasts ends ahead of the clock.
        let age = wall.duration_since(end).unwrap_or_default();
        if self.boot.is_empty() || *noted.boot != *self.boot {
            return Err("the machine was started since");
        }
        if *noted.settings != *self.settings {
            return Err("[origin.hls] says something else now");
        }
        if age > AGE_MAX {
            return Err("it is too long ago");
        }
        Ok(noted.run)
    }

    fn path(&self, stream: &str) -> PathBuf {
        self.folder.join(format!("{stream}{SUFFIX}"))
    }
}

fn stream_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX).filter(|stream| is_name(stream))
}

#[cfg(test)]
impl CheckpointFiles {
    /// As after a reboot.
    pub fn rebooted(&self) -> Self {
        Self {
            boot: "another".into(),
            ..self.clone()
        }
    }
}
