//! Fills a track that has stopped while the other one goes on: silence for audio, the last keyframe
//! for video.
//!
//! A player stands still at the end of the shorter track, so a muted microphone or a camera that is
//! off would stop everybody. What has stopped is seen by the other track's progress and never by a
//! clock of ours: two origins that take the same publish fill the same places with the same bytes.
//!
//! ```text
//! other track   ----------------------------------------------------->
//! this track    ------|  quiet, then filled  . . . . . . . . |hold|
//!                     ^ expected here                          ^ comes back: filled up to it
//! ```
//!
//! What is measured is how far the other track has come since this track's last unit, so tracks
//! whose time stamps are apart, or that interleave coarsely, are not mistaken for stopped ones.

use super::{
    Event, Reason, STEP_MAX_MS, TICKS_PER_MS, Timeline, other,
    track_state::{Clock, Stamp},
};
use crate::{IngestUnit, MediaKind};

/// Audio is missing when video has gone on for this long without it: encoders interleave within a
/// second, and a player's buffer at the live edge holds little more.
pub const AUDIO_QUIET_MAX_MS: i64 = 1_000;
/// Video is missing when audio has gone on for this long without it, and no video unit lasts
/// longer: slides and screen shares send one frame a second, and a segment of two seconds must end.
pub const VIDEO_QUIET_MAX_MS: i64 = 2_000;
/// And the other track has sent this many units: one alone may follow a pause of both.
const UNITS_MIN: u64 = 2;
/// Filling stays this far behind where the track would be: what comes back on time then still finds
/// its place, whatever its jitter.
const HOLD_MS: i64 = 250;
/// A track may come back this late against the other one, and filling waits for it; more is a
/// buffer being emptied, or a clock that stood still.
const LATE_MAX_MS: i64 = 1_000;
/// A track that stays too late while the other one goes on for this long has lost its clock, and
/// goes on by arrival.
const LATE_FOR_MS: i64 = 2_000;
/// How long a repeated keyframe is shown: below the usual part target of 500 ms, and as seldom as
/// that allows, since keyframes are large.
const STILL_MS: i64 = 400;
/// Units of filling at once: twenty seconds of AAC at 48 kHz, beyond what any step of a clock calls
/// for.
const FILL_UNITS_MAX: usize = 1_000;

/// Where both tracks were when a track was last heard of, on the shared timeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Where its next unit was expected.
    pub(super) own: i64,
    /// Where the other track was.
    pub(super) other: i64,
    /// How many units the other track had placed.
    pub(super) units: u64,
}

/// A track that is being filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    /// How far filling stays behind, in shared ticks.
    hold: i64,
    /// Where the other track was when units began to come too late.
    late_since: Option<i64>,
    /// Where this track ended, in its own ticks.
    from: i64,
}

/// The last keyframe, to be shown again.
#[derive(Clone, Debug)]
pub(super) struct Still {
    pub(super) payload: bytes::Bytes,
    pub(super) composition: i64,
}

impl Timeline {
    /// Fills `kind` as far as it is due, now that the other track has gone on.
    pub(super) fn fill_if_quiet(&mut self, kind: MediaKind) {
        let Some((heard, quiet)) = self.quiet(kind) else {
            return;
        };
        let track = self.track(kind);
        let absence = match track.absence {
            Some(absence) => absence,
            None if quiet <= quiet_max(kind) || self.units_since(kind, heard) < UNITS_MIN => return,
            None if track.can_be_filled() => self.begin_absence(kind, Some(heard.own)),
            // Nothing to fill it with: at least what is held leaves.
            None if quiet > STEP_MAX_MS * TICKS_PER_MS => return self.release(kind),
            None => return,
        };
        let until = heard.own + quiet - absence.hold;
        let until = self.track(kind).to_own(until);
        self.fill(kind, until, None);
    }

    /// Fills a track that has stopped up to where the other one ends: nothing follows here.
    pub(super) fn level(&mut self, kind: MediaKind) {
        let Some((heard, quiet)) = self.quiet(kind) else {
            return;
        };
        let track = self.track(kind);
        if track.absence.is_none() {
            if quiet <= HOLD_MS * TICKS_PER_MS || !track.can_be_filled() {
                return;
            }
            self.begin_absence(kind, Some(heard.own));
        }
        // The other one's last unit lasts too.
        let end = self.track(other(kind)).expected().unwrap_or(0);
        let lasts = end - (heard.other + quiet);
        let until = (heard.own + quiet + lasts).min(end);
        let until = self.track(kind).to_own(until);
        self.fill(kind, until, None);
    }

    fn units_since(&self, kind: MediaKind, heard: Heard) -> u64 {
        self.track(other(kind)).stats.units - heard.units
    }

