//! Payloads to fingerprints, and the memory of what was published lately.

use std::{collections::VecDeque, time::Duration};

use hls::Boundary;
use media::AccessUnit;
use sha2::{Digest, Sha256};

use crate::status::{AUDIO_UNITS_MAX, KEYFRAMES_MAX, KeyframeMark};

/// Bytes hashed at each end of a payload: entropy-coded pictures that differ anywhere differ in
/// their first kilobytes; a whole 4K keyframe would be a hundred times the work.
const END_BYTES: usize = 16 << 10;

/// Boundaries told to who compares once a second: as many seconds at least, and a tenth of the
/// bytes of all.
const COMPARED_MAX: usize = 8;

/// The name of a payload: equal payloads have equal ones, others practically never.
pub fn fingerprint(payload: &[u8]) -> u64 {
    let head = payload.get(..END_BYTES).unwrap_or(payload);
    let tail = payload.len().saturating_sub(END_BYTES).max(head.len());
    let mut hash = Sha256::new();
    hash.update((payload.len() as u64).to_be_bytes());
    hash.update(head);
    hash.update(payload.get(tail..).unwrap_or_default());
    hash.finalize()
        .iter()
        .take(8)
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// A keyframe that was published.
#[derive(Clone, Copy, Debug)]
pub struct PublishedKeyframe {
    /// Its payload's name.
    pub hash: u64,
    /// Decode time as published.
    pub dts: i64,
    /// Presentation time as published.
    pub pts: i64,
    /// Ticks of a picture then; 0 where the rate varies.
    pub frame: u32,
    /// When it arrived.
    pub at: Duration,
    /// The segment it opens.
    pub boundary: Option<Boundary>,
}

/// What was published lately.
#[derive(Debug, Default)]
pub struct PublishHistory {
    marks: VecDeque<PublishedKeyframe>,
    sounds: VecDeque<(u64, i64)>,
}

impl PublishHistory {
    /// Forgets: what comes next is on other ticks.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.sounds.clear();
    }

    /// A keyframe was published.
    pub fn record_keyframe(&mut self, mark: PublishedKeyframe) {
        // Ticks only go forward within a run; a new one has cleared this.
        if self.marks.back().is_some_and(|last| last.dts >= mark.dts) {
            self.marks.clear();
        }
        if self.marks.len() == KEYFRAMES_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    /// Audio was published.
    pub fn record_audio(&mut self, unit: &AccessUnit, hash: u64) {
        if self.sounds.back().is_some_and(|(_, dts)| *dts >= unit.dts) {
            self.sounds.clear();
        }
        if self.sounds.len() == AUDIO_UNITS_MAX {
            self.sounds.pop_front();
        }
        self.sounds.push_back((hash, unit.dts));
    }

    /// Keyframes, oldest first.
    pub fn marks(&self) -> impl Iterator<Item = &PublishedKeyframe> {
        self.marks.iter()
    }

    /// For a peer that looks for what it holds: all. For one that compares: the newest that open
    /// segments.
    pub fn keyframe_marks(&self, now: Duration, looks: bool) -> Vec<KeyframeMark> {
        let told = |mark: &PublishedKeyframe| KeyframeMark {
            hash: mark.hash,
            dts: mark.dts,
            pts: mark.pts,
            frame: mark.frame,
            age_ms: u64::try_from(now.saturating_sub(mark.at).as_millis()).unwrap_or(u64::MAX),
            boundary: mark.boundary,
        };
        if looks {
            return self.marks.iter().map(told).collect();
        }
        let opening = self.marks.iter().filter(|mark| mark.boundary.is_some());
        let first = opening.clone().count().saturating_sub(COMPARED_MAX);
        opening.skip(first).map(told).collect()
    }

    /// For the peer.
    pub fn audio_fingerprints(&self) -> Vec<(u64, i64)> {
        self.sounds.iter().copied().collect()
    }
}
