//! The one machine that turns a stream's access units into renditions that agree with each other.
//!
//! ```text
//!            source video --> segmenter --> timings: number, start, end, discontinuity, wall time
//!                                                | one per segment, shared by all
//!        +--------------+-----------------+------+
//!        v              v                 v
//!     `source`        rungs            `audio`
//!   cut where it says   same decode      cut at the first frame at or after the segment's
//!   itself            times            presentation time, held until the video has passed it
//! ```
//!
//! What is missing becomes a gap, so that every rendition numbers every segment alike:
//!
//! - a rung that is lost, or more than [`RUNG_LAG_MAX_MS`] behind, gets gaps until it comes back
//!   with a sync sample at a segment start;
//! - sound more than [`AUDIO_LAG_MAX_MS`] behind the pictures gets a gap;
//! - when the source's pictures stand still while sound goes on for [`VIDEO_STALL_MAX_MS`], sound
//!   drives the cut and pictures get gaps until the next sync sample.
//!
//! Callers guarantee what [`media::AccessUnit`] promises: decode times grow within a track, also
//! across discontinuities, and both tracks share one zero.

mod audio;
mod config;
mod join;
mod last_position;
mod publish;
mod restart_hold_back;
mod resume;
mod rungs;
mod video;

use std::{collections::VecDeque, sync::Arc};

use media::{AccessUnit, Immersive, MediaKind, VIDEO_TIMESCALE};

pub use config::{Config, Event, Pushed, RungSpec, Tracks};
use config::{check_kind, check_unit};
pub use join::Boundary;
pub use last_position::LastPosition;

use crate::{
    Error, PlaylistConstants, Snapshot, part,
    rendition::{PartTarget, Rendition},
    segmenter::Segmenter,
    timing::{CutPoint, ProgramDateTime, SegmentTiming},
    window::Window,
};

/// Sound ahead of the pictures by this much means that the pictures stand still. Longer than a
/// frame of any live source (1 fps), shorter than what the shortest target duration allows one
/// frame to last.
pub const VIDEO_STALL_MAX_MS: i64 = 2_000;

/// While pictures stand still, sound is published with this delay, so that pictures that come back
/// in time still open their segment at their own time.
const STALL_HOLD_MS: i64 = 500;

/// Sound this far behind the pictures is given up for the segment at hand: encoders interleave
/// within a second.
pub const AUDIO_LAG_MAX_MS: i64 = 3_000;

/// Sound that outlasts the pictures by this much at the end of a timeline gets a segment of its
/// own.
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
/// for a keyframe that is worth keeping sound for.
pub const AUDIO_HELD_MAX: usize = 1_000;

/// A segment never grows past this many bytes: ten seconds at 50 Mb/s, far beyond what a part of a
/// sane stream needs.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Rungs of one stream; every rung costs an encoder.
pub const RUNGS_MAX: usize = 16;

/// Events nobody has pulled yet; the oldest go first.
const EVENTS_MAX: usize = 256;

