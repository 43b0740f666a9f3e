//! The run's side of its ladder: which rungs its source gets, and what the ladder says of them.

use encode::ladder::{self, Rung as LadderRung};
use media::Track;
use tracing::{debug, error, info, warn};

use super::Run;
use crate::{
    api::RungState,
    stream::rung::{self, Rung},
};

impl Run {
    /// Plans the rungs for the source as it is now and starts their ladder; the one before
    /// finishes.
    pub(super) fn start_ladder(&mut self) {
        let planned = self.plan(self.video.as_ref());
        self.add_rungs(&planned);
        let mut chosen = Vec::new();
        for (index, state) in self.rungs.iter_mut().enumerate() {
            let of = |(configured, _): &&(usize, LadderRung)| *configured == state.configured;
            match planned.iter().find(of) {
                Some((_, rung)) => {
                    state.resize(rung);
                    chosen.push((index, rung.clone()));
                }
                None => state.change(
                    RungState::Absent,
                    Some("the source is too small for it".into()),
                ),
            }
        }
        let Some(video) = &self.video else {
            self.ladders.retire(&self.ladder_reports);
            return;
        };
        if let Err(error) =
            self.ladders
                .start(&self.ladder_reports, video, chosen, self.ladder_threads)
        {
            error!(stream = self.stream, %error, "cannot start the ladder; only the pass-through is served");
        }
        for index in 0..self.rungs.len() {
            if !self.ladders.carries(index) {
                self.gap(index);
            }
        }
    }

    /// Gives the run the planned rungs that it has not had so far: its source has grown.
    fn add_rungs(&mut self, planned: &[(usize, LadderRung)]) {
        for (configured, rung) in planned {
            if self
                .rungs
                .iter()
                .any(|known| known.configured == *configured)
            {
                continue;
            }
            let mut state = Rung::new(*configured, rung);
            state.spec.name = rung::unused_name(&rung.name, &self.rungs);
            let (stream, name) = (self.stream.as_str(), state.spec.name.clone());
            match self.packager.add_rung(state.spec.clone()) {
                Ok(_) => {
                    info!(stream, rung = name, "rung added");
                    self.rungs.push(state);
                }
                Err(error) => error!(stream, rung = name, %error, "cannot add a rung"),
            }
        }
    }

    pub(super) fn plan(&self, video: Option<&Track>) -> Vec<(usize, LadderRung)> {
        let planned = rung::plan(video, &self.ladder_config, &self.immersive);
        let automatic = |planned: Vec<_>| match (planned.is_empty() && self.needs_idr, video) {
            (true, Some(video)) => rung::automatic(video),
            _ => Ok(planned),
        };
        planned.and_then(automatic).unwrap_or_else(|error| {
            error!(stream = self.stream, %error, "cannot plan the ladder; only the pass-through is served");
            Vec::new()
        })
    }

    /// The source's keyframes are no IDR pictures: players cannot start the pass-through. Where no
    /// rung carries the stream, one of the source's size does.
    pub(super) fn carry_by_rung(&mut self) {
        self.needs_idr = true;
        if (0..self.rungs.len()).any(|index| self.ladders.carries(index)) {
            return;
        }
        self.start_ladder();
        if self
            .rungs
            .iter()
            .any(|rung| rung.configured == rung::AUTOMATIC)
        {
            info!(
                stream = self.stream,
                "a rung of the source's size carries the stream"
            );
        } else {
            warn!(
                stream = self.stream,
                "this machine has too few cores for a rung of the source's size: nothing can be played; \
                 turn off open GOP and intra refresh in the encoder, or configure a smaller rung"
            );
        }
    }

    pub(super) fn apply(&mut self, event: ladder::Event) {
        use ladder::Event as E;
        let result = match event {
            E::Track { rung, track } => {
                self.set_state(rung, RungState::Running, None);
                self.packager.rung_track(rung, track)
            }
            E::AccessUnit { rung, unit } => self.packager.push_rung(rung, unit),
            E::Shed { rung, reason, .. } => {
                warn!(
                    stream = self.stream,
                    rung = self.rung_name(rung),
                    ?reason,
                    "rung shed"
                );
                self.note_shed(rung, format!("{reason:?}"));
                self.packager.rung_gap(rung)
            }
            E::Failed { rung, reason, .. } => {
                error!(
                    stream = self.stream,
                    rung = self.rung_name(rung),
                    reason,
                    "rung failed; it is tried again"
                );
                self.note_failed(rung, reason);
                self.packager.rung_gap(rung)
            }
            E::Resumed { rung, .. } => {
                info!(
                    stream = self.stream,
                    rung = self.rung_name(rung),
                    "rung is back"
                );
                self.set_state(rung, RungState::Running, None);
                Ok(())
            }
            E::Damaged { units, reason } => {
                warn!(
                    stream = self.stream,
                    units, reason, "cannot decode: rungs miss these access units"
                );
                Ok(())
            }
            E::Skipped { units } => {
                warn!(
                    stream = self.stream,
                    units, "decoding is too slow: access units passed over in all rungs"
                );
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = result {
            debug!(stream = self.stream, %error, "rung unit left out");
        }
        self.drain_events();
    }

    fn note_shed(&mut self, rung: usize, reason: String) {
        if let Some(state) = self.rungs.get_mut(rung) {
            state.sheds += 1;
            let labels = [self.stream.as_str(), state.spec.name.as_str()];
            let metrics = &self.environment.metrics;
            metrics.rung_sheds.with_label_values(&labels).inc();
        }
        self.set_state(rung, RungState::Shed, Some(reason));
    }

    fn note_failed(&mut self, rung: usize, reason: String) {
        if let Some(state) = self.rungs.get_mut(rung) {
            state.failures += 1;
            let labels = [self.stream.as_str(), state.spec.name.as_str()];
            let metrics = &self.environment.metrics;
            metrics.rung_failures.with_label_values(&labels).inc();
        }
        self.set_state(rung, RungState::Failed, Some(reason));
    }

    fn set_state(&mut self, rung: usize, state: RungState, reason: Option<String>) {
        if let Some(rung) = self.rungs.get_mut(rung) {
            let labels = [self.stream.as_str(), rung.spec.name.as_str()];
            let shed = i64::from(state == RungState::Shed);
            let metrics = &self.environment.metrics;
            metrics.rung_shed.with_label_values(&labels).set(shed);
            let failed = i64::from(state == RungState::Failed);
            metrics.rung_failed.with_label_values(&labels).set(failed);
            rung.change(state, reason);
        }
    }

    fn gap(&mut self, rung: usize) {
        if let Err(error) = self.packager.rung_gap(rung) {
            debug!(stream = self.stream, %error, "no gap marked");
        }
    }

    fn rung_name(&self, rung: usize) -> &str {
        self.rungs.get(rung).map_or("?", |state| &state.spec.name)
    }
}
