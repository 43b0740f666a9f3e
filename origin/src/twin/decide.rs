//! What becomes of held media: the peer's run is joined, or a run of one's own goes on.

use std::time::Duration;

use hls::{Tail, Tracks};

use super::{
    BACKOFF_MAX, HOLD_MAX, HOLD_RECOGNISED_MAX, PEER_LOST, SETTLED_MIN,
    facts::{RunFacts, State},
    hold::{Held, Hold, Join, Match, Reason, Shift},
    machine::{Break, Lock, Output, Own, Trouble, Twin},
    rank::{Side, leads},
};

/// Questions in a row that found nobody, after which a hold waits no longer.
const REFUSALS_MAX: u32 = 2;

/// What a look at the facts came to.
enum Verdict {
    Wait,
    Proceed,
    /// Only a new run, above both, can bring both together.
    Renumber,
    Join(Join),
}

impl Twin {
    pub(super) fn begin(
        &mut self,
        reason: Reason,
        now: Duration,
        tracks: Tracks,
        recent: Vec<Held>,
    ) {
        self.hold = Some(Hold::new(reason, now, tracks, recent));
        self.yielding = None;
        self.peer.refusals = 0;
        self.next_ask = now;
    }

    pub(super) fn pass(&mut self, held: Held) {
        let unit = self.shift.apply(held.unit);
        self.outputs.push_back(Output::Unit(Held { unit, ..held }));
    }

    pub(super) fn is_lost(&self, now: Duration) -> bool {
        let heard = self.peer.heard;
        heard.is_none_or(|heard| now.saturating_sub(heard) > PEER_LOST)
    }

    /// Lost, and its machine says that nobody is there: it serves nobody.
    pub(super) fn is_gone(&self, now: Duration) -> bool {
        let refused = matches!(self.peer.failed, Some((Trouble::Unreachable(_), _)));
        self.is_lost(now) && (refused || self.peer.heard.is_none())
    }

    pub(super) fn decide(&mut self, own: Own<'_>, now: Duration) {
        let Some(hold) = &self.hold else {
            return;
        };
        match self.judge(hold, own, now) {
            Verdict::Wait => {}
            Verdict::Proceed => self.proceed(own, now),
            Verdict::Renumber => self.renumber(own, now),
            Verdict::Join(join) => self.join(join, now),
        }
    }

    fn judge(&self, hold: &Hold, own: Own<'_>, now: Duration) -> Verdict {
        let Some(since) = hold.sync_since else {
            // Nothing that could open a segment, unless no keyframe ever comes.
            return if hold.is_full() {
                Verdict::Proceed
            } else {
                Verdict::Wait
            };
        };
        let waited = now.saturating_sub(since);
        let patient = |limit: Duration| {
            if waited >= limit || hold.is_full() {
                Verdict::Proceed
            } else {
                Verdict::Wait
            }
        };
        if let Some((trouble, at)) = &self.peer.failed
            && *at >= hold.since
        {
            return match trouble {
                Trouble::Refused(_) => Verdict::Proceed,
                Trouble::Unreachable(_) if self.peer.refusals >= REFUSALS_MAX => Verdict::Proceed,
                _ => patient(HOLD_MAX),
            };
        }
        let Some((facts, answered)) = self.peer.facts.as_ref().filter(|(_, at)| *at >= since)
        else {
            return patient(HOLD_MAX);
        };
        if facts.settings != self.settings {
            return Verdict::Proceed;
        }
        let ours = Side {
            run: own.open_run(),
            primary: self.primary,
        };
        let open = |state| !matches!(state, State::Absent);
        let theirs = Side {
            run: facts.run.as_ref().filter(|_| open(facts.state)),
            primary: facts.primary,
        };
        let settled = self.settled(now) >= SETTLED_MIN
            && Duration::from_millis(facts.settled_ms) >= SETTLED_MIN;
        match facts.state {
            State::Absent => Verdict::Proceed,
            State::Holding | State::Waiting if leads(ours, theirs) => Verdict::Proceed,
            State::Waiting if ours.run.is_none() => Verdict::Proceed,
            State::Holding | State::Waiting => patient(HOLD_MAX),
            State::Live => match hold.find(facts, *answered) {
                Match::Found(_) if !settled => patient(HOLD_MAX + HOLD_RECOGNISED_MAX),
                Match::Found(join) if is_above(&join, own) => Verdict::Join(join),
                Match::Found(_) if matches!(hold.reason, Reason::Yield) => Verdict::Renumber,
                Match::Found(_) => Verdict::Proceed,
                Match::Recognised => patient(HOLD_MAX + HOLD_RECOGNISED_MAX),
                Match::Unknown => patient(HOLD_MAX),
            },
        }
    }

