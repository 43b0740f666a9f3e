//! Turns a stream's access units into renditions that agree with each other.
//!
//! ```text
//!            source video --> segmenter --> numbering: one timing per segment, shared by all
//!                                               |
//!        +--------------+-----------------+-----+
//!        v              v                 v
//!     `source`        rungs            `audio`
//!   cut there         same decode      cut at the first frame at or after the segment's
//!   itself            times            presentation time, held until the video has passed it
//! ```
//!
//! What is missing becomes a gap, so that every rendition numbers every segment alike:
//!
//! - a rung that is lost, or more than [`RUNG_LAG_MAX_MS`] behind, gets gaps until it comes back
//!   with a sync sample at a segment start;
//! - audio more than [`AUDIO_LAG_MAX_MS`] behind the video gets a gap;
//! - when the source's video stops while audio continues for [`VIDEO_STALL_MAX_MS`], audio decides
//!   where segments end and video gets gaps until the next sync sample.
//!
//! Callers guarantee what [`media::AccessUnit`] promises: decode times grow within a track, also
//! across discontinuities, and both tracks share one zero.

mod audio;
mod captions;
mod config;
mod continuation;
mod keyframes;
mod numbering;
mod publish;
mod rungs;
mod video;

use std::{collections::VecDeque, sync::Arc};

use media::{AccessUnit, Immersive, MediaKind, VIDEO_TIMESCALE};

pub use config::{Config, Event, Pushed, RungSpec, Tracks};
use config::{check_kind, check_unit};
use continuation::{Continuation, Promise};
pub use keyframes::Keyframes;
use keyframes::{Access, KeyframeWatch};
use numbering::Numbering;
use publish::Playlists;

pub use crate::renditions::{AUDIO, SOURCE};
use crate::{
    Error, Start, part,
    rendition::{Outcome, PartTarget, Rendition},
    renditions::{Renditions, Rung},
    segmenter::Segmenter,
    timing::{Contents, CutPoint, ProgramDateTime},
    window::Window,
};

/// Audio ahead of the video by this much means that the video has stopped. The timeline has filled
/// it by then where it can; sources with time stamps this far apart are legal.
pub const VIDEO_STALL_MAX_MS: i64 = 5_000;

/// No frame lasts longer: more than one of any live source (1 fps), less than what the shortest
/// target duration allows.
pub const FRAME_MAX_MS: i64 = 2_000;

/// While video is stopped, audio is published with this delay, so that video that comes back in
/// time still opens its segment at its own time.
const STALL_HOLD_MS: i64 = 500;

/// Audio this far behind the video is given up for the segment at hand: encoders interleave within
/// a second.
pub const AUDIO_LAG_MAX_MS: i64 = 3_000;

/// Audio that outlasts the video by this much at the end of a timeline gets a segment of its own.
const TRAILING_MAX_MS: i64 = 250;

/// A rung this far behind the source is given up for the segment at hand: a player on it would run
/// dry anyway, while its other rungs go on.
pub const RUNG_LAG_MAX_MS: i64 = 6_000;

/// A rung that is this late for the first multivariant playlist is left out of it, and listed once
/// it has come up.
pub const RUNG_START_MAX_MS: i64 = 10_000;

/// Whole segments a rendition must have before a multivariant playlist lists it: players start up
/// to three segments before the end, and one that finds fewer waits a whole target duration
/// (hls.js) or gives up.
pub const READY_SEGMENTS: u64 = 3;

/// Held audio units: 20 s at 48 kHz, more than any encoder's interleaving and than the longest wait
/// for a keyframe that is worth keeping audio for.
pub const AUDIO_HELD_MAX: usize = 1_000;

/// A segment never grows past this many bytes: ten seconds at 50 Mb/s, far beyond what a part of a
/// sane stream needs.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Rungs of one stream; every rung costs an encoder.
pub const RUNGS_MAX: usize = 16;

/// Events nobody has pulled yet; the oldest go first.
const EVENTS_MAX: usize = 256;

