//! Encodes one rung on a thread of its own, behind a queue.
//!
//! A run is the time between two gaps; each run has an encoder of its own, and its first picture
//! opens a segment. A coded picture is held until the next one's decode time is known, so that
//! durations have neither gap nor overlap.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::Thread,
};

use media::{AccessUnit, MediaKind, RandomAccess, Track, VideoTrack};

use super::{
    Event, OpenEncoder, Options, Rung, Shared, ShedReason, cores, decode_times::DecodeTimes,
    grid::Slot,
};
use crate::{
    Error, Picture,
    h264::{CodedPicture, H264Encoder},
};

/// Pictures that wait for an encoder at most. At 1920x960 each has 2.8 MB; more would only hide a
/// slow encoder from the backlog that decides.
pub(super) const QUEUE_PICTURES_MAX: usize = 8;

/// Pixels per second above which an encoder gets a second thread, and so on. One core encodes more
/// than that with the default preset.
const ENCODED_PIXELS_PER_SECOND: u64 = 80_000_000;

/// What a rung needs of an encoder.
pub(crate) trait VideoEncoder: Send {
    /// The configuration record of what comes out.
    fn config(&self) -> &media::avc::Config;
    /// Places by which a picture may come out later than it is presented.
    fn reorder_depth(&self) -> u32;
    /// Takes a picture; `number` is above all earlier ones.
    fn send(&mut self, picture: &Picture, number: i64, keyframe: bool) -> Result<(), Error>;
    /// The next coded picture in decoding order, if any is ready.
    fn receive(&mut self) -> Result<Option<CodedPicture>, Error>;
    /// No more pictures will come.
    fn send_end(&mut self) -> Result<(), Error>;
}

impl VideoEncoder for H264Encoder {
    fn config(&self) -> &media::avc::Config {
        H264Encoder::config(self)
    }
    fn reorder_depth(&self) -> u32 {
        H264Encoder::reorder_depth(self)
    }
    fn send(&mut self, picture: &Picture, number: i64, keyframe: bool) -> Result<(), Error> {
        H264Encoder::send(self, picture, number, keyframe)
    }
    fn receive(&mut self) -> Result<Option<CodedPicture>, Error> {
        H264Encoder::receive(self)
    }
    fn send_end(&mut self) -> Result<(), Error> {
        H264Encoder::send_end(self)
    }
}

/// Why a run ends.
#[derive(Debug)]
pub(super) enum Ending {
    Finished,
    Overload,
    Failed(String),
}

enum Work {
    Picture {
        run: u64,
        picture: Picture,
        slot: Slot,
    },
    End {
        run: u64,
        at: i64,
        ending: Ending,
    },
}

/// Work for a rung whose queue may have no room yet.
pub(super) struct Offer(Work);

impl Offer {
    pub(super) fn picture(picture: Picture, slot: Slot) -> Self {
        Self(Work::Picture {
            run: 0,
            picture,
            slot,
        })
    }

    pub(super) fn end(at: i64) -> Self {
        let ending = Ending::Finished;
        Self(Work::End { run: 0, at, ending })
    }
}

/// What both ends share. Runs count from 1; 0 is none.
#[derive(Default)]
struct Control {
    /// This run and all before it were ended from outside.
    ended_run: AtomicU64,
    /// This run's encoder failed.
    failed_run: AtomicU64,
    /// Work queued or in hand.
    depth: AtomicUsize,
    feeder: OnceLock<Thread>,
}

/// The scaling thread's end of a rung.
pub(super) struct RungQueue {
    rung: Rung,
    queue: mpsc::SyncSender<Work>,
    control: Arc<Control>,
    run: u64,
    is_active: bool,
}

/// A rung's queue and the worker at its other end.
pub(super) fn rung_queue(
    index: usize,
    rung: Rung,
    options: Options,
    shared: &Arc<Shared>,
    open: Arc<OpenEncoder>,
) -> (RungQueue, Worker) {
    let (queue, work) = mpsc::sync_channel(QUEUE_PICTURES_MAX);
    let control = Arc::new(Control::default());
    let threads = match options.encoder_threads {
        0 => {
            let wanted = rung.pixel_rate().div_ceil(ENCODED_PIXELS_PER_SECOND);
            u8::try_from(wanted.min(cores().into())).unwrap_or(1).max(1)
        }
        asked => asked,
    };
    let worker = Worker {
        index,
        rung: rung.clone(),
        threads,
        work,
        control: control.clone(),
        shared: shared.clone(),
        open,
        active: None,
        track: None,
        last_run: 0,
    };
    let queue = RungQueue {
        rung,
        queue,
        control,
        run: 1,
        is_active: true,
    };
    (queue, worker)
}

impl RungQueue {
    pub(super) fn rung(&self) -> &Rung {
        &self.rung
    }

    /// Who is to be woken when there is room again.
    pub(super) fn set_feeder(&self, feeder: Thread) {
        let _ = self.control.feeder.set(feeder);
    }

