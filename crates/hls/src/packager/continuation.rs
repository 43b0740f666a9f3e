//! Continues a run that viewers know: beside the peer, after a peer that died, after a restart, and
//! after a long pause of the encoder.
//!
//! **Restart.** The segments that viewers know stay listed under the URLs they know, and the next
//! one comes after a discontinuity, as if the encoder had reconnected.
//!
//! **After the peer.** A player places a new playlist beside the one it knows by segments that both
//! list, or by consecutive numbers (bis §6.2.2 has servers never leave any out). After a jump it
//! guesses from the target duration, and hls.js 1.7 then waits for a place that never comes. So the
//! first number is the one that was open when the peer died, and gaps stand for what was lost:
//! three, because a playlist without its end is never shorter than three target durations. So
//! viewers need not wait for more than one real segment, not even on rungs that are a little
//! behind.
//!
//! **After a long pause.** A player that waited for the encoder has played all it had. Given the
//! first segment (or part) as soon as it is there, it plays that and stops again until the next one
//! comes: a stall for each, because what it has never gets ahead of what it plays. It starts as a
//! new viewer does, so it is given what a new viewer is given: all renditions are held back
//! together until each has as many segments of the new timeline as a first playlist needs. That
//! costs viewers who have waited for longer than three target durations six seconds more. Two
//! segments were not enough: until a player without low latency has seen the next one, its own
//! reload interval and a cache's lifetime pass. After a short pause nothing is held back: players
//! still play then, or have only just stopped.

use std::sync::Arc;

use media::VIDEO_TIMESCALE;

use super::{KeyframeWatch, LISTED_TARGETS, Packager, READY_SEGMENTS, State};
use crate::{
    Boundary, Error, LastPosition, PlaylistConstants, Snapshot, Start, Variant,
    rendition::{PartTarget, Rendition},
    timing::{Contents, CutPoint, ProgramDateTime},
};

/// Segments that stand for what was lost with the peer.
const GAPS: i64 = 3;

/// What players keep ahead of what they play, in target durations (bis §4.4.3.8, HOLD-BACK): a
/// longer pause has used it up.
const PAUSE_TARGETS: i64 = 3;

/// With segments this long (in ticks, 6 s for all of them) two must do: a third would keep viewers
/// waiting for longer than the buffer it gives them is worth.
const READY_LONG_TICKS: i64 = 6 * 360_000;

/// Whether so many segments, `ticks` long together, are enough for a player to start with.
pub(super) fn enough(segments: u64, ticks: i64) -> bool {
    segments >= READY_SEGMENTS || segments + 1 >= READY_SEGMENTS && ticks >= READY_LONG_TICKS
}

/// Who decides on the playlist constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// This packager, from the first segments.
    Free,
    /// The peer, which has yet to decide.
    Awaited,
    /// They were decided elsewhere or before.
    Made(PlaylistConstants),
}

/// What a run continues, and what is left of that to do.
#[derive(Debug)]
pub(super) struct Continuation {
    pub promise: Promise,
    /// The peer's boundary that the first segment starts at, until it has.
    boundary: Option<Boundary>,
    /// Where the lost run of the peer ended, until gaps stand for its end.
    last_position: Option<LastPosition>,
    /// What this origin's previous process listed.
    restored: Option<Arc<Snapshot>>,
    /// Viewers know segments before the first one made here.
    pub is_known: bool,
    /// Set after a long pause: nothing new is shown until there is enough of it.
    hold_back: Option<RestartHoldBack>,
}

/// What is not shown yet.
#[derive(Clone, Copy, Debug)]
struct RestartHoldBack {
    /// The first segment after the pause.
    first_msn: u64,
    /// The media clock there.
    clock: i64,
}

impl Continuation {
    /// Of a run without history.
    pub fn none() -> Self {
        Self {
            promise: Promise::Free,
            boundary: None,
            last_position: None,
            restored: None,
            is_known: false,
            hold_back: None,
        }
    }

    /// Whether a unit of the leading track lies before the boundary to start at.
    pub fn precedes_boundary(&self, dts: i64) -> bool {
        self.boundary.is_some_and(|boundary| dts < boundary.dts)
    }

    /// The peer's dates, for the first segment.
    pub fn take_dates(&mut self) -> Option<ProgramDateTime> {
        let boundary = self.boundary.take()?;
        Some(ProgramDateTime {
            time: boundary.anchor_time,
            micros: boundary.anchor_micros,
        })
    }

    /// The wall clock time of the end of what was restored, microseconds since the Unix epoch.
    pub fn restored_end(&self) -> Option<i64> {
        self.restored.as_ref().map(|restored| restored.end_micros())
    }