/// Playlists list at least this many target durations: one more than CAN-SKIP-UNTIL, or no delta
/// would ever be shorter.
const LISTED_TARGETS: i64 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `start` has not been called.
    Idle,
    /// Tracks known; dropping until the leading track's first sync sample.
    AwaitingSync,
    /// A segment is open.
    Cutting,
    /// The source's video has stopped; audio decides where segments end.
    Stalled,
    /// The stream is over; the window is final.
    Ended,
}

/// How far the source has come, in ticks of the video timescale.
#[derive(Debug, Default)]
struct SourceClock {
    /// Where the next frame's decode time should be.
    video_end: i64,
    /// The last frame's duration.
    frame: i64,
    /// Frames of this timeline and how long they lasted.
    frames: (i64, i64),
    /// Presentation minus decode time of the last sync sample.
    delay: i64,
    /// Audio that the video has not passed yet.
    held: VecDeque<AccessUnit>,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Packager {
    config: Config,
    state: State,
    segmenter: Segmenter,
    part_target: PartTarget,
    window: Window,
    numbering: Numbering,
    clock: SourceClock,
    keyframes: KeyframeWatch,
    renditions: Renditions,
    continuation: Continuation,
    playlists: Playlists,
    events: VecDeque<Event>,
}

impl Packager {
    /// A packager that waits for [`Packager::start`].
    pub fn new(config: Config, start: Start) -> Result<Self, Error> {
        config.check()?;
        let (next_msn, discontinuities) = match &start {
            Start::Fresh {
                first_msn,
                discontinuity_sequence,
            } => (*first_msn, *discontinuity_sequence),
            Start::JoinPeer { boundary, .. } => (boundary.msn, boundary.discontinuity_sequence),
            Start::AfterPeer(last) => (last.msn, last.discontinuity_sequence),
            Start::Restart(restored) => restored.next_numbers(),
        };
        let mut packager = Self {
            state: State::Idle,
            segmenter: Segmenter::new(VIDEO_TIMESCALE.ticks(config.segment_target)),
            part_target: match config.part_target {
                Some(_) => PartTarget::Undecided,
                None => PartTarget::Off,
            },
            window: Window::new(VIDEO_TIMESCALE.ticks(config.window)),
            numbering: Numbering::new(next_msn, discontinuities),
            clock: SourceClock::default(),
            keyframes: KeyframeWatch::default(),
            renditions: Renditions::new(),
            continuation: Continuation::none(),
            playlists: Playlists::new(&config),
            events: VecDeque::new(),
            config,
        };
        packager.continue_from(start)?;
        Ok(packager)
    }

    /// The source's tracks are known and its ladder is planned. Rung tracks follow with
    /// [`Packager::rung_track`].
    pub fn start(&mut self, sources: Tracks, rungs: Vec<RungSpec>) -> Result<(), Error> {
        if self.state != State::Idle {
            return Err(Error::State("has started already"));
        }
        for rung in rungs {
            self.add_rung(rung)?;
        }
        self.set_sources(sources)
    }

    /// Says from now on how video lies on the sphere: in playlists at once, in init segments from
    /// the next segment on.
    pub fn set_immersive(&mut self, immersive: Immersive) {
        if self.config.immersive == immersive {
            return;
        }
        self.config.immersive = immersive;
        self.playlists.changed = true;
        // Audio has no place on the sphere: its init segment comes out the same.
        self.renditions.iter_mut().for_each(Rendition::renew_init);
    }

    /// Adds a rung while the stream runs; returns its index. The multivariant playlist lists it
    /// once it has come up.
    pub fn add_rung(&mut self, spec: RungSpec) -> Result<usize, Error> {
        let rungs = &mut self.renditions.rungs;
        if rungs.len() == RUNGS_MAX {
            return Err(Error::TooManyRungs { limit: RUNGS_MAX });
        }
        let mut rendition = Rendition::new(&spec.name, MediaKind::Video);
        let next_msn = self.numbering.next_msn;
        rendition.cursor = self.numbering.first_msn().unwrap_or(next_msn);
        self.continuation.inherit(next_msn, &mut rendition);
        if let Some(constants) = self.playlists.constants {
            rendition.meter.fix(constants.target_duration);
        }
        rungs.push(Rung { spec, rendition });
        Ok(rungs.len() - 1)
    }