    /// What the other track has covered since this one was heard of.
    fn quiet(&self, kind: MediaKind) -> Option<(Heard, i64)> {
        let position = self.track(other(kind)).position()?;
        let heard = self.track(kind).heard?;
        Some((heard, position - heard.other))
    }

    /// The track has stopped. `own` is where its next unit was expected, on the shared timeline.
    pub(super) fn begin_absence(&mut self, kind: MediaKind, own: Option<i64>) -> Absence {
        self.release(kind);
        let track = self.track_mut(kind);
        let from = track.begin_fill(own.unwrap_or(0));
        let absence = Absence {
            hold: HOLD_MS * TICKS_PER_MS,
            late_since: None,
            from,
        };
        track.absence = Some(absence);
        self.events.push_back(Event::Stopped { kind });
        absence
    }

    /// A unit of a track that is being filled: its decode and presentation time, or `None` where it
    /// comes too late, or where no decoder can start.
    pub(super) fn come_back(&mut self, input: &IngestUnit, at: Option<i64>) -> Option<(i64, i64)> {
        let kind = input.kind;
        let track = self.track(kind);
        let end = track.end.unwrap_or(0);
        // Without another track nobody can say that it is late.
        let (expected, position) = match self.quiet(kind) {
            Some((heard, quiet)) => (heard.own + quiet, heard.other + quiet),
            None => (at.unwrap_or(track.to_shared(end)), 0),
        };
        let track = self.track_mut(kind);
        let absence = track.absence.as_mut()?;
        let mut sent = at.unwrap_or(expected);
        let late = expected - sent;
        if late <= LATE_MAX_MS * TICKS_PER_MS {
            absence.hold = absence.hold.max(late + HOLD_MS * TICKS_PER_MS);
        } else {
            let since = *absence.late_since.get_or_insert(position);
            if position - since <= LATE_FOR_MS * TICKS_PER_MS {
                return None;
            }
            sent = expected;
            track.clock = Some(Clock::at(Stamp::of(input), sent));
        }
        absence.late_since = None;
        let (dts, pts) = track.stamp_return(sent, input.composition_ticks())?;
        let can_start = kind == MediaKind::Audio || input.is_sync();
        (can_start && dts >= end).then_some((dts, pts))
    }

    /// The track goes on at `dts`: fills up to there.
    pub(super) fn end_absence(&mut self, kind: MediaKind, dts: i64, pts: i64) {
        self.fill(kind, dts, Some(pts));
        let track = self.track_mut(kind);
        if let Some(absence) = track.absence.take() {
            track.stats.gaps += 1;
            track.stats.gap_ticks += (dts - absence.from).unsigned_abs();
            let filled = track.timescale().duration(dts - absence.from);
            self.events.push_back(Event::Returned { kind, filled });
        }
        if self.track(kind).end != Some(dts) {
            self.break_timeline(Reason::Gap);
        }
    }

    /// The first unit of audio lies at `dts`: silence from where video began.
    pub(super) fn fill_before_start(&mut self, kind: MediaKind, dts: i64) {
        let has_video = self.video.has_begun && kind == MediaKind::Audio;
        let track = self.track_mut(kind);
        if std::mem::replace(&mut track.has_begun, true) || !has_video {
            return;
        }
        let Some(heard) = track.heard else {
            return;
        };
        let usual = track.usual_duration();
        let from = track.to_own(heard.own).max(track.end.unwrap_or(0));
        let units = (dts - from) / usual;
        if units > 0 {
            track.end = Some(dts - units * usual);
            self.fill(kind, dts, None);
        }
    }

    /// Appends units up to `until`, in ticks of the track: whole ones, or, where a unit presented
    /// at `next` follows exactly there, a shorter one at the end.
    fn fill(&mut self, kind: MediaKind, until: i64, next: Option<i64>) {
        let usual = self.track(kind).fill_duration(STILL_MS * TICKS_PER_MS);
        for _ in 0..FILL_UNITS_MAX {
            let track = self.track_mut(kind);
            let missing = until - track.end.unwrap_or(until);
            let is_short = missing < usual && (next.is_none() || kind == MediaKind::Audio);
            if missing <= 0 || is_short {
                return;
            }
            let Some(unit) = track.fill_unit(kind, usual.min(missing), next) else {
                return;
            };
            self.events.push_back(Event::AccessUnit(unit));
        }
    }
}

fn quiet_max(kind: MediaKind) -> i64 {
    TICKS_PER_MS
        * match kind {
            MediaKind::Video => VIDEO_QUIET_MAX_MS,
            MediaKind::Audio => AUDIO_QUIET_MAX_MS,
        }
}
