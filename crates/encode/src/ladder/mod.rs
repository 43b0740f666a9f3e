//! Encodes one decoded source in several sizes that cut exactly where the source does.
//!
//! ```text
//! push --queue--> decode --queue--> scale in cascade --queue per rung--> encode --> sink(Event)
//! ```
//!
//! Every rung presents each picture, or every n-th, at the source's own time, and has a keyframe
//! exactly where the caller says a segment opens and nowhere else; that keyframe's decode time is
//! the source's too, so segment n of every rung covers the same media time (see `grid` and
//! `decode_times`). The configuration record depends on the rung and the source's record alone: two
//! origins write the same.
//!
//! A live ladder never makes its caller wait. When the machine cannot keep up, coded units wait in
//! the input queue; then rungs are dropped, the costliest first, and come back where a segment
//! opens (see `load_shedding`); if that does not help, decoding jumps to the next segment. A
//! damaged unit costs its pictures, never the ladder.
//!
//! What this does not do: decide where segments open, or follow a changed configuration: that is a
//! new ladder.

mod cascade;
mod decode_times;
mod grid;
mod load_shedding;
mod pictures;
mod plan;
mod rung;
mod source;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use media::{AccessUnit, Track};

pub use load_shedding::Overload;
pub use pictures::PictureLadder;
pub use plan::{
    BITRATE_MAX_PERCENT, BUFFER_MS, PRESET_DEFAULT, RUNGS_MAX, Rung, RungConfig, plan, plan_all,
    source_size,
};

use crate::{
    Error, Rotation,
    decode::Decoder,
    h264::{H264Encoder, Settings},
};
use source::Input;

/// Coded units that wait at most, about 8 s at 60 per second: above [`Overload::skip_lag`] they are
/// passed over.
pub const INPUT_UNITS_MAX: usize = 512;

/// Bytes of coded units that wait at most: 8 s at 64 Mb/s.
pub const INPUT_BYTES_MAX: usize = 64 << 20;

/// How long a dropped ladder waits for its threads. Each looks up once per picture, so this ends a
/// stuck driver only.
pub const DROP_WAIT_MAX: Duration = Duration::from_secs(2);

/// What a ladder tells, from its own threads. `rung` is the index in the rungs it was given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The rung's configuration, before its first access unit.
    Track {
        /// Which rung.
        rung: usize,
        /// Its track.
        track: Track,
    },
    /// One coded picture.
    AccessUnit {
        /// Which rung.
        rung: usize,
        /// The picture, in decoding order.
        unit: AccessUnit,
    },
    /// The rung has nothing from here until [`Event::Resumed`].
    Shed {
        /// Which rung.
        rung: usize,
        /// The first decode time not covered; not always a segment's start.
        from: i64,
        /// Why.
        reason: ShedReason,
    },
    /// The rung is back: its next access unit opens a segment.
    Resumed {
        /// Which rung.
        rung: usize,
        /// That access unit's decode time.
        at: i64,
    },
    /// The rung's encoder failed. Like [`Event::Shed`]: it is tried again, ever less often.
    Failed {
        /// Which rung.
        rung: usize,
        /// The first decode time not covered.
        from: i64,
        /// What the encoder said.
        reason: String,
    },
    /// Units that could not be decoded, at most once per second. Decoding goes on at the next
    /// keyframe.
    Damaged {
        /// Since the last report.
        units: u64,
        /// The last reason.
        reason: String,
    },
    /// Units that were passed over because decoding is too slow, at most once per second.
    Skipped {
        /// Since the last report.
        units: u64,
    },
}

/// Why a rung has a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedReason {
    /// The machine cannot encode all rungs.
    Overload,
    /// No picture of one or more segments could be decoded.
    NothingDecoded,
}

/// Whether time or completeness comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A live source: `push` returns at once, and overload costs rungs.
    Live(Overload),
    /// A stored source: `push` waits for room and nothing is ever left out.
    Offline,
}

/// How to run a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Live unless told otherwise.
    pub pace: Pace,
    /// Decoder threads; 0 is by the source's size. Each further one delays rungs by one picture.
    pub decoder_threads: u8,
    /// Threads of each rung's encoder; 0 is by its size. Each further one delays the rung by one
    /// picture.
    pub encoder_threads: u8,
    /// What the source's pictures need to be upright; rungs are planned for the upright size.
    pub rotation: Rotation,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pace: Pace::Live(Overload::default()),
            decoder_threads: 0,
            encoder_threads: 0,
            rotation: Rotation::NONE,
        }
    }
}

