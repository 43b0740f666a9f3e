//! A range of a recording -> every rung's access units of exactly that range, and single pictures
//! of it.
//!
//! Slices are encoded independently and laid end to end: decoding starts at the keyframe the range
//! starts with, and all decode times are the recording's own. So the slices of one recording, made
//! anywhere and in any order, join without gap or overlap, and share one configuration record per
//! rung.
//!
//! What this does not do: plan slices, or decide where segments open beyond "at these keyframes".

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use media::{AccessUnit, Kind, Track, VIDEO_TIMESCALE};

use crate::{
    Error, Picture,
    decode::{Decoder, Sent},
    error::Attempt,
    ladder::{Event, Ladder, Options, Pace, Rung},
    stored::Recording,
};

/// Units read in search of one picture at most: ten seconds at 60 per second.
const PICTURE_UNITS_MAX: usize = 600;

/// One thing a slice gives. `rung` is the index in the rungs it was given.
#[derive(Clone, Debug)]
pub enum Output {
    /// A rung's configuration, before its first access unit.
    Track {
        /// Which rung.
        rung: usize,
        /// Its track.
        track: Track,
    },
    /// One coded picture of a rung.
    AccessUnit {
        /// Which rung.
        rung: usize,
        /// The picture, in decoding order.
        unit: AccessUnit,
    },
    /// A video access unit of the recording itself, for the rendition that is not encoded again.
    Source(AccessUnit),
}

/// What a slice was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Video access units of the recording in the range.
    pub units: u64,
    /// Those that could not be decoded.
    pub damaged: u64,
    /// Cancelled before the end.
    pub is_cancelled: bool,
}

/// Encodes the video whose decode times (in [`media::VIDEO_TIMESCALE`]) are in `range`, which
/// starts with a keyframe.
///
/// `opens_segment` is asked for each keyframe's decode time. `output` gets everything in order per
/// rung, from several threads but one at a time. With `cancel` set the slice ends early: what has
/// come out is then incomplete.
pub fn encode(
    recording: &mut Recording,
    range: Range<i64>,
    rungs: Vec<Rung>,
    opens_segment: impl Fn(i64) -> bool,
    cancel: &AtomicBool,
    output: impl FnMut(Output) + Send,
) -> Result<Summary, Error> {
    let track = recording
        .video()
        .ok_or(Error::Track("a slice needs H.264 video"))?
        .clone();
    let options = Options {
        pace: Pace::Stored,
        ..Options::default()
    };
    // Rungs' events go through a queue, so that `output` may borrow.
    let (sender, events) = mpsc::sync_channel(EVENTS_MAX);
    let mut ladder = Ladder::spawn_with(&track, rungs, options, move |event| {
        // Without a receiver the slice is being given up.
        let _ = sender.send(event);
    })?;
    std::thread::scope(|scope| {
        let sink = Arc::new(std::sync::Mutex::new(output));
        let other = sink.clone();
        let told = scope.spawn(move || drain(&events, &other));
        let fed = feed(recording, &range, &mut ladder, opens_segment, cancel, &sink);
        match &fed {
            Ok(summary) if !summary.is_cancelled => ladder.finish(),
            _ => drop(ladder),
        }
        let drained = told
            .join()
            .unwrap_or_else(|_| Err(Error::Recording("writing a slice panicked".to_owned())));
        let mut summary = fed?;
        summary.damaged = drained?;
        Ok(summary)
    })
}

/// Coded pictures that wait for the caller at most.
const EVENTS_MAX: usize = 64;

type Sink<F> = std::sync::Mutex<F>;

fn tell<F: FnMut(Output)>(sink: &Sink<F>, output: Output) {
    let mut sink = sink
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    sink(output);
}