    fn join(&mut self, join: Join, now: Duration) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        self.shift = join.shift;
        self.memory.clear();
        self.lock = Lock {
            joins: self.lock.joins + 1,
            agreements: self.lock.agreements,
            disagreements: self.lock.disagreements,
            offset_ms: Some(join.offset_ms),
            since: Some(now),
            leads: false,
            ..Lock::default()
        };
        self.carried = Some(now);
        self.recent_sound.clear();
        let tracks = hold.tracks.clone();
        let units = hold.join(&join);
        self.outputs.push_back(Output::Join(join, tracks));
        self.outputs.extend(units.into_iter().map(Output::Unit));
    }

    fn renumber(&mut self, own: Own<'_>, now: Duration) {
        if let Some(hold) = &mut self.hold {
            hold.reason = Reason::Poisoned;
        }
        self.proceed(own, now);
    }

    /// Publishes what is held without the peer's run.
    pub(super) fn proceed(&mut self, own: Own<'_>, now: Duration) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        let reason = hold.reason;
        let goes_on = match (own.open_run(), reason) {
            (None, _) | (_, Reason::Poisoned) => false,
            (Some(_), Reason::Start | Reason::Yield) => true,
            (Some(run), Reason::Break(_)) => self.may_continue(run, hold.since),
        };
        if matches!(reason, Reason::Yield | Reason::Poisoned) {
            self.backoff_until = now + self.backoff;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        let tracks = hold.tracks.clone();
        if !goes_on {
            let tail = self.left_by_peer(own, hold.since);
            self.begin_own(own, tracks, tail);
        } else if let Reason::Break(reason) = reason {
            self.outputs
                .push_back(Output::Break(Break { tracks, reason }));
        }
        for held in hold.release() {
            self.pass(held);
        }
    }

    /// Where the peer's viewers stand, if its publisher has gone and its numbers are above ours: an encoder that only
    /// fails over has come here, and they follow.
    fn left_by_peer(&self, own: Own<'_>, since: Duration) -> Option<Tail> {
        let fresh = self.peer.facts.as_ref().filter(|(_, at)| *at >= since);
        let (facts, _) = fresh.filter(|(facts, _)| facts.settings == self.settings)?;
        let run = facts
            .run
            .as_ref()
            .filter(|run| run.served && facts.state == State::Waiting)?;
        let (msn, discontinuity_sequence) = own.shown();
        let above =
            |tail: &Tail| tail.msn >= msn && tail.discontinuity_sequence >= discontinuity_sequence;
        run.tail.filter(above)
    }

    pub(super) fn begin_own(&mut self, own: Own<'_>, tracks: Tracks, tail: Option<Tail>) {
        let theirs = self
            .peer
            .facts
            .as_ref()
            .and_then(|(facts, _)| facts.run.as_ref());
        let runs = || [own.run, theirs].into_iter().flatten();
        let msn = runs().map(|run| run.next_msn).max();
        let sequence = runs().map(|run| run.discontinuity_sequence + 1).max();
        self.memory.clear();
        self.shift = Shift::default();
        self.lock.since = None;
        self.carried = None;
        self.outputs.push_back(Output::Own {
            msn: msn.unwrap_or(0),
            discontinuity_sequence: sequence.unwrap_or(0),
            tail,
            tracks,
        });
    }

    /// Nobody else carries our run: nobody ever did, or the peer has been gone, or has carried something
    /// else, for so long that our numbers have passed whatever it had.
    pub(super) fn is_exclusive(&self, now: Duration) -> bool {
        let Some(carried) = self.carried else {
            return true;
        };
        let long = now.saturating_sub(carried) > PEER_LOST;
        long && (self.is_gone(now) || !self.is_lost(now))
    }

    /// Whether our run may go on behind a break: only if nobody else can give the same URLs other bytes, and
    /// nobody's numbers are above ours. `since` is when the break came.
    pub(super) fn may_continue(&self, run: &RunFacts, since: Duration) -> bool {
        let fresh = self.peer.facts.as_ref().filter(|(_, at)| *at >= since);
        let theirs = fresh.and_then(|(facts, _)| Some((facts, facts.run.as_ref()?)));
        let Some((facts, theirs)) = theirs else {
            return self.left_exclusive;
        };
        if theirs.epoch != run.epoch {
            return self.left_exclusive && run.next_msn > theirs.next_msn;
        }
        let reached = run.next_msn >= theirs.next_msn
            && run.discontinuity_sequence >= theirs.discontinuity_sequence;
        let ours = Side {
            run: Some(run),
            primary: self.primary,
        };
        let theirs = Side {
            run: Some(theirs),
            primary: facts.primary,
        };
        facts.state != State::Live && reached && leads(ours, theirs)
    }
}

/// Numbers never go back for anybody who has seen ours.
fn is_above(join: &Join, own: Own<'_>) -> bool {
    let (msn, discontinuity_sequence) = own.shown();
    let boundary = &join.boundary;
    boundary.msn >= msn && boundary.discontinuity_sequence >= discontinuity_sequence
}