/// How a rung's encoder is opened; tests put others in its place.
pub(crate) type OpenEncoder =
    dyn Fn(&Settings) -> Result<Box<dyn rung::VideoEncoder>, Error> + Send + Sync;

type Sink = Mutex<Box<dyn FnMut(Event) + Send>>;

/// What a ladder's threads share.
struct Shared {
    /// The ladder was dropped: end without finishing.
    stop: AtomicBool,
    /// Decode time of the newest unit pushed.
    newest_dts: AtomicI64,
    /// Bytes in the input queue.
    input_bytes: AtomicUsize,
    ticks_per_second: media::Timescale,
    started: Instant,
    pace: Pace,
    sink: Sink,
}

impl Shared {
    fn new(
        ticks_per_second: media::Timescale,
        pace: Pace,
        sink: Box<dyn FnMut(Event) + Send>,
    ) -> Arc<Self> {
        Arc::new(Self {
            stop: AtomicBool::new(false),
            newest_dts: AtomicI64::new(i64::MIN),
            input_bytes: AtomicUsize::new(0),
            ticks_per_second,
            started: Instant::now(),
            pace,
            sink: Mutex::new(sink),
        })
    }

    fn tell(&self, event: Event) {
        // A sink that panicked once is the caller's to mend; the others' events still count.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink(event);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How much media was pushed after `dts`.
    fn lag(&self, dts: i64) -> Duration {
        let newest = self.newest_dts.load(Ordering::Relaxed);
        self.ticks_per_second.duration(newest.saturating_sub(dts))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A running ladder; see the module.
pub struct Ladder {
    shared: Arc<Shared>,
    /// `None` once finished.
    input: Option<mpsc::SyncSender<Input>>,
    threads: Vec<JoinHandle<()>>,
    /// Every thread holds the other end until it is gone.
    gone: mpsc::Receiver<()>,
    /// What has been left out since the input queue was full.
    lost: Option<source::Lost>,
}

impl std::fmt::Debug for Ladder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ladder")
            .field("threads", &self.threads.len())
            .field("newest_dts", &self.shared.newest_dts)
            .finish_non_exhaustive()
    }
}

impl Ladder {
    /// Starts a live ladder for `track`'s access units. `sink` is called from the ladder's threads,
    /// one at a time; what it does delays rungs, nothing else.
    pub fn spawn(
        track: &Track,
        rungs: Vec<Rung>,
        sink: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, Error> {
        Self::spawn_with(track, rungs, Options::default(), sink)
    }

    /// The same, with options.
    pub fn spawn_with(
        track: &Track,
        rungs: Vec<Rung>,
        options: Options,
        sink: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, Error> {
        Self::spawn_coding(track, rungs, options, Box::new(sink), open_encoder())
    }

    pub(crate) fn spawn_coding(
        track: &Track,
        rungs: Vec<Rung>,
        options: Options,
        sink: Box<dyn FnMut(Event) + Send>,
        open: Arc<OpenEncoder>,
    ) -> Result<Self, Error> {
        let video = track.as_video();
        let config = &video.ok_or(Error::Track("a ladder needs video"))?.config;
        let decoder = Decoder::open(config, decoder_threads(config, options.decoder_threads))?;
        let shared = Shared::new(track.timescale(), options.pace, sink);
        let (mut ladder, decoded, alive) = Self::spawn_rungs(&shared, rungs, options, open)?;
        let (input, units) = mpsc::sync_channel(INPUT_UNITS_MAX);
        ladder.input = Some(input);
        let source = source::Source::new(decoder, options.rotation, decoded, shared);
        ladder.start("ladder-decode".to_owned(), &alive, move || {
            source.run(&units)
        })?;
        Ok(ladder)
    }

    /// Starts everything behind the decoder: a ladder that takes nothing yet, and where pictures
    /// go.
    fn spawn_rungs(
        shared: &Arc<Shared>,
        rungs: Vec<Rung>,
        options: Options,
        open: Arc<OpenEncoder>,
    ) -> Result<
        (
            Self,
            mpsc::SyncSender<source::Decoded>,
            mpsc::SyncSender<()>,
        ),
        Error,
    > {
        if rungs.len() > RUNGS_MAX {
            let reason = format!("a ladder has at most {RUNGS_MAX} rungs");
            return Err(Error::setting("rungs", rungs.len(), reason));
        }
        let (alive, gone) = mpsc::sync_channel(0);
        let (decoded, pictures) = mpsc::sync_channel(source::PICTURES_MAX);
        // Dropped on an early return, which ends the threads started so far.
        let mut ladder = Self {
            shared: shared.clone(),
            input: None,
            threads: Vec::new(),
            gone,
            lost: None,
        };
        let mut queues = Vec::new();
        for (index, rung) in rungs.iter().enumerate() {
            let (queue, worker) =
                rung::rung_queue(index, rung.clone(), options, shared, open.clone());
            queues.push(queue);
            ladder.start(format!("rung-{}", rung.name), &alive, move || worker.run())?;
        }
        let cascade = cascade::Cascade::new(queues, shared.clone());
        ladder.start("ladder-scale".to_owned(), &alive, move || {
            cascade.run(&pictures)
        })?;
        Ok((ladder, decoded, alive))
    }

    fn start(
        &mut self,
        name: String,
        alive: &mpsc::SyncSender<()>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let alive = alive.clone();
        let spawned = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                work();
                drop(alive);
            });
        self.threads
            .push(spawned.map_err(|source| Error::Thread { name, source })?);
        Ok(())
    }