fn feed<F: FnMut(Output)>(
    recording: &mut Recording,
    range: &Range<i64>,
    ladder: &mut Ladder,
    opens_segment: impl Fn(i64) -> bool,
    cancel: &AtomicBool,
    sink: &Sink<F>,
) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    recording.seek(range.start)?;
    while let Some(unit) = recording.read()? {
        if cancel.load(Ordering::Relaxed) {
            summary.is_cancelled = true;
            break;
        }
        if unit.kind == Kind::Audio || unit.dts < range.start {
            continue;
        }
        if unit.dts >= range.end {
            break;
        }
        summary.units += 1;
        let opens = unit.is_sync && (unit.dts == range.start || opens_segment(unit.dts));
        tell(sink, Output::Source(unit.clone()));
        ladder.push(unit, opens);
    }
    Ok(summary)
}

/// Passes rungs' output on; how many units were damaged.
fn drain<F: FnMut(Output)>(events: &mpsc::Receiver<Event>, sink: &Sink<F>) -> Result<u64, Error> {
    let mut damaged = 0;
    let mut failed = None;
    for event in events {
        match event {
            Event::Track { rung, track } => tell(sink, Output::Track { rung, track }),
            Event::AccessUnit { rung, unit } => tell(sink, Output::AccessUnit { rung, unit }),
            Event::Damaged { units, .. } => damaged += units,
            Event::Failed { reason, .. } => failed = Some(reason),
            Event::Shed { .. } | Event::Resumed { .. } | Event::Skipped { .. } => {}
        }
    }
    match failed {
        Some(reason) => Err(Error::Recording(format!("a rung failed: {reason}"))),
        None => Ok(damaged),
    }
}

/// How far before a range its sound is looked for: containers interleave far closer.
const SOUND_BEFORE: i64 = 4 * VIDEO_TIMESCALE.rate() as i64;

/// The sound whose decode times are in `range` (in [`media::VIDEO_TIMESCALE`]), as stored.
///
/// Sound is not encoded again: so it has no seams, and ranges laid end to end have every access
/// unit once.
pub fn sound(recording: &mut Recording, range: Range<i64>) -> Result<Vec<AccessUnit>, Error> {
    let Some(timescale) = recording.audio().map(|track| track.timescale) else {
        return Ok(Vec::new());
    };
    recording.seek(range.start.saturating_sub(SOUND_BEFORE))?;
    let mut units = Vec::new();
    while let Some(unit) = recording.read()? {
        if unit.kind == Kind::Video {
            // Far past the end there is no more to come, even where the sound stops early.
            if unit.dts >= range.end.saturating_add(SOUND_BEFORE) {
                break;
            }
            continue;
        }
        let at = timescale.rescale(unit.dts, VIDEO_TIMESCALE);
        if at >= range.end {
            break;
        }
        if at >= range.start {
            units.push(unit);
        }
    }
    Ok(units)
}

/// The picture shown at `at` (in [`media::VIDEO_TIMESCALE`]), or the first after it that can be
/// decoded.
pub fn picture(recording: &mut Recording, at: i64) -> Result<Picture, Error> {
    let track = recording
        .video()
        .ok_or(Error::Track("a picture needs H.264 video"))?;
    let config = track
        .avc()
        .ok_or(Error::Track("a picture needs H.264 video"))?;
    let mut decoder = Decoder::open(config, 1)?;
    recording.seek(at)?;
    let mut shown = std::collections::VecDeque::new();
    let mut last = None;
    for number in 0..PICTURE_UNITS_MAX as i64 {
        let unit = match recording.read()? {
            Some(unit) if unit.kind == Kind::Video => unit,
            Some(_) => continue,
            None => {
                decoder
                    .send_end()
                    .attempt(|| "decode a picture".to_owned())?;
                while let Ok(Some((picture, _))) = decoder.receive() {
                    last = Some(picture);
                }
                break;
            }
        };
        shown.push_back((number, unit.pts));
        if !matches!(decoder.send(&unit.payload, number), Ok(Sent::Taken)) {
            decoder.flush();
            continue;
        }
        while let Ok(Some((picture, number))) = decoder.receive() {
            let pts = shown
                .iter()
                .find(|(n, _)| *n == number)
                .map(|(_, pts)| *pts);
            if pts.is_some_and(|pts| pts >= at) {
                return Ok(picture);
            }
            last = Some(picture);
        }
    }
    last.ok_or_else(|| Error::Recording("no picture of it can be decoded".to_owned()))
}
