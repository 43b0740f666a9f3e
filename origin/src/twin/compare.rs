//! Two origins that publish the same stream look again and again whether they still do so alike.

use std::time::Duration;

use hls::Boundary;
use media::VIDEO_TIMESCALE;

use super::{
    BACKOFF_MIN, UNLOCKED_MIN,
    facts::{DigestFacts, Facts, MarkFacts, RunFacts, State},
    hold::{Reason, offset_ms},
    machine::{Own, Twin},
    mark::Mark,
    rank::{Side, leads},
};

/// Whole segments in a row that may differ before the one who follows joins anew.
const DIFFERING_MAX: u32 = 3;

impl Twin {
    /// Whether a lock that there should be has been missing for longer than making one takes.
    pub fn is_unlocked(&self, now: Duration) -> bool {
        let since = self.unlocked;
        since.is_some_and(|since| now.saturating_sub(since) >= UNLOCKED_MIN)
    }

    /// There should be one unless the peer says that nobody publishes there: silence is no excuse, because
    /// the peer may be alive and cut off.
    pub(super) fn watch_lock(&mut self, own: Own<'_>, now: Duration) {
        let published =
            |(facts, _): &(Facts, Duration)| matches!(facts.state, State::Live | State::Holding);
        let expected =
            self.peer.failed.is_some() || self.peer.facts.as_ref().is_some_and(published);
        let locked = self.lock.since.is_some() && self.hold.is_none();
        match own.has_publisher && expected && !locked {
            true => _ = self.unlocked.get_or_insert(now),
            false => self.unlocked = None,
        }
    }

    pub(super) fn compare(&mut self, facts: &Facts, own: Own<'_>, now: Duration) {
        let ready = matches!(facts.state, State::Live) && facts.settings == self.settings;
        if facts.settings != self.settings {
            self.trouble = Some("the origins' segment or part targets differ".to_owned());
        }
        let (Some(ours), Some(theirs)) = (own.open_run(), facts.run.as_ref().filter(|_| ready))
        else {
            self.lock.since = None;
            return;
        };
        let we_lead = leads(
            Side {
                run: Some(ours),
                primary: self.primary,
            },
            Side {
                run: Some(theirs),
                primary: facts.primary,
            },
        );
        self.lock.leads = we_lead;
        let may_yield = !we_lead && now >= self.backoff_until && own.has_publisher;
        if ours.epoch != theirs.epoch {
            self.lock.since = None;
            let known = |mark: &Mark| facts.marks.iter().any(|theirs| theirs.hash == mark.hash);
            if self.memory.marks().any(known) {
                self.trouble = Some("the same stream under another name".to_owned());
                self.yielding = may_yield.then_some(Reason::Yield);
            } else {
                self.trouble = Some("the origins receive different streams".to_owned());
                self.yielding = None;
            }
            return;
        }
        let wrong = self.compare_boundaries(facts, now);
        self.compare_inits(ours, theirs);
        if wrong > 0 {
            self.lock.since = None;
            self.yielding = may_yield.then_some(Reason::Poisoned);
        }
    }

    /// Boundaries of the same number must be the same; how many are not.
    fn compare_boundaries(&mut self, facts: &Facts, now: Duration) -> u64 {
        let mut wrong = 0;
        for mark in self.memory.marks() {
            let Some(ours) = mark.boundary.filter(|b| b.msn > self.lock.boundaries_to) else {
                continue;
            };
            let same =
                |theirs: &&MarkFacts| theirs.boundary.is_some_and(|theirs| theirs.msn == ours.msn);
            let Some(theirs) = facts.marks.iter().find(same) else {
                continue;
            };
            self.lock.boundaries_to = ours.msn;
            if theirs.boundary.map(essence) == Some(essence(ours)) && theirs.hash == mark.hash {
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

    fn compare_inits(&mut self, ours: &RunFacts, theirs: &RunFacts) {
        let differs = |(name, index): &(&String, &u32)| {
            theirs
                .inits
                .get(*name)
                .is_some_and(|theirs| theirs != *index)
        };
        if let Some((name, _)) = ours.inits.iter().find(differs) {
            let words = "describe the stream differently: make their configurations equal";
            self.trouble = Some(format!("the origins' init segments of {name} {words}"));
        }
    }

    /// Compares whole segments' digests, ours against the last answer's.
    pub fn compare_segments(&mut self, ours: &[DigestFacts], now: Duration) {
        let Some((facts, _)) = &self.peer.facts else {
            return;
        };
        for own in ours {
            if own.msn <= self.lock.digests_to {
                continue;
            }
            let Some(theirs) = facts.digests.iter().find(|theirs| theirs.msn == own.msn) else {
                continue;
            };
            let pairs = [(own.source, theirs.source), (own.audio, theirs.audio)];
            // A gap on one side is no contradiction: nothing is served there.
            let differ = pairs
                .into_iter()
                .any(|pair| matches!(pair, (Some(a), Some(b)) if a != b));
            self.lock.digests_to = own.msn;
            if differ {
                self.lock.disagreements += 1;
                self.lock.differing += 1;
            } else {
                self.lock.agreements += 1;
                self.lock.differing = 0;
            }
        }
        // One differs where frames were lost on one connection. Many in a row: the ticks differ.
        if self.lock.differing >= DIFFERING_MAX && self.lock.since.is_some() && !self.lock.leads {
            self.trouble = Some("segments of one name differ".to_owned());
            if now >= self.backoff_until {
                self.lock.differing = 0;
                self.yielding = Some(Reason::Poisoned);
            }
        }
    }
}

/// What must be alike in a boundary.
fn essence(boundary: Boundary) -> (i64, i64, u64, i64) {
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
