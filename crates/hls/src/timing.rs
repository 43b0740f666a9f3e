//! One segment's place in time, shared by every rendition.

use media::VIDEO_TIMESCALE;

/// A segment boundary, in ticks of the video timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutPoint {
    /// Decode time of the leading track's unit there: where video is cut.
    pub dts: i64,
    /// Its presentation time: where audio is cut.
    pub time: i64,
}

/// A presentation time and the wall clock time it stands for: fixed at the start and after each
/// discontinuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramDateTime {
    /// Ticks of the video timescale.
    pub time: i64,
    /// Microseconds since the Unix epoch.
    pub micros: i64,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The source sends video in it; without, every video rendition has a gap.
    pub video: bool,
    /// The source has an audio track.
    pub audio: bool,
    /// Its keyframes bring their parameter sets along: see [`crate::rendition`].
    pub inband_parameter_sets: bool,
}

/// One segment's number and place in time.
#[derive(Clone, Debug)]
pub(crate) struct SegmentTiming {
    /// Media Sequence Number.
    pub msn: u64,
    pub start: CutPoint,
    /// Known once the segment is closed.
    pub end: Option<CutPoint>,
    /// What follows is another timeline, or nothing.
    pub ends_timeline: bool,
    /// The media clock when it was closed.
    pub closed_at: i64,
    /// A discontinuity comes before it.
    pub discontinuity: bool,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    /// What its dates are counted from.
    pub anchor: ProgramDateTime,
    pub contents: Contents,
}

impl SegmentTiming {
    /// Ticks from start to end; 0 while open.
    pub fn length(&self) -> i64 {
        self.end.map_or(0, |end| end.dts - self.start.dts)
    }

    /// Presentation time of the end; the start's while open.
    pub fn end_time(&self) -> i64 {
        self.end.unwrap_or(self.start).time
    }

    /// Microseconds since the Unix epoch at presentation time `time`.
    pub fn program_date_time(&self, time: i64) -> i64 {
        let ticks = i128::from(time - self.anchor.time);
        let rate = i128::from(VIDEO_TIMESCALE.rate());
        let micros = (ticks * 1_000_000 + rate / 2).div_euclid(rate);
        self.anchor
            .micros
            .saturating_add(i64::try_from(micros).unwrap_or(0))
    }
}