/// The name of the pass-through rendition.
pub const SOURCE: &str = "source";
/// The name of the audio rendition.
pub const AUDIO: &str = "audio";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `start` has not been called.
    Idle,
    /// Tracks known; dropping until the leading track's first sync sample.
    AwaitingSync,
    /// A segment is open.
    Cutting,
    /// The source's pictures stand still; sound drives the cut.
    Stalled,
    /// The stream is over; the window is final.
    Ended,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Packager {
    config: Config,
    state: State,
    segmenter: Segmenter,
    part_target: PartTarget,
    constants: Option<PlaylistConstants>,
    window: Window,
    /// Open last, closed ones as long as any rendition may still need them.
    timings: VecDeque<SegmentTiming>,
    next_msn: u64,
    discontinuities: u64,
    /// The next segment comes after a discontinuity.
    discontinuity: bool,
    anchor: Option<ProgramDateTime>,
    /// The other origin's boundary that the first segment starts at.
    join: Option<Boundary>,
    /// Where the process before this one left the stream.
    last_position: Option<LastPosition>,
    /// What an earlier process left, and this one lists.
    restored: Option<Arc<Snapshot>>,
    /// Nothing new is shown until there is more of it.
    hold_back: Option<restart_hold_back::RestartHoldBack>,
    /// The pictures' configuration has changed in this run.
    has_inband_parameter_sets: bool,
    /// It has gone on from either.
    follows_gaps: bool,
    /// It has joined, and the other origin has yet to fix its constants.
    awaits_constants: bool,
    source: Rendition,
    rungs: Vec<Rendition>,
    specs: Vec<RungSpec>,
    audio: Rendition,
    has_video: bool,
    has_audio: bool,
    /// Where the next picture's decode time should be.
    video_end: i64,
    /// The last picture's duration.
    frame: i64,
    /// Pictures of this timeline and how long they lasted.
    frames: (i64, i64),
    /// Presentation minus decode time of the last sync sample.
    delay: i64,
    /// Sound not yet passed by the pictures.
    held: VecDeque<AccessUnit>,
    /// The media clock when the source became ready.
    ready_at: Option<i64>,
    multivariant_exists: bool,
    events: VecDeque<Event>,
    revision: u64,
    changed: bool,
    cached: Arc<Snapshot>,
}

impl Packager {
    /// A packager that waits for [`Packager::start`].
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let target = VIDEO_TIMESCALE.ticks(config.segment_target);
        let mut segmenter = Segmenter::new(target);
        let mut window = Window::new(VIDEO_TIMESCALE.ticks(config.window));
        let mut part_target = match config.part_target {
            Some(_) => PartTarget::Undecided,
            None => PartTarget::Off,
        };
        if let Some(constants) = config.constants {
            segmenter.fix(constants.target_duration);
            window.at_least(constants.target_ticks() * LISTED_TARGETS);
            part_target = PartTarget::promised(constants.part_target);
        }
        let cached = Arc::new(Snapshot {
            revision: 0,
            run_id: config.run_id.as_str().into(),
            constants: None,
            ended: false,
            immersive: config.immersive,
            renditions: Vec::new(),
            multivariant: None,
        });
        Ok(Self {
            state: State::Idle,
            segmenter,
            part_target,
            constants: None,
            window,
            timings: VecDeque::new(),
            next_msn: config.first_msn,
            discontinuities: config.first_discontinuity_sequence,
            discontinuity: false,
            anchor: None,
            join: None,
            last_position: None,
            restored: None,
            hold_back: None,
            has_inband_parameter_sets: false,
            follows_gaps: false,
            awaits_constants: false,
            source: Rendition::new(SOURCE, MediaKind::Video),
            rungs: Vec::new(),
            specs: Vec::new(),
            audio: Rendition::new(AUDIO, MediaKind::Audio),
            has_video: false,
            has_audio: false,
            video_end: 0,
            frame: 0,
            frames: (0, 0),
            delay: 0,
            held: VecDeque::new(),
            ready_at: None,
            multivariant_exists: false,
            events: VecDeque::new(),
            revision: 0,
            changed: false,
            cached,
            config,
        })
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

    /// Says from now on that pictures lie on the sphere in this way: playlists at once, init
    /// segments from the next segment on.
    pub fn set_immersive(&mut self, immersive: Immersive) {
        if self.config.immersive == immersive {
            return;
        }
        self.config.immersive = immersive;
        self.changed = true;
        let video = [&mut self.source].into_iter().chain(&mut self.rungs);
        video.for_each(Rendition::renew_init);
    }

    /// Adds a rung while the stream runs; returns its index. The multivariant playlist lists it
    /// once it has come up.
    pub fn add_rung(&mut self, spec: RungSpec) -> Result<usize, Error> {
        if self.rungs.len() == RUNGS_MAX {
            return Err(Error::TooManyRungs { limit: RUNGS_MAX });
        }
        let mut rung = Rendition::new(&spec.name, MediaKind::Video);
        rung.cursor = self
            .timings
            .front()
            .map_or(self.next_msn, |timing| timing.msn);
        if let Some(restored) = &self.restored {
            resume::inherit(restored, self.next_msn, &mut rung);
        }
        if let Some(constants) = self.constants {
            rung.meter.fix(constants.target_duration);
        }
        self.rungs.push(rung);
        self.specs.push(spec);
        Ok(self.rungs.len() - 1)
    }

