//! Packages the source's video, which decides where segments start.

use media::{AccessUnit, RandomAccess, Track, VIDEO_TIMESCALE, VideoConfig};

use super::{
    Access, CutPoint, Event, FRAME_MAX_MS, Keyframes, Packager, Pushed, SEGMENT_BYTES_MAX, State,
};
use crate::{Error, segmenter::Verdict};

/// A hole in the video longer than this is a new timeline rather than a row of gaps.
const HOLE_MAX_MS: i64 = 10_000;

/// Video missing for longer than this is a hole that gaps must fill; for less, and the frame before
/// lasts on.
const HOLE_MIN_MS: i64 = 1_000;

/// How long a frame lasts when nothing follows for longer than [`FRAME_MAX_MS`]. The same for
/// every rung.
const LINGER_MS: i64 = 100;

/// Shortens a frame that lasts longer than any segment could hold: what follows it is a hole.
pub(super) fn clamp_duration(unit: &mut AccessUnit) {
    if i64::from(unit.duration) > VIDEO_TIMESCALE.from_millis(FRAME_MAX_MS) {
        unit.duration = u32::try_from(VIDEO_TIMESCALE.from_millis(LINGER_MS)).unwrap_or(u32::MAX);
    }
}

impl Packager {
    pub(super) fn push_video(&mut self, mut unit: AccessUnit, wall: i64) -> Result<Pushed, Error> {
        if !self.renditions.has_video {
            return Ok(Pushed::default());
        }
        let running = matches!(self.state, State::Cutting | State::Stalled);
        if running && unit.dts < self.clock.video_end {
            return Err(Error::Unit {
                kind: unit.kind,
                dts: unit.dts,
                reason: "its decode time is not after the one before",
            });
        }
        clamp_duration(&mut unit);
        let hole = unit.dts - self.clock.video_end;
        if self.state == State::Cutting && hole > VIDEO_TIMESCALE.from_millis(HOLE_MIN_MS) {
            self.stall();
        }
        let may_start = self.note_keyframe(&unit);
        let opened = match self.state {
            State::Cutting => self.continue_video(&unit, may_start, wall)?,
            State::Stalled => match self.resume_video(&unit, may_start, wall)? {
                true => true,
                false => return Ok(Pushed::default()),
            },
            _ if self.continuation.precedes_boundary(unit.dts) => return Ok(Pushed::default()),
            _ if may_start => {
                self.open_video(&unit, wall)?;
                true
            }
            _ => return Ok(Pushed::default()),
        };
        if may_start {
            self.segmenter.note_sync(unit.dts);
        }
        self.note_captions(&unit);
        let duration = i64::from(unit.duration);
        let frames = self.clock.frames;
        self.clock.frame = duration;
        self.clock.video_end = unit.dts + duration;
        self.clock.frames = (frames.0 + 1, frames.1 + duration);
        self.renditions.source.append(unit, self.part_target)?;
        self.release_audio(self.clock.video_end);
        self.close_complete_audio(false);
        self.close_complete_rungs(false);
        Ok(Pushed {
            opens_segment: opened,
        })
    }

    /// Looks for closed captions until the multivariant playlist says whether there are any.
    fn note_captions(&mut self, unit: &AccessUnit) {
        if self.playlists.multivariant_exists || self.playlists.captions == Some("CC1") {
            return;
        }
        let video = self.renditions.source.track().and_then(Track::as_video);
        let found = video.and_then(|video| match &video.config {
            VideoConfig::Avc(avc) => super::captions::instream_id(avc.nal_units(&unit.payload)),
        });
        self.playlists.captions = found.or(self.playlists.captions);
    }

    /// Whether a segment may start with the unit.
    fn note_keyframe(&mut self, unit: &AccessUnit) -> bool {
        let before = self.keyframes.state();
        let may_start = self.keyframes.note(unit.dts, access(unit));
        match (before, self.keyframes.state()) {
            (Keyframes::Unknown | Keyframes::Idr, Keyframes::NotIdr) => {
                self.raise(Event::KeyframesNotIdr);
            }
            (Keyframes::NotIdr, Keyframes::Idr) => {
                self.raise(Event::KeyframesIdr);
                self.list_renditions();
            }
            _ => {}
        }
        may_start
    }

