//! What arrived and is not published yet, and where in the peer's timeline it belongs.
//!
//! A keyframe both know ties the pictures together, a unit of sound the sound; each in exact ticks of its
//! own track. All that both know must agree, or nothing is believed.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use hls::{Boundary, Constants, Tracks};
use media::{AccessUnit, Kind, Timescale, VIDEO_TIMESCALE};

use super::{
    HOLD_BYTES_MAX, HOLD_UNITS_MAX,
    facts::{Facts, MarkFacts},
};

/// Sound known to both lies this close (in ticks of the video timescale, 10 ms) to where the pictures say it
/// does: two roundings to a millisecond at each end and the timelines' own tolerance, and less than half a
/// unit of sound.
const SOUND_NEAR: i64 = 3_600;

/// Units of sound that must agree: two in a row are no accident.
const SOUNDS_AGREE_MIN: usize = 2;

/// Among keyframes with equal bytes (a still picture) the one that arrived nearest in time is meant, if all
/// others are this many times farther.
const NEARER_TIMES: u64 = 3;

/// Arrivals of one keyframe at two origins may differ by this much and count as equally near.
const NEAR_MS: u64 = 100;

/// A unit as the timeline made it, on our own ticks.
#[derive(Clone, Debug)]
pub struct Held {
    /// The unit.
    pub unit: AccessUnit,
    /// Its payload's name; 0 for pictures that are no keyframes.
    pub hash: u64,
    /// The wall's clock when it arrived.
    pub wall: SystemTime,
    /// When it arrived.
    pub at: Duration,
    /// Ticks of a picture when it was stamped.
    pub frame: u32,
}

/// Why media is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The stream starts here.
    Start,
    /// The timeline broke: a publisher came back, or its clock jumped.
    Break(&'static str),
    /// The other origin leads: its timeline is adopted at the next keyframe.
    Yield,
    /// The same, and ours contradicts the leader's under the same name.
    Poisoned,
}

/// Ticks to add, by track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// In ticks of the video timescale.
    pub video: i64,
    /// In samples.
    pub audio: i64,
}

impl Shift {
    /// The unit on the adopted ticks.
    pub fn apply(&self, mut unit: AccessUnit) -> AccessUnit {
        let shift = match unit.kind {
            Kind::Video => self.video,
            Kind::Audio => self.audio,
        };
        unit.dts = unit.dts.saturating_add(shift);
        unit.pts = unit.pts.saturating_add(shift);
        unit
    }
}

/// Where and how to go on alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The peer's run.
    pub epoch: String,
    /// The segment to start with.
    pub boundary: Boundary,
    /// The peer's constants, once it has any.
    pub constants: Option<Constants>,
    /// To its ticks.
    pub shift: Shift,
    /// How much later than there the boundary arrived here, in milliseconds.
    pub offset_ms: i64,
}

/// What comparing with the peer's memory gave.
#[derive(Debug, PartialEq)]
pub enum Match {
    /// Nothing in common.
    Unknown,
    /// Something in common, and no boundary to start at yet.
    Recognised,
    /// Go on here.
    Found(Join),
}

/// Media that waits for a decision.
#[derive(Debug)]
pub struct Hold {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Duration,
    /// Since when there is something to decide about: the first unit that could open a segment.
    pub sync_since: Option<Duration>,
    /// The publisher's tracks.
    pub tracks: Tracks,
    units: VecDeque<Held>,
    /// Sound from before, already published on the old ticks.
    recent: Vec<Held>,
    bytes: usize,
}

impl Hold {
    /// Nothing held yet.
    pub fn new(reason: Reason, since: Duration, tracks: Tracks, recent: Vec<Held>) -> Self {
        Self {
            reason,
            since,
            sync_since: None,
            tracks,
            units: VecDeque::new(),
            recent,
            bytes: 0,
        }
    }

    /// The track that opens segments.
    pub fn leading(&self) -> Kind {
        match self.tracks.video {
            Some(_) => Kind::Video,
            None => Kind::Audio,
        }
    }

    /// Keeps a unit.
    pub fn push(&mut self, held: Held) {
        if held.unit.kind == self.leading() && held.unit.is_sync {
            self.sync_since.get_or_insert(held.at);
        }
        self.bytes += held.unit.payload.len();
        self.units.push_back(held);
    }

    /// No more may be held.
    pub fn is_full(&self) -> bool {
        self.bytes > HOLD_BYTES_MAX || self.units.len() > HOLD_UNITS_MAX
    }

    /// Everything held, to be published on the ticks it has.
    pub fn release(self) -> VecDeque<Held> {
        self.units
    }

    /// What is published after joining: the leading track from the boundary on, and all sound that may
    /// belong to it.
    pub fn join(self, join: &Join) -> Vec<Held> {
        let leading = self.leading();
        let scale = self.sound_scale();
        let units = self.recent.into_iter().chain(self.units);
        let kept = units.filter_map(|held| {
            let unit = join.shift.apply(held.unit);
            let time = match unit.kind {
                Kind::Video => unit.dts,
                Kind::Audio => scale.rescale(unit.pts, VIDEO_TIMESCALE),
            };
            let from = match (unit.kind, leading) {
                (Kind::Video, _) => join.boundary.dts,
                (Kind::Audio, _) => join.boundary.time,
            };
            (time >= from && unit.dts >= 0).then_some(Held { unit, ..held })
        });
        kept.collect()
    }

