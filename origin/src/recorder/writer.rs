//! The thread between a live stream and its spool: takes messages, cuts chunks, writes part files.
//!
//! It alone waits for the disk. Whatever fails here costs a gap in the recording and never more.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use media::{AccessUnit, Track};

use contract::TrackSummary;

use super::{
    Load, Message, Meta, Shared,
    chunks::{Chunker, Chunks},
    journal::{Begun, Entry, Sealed},
    part_file::{Buffer, PartFile},
    spool::{Spooled, part_target},
};

/// Records one session; see the module.
pub(super) struct Writer {
    shared: Arc<Shared>,
    meta: Meta,
    pub(super) load: Arc<Load>,
    /// Files begun so far in this session.
    files: u32,
    tracks: Vec<Track>,
    current: Option<Current>,
    /// Why nothing is written at the moment; logged once.
    failing: bool,
}

/// The file being written.
struct Current {
    spooled: Arc<Spooled>,
    chunker: Chunker,
    file: Option<PartFile>,
    buffer: Buffer,
    part: Sealed,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, meta: Meta, load: Arc<Load>) -> Self {
        Self {
            shared,
            meta,
            load,
            files: 0,
            tracks: Vec::new(),
            current: None,
            failing: false,
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        // Ends with the handle, whether it was finished or dropped.
        while let Ok(message) = messages.recv() {
            match message {
                Message::Init(tracks) => self.init(tracks),
                Message::Units(units) => units.into_iter().for_each(|unit| self.unit(unit)),
                Message::Discontinuity => self.discontinuity(),
                Message::Gap => self.gap(),
                Message::Finish(written) => {
                    self.close();
                    written.notify_one();
                    return;
                }
            }
        }
        self.close();
    }

    pub(super) fn init(&mut self, mut tracks: Vec<Track>) {
        tracks.sort_by_key(Track::kind);
        if self.tracks != tracks {
            self.close();
            self.tracks = tracks;
        }
    }

    pub(super) fn unit(&mut self, unit: AccessUnit) {
        self.load.waiting_units.fetch_sub(1, Ordering::AcqRel);
        self.load
            .waiting_bytes
            .fetch_sub(unit.payload.len() as u64, Ordering::AcqRel);
        if self.current.is_none() && !self.begin() {
            self.load.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        match current.chunker.push(unit) {
            Ok((Some(chunks), _)) => self.write(&chunks),
            Ok((None, true)) => {}
            Ok((None, false)) => {
                self.load.dropped.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => {
                tracing::warn!(stream = self.meta.stream, %error, "a chunk cannot be recorded");
                self.gap();
            }
        }
    }

    /// Begins a file; false when there are no tracks or the spool does not let us.
    fn begin(&mut self) -> bool {
        if self.tracks.is_empty() {
            return false;
        }
        let rebase = self.files > 0;
        let chunker = Chunker::new(self.tracks.clone(), self.meta.immersive, rebase);
        let init = match chunker.init() {
            Ok(init) => init,
            Err(error) => return self.fail(&error),
        };
        let begun = self.begun(&chunker);
        let spool = &self.shared.config.spool;
        if !self.shared.quota.reserve(init.len() as u64) {
            return self.fail(&"the spool's quota is used up by recordings the store has not got");
        }
        let spooled = match Spooled::create(spool, begun, &init) {
            Ok(spooled) => Arc::new(spooled),
            Err(error) => return self.fail(&error),
        };
        let part = Sealed {
            number: 1,
            size: 0,
            keyframes: Vec::new(),
            seconds: 0.0,
        };
        let mut current = Current {
            spooled: spooled.clone(),
            chunker,
            file: None,
            buffer: Buffer::new(),
            part,
        };
        if let Err(error) = current.append(&[init]) {
            return self.fail(&error);
        }
        self.files += 1;
        self.failing = false;
        tracing::info!(
            stream = self.meta.stream,
            recording = spooled.key(),
            "recording"
        );
        self.shared.upload(spooled);
        self.current = Some(current);
        true
    }

    fn begun(&self, chunker: &Chunker) -> Begun {
        let meta = &self.meta;
        let since = meta
            .started_at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let again = if self.files > 0 {
            format!("-{}", self.files + 1)
        } else {
            String::new()
        };
        let key = format!(
            "recordings/{}/{}-{}{again}.mp4",
            meta.stream,
            since.as_secs(),
            meta.run_id
        );
        Begun {
            key,
            stream: meta.stream.clone(),
            started_at: since.as_secs_f64(),
            run_id: meta.run_id.clone(),
            projection: meta.immersive.projection,
            stereo: meta.immersive.stereo,
            orientation: meta.immersive.orientation,
            fov: meta.immersive.fov,
            tracks: chunker.tracks().iter().map(TrackSummary::from).collect(),
        }
    }

    fn fail(&mut self, error: &dyn std::fmt::Display) -> bool {
        if !self.failing {
            tracing::error!(stream = self.meta.stream, %error, "cannot record for now");
        }
        self.failing = true;
        false
    }

    fn write(&mut self, chunks: &Chunks) {
        let Some(current) = &mut self.current else {
            return;
        };
        let fits = self.shared.quota.reserve(chunks.size);
        let written = if fits {
            current.append_chunks(chunks)
        } else {
            Err(io::Error::from(io::ErrorKind::QuotaExceeded))
        };
        match written {
            Ok(()) => {
                self.failing = false;
                let target = part_target(self.shared.config.part_bytes, current.part.number);
                if current.part.size >= target && current.part.number < store::PART_NUMBER_MAX {
                    self.seal();
                }
            }
            Err(error) => {
                if fits {
                    self.shared.quota.unreserve(chunks.size);
                }
                self.load.dropped.fetch_add(chunks.units, Ordering::AcqRel);
                self.fail(&error);
                self.note(Entry::Gap);
                if let Some(current) = &mut self.current {
                    current.chunker.await_sync();
                    current.spooled.state().failing = Some(error.to_string());
                }
            }
        }
    }

    /// Ends the open part, which is then uploaded.
    fn seal(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        if let Err(error) = current.seal() {
            // The part stays open and grows; the next chunk tries again.
            self.fail(&error);
        }
    }

    fn note(&mut self, entry: impl FnOnce(i64) -> Entry) {
        let Some(current) = &mut self.current else {
            return;
        };
        let dropped = self.load.dropped.load(Ordering::Acquire);
        current.spooled.state().dropped_units = dropped;
        let entry = entry(current.chunker.position());
        if let Err(error) = current.spooled.record(entry) {
            tracing::warn!(stream = self.meta.stream, %error, "cannot write its journal");
        }
    }

    fn discontinuity(&mut self) {
        self.flush();
        self.note(Entry::Discontinuity);
    }

    fn gap(&mut self) {
        self.flush();
        if let Some(current) = &mut self.current {
            current.chunker.await_sync();
        }
        self.note(Entry::Gap);
    }

    fn flush(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        match current.chunker.flush() {
            Ok(Some(chunks)) => self.write(&chunks),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(stream = self.meta.stream, %error, "a chunk cannot be recorded");
            }
        }
    }

    /// Ends the file.
    pub(super) fn close(&mut self) {
        self.flush();
        self.seal();
        let Some(current) = self.current.take() else {
            return;
        };
        let dropped_units = self.load.dropped.load(Ordering::Acquire);
        if let Err(error) = current.spooled.record(Entry::Closed { dropped_units }) {
            // The next start closes it.
            tracing::error!(stream = self.meta.stream, %error, "cannot close the recording");
        }
    }
}

impl Current {
    /// Writes bytes whole or not at all.
    fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let path = self.spooled.part_path(self.part.number);
                self.file.insert(PartFile::create(&path)?)
            }
        };
        file.append(pieces, &mut self.buffer)?;
        self.part.size = file.size();
        Ok(())
    }

    fn append_chunks(&mut self, chunks: &Chunks) -> io::Result<()> {
        let start = self.part.size;
        self.append(&chunks.pieces)?;
        let placed = chunks
            .keyframes
            .iter()
            .map(|(dts, offset)| (*dts, start + offset));
        self.part.keyframes.extend(placed);
        self.part.seconds = self.chunker.seconds();
        self.spooled.set_open_bytes(self.part.size);
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.seal()?;
        let next = Sealed {
            number: self.part.number + 1,
            size: 0,
            keyframes: Vec::new(),
            seconds: self.part.seconds,
        };
        self.spooled.record(Entry::Sealed(self.part.clone()))?;
        self.part = next;
        self.file = None;
        Ok(())
    }
}
