//! What arrived and is not published yet, and where in the peer's timeline it belongs.
//!
//! A keyframe both know ties the video together, an audio unit the audio; each in exact ticks of
//! its own track. All that both know must agree, or nothing is believed.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use hls::{Boundary, PlaylistConstants, Tracks};
use media::{AccessUnit, MediaKind, Timescale, VIDEO_TIMESCALE};

use crate::{
    HOLD_BYTES_MAX, HOLD_UNITS_MAX,
    status::{KeyframeMark, PeerStatus},
};

/// Audio known to both lies this close (in ticks of the video timescale, 10 ms) to where the
/// pictures say it does: two roundings to a millisecond at each end and the timelines' own
/// tolerance, and less than half a audio unit.
const AUDIO_NEAR: i64 = 3_600;

/// Units of audio that must agree: two in a row are no accident.
const AUDIO_AGREE_MIN: usize = 2;

/// Among keyframes with equal bytes (a still picture) the one that arrived nearest in time is
/// meant, if all others are this many times farther.
const NEARER_TIMES: u64 = 3;

/// Arrivals of one keyframe at two origins may differ by this much and count as equally near.
const NEAR_MS: u64 = 100;

/// A unit as the timeline made it, on our own ticks.
#[derive(Clone, Debug)]
pub struct PendingUnit {
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
    Rejoin,
    /// The same, and ours contradicts the leader's under the same name.
    Diverged,
}

/// Ticks to add, by track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimestampOffset {
    /// In ticks of the video timescale.
    pub video: i64,
    /// In samples.
    pub audio: i64,
}

impl TimestampOffset {
    /// The unit on the adopted ticks.
    pub fn apply(&self, mut unit: AccessUnit) -> AccessUnit {
        let timestamp_offset = match unit.kind {
            MediaKind::Video => self.video,
            MediaKind::Audio => self.audio,
        };
        unit.dts = unit.dts.saturating_add(timestamp_offset);
        unit.pts = unit.pts.saturating_add(timestamp_offset);
        unit
    }
}

/// Where and how to go on alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The peer's run.
    pub run_id: String,
    /// The segment to start with.
    pub boundary: Boundary,
    /// The peer's constants, once it has any.
    pub constants: Option<PlaylistConstants>,
    /// To its ticks.
    pub timestamp_offset: TimestampOffset,
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
pub struct PendingMedia {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Duration,
    /// Since when there is something to decide about: the first unit that could open a segment.
    pub sync_since: Option<Duration>,
    /// The publisher's tracks.
    pub tracks: Tracks,
    units: VecDeque<PendingUnit>,
    /// Audio from before, already published on the old ticks.
    recent: Vec<PendingUnit>,
    bytes: usize,
}