    /// What the restored multivariant playlist said of a rendition that this run has not measured.
    pub fn known_variant(&self, rendition: &Rendition) -> Option<Variant> {
        if rendition.meter.bandwidth().is_some() && rendition.track().is_some() {
            return None;
        }
        let known = self.restored.as_ref()?.multivariant.as_ref()?;
        let mut variants = known.variants.iter();
        variants
            .find(|variant| variant.rendition == rendition.name)
            .cloned()
    }

    /// The captions that the restored multivariant playlist named.
    pub fn known_captions(&self) -> Option<String> {
        let known = self.restored.as_ref()?.multivariant.as_ref()?;
        known.captions.clone()
    }

    /// Gives a rendition the segments that were restored of its name.
    pub fn inherit(&self, next_msn: u64, heir: &mut Rendition) {
        let Some(restored) = &self.restored else {
            return;
        };
        heir.cursor = next_msn;
        if let Some(media) = restored.media(&heir.name) {
            heir.inherit(media);
            heir.listed = restored.multivariant.as_ref().is_some_and(|known| {
                let mut variants = known.variants.iter();
                let is_audio = known.audio.iter().any(|audio| audio.rendition == heir.name);
                is_audio || variants.any(|variant| variant.rendition == heir.name)
            });
        }
    }

    /// How much a run after its peer lists before it is shown: a playlist without its end has three
    /// target durations (bis §6.2.2), also on rungs that are a segment behind.
    pub fn shown_from(&self) -> Option<i64> {
        match self.promise {
            Promise::Made(constants) if self.is_known => {
                Some((GAPS + 1) * constants.target_ticks())
            }
            _ => None,
        }
    }

    /// Whole segments that a rendition needs before it is listed; viewers of a known run wait for
    /// the first.
    pub fn segments_needed(&self) -> u64 {
        match self.is_known {
            true => 1,
            false => READY_SEGMENTS,
        }
    }
}

impl Packager {
    /// Takes over what `start` continues.
    pub(super) fn continue_from(&mut self, start: Start) -> Result<(), Error> {
        match start {
            Start::Fresh { .. } => {}
            Start::JoinPeer {
                boundary,
                constants,
            } => self.join(boundary, constants),
            Start::AfterPeer(last_position) => {
                self.promise(last_position.constants);
                self.continuation.last_position = Some(last_position);
            }
            Start::Restart(restored) => self.resume(restored)?,
        }
        Ok(())
    }

    /// Keeps to constants that viewers know.
    fn promise(&mut self, constants: PlaylistConstants) {
        self.continuation.promise = Promise::Made(constants);
        self.segmenter.fix(constants.target_duration);
        self.window
            .at_least(constants.target_ticks() * LISTED_TARGETS);
        self.part_target = PartTarget::promised(constants.part_target);
    }

    fn join(&mut self, boundary: Boundary, constants: Option<PlaylistConstants>) {
        match constants {
            Some(constants) => self.promise(constants),
            None => self.continuation.promise = Promise::Awaited,
        }
        self.numbering.discontinuity = boundary.discontinuity;
        if let Some(interval) = boundary.keyframe_interval {
            self.segmenter.note_sync(boundary.dts - interval);
        }
        if let Some(ticks) = boundary.part_target {
            self.part_target = PartTarget::Ticks(ticks);
        }
        self.renditions.has_inband_parameter_sets = boundary.has_inband_parameter_sets;
        self.keyframes = KeyframeWatch::new(boundary.keyframes);
        self.continuation.boundary = Some(boundary);
    }

    fn resume(&mut self, restored: Arc<Snapshot>) -> Result<(), Error> {
        let leader = restored.renditions.first();
        let (Some(constants), Some(leader)) = (restored.constants, leader) else {
            return Err(Error::State("cannot continue a run that showed nothing"));
        };
        if *self.config.run_id != *restored.run_id {
            return Err(Error::State(
                "cannot continue what was restored for another run",
            ));
        }
        self.promise(constants);
        for segment in leader.listed() {
            let ticks = segment.timescale.rescale(segment.duration, VIDEO_TIMESCALE);
            self.window.push(segment.msn, ticks);
        }
        self.numbering.discontinuity = true;
        self.playlists.constants = Some(constants);
        self.playlists.ready_at = Some(self.window.clock());
        self.playlists.multivariant_exists = restored.multivariant.is_some();
        self.playlists.changed = true;
        self.continuation.is_known = true;
        self.continuation.restored = Some(restored);
        for own in self.renditions.iter_mut() {
            self.continuation.inherit(self.numbering.next_msn, own);
            own.meter.fix(constants.target_duration);
        }
        Ok(())
    }