    /// A unit while a segment is open: does it open the next one?
    fn continue_video(
        &mut self,
        unit: &AccessUnit,
        may_start: bool,
        wall: i64,
    ) -> Result<bool, Error> {
        let open_bytes = self.renditions.source.open_bytes();
        let full = open_bytes + unit.payload.len() as u64 > SEGMENT_BYTES_MAX;
        let verdict = self
            .segmenter
            .judge(unit.dts, i64::from(unit.duration), may_start);
        if verdict == Verdict::Continue && !full {
            return Ok(false);
        }
        self.close_segment(self.cut_point(unit));
        let msn = self.open_video(unit, wall)?;
        if !may_start {
            self.raise(Event::LateSync { msn });
        }
        Ok(true)
    }

    /// Where a segment starts that this unit opens.
    fn cut_point(&self, unit: &AccessUnit) -> CutPoint {
        // A unit in the middle of a GOP may be shown after later ones: the usual delay tells where
        // its time begins.
        let delay = match unit.is_sync() {
            true => unit.pts - unit.dts,
            false => self.clock.delay,
        };
        CutPoint {
            dts: unit.dts,
            time: unit.dts + delay,
        }
    }

    fn open_video(&mut self, unit: &AccessUnit, wall: i64) -> Result<u64, Error> {
        let start = self.cut_point(unit);
        self.clock.delay = start.time - start.dts;
        let msn = self.open_segment(start, wall, true);
        // A segment that starts at a keyframe of the usual kind is as good as they get.
        self.segmenter.open(unit.dts, is_keyframe(unit));
        self.state = State::Cutting;
        if let Some(timing) = self.numbering.newest() {
            let source = &mut self.renditions.source;
            source.open(timing, unit, &self.config.immersive)?;
        }
        Ok(msn)
    }

    /// The video has stopped: ends its segment where it ended and lets audio decide where segments
    /// end.
    pub(super) fn stall(&mut self) {
        let end = self.current_end();
        self.close_segment(end);
        self.segmenter.interrupt();
        let msn = self.open_segment(end, 0, false);
        self.state = State::Stalled;
        self.raise(Event::VideoStalled { msn });
    }

    /// A frame after a stall: resumes where it is a sync sample that audio has not passed yet.
    fn resume_video(
        &mut self,
        unit: &AccessUnit,
        may_start: bool,
        wall: i64,
    ) -> Result<bool, Error> {
        let hole = unit.dts - self.clock.video_end;
        if hole > VIDEO_TIMESCALE.from_millis(HOLE_MAX_MS) && !self.renditions.has_audio {
            // Nothing was published meanwhile: no row of gaps can tell viewers more than one
            // discontinuity does.
            self.numbering.take_back();
            self.numbering.discontinuity = true;
            self.numbering.anchor = None;
            self.state = State::AwaitingSync;
            if may_start {
                self.open_video(unit, wall)?;
            }
            return Ok(may_start);
        }
        let start = self.cut_point(unit);
        let passed = self.audio_end_time();
        let open = self.numbering.newest();
        let behind = open.is_none_or(|open| start.dts <= open.start.dts);
        if !may_start || behind || start.time < passed {
            return Ok(false);
        }
        self.fill_stall(start);
        self.close_segment(start);
        let msn = self.open_video(unit, wall)?;
        self.raise(Event::VideoResumed { msn });
        Ok(true)
    }
}

fn access(unit: &AccessUnit) -> Access {
    match unit.random_access {
        RandomAccess::Idr => Access::Idr,
        RandomAccess::RecoveryPoint { .. } | RandomAccess::Intra => Access::Other,
        RandomAccess::No => Access::No,
    }
}

fn is_keyframe(unit: &AccessUnit) -> bool {
    access(unit) != Access::No
}
