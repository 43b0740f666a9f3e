//! Packages the source's audio, which follows the video's segments, or decides where they end where
//! there is no video.

use media::{AccessUnit, VIDEO_TIMESCALE};

use super::{
    AUDIO, AUDIO_HELD_MAX, AUDIO_LAG_MAX_MS, CutPoint, Packager, Pushed, STALL_HOLD_MS, State,
    VIDEO_STALL_MAX_MS,
};
use crate::{Error, segmenter::Verdict};

impl Packager {
    pub(super) fn push_audio(&mut self, unit: AccessUnit, wall: i64) -> Result<Pushed, Error> {
        if !self.renditions.has_audio {
            return Ok(Pushed::default());
        }
        if !self.renditions.has_video {
            return self.lead_audio(unit, wall);
        }
        let held = &mut self.clock.held;
        if held.len() == AUDIO_HELD_MAX {
            held.pop_front();
        }
        held.push_back(unit);
        let newest = self.newest_held();
        let stall = VIDEO_TIMESCALE.from_millis(VIDEO_STALL_MAX_MS);
        let shown = self.clock.video_end + self.clock.delay;
        if self.state == State::Cutting && newest - shown > stall {
            self.stall();
        }
        match self.state {
            State::Cutting => self.release_audio(self.clock.video_end),
            State::Stalled => {
                let limit = newest - VIDEO_TIMESCALE.from_millis(STALL_HOLD_MS);
                self.fill_stall(CutPoint {
                    dts: limit - self.clock.delay,
                    time: limit,
                });
                self.release_audio(limit);
            }
            _ => {}
        }
        self.close_complete_audio(false);
        Ok(Pushed::default())
    }

    /// While video is stopped, ends a segment at every segment target before `until`. The frame
    /// there may be shown with another delay than those before, and audio must not pass it.
    pub(super) fn fill_stall(&mut self, until: CutPoint) {
        let target = VIDEO_TIMESCALE.ticks(self.config.segment_target);
        while let Some(timing) = self.numbering.newest() {
            let end = CutPoint {
                dts: timing.start.dts + target,
                time: timing.start.time + target,
            };
            if until.dts <= end.dts || until.time <= end.time {
                break;
            }
            self.release_audio(end.time);
            self.close_segment(end);
            self.open_segment(end, 0, false);
        }
    }

    /// Audio alone: every unit is a sync sample, so segments last the target and at most one frame
    /// more.
    fn lead_audio(&mut self, unit: AccessUnit, wall: i64) -> Result<Pushed, Error> {
        let time = self.audio_time(unit.pts);
        let end = self.audio_time(unit.pts.saturating_add(i64::from(unit.duration)));
        let start = CutPoint { dts: time, time };
        if self
            .renditions
            .audio
            .reached()
            .is_some_and(|end| unit.dts < end)
        {
            return Err(Error::Unit {
                kind: unit.kind,
                dts: unit.dts,
                reason: "its decode time is not after the one before",
            });
        }
        if self.continuation.precedes_boundary(time) {
            return Ok(Pushed::default());
        }
        let opens = self.state == State::AwaitingSync
            || self.segmenter.judge(time, end - time, true) != Verdict::Continue;
        if opens {
            // After a hole the segment ends with its own last frame, not with the next one's time.
            let broke_off = time - self.audio_end_time() > VIDEO_TIMESCALE.from_millis(1000);
            let edge = if broke_off { self.current_end() } else { start };
            if self.state == State::Cutting {
                self.close_segment(edge);
            }
            self.open_segment(start, wall, false);
            self.segmenter.open(time, true);
            self.state = State::Cutting;
        }
        self.segmenter.note_sync(time);
        self.place_audio(unit)?;
        self.close_complete_audio(false);
        Ok(Pushed {
            opens_segment: opens,
        })
    }

    /// Puts held units that start before `limit` (a presentation time) into their segments.
    ///
    /// With video leading, `limit` is the next frame's decode time: no later boundary can lie
    /// before it, since nothing is shown before it is decoded.
    pub(super) fn release_audio(&mut self, limit: i64) {
        while let Some(front) = self.clock.held.front() {
            if self.audio_time(front.pts) >= limit {
                break;
            }
            if let Some(unit) = self.clock.held.pop_front() {
                // A unit that cannot be written marks its segment as lost; audio continues with
                // the next.
                let _ = self.place_audio(unit);
            }
        }
    }

    fn place_audio(&mut self, unit: AccessUnit) -> Result<(), Error> {
        let time = self.audio_time(unit.pts);
        loop {
            let audio = &mut self.renditions.audio;
            let Some(timing) = self.numbering.get(audio.cursor) else {
                match self.numbering.first_msn() {
                    Some(first) if audio.cursor < first => audio.cursor = first,
                    _ => return Ok(()),
                }
                continue;
            };
            if timing.end.is_some_and(|end| time >= end.time) {
                self.finish_audio();
                continue;
            }
            if audio.reached().is_some_and(|end| unit.dts < end) {
                return Ok(());
            }
            if !audio.is_open() {
                if time < timing.start.time {
                    return Ok(());
                }
                audio.open(timing, &unit, &self.config.immersive)?;
            }
            return Ok(audio.append(unit, self.part_target)?);
        }
    }

    /// Closes segments of audio that are complete, or that audio is too far behind to complete
    /// (`force`: all).
    pub(super) fn close_complete_audio(&mut self, force: bool) {
        let lag = VIDEO_TIMESCALE.from_millis(AUDIO_LAG_MAX_MS);
        let now = self.media_clock();
        let cursor = |all: &Packager| all.renditions.audio.cursor;
        while let Some(timing) = self.numbering.get(cursor(self)) {
            let Some(end) = timing.end else {
                break;
            };
            let complete = self.renditions.audio.is_open() && self.audio_end_time() >= end.time;
            let late = now - timing.closed_at > lag;
            if !(complete || late || force || !timing.contents.audio) {
                break;
            }
            self.finish_audio();
        }
    }

    fn finish_audio(&mut self) {
        let audio = &mut self.renditions.audio;
        let Some(timing) = self.numbering.get(audio.cursor) else {
            return;
        };
        let msn = timing.msn;
        let outcome = audio.finish(timing, self.part_target);
        self.note_outcome(outcome, AUDIO.into(), msn);
        self.list_renditions();
    }

    /// An audio time in ticks of the video timescale.
    fn audio_time(&self, ticks: i64) -> i64 {
        match self.renditions.audio.track() {
            Some(track) => track.timescale().rescale(ticks, VIDEO_TIMESCALE),
            None => ticks,
        }
    }

    /// The end of the audio placed so far, in ticks of the video timescale; 0 before any.
    pub(super) fn audio_end_time(&self) -> i64 {
        let reached = self.renditions.audio.reached();
        reached.map_or(0, |end| self.audio_time(end))
    }

    /// The end of the newest audio that waits, in ticks of the video timescale; 0 without any.
    pub(super) fn newest_held(&self) -> i64 {
        self.clock.held.back().map_or(0, |unit| {
            self.audio_time(unit.pts.saturating_add(i64::from(unit.duration)))
        })
    }
}
