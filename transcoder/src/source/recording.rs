//! Recordings of the origin's recorder: fragmented MP4 with a keyframe index beside it.

use std::io::{Read as _, Seek as _, SeekFrom};

use cmaf::{Init, Scanner, TopLevel};
use contract::Keyframes;
use media::Timescale;

use super::*;

/// An init segment is within this much of the beginning: real ones have 1 to 3 KiB.
const INIT_BYTES_MAX: u64 = 1 << 20;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Reads a sidecar. `None` for what is none of a version we know: the recording is then read as any
/// file.
pub fn parse_sidecar(bytes: &[u8]) -> Option<Sidecar> {
    let sidecar: Sidecar = serde_json::from_slice(bytes).ok()?;
    sidecar.is_usable().then_some(sidecar)
}

/// A reader of one such recording.
#[derive(Debug)]
pub struct RecordingReader {
    key: String,
    input: Input,
    init: Init,
    init_bytes: u64,
    sidecar: Sidecar,
    scanner: Scanner,
    waiting: VecDeque<AccessUnit>,
    buffer: Vec<u8>,
    ended: bool,
}

impl RecordingReader {
    pub(super) fn open(key: &str, mut input: Input, sidecar: Sidecar) -> Result<Self> {
        let damaged = |reason: &dyn std::fmt::Display| Error::recording(key, reason);
        let mut head = Vec::new();
        let mut limited = (&mut input).take(INIT_BYTES_MAX);
        limited.read_to_end(&mut head).map_err(|e| io(key, e))?;
        let mut scanner = Scanner::new();
        scanner.push(&head);
        let found = scanner.pull().map_err(|e| damaged(&e))?;
        let Some(TopLevel::Init(bytes)) = found else {
            return Err(damaged(&"it does not begin with an init segment"));
        };
        let init = cmaf::read_init(&bytes).map_err(|e| damaged(&e))?;
        let mut reader = Self {
            key: key.into(),
            input,
            init,
            init_bytes: bytes.len() as u64,
            sidecar,
            scanner: Scanner::new(),
            waiting: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            ended: false,
        };
        reader.seek(None)?;
        Ok(reader)
    }

    /// The recording's name, for errors.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The track of this kind.
    pub fn track(&self, kind: MediaKind) -> Option<&Track> {
        let mut tracks = self.init.tracks.iter().map(|track| &track.track);
        tracks.find(|track| track.kind() == kind)
    }

    /// Everything ends here, in [`VIDEO_TIMESCALE`].
    pub(super) fn end(&self) -> i64 {
        let micros = Timescale::new(1_000_000).unwrap_or(VIDEO_TIMESCALE);
        let end = (self.sidecar.duration * 1e6).round() as i64;
        micros.rescale(end, VIDEO_TIMESCALE)
    }

    /// Goes to the keyframe at or before `dts`, or to the beginning.
    pub fn seek(&mut self, dts: Option<i64>) -> Result<()> {
        let Keyframes { dts: times, offset } = &self.sidecar.keyframes;
        let at = dts.and_then(|dts| times.partition_point(|time| *time <= dts).checked_sub(1));
        let start = at
            .and_then(|at| offset.get(at))
            .copied()
            .unwrap_or(self.init_bytes);
        self.input
            .seek(SeekFrom::Start(start))
            .map_err(|e| io(&self.key, e))?;
        self.scanner = Scanner::new();
        self.waiting.clear();
        self.ended = false;
        Ok(())
    }

    /// The next access unit of either track. `None` at the end.
    pub fn read(&mut self) -> Result<Option<AccessUnit>> {
        loop {
            if let Some(unit) = self.waiting.pop_front() {
                return Ok(Some(unit));
            }
            if self.ended {
                return Ok(None);
            }
            let damaged = |error: cmaf::Error| Error::recording(&self.key, error);
            match self.scanner.pull().map_err(damaged)? {
                Some(TopLevel::Chunk(bytes)) => {
                    let samples = cmaf::read_chunk(&self.init, &bytes).map_err(damaged)?;
                    self.waiting
                        .extend(samples.into_iter().map(|sample| sample.unit));
                }
                Some(TopLevel::Init(_)) => {}
                None => {
                    let count = self
                        .input
                        .read(&mut self.buffer)
                        .map_err(|e| io(&self.key, e))?;
                    self.scanner
                        .push(self.buffer.get(..count).unwrap_or_default());
                    self.ended = count == 0;
                }
            }
        }
    }
}

/// A read that failed: a store's error is kept as such.
pub(super) fn io(key: &str, error: std::io::Error) -> Error {
    match error.downcast::<store::Error>() {
        Ok(error) => Error::Store(error),
        Err(error) => Error::Work {
            what: key.into(),
            reason: error.to_string(),
        },
    }
}
