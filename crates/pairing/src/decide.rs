//! What becomes of held media: the peer's run is joined, or a run of one's own goes on.

use std::time::Duration;

use hls::{LastPosition, Tracks};

use crate::{
    BACKOFF_MAX, HOLD_MAX, HOLD_RECOGNISED_MAX, PEER_LOST, SETTLED_MIN,
    election::{Candidate, is_leader},
    machine::{Break, LocalState, Lock, Output, Pairing, PeerError},
    pending::{Join, Match, PendingMedia, PendingUnit, Reason, TimestampOffset},
    status::{RunStatus, State},
};

/// Questions in a row that found nobody, after which a hold waits no longer.
const REFUSALS_MAX: u32 = 2;

/// What a look at what both know came to.
enum Verdict {
    Wait,
    Proceed,
    /// Only a new run, above both, can bring both together.
    Renumber,
    Join(Join),
}

impl Pairing {
    pub(crate) fn begin(
        &mut self,
        reason: Reason,
        now: Duration,
        tracks: Tracks,
        recent: Vec<PendingUnit>,
    ) {
        self.pending = Some(PendingMedia::new(reason, now, tracks, recent));
        self.rejoining = None;
        self.peer.refusals = 0;
        self.next_ask = now;
    }

    pub(crate) fn pass(&mut self, held: PendingUnit) {
        let unit = self.timestamp_offset.apply(held.unit);
        self.outputs
            .push_back(Output::Unit(PendingUnit { unit, ..held }));
    }

    pub(crate) fn is_lost(&self, now: Duration) -> bool {
        let heard = self.peer.heard;
        heard.is_none_or(|heard| now.saturating_sub(heard) > PEER_LOST)
    }

    /// Lost, and its machine says that nobody is there: it serves nobody.
    pub(crate) fn is_gone(&self, now: Duration) -> bool {
        let refused = matches!(self.peer.failed, Some((PeerError::Unreachable(_), _)));
        self.is_lost(now) && (refused || self.peer.heard.is_none())
    }

    pub(crate) fn decide(&mut self, local: LocalState<'_>, now: Duration) {
        let Some(pending) = &self.pending else {
            return;
        };
        match self.judge(pending, local, now) {
            Verdict::Wait => {}
            Verdict::Proceed => self.proceed(local, now),
            Verdict::Renumber => self.renumber(local, now),
            Verdict::Join(join) => self.join(join, now),
        }
    }

    fn judge(&self, pending: &PendingMedia, local: LocalState<'_>, now: Duration) -> Verdict {
        let Some(since) = pending.sync_since else {
            // Nothing that could open a segment, unless no keyframe ever comes.
            return if pending.is_full() {
                Verdict::Proceed
            } else {
                Verdict::Wait
            };
        };
        let waited = now.saturating_sub(since);
        let patient = |limit: Duration| {
            if waited >= limit || pending.is_full() {
                Verdict::Proceed
            } else {
                Verdict::Wait
            }
        };
        if let Some((trouble, at)) = &self.peer.failed
            && *at >= pending.since
        {
            return match trouble {
                PeerError::Refused(_) => Verdict::Proceed,
                PeerError::Unreachable(_) if self.peer.refusals >= REFUSALS_MAX => Verdict::Proceed,
                _ => patient(HOLD_MAX),
            };
        }
        let Some((status, answered)) = self.peer.status.as_ref().filter(|(_, at)| *at >= since)
        else {
            return patient(HOLD_MAX);
        };
        if status.settings != self.settings {
            return Verdict::Proceed;
        }
        let ours = Candidate {
            run: local.open_run(),
            primary: self.primary,
        };
        let open = |state| !matches!(state, State::Absent);
        let theirs = Candidate {
            run: status.run.as_ref().filter(|_| open(status.state)),
            primary: status.primary,
        };
        let settled = self.settled(now) >= SETTLED_MIN
            && Duration::from_millis(status.settled_ms) >= SETTLED_MIN;
        match status.state {
            State::Absent => Verdict::Proceed,
            State::Holding | State::Waiting if is_leader(ours, theirs) => Verdict::Proceed,
            State::Waiting if ours.run.is_none() => Verdict::Proceed,
            State::Holding | State::Waiting => patient(HOLD_MAX),
            State::Live => match pending.find(status, *answered) {
                Match::Found(_) if !settled => patient(HOLD_MAX + HOLD_RECOGNISED_MAX),
                Match::Found(join) if is_above(&join, local) => Verdict::Join(join),
                Match::Found(_) if matches!(pending.reason, Reason::Rejoin) => Verdict::Renumber,
                Match::Found(_) => Verdict::Proceed,
                Match::Recognised => patient(HOLD_MAX + HOLD_RECOGNISED_MAX),
                Match::Unknown => patient(HOLD_MAX),
            },
        }
    }

