//! What an earlier process left in the spool, made ready to be uploaded.

use std::{
    fs::{self, OpenOptions},
    io::Read as _,
};

use cmaf::{Scanner, TopLevel};
use media::MediaKind;

use super::*;

/// Bytes read at a time while looking for the end of the last whole chunk.
const SCAN_BYTES: usize = 1 << 20;

/// Every recording in the spool, each closed at its last whole chunk. What cannot be read is left
/// alone with a log line: a human may still get something out of it.
pub(in super::super) fn recover(spool: &Path, quota: &Quota) -> Result<Vec<Spooled>, Error> {
    let fail = |source| Error::Spool {
        path: spool.to_owned(),
        source,
    };
    fs::create_dir_all(spool).map_err(fail)?;
    let mut left = Vec::new();
    for entry in fs::read_dir(spool).map_err(fail)? {
        let folder = entry.map_err(fail)?.path();
        if !folder.is_dir() {
            continue;
        }
        match reopen(&folder, quota) {
            Ok(Some(spooled)) => left.push(spooled),
            Ok(None) => {}
            Err(error) => {
                let folder = folder.display();
                tracing::error!(%folder, %error, "cannot go on with a recording: look there");
            }
        }
    }
    left.sort_by(|a, b| a.begun.started_at.total_cmp(&b.begun.started_at));
    Ok(left)
}

fn reopen(folder: &Path, quota: &Quota) -> io::Result<Option<Spooled>> {
    let path = folder.join("journal");
    let mut entries = match journal::read(&path) {
        Ok(entries) => entries.into_iter(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Killed while it was made or removed.
            fs::remove_dir_all(folder)?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some(Entry::Begun(begun)) = entries.next() else {
        fs::remove_dir_all(folder)?;
        return Ok(None);
    };
    let mut state = State::new(Journal::open(&path)?);
    entries.for_each(|entry| state.apply(entry));
    let spooled = Spooled::with_state(folder.to_owned(), begun, state);
    if !spooled.state().closed {
        close(&spooled)?;
    }
    count(&spooled, quota);
    if spooled.is_empty() {
        spooled.remove(quota)?;
        return Ok(None);
    }
    Ok(Some(spooled))
}

/// Tells the quota what is on the disk.
fn count(spooled: &Spooled, quota: &Quota) {
    let state = spooled.state();
    for part in &state.parts {
        let path = spooled.part_path(part.number);
        if path.exists() {
            quota.count(part.size);
            if state
                .confirmed
                .iter()
                .any(|sent| sent.number == part.number)
            {
                quota.confirmed(path, part.size);
            }
        }
    }
}

/// Seals the part that was open and closes the recording.
fn close(spooled: &Spooled) -> io::Result<()> {
    let number = spooled
        .state()
        .parts
        .last()
        .map_or(1, |part| part.number + 1);
    let path = spooled.part_path(number);
    if path.exists() {
        let init = fs::read(spooled.init_path())?;
        let found = scan(&path, &init, number)?;
        match found {
            Some(part) => {
                let file = OpenOptions::new().write(true).open(&path)?;
                file.set_len(part.size)?;
                file.sync_all()?;
                spooled.record(Entry::Sealed(part))?;
            }
            None => fs::remove_file(&path)?,
        }
    }
    let dropped_units = spooled.state().dropped_units;
    spooled.record(Entry::Closed { dropped_units })
}

/// The whole chunks of a part file; `None` if there are none.
fn scan(path: &Path, init: &[u8], number: u32) -> io::Result<Option<Sealed>> {
    let tracks = cmaf::read_init(init).map_err(io::Error::other)?;
    let mut file = fs::File::open(path)?;
    let (mut scanner, mut buffer) = (Scanner::new(), vec![0; SCAN_BYTES]);
    let mut part = Sealed {
        number,
        size: 0,
        keyframes: Vec::new(),
        seconds: 0.0,
    };
    let mut chunks = 0;
    loop {
        let count = file.read(&mut buffer)?;
        scanner.push(buffer.get(..count).unwrap_or_default());
        // Damage ends it as the file's end does: what comes before is whole.
        while let Ok(Some(found)) = scanner.pull() {
            let bytes = match found {
                TopLevel::Init(bytes) => {
                    part.size += bytes.len() as u64;
                    continue;
                }
                TopLevel::Chunk(bytes) => bytes,
            };
            let Ok(samples) = cmaf::read_chunk(&tracks, &bytes) else {
                return Ok((chunks > 0).then_some(part));
            };
            if let Some(first) = samples.first()
                && first.unit.kind == MediaKind::Video
                && first.unit.is_sync()
            {
                part.keyframes.push((first.unit.dts, part.size));
            }
            if let Some(last) = samples.last()
                && let Some(track) = tracks.track(last.track_id)
            {
                let end = last.unit.dts + i64::from(last.unit.duration);
                part.seconds = part.seconds.max(track.timescale().seconds(end));
            }
            part.size += bytes.len() as u64;
            chunks += 1;
        }
        if count == 0 {
            return Ok((chunks > 0).then_some(part));
        }
    }
}
