//! Whole segments to digests: the plainest proof that the same URL has the same bytes on both
//! origins.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use hls::{Lookup, Snapshot, packager};
use sha2::{Digest, Sha256};

use crate::status::{DIGESTS_MAX, SegmentDigest};

/// Each segment is hashed once.
#[derive(Debug, Default)]
pub struct Digests(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    run_id: String,
    segments: BTreeMap<u64, SegmentDigest>,
}

impl Digests {
    /// Of the newest whole segments, oldest first. Milliseconds of work for each new one: not for a
    /// thread that serves.
    pub fn of(&self, snapshot: &Snapshot) -> Vec<SegmentDigest> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.run_id != snapshot.run_id() {
            *known = Known {
                run_id: snapshot.run_id().to_owned(),
                segments: BTreeMap::new(),
            };
        }
        let last = |name| snapshot.media(name).and_then(|media| media.last_msn());
        // The slower of both: what it has not closed, the other need not tell.
        let names = [packager::SOURCE, packager::AUDIO];
        let Some(newest) = names.into_iter().filter_map(last).min() else {
            return Vec::new();
        };
        let oldest = newest.saturating_sub(DIGESTS_MAX as u64 - 1);
        known.segments.retain(|msn, _| *msn >= oldest);
        for msn in oldest..=newest {
            known.segments.entry(msn).or_insert_with(|| SegmentDigest {
                msn,
                source: digest(snapshot, packager::SOURCE, msn),
                audio: digest(snapshot, packager::AUDIO, msn),
            });
        }
        known.segments.values().copied().collect()
    }
}

fn digest(snapshot: &Snapshot, rendition: &str, msn: u64) -> Option<u64> {
    let Lookup::Found(segment) = snapshot.media(rendition)?.segment(msn) else {
        return None;
    };
    let mut hash = Sha256::new();
    for piece in segment.pieces() {
        hash.update((piece.len() as u64).to_be_bytes());
        hash.update(piece);
    }
    let head = hash.finalize();
    let bytes = head.iter().take(8);
    Some(bytes.fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}
