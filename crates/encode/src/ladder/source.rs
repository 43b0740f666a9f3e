//! Decodes the source on a thread of its own and gives each picture its place in the grid.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use media::{AccessUnit, RandomAccess};

use super::{
    Event, Pace, Shared,
    grid::{Grid, Slot, Unit},
};
use crate::{
    Picture, Rotation,
    decode::{Decoder, Sent},
    deinterlace::Deinterlacer,
    rotation::Rotator,
};

/// Decoded pictures that wait for scaling at most. At 4K each has 11 MB, and one is enough to keep
/// both sides busy.
pub(super) const PICTURES_MAX: usize = 3;

/// Damage and skips are told this often at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// One pushed unit.
pub(super) struct Input {
    pub unit: AccessUnit,
    pub opens_segment: bool,
    /// What could not be queued just before it.
    pub lost: Option<Lost>,
}

impl Input {
    pub(super) fn new(unit: AccessUnit, opens_segment: bool) -> Self {
        Self {
            unit,
            opens_segment,
            lost: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub units: u64,
    /// The first of them that opens a segment.
    pub opener_dts: Option<i64>,
}

/// What the scaling thread gets.
pub(super) enum Decoded {
    Picture(Picture, Slot),
    /// The source's end: the last unit's decode time plus its duration.
    End(i64),
}

enum State {
    /// Nothing decoded yet, or skipping because decoding is late: waits for a segment's start.
    AwaitingSegment,
    /// Damaged: waits for the next keyframe.
    AwaitingSync,
    /// Decoding.
    Decoding,
}

pub(super) struct Source {
    decoder: Decoder,
    deinterlacer: Deinterlacer,
    rotator: Option<Rotator>,
    pictures: mpsc::SyncSender<Decoded>,
    shared: Arc<Shared>,
    grid: Grid,
    state: State,
    is_begun: bool,
    number: i64,
    end_dts: i64,
    damaged: Report,
    skipped: Report,
    damage: String,
}

/// Counts something and says when to tell.
#[derive(Default)]
struct Report {
    count: u64,
    told_at: Option<Duration>,
}

impl Report {
    fn due(&mut self, now: Duration, at_once: bool) -> Option<u64> {
        let quiet = self
            .told_at
            .is_none_or(|at| now.saturating_sub(at) >= REPORT_INTERVAL);
        if self.count == 0 || !(quiet || at_once) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

/// The scaling thread is gone, or the ladder was dropped.
struct Gone;

impl Source {
    pub(super) fn new(
        decoder: Decoder,
        rotation: Rotation,
        pictures: mpsc::SyncSender<Decoded>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            decoder,
            deinterlacer: Deinterlacer::new(),
            rotator: (!rotation.is_none()).then(|| Rotator::new(rotation)),
            pictures,
            shared,
            grid: Grid::default(),
            state: State::AwaitingSegment,
            is_begun: false,
            number: 0,
            end_dts: 0,
            damaged: Report::default(),
            skipped: Report::default(),
            damage: String::new(),
        }
    }

    pub(super) fn run(mut self, units: &mpsc::Receiver<Input>) {
        while let Ok(input) = units.recv() {
            let bytes = input.unit.payload.len();
            self.shared.input_bytes.fetch_sub(bytes, Ordering::Relaxed);
            if self.shared.is_stopped() || self.take(input).is_err() {
                return;
            }
            self.report(false);
        }
        if !self.shared.is_stopped() {
            let _ = self.finish();
        }
    }

    fn take(&mut self, input: Input) -> Result<(), Gone> {
        if let Some(lost) = input.lost {
            self.lose(lost);
        }
        let unit = Unit {
            number: self.number,
            dts: input.unit.dts,
            pts: input.unit.pts,
            opens_segment: input.opens_segment,
            is_sync: input.unit.is_sync(),
        };
        let may_start = input.unit.random_access != RandomAccess::No;
        self.number += 1;
        self.end_dts = unit.dts.saturating_add(i64::from(input.unit.duration));
        self.follow(&unit, may_start);
        if !matches!(self.state, State::Decoding) {
            if self.is_begun {
                self.grid.skip(unit);
                let late = matches!(self.state, State::AwaitingSegment);
                let report = if late {
                    &mut self.skipped
                } else {
                    &mut self.damaged
                };
                report.count += 1;
            }
            return Ok(());
        }
        self.is_begun = true;
        self.grid.expect(unit);
        self.decode(&input.unit, unit.number)
    }

    /// Whether to decode, skip or wait. Decoding may start at recovery points too: the decoder
    /// gives out no picture before it is right (H.264 §D.2.8).
    fn follow(&mut self, unit: &Unit, may_start: bool) {
        let is_late = match self.shared.pace {
            Pace::Live(limits) => self.shared.lag(unit.dts) > limits.skip_lag,
            Pace::Offline => false,
        };
        let ready = match self.state {
            State::AwaitingSegment => unit.opens_segment && may_start,
            State::AwaitingSync => may_start,
            State::Decoding => true,
        };
        self.state = match (is_late, ready) {
            (false, true) => State::Decoding,
            (false, false) => return,
            (true, _) => {
                if matches!(self.state, State::Decoding) {
                    self.decoder.flush();
                }
                State::AwaitingSegment
            }
        };
    }

    fn lose(&mut self, lost: Lost) {
        if !self.is_begun {
            return;
        }
        self.skipped.count += lost.units;
        if let Some(dts) = lost.opener_dts {
            self.grid.skip(Unit {
                number: -1,
                dts,
                pts: dts,
                opens_segment: true,
                is_sync: false,
            });
        }
        self.decoder.flush();
        self.state = State::AwaitingSegment;
    }

    fn decode(&mut self, unit: &AccessUnit, number: i64) -> Result<(), Gone> {
        loop {
            match self.decoder.send(&unit.payload, number) {
                Ok(Sent::Taken) => return self.drain().map(|_| ()),
                Ok(Sent::Full) if self.drain()? > 0 => {}
                // A decoder that neither takes nor gives is broken; start it afresh.
                Ok(Sent::Full) => {
                    self.damage("decoder takes no input".to_owned());
                    return Ok(());
                }
                Err(error) => {
                    self.drain()?;
                    self.damage(error.to_string());
                    return Ok(());
                }
            }
        }
    }

    /// Hands on all finished pictures; how many.
    fn drain(&mut self) -> Result<usize, Gone> {
        let mut count = 0;
        loop {
            match self.decoder.receive() {
                Ok(Some((picture, number))) => {
                    count += 1;
                    self.deinterlace(picture, number)?;
                    if self.shared.is_stopped() {
                        return Err(Gone);
                    }
                }
                Ok(None) => return Ok(count),
                Err(error) => {
                    self.damage(error.to_string());
                    return Ok(count);
                }
            }
        }
    }

    /// Hands on the picture, or where pictures are interlaced the one before it.
    fn deinterlace(&mut self, picture: Picture, number: i64) -> Result<(), Gone> {
        match self.deinterlacer.push(picture, number) {
            Ok(whole) => self.place(whole),
            Err(error) => {
                self.deinterlacer = Deinterlacer::new();
                self.damage(error.to_string());
                Ok(())
            }
        }
    }

    fn place(&mut self, pictures: Vec<(Picture, i64)>) -> Result<(), Gone> {
        for (picture, number) in pictures {
            if let Some(slot) = self.grid.picture(number) {
                self.hand_on(picture, slot)?;
            }
        }
        Ok(())
    }

    fn hand_on(&mut self, mut picture: Picture, slot: Slot) -> Result<(), Gone> {
        picture.assume_color();
        let upright = match &mut self.rotator {
            Some(rotator) => rotator.run(&picture),
            None => Ok(picture),
        };
        match upright {
            Ok(picture) => {
                let sent = self.pictures.send(Decoded::Picture(picture, slot));
                sent.map_err(|_| Gone)
            }
            Err(error) => {
                self.damage(error.to_string());
                Ok(())
            }
        }
    }

    fn damage(&mut self, reason: String) {
        self.damaged.count += 1;
        self.damage = reason;
        self.decoder.flush();
        self.state = State::AwaitingSync;
    }

    fn report(&mut self, at_once: bool) {
        let now = self.shared.now();
        if let Some(units) = self.damaged.due(now, at_once) {
            let reason = self.damage.clone();
            self.shared.tell(Event::Damaged { units, reason });
        }
        if let Some(units) = self.skipped.due(now, at_once) {
            self.shared.tell(Event::Skipped { units });
        }
    }

    fn finish(&mut self) -> Result<(), Gone> {
        if self.decoder.send_end().is_ok() {
            self.drain()?;
        }
        if let Ok(last) = self.deinterlacer.finish() {
            self.place(last)?;
        }
        self.report(true);
        self.pictures
            .send(Decoded::End(self.end_dts))
            .map_err(|_| Gone)
    }
}