    fn set_sources(&mut self, sources: Tracks) -> Result<(), Error> {
        let Tracks { video, audio } = sources;
        check_kind(video.as_ref(), MediaKind::Video)?;
        check_kind(audio.as_ref(), MediaKind::Audio)?;
        if video.is_none() && audio.is_none() {
            return Err(Error::NoTracks);
        }
        let all = &mut self.renditions;
        let changed = |old| video.as_ref().is_some_and(|new| old != new);
        all.has_inband_parameter_sets |= all.source.last_track().is_some_and(changed);
        all.has_video = video.is_some();
        all.has_audio = audio.is_some();
        all.source.set_track(video);
        all.audio.set_track(audio);
        self.state = State::AwaitingSync;
        self.numbering.anchor = None;
        self.clock.frames = (0, 0);
        Ok(())
    }

    /// Takes a unit of the source. `wall` is the time now in microseconds since 1970; what is given
    /// with the first unit of a timeline becomes its EXT-X-PROGRAM-DATE-TIME, everything after
    /// follows media time.
    pub fn push_source(&mut self, unit: AccessUnit, wall: i64) -> Result<Pushed, Error> {
        match self.state {
            State::Idle => return Err(Error::State("has not started")),
            State::Ended => return Err(Error::State("has ended")),
            _ => {}
        }
        check_unit(&unit)?;
        match unit.kind {
            MediaKind::Video => self.push_video(unit, wall),
            MediaKind::Audio => self.push_audio(unit, wall),
        }
    }

    /// The publisher is gone for now: closes the open segment so that viewers get all there is, and
    /// announces that what follows, if anything does, comes after a discontinuity.
    pub fn interrupt(&mut self) {
        if !matches!(self.state, State::Cutting | State::Stalled) {
            return;
        }
        let newest = self.newest_held();
        let trailing = newest - (self.clock.video_end + self.clock.delay);
        let outlasts = trailing > VIDEO_TIMESCALE.from_millis(TRAILING_MAX_MS);
        if self.renditions.has_video && outlasts {
            // Video had stopped already; its segment must not grow by audio alone.
            if self.state == State::Cutting {
                self.stall();
            }
            self.fill_stall(CutPoint {
                dts: newest - self.clock.delay,
                time: newest,
            });
        }
        // Audio ahead of its video stays, as far as the target duration has room for it.
        let room = self.segmenter.limit();
        let open = self.numbering.newest();
        let limit = open.map_or(i64::MAX, |open| open.start.time.saturating_add(room));
        self.release_audio(limit);
        let end = self.current_end();
        let open = self.numbering.newest_mut();
        if self.state == State::Stalled
            && open.as_ref().is_some_and(|open| end.dts <= open.start.dts)
        {
            self.numbering.take_back();
        } else if let Some(open) = open {
            open.ends_timeline = true;
        }
        self.close_segment(end);
        self.close_complete_audio(true);
        self.segmenter.interrupt();
        self.keyframes.interrupt();
        self.state = State::AwaitingSync;
        self.numbering.discontinuity = self.follows();
    }

    /// The source starts a new timeline: other tracks, a jump in time, or a publisher that came
    /// back. Every rendition gets the discontinuity at the same segment.
    pub fn discontinuity(&mut self, sources: Tracks) -> Result<(), Error> {
        match self.state {
            State::Idle => return Err(Error::State("has not started")),
            State::Ended => return Err(Error::State("has ended")),
            _ => {}
        }
        self.interrupt();
        self.clock.held.clear();
        self.numbering.discontinuity = self.follows();
        self.set_sources(sources)
    }

    /// The stream is over. Flush the ladder into [`Packager::push_rung`] first: what is missing now
    /// becomes a gap.
    pub fn end(&mut self) {
        if matches!(self.state, State::Idle | State::Ended) {
            self.state = State::Ended;
            return;
        }
        self.interrupt();
        self.close_complete_rungs(true);
        self.state = State::Ended;
        if self.awaits_constants() {
            self.continuation.promise = Promise::Free;
        }
        self.become_ready();
        self.list_renditions();
        self.playlists.changed = true;
    }

