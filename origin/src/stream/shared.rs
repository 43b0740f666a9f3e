//! A stream that two origins carry: between the timeline and the run stands the twin, which may hold, move
//! and rename what passes.

use std::time::{Duration, SystemTime};

use media::{AccessUnit, timeline};
use tracing::{info, warn};

use super::{core::Core, left::Left, run::Run};
use crate::twin::{Break, DigestFacts, Facts, Output, Own, Placed, RunFacts, Trouble, Twin};

impl Core {
    /// A unit of the timeline goes through the twin.
    pub(super) fn take(&mut self, unit: AccessUnit, wall: SystemTime) {
        let has_run = self.run.as_ref().is_some_and(|run| !run.is_ending());
        let timeline = self.timeline.stats();
        let now = self.environment.clock.now();
        if let Some(twin) = &mut self.twin {
            twin.take(unit, (now, wall), &timeline, has_run, &self.announced);
            if !twin.is_holding() {
                self.pump();
                return;
            }
        }
        self.with_twin(|twin, own| twin.tick(own, now));
    }

    /// The timeline broke.
    pub(super) fn broken(&mut self, reason: timeline::Reason) {
        let tracks = self.announced.clone();
        let mark = Break {
            tracks,
            reason: reason.name(),
        };
        let now = self.environment.clock.now();
        let contested = reason == timeline::Reason::Resumed;
        self.with_twin(|twin, own| twin.broken(mark, now, own, contested));
    }

    /// The publisher is gone for now.
    pub(super) fn interrupt(&mut self, now: Duration) {
        self.with_twin(|twin, own| twin.left(own, now));
        let shared = self.twin.as_ref().is_some_and(|twin| twin.is_shared(now));
        match &mut self.run {
            Some(run) if shared => run.interrupt_incomplete(),
            Some(run) => run.interrupt(),
            None => {}
        }
    }

    /// Time has passed.
    pub(super) fn tick_twin(&mut self, now: Duration) {
        self.with_twin(|twin, own| twin.tick(own, now));
        self.settle_constants(now);
        self.export_twin(now);
    }

    /// See [`super::Stream::twin_ask`].
    pub(super) fn twin_ask(&mut self) -> Option<bool> {
        let now = self.environment.clock.now();
        self.with_twin(|twin, own| {
            twin.tick(own, now);
            twin.ask(now, own)
        })?
    }

    /// See [`super::Stream::twin_answered`].
    pub(super) fn twin_answered(&mut self, answer: Result<Facts, Trouble>) {
        let now = self.environment.clock.now();
        self.with_twin(|twin, own| twin.answered(answer, now, own));
        self.settle_constants(now);
    }

    /// See [`super::Stream::twin_facts`].
    pub(super) fn twin_facts(&mut self, sounds: bool, digests: Vec<DigestFacts>) -> Option<Facts> {
        let now = self.environment.clock.now();
        self.with_twin(|twin, own| twin.facts(own, now, sounds, digests))
    }

    /// See [`super::Stream::twin_compare`].
    pub(super) fn twin_compare(&mut self, digests: &[DigestFacts]) {
        let now = self.environment.clock.now();
        if let Some(twin) = &mut self.twin {
            twin.compare_segments(digests, now);
        }
    }

    /// Lets the twin look at this stream's run, then does what it decided.
    fn with_twin<T>(&mut self, act: impl FnOnce(&mut Twin, Own<'_>) -> T) -> Option<T> {
        self.twin.as_ref()?;
        let facts: Option<RunFacts> = self.run.as_mut().map(|run| run.facts(true));
        let own = Own {
            run: facts.as_ref(),
            ended: self.run.as_ref().is_some_and(Run::is_ending),
            has_publisher: self.session().is_some(),
            shown_before: self.shown_before,
        };
        let done = act(self.twin.as_mut()?, own);
        self.pump();
        Some(done)
    }

    /// Does what the twin decided, in order.
    fn pump(&mut self) {
        while let Some(output) = self.twin.as_mut().and_then(Twin::next) {
            let wall = self.environment.clock.wall();
            match output {
                Output::Own {
                    msn,
                    discontinuity_sequence,
                    tail,
                    tracks,
                } => {
                    let goes_on = tail.is_some();
                    info!(stream = self.name, goes_on, "numbering of our own");
                    let left = tail.map(Left::Tail);
                    self.start_own(wall, (msn, discontinuity_sequence), left, tracks);
                }
                Output::Join(join, tracks) => {
                    let (msn, epoch, offset_ms) =
                        (join.boundary.msn, join.epoch.clone(), join.offset_ms);
                    info!(
                        stream = self.name,
                        msn, epoch, offset_ms, "joins the peer's run"
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
                    if let Some(twin) = &mut self.twin {
                        twin.placed(&held, Placed { boundary });
                    }
                }
            }
        }
    }

    fn settle_constants(&mut self, now: Duration) {
        let (Some(run), Some(twin)) = (&mut self.run, &self.twin) else {
            return;
        };
        if run.awaits_constants()
            && let Some(constants) = twin.constants(run.epoch(), now)
        {
            if constants.is_none() {
                warn!(
                    stream = self.name,
                    "the peer is gone: choosing the target duration alone"
                );
            }
            run.settle_constants(constants);
        }
    }

    fn export_twin(&mut self, now: Duration) {
        let Some(twin) = &self.twin else {
            return;
        };
        let (metrics, label) = (&self.environment.metrics, &[self.name.as_str()]);
        let report = twin.report(now);
        let locked = i64::from(report.locked_seconds.is_some());
        metrics.twin_locked.with_label_values(label).set(locked);
        let offset = report.offset_ms.unwrap_or(0);
        metrics.twin_offset.with_label_values(label).set(offset);
        let counter = metrics.twin_disagreements.with_label_values(label);
        counter.inc_by(report.disagreements.saturating_sub(counter.get()));
    }
}
