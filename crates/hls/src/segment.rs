//! Holds what is served: init segments, parts, and the segments they add up to.

use std::sync::Arc;

use bytes::Bytes;
use media::{Timescale, Track};

/// An init segment and the track it describes.
#[derive(Clone, Debug, PartialEq)]
pub struct Init {
    /// The number in its URL. Derived from the bytes, so that two origins name the same
    /// configuration alike and a configuration that comes back finds its old URL.
    pub index: u32,
    /// The bytes served.
    pub bytes: Bytes,
    /// What it describes.
    pub track: Track,
}

/// A partial segment: one CMAF chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The bytes served; empty for a gap.
    pub bytes: Bytes,
    /// Duration in the segment's timescale.
    pub duration: i64,
    /// It holds a sync sample.
    pub independent: bool,
    /// It was lost: listed so that numbers stay in step, never served.
    pub gap: bool,
}

/// A media segment, complete or still growing. Its bytes are its parts' bytes, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Media Sequence Number.
    pub msn: u64,
    /// The run that made it, where that is another than the playlist's: its URLs stay as they were.
    pub run_id: Option<Arc<str>>,
    /// Parts in order.
    pub parts: Vec<Part>,
    /// Duration in `timescale`; of a growing segment, so far.
    pub duration: i64,
    /// Ticks per second of the durations.
    pub timescale: Timescale,
    /// Wall time of its first sample, microseconds since 1970.
    pub program_date_time: i64,
    /// A discontinuity lies before it.
    pub discontinuity: bool,
    /// Discontinuities of the stream before this segment: EXT-X-DISCONTINUITY-SEQUENCE when it is
    /// the first listed.
    pub discontinuity_sequence: u64,
    /// Its init segment; a gap may have none.
    pub init: Option<Arc<Init>>,
    /// Its first sample is a sync sample (or there is none: a gap).
    pub independent: bool,
    /// It was lost, wholly or in part: listed so that numbers stay in step, never served.
    pub gap: bool,
}

impl Segment {
    /// Duration in seconds.
    pub fn seconds(&self) -> f64 {
        self.timescale.seconds(self.duration)
    }

    /// The media time of its end, in seconds; `None` of a gap and of bytes that are none of ours.
    pub fn end_seconds(&self) -> Option<f64> {
        let part = self.parts.iter().rfind(|part| !part.gap)?;
        let init = cmaf::read_init(&self.init.as_ref()?.bytes).ok()?;
        let samples = cmaf::read_chunk(&init, &part.bytes).ok()?;
        let ends = samples.iter().map(|sample| {
            let end = sample
                .unit
                .dts
                .saturating_add(i64::from(sample.unit.duration));
            self.timescale.seconds(end)
        });
        ends.reduce(f64::max)
    }

    /// The wall time of its end, microseconds since 1970.
    pub fn end_micros(&self) -> i64 {
        end_micros(self.program_date_time, self.duration, self.timescale)
    }

    /// Bytes in all parts: the Content-Length of the segment.
    pub fn byte_length(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }

    /// The segment's bytes, piece by piece, without copying.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().map(|part| &part.bytes)
    }

    /// The segment's bytes in one buffer; a copy unless it has a single part.
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [only] => only.bytes.clone(),
            parts => {
                let mut whole = Vec::with_capacity(self.byte_length() as usize);
                parts
                    .iter()
                    .for_each(|part| whole.extend_from_slice(&part.bytes));
                whole.into()
            }
        }
    }
}

/// The wall time `duration` ticks after `start`.
pub(crate) fn end_micros(start: i64, duration: i64, timescale: Timescale) -> i64 {
    let micros = i128::from(duration) * 1_000_000 / i128::from(timescale.rate());
    start.saturating_add(i64::try_from(micros).unwrap_or(i64::MAX))
}