impl PendingMedia {
    /// Nothing held yet.
    pub fn new(reason: Reason, since: Duration, tracks: Tracks, recent: Vec<PendingUnit>) -> Self {
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
    pub fn leading(&self) -> MediaKind {
        match self.tracks.video {
            Some(_) => MediaKind::Video,
            None => MediaKind::Audio,
        }
    }

    /// Keeps a unit.
    pub fn push(&mut self, held: PendingUnit) {
        if held.unit.kind == self.leading() && held.unit.is_sync() {
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
    pub fn release(self) -> VecDeque<PendingUnit> {
        self.units
    }

    /// What is published after joining: the leading track from the boundary on, and all audio that
    /// may belong to it.
    pub fn join(self, join: &Join) -> Vec<PendingUnit> {
        let leading = self.leading();
        let scale = self.audio_timescale();
        let units = self.recent.into_iter().chain(self.units);
        let kept = units.filter_map(|held| {
            let unit = join.timestamp_offset.apply(held.unit);
            let time = match unit.kind {
                MediaKind::Video => unit.dts,
                MediaKind::Audio => scale.rescale(unit.pts, VIDEO_TIMESCALE),
            };
            let from = match (unit.kind, leading) {
                (MediaKind::Video, _) => join.boundary.dts,
                (MediaKind::Audio, _) => join.boundary.time,
            };
            (time >= from && unit.dts >= 0).then_some(PendingUnit { unit, ..held })
        });
        kept.collect()
    }

    /// Looks for the held units in the peer's memory.
    pub fn find(&self, status: &PeerStatus, answered: Duration) -> Match {
        let Some(run) = &status.run else {
            return Match::Unknown;
        };
        let mut recognised = false;
        for held in self.keys() {
            let Some(mark) = nearest(&status.marks, held, answered) else {
                continue;
            };
            recognised = true;
            let Some(boundary) = mark.boundary.filter(|_| is_same(mark, held)) else {
                continue;
            };
            let Some(timestamp_offset) =
                self.timestamp_offset(status, held, mark, &boundary, answered)
            else {
                continue;
            };
            return Match::Found(Join {
                run_id: run.run_id.clone(),
                boundary,
                constants: run.constants,
                timestamp_offset,
                offset_ms: offset_ms(mark, held.at, answered),
            });
        }
        let heard = || {
            let known =
                |held: &&PendingUnit| status.sounds.iter().any(|(hash, _)| *hash == held.hash);
            self.sounds().filter(known).count() >= AUDIO_AGREE_MIN
        };
        match recognised || (self.leading() == MediaKind::Audio && heard()) {
            true => Match::Recognised,
            false => Match::Unknown,
        }
    }

    fn keys(&self) -> impl Iterator<Item = &PendingUnit> {
        let leading = self.leading();
        let units = self.units.iter();
        units.filter(move |held| held.unit.kind == leading && held.unit.is_sync())
    }

    fn sounds(&self) -> impl Iterator<Item = &PendingUnit> {
        let all = self.recent.iter().chain(&self.units);
        all.filter(|held| held.unit.kind == MediaKind::Audio)
    }

    fn audio_timescale(&self) -> Timescale {
        let track = self.tracks.audio.as_ref();
        track.map_or(VIDEO_TIMESCALE, media::Track::timescale)
    }

    /// The offset that puts `held` at `mark`, if all else that both know agrees with it.
    fn timestamp_offset(
        &self,
        status: &PeerStatus,
        held: &PendingUnit,
        mark: &KeyframeMark,
        boundary: &Boundary,
        answered: Duration,
    ) -> Option<TimestampOffset> {
        let by = mark.dts.checked_sub(held.unit.dts)?;
        // Keyframes before it are not published: the timeline may have found its grid only then.
        for other in self
            .keys()
            .skip_while(|other| other.unit.dts < held.unit.dts)
        {
            // One that cannot be told from others is no witness.
            if let Some(theirs) = nearest(&status.marks, other, answered)
                && theirs.dts - other.unit.dts != by
            {
                return None;
            }
        }
        if self.leading() == MediaKind::Audio {
            return Some(TimestampOffset {
                video: 0,
                audio: by,
            });
        }
        if boundary.dts != mark.dts {
            return None;
        }
        if self.tracks.audio.is_none() {
            return Some(TimestampOffset {
                video: by,
                audio: 0,
            });
        }
        let audio = self.audio_offset(status, by, held.unit.dts)?;
        let first = self.sounds().next()?;
        let first = first.unit.pts.saturating_add(audio);
        let first = self.audio_timescale().rescale(first, VIDEO_TIMESCALE);
        // Audio that belongs to the segment and came before us would be missing in it.
        (first <= boundary.time).then_some(TimestampOffset { video: by, audio })
    }

    /// The audio's own timestamp_offset, near the pictures', from a decode time of ours on.
    fn audio_offset(&self, status: &PeerStatus, video: i64, from: i64) -> Option<i64> {
        let scale = self.audio_timescale();
        let near = VIDEO_TIMESCALE.rescale(AUDIO_NEAR, scale);
        let about = VIDEO_TIMESCALE.rescale(video, scale);
        let from = VIDEO_TIMESCALE.rescale(from, scale);
        let mut agreed: Option<(i64, usize)> = None;
        for held in self.sounds().filter(|held| held.unit.dts >= from) {
            let expected = held.unit.dts.saturating_add(about);
            let known = status.sounds.iter().filter(|(hash, _)| *hash == held.hash);
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
        (count >= AUDIO_AGREE_MIN).then_some(by)
    }
}

/// The unit is what the mark says, on a grid of the same rate.
fn is_same(mark: &KeyframeMark, held: &PendingUnit) -> bool {
    mark.frame == held.frame && mark.pts - mark.dts == held.unit.pts - held.unit.dts
}

/// How much later than at the peer a unit arrived here.
pub fn offset_ms(mark: &KeyframeMark, at: Duration, answered: Duration) -> i64 {
    let age_ms = answered.saturating_sub(at).as_millis();
    let age_ms = i64::try_from(age_ms).unwrap_or(i64::MAX);
    let theirs = i64::try_from(mark.age_ms).unwrap_or(i64::MAX);
    theirs.saturating_sub(age_ms)
}

/// The peer's keyframe with the same bytes: the only one, or the one that arrived at the same time.
fn nearest<'a>(
    marks: &'a [KeyframeMark],
    held: &PendingUnit,
    answered: Duration,
) -> Option<&'a KeyframeMark> {
    let mut best: Option<(u64, &KeyframeMark)> = None;
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
