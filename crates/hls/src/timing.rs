//! One segment's place in time, shared by every rendition.

use media::VIDEO_TIMESCALE;

/// A segment boundary, in ticks of the video timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutPoint {
    /// Decode time of the leading track's unit there: where pictures are cut.
    pub dts: i64,
    /// Its presentation time: where sound is cut.
    pub time: i64,
}

/// What media time is on the wall's clock, fixed at the start and after each discontinuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramDateTime {
    pub time: i64,
    pub micros: i64,
}

/// One segment's number and place in time.
#[derive(Clone, Debug)]
pub(crate) struct SegmentTiming {
    pub msn: u64,
    pub start: CutPoint,
    /// Known once the segment is closed.
    pub end: Option<CutPoint>,
    /// What follows is another timeline, or nothing.
    pub ends_timeline: bool,
    /// The media clock when it was closed.
    pub closed_at: i64,
    pub discontinuity: bool,
    /// Discontinuities before it.
    pub discontinuity_sequence: u64,
    pub anchor: ProgramDateTime,
    /// The source sends pictures in it; without, every video rendition has a gap.
    pub has_video: bool,
    /// The source has an audio track.
    pub has_audio: bool,
    /// Its keyframes bring their parameter sets along: see [`crate::rendition`].
    pub has_inband_parameter_sets: bool,
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

    /// Microseconds since 1970 at presentation time `time`.
    pub fn program_date_time(&self, time: i64) -> i64 {
        let ticks = i128::from(time - self.anchor.time);
        let rate = i128::from(VIDEO_TIMESCALE.rate());
        let micros = (ticks * 1_000_000 + rate / 2).div_euclid(rate);
        self.anchor
            .micros
            .saturating_add(i64::try_from(micros).unwrap_or(0))
    }
}
