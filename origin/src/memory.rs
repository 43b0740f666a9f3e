//! What must outlive the process: how many discontinuities each stream has had, and where it stands.
//!
//! Media sequence numbers need no memory: the clock's seconds are always above them. Discontinuity sequences cannot be
//! as large, because players keep arrays indexed by them (hls.js walks one from zero at each playlist: at a billion it
//! stops for good). So a run starts at the *hours* since 2026, or one above what this file remembers, whichever is
//! more. A replaced machine without its disk and without a peer has the hours alone: they lie above what was served as
//! long as the stream had fewer discontinuities than hours.
//!
//! Where a stream stands ([`Tail`]) is noted with each segment, so that a process that follows one that was killed
//! goes on right behind it and players find their place. A thread of its own writes, because media never waits for a
//! disk; a note is a moment late therefore, and a disk that stands still leaves an old one. It is believed only on the
//! machine, in the boot and with the playlist settings it was made with: there a process can have been killed, but no
//! write lost.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hls::Tail;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Players are gone after this; then numbers start by the clock again.
const TAIL_AGE_MAX: Duration = Duration::from_secs(600);

/// Notes that wait for the disk. When it stands still, newer ones are dropped.
const NOTES_MAX: usize = 256;

/// Names the time since the machine was started.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// 2026-01-01T00:00:00Z, before any run of this program.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

/// The largest number a player can walk to in a millisecond; a file that says more is damaged.
const SEQUENCE_MAX: u64 = 1_000_000;

/// The first discontinuity sequence of a run that knows nothing but the time.
pub fn by_clock(wall: SystemTime) -> u64 {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.saturating_sub(BEGINNING).as_secs() / 3600
}

/// One small file per stream in a folder; clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    folder: Arc<Path>,
    boot: Arc<str>,
    writer: mpsc::SyncSender<(PathBuf, Option<String>)>,
}

#[derive(Deserialize, Serialize)]
struct Noted {
    boot: String,
    settings: String,
    tail: Tail,
}

impl Memory {
    /// Opens (and makes) `folder`.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let (writer, notes) = mpsc::sync_channel(NOTES_MAX);
        thread::Builder::new().name("tails".into()).spawn(move || {
            notes
                .iter()
                .for_each(|(file, text): (PathBuf, Option<String>)| write_tail(&file, text));
        })?;
        Ok(Self {
            folder: folder.into(),
            boot: boot.trim().into(),
            writer,
        })
    }

    /// Where a process before this one left `stream`, as far as viewers may still be there; `settings` is what its
    /// playlists depend on.
    pub fn tail(&self, stream: &str, settings: &str, wall: SystemTime) -> Option<Tail> {
        let text = fs::read_to_string(self.tail_file(stream)).ok()?;
        let noted: Noted = serde_json::from_str(&text).ok()?;
        let date = UNIX_EPOCH + Duration::from_micros(u64::try_from(noted.tail.date_micros).ok()?);
        let recent = wall
            .duration_since(date)
            .is_ok_and(|age| age <= TAIL_AGE_MAX);
        let same = !self.boot.is_empty() && *noted.boot == *self.boot && noted.settings == settings;
        (same && recent && noted.tail.discontinuity_sequence <= SEQUENCE_MAX).then_some(noted.tail)
    }

    /// Notes where `stream` stands; `None` when it has ended, and nothing goes on from there.
    pub fn note_tail(&self, stream: &str, settings: &str, tail: Option<Tail>) {
        let noted = |tail| Noted {
            boot: self.boot.to_string(),
            settings: settings.to_owned(),
            tail,
        };
        let text = tail.and_then(|tail| serde_json::to_string(&noted(tail)).ok());
        // Dropped only while the disk stands still: then a restart may start by the clock or repeat numbers under new URLs.
        let _ = self.writer.try_send((self.tail_file(stream), text));
    }

    /// The highest discontinuity sequence noted for `stream`, 0 where there is none.
    pub fn discontinuities(&self, stream: &str) -> u64 {
        let text = fs::read_to_string(self.file(stream)).unwrap_or_default();
        text.trim()
            .parse()
            .ok()
            .filter(|sequence| *sequence <= SEQUENCE_MAX)
            .unwrap_or(0)
    }

    /// Notes that `stream` is at `sequence`. Written whole or not at all; a killed process loses nothing, a power cut at
    /// most the last note.
    pub fn note(&self, stream: &str, sequence: u64) {
        let (file, fresh) = (self.file(stream), self.folder.join(format!("{stream}.new")));
        let written =
            fs::write(&fresh, sequence.to_string()).and_then(|()| fs::rename(&fresh, &file));
        if let Err(error) = written {
            let path = file.display();
            warn!(stream, %error, %path, "cannot note the discontinuity sequence; a restart may repeat it");
        }
    }

    /// Stream names are safe as file names: see [`crate::route::is_stream_name`].
    fn file(&self, stream: &str) -> PathBuf {
        self.folder.join(format!("{stream}.discontinuities"))
    }

    fn tail_file(&self, stream: &str) -> PathBuf {
        self.folder.join(format!("{stream}.tail"))
    }
}

