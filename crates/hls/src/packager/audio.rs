//! The source's sound: follows the pictures' segments, or drives the cut where there are none.

use media::{AccessUnit, VIDEO_TIMESCALE};

use super::{
    AUDIO, AUDIO_HELD_MAX, AUDIO_LAG_MAX_MS, Edge, Packager, Pushed, STALL_HOLD_MS, State,
    VIDEO_STALL_MAX_MS,
};
use crate::{Error, cut::Verdict};

impl Packager {
    pub(super) fn push_audio(&mut self, unit: AccessUnit, wall: i64) -> Result<Pushed, Error> {
        if !self.has_audio {
            return Ok(Pushed::default());
        }
        if !self.has_video {
            return self.lead_audio(unit, wall);
        }
        if self.held.len() == AUDIO_HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(unit);
        let newest = self.newest_held();
        let stall = VIDEO_TIMESCALE.from_millis(VIDEO_STALL_MAX_MS);
        if self.state == State::Cutting && newest - (self.video_end + self.delay) > stall {
            self.stall();
        }
        match self.state {
            State::Cutting => self.release_audio(self.video_end),
            State::Stalled => {
                let limit = newest - VIDEO_TIMESCALE.from_millis(STALL_HOLD_MS);
                self.fill_stall(Edge {
                    dts: limit - self.delay,
                    time: limit,
                });
                self.release_audio(limit);
            }
            _ => {}
        }
        self.settle_audio(false);
        Ok(Pushed::default())
    }

    /// While pictures stand still, cuts a segment at every segment target before `until`. The picture there may be
    /// shown with another delay than those before, and sound must not pass it.
    pub(super) fn fill_stall(&mut self, until: Edge) {
        let target = VIDEO_TIMESCALE.ticks(self.config.segment_target);
        while let Some(slot) = self.slots.back() {
            let end = Edge {
                dts: slot.start.dts + target,
                time: slot.start.time + target,
            };
            if until.dts <= end.dts || until.time <= end.time {
                break;
            }
            self.release_audio(end.time);
            self.close_slot(end);
            self.open_slot(end, 0, false);
        }
    }

    /// Sound alone: every unit is a sync sample, so segments last the target and at most one frame
    /// more.
    fn lead_audio(&mut self, unit: AccessUnit, wall: i64) -> Result<Pushed, Error> {
        let time = self.audio_time(unit.pts);
        let end = self.audio_time(unit.pts.saturating_add(i64::from(unit.duration)));
        let start = Edge { dts: time, time };
        if self.audio.reached().is_some_and(|end| unit.dts < end) {
            return Err(Error::Unit {
                kind: unit.kind,
                dts: unit.dts,
                reason: "its decode time is not after the one before",
            });
        }
        if self.precedes_join(time) {
            return Ok(Pushed::default());
        }
        let opens = self.state == State::AwaitingSync
            || self.schedule.judge(time, end - time, true) != Verdict::Continue;
        if opens {
            // After a hole the segment ends with its own last frame, not with the next one's time.
            let broke_off = time - self.audio_end_time() > VIDEO_TIMESCALE.from_millis(1000);
            let edge = if broke_off { self.current_end() } else { start };
            if self.state == State::Cutting {
                self.close_slot(edge);
            }
            self.open_slot(start, wall, false);
            self.schedule.open(time, true);
            self.state = State::Cutting;
        }
        self.schedule.note_sync(time);
        self.place_audio(unit)?;
        self.settle_audio(false);
        Ok(Pushed {
            opens_segment: opens,
        })
    }

    /// Puts held units that start before `limit` (a presentation time) into their segments.
    ///
    /// With pictures leading, `limit` is the next picture's decode time: no later boundary can lie
    /// before it, since nothing is shown before it is decoded.
    pub(super) fn release_audio(&mut self, limit: i64) {
        while let Some(front) = self.held.front() {
            if self.audio_time(front.pts) >= limit {
                break;
            }
            if let Some(unit) = self.held.pop_front() {
                // A unit that cannot be written marks its segment as lost; sound goes on with the
                // next.
                let _ = self.place_audio(unit);
            }
        }
    }

    fn place_audio(&mut self, unit: AccessUnit) -> Result<(), Error> {
        let time = self.audio_time(unit.pts);
        loop {
            let Some(slot) = self.slot(self.audio.cursor).cloned() else {
                let Some(first) = self.slots.front() else {
                    return Ok(());
                };
                if self.audio.cursor >= first.msn {
                    return Ok(());
                }
                self.audio.cursor = first.msn;
                continue;
            };
            if slot.end.is_some_and(|end| time >= end.time) {
                self.finish_audio();
                continue;
            }
            if self.audio.reached().is_some_and(|end| unit.dts < end) {
                return Ok(());
            }
            if !self.audio.is_open() {
                if time < slot.start.time {
                    return Ok(());
                }
                self.audio.open(&slot, &unit, &self.config.immersive)?;
            }
            return Ok(self.audio.append(unit, self.part_target)?);
        }
    }

    /// Closes segments of sound that are complete, or that sound is too far behind to complete
    /// (`force`: all).
    pub(super) fn settle_audio(&mut self, force: bool) {
        let lag = VIDEO_TIMESCALE.from_millis(AUDIO_LAG_MAX_MS);
        let now = self.media_clock();
        while let Some(slot) = self.slot(self.audio.cursor) {
            let Some(end) = slot.end else {
                break;
            };
            let complete = self.audio.is_open() && self.audio_end_time() >= end.time;
            let late = now - slot.closed_at > lag;
            if !(complete || late || force || !slot.has_audio) {
                break;
            }
            self.finish_audio();
        }
    }

    fn finish_audio(&mut self) {
        let Some(slot) = self.slot(self.audio.cursor).cloned() else {
            return;
        };
        let before = self.audio.whole_segments;
        self.audio.finish(&slot, self.part_target);
        if before > 0 && self.audio.whole_segments == before {
            self.note_gap(AUDIO.into(), slot.msn);
        }
        self.admit();
    }

    /// An audio time in ticks of the video timescale.
    fn audio_time(&self, ticks: i64) -> i64 {
        match self.audio.track() {
            Some(track) => track.timescale.rescale(ticks, VIDEO_TIMESCALE),
            None => ticks,
        }
    }

    /// The end of the sound placed so far, in ticks of the video timescale; before any, the
    /// beginning of time.
    pub(super) fn audio_end_time(&self) -> i64 {
        self.audio.reached().map_or(0, |end| self.audio_time(end))
    }

    /// The end of the newest sound that waits, in ticks of the video timescale.
    pub(super) fn newest_held(&self) -> i64 {
        self.held.back().map_or(0, |unit| {
            self.audio_time(unit.pts.saturating_add(i64::from(unit.duration)))
        })
    }
}
