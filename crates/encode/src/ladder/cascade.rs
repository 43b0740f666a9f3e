//! Scales each decoded picture once into every rung's size, each from the next larger, and hands it
//! to that rung's encoder. Runs on a thread of its own.
//!
//! This thread also meets the back pressure: a full queue before an encoder stops it, coded units
//! pile up before the decoder, and the age of the picture at hand says by how much the machine is
//! behind.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use super::{
    Pace, Shared,
    grid::Slot,
    load_shedding::LoadShedder,
    rung::{Ending, Offer, RungQueue},
    source::Decoded,
};
use crate::{Error, Picture, reproject::Reprojector, scale::Scaler};

/// How long to wait for room before looking at the backlog again. An encoder that takes a picture
/// wakes this thread.
const ROOM_WAIT: Duration = Duration::from_millis(20);

struct Step {
    queue: RungQueue,
    scaler: Scaler,
    reprojector: Option<Reprojector>,
    /// Pictures since the segment opened.
    place: u32,
}

pub(super) struct Cascade {
    /// The largest first, as planned.
    steps: Vec<Step>,
    shedder: Option<LoadShedder>,
    shared: Arc<Shared>,
}

impl Cascade {
    pub(super) fn new(queues: Vec<RungQueue>, shared: Arc<Shared>) -> Self {
        let shedder = match shared.pace {
            Pace::Live(limits) => Some(LoadShedder::new(limits, queues.len())),
            Pace::Offline => None,
        };
        let steps = queues.into_iter().map(|queue| Step {
            scaler: Scaler::new(queue.rung().width, queue.rung().height),
            reprojector: queue.rung().reprojection.map(Reprojector::new),
            place: 0,
            queue,
        });
        Self {
            steps: steps.collect(),
            shedder,
            shared,
        }
    }

    pub(super) fn run(mut self, pictures: &mpsc::Receiver<Decoded>) {
        for step in &self.steps {
            step.queue.set_feeder(std::thread::current());
        }
        while let Ok(decoded) = pictures.recv() {
            if self.shared.is_stopped() {
                return;
            }
            match decoded {
                Decoded::Picture(picture, slot) => self.picture(&picture, slot),
                Decoded::End(dts) => {
                    for index in 0..self.steps.len() {
                        self.end(index, dts);
                    }
                    return;
                }
            }
        }
    }

    fn picture(&mut self, picture: &Picture, slot: Slot) {
        self.resume(slot);
        self.observe(slot, None);
        let mut wanted = Vec::with_capacity(self.steps.len());
        for step in &mut self.steps {
            step.place = if slot.opens_segment {
                0
            } else {
                step.place.wrapping_add(1)
            };
            let keep = step.place % step.queue.rung().keep_every.max(1) == 0;
            wanted.push(keep && step.queue.is_active());
        }
        // The last scaled picture and what was done to it; a smaller rung starts from there.
        let mut larger: Option<(Picture, usize)> = None;
        for index in 0..self.steps.len() {
            if !wanted.get(index).copied().unwrap_or(false) {
                continue;
            }
            match self.scale(index, picture, larger.as_ref()) {
                Ok(scaled) => {
                    match scaled.share() {
                        Ok(shared) => self.feed(index, shared, slot),
                        Err(error) => self.fail(index, slot, &error),
                    }
                    larger = Some((scaled, index));
                }
                Err(error) => self.fail(index, slot, &error),
            }
        }
    }

    fn scale(
        &mut self,
        index: usize,
        picture: &Picture,
        larger: Option<&(Picture, usize)>,
    ) -> Result<Picture, Error> {
        let alike = larger.filter(|(_, other)| {
            let of = |index: usize| self.steps.get(index).map(|s| s.queue.rung().reprojection);
            of(*other) == of(index)
        });
        let Some(step) = self.steps.get_mut(index) else {
            return picture.share();
        };
        match (alike, &mut step.reprojector) {
            (Some((larger, _)), _) => step.scaler.run(larger),
            (None, Some(reprojector)) => step.scaler.run(&reprojector.run(picture)?),
            (None, None) => step.scaler.run(picture),
        }
    }

    /// Hands a picture to a rung's encoder and waits for room, unless the rung must go.
    fn feed(&mut self, index: usize, picture: Picture, slot: Slot) {
        let mut offer = Offer::picture(picture, slot);
        while let Some(step) = self.steps.get_mut(index) {
            if self.shared.is_stopped() || !step.queue.is_active() {
                return;
            }
            match step.queue.offer(offer) {
                None => return,
                Some(back) => offer = back,
            }
            std::thread::park_timeout(ROOM_WAIT);
            self.observe(slot, Some(index));
        }
    }

    fn end(&mut self, index: usize, dts: i64) {
        let mut offer = Offer::end(dts);
        while let Some(step) = self.steps.get_mut(index) {
            if self.shared.is_stopped() || !step.queue.is_active() {
                return;
            }
            match step.queue.offer(offer) {
                None => return,
                Some(back) => offer = back,
            }
            std::thread::park_timeout(ROOM_WAIT);
        }
    }

    /// Judges the backlog and drops a rung where it must be. `stuck` is the rung without room.
    fn observe(&mut self, slot: Slot, stuck: Option<usize>) {
        let now = self.shared.now();
        let lag = self.shared.lag(slot.dts);
        for (index, step) in self.steps.iter_mut().enumerate() {
            if step.queue.take_failure()
                && let Some(shedder) = &mut self.shedder
            {
                shedder.shed(now, index);
            }
        }
        let Some(shedder) = &mut self.shedder else {
            return;
        };
        if let Some(victim) = shedder.observe(now, lag, |index| Some(index) == stuck)
            && let Some(step) = self.steps.get_mut(victim)
        {
            tracing::warn!(
                rung = step.queue.rung().name,
                lag_ms = lag.as_millis() as u64,
                "rung dropped: encoding is behind; use fewer rungs, a faster preset or more cores"
            );
            step.queue.end(slot.dts, Ending::Overload);
        }
    }

    fn resume(&mut self, slot: Slot) {
        if !slot.opens_segment {
            return;
        }
        let now = self.shared.now();
        let Some(shedder) = &mut self.shedder else {
            return;
        };
        if let Some(index) = shedder.resume(now)
            && let Some(step) = self.steps.get_mut(index)
        {
            if !step.queue.is_idle() {
                // Its encoder has not even ended the last run.
                return shedder.shed(now, index);
            }
            tracing::info!(rung = step.queue.rung().name, "rung is back");
            step.queue.resume();
        }
    }

    fn fail(&mut self, index: usize, slot: Slot, error: &Error) {
        let now = self.shared.now();
        if let Some(step) = self.steps.get_mut(index) {
            step.queue.end(slot.dts, Ending::Failed(error.to_string()));
        }
        if let Some(shedder) = &mut self.shedder {
            shedder.shed(now, index);
        }
    }
}
