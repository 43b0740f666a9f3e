//! Turns units on a 32-bit millisecond clock into access units in exact ticks.
//!
//! Why here, and only here: RTMP counts milliseconds modulo 2^32 (OBS: 2^31), encoders jump, repeat
//! and drift, and everything behind this point (cuts, playlists, byte-equal origins of a pair)
//! needs times that only go forward and are exact. It is one pure machine, so three days of bad
//! clocks are a test of seconds.
//!
//! ```text
//! IngestUnit --unwrap--> judge (near, pause, outlier, new timeline)
//!         --stamp (frame grid, sample count)--> one unit of lookahead --> AccessUnit
//! ```
//!
//! Promises, for any input:
//! - Within a track `dts` strictly increases and `dts + duration` is the next unit's `dts`, except
//!   across an [`Event::Discontinuity`], where it may be later. Both tracks share one zero; the
//!   first unit is near it.
//! - Composition offsets are those sent, snapped to the frame grid where the rate is constant;
//!   never derived.
//! - A step of more than [`STEP_MAX_MS`] forward or [`BACKWARD_MAX_MS`] back is an outlier: the
//!   unit is re-stamped where its predecessor ends. The third in a row that agree is a new
//!   timeline: one discontinuity for both tracks, output contiguous. A pause of one track that the
//!   other's clock confirms is a pause, and is filled.
//! - Missing video lengthens the unit before it; missing audio becomes as many units of silence,
//!   because players stumble over holes in it. A track that stops while the other goes on is
//!   filled: with silence, or with its last keyframe again until the next one comes. Only video
//!   that never had a keyframe leaves a hole, behind a discontinuity ([`Reason::Gap`]).
//! - Audio follows the publisher's clock by at most one sample per access unit, so |A-V| stays
//!   bounded for ever.
//!
//! What it does not do: reorder, read NAL units, know wall time (`now` only re-bases tracks whose
//! clocks have nothing in common), or wait: a unit leaves when its successor arrives, or with
//! [`Timeline::flush`].

mod audio;
mod fill;
mod judge;
mod rate;
mod start;
mod stats;
#[cfg(test)]
mod tests;
mod track_state;
mod video;

use std::{collections::VecDeque, time::Duration};

use crate::{AccessUnit, AudioConfig, IngestUnit, MediaKind, VIDEO_TIMESCALE, VideoConfig};
use fill::{Heard, VIDEO_QUIET_MAX_MS};
use start::State;
use track_state::{Stamp, TrackState, Verdict};

pub use rate::frame_ticks;
pub use stats::{Stats, TrackStats};

/// A longer step forward is no late frame: slow screen shares send one picture a second, no encoder
/// one in five.
pub const STEP_MAX_MS: i64 = 5_000;
/// A longer step back is no reordering: that stays within two or three frames.
pub const BACKWARD_MAX_MS: i64 = 250;
/// Outliers in a row that agree with each other and so are the publisher's new clock. One or two
/// are damage.
pub const OUTLIERS_MAX: u32 = 3;
/// Start waits this long for the second configured track, so that the earlier of both gets the
/// zero.
pub const START_WAIT: Duration = Duration::from_secs(1);
/// Start waits this long for video that is announced while audio comes: audio alone is played until
/// then, and the picture joins it behind a discontinuity.
pub const START_WAIT_VIDEO: Duration = Duration::from_secs(3);
/// Start waits this long for a second track's configuration: headers follow each other within a
/// round trip.
pub const START_WAIT_SINGLE: Duration = Duration::from_millis(300);

/// A start on these is exact in every track's timescale: it divides all sample rates of AAC (7,350
/// and 11,025 Hz too).
const STEPS_PER_SECOND: i64 = 25;

const TICKS_PER_MS: i64 = VIDEO_TIMESCALE.rate() as i64 / 1000;
const STEP_MAX: i64 = STEP_MAX_MS * TICKS_PER_MS;

/// What comes out of a [`Timeline`], in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The next access unit of its track, in that track's timescale.
    AccessUnit(AccessUnit),
    /// What follows does not continue what came before, in every track: cut here, and read the
    /// tracks anew.
    Discontinuity {
        /// What broke it.
        reason: Reason,
    },
    /// A track has stopped while the other one goes on; what follows of it is filling.
    Stopped {
        /// The track.
        kind: MediaKind,
    },
    /// The track is back.
    Returned {
        /// The track.
        kind: MediaKind,
        /// How long it was filled.
        filled: Duration,
    },
}

/// Why a timeline broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The publisher came back ([`Timeline::resume`]).
    Resumed,
    /// The publisher's clock jumped.
    ClockJump,
    /// A track has a new configuration, or a track came.
    ConfigChanged,
    /// One track came back after a pause longer than [`STEP_MAX_MS`], and nothing could fill it.
    Gap,
    /// Video came when audio had begun without it.
    TrackJoined,
}

