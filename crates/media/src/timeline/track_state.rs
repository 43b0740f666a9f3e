//! One track on its way: the publisher's clock, the stamper, and the unit held until its successor
//! comes.

use std::time::Duration;

use super::{
    BACKWARD_MAX_MS, STEP_MAX, TICKS_PER_MS, TrackStats, audio,
    fill::{Absence, Heard, Still},
    video,
};
use crate::{
    AccessUnit, AudioConfig, IngestUnit, MILLISECONDS, MediaKind, RandomAccess, Timescale,
    VIDEO_TIMESCALE, VideoConfig,
};

/// A time as the publisher stamped it, in ticks of its own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    ticks: i64,
    timescale: Timescale,
}

impl Stamp {
    pub(super) fn of(unit: &IngestUnit) -> Self {
        Self {
            ticks: unit.dts,
            timescale: unit.timescale,
        }
    }

    /// Shared ticks from `from` to here. Milliseconds go by the nearest way round, taken modulo
    /// 2^31, which fits clocks that wrap there (OBS masks to 31 bits) and clocks that wrap at 2^32
    /// alike: no real step comes near 12 days. Other clocks come unwrapped.
    pub(super) fn since(self, from: Self) -> i64 {
        if self.timescale != MILLISECONDS {
            let shared = |stamp: Self| stamp.timescale.rescale(stamp.ticks, VIDEO_TIMESCALE);
            return shared(self).saturating_sub(shared(from));
        }
        let steps = self.ticks.wrapping_sub(from.ticks) & 0x7fff_ffff;
        let steps = if steps < 1 << 30 {
            steps
        } else {
            steps - (1 << 31)
        };
        steps * TICKS_PER_MS
    }
}

/// The publisher's clock, tied to the shared timeline.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    stamp: Stamp,
    ticks: i64,
}

impl Clock {
    /// A clock that shows `stamp` at `ticks`.
    pub(super) fn at(stamp: Stamp, ticks: i64) -> Self {
        Self { stamp, ticks }
    }

    /// Where `stamp` lies.
    pub(super) fn ticks(&self, stamp: Stamp) -> i64 {
        self.ticks + stamp.since(self.stamp)
    }

    /// Where `stamp` lies, if a publisher could have come there in one step.
    pub(super) fn near(&self, stamp: Stamp) -> Option<i64> {
        is_step(stamp.since(self.stamp)).then(|| self.ticks(stamp))
    }

    pub(super) fn is_ahead(&self, stamp: Stamp) -> bool {
        stamp.since(self.stamp) > 0
    }

    /// Goes on to `stamp`; the step in shared ticks.
    pub(super) fn advance(&mut self, stamp: Stamp) -> i64 {
        self.ticks = self.ticks(stamp);
        let step = stamp.since(self.stamp);
        self.stamp = stamp;
        step
    }

    pub(super) fn raise(&mut self, ticks: i64) {
        self.ticks += ticks;
    }

    /// How far this clock's idea of a time stamp is from `other`'s.
    pub(super) fn against(&self, other: &Clock) -> i64 {
        self.ticks - other.ticks(self.stamp)
    }
}

fn is_step(ticks: i64) -> bool {
    (-BACKWARD_MAX_MS * TICKS_PER_MS..=STEP_MAX).contains(&ticks)
}

/// Between two presentation times at least: what a millisecond clock can tell apart.
const STEP_MIN: i64 = TICKS_PER_MS;

/// Where a unit as sent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To these ticks of the shared timeline.
    At(i64),
    /// Its stamp is worthless: to where its predecessor ends.
    Restamp,
    /// Its stamp repeats its predecessor's, so the clock stands still: to where that one ends.
    Repeat,
}

/// Arrivals in a row that are far from the clock and near each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outliers {
    stamp: Stamp,
    count: u32,
}

#[derive(Debug)]
pub(super) enum Stamper {
    Video(video::Grid),
    Audio(audio::Counter),
}

#[derive(Debug)]
struct Pending {
    dts: i64,
    pts: i64,
    input: IngestUnit,
}

