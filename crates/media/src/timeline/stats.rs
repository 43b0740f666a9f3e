//! What the timeline met, for `/api/streams` and metrics.

/// Figures of one [`crate::Timeline`].
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Stats {
    /// Of the video track.
    pub video: TrackStats,
    /// Of the audio track.
    pub audio: TrackStats,
    /// Breaks announced so far.
    pub discontinuities: u64,
    /// The tracks' clocks have nothing in common; they were aligned by arrival.
    pub split_bases: bool,
}

/// Figures of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct TrackStats {
    /// Access units placed.
    pub units: u64,
    /// Single outliers put where their predecessor ended.
    pub restamped: u64,
    /// Decode times sent that repeat or go back.
    pub backward: u64,
    /// Stretches where units are missing.
    pub gaps: u64,
    /// Length of all gaps, filled or not, in ticks of the track.
    pub gap_ticks: u64,
    /// Units put where media is missing: silence, or the last keyframe again.
    pub filled: u64,
    /// Length of those, in ticks of the track.
    pub filled_ticks: u64,
    /// The track has stopped while the other one goes on, and is being filled.
    pub is_filled: bool,
    /// Units dropped: more audio than time, or of a track not announced.
    pub dropped: u64,
    /// Smoothed distance between sent and exact times, in milliseconds.
    pub jitter_ms: f64,
    /// Ticks added (or, negative, taken) to follow the publisher's clock.
    pub slewed_ticks: i64,
    /// Ticks per frame while the rate is constant, or samples per access unit; 0 while the rate
    /// varies.
    pub frame_ticks: u32,
}
