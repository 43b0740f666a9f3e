//! The ladders of a run, in order: when the source changes, the old one finishes before the new one
//! is heard.
//!
//! Ladders tell their events from their own threads. A generation number says which ladder an event
//! is from; events of a younger one are held until its elders have said their last, so that every
//! rung's access units stay in order.

use std::{collections::VecDeque, sync::Arc};

use encode::ladder::{Event, Ladder, Options, Rung};
use media::{AccessUnit, Track};
use tracing::error;

/// What a ladder's threads say, with the ladder's generation.
#[derive(Debug)]
pub enum LadderReport {
    /// Something happened.
    Event(u64, Event),
    /// Nothing more comes.
    Finished(u64),
}

/// Takes what ladders say, on their threads.
#[derive(Clone)]
pub struct LadderSink(Arc<dyn Fn(LadderReport) + Send + Sync>);

impl LadderSink {
    /// Hands each report to `take`.
    pub fn new(take: impl Fn(LadderReport) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    fn report(&self, report: LadderReport) {
        (self.0)(report);
    }
}

impl std::fmt::Debug for LadderSink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LadderSink")
    }
}

/// Events held for a ladder whose elder has not finished: the elder has at most its queues to
/// empty, a second or two, while the younger makes rungs x 60 events a second.
const HELD_MAX: usize = 4096;

/// The running ladder and those that still finish.
#[derive(Debug, Default)]
pub struct Ladders {
    running: Option<Running>,
    generation: u64,
    /// Generations up to here belong to a run before.
    before: u64,
    /// Generations that have not said their last, oldest first.
    unfinished: VecDeque<u64>,
    held: VecDeque<(u64, Event)>,
}

#[derive(Debug)]
struct Running {
    ladder: Ladder,
    /// The run's rung index of each of this ladder's rungs.
    rungs: Vec<usize>,
}

impl Ladders {
    /// Ladders of a run that follows one with ladders up to this generation.
    pub fn after(generation: u64) -> Self {
        Self {
            generation,
            before: generation,
            ..Self::default()
        }
    }

    /// The newest ladder's generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Starts a ladder for `source`; the one before finishes first. `rungs` pairs each rung with
    /// its index in the run.
    pub fn start(
        &mut self,
        reports: &LadderSink,
        source: &Track,
        rungs: Vec<(usize, Rung)>,
        threads: u8,
    ) -> Result<(), encode::Error> {
        self.retire(reports);
        if rungs.is_empty() {
            return Ok(());
        }
        self.generation += 1;
        let generation = self.generation;
        let (indices, rungs): (Vec<_>, Vec<_>) = rungs.into_iter().unzip();
        let places = indices.clone();
        let to = reports.clone();
        let sink = move |event| to.report(LadderReport::Event(generation, in_run(event, &places)));
        let options = Options {
            decoder_threads: threads,
            encoder_threads: threads,
            ..Options::default()
        };
        let ladder = Ladder::spawn_with(source, rungs, options, sink)?;
        self.unfinished.push_back(generation);
        self.running = Some(Running {
            ladder,
            rungs: indices,
        });
        Ok(())
    }

    /// No more units for the running ladder; it finishes on a thread of its own. Whether there is
    /// one to wait for.
    pub fn retire(&mut self, reports: &LadderSink) -> bool {
        if let Some(Running { ladder, .. }) = self.running.take() {
            let (generation, reports) = (self.generation, reports.clone());
            let finish = move || {
                ladder.finish();
                reports.report(LadderReport::Finished(generation));
            };
            // Without a thread the ladder is dropped: its rungs end early, and nobody waits for
            // them.
            if let Err(reason) = std::thread::Builder::new()
                .name("ladder-finish".into())
                .spawn(finish)
            {
                error!(%reason, "cannot start a thread to finish the ladder");
                self.unfinished
                    .retain(|unfinished| *unfinished != generation);
            }
        }
        !self.unfinished.is_empty()
    }

    /// Gives the running ladder the source's next unit.
    pub fn push(&mut self, unit: &AccessUnit, opens_segment: bool) {
        if let Some(running) = &mut self.running {
            running.ladder.push(unit.clone(), opens_segment);
        }
    }

    /// Whether the run's rung has an encoder now.
    pub fn carries(&self, rung: usize) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.rungs.contains(&rung))
    }

    /// Takes an event of `generation`; `None` while an elder has not finished.
    pub fn admit(&mut self, generation: u64, event: Event) -> Option<Event> {
        if generation <= self.before {
            return None;
        }
        if self
            .unfinished
            .front()
            .is_none_or(|eldest| *eldest >= generation)
        {
            return Some(event);
        }
        if self.held.len() < HELD_MAX {
            self.held.push_back((generation, event));
        }
        None
    }

    /// `generation` has said its last. The events that waited for it, in order.
    pub fn finished(&mut self, generation: u64) -> Vec<Event> {
        self.unfinished
            .retain(|unfinished| *unfinished != generation);
        let eldest = self.unfinished.front().copied().unwrap_or(u64::MAX);
        let waited = self
            .held
            .iter()
            .take_while(|(generation, _)| *generation <= eldest)
            .count();
        self.held.drain(..waited).map(|(_, event)| event).collect()
    }

    /// Whether every ladder has said its last.
    pub fn is_idle(&self) -> bool {
        self.unfinished.is_empty()
    }
}

/// The same event with the run's rung index instead of the ladder's.
fn in_run(mut event: Event, places: &[usize]) -> Event {
    match &mut event {
        Event::Track { rung, .. }
        | Event::AccessUnit { rung, .. }
        | Event::Shed { rung, .. }
        | Event::Resumed { rung, .. }
        | Event::Failed { rung, .. } => *rung = places.get(*rung).copied().unwrap_or(usize::MAX),
        _ => {}
    }
    event
}