    fn set_sources(&mut self, sources: Tracks) -> Result<(), Error> {
        let Tracks { video, audio } = sources;
        check_kind(video.as_ref(), MediaKind::Video)?;
        check_kind(audio.as_ref(), MediaKind::Audio)?;
        if video.is_none() && audio.is_none() {
            return Err(Error::NoTracks);
        }
        let changed = |old| video.as_ref().is_some_and(|new| old != new);
        self.has_inband_parameter_sets |= self.source.last_track().is_some_and(changed);
        self.has_video = video.is_some();
        self.has_audio = audio.is_some();
        self.source.set_track(video);
        self.audio.set_track(audio);
        self.state = State::AwaitingSync;
        self.anchor = None;
        self.frames = (0, 0);
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
        let trailing = newest - (self.video_end + self.delay);
        if self.has_video && trailing > VIDEO_TIMESCALE.from_millis(TRAILING_MAX_MS) {
            // Pictures stood still already; their segment must not grow by sound alone.
            if self.state == State::Cutting {
                self.stall();
            }
            self.fill_stall(CutPoint {
                dts: newest - self.delay,
                time: newest,
            });
        }
        // Sound that came ahead of its pictures stays, as far as the target duration has room for it.
        let room = self.segmenter.limit();
        let open = self.timings.back();
        let limit = open.map_or(i64::MAX, |open| open.start.time.saturating_add(room));
        self.release_audio(limit);
        let end = self.current_end();
        let empty = self
            .timings
            .back()
            .is_some_and(|open| end.dts <= open.start.dts);
        if self.state == State::Stalled && empty {
            // Opened without anything to put in it yet: its number goes to the next.
            self.timings.pop_back();
            self.next_msn -= 1;
        } else if let Some(open) = self.timings.back_mut() {
            open.ends_timeline = true;
        }
        self.close_segment(end);
        self.close_complete_audio(true);
        self.segmenter.interrupt();
        self.state = State::AwaitingSync;
        self.discontinuity = self.follows();
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
        self.held.clear();
        self.discontinuity = self.follows();
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
        self.awaits_constants = false;
        self.become_ready();
        self.list_renditions();
        self.changed = true;
    }

    /// The next thing worth knowing.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether [`Packager::snapshot`] would differ from the last one.
    pub fn has_changed(&self) -> bool {
        let mut all = [&self.source, &self.audio].into_iter().chain(&self.rungs);
        !self.is_withheld() && (self.changed || all.any(|rendition| rendition.changed))
    }

    /// The number that the next segment will get: what a successor must at least start at.
    pub fn next_msn(&self) -> u64 {
        self.next_msn
    }