/// Written whole or not at all.
fn write_tail(file: &Path, text: Option<String>) {
    let written = match text {
        Some(text) => {
            let fresh = file.with_extension("tail.new");
            fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, file))
        }
        None => match fs::remove_file(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    if let Err(error) = written {
        warn!(%error, path = %file.display(), "cannot note where the stream stands; players may stop at a restart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_the_sequence_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(folder.path()).unwrap();
        assert_eq!(memory.discontinuities("stage"), 0);
        memory.note("stage", 41);
        memory.note("stage", 42);
        let after_restart = Memory::open(folder.path()).unwrap();
        assert_eq!(after_restart.discontinuities("stage"), 42);
        assert_eq!(after_restart.discontinuities("other"), 0);
    }

    fn tail(date: Duration) -> Tail {
        Tail {
            msn: 41,
            date_micros: date.as_micros() as i64,
            discontinuity: false,
            discontinuity_sequence: 3,
            constants: hls::Constants {
                target_duration: 2,
                part_target: Some(180_000),
            },
        }
    }

    #[test]
    fn p27_where_a_stream_stands_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds| UNIX_EPOCH + BEGINNING + Duration::from_secs(seconds);
        let noted = tail(BEGINNING);
        let writes = |memory: Memory| {
            memory.note_tail("stage", "parts", Some(noted));
            memory.writer
        };
        let writer = writes(Memory::open(folder.path()).unwrap());
        settled(writer, &folder.path().join("stage.tail"), true);
        let after = Memory::open(folder.path()).unwrap();
        assert_eq!(after.tail("stage", "parts", at(30)), Some(noted));
        assert_eq!(
            after.tail("stage", "no parts", at(30)),
            None,
            "other playlists"
        );
        assert_eq!(
            after.tail("stage", "parts", at(700)),
            None,
            "players are gone"
        );
        assert_eq!(after.tail("other", "parts", at(30)), None);
        let rebooted = Memory {
            boot: "another".into(),
            ..after.clone()
        };
        assert_eq!(
            rebooted.tail("stage", "parts", at(30)),
            None,
            "writes may be lost"
        );
        after.note_tail("stage", "parts", None);
        settled(after.writer, &folder.path().join("stage.tail"), false);
    }

    /// The writer ends when it has nothing more to come; until then the file may be on its way.
    fn settled(writer: mpsc::SyncSender<(PathBuf, Option<String>)>, file: &Path, there: bool) {
        drop(writer);
        while file.exists() != there {
            thread::yield_now();
        }
    }

    #[test]
    fn damage_counts_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(folder.path()).unwrap();
        for text in ["", "-1", "many", "99999999999"] {
            fs::write(folder.path().join("stage.discontinuities"), text).unwrap();
            assert_eq!(memory.discontinuities("stage"), 0, "{text:?}");
        }
    }

    #[test]
    fn hours_since_2026_stay_small_for_decades() {
        let at = |seconds| by_clock(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), 0);
        assert_eq!(at(1_767_225_600 + 7200), 2);
        assert!(at(4_102_444_800) < SEQUENCE_MAX);
    }
}
