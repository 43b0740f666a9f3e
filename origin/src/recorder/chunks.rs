//! Access units of a session to an init segment and CMAF chunks, with the place of every keyframe.
//!
//! Pure: the same units give the same bytes. A chunk holds one track and begins at a keyframe, at a
//! break in time or after [`CHUNK_TARGET`]; the tracks' chunks are written together, so that
//! neither runs ahead of the other.

use std::time::Duration;

use bytes::Bytes;
use media::{AccessUnit, Immersive, MediaKind, Track};

/// A chunk is what a crash can cost and what a player must buffer; shorter ones cost bytes.
pub(super) const CHUNK_TARGET: Duration = Duration::from_secs(1);

/// A chunk is closed at this many bytes whatever its length, far below what readers accept.
pub(super) const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Bytes to append to the recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chunks {
    /// In this order: what describes the units, and their payloads as they came.
    pub(super) pieces: Vec<Bytes>,
    /// All of them.
    pub(super) size: u64,
    /// Keyframes in them: decode time and offset of the chunk that begins with it.
    pub(super) keyframes: Vec<(i64, u64)>,
    /// Access units in them.
    pub(super) units: u64,
}

impl Chunks {
    fn add(&mut self, piece: Bytes) {
        self.size += piece.len() as u64;
        self.pieces.push(piece);
    }
}

/// Cuts one file's access units into chunks.
#[derive(Debug)]
pub(super) struct Chunker {
    tracks: Vec<Track>,
    immersive: Immersive,
    pending: Vec<Vec<AccessUnit>>,
    pending_bytes: usize,
    sequence: u32,
    /// Subtracted from every time, in seconds-exact pairs per track; `None` until the first chunk
    /// shows where to begin.
    base: Option<Vec<i64>>,
    /// Whether times are to begin near 0 rather than stay as they come.
    rebase: bool,
    awaiting_sync: bool,
    ends: Vec<i64>,
}

impl Chunker {
    /// For a file of `tracks`, video first. With `rebase` the file's times begin at 0.
    pub(super) fn new(mut tracks: Vec<Track>, immersive: Immersive, rebase: bool) -> Self {
        tracks.sort_by_key(Track::kind);
        let count = tracks.len();
        let awaiting_sync = tracks.iter().any(|track| track.kind() == MediaKind::Video);
        Self {
            tracks,
            immersive,
            pending: vec![Vec::new(); count],
            pending_bytes: 0,
            sequence: 0,
            base: None,
            rebase,
            awaiting_sync,
            ends: vec![0; count],
        }
    }

    /// The tracks in file order.
    pub(super) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// `ftyp` and `moov`.
    pub(super) fn init(&self) -> Result<Bytes, cmaf::Error> {
        cmaf::init_segment_multi(&self.tracks, &self.immersive)
    }

    /// The longest track's end in seconds.
    pub(super) fn seconds(&self) -> f64 {
        let ends = self.ends.iter().zip(&self.tracks);
        ends.map(|(end, track)| track.timescale().seconds(*end))
            .fold(0.0, f64::max)
    }

    /// The end of the leading track so far, in its ticks.
    pub(super) fn position(&self) -> i64 {
        self.ends.first().copied().unwrap_or(0)
    }

    /// Video goes on at the next keyframe: what came before it is lost or foreign.
    pub(super) fn await_sync(&mut self) {
        self.awaiting_sync = self
            .tracks
            .iter()
            .any(|track| track.kind() == MediaKind::Video);
    }

    /// Takes a unit. Gives chunks when it completed some; false when the unit is of no use before a
    /// keyframe.
    pub(super) fn push(&mut self, unit: AccessUnit) -> Result<(Option<Chunks>, bool), cmaf::Error> {
        let Some(index) = self
            .tracks
            .iter()
            .position(|track| track.kind() == unit.kind)
        else {
            return Ok((None, false));
        };
        if unit.kind == MediaKind::Video && self.awaiting_sync {
            if !unit.is_sync() {
                return Ok((None, false));
            }
            self.awaiting_sync = false;
        }
        let chunks = if self.closes_before(index, &unit) {
            self.flush()?
        } else {
            None
        };
        self.pending_bytes += unit.payload.len();
        if let Some(pending) = self.pending.get_mut(index) {
            pending.push(unit);
        }
        Ok((chunks, true))
    }

    fn closes_before(&self, index: usize, unit: &AccessUnit) -> bool {
        let (Some(pending), Some(track)) = (self.pending.get(index), self.tracks.get(index)) else {
            return false;
        };
        let (Some(first), Some(last)) = (pending.first(), pending.last()) else {
            return self.pending_bytes >= CHUNK_BYTES_MAX;
        };
        let contiguous = last.dts.saturating_add(i64::from(last.duration)) == unit.dts;
        let long = unit.dts.saturating_sub(first.dts) >= track.timescale().ticks(CHUNK_TARGET);
        // Only the leading track cuts by length and keyframe: the others follow it.
        let cuts = index == 0 && (long || (unit.kind == MediaKind::Video && unit.is_sync()));
        !contiguous || cuts || self.pending_bytes >= CHUNK_BYTES_MAX || pending.len() >= (1 << 13)
    }

    /// Everything pending as chunks, the leading track first.
    pub(super) fn flush(&mut self) -> Result<Option<Chunks>, cmaf::Error> {
        if self.pending.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let base = match self.base.clone() {
            Some(base) => base,
            None => self.base.insert(self.first_base()).clone(),
        };
        let mut chunks = Chunks::default();
        for index in 0..self.tracks.len() {
            let (Some(track), Some(pending)) =
                (self.tracks.get(index), self.pending.get_mut(index))
            else {
                continue;
            };
            let base = base.get(index).copied().unwrap_or(0);
            let mut units = std::mem::take(pending);
            for unit in &mut units {
                unit.dts -= base;
                unit.pts -= base;
            }
            // Only audio that came late for a file's beginning is that early.
            units.retain(|unit| unit.dts >= 0);
            let (Some(first), Some(last)) = (units.first(), units.last()) else {
                continue;
            };
            if first.kind == MediaKind::Video && first.is_sync() {
                chunks.keyframes.push((first.dts, chunks.size));
            }
            if let Some(end) = self.ends.get_mut(index) {
                *end = last.dts.saturating_add(i64::from(last.duration));
            }
            chunks.units += units.len() as u64;
            self.sequence = self.sequence.wrapping_add(1);
            let id = cmaf::FIRST_TRACK_ID + index as u32;
            chunks.add(cmaf::chunk_head_of(id, track, self.sequence, &units)?);
            units.into_iter().for_each(|unit| chunks.add(unit.payload));
        }
        self.pending_bytes = 0;
        Ok(Some(chunks))
    }

    /// What to subtract from each track's times: one moment, in each track's ticks.
    fn first_base(&self) -> Vec<i64> {
        let firsts = self
            .pending
            .iter()
            .zip(&self.tracks)
            .filter_map(|(pending, track)| {
                let first = pending.first()?;
                Some(track.timescale().rescale(first.dts, media::VIDEO_TIMESCALE))
            });
        let moment = if self.rebase {
            firsts.min().unwrap_or(0)
        } else {
            0
        };
        let scaled = |track: &Track| media::VIDEO_TIMESCALE.rescale(moment, track.timescale());
        self.tracks.iter().map(scaled).collect()
    }
}