    /// Ends the wait for constants of a packager that has joined: takes the peer's, or chooses its
    /// own when the peer is gone (`None`). Without effect once they are fixed.
    pub fn fix_constants(&mut self, constants: Option<PlaylistConstants>) {
        if self.playlists.constants.is_some() || !self.awaits_constants() {
            return;
        }
        self.continuation.promise = Promise::Free;
        if let Some(constants) = constants {
            self.continuation.promise = Promise::Made(constants);
            self.segmenter.fix(constants.target_duration);
            self.part_target = PartTarget::promised(constants.part_target);
        }
        self.advance_window();
        self.playlists.changed = true;
    }

    /// Whether it waits for [`Packager::fix_constants`].
    pub fn awaits_constants(&self) -> bool {
        self.continuation.promise == Promise::Awaited
    }

    /// Where the newest segment starts.
    pub fn newest_boundary(&self) -> Option<Boundary> {
        let timing = self.numbering.newest()?;
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
            has_inband_parameter_sets: timing.contents.inband_parameter_sets,
            keyframes: self.keyframes.state(),
        })
    }

    /// How far it has come; `None` before the first playlist.
    pub fn last_position(&self) -> Option<LastPosition> {
        let constants = self.playlists.constants?;
        let newest = self.numbering.newest()?;
        let (msn, discontinuity, discontinuity_sequence) = match newest.end {
            None => (
                newest.msn,
                newest.discontinuity,
                newest.discontinuity_sequence,
            ),
            Some(_) => (
                self.numbering.next_msn,
                self.numbering.discontinuity,
                self.numbering.discontinuities,
            ),
        };
        Some(LastPosition {
            msn,
            date_micros: newest.program_date_time(newest.end_time()),
            discontinuity,
            discontinuity_sequence,
            constants,
        })
    }

    /// As [`Packager::interrupt`], when the peer has what is missing here: segments that are not
    /// whole become gaps and nothing is added to them, so that no URL gets other bytes than there.
    pub fn interrupt_incomplete(&mut self) {
        self.clock.held.clear();
        self.renditions.iter_mut().for_each(Rendition::abandon);
        let announced = self.numbering.discontinuity;
        self.interrupt();
        // The run continues there without one.
        self.numbering.discontinuity = announced;
    }

    /// Lists what was lost with the peer before the first segment, which starts at `start`.
    pub(super) fn insert_gaps(&mut self, start: CutPoint, wall: i64) {
        let Some(last_position) = self.continuation.last_position.take() else {
            return;
        };
        let length = last_position.constants.target_ticks();
        // What follows is dated by the clock, what was lost by its distance to that: players show
        // dates of what they play. A clock that went back dates nothing before what viewers have
        // seen.
        let anchor = ProgramDateTime {
            time: start.time,
            micros: wall.max(last_position.date_micros),
        };
        let contents = Contents {
            video: false,
            audio: self.renditions.has_audio,
            inband_parameter_sets: self.renditions.has_inband_parameter_sets,
        };
        self.numbering.discontinuity = last_position.discontinuity;
        for ahead in (1..=GAPS).rev() {
            let at = |ahead: i64| CutPoint {
                dts: start.dts - ahead * length,
                time: start.time - ahead * length,
            };
            self.numbering.open(at(ahead), anchor, contents);
            if let Some(last) = self.numbering.newest_mut().filter(|_| ahead == 1) {
                last.ends_timeline = true;
            }
            let clock = self.window.clock();
            if let Some(timing) = self.numbering.close(at(ahead - 1), clock) {
                self.renditions
                    .present_mut()
                    .for_each(|rendition| rendition.lose(&timing));
                self.window.push(timing.msn, length);
            }
        }
        self.numbering.anchor = Some(anchor);
        self.numbering.discontinuity = true;
        self.continuation.is_known = true;
    }

    /// Holds back what follows a discontinuity at `wall` (microseconds since the Unix epoch), where
    /// the pause before it was long.
    pub(super) fn hold_back_after_pause(&mut self, wall: i64) {
        let Some(constants) = self.playlists.constants else {
            return;
        };
        let end = self.last_end().unwrap_or(wall);
        let target = i64::try_from(constants.target_duration).unwrap_or(i64::MAX);
        let long = target.saturating_mul(PAUSE_TARGETS * 1_000_000);
        let is_long = wall.saturating_sub(end) > long;
        self.continuation.hold_back = is_long.then_some(RestartHoldBack {
            first_msn: self.numbering.next_msn,
            clock: self.window.clock(),
        });
    }

    /// Whether viewers are shown nothing new for now.
    pub(super) fn is_held_back(&self) -> bool {
        let hold_back = self.continuation.hold_back;
        let (Some(hold_back), State::Cutting | State::Stalled) = (hold_back, self.state) else {
            return false;
        };
        let closed = |rendition: &Rendition| rendition.cursor.saturating_sub(hold_back.first_msn);
        let closed = self.renditions.present().map(closed).min().unwrap_or(0);
        !enough(closed, self.window.clock() - hold_back.clock)
    }
}