    fn join(&mut self, join: Join, now: Duration) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.timestamp_offset = join.timestamp_offset;
        self.history.clear();
        self.lock = Lock {
            joins: self.lock.joins + 1,
            agreements: self.lock.agreements,
            disagreements: self.lock.disagreements,
            offset_ms: Some(join.offset_ms),
            since: Some(now),
            is_leader: false,
            ..Lock::default()
        };
        self.last_shared_at = Some(now);
        self.recent_audio.clear();
        let tracks = pending.tracks.clone();
        let units = pending.join(&join);
        self.outputs.push_back(Output::Join(join, tracks));
        self.outputs.extend(units.into_iter().map(Output::Unit));
    }

    fn renumber(&mut self, local: LocalState<'_>, now: Duration) {
        if let Some(pending) = &mut self.pending {
            pending.reason = Reason::Diverged;
        }
        self.proceed(local, now);
    }

    /// Publishes what is held without the peer's run.
    pub(crate) fn proceed(&mut self, local: LocalState<'_>, now: Duration) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let reason = pending.reason;
        let goes_on = match (local.open_run(), reason) {
            (None, _) | (_, Reason::Diverged) => false,
            (Some(_), Reason::Start | Reason::Rejoin) => true,
            (Some(run), Reason::Break(_)) => self.may_continue(run, pending.since),
        };
        if matches!(reason, Reason::Rejoin | Reason::Diverged) {
            self.backoff_until = now + self.backoff;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        let tracks = pending.tracks.clone();
        if !goes_on {
            let last_position = self.left_by_peer(local, pending.since);
            self.begin_own_run(local, tracks, last_position);
        } else if let Reason::Break(reason) = reason {
            self.outputs
                .push_back(Output::Break(Break { tracks, reason }));
        }
        for held in pending.release() {
            self.pass(held);
        }
    }

    /// Where the peer's viewers stand, if its publisher has gone and its numbers are above ours: an
    /// encoder that only fails over has come here, and they follow.
    fn left_by_peer(&self, local: LocalState<'_>, since: Duration) -> Option<LastPosition> {
        let fresh = self.peer.status.as_ref().filter(|(_, at)| *at >= since);
        let (status, _) = fresh.filter(|(status, _)| status.settings == self.settings)?;
        let run = status
            .run
            .as_ref()
            .filter(|run| run.served && status.state == State::Waiting)?;
        let (msn, discontinuity_sequence) = local.shown();
        let above = |last_position: &LastPosition| {
            last_position.msn >= msn
                && last_position.discontinuity_sequence >= discontinuity_sequence
        };
        run.last_position.filter(above)
    }

    pub(crate) fn begin_own_run(
        &mut self,
        local: LocalState<'_>,
        tracks: Tracks,
        last_position: Option<LastPosition>,
    ) {
        let theirs = self
            .peer
            .status
            .as_ref()
            .and_then(|(status, _)| status.run.as_ref());
        let runs = || [local.run, theirs].into_iter().flatten();
        let msn = runs().map(|run| run.next_msn).max();
        let sequence = runs().map(|run| run.discontinuity_sequence + 1).max();
        self.history.clear();
        self.timestamp_offset = TimestampOffset::default();
        self.lock.since = None;
        self.last_shared_at = None;
        self.outputs.push_back(Output::OwnRun {
            msn: msn.unwrap_or(0),
            discontinuity_sequence: sequence.unwrap_or(0),
            last_position,
            tracks,
        });
    }

    /// Nobody else carries our run: nobody ever did, or the peer has been gone, or has carried
    /// something else, for so long that our numbers have passed whatever it had.
    pub(crate) fn is_exclusive(&self, now: Duration) -> bool {
        let Some(last_shared_at) = self.last_shared_at else {
            return true;
        };
        let long = now.saturating_sub(last_shared_at) > PEER_LOST;
        long && (self.is_gone(now) || !self.is_lost(now))
    }

    /// Whether our run may go on behind a break: only if nobody else can give the same URLs other
    /// bytes, and nobody's numbers are above ours. `since` is when the break came.
    pub(crate) fn may_continue(&self, run: &RunStatus, since: Duration) -> bool {
        let fresh = self.peer.status.as_ref().filter(|(_, at)| *at >= since);
        let theirs = fresh.and_then(|(status, _)| Some((status, status.run.as_ref()?)));
        let Some((status, theirs)) = theirs else {
            return self.left_exclusive;
        };
        if theirs.run_id != run.run_id {
            return self.left_exclusive && run.next_msn > theirs.next_msn;
        }
        let reached = run.next_msn >= theirs.next_msn
            && run.discontinuity_sequence >= theirs.discontinuity_sequence;
        let ours = Candidate {
            run: Some(run),
            primary: self.primary,
        };
        let theirs = Candidate {
            run: Some(theirs),
            primary: status.primary,
        };
        status.state != State::Live && reached && is_leader(ours, theirs)
    }
}

/// Numbers never go back for anybody who has seen ours.
fn is_above(join: &Join, local: LocalState<'_>) -> bool {
    let (msn, discontinuity_sequence) = local.shown();
    let boundary = &join.boundary;
    boundary.msn >= msn && boundary.discontinuity_sequence >= discontinuity_sequence
}