/// One track.
#[derive(Debug, Default)]
pub(super) struct TrackState {
    pub(super) video: Option<VideoConfig>,
    pub(super) audio: Option<AudioConfig>,
    pub(super) stamper: Option<Stamper>,
    /// `None` until the track's first unit since the start or a resume.
    pub(super) clock: Option<Clock>,
    /// Which of the publisher's timelines the clock belongs to.
    pub(super) generation: u32,
    pub(super) outliers: Option<Outliers>,
    /// When its last unit arrived.
    pub(super) seen: Duration,
    /// End of what left, in ticks of the track.
    pub(super) end: Option<i64>,
    /// A discontinuity was announced since the last unit: the next one need not follow it.
    pub(super) broken: bool,
    /// Its configuration was announced in this session.
    pub(super) is_announced: bool,
    /// A unit was placed since the start or a resume.
    pub(super) has_begun: bool,
    /// Where both tracks were at its last unit; `None` while the other one has none.
    pub(super) heard: Option<Heard>,
    /// It has stopped and is being filled.
    pub(super) absence: Option<Absence>,
    /// What a stopped video track goes on with.
    pub(super) still: Option<Still>,
    /// Nothing may be presented before this, in ticks of the track: the end of what is.
    pub(super) presented: i64,
    pub(super) stats: TrackStats,
    pending: Option<Pending>,
}

impl TrackState {
    pub(super) fn set_video(&mut self, frame: Option<i64>) {
        match &mut self.stamper {
            Some(Stamper::Video(grid)) => grid.declare(frame),
            _ => self.stamper = Some(Stamper::Video(video::Grid::new(frame))),
        }
    }

    /// A new configuration; ticks already counted in another rate are counted anew.
    pub(super) fn set_audio(&mut self, config: &AudioConfig) {
        let scale = config.timescale();
        let rescaled = |ticks: i64| self.timescale().rescale(ticks, scale);
        let end = self.end.map(rescaled);
        let filled = i64::try_from(self.stats.filled_ticks).unwrap_or(i64::MAX);
        let filled = rescaled(filled).unsigned_abs();
        self.end = end;
        self.stats.filled_ticks = filled;
        self.stamper = Some(Stamper::Audio(audio::Counter::new(config, end)));
    }

    pub(super) fn timescale(&self) -> Timescale {
        match &self.stamper {
            Some(Stamper::Audio(counter)) => counter.timescale(),
            _ => VIDEO_TIMESCALE,
        }
    }

    /// Forgets the publisher: its clock, the rhythm it was smoothed to, what it announced. The end
    /// of what left stays the floor.
    pub(super) fn forget_publisher(&mut self) {
        self.clock = None;
        self.outliers = None;
        self.heard = None;
        self.absence = None;
        self.still = None;
        self.is_announced = false;
        self.has_begun = false;
        match &mut self.stamper {
            Some(Stamper::Video(grid)) => grid.restart(),
            Some(Stamper::Audio(counter)) => counter.restart(),
            None => {}
        }
    }

    /// Shared ticks of the last unit placed, or where filling has come to.
    pub(super) fn position(&self) -> Option<i64> {
        if self.clock.is_none() && self.absence.is_none() {
            return None;
        }
        let pending = self.pending.as_ref().map(|pending| pending.dts);
        let ticks = pending.or(self.end)?;
        Some(self.timescale().rescale(ticks, VIDEO_TIMESCALE))
    }

    /// Shared ticks where the next unit follows without a gap.
    pub(super) fn expected(&self) -> Option<i64> {
        let usual = self.usual_duration();
        let pending = self.pending.as_ref().map(|pending| pending.dts + usual);
        let ticks = pending.or(self.end)?;
        Some(self.timescale().rescale(ticks, VIDEO_TIMESCALE))
    }

    /// Whether a unit at `candidate` would follow its predecessor more smoothly than at `own`.
    pub(super) fn fits_better(&self, candidate: i64, own: i64) -> bool {
        let off = |ticks: i64| self.expected().map(|expected| (ticks - expected).abs());
        off(candidate) < off(own)
    }

    /// Counts an outlier; how many in a row agree with it.
    pub(super) fn outlier(&mut self, stamp: Stamp) -> u32 {
        let agrees = |o: &Outliers| is_step(stamp.since(o.stamp));
        let count = self.outliers.filter(agrees).map_or(0, |o| o.count) + 1;
        self.outliers = Some(Outliers { stamp, count });
        count
    }