    /// The rung takes pictures.
    pub(super) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Whether the encoder has failed since the last call; then the rung takes no more pictures.
    pub(super) fn take_failure(&mut self) -> bool {
        let failed = self.is_active && self.control.failed_run.load(Ordering::Acquire) == self.run;
        self.is_active &= !failed;
        failed
    }

    /// Queues work, or gives it back where there is no room.
    pub(super) fn offer(&mut self, Offer(mut work): Offer) -> Option<Offer> {
        let (Work::Picture { run, .. } | Work::End { run, .. }) = &mut work;
        *run = self.run;
        self.control.depth.fetch_add(1, Ordering::AcqRel);
        match self.queue.try_send(work) {
            Ok(()) => None,
            Err(mpsc::TrySendError::Full(work)) => {
                self.control.depth.fetch_sub(1, Ordering::AcqRel);
                Some(Offer(work))
            }
            Err(mpsc::TrySendError::Disconnected(_)) => {
                self.is_active = false;
                None
            }
        }
    }

    /// Ends the run. What is queued is not encoded any more; at the latest it ends at `dts`.
    pub(super) fn end(&mut self, dts: i64, ending: Ending) {
        self.is_active = false;
        self.control.ended_run.store(self.run, Ordering::Release);
        // A full queue needs no message: its first picture tells where the run ends.
        let at = dts;
        let _ = self.offer(Offer(Work::End { run: 0, at, ending }));
    }

    /// Nothing of the last run is left in queue or encoder.
    pub(super) fn is_idle(&self) -> bool {
        self.control.depth.load(Ordering::Acquire) == 0
    }

    /// Begins a new run: the next picture opens a segment.
    pub(super) fn resume(&mut self) {
        self.run += 1;
        self.is_active = true;
    }
}

/// A picture given to the encoder that has not come out.
#[derive(Clone, Copy)]
struct Submitted {
    number: i64,
    slot: Slot,
    /// The decode time of this place in decoding order.
    decode: i64,
}

/// A run's encoder and what is in it.
struct Active {
    run: u64,
    encoder: Box<dyn VideoEncoder>,
    decode_times: DecodeTimes,
    next_number: i64,
    /// In the order submitted: their decode times go to the coded pictures in the order these come
    /// out.
    times: VecDeque<Submitted>,
    /// The same, to find a coded picture's own by number. At most as many as the encoder holds.
    shown: VecDeque<Submitted>,
    held: Option<AccessUnit>,
}

pub(super) struct Worker {
    index: usize,
    rung: Rung,
    threads: u8,
    work: mpsc::Receiver<Work>,
    control: Arc<Control>,
    shared: Arc<Shared>,
    open: Arc<OpenEncoder>,
    active: Option<Active>,
    track: Option<Track>,
    last_run: u64,
}

impl Worker {
    pub(super) fn run(mut self) {
        while let Ok(work) = self.work.recv() {
            if self.shared.is_stopped() {
                return;
            }
            match work {
                Work::Picture { run, picture, slot } => self.picture(run, &picture, slot),
                Work::End { run, at, ending } => self.end(run, at, ending),
            }
            self.control.depth.fetch_sub(1, Ordering::AcqRel);
            if let Some(feeder) = self.control.feeder.get() {
                feeder.unpark();
            }
        }
    }

    fn picture(&mut self, run: u64, picture: &Picture, slot: Slot) {
        if self.control.ended_run.load(Ordering::Acquire) >= run {
            return self.end(run, slot.dts, Ending::Overload);
        }
        if self.control.failed_run.load(Ordering::Acquire) == run {
            return;
        }
        let is_open = self.active.as_ref().is_some_and(|active| active.run == run);
        if !is_open && !slot.opens_segment {
            return;
        }
        let outcome = match is_open {
            true => Ok(()),
            false => self.begin(run, picture, slot),
        };
        if let Err(error) = outcome.and_then(|()| self.encode(picture, slot)) {
            self.fail(run, slot.dts, error.to_string());
        }
    }

    fn begin(&mut self, run: u64, picture: &Picture, slot: Slot) -> Result<(), Error> {
        let settings = self.rung.settings(picture.color(), self.threads);
        let encoder = (self.open)(&settings)?;
        let track = Track::Video(VideoTrack {
            timescale: self.shared.ticks_per_second,
            config: encoder.config().clone().into(),
        });
        let rung = self.index;
        if self.track.as_ref() != Some(&track) {
            self.track = Some(track.clone());
            self.shared.tell(Event::Track { rung, track });
        }
        if self.last_run > 0 {
            self.shared.tell(Event::Resumed { rung, at: slot.dts });
        }
        self.last_run = run;
        self.active = Some(Active {
            run,
            decode_times: DecodeTimes::new(encoder.reorder_depth()),
            encoder,
            next_number: 0,
            times: VecDeque::new(),
            shown: VecDeque::new(),
            held: None,
        });
        Ok(())
    }