    /// Looks for the held units in the peer's memory.
    pub fn find(&self, facts: &Facts, answered: Duration) -> Match {
        let Some(run) = &facts.run else {
            return Match::Unknown;
        };
        let mut recognised = false;
        for held in self.keys() {
            let Some(mark) = nearest(&facts.marks, held, answered) else {
                continue;
            };
            recognised = true;
            let Some(boundary) = mark.boundary.filter(|_| is_same(mark, held)) else {
                continue;
            };
            let Some(shift) = self.shift(facts, held, mark, &boundary, answered) else {
                continue;
            };
            return Match::Found(Join {
                epoch: run.epoch.clone(),
                boundary,
                constants: run.constants,
                shift,
                offset_ms: offset_ms(mark, held.at, answered),
            });
        }
        let heard = || {
            let known = |held: &&Held| facts.sounds.iter().any(|(hash, _)| *hash == held.hash);
            self.sounds().filter(known).count() >= SOUNDS_AGREE_MIN
        };
        match recognised || (self.leading() == Kind::Audio && heard()) {
            true => Match::Recognised,
            false => Match::Unknown,
        }
    }

    fn keys(&self) -> impl Iterator<Item = &Held> {
        let leading = self.leading();
        let units = self.units.iter();
        units.filter(move |held| held.unit.kind == leading && held.unit.is_sync)
    }

    fn sounds(&self) -> impl Iterator<Item = &Held> {
        let all = self.recent.iter().chain(&self.units);
        all.filter(|held| held.unit.kind == Kind::Audio)
    }

    fn sound_scale(&self) -> Timescale {
        let track = self.tracks.audio.as_ref();
        track.map_or(VIDEO_TIMESCALE, |track| track.timescale)
    }

    /// The shift that puts `held` at `mark`, if all else that both know agrees with it.
    fn shift(
        &self,
        facts: &Facts,
        held: &Held,
        mark: &MarkFacts,
        boundary: &Boundary,
        answered: Duration,
    ) -> Option<Shift> {
        let by = mark.dts.checked_sub(held.unit.dts)?;
        // Keyframes before it are not published: the timeline may have found its grid only then.
        for other in self
            .keys()
            .skip_while(|other| other.unit.dts < held.unit.dts)
        {
            // One that cannot be told from others is no witness.
            if let Some(theirs) = nearest(&facts.marks, other, answered)
                && theirs.dts - other.unit.dts != by
            {
                return None;
            }
        }
        if self.leading() == Kind::Audio {
            return Some(Shift {
                video: 0,
                audio: by,
            });
        }
        if boundary.dts != mark.dts {
            return None;
        }
        if self.tracks.audio.is_none() {
            return Some(Shift {
                video: by,
                audio: 0,
            });
        }
        let audio = self.sound_shift(facts, by, held.unit.dts)?;
        let first = self.sounds().next()?;
        let first = first.unit.pts.saturating_add(audio);
        let first = self.sound_scale().rescale(first, VIDEO_TIMESCALE);
        // Sound that belongs to the segment and came before us would be missing in it.
        (first <= boundary.time).then_some(Shift { video: by, audio })
    }

    /// The sound's own shift, near the pictures', from a decode time of ours on.
    fn sound_shift(&self, facts: &Facts, video: i64, from: i64) -> Option<i64> {
        let scale = self.sound_scale();
        let near = VIDEO_TIMESCALE.rescale(SOUND_NEAR, scale);
        let about = VIDEO_TIMESCALE.rescale(video, scale);
        let from = VIDEO_TIMESCALE.rescale(from, scale);
        let mut agreed: Option<(i64, usize)> = None;
        for held in self.sounds().filter(|held| held.unit.dts >= from) {
            let expected = held.unit.dts.saturating_add(about);
            let known = facts.sounds.iter().filter(|(hash, _)| *hash == held.hash);
            let off = |dts: i64| (dts - expected).abs();
            let Some((_, dts)) = known.min_by_key(|(_, dts)| off(*dts)) else {
                continue;
            };
            if off(*dts) > near {
                continue;
            }
            let by = dts - held.unit.dts;
            agreed = match agreed {
                Some((other, _)) if other != by => return None,
                Some((_, count)) => Some((by, count + 1)),
                None => Some((by, 1)),
            };
        }
        let (by, count) = agreed?;
        (count >= SOUNDS_AGREE_MIN).then_some(by)
    }
}

/// The unit is what the mark says, on a grid of the same rate.
fn is_same(mark: &MarkFacts, held: &Held) -> bool {
    mark.frame == held.frame && mark.pts - mark.dts == held.unit.pts - held.unit.dts
}

/// How much later than at the peer a unit arrived here.
pub fn offset_ms(mark: &MarkFacts, at: Duration, answered: Duration) -> i64 {
    let age_ms = answered.saturating_sub(at).as_millis();
    let age_ms = i64::try_from(age_ms).unwrap_or(i64::MAX);
    let theirs = i64::try_from(mark.age_ms).unwrap_or(i64::MAX);
    theirs.saturating_sub(age_ms)
}

/// The peer's keyframe with the same bytes: the only one, or the one that arrived at the same time.
fn nearest<'a>(marks: &'a [MarkFacts], held: &Held, answered: Duration) -> Option<&'a MarkFacts> {
    let mut best: Option<(u64, &MarkFacts)> = None;
    let mut second = u64::MAX;
    for mark in marks.iter().filter(|mark| mark.hash == held.hash) {
        let off = offset_ms(mark, held.at, answered).unsigned_abs();
        match best {
            Some((least, _)) if off >= least => second = second.min(off),
            _ => {
                second = best.map_or(u64::MAX, |(least, _)| least);
                best = Some((off, mark));
            }
        }
    }
    let (off, mark) = best?;
    let clear = second / NEARER_TIMES >= off.max(NEAR_MS);
    (second == u64::MAX || clear).then_some(mark)
}