    /// Exact decode and presentation time of a unit sent at `at` (`None`: where its predecessor
    /// ends), or `None` for one to drop. `sibling` is where the other track is.
    pub(super) fn stamp(
        &mut self,
        at: Option<i64>,
        composition: i64,
        sibling: Option<i64>,
    ) -> Option<(i64, i64)> {
        let floor = self.end.unwrap_or(0);
        match self.stamper.as_mut()? {
            Stamper::Video(grid) => {
                let dts = grid.stamp(at, floor, &mut self.stats);
                let pts = dts + grid.composition(composition);
                Some((dts, pts.max(0)))
            }
            Stamper::Audio(counter) => {
                let dts = counter.stamp(at, floor, sibling, &mut self.stats)?;
                Some((dts, dts))
            }
        }
    }

    /// Where a unit that comes back after filling lies, sent at `sent` on the shared timeline;
    /// before the end of what was filled where it is late.
    pub(super) fn stamp_return(&mut self, sent: i64, composition: i64) -> Option<(i64, i64)> {
        let end = self.end?;
        match self.stamper.as_mut()? {
            Stamper::Video(grid) => {
                let dts = grid.stamp(Some(sent), 0, &mut self.stats);
                let pts = dts + grid.composition(composition);
                Some((dts, pts.max(0)))
            }
            Stamper::Audio(counter) => {
                let dts = counter.rejoin(sent, end)?;
                Some((dts, dts))
            }
        }
    }

    /// A unit of audio without a byte, as some encoders send while muted, becomes silence.
    pub(super) fn fill_empty(&mut self, input: &mut IngestUnit) {
        if let Some(Stamper::Audio(counter)) = &self.stamper
            && input.payload.is_empty()
        {
            input.payload = counter.silence();
            self.stats.filled += 1;
            self.stats.filled_ticks += counter.usual_duration().unsigned_abs();
        }
    }

    /// Whether there is something to fill this track with.
    pub(super) fn can_be_filled(&self) -> bool {
        let is_key = |pending: &Pending| pending.input.is_sync();
        match &self.stamper {
            Some(Stamper::Audio(_)) => self.is_announced,
            Some(Stamper::Video(_)) => {
                self.still.is_some() || self.pending.as_ref().is_some_and(is_key)
            }
            None => false,
        }
    }

    /// The video unit that is held would last longer than one may, if the next lies at `dts`.
    pub(super) fn outlasts(&self, dts: i64, longest: i64) -> bool {
        let held = self.pending.as_ref();
        held.is_some_and(|held| held.input.kind == MediaKind::Video && dts - held.dts > longest)
    }

    /// Where filling begins, in ticks of the track: where it ended, or at `own` on the shared
    /// timeline where it has not begun.
    pub(super) fn begin_fill(&mut self, own: i64) -> i64 {
        let own = self.to_own(own);
        let end = match self.end {
            Some(end) if self.has_begun => end,
            end => own.max(end.unwrap_or(0)),
        };
        self.end = Some(end);
        end
    }

    /// How long one unit of filling is.
    pub(super) fn fill_duration(&self, still: i64) -> i64 {
        match &self.stamper {
            Some(Stamper::Video(grid)) => match grid.frame() {
                // On the grid of the frames around it.
                Some(frame) => (still / frame).max(1) * frame,
                None => still,
            },
            _ => self.usual_duration(),
        }
    }

    /// A unit of filling at the end of what there is. `before` bounds its presentation time.
    pub(super) fn fill_unit(
        &mut self,
        kind: MediaKind,
        duration: i64,
        before: Option<i64>,
    ) -> Option<AccessUnit> {
        let dts = self.end?;
        let (payload, pts) = match (&self.stamper, &self.still) {
            (Some(Stamper::Audio(counter)), _) => (counter.silence(), dts),
            (Some(Stamper::Video(_)), Some(still)) => {
                let pts = (dts + still.composition).max(self.presented);
                let latest = before.map_or(i64::MAX, |next| next - STEP_MIN);
                (still.payload.clone(), pts.min(latest).max(0))
            }
            _ => return None,
        };
        self.end = Some(dts + duration);
        self.presented = pts + STEP_MIN;
        self.broken = false;
        self.stats.filled += 1;
        self.stats.filled_ticks += duration.unsigned_abs();
        Some(AccessUnit {
            kind,
            dts,
            pts,
            duration: u32::try_from(duration).unwrap_or(u32::MAX).max(1),
            random_access: RandomAccess::Idr,
            payload,
        })
    }