    /// The next thing worth knowing.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The number that the next segment will get: what a successor must at least start at.
    pub fn next_msn(&self) -> u64 {
        self.numbering.next_msn
    }

    /// Discontinuities so far, those before the run included.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.numbering.discontinuities
    }

    /// Whether viewers know of anything before the next segment.
    fn follows(&self) -> bool {
        self.continuation.is_known || !self.numbering.is_empty()
    }

    fn raise(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Where the open segment would end if it ended now.
    fn current_end(&self) -> CutPoint {
        let Some(open) = self.numbering.newest() else {
            return CutPoint { dts: 0, time: 0 };
        };
        let delay = open.start.time - open.start.dts;
        let dts = match self.state {
            State::Cutting if self.renditions.has_video => self.clock.video_end,
            _ => (self.audio_end_time() - delay).max(open.start.dts),
        };
        CutPoint {
            dts,
            time: dts + delay,
        }
    }

    /// Media time that has passed, in ticks: all closed segments and what the open one has.
    fn media_clock(&self) -> i64 {
        let open = self.numbering.open_segment();
        let elapsed = open.map_or(0, |open| self.current_end().dts - open.start.dts);
        self.window.clock() + elapsed
    }

    /// Opens the next segment at `start`; its Media Sequence Number.
    fn open_segment(&mut self, start: CutPoint, wall: i64, has_video: bool) -> u64 {
        self.insert_gaps(start, wall);
        let dates = self.continuation.take_dates();
        // Never before the end of what came before: a publisher's clock may run ahead of ours.
        let micros = self.last_end().map_or(wall, |floor| wall.max(floor));
        let dates = dates.unwrap_or(ProgramDateTime {
            time: start.time,
            micros,
        });
        let anchor = *self.numbering.anchor.get_or_insert(dates);
        if self.numbering.discontinuity {
            self.hold_back_after_pause(wall);
        }
        let contents = Contents {
            video: has_video,
            audio: self.renditions.has_audio,
            inband_parameter_sets: self.renditions.has_inband_parameter_sets,
        };
        self.numbering.open(start, anchor, contents)
    }

    /// The wall clock time of the end of the newest segment, of an earlier process where this one
    /// has none; microseconds since the Unix epoch.
    fn last_end(&self) -> Option<i64> {
        let newest = self.numbering.newest();
        newest
            .map(|timing| timing.program_date_time(timing.end_time()))
            .or_else(|| self.continuation.restored_end())
    }

    /// Closes the open segment at `end`, in every rendition that has all of it.
    fn close_segment(&mut self, end: CutPoint) {
        let Some(timing) = self.numbering.close(end, self.window.clock()) else {
            return;
        };
        self.segmenter.close(timing.start.dts + timing.length());
        self.decide_part_target();
        let source = &mut self.renditions.source;
        if self.renditions.has_video || source.whole_segments > 0 {
            let outcome = source.finish(&timing, self.part_target);
            self.note_outcome(outcome, SOURCE.into(), timing.msn);
        }
        self.window.push(timing.msn, timing.length());
        self.close_complete_audio(false);
        self.close_complete_rungs(false);
        self.advance_window();
        self.playlists.changed = true;
    }

    fn note_outcome(&mut self, outcome: Outcome, rendition: Arc<str>, msn: u64) {
        if outcome == Outcome::Gap {
            self.raise(Event::Gap { rendition, msn });
        }
    }

    /// Fixes the part target, once the first segment has shown its frame durations.
    fn decide_part_target(&mut self) {
        let (PartTarget::Undecided, Some(configured)) = (self.part_target, self.config.part_target)
        else {
            return;
        };
        let leader = self.renditions.leader();
        let timescale = leader
            .track()
            .map_or(VIDEO_TIMESCALE, media::Track::timescale);
        let durations = leader.pending_durations();
        let ticks = part::target(configured, self.config.segment_target, timescale, durations);
        self.part_target = PartTarget::Ticks(ticks);
        for rendition in self.renditions.iter_mut() {
            // A chunk that cannot be written marks its segment as lost.
            let _ = rendition.make_parts(self.part_target);
        }
    }
}
