//! Compares what this origin published with what the peer published, with each of its answers.

use std::time::Duration;

use hls::Boundary;
use media::VIDEO_TIMESCALE;

use crate::{
    BACKOFF_MIN, UNLOCKED_MIN,
    election::{Candidate, is_leader},
    history::PublishedKeyframe,
    machine::{LocalState, Pairing, PeerError},
    pending::{Reason, offset_ms},
    status::{KeyframeMark, PeerStatus, RunStatus, SegmentDigest, State},
};

/// Whole segments in a row that may differ before the one who follows joins anew.
const DIFFERING_MAX: u32 = 3;

impl Pairing {
    /// Whether a lock that there should be has been missing for longer than making one takes.
    pub fn is_unlocked(&self, now: Duration) -> bool {
        let since = self.unlocked;
        since.is_some_and(|since| now.saturating_sub(since) >= UNLOCKED_MIN)
    }

    /// There should be one unless the peer says that nobody publishes there: silence is no excuse,
    /// because the peer may be alive and cut off.
    pub(crate) fn watch_lock(&mut self, local: LocalState<'_>, now: Duration) {
        let published = |(status, _): &(PeerStatus, Duration)| {
            matches!(status.state, State::Live | State::Holding)
        };
        let expected =
            self.peer.failed.is_some() || self.peer.status.as_ref().is_some_and(published);
        let locked = self.lock.since.is_some() && self.pending.is_none();
        match local.has_publisher && expected && !locked {
            true => _ = self.unlocked.get_or_insert(now),
            false => self.unlocked = None,
        }
    }

    pub(crate) fn compare(&mut self, status: &PeerStatus, local: LocalState<'_>, now: Duration) {
        let ready = matches!(status.state, State::Live) && status.settings == self.settings;
        if status.settings != self.settings {
            self.trouble = Some(PeerError::Settings);
        }
        let (Some(ours), Some(theirs)) = (local.open_run(), status.run.as_ref().filter(|_| ready))
        else {
            self.lock.since = None;
            return;
        };
        let we_lead = is_leader(
            Candidate {
                run: Some(ours),
                primary: self.primary,
            },
            Candidate {
                run: Some(theirs),
                primary: status.primary,
            },
        );
        self.lock.is_leader = we_lead;
        let may_rejoin = !we_lead && now >= self.backoff_until && local.has_publisher;
        if ours.run_id != theirs.run_id {
            self.lock.since = None;
            let known = |mark: &PublishedKeyframe| {
                status.marks.iter().any(|theirs| theirs.hash == mark.hash)
            };
            if self.history.marks().any(known) {
                self.trouble = Some(PeerError::OtherRun);
                self.rejoining = may_rejoin.then_some(Reason::Rejoin);
            } else {
                self.trouble = Some(PeerError::OtherMedia);
                self.rejoining = None;
            }
            return;
        }
        let wrong = self.compare_boundaries(status, now);
        self.compare_inits(ours, theirs);
        if wrong > 0 {
            self.lock.since = None;
            self.rejoining = may_rejoin.then_some(Reason::Diverged);
        }
    }

    /// Boundaries of the same number must be the same; how many are not.
    fn compare_boundaries(&mut self, status: &PeerStatus, now: Duration) -> u64 {
        let mut wrong = 0;
        for mark in self.history.marks() {
            let Some(ours) = mark.boundary.filter(|b| b.msn > self.lock.boundaries_to) else {
                continue;
            };
            let same = |theirs: &&KeyframeMark| {
                theirs.boundary.is_some_and(|theirs| theirs.msn == ours.msn)
            };
            let Some(theirs) = status.marks.iter().find(same) else {
                continue;
            };
            self.lock.boundaries_to = ours.msn;
            if theirs.boundary.map(comparable_fields) == Some(comparable_fields(ours))
                && theirs.hash == mark.hash
            {
                self.lock.agreements += 1;
                self.lock.since.get_or_insert(now);
                self.lock.offset_ms = Some(offset_ms(theirs, mark.at, now));
                self.backoff = BACKOFF_MIN;
            } else {
                self.lock.disagreements += 1;
                wrong += 1;
            }
        }
        wrong
    }

    fn compare_inits(&mut self, ours: &RunStatus, theirs: &RunStatus) {
        let differs = |(name, index): &(&String, &u32)| {
            theirs
                .inits
                .get(*name)
                .is_some_and(|theirs| theirs != *index)
        };
        if let Some((name, _)) = ours.inits.iter().find(differs) {
            self.trouble = Some(PeerError::Inits(name.clone()));
        }
    }

    /// Compares whole segments' digests, ours against the last answer's.
    pub fn compare_segments(&mut self, ours: &[SegmentDigest], now: Duration) {
        let Some((status, _)) = &self.peer.status else {
            return;
        };
        for local in ours {
            if local.msn <= self.lock.digests_to {
                continue;
            }
            let Some(theirs) = status.digests.iter().find(|theirs| theirs.msn == local.msn) else {
                continue;
            };
            let pairs = [(local.source, theirs.source), (local.audio, theirs.audio)];
            // A gap on one side is no contradiction: nothing is served there.
            let differ = pairs
                .into_iter()
                .any(|pair| matches!(pair, (Some(a), Some(b)) if a != b));
            self.lock.digests_to = local.msn;
            if differ {
                self.lock.disagreements += 1;
                self.lock.differing += 1;
            } else {
                self.lock.agreements += 1;
                self.lock.differing = 0;
            }
        }
        // One differs where frames were lost on one connection. Many in a row: the ticks differ.
        if self.lock.differing >= DIFFERING_MAX && self.lock.since.is_some() && !self.lock.is_leader
        {
            self.trouble = Some(PeerError::Segments);
            if now >= self.backoff_until {
                self.lock.differing = 0;
                self.rejoining = Some(Reason::Diverged);
            }
        }
    }
}

/// What must be alike in a boundary.
fn comparable_fields(boundary: Boundary) -> (i64, i64, u64, i64) {
    // The anchor may be told at another time; what it says of this boundary may not differ.
    let elapsed = (i128::from(boundary.time) - i128::from(boundary.anchor_time)) * 1_000_000;
    let elapsed = elapsed / i128::from(VIDEO_TIMESCALE.rate());
    let date = i128::from(boundary.anchor_micros) + elapsed;
    let date = i64::try_from(date).unwrap_or(0);
    (
        boundary.dts,
        boundary.time,
        boundary.discontinuity_sequence,
        date,
    )
}