    /// Shared ticks in ticks of the track.
    pub(super) fn to_own(&self, ticks: i64) -> i64 {
        VIDEO_TIMESCALE.rescale(ticks, self.timescale())
    }

    /// Ticks of the track on the shared timeline.
    pub(super) fn to_shared(&self, ticks: i64) -> i64 {
        self.timescale().rescale(ticks, VIDEO_TIMESCALE)
    }

    /// How long a unit usually lasts, in ticks of the track; never 0.
    pub(super) fn usual_duration(&self) -> i64 {
        self.stamper.as_ref().map_or(1, Stamper::usual_duration)
    }

    /// Whether a unit at `dts` neither follows what left nor stands behind a discontinuity.
    pub(super) fn leaves_hole(&self, dts: i64) -> bool {
        self.pending.is_none() && !self.broken && self.end.is_some_and(|end| end != dts)
    }

    /// Audio is missing between the held unit and one at `dts`: the held unit and as much silence.
    pub(super) fn fill_lost(&mut self, dts: i64) -> Vec<AccessUnit> {
        let Some(Stamper::Audio(counter)) = &self.stamper else {
            return Vec::new();
        };
        let (usual, silence) = (counter.usual_duration(), counter.silence());
        let mut units = Vec::new();
        while let Some(held) = self.pending.take_if(|held| dts - held.dts >= 2 * usual) {
            let next = held.dts + usual;
            let input = IngestUnit {
                payload: silence.clone(),
                ..held.input.clone()
            };
            units.push(self.finish(held, next));
            self.pending = Some(Pending {
                dts: next,
                pts: next,
                input,
            });
            self.stats.filled += 1;
            self.stats.filled_ticks += usual.unsigned_abs();
        }
        units
    }

    /// Holds a unit; its predecessor, now that its duration is known.
    pub(super) fn follow(&mut self, input: IngestUnit, dts: i64, pts: i64) -> Option<AccessUnit> {
        self.broken = false;
        self.stats.units += 1;
        self.presented = self.presented.max(pts + self.usual_duration());
        let held = self.pending.replace(Pending { dts, pts, input })?;
        Some(self.finish(held, dts))
    }

    /// The held unit with its usual duration.
    pub(super) fn release(&mut self) -> Option<AccessUnit> {
        let held = self.pending.take()?;
        let end = held.dts + self.usual_duration();
        if let Some(Stamper::Audio(counter)) = &mut self.stamper {
            counter.follow(end);
        }
        Some(self.finish(held, end))
    }

    pub(super) fn pending(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) fn stats(&self) -> TrackStats {
        let frame = match &self.stamper {
            Some(Stamper::Video(grid)) => grid.frame().unwrap_or(0),
            Some(Stamper::Audio(counter)) => counter.usual_duration(),
            None => 0,
        };
        TrackStats {
            frame_ticks: u32::try_from(frame).unwrap_or(0),
            is_filled: self.absence.is_some(),
            ..self.stats
        }
    }

    fn finish(&mut self, held: Pending, end: i64) -> AccessUnit {
        self.end = Some(end);
        if held.input.kind == MediaKind::Video && held.input.is_sync() {
            self.still = Some(Still {
                payload: held.input.payload.clone(),
                composition: held.pts - held.dts,
            });
        }
        let duration = u32::try_from(end - held.dts).unwrap_or(u32::MAX).max(1);
        AccessUnit {
            kind: held.input.kind,
            dts: held.dts,
            pts: held.pts,
            duration,
            random_access: held.input.random_access,
            payload: held.input.payload,
        }
    }
}

impl Stamper {
    fn usual_duration(&self) -> i64 {
        match self {
            Stamper::Video(grid) => grid.usual_duration(),
            Stamper::Audio(counter) => counter.usual_duration(),
        }
    }
}
