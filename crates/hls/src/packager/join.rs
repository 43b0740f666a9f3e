//! Going on where another origin is: a boundary to start at, constants to wait for, a segment not to
//! finish alone.
//!
//! Two origins that package the same source under one run_id must cut, number and date alike, so that
//! the same URL has the same bytes. What one of them knows of a segment's start is a [`Boundary`];
//! the other starts there with [`Packager::join`].

use super::{Packager, ProgramDateTime};
use crate::{Error, PlaylistConstants, rendition::PartTarget};

/// Where a segment starts, and all that decides how the stream goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Boundary {
    /// Media Sequence Number of the segment that starts here.
    pub msn: u64,
    /// Decode time of its first leading unit, in ticks of the video timescale.
    pub dts: i64,
    /// Presentation time of the same: where sound is cut.
    pub time: i64,
    /// A discontinuity comes before it.
    pub discontinuity: bool,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    /// A presentation time and what it is on the wall's clock: EXT-X-PROGRAM-DATE-TIME follows.
    pub anchor_time: i64,
    /// Microseconds since 1970 at `anchor_time`.
    pub anchor_micros: i64,
    /// Ticks between the last two sync samples, the one that starts here included.
    pub keyframe_interval: Option<i64>,
    /// PART-TARGET in ticks of the video timescale; `None` in the first segment, whose frames decide it,
    /// and without parts.
    #[serde(default)]
    pub part_target: Option<i64>,
    /// The pictures' configuration has changed in this run: keyframes bring their parameter sets along.
    #[serde(default, rename = "repeats_sets")]
    pub has_inband_parameter_sets: bool,
}

impl Packager {
    /// Makes the first segment the one that starts at `boundary`: call before [`Packager::start`].
    /// Units before it are left out; the first unit of the leading track at or after it must lie
    /// exactly there.
    ///
    /// Without constants in the configuration no playlist appears until
    /// [`Packager::fix_constants`].
    pub fn join(&mut self, boundary: Boundary) -> Result<(), Error> {
        if !self.timings.is_empty() {
            return Err(Error::State("has started already"));
        }
        self.next_msn = boundary.msn;
        self.discontinuities = boundary.discontinuity_sequence;
        self.discontinuity = boundary.discontinuity;
        if let Some(interval) = boundary.keyframe_interval {
            self.segmenter.note_sync(boundary.dts - interval);
        }
        if let Some(ticks) = boundary.part_target {
            self.part_target = PartTarget::Ticks(ticks);
        }
        self.has_inband_parameter_sets = boundary.has_inband_parameter_sets;
        self.awaits_constants = self.config.constants.is_none();
        self.join = Some(boundary);
        Ok(())
    }

    /// Ends the wait for constants of a packager that has joined: takes those of the other origin,
    /// or chooses its own when that is gone (`None`). Without effect once they are fixed.
    pub fn fix_constants(&mut self, constants: Option<PlaylistConstants>) {
        if self.constants.is_some() || !self.awaits_constants {
            return;
        }
        self.awaits_constants = false;
        if let Some(constants) = constants {
            self.config.constants = Some(constants);
            self.segmenter.fix(constants.target_duration);
            self.part_target = PartTarget::promised(constants.part_target);
        }
        self.advance_window();
        self.changed = true;
    }

    /// Whether it waits for [`Packager::fix_constants`].
    pub fn awaits_constants(&self) -> bool {
        self.awaits_constants
    }

    /// Where the newest segment starts.
    pub fn newest_boundary(&self) -> Option<Boundary> {
        let timing = self.timings.back()?;
        Some(Boundary {
            msn: timing.msn,
            dts: timing.start.dts,
            time: timing.start.time,
            discontinuity: timing.discontinuity,
            discontinuity_sequence: timing.discontinuity_sequence,
            anchor_time: timing.anchor.time,
            anchor_micros: timing.anchor.micros,
            keyframe_interval: self.segmenter.last_interval(),
            part_target: self.part_target.ticks(),
            has_inband_parameter_sets: timing.has_inband_parameter_sets,
        })
    }

    /// As [`Packager::interrupt`], when another origin has what is missing here: segments that are
    /// not whole become gaps and nothing is added to them, so that no URL gets other bytes than there.
    pub fn interrupt_incomplete(&mut self) {
        self.held.clear();
        let all = [&mut self.source, &mut self.audio]
            .into_iter()
            .chain(&mut self.rungs);
        all.for_each(|rendition| rendition.abandon());
        let announced = self.discontinuity;
        self.interrupt();
        // The run goes on there, without one.
        self.discontinuity = announced;
    }

    /// Whether a unit of the leading track lies before the boundary to join.
    pub(super) fn precedes_join(&self, dts: i64) -> bool {
        self.join.is_some_and(|boundary| dts < boundary.dts)
    }

    /// The other origin's wall clock anchor, for the first segment.
    pub(super) fn take_join_anchor(&mut self) -> Option<ProgramDateTime> {
        let boundary = self.join.take()?;
        Some(ProgramDateTime {
            time: boundary.anchor_time,
            micros: boundary.anchor_micros,
        })
    }
}
