//! Packages the ladder's rungs, which have the source's decode times and segments.

use media::{AccessUnit, MediaKind, Track, VIDEO_TIMESCALE};

use super::{
    CutPoint, Packager, RUNG_LAG_MAX_MS, State,
    config::{check_kind, check_unit},
    video::clamp_duration,
};
use crate::{Error, rendition::Rendition, timing::SegmentTiming};

impl Packager {
    /// A rung's encoder has started: its track, before its first unit. A changed track waits for
    /// the next segment.
    pub fn rung_track(&mut self, rung: usize, track: Track) -> Result<(), Error> {
        check_kind(Some(&track), MediaKind::Video)?;
        let rendition = self.rung(rung)?;
        if rendition.track() == Some(&track) {
            return Ok(());
        }
        // Units of the new track cannot go into a segment of the old one.
        rendition.mark_broken();
        if rendition.is_open() {
            self.finish_rung(rung);
        }
        self.rung(rung)?.set_track(Some(track));
        Ok(())
    }

    /// Takes a unit of a rung: the source's decode times, a sync sample exactly where the source
    /// opens segments.
    pub fn push_rung(&mut self, rung: usize, mut unit: AccessUnit) -> Result<(), Error> {
        if self.state == State::Ended {
            return Err(Error::State("has ended"));
        }
        check_unit(&unit)?;
        check_kind(self.rung(rung)?.track(), unit.kind)?;
        clamp_duration(&mut unit);
        if self.rung(rung)?.is_open() && self.continue_rung(rung, &unit)? {
            return Ok(());
        }
        self.resume_rung(rung, unit)
    }

    /// The rung sends nothing until further notice (shed, failed): gaps until it comes back at a
    /// segment start.
    pub fn rung_gap(&mut self, rung: usize) -> Result<(), Error> {
        let rendition = self.rung(rung)?;
        rendition.lost = true;
        rendition.mark_broken();
        self.close_complete_rungs(false);
        Ok(())
    }

    fn rung(&mut self, index: usize) -> Result<&mut Rendition, Error> {
        Ok(&mut self.renditions.rung(index)?.rendition)
    }

    /// Whether the unit was used up: it belongs to the open segment, or to none.
    fn continue_rung(&mut self, rung: usize, unit: &AccessUnit) -> Result<bool, Error> {
        let mut unit = unit.clone();
        let rendition = self.rung(rung)?;
        let (cursor, end) = (rendition.cursor, rendition.end().unwrap_or(0));
        let segment_end = self.numbering.get(cursor).and_then(|timing| timing.end);
        if segment_end.is_some_and(|end| unit.dts >= end.dts) {
            // Closed by its last unit already, unless that one never came.
            self.rung(rung)?.mark_broken();
            self.finish_rung(rung);
            return Ok(false);
        }
        if unit.dts < end {
            return Ok(true);
        }
        trim(&mut unit, segment_end);
        let part_target = self.part_target;
        let rendition = self.rung(rung)?;
        if unit.dts > end {
            rendition.mark_broken();
        }
        rendition.append(unit, part_target)?;
        self.close_complete_rungs(false);
        Ok(true)
    }

    /// Opens the segment that starts with this unit, if one does.
    fn resume_rung(&mut self, rung: usize, mut unit: AccessUnit) -> Result<(), Error> {
        let cursor = self.rung(rung)?.cursor;
        let starts = |timing: &&SegmentTiming| {
            timing.contents.video && timing.start.dts == unit.dts && timing.msn >= cursor
        };
        let timing = self.numbering.iter().find(starts);
        let Some(timing) = timing.filter(|_| unit.is_sync()).cloned() else {
            return Ok(());
        };
        while self.rung(rung)?.cursor < timing.msn {
            let before = self.rung(rung)?.cursor;
            self.finish_rung(rung);
            if self.rung(rung)?.cursor == before {
                self.rung(rung)?.cursor = timing.msn;
            }
        }
        trim(&mut unit, timing.end);
        let rung = self.renditions.rung(rung)?;
        let mut immersive = self.config.immersive;
        if let Some(projection) = rung.spec.projection {
            immersive.projection = projection;
        }
        rung.rendition.open(&timing, &unit, &immersive)?;
        rung.rendition.append(unit, self.part_target)?;
        self.close_complete_rungs(false);
        Ok(())
    }

    /// Closes segments of rungs that are complete, or that a rung cannot complete any more
    /// (`force`: all).
    pub(super) fn close_complete_rungs(&mut self, force: bool) {
        let lag = VIDEO_TIMESCALE.from_millis(RUNG_LAG_MAX_MS);
        let now = self.media_clock();
        for index in 0..self.renditions.rungs.len() {
            while let Ok(rung) = self.renditions.rung(index) {
                let rendition = &mut rung.rendition;
                let Some(timing) = self.numbering.get(rendition.cursor) else {
                    break;
                };
                let Some(end) = timing.end else {
                    break;
                };
                let complete = rendition.end().is_some_and(|rung_end| rung_end >= end.dts);
                let late = now - timing.closed_at > lag;
                if !(complete || late || force || rendition.lost || !timing.contents.video) {
                    break;
                }
                if !complete {
                    rendition.mark_broken();
                }
                self.finish_rung(index);
            }
        }
    }

    /// Closes the rung's segment at its cursor, whole or as a gap. An open segment cannot be
    /// closed: its rung waits.
    fn finish_rung(&mut self, index: usize) {
        let Ok(rung) = self.renditions.rung(index) else {
            return;
        };
        let rendition = &mut rung.rendition;
        let timing = self.numbering.get(rendition.cursor);
        let Some(timing) = timing.filter(|timing| timing.end.is_some()) else {
            return;
        };
        let (name, msn) = (rendition.name.clone(), timing.msn);
        let outcome = rendition.finish(timing, self.part_target);
        self.note_outcome(outcome, name, msn);
        self.list_renditions();
    }
}

/// Ends a unit where its segment does: an encoder that knows durations by the next frame only lets
/// the last one before an interruption last until the publisher is back.
fn trim(unit: &mut AccessUnit, segment_end: Option<CutPoint>) {
    let Some(end) = segment_end else { return };
    if let Ok(rest) = u32::try_from(end.dts.saturating_sub(unit.dts)) {
        unit.duration = unit.duration.min(rest.max(1));
    }
}