    /// Takes the source's next access unit in decoding order. `opens_segment` asks for a keyframe
    /// here in every rung; decoding starts at the first unit for which it is true.
    pub fn push(&mut self, unit: AccessUnit, opens_segment: bool) {
        let Some(input) = &self.input else { return };
        self.shared.newest_dts.store(unit.dts, Ordering::Relaxed);
        let bytes = unit.payload.len();
        if self.shared.pace == Pace::Offline {
            self.shared.input_bytes.fetch_add(bytes, Ordering::Relaxed);
            let _ = input.send(Input::new(unit, opens_segment));
            return;
        }
        let queued = self.shared.input_bytes.load(Ordering::Relaxed);
        // What follows a lost unit cannot be decoded until a segment opens.
        if queued + bytes > INPUT_BYTES_MAX || (self.lost.is_some() && !opens_segment) {
            return self.lose(unit.dts, opens_segment);
        }
        let dts = unit.dts;
        let mut job = Input::new(unit, opens_segment);
        job.lost = self.lost.take();
        self.shared.input_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Err(error) = input.try_send(job) {
            self.shared.input_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let (mpsc::TrySendError::Full(job) | mpsc::TrySendError::Disconnected(job)) = error;
            self.lost = job.lost;
            self.lose(dts, opens_segment);
        }
    }

    fn lose(&mut self, dts: i64, opens_segment: bool) {
        let lost = self.lost.get_or_insert_default();
        lost.units += 1;
        if opens_segment {
            lost.opener_dts.get_or_insert(dts);
        }
    }

    /// No more units will come. Returns when all of them have been encoded and told.
    pub fn finish(mut self) {
        self.input = None;
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                tracing::error!("a ladder thread panicked; its rungs are incomplete");
            }
        }
    }
}

impl Drop for Ladder {
    /// Ends the threads without finishing; waits at most [`DROP_WAIT_MAX`].
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.input = None;
        if self.threads.is_empty() {
            return;
        }
        // Nothing is ever sent: the call ends when the last thread lets go of its end.
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.gone.recv_timeout(DROP_WAIT_MAX) {
            tracing::error!("ladder threads are stuck in a codec; left to themselves");
        }
    }
}

/// Opens the encoders of FFmpeg.
fn open_encoder() -> Arc<OpenEncoder> {
    Arc::new(|settings: &Settings| Ok(Box::new(H264Encoder::open(settings)?)))
}

/// One thread for what one core surely decodes, as many as needed beyond that.
fn decoder_threads(config: &media::VideoConfig, asked: u8) -> u8 {
    if asked > 0 {
        return asked;
    }
    let rate = config.frame_rate().unwrap_or((30, 1));
    threads_to_decode(config.dimensions(), rate)
}

pub(crate) fn threads_to_decode((width, height): (u32, u32), rate: (u32, u32)) -> u8 {
    let (pictures, seconds) = rate;
    let pixels =
        u64::from(width) * u64::from(height) * u64::from(pictures) / u64::from(seconds.max(1));
    let wanted = pixels
        .div_ceil(DECODED_PIXELS_PER_SECOND)
        .min(cores().into());
    u8::try_from(wanted).unwrap_or(u8::MAX).max(1)
}

/// What one core decodes with time to spare.
const DECODED_PIXELS_PER_SECOND: u64 = 150_000_000;

/// Cores to use, at most as many as a codec profits from.
fn cores() -> u8 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u8::try_from(cores).unwrap_or(u8::MAX).min(16)
}

#[cfg(test)]
mod tests;