impl Reason {
    /// The name used in logs, metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Resumed => "resumed",
            Reason::ClockJump => "clock-jump",
            Reason::ConfigChanged => "config-changed",
            Reason::Gap => "gap",
            Reason::TrackJoined => "track-joined",
        }
    }
}

/// The machine; see the module's text.
#[derive(Debug, Default)]
pub struct Timeline {
    video: TrackState,
    audio: TrackState,
    state: State,
    generation: u32,
    events: VecDeque<Event>,
    discontinuities: u64,
    /// Where zero lies, in steps of which there are [`STEPS_PER_SECOND`].
    start: i64,
}

impl Timeline {
    /// A timeline that starts near zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// A timeline that starts near `seconds`, or up to 40 ms later: where one of an earlier process
    /// ended, so that times do not go back.
    pub fn starting_at(seconds: f64) -> Self {
        Self {
            start: (seconds * STEPS_PER_SECOND as f64).ceil() as i64,
            ..Self::default()
        }
    }

    /// Announces the video track's configuration; `declared_rate` is what metadata claims (frames,
    /// seconds).
    ///
    /// While running, a configuration that differs by value breaks the timeline
    /// ([`Reason::ConfigChanged`]).
    pub fn set_video(&mut self, config: &VideoConfig, declared_rate: Option<(u32, u32)>) {
        let rate = config.frame_rate().and_then(frame_ticks);
        let rate = rate.or_else(|| declared_rate.and_then(frame_ticks));
        if self.video.video.as_ref() != Some(config) {
            self.config_changed(MediaKind::Video);
            self.video.video = Some(config.clone());
            // Coded with a configuration that no longer holds.
            self.video.still = None;
        }
        self.video.is_announced = true;
        self.video.set_video(rate);
    }

    /// Announces the audio track's configuration. While running, see [`Timeline::set_video`].
    pub fn set_audio(&mut self, config: &AudioConfig) {
        if self.audio.audio.as_ref() != Some(config) {
            self.config_changed(MediaKind::Audio);
            self.audio.audio = Some(config.clone());
            self.audio.set_audio(config);
        }
        self.audio.is_announced = true;
        // From here on it is missed where nothing comes.
        if self.audio.heard.is_none()
            && let Some(position) = self.video.position()
        {
            self.audio.heard = Some(Heard {
                own: position,
                other: position,
                units: self.video.stats.units,
            });
        }
    }

    /// Whether this track is part of what comes out: audio once it is announced (it is filled until
    /// it comes), video once a decoder may start.
    pub fn carries(&self, kind: MediaKind) -> bool {
        let track = self.track(kind);
        track.is_announced && (kind == MediaKind::Audio || track.has_begun)
    }

    /// Takes one access unit as sent; `now` is the time since any fixed start. Units of a track not
    /// announced are counted and dropped; audio without a byte is silence. Take the results with
    /// [`Timeline::next`].
    pub fn push(&mut self, mut input: IngestUnit, now: Duration) {
        let track = self.track_mut(input.kind);
        if !track.is_announced {
            track.stats.dropped += 1;
            return;
        }
        track.fill_empty(&mut input);
        match &mut self.state {
            State::Running => self.place(input, now),
            State::Starting { held, .. } => {
                held.push((input, now));
                if self.may_start() {
                    self.start();
                }
            }
        }
    }

    /// The next event, if any.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means not yet, not the end"
    )]
    pub fn next(&mut self) -> Option<Event> {
        let mut event = self.events.pop_front()?;
        if let Event::AccessUnit(unit) = &mut event {
            let track = self.track(unit.kind);
            let start = self.start * (i64::from(track.timescale().rate()) / STEPS_PER_SECOND);
            unit.dts = unit.dts.saturating_add(start);
            unit.pts = unit.pts.saturating_add(start);
        }
        Some(event)
    }

    /// A new publisher session continues the stream: its clock has nothing to do with the old one.
    /// What was held leaves now; the next units follow behind [`Reason::Resumed`], above
    /// everything emitted.
    pub fn resume(&mut self) {
        self.flush();
        let resumed = self.video.end.is_some() || self.audio.end.is_some();
        for track in [&mut self.video, &mut self.audio] {
            track.forget_publisher();
        }
        self.state = State::Starting {
            held: Vec::new(),
            resumed,
        };
    }

    /// Lets everything held leave, each track's last unit with its usual duration. The timeline may
    /// go on after it.
    pub fn flush(&mut self) {
        if matches!(&self.state, State::Starting { held, .. } if !held.is_empty()) {
            self.start();
        }
        self.level(MediaKind::Video);
        self.level(MediaKind::Audio);
        self.release(MediaKind::Video);
        self.release(MediaKind::Audio);
    }

    /// How much of a track is filling so far.
    pub fn filled(&self, kind: MediaKind) -> Duration {
        let track = self.track(kind);
        let ticks = i64::try_from(track.stats.filled_ticks).unwrap_or(i64::MAX);
        track.timescale().duration(ticks)
    }

    /// What was met so far, for the operator.
    pub fn stats(&self) -> Stats {
        Stats {
            video: self.video.stats(),
            audio: self.audio.stats(),
            discontinuities: self.discontinuities,
            split_bases: self.split_bases(),
        }
    }
}

