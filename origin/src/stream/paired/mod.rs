//! A stream that two origins carry: between the timeline and the run stands the pairing, which may
//! pending, move and rename what passes.

use std::time::{Duration, SystemTime};

use media::{AccessUnit, timeline};
use tracing::{info, warn};

use super::{core::Core, run::Run};
use pairing::{
    Break, LocalState, Output, Pairing, PeerError, PeerStatus, Placed, RunStatus, SegmentDigest,
};

impl Core {
    /// A unit of the timeline goes through the pairing.
    pub(super) fn take(&mut self, unit: AccessUnit, wall: SystemTime) {
        let has_run = self.run.as_ref().is_some_and(|run| !run.is_ending());
        let timeline = self.timeline.stats();
        let now = self.environment.clock.now();
        let tracks = self.tracks();
        if let Some(pairing) = &mut self.pairing {
            pairing.take(unit, (now, wall), &timeline, has_run, &tracks);
            if !pairing.is_holding() {
                self.pump();
                return;
            }
        }
        self.with_pairing(|pairing, local| pairing.tick(local, now));
    }

    /// The timeline broke.
    pub(super) fn broken(&mut self, reason: timeline::Reason) {
        let tracks = self.tracks();
        let mark = Break {
            tracks,
            reason: reason.name(),
        };
        let now = self.environment.clock.now();
        let contested = reason == timeline::Reason::Resumed;
        self.with_pairing(|pairing, local| pairing.broken(mark, now, local, contested));
    }

    /// The publisher is gone for now.
    pub(super) fn interrupt(&mut self, now: Duration) {
        self.with_pairing(|pairing, local| pairing.left(local, now));
        let shared = self
            .pairing
            .as_ref()
            .is_some_and(|pairing| pairing.is_shared(now));
        match &mut self.run {
            Some(run) if shared => run.interrupt_incomplete(),
            Some(run) => run.interrupt(),
            None => {}
        }
    }

    /// Time has passed.
    pub(super) fn tick_pairing(&mut self, now: Duration) {
        self.with_pairing(|pairing, local| pairing.tick(local, now));
        self.fix_constants(now);
        self.export_pairing(now);
    }

    /// See [`super::Stream::peer_question`].
    pub(super) fn peer_question(&mut self) -> Option<bool> {
        let now = self.environment.clock.now();
        self.with_pairing(|pairing, local| {
            pairing.tick(local, now);
            pairing.ask(now, local)
        })?
    }

    /// See [`super::Stream::peer_answered`].
    pub(super) fn peer_answered(&mut self, answer: Result<PeerStatus, PeerError>) {
        let now = self.environment.clock.now();
        self.with_pairing(|pairing, local| pairing.answered(answer, now, local));
        self.fix_constants(now);
    }

    /// See [`super::Stream::status_for_peer`].
    pub(super) fn status_for_peer(
        &mut self,
        with_audio: bool,
        digests: Vec<SegmentDigest>,
    ) -> Option<PeerStatus> {
        let now = self.environment.clock.now();
        self.with_pairing(|pairing, local| pairing.status(local, now, with_audio, digests))
    }

    /// See [`super::Stream::compare_digests`].
    pub(super) fn compare_digests(&mut self, digests: &[SegmentDigest]) {
        let now = self.environment.clock.now();
        if let Some(pairing) = &mut self.pairing {
            pairing.compare_segments(digests, now);
        }
    }

    /// Lets the pairing look at this stream's run, then does what it decided.
    fn with_pairing<T>(
        &mut self,
        act: impl FnOnce(&mut Pairing, LocalState<'_>) -> T,
    ) -> Option<T> {
        self.pairing.as_ref()?;
        let status: Option<RunStatus> = self.run.as_mut().map(|run| run.status(true));
        let local = LocalState {
            run: status.as_ref(),
            ended: self.run.as_ref().is_some_and(Run::is_ending),
            has_publisher: self.session().is_some(),
            shown_before: self.shown_before,
        };
        let done = act(self.pairing.as_mut()?, local);
        self.pump();
        Some(done)
    }

    /// Does what the pairing decided, in order.
    fn pump(&mut self) {
        while let Some(output) = self.pairing.as_mut().and_then(Pairing::next_output) {
            let wall = self.environment.clock.wall();
            match output {
                Output::OwnRun {
                    msn,
                    discontinuity_sequence,
                    last_position,
                    tracks,
                } => {
                    let goes_on = last_position.is_some();
                    info!(stream = self.name, goes_on, "numbering of our own");
                    match last_position {
                        Some(last) => self.start_after_peer(wall, last, tracks),
                        None => self.start_fresh(wall, (msn, discontinuity_sequence), tracks),
                    };
                }
                Output::Join(join, tracks) => {
                    let (msn, run_id, offset_ms) =
                        (join.boundary.msn, join.run_id.clone(), join.offset_ms);
                    info!(
                        stream = self.name,
                        msn, run_id, offset_ms, "joins the peer's run"
                    );
                    self.start_joined(wall, join, tracks);
                }
                Output::Break(Break { tracks, reason }) => {
                    if let Some(run) = self.run.as_mut().filter(|run| !run.is_ending()) {
                        run.discontinuity(tracks, reason);
                    }
                }
                Output::Unit(held) => {
                    let Some(run) = self.run.as_mut().filter(|run| !run.is_ending()) else {
                        continue;
                    };
                    let boundary = run.push(held.unit.clone(), held.wall);
                    if let Some(pairing) = &mut self.pairing {
                        pairing.placed(&held, Placed { boundary });
                    }
                }
            }
        }
    }

    fn fix_constants(&mut self, now: Duration) {
        let (Some(run), Some(pairing)) = (&mut self.run, &self.pairing) else {
            return;
        };
        if run.awaits_constants()
            && let Some(constants) = pairing.constants(run.run_id(), now)
        {
            if constants.is_none() {
                warn!(
                    stream = self.name,
                    "the peer is gone: choosing the target duration alone"
                );
            }
            run.fix_constants(constants);
        }
    }

    fn export_pairing(&mut self, now: Duration) {
        let Some(pairing) = &self.pairing else {
            return;
        };
        let (metrics, label) = (&self.environment.metrics, &[self.name.as_str()]);
        let report = pairing.report(now);
        let locked = i64::from(report.locked_seconds.is_some());
        metrics.pairing_locked.with_label_values(label).set(locked);
        let offset = report.offset_ms.unwrap_or(0);
        metrics.pairing_offset.with_label_values(label).set(offset);
        let counter = metrics.pairing_disagreements.with_label_values(label);
        counter.inc_by(report.disagreements.saturating_sub(counter.get()));
    }
}

#[cfg(test)]
mod tests;
