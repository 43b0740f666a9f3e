//! What must outlive the process: how many discontinuities each stream has had.
//!
//! Media sequence numbers need no memory: the clock's seconds are always above them. Discontinuity
//! sequences cannot be as large, because players keep arrays indexed by them (hls.js walks one from
//! zero at each playlist: at a billion it stops for good). So a run starts at the *hours* since
//! 2026, or one above what this file remembers, whichever is more. A replaced machine without its
//! disk and without a peer has the hours alone: they lie above what was served as long as the
//! stream had fewer discontinuities than hours.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tracing::warn;

/// 2026-01-01T00:00:00Z, before any run of this program.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

/// The largest number a player can walk to in a millisecond; a file that says more is damaged.
pub const SEQUENCE_MAX: u64 = 1_000_000;

/// The first discontinuity sequence of a run that knows nothing but the time.
pub fn by_clock(wall: SystemTime) -> u64 {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.saturating_sub(BEGINNING).as_secs() / 3600
}

/// One small file per stream in a folder; clones share it.
#[derive(Clone, Debug)]
pub struct DiscontinuityStore {
    folder: Arc<Path>,
}

impl DiscontinuityStore {
    /// Opens (and makes) `folder`.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.into(),
        })
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

    /// Notes that `stream` is at `sequence`. Written whole or not at all; a killed process loses
    /// nothing, a power cut at most the last note.
    pub fn note(&self, stream: &str, sequence: u64) {
        let (file, fresh) = (self.file(stream), self.folder.join(format!("{stream}.new")));
        let written =
            fs::write(&fresh, sequence.to_string()).and_then(|()| fs::rename(&fresh, &file));
        if let Err(error) = written {
            let path = file.display();
            warn!(stream, %error, %path, "cannot note the discontinuity sequence; a restart may repeat it");
        }
    }

    /// Stream names are safe as file names: see [`urls::is_name`].
    fn file(&self, stream: &str) -> PathBuf {
        self.folder.join(format!("{stream}.discontinuities"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let memory = DiscontinuityStore::open(folder.path()).unwrap();
        assert_eq!(memory.discontinuities("stage"), 0);
        memory.note("stage", 41);
        memory.note("stage", 42);
        let after_restart = DiscontinuityStore::open(folder.path()).unwrap();
        assert_eq!(after_restart.discontinuities("stage"), 42);
        assert_eq!(after_restart.discontinuities("other"), 0);
    }

    #[test]
    fn damage_counts_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let memory = DiscontinuityStore::open(folder.path()).unwrap();
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
