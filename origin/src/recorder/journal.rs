//! What is known of a recording, as lines appended to a file: what a restart goes on from.
//!
//! Each line is one JSON value, flushed to the disk before its fact is relied on. A line that a
//! crash cut short is the last one and is ignored; everything before it holds.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use store::UploadId;

use contract::TrackSummary;

/// A journal longer than this is damaged: 10,000 parts with their keyframes have under 4 MiB.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// A sealed part of the recording: a file that no longer changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) number: u32,
    pub(super) size: u64,
    /// Keyframes: decode time and offset from the part's beginning.
    pub(super) keyframes: Vec<(i64, u64)>,
    /// The longest track's end in seconds.
    pub(super) seconds: f64,
}

/// What no longer changes once a recording has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) stream: String,
    pub(super) started_at: f64,
    #[serde(rename = "epoch")]
    pub(super) run_id: String,
    pub(super) projection: media::Projection,
    pub(super) stereo: media::StereoLayout,
    pub(super) orientation: media::Orientation,
    #[serde(default)]
    pub(super) fov: Option<f64>,
    pub(super) tracks: Vec<TrackSummary>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Begun(Begun),
    /// Media does not follow on here: the leading track's decode time.
    Discontinuity(i64),
    /// Media was lost here, up to the next keyframe.
    Gap(i64),
    Sealed(Sealed),
    /// Every part is sealed.
    Closed {
        dropped_units: u64,
    },
    Upload(UploadId),
    Confirmed(store::Part),
    /// The object is in the store under this key.
    Stored(String),
    Announced,
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(Self)
    }

    /// Adds a line and flushes it to the disk.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        self.0.sync_data()
    }
}

/// The lines of a journal, up to the first that is cut short. A torn tail is cut off, so that
/// appending goes on well.
pub(super) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    if path.metadata()?.len() > JOURNAL_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a journal beyond {JOURNAL_BYTES_MAX} bytes"
        )));
    }
    let text = std::fs::read(path)?;
    let (mut entries, mut good) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(body) = line.strip_suffix(b"\n") else {
            break;
        };
        let Ok(entry) = serde_json::from_slice(body) else {
            break;
        };
        entries.push(entry);
        good += line.len() as u64;
    }
    if good < text.len() as u64 {
        OpenOptions::new().write(true).open(path)?.set_len(good)?;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_forgotten_and_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let entries = [Entry::Gap(5), Entry::Closed { dropped_units: 3 }];
        for entry in &entries {
            Journal::open(&path).unwrap().append(entry).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let known = read(&path).unwrap();
            assert_eq!(known, entries[..known.len()]);
            Journal::open(&path)
                .unwrap()
                .append(&Entry::Announced)
                .unwrap();
            assert_eq!(read(&path).unwrap().len(), known.len() + 1, "cut at {cut}");
        }
    }
}
