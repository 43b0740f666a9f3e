//! What origins tell each other, and what of it is believed.
//!
//! A peer is authenticated, yet may be of another version, have a wrong clock or a defect.
//! Everything that would move our numbers or times is checked against what can be true; one
//! impossible value and the whole answer counts as none.

use std::collections::BTreeMap;

use hls::{Boundary, LastPosition, PlaylistConstants};
use media::VIDEO_TIMESCALE;
use serde::{Deserialize, Serialize};
use urls::is_name;

use crate::Settings;

/// Changes when an older program would misread it.
pub const VERSION: u32 = 1;

/// Keyframes told: a minute of one a second, two of one every two seconds.
pub const KEYFRAMES_MAX: usize = 64;
/// Access audio units told: ten seconds at 48 kHz.
pub const AUDIO_UNITS_MAX: usize = 512;
/// Segments whose digests are told.
pub const DIGESTS_MAX: usize = 8;
/// Renditions told: the ladder's bound and the source's two.
const INITS_MAX: usize = 18;

/// Numbers are at most this far ahead of our clock, in seconds: both machines keep time, and a
/// minute is what a badly kept one is off.
const AHEAD_MAX_SECONDS: u64 = 60;
/// Players walk to this number; more is no broadcast's.
const DISCONTINUITIES_MAX: u64 = 1_000_000;

/// Program date times are at most this far from our clock, in microseconds.
const DATE_OFF_MAX_MICROS: i64 = 3_600_000_000;
/// No broadcast is longer (ten years of ticks).
const TICKS_MAX: i64 = 10 * 366 * 86_400 * VIDEO_TIMESCALE.rate() as i64;

/// Presentation is at most this far from decoding.
const DELAY_MAX: i64 = 10 * VIDEO_TIMESCALE.rate() as i64;

/// What an origin does with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does not know the stream, or its run has ended.
    Absent,
    /// Media arrives and is held.
    Holding,
    /// Media arrives and is published.
    Live,
    /// It has a run, and no publisher now.
    Waiting,
}

/// A run in progress, or the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Its name in every media URL.
    #[serde(rename = "epoch")]
    pub run_id: String,
    /// The number this origin's part of it began with.
    pub origin_msn: u64,
    /// The number the next segment gets.
    pub next_msn: u64,
    /// Discontinuities so far.
    pub discontinuity_sequence: u64,
    /// A playlist of it exists: viewers may know its numbers.
    pub served: bool,
    /// Fixed once the first playlist exists.
    pub constants: Option<PlaylistConstants>,
    /// Each rendition's newest init segment.
    #[serde(default)]
    pub inits: BTreeMap<String, u32>,
    /// Where it stands, for whoever must go on from there: told when its publisher has gone and
    /// nobody else carried it.
    #[serde(default, rename = "tail")]
    pub last_position: Option<LastPosition>,
}

/// A keyframe that was published (in a stream of audio alone: a unit that opened a segment).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyframeMark {
    /// Its payload's fingerprint.
    pub hash: u64,
    /// Its decode time, in ticks of its track.
    pub dts: i64,
    /// Its presentation time.
    pub pts: i64,
    /// Ticks of a picture when it was stamped; 0 where the rate varies.
    pub frame: u32,
    /// How long ago it arrived.
    pub age_ms: u64,
    /// The segment that it opens.
    pub boundary: Option<Boundary>,
}

/// The digests of a whole segment's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentDigest {
    /// Which.
    pub msn: u64,
    /// Of the pass-through pictures.
    pub source: Option<u64>,
    /// Of the audio.
    pub audio: Option<u64>,
}

/// The answer to `GET /peer/v1/streams/<stream>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// [`VERSION`].
    pub version: u32,
    /// Wins ties.
    pub primary: bool,
    /// How it cuts.
    pub settings: Settings,
    /// What it does.
    pub state: State,
    /// How long ago its timeline last moved to follow the publisher's clock; what moves cannot be
    /// joined.
    #[serde(default)]
    pub settled_ms: u64,
    /// Its run.
    pub run: Option<RunStatus>,
    /// Keyframes, oldest first.
    pub marks: Vec<KeyframeMark>,
    /// Fingerprints and decode times of audio, oldest first; only when asked for.
    #[serde(default)]
    pub sounds: Vec<(u64, i64)>,
    /// Whole segments, oldest first.
    #[serde(default)]
    pub digests: Vec<SegmentDigest>,
}

/// Why an answer is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// Another program.
    #[error("cannot read the peer's version {0}: this is {VERSION}; run the same version on both")]
    Version(u32),
    /// More than there can be.
    #[error("cannot take {count} {what} from the peer: the limit is {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// A value that cannot be true.
    #[error("cannot believe the peer's {what} of {value}")]
    Value {
        /// Which.
        what: &'static str,
        /// What it says.
        value: i128,
    },
    /// Values that contradict each other.
    #[error("cannot believe the peer: its {0} go back")]
    Order(&'static str),
    /// A name that no URL may pending.
    #[error("cannot use the peer's run id: it is no name")]
    RunId,
}

impl PeerStatus {
    /// The answer about a stream that is not known.
    pub fn absent(settings: Settings, primary: bool) -> Self {
        Self {
            version: VERSION,
            primary,
            settings,
            state: State::Absent,
            settled_ms: 0,
            run: None,
            marks: Vec::new(),
            sounds: Vec::new(),
            digests: Vec::new(),
        }
    }