    /// Discontinuities so far, those before the run included.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.discontinuities
    }

    /// Fixed once the first playlist exists.
    pub fn constants(&self) -> Option<PlaylistConstants> {
        self.constants
    }

    /// Whether anything comes before the next segment.
    fn follows(&self) -> bool {
        self.follows_gaps || !self.timings.is_empty()
    }

    fn raise(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn timing(&self, msn: u64) -> Option<&SegmentTiming> {
        let first = self.timings.front()?.msn;
        self.timings
            .get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    /// Where the open segment would end if it ended now.
    fn current_end(&self) -> CutPoint {
        let Some(open) = self.timings.back() else {
            return CutPoint { dts: 0, time: 0 };
        };
        let delay = open.start.time - open.start.dts;
        let dts = match self.state {
            State::Cutting if self.has_video => self.video_end,
            _ => (self.audio_end_time() - delay).max(open.start.dts),
        };
        CutPoint {
            dts,
            time: dts + delay,
        }
    }

    /// Media time that has passed, in ticks: all closed segments and what the open one has.
    fn media_clock(&self) -> i64 {
        let open = self.timings.back().filter(|timing| timing.end.is_none());
        let elapsed = open.map_or(0, |open| self.current_end().dts - open.start.dts);
        self.window.clock() + elapsed
    }

    /// Opens the next segment at `start`.
    fn open_segment(&mut self, start: CutPoint, wall: i64, has_video: bool) -> u64 {
        self.insert_gaps(start, wall);
        let joined = self.take_join_anchor();
        self.anchor = self.anchor.or(joined);
        let last_end = self.last_end();
        let anchor = *self.anchor.get_or_insert_with(|| {
            // Never before the end of what came before: a publisher's clock may run ahead of ours.
            ProgramDateTime {
                time: start.time,
                micros: last_end.map_or(wall, |floor| wall.max(floor)),
            }
        });
        let discontinuity = std::mem::take(&mut self.discontinuity);
        if discontinuity {
            self.judge_pause(wall);
        }
        let msn = self.next_msn;
        self.next_msn += 1;
        self.timings.push_back(SegmentTiming {
            msn,
            start,
            end: None,
            ends_timeline: false,
            closed_at: 0,
            discontinuity,
            discontinuity_sequence: self.discontinuities,
            anchor,
            has_video,
            has_audio: self.has_audio,
            has_inband_parameter_sets: self.has_inband_parameter_sets,
        });
        self.discontinuities += u64::from(discontinuity);
        msn
    }

    /// The date of the end of the newest segment, of an earlier process where this one has none; microseconds since
    /// 1970.
    fn last_end(&self) -> Option<i64> {
        let own = self
            .timings
            .back()
            .map(|timing| timing.program_date_time(timing.end_time()));
        own.or_else(|| self.restored.as_ref().map(|restored| restored.end_micros()))
    }

    /// Closes the open segment at `end`, in every rendition that has all of it.
    fn close_segment(&mut self, end: CutPoint) {
        let Some(timing) = self
            .timings
            .back_mut()
            .filter(|timing| timing.end.is_none())
        else {
            return;
        };
        let end = CutPoint {
            dts: end.dts.max(timing.start.dts + 1),
            time: end.time.max(timing.start.time + 1),
        };
        timing.end = Some(end);
        timing.closed_at = self.window.clock() + timing.length();
        let timing = timing.clone();
        self.segmenter.close(end.dts);
        self.decide_part_target();
        let before = self.source.whole_segments;
        if self.has_video || before > 0 {
            self.source.finish(&timing, self.part_target);
            if before > 0 && self.source.whole_segments == before {
                self.note_gap(SOURCE.into(), timing.msn);
            }
        }
        self.window.push(timing.msn, timing.length());
        self.close_complete_audio(false);
        self.close_complete_rungs(false);
        self.advance_window();
        self.changed = true;
    }

    fn note_gap(&mut self, rendition: Arc<str>, msn: u64) {
        self.raise(Event::Gap { rendition, msn });
    }

    /// The first segment has shown its frame durations.
    fn decide_part_target(&mut self) {
        let (PartTarget::Undecided, Some(configured)) = (self.part_target, self.config.part_target)
        else {
            return;
        };
        let leader = if self.has_video {
            &self.source
        } else {
            &self.audio
        };
        let timescale = leader
            .track()
            .map_or(VIDEO_TIMESCALE, |track| track.timescale);
        let durations = leader.pending_durations();
        let ticks = part::target(configured, self.config.segment_target, timescale, durations);
        self.part_target = PartTarget::Ticks(ticks);
        let all = [&mut self.source, &mut self.audio]
            .into_iter()
            .chain(&mut self.rungs);
        for rendition in all {
            // A chunk that cannot be written marks its segment as lost.
            let _ = rendition.make_parts(self.part_target);
        }
    }
}

/// Playlists list at least this many target durations: one more than CAN-SKIP-UNTIL, or no delta
/// would ever be shorter.
const LISTED_TARGETS: i64 = 7;