    fn encode(&mut self, picture: &Picture, slot: Slot) -> Result<(), Error> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let number = active.next_number;
        active.next_number += 1;
        let submitted = Submitted {
            number,
            slot,
            decode: active.decode_times.next(&slot),
        };
        active.times.push_back(submitted);
        active.shown.push_back(submitted);
        // What was held waited for this picture's decode time.
        if active.times.len() == 1 {
            self.release();
        }
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        active.encoder.send(picture, number, slot.opens_segment)?;
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Error> {
        while let Some(active) = &mut self.active {
            let Some(coded) = active.encoder.receive()? else {
                return Ok(());
            };
            let unit = active.place(&self.rung.encoder, coded)?;
            active.held = Some(unit);
            self.release();
        }
        Ok(())
    }

    /// Gives out the held unit where the next one's decode time is known, which it lasts until.
    fn release(&mut self) {
        let Some(active) = &mut self.active else {
            return;
        };
        let rung = self.index;
        let Some((next, decode)) = active.next_decode() else {
            return;
        };
        let Some(held) = active.held.take() else {
            return;
        };
        let unit = lasting_until(held, next.hole_from.unwrap_or(decode));
        self.shared.tell(Event::AccessUnit { rung, unit });
        if let Some(from) = next.hole_from {
            let reason = ShedReason::NothingDecoded;
            self.shared.tell(Event::Shed { rung, from, reason });
            self.shared.tell(Event::Resumed { rung, at: next.dts });
        }
    }

    /// Ends a run: what is in the encoder comes out, the last of it lasting until `at`.
    fn end(&mut self, run: u64, at: i64, ending: Ending) {
        if self.active.as_ref().is_none_or(|active| active.run != run) {
            return;
        }
        let flushed = match &mut self.active {
            Some(active) => active.encoder.send_end(),
            None => Ok(()),
        };
        if let Err(error) = flushed.and_then(|()| self.drain()) {
            return self.fail(run, at, error.to_string());
        }
        let rung = self.index;
        if let Some(held) = self.active.take().and_then(|active| active.held) {
            let unit = lasting_until(held, at);
            self.shared.tell(Event::AccessUnit { rung, unit });
        }
        match ending {
            Ending::Finished => {}
            Ending::Overload => {
                let reason = ShedReason::Overload;
                self.shared.tell(Event::Shed {
                    rung,
                    from: at,
                    reason,
                });
            }
            Ending::Failed(reason) => {
                self.shared.tell(Event::Failed {
                    rung,
                    from: at,
                    reason,
                });
            }
        }
    }

    /// The encoder cannot go on. What it still holds is lost, and the gap starts there.
    fn fail(&mut self, run: u64, dts: i64, reason: String) {
        let rung = self.index;
        let mut from = dts;
        if let Some(active) = self.active.take() {
            from = active
                .times
                .front()
                .map_or(dts, |submitted| submitted.decode);
            if let Some(held) = active.held {
                let unit = lasting_until(held, from);
                self.shared.tell(Event::AccessUnit { rung, unit });
            }
        }
        self.last_run = run;
        self.control.failed_run.store(run, Ordering::Release);
        tracing::warn!(rung = self.rung.name, %reason, "rung failed");
        self.shared.tell(Event::Failed { rung, from, reason });
    }
}

impl Active {
    /// The next place in decoding order and its decode time, which stays as it is from now on.
    ///
    /// A segment's last place is taken by the one picture of it that has not come out. It may be
    /// decoded as late as it is presented, so that the last unit is no longer than it must be.
    fn next_decode(&mut self) -> Option<(Slot, i64)> {
        let after = self.times.get(1);
        let is_last = after.is_some_and(|after| after.slot.opens_segment);
        let left = self.shown.front().map(|submitted| submitted.slot.pts);
        let next = self.times.front_mut()?;
        if let (true, false, Some(left)) = (is_last, next.slot.opens_segment, left) {
            next.decode = next.decode.max(left.min(next.slot.dts));
        }
        Some((next.slot, next.decode))
    }

    /// Gives a coded picture its times.
    fn place(&mut self, encoder: &str, coded: CodedPicture) -> Result<AccessUnit, Error> {
        let wrong = |reason: &str| Error::Configuration {
            encoder: encoder.to_owned(),
            reason: reason.to_owned(),
        };
        let at = self
            .shown
            .iter()
            .position(|submitted| submitted.number == coded.number);
        let own = at.and_then(|at| self.shown.remove(at));
        let (Some(own), Some(due)) = (own, self.times.pop_front()) else {
            return Err(wrong("it gave a picture that it was not given"));
        };
        if own.slot.opens_segment && !(coded.is_sync && own.number == due.number) {
            return Err(wrong("it made no keyframe where it was told to"));
        }
        Ok(AccessUnit {
            kind: MediaKind::Video,
            dts: due.decode,
            pts: own.slot.pts,
            duration: 1,
            random_access: RandomAccess::idr_if(coded.is_sync),
            payload: coded.payload,
        })
    }
}

fn lasting_until(mut unit: AccessUnit, end: i64) -> AccessUnit {
    let ticks = end.saturating_sub(unit.dts).max(1);
    unit.duration = u32::try_from(ticks).unwrap_or(u32::MAX);
    unit
}