    /// Checks everything against what can be true when our clock reads `wall_micros`.
    pub fn check(&self, wall_micros: i64) -> Result<(), Implausible> {
        if self.version != VERSION {
            return Err(Implausible::Version(self.version));
        }
        bound("keyframes", self.marks.len(), KEYFRAMES_MAX)?;
        bound("audio units", self.sounds.len(), AUDIO_UNITS_MAX)?;
        bound("digests", self.digests.len(), DIGESTS_MAX)?;
        if let Some(run) = &self.run {
            run.check(wall_micros)?;
        }
        self.check_marks(wall_micros)?;
        let sounds = self.sounds.iter().map(|(_, dts)| *dts);
        rising("times of audio", sounds.clone())?;
        for dts in sounds {
            within("time", dts, 0, TICKS_MAX)?;
        }
        rising("digests", self.digests.iter().map(|digest| digest.msn))
    }

    fn check_marks(&self, wall_micros: i64) -> Result<(), Implausible> {
        rising("keyframes", self.marks.iter().map(|mark| mark.dts))?;
        let boundaries = self.marks.iter().filter_map(|mark| mark.boundary.as_ref());
        rising(
            "boundaries",
            boundaries.clone().map(|boundary| boundary.msn),
        )?;
        for mark in &self.marks {
            within("keyframe's time", mark.dts, 0, TICKS_MAX)?;
            within(
                "keyframe's delay",
                mark.pts.saturating_sub(mark.dts),
                -DELAY_MAX,
                DELAY_MAX,
            )?;
        }
        let next = self.run.as_ref().map_or(0, |run| run.next_msn);
        for boundary in boundaries {
            check_boundary(boundary, next, wall_micros)?;
        }
        Ok(())
    }
}

impl RunStatus {
    fn check(&self, wall_micros: i64) -> Result<(), Implausible> {
        if !is_name(&self.run_id) {
            return Err(Implausible::RunId);
        }
        bound("renditions", self.inits.len(), INITS_MAX)?;
        let now = u64::try_from(wall_micros / 1_000_000).unwrap_or(0);
        let newest = now.saturating_add(AHEAD_MAX_SECONDS);
        within("next number", self.next_msn, 0, newest)?;
        within("first number", self.origin_msn, 0, self.next_msn)?;
        let discontinuities = self.discontinuity_sequence;
        within(
            "discontinuity sequence",
            discontinuities,
            0,
            DISCONTINUITIES_MAX,
        )?;
        if let Some(constants) = &self.constants {
            within("target duration", constants.target_duration, 1, 30)?;
            if let Some(part) = constants.part_target {
                within("part target", part, 1, constants.target_ticks())?;
            }
        }
        match &self.last_position {
            Some(last_position) => self.check_last_position(last_position, wall_micros),
            None => Ok(()),
        }
    }

    fn check_last_position(
        &self,
        last_position: &LastPosition,
        wall_micros: i64,
    ) -> Result<(), Implausible> {
        // The open segment's number, or the next.
        let least = self.next_msn.saturating_sub(1);
        within(
            "last position's number",
            last_position.msn,
            least,
            self.next_msn,
        )?;
        let least = self.discontinuity_sequence.saturating_sub(1);
        let most = self.discontinuity_sequence;
        within(
            "last position's discontinuity sequence",
            last_position.discontinuity_sequence,
            least,
            most,
        )?;
        let (least, most) = (
            wall_micros - DATE_OFF_MAX_MICROS,
            wall_micros + DATE_OFF_MAX_MICROS,
        );
        within(
            "last position's date",
            last_position.date_micros,
            least,
            most,
        )?;
        match Some(last_position.constants) == self.constants {
            true => Ok(()),
            false => Err(Implausible::Order("constants")),
        }
    }
}

fn check_boundary(boundary: &Boundary, next: u64, wall_micros: i64) -> Result<(), Implausible> {
    within("boundary's number", boundary.msn, 0, next)?;
    within("boundary's time", boundary.dts, 0, TICKS_MAX)?;
    within(
        "boundary's delay",
        boundary.time.saturating_sub(boundary.dts),
        -DELAY_MAX,
        DELAY_MAX,
    )?;
    within("anchor's time", boundary.anchor_time, -DELAY_MAX, TICKS_MAX)?;
    let elapsed = (i128::from(boundary.time) - i128::from(boundary.anchor_time)) * 1_000_000
        / i128::from(VIDEO_TIMESCALE.rate());
    let date = i128::from(boundary.anchor_micros) + elapsed;
    let wall = i128::from(wall_micros);
    let off = i128::from(DATE_OFF_MAX_MICROS);
    within("program date time", date, wall - off, wall + off)?;
    if let Some(part) = boundary.part_target {
        within("part target", part, 1, DELAY_MAX)?;
    }
    if let Some(interval) = boundary.keyframe_interval {
        within(
            "keyframe interval",
            interval,
            1,
            boundary.dts.max(1) + TICKS_MAX,
        )?;
    }
    Ok(())
}

fn bound(what: &'static str, count: usize, limit: usize) -> Result<(), Implausible> {
    match count <= limit {
        true => Ok(()),
        false => Err(Implausible::TooMany { what, count, limit }),
    }
}

fn within<T>(what: &'static str, value: T, least: T, most: T) -> Result<(), Implausible>
where
    T: PartialOrd + Copy + Into<i128>,
{
    match value >= least && value <= most {
        true => Ok(()),
        false => Err(Implausible::Value {
            what,
            value: value.into(),
        }),
    }
}

fn rising<T: PartialOrd>(
    what: &'static str,
    values: impl Iterator<Item = T>,
) -> Result<(), Implausible> {
    let mut last = None;
    for value in values {
        if last.as_ref().is_some_and(|last| *last >= value) {
            return Err(Implausible::Order(what));
        }
        last = Some(value);
    }
    Ok(())
}
