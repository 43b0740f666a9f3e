//! The ladder's rungs: the source's decode times, the source's segments.

use media::{AccessUnit, Track, VIDEO_TIMESCALE};

use super::{
    CutPoint, Packager, RUNG_LAG_MAX_MS, State,
    config::{check_kind, check_unit},
    video::clamp_duration,
};
use crate::Error;

impl Packager {
    /// A rung's encoder has started: its track, before its first unit. A changed track waits for
    /// the next segment.
    pub fn rung_track(&mut self, rung: usize, track: Track) -> Result<(), Error> {
        check_kind(Some(&track), media::MediaKind::Video)?;
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

    fn rung(&mut self, index: usize) -> Result<&mut crate::rendition::Rendition, Error> {
        let count = self.rungs.len();
        self.rungs
            .get_mut(index)
            .ok_or(Error::Rung { index, count })
    }

    /// Whether the unit was used up: it belongs to the open segment, or to none.
    fn continue_rung(&mut self, rung: usize, unit: &AccessUnit) -> Result<bool, Error> {
        let mut unit = unit.clone();
        let rendition = self.rung(rung)?;
        let (cursor, end) = (rendition.cursor, rendition.end().unwrap_or(0));
        let slot_end = self.timing(cursor).and_then(|timing| timing.end);
        if slot_end.is_some_and(|slot_end| unit.dts >= slot_end.dts) {
            // Closed by its last unit already, unless that one never came.
            self.rung(rung)?.mark_broken();
            self.finish_rung(rung);
            return Ok(false);
        }
        if unit.dts < end {
            return Ok(true);
        }
        trim(&mut unit, slot_end);
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
        let starts = |timing: &&super::SegmentTiming| {
            timing.has_video && timing.start.dts == unit.dts && timing.msn >= cursor
        };
        let Some(timing) = self
            .timings
            .iter()
            .find(starts)
            .filter(|_| unit.is_sync)
            .cloned()
        else {
            return Ok(());
        };
        while self.rung(rung)?.cursor < timing.msn {
            let before = self.rung(rung)?.cursor;
            self.finish_rung(rung);
            if self.rung(rung)?.cursor == before {
                self.rung(rung)?.cursor = timing.msn;
            }
        }
        let mut immersive = self.config.immersive;
        if let Some(projection) = self.specs.get(rung).and_then(|spec| spec.projection) {
            immersive.projection = projection;
        }
        let part_target = self.part_target;
        let rendition = self.rung(rung)?;
        trim(&mut unit, timing.end);
        rendition.open(&timing, &unit, &immersive)?;
        rendition.append(unit, part_target)?;
        self.close_complete_rungs(false);
        Ok(())
    }

    /// Closes segments of rungs that are complete, or that a rung cannot complete any more
    /// (`force`: all).
    pub(super) fn close_complete_rungs(&mut self, force: bool) {
        let lag = VIDEO_TIMESCALE.from_millis(RUNG_LAG_MAX_MS);
        let now = self.media_clock();
        for rung in 0..self.rungs.len() {
            while let Some(rendition) = self.rungs.get(rung) {
                let Some((timing, end)) = self
                    .timing(rendition.cursor)
                    .and_then(|timing| timing.end.map(|end| (timing, end)))
                else {
                    break;
                };
                let complete = rendition.end().is_some_and(|rung_end| rung_end >= end.dts);
                let late = now - timing.closed_at > lag;
                if !(complete || late || force || rendition.lost || !timing.has_video) {
                    break;
                }
                if !complete && let Some(rendition) = self.rungs.get_mut(rung) {
                    rendition.mark_broken();
                }
                self.finish_rung(rung);
            }
        }
    }

    /// Closes the rung's segment at its cursor, whole or as a gap. An open timing cannot be closed:
    /// its rung waits.
    fn finish_rung(&mut self, rung: usize) {
        let Some(rendition) = self.rungs.get(rung) else {
            return;
        };
        let Some(timing) = self
            .timing(rendition.cursor)
            .filter(|timing| timing.end.is_some())
            .cloned()
        else {
            return;
        };
        let part_target = self.part_target;
        let mut lost = None;
        if let Some(rendition) = self.rungs.get_mut(rung) {
            let before = rendition.whole_segments;
            rendition.finish(&timing, part_target);
            if before > 0 && rendition.whole_segments == before {
                lost = Some(rendition.name.clone());
            }
        }
        if let Some(name) = lost {
            self.note_gap(name, timing.msn);
        }
        self.list_renditions();
    }
}

/// An encoder that knows durations by the next picture only lets the last one before an
/// interruption last until the publisher is back: it ends where its segment does.
fn trim(unit: &mut AccessUnit, segment_end: Option<CutPoint>) {
    let Some(end) = segment_end else { return };
    if let Ok(rest) = u32::try_from(end.dts.saturating_sub(unit.dts)) {
        unit.duration = unit.duration.min(rest.max(1));
    }
}