// === running ===

impl Timeline {
    fn place(&mut self, input: IngestUnit, now: Duration) {
        let kind = input.kind;
        if kind == MediaKind::Video && !self.video.has_begun && !self.video_joins(&input) {
            self.video.stats.dropped += 1;
            return;
        }
        let at = match self.judge(kind, Stamp::of(&input), now) {
            Verdict::At(ticks) => Some(ticks),
            Verdict::Repeat => None,
            Verdict::Restamp => {
                self.track_mut(kind).stats.restamped += 1;
                None
            }
        };
        self.track_mut(kind).seen = now;
        if let Some((dts, pts)) = self.stamp(&input, at) {
            self.fill_before_start(kind, dts);
            if self.track(kind).leaves_hole(dts) {
                self.break_timeline(Reason::Gap);
            }
            let lost = self.track_mut(kind).fill_lost(dts);
            self.events.extend(lost.into_iter().map(Event::AccessUnit));
            let unit = self.track_mut(kind).follow(input, dts, pts);
            self.events.extend(unit.map(Event::AccessUnit));
            self.note_heard(kind);
        } else {
            self.track_mut(kind).stats.dropped += 1;
        }
        self.fill_if_quiet(other(kind));
    }

    /// The first video unit that a decoder may start at, after audio has begun without video, is a
    /// break: the tracks are others from there. False for units before it.
    fn video_joins(&mut self, input: &IngestUnit) -> bool {
        if !input.is_sync() {
            return false;
        }
        self.break_timeline(Reason::TrackJoined);
        self.video.has_begun = true;
        true
    }

    /// Exact decode and presentation time of a unit sent at `at`; `None` for one to drop.
    fn stamp(&mut self, input: &IngestUnit, at: Option<i64>) -> Option<(i64, i64)> {
        let kind = input.kind;
        if self.track(kind).absence.is_some() {
            let (dts, pts) = self.come_back(input, at)?;
            self.end_absence(kind, dts, pts);
            return Some((dts, pts));
        }
        let sibling = self.track(other(kind)).position();
        let track = self.track_mut(kind);
        let (dts, pts) = track.stamp(at, input.composition_ticks(), sibling)?;
        if track.outlasts(dts, VIDEO_QUIET_MAX_MS * TICKS_PER_MS) && track.can_be_filled() {
            self.begin_absence(kind, None);
            if !input.is_sync() {
                return None;
            }
            self.end_absence(kind, dts, pts);
        }
        Some((dts, pts))
    }

    fn config_changed(&mut self, kind: MediaKind) {
        let running = matches!(self.state, State::Running);
        let started = self.video.end.is_some() || self.audio.end.is_some();
        let placed = self.video.pending() || self.audio.pending();
        if kind == MediaKind::Video && running && !self.video.has_begun {
            // It breaks the timeline when it comes.
        } else if running && (started || placed) {
            self.break_timeline(Reason::ConfigChanged);
        } else if let State::Starting { held, .. } = &mut self.state {
            // Coded with a configuration that no longer holds; nothing was shown yet.
            held.retain(|(input, _)| input.kind != kind);
        }
    }

    /// Both tracks' held units leave, then the mark.
    fn break_timeline(&mut self, reason: Reason) {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            if self.track(kind).absence.is_some() {
                self.level(kind);
            }
        }
        self.release(MediaKind::Video);
        self.release(MediaKind::Audio);
        self.video.broken = true;
        self.audio.broken = true;
        self.discontinuities += 1;
        self.events.push_back(Event::Discontinuity { reason });
    }

    /// After a unit of `kind` was placed: from here on its silence is counted. Where the other
    /// track has nothing yet, it is taken to begin beside this one.
    fn note_heard(&mut self, kind: MediaKind) {
        let sibling = self.track(other(kind));
        let (position, units) = (sibling.position(), sibling.stats.units);
        let own = self.track(kind).expected();
        self.track_mut(kind).heard = own.map(|own| Heard {
            own,
            other: position.unwrap_or(own),
            units,
        });
    }

    fn release(&mut self, kind: MediaKind) {
        let unit = self.track_mut(kind).release();
        self.events.extend(unit.map(Event::AccessUnit));
    }

    fn split_bases(&self) -> bool {
        match (&self.video.clock, &self.audio.clock) {
            (Some(video), Some(audio)) => (video.against(audio)).abs() > STEP_MAX,
            _ => false,
        }
    }

    fn track(&self, kind: MediaKind) -> &TrackState {
        match kind {
            MediaKind::Video => &self.video,
            MediaKind::Audio => &self.audio,
        }
    }

    fn track_mut(&mut self, kind: MediaKind) -> &mut TrackState {
        match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        }
    }
}

fn other(kind: MediaKind) -> MediaKind {
    match kind {
        MediaKind::Video => MediaKind::Audio,
        MediaKind::Audio => MediaKind::Video,
    }
}
