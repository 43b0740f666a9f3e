//! Describes and checks what a packager is given and what it says: configuration, tracks, rungs,
//! units, events.

use std::{sync::Arc, time::Duration};

use media::{AccessUnit, Immersive, MediaKind, Projection, Track};

use super::SEGMENT_BYTES_MAX;
use crate::{Error, PlaylistConstants, segmenter::PROVISIONAL_SECONDS_MAX};

/// How a stream is packaged.
#[derive(Clone, Debug)]
pub struct Config {
    /// A segment ends at the first sync sample after this much; 1 s to 10 s.
    pub segment_target: Duration,
    /// A part lasts about this much; `None` for no parts. 0.1 s to the segment target.
    pub part_target: Option<Duration>,
    /// Playlists list at least this much, and at least six segments; up to 6 h.
    pub window: Duration,
    /// Names the run in every media URL.
    pub run_id: String,
    /// Projection and stereo layout.
    pub immersive: Immersive,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Error> {
        let range = |name, value, min, max| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err(Error::Config {
                name,
                value,
                min,
                max,
            }),
        };
        let second = Duration::from_secs(1);
        let longest = second * PROVISIONAL_SECONDS_MAX as u32;
        range("segment_target", self.segment_target, second, longest)?;
        if let Some(part) = self.part_target {
            range("part_target", part, second / 10, self.segment_target)?;
        }
        range("window", self.window, Duration::ZERO, second * 6 * 3600)
    }
}

/// The source's tracks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracks {
    /// H.264, as the source sends it.
    pub video: Option<Track>,
    /// AAC, as the source sends it.
    pub audio: Option<Track>,
}

/// A rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungSpec {
    /// The rendition's name, the last folder of its URL.
    pub name: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Configured maximum in bits per second: what the multivariant playlist says until something
    /// is measured.
    pub bitrate: u64,
    /// Where it differs from the source's.
    pub projection: Option<Projection>,
}

/// What pushing a source unit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The unit opens a segment: encoders must make theirs an IDR, and no other.
    pub opens_segment: bool,
}

/// Something an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first playlist exists; these never change again.
    Ready(PlaylistConstants),
    /// The multivariant playlist lists this rendition from now on.
    Listed(Arc<str>),
    /// No keyframe came in time: this segment starts without one. Shorten the encoder's keyframe
    /// interval.
    LateSync {
        /// The segment.
        msn: u64,
    },
    /// The source's keyframes are not IDR pictures: players cannot start its pass-through, which is
    /// not listed while anything else carries the stream. Turn off open GOP and intra refresh in
    /// the encoder.
    KeyframesNotIdr,
    /// The source's keyframes are IDR pictures again.
    KeyframesIdr,
    /// A rendition has a gap.
    Gap {
        /// The rendition.
        rendition: Arc<str>,
        /// The segment.
        msn: u64,
    },
    /// The source's video has stopped; audio continues.
    VideoStalled {
        /// First segment without video.
        msn: u64,
    },
    /// The source's video is back.
    VideoResumed {
        /// First segment with video.
        msn: u64,
    },
}

pub(super) fn check_kind(track: Option<&Track>, expected: MediaKind) -> Result<(), Error> {
    match track.map(Track::kind) {
        Some(actual) if actual != expected => Err(Error::MediaKind { actual, expected }),
        _ => Ok(()),
    }
}

/// Refuses what could not be written later.
pub(super) fn check_unit(unit: &AccessUnit) -> Result<(), Error> {
    let offset = unit.pts.checked_sub(unit.dts);
    let reason = if unit.dts < 0 {
        "its decode time is negative"
    } else if unit.dts > i64::MAX / 4 {
        "its decode time is beyond any broadcast"
    } else if offset.is_none_or(|offset| i32::try_from(offset).is_err()) {
        "its composition offset does not fit 32 bits"
    } else if unit.duration == 0 {
        "it has no duration"
    } else if unit.payload.len() as u64 > SEGMENT_BYTES_MAX {
        "it is larger than a segment may be"
    } else {
        return Ok(());
    };
    Err(Error::Unit {
        kind: unit.kind,
        dts: unit.dts,
        reason,
    })
}
