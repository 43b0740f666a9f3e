//! Decides which closed segments the playlists list, and how long removed ones stay fetchable.
//!
//! One window serves all renditions of a stream, so that they all drop a segment at the same time.
//! It counts media time, not wall time: a stream that stands still keeps what it has.

use std::collections::VecDeque;

/// The fewest segments a playlist lists once it had them (Apple's authoring rule 8.11).
pub const LISTED_MIN: usize = 6;

/// The sliding window over closed segments. Durations are in ticks of the video timescale.
#[derive(Clone, Debug, Default)]
pub struct Window {
    length: i64,
    listed: VecDeque<(u64, i64)>,
    listed_ticks: i64,
    longest: i64,
    /// Removed segments and the media clock at which they may go.
    retired: VecDeque<(u64, i64)>,
    clock: i64,
}

impl Window {
    /// A window of at least `length` ticks.
    pub fn new(length: i64) -> Self {
        Self {
            length,
            ..Self::default()
        }
    }

    /// Raises the length: a live playlist is never shorter than three target durations (bis
    /// §6.2.2), and a delta update saves nothing unless more than six are listed.
    pub fn at_least(&mut self, length: i64) {
        self.length = self.length.max(length);
    }

    /// A segment was closed.
    pub fn push(&mut self, msn: u64, duration: i64) {
        self.clock += duration;
        self.listed.push_back((msn, duration));
        self.listed_ticks += duration;
        // Plus one segment: the open one's parts are listed too.
        self.longest = self.longest.max(self.listed_ticks + duration);
        while let Some(&(first, ticks)) = self.listed.front() {
            if self.listed.len() <= LISTED_MIN || self.listed_ticks - ticks < self.length {
                break;
            }
            self.listed.pop_front();
            self.listed_ticks -= ticks;
            // "for a period equal to the duration of the segment plus the duration of the longest
            // playlist containing it" (bis §6.2.2).
            self.retired
                .push_back((first, self.clock + ticks + self.longest));
        }
        while self
            .retired
            .front()
            .is_some_and(|(_, until)| *until <= self.clock)
        {
            self.retired.pop_front();
        }
    }

    /// Removed segments through `msn` need not be fetchable here any more: somebody else has them.
    pub fn release_through(&mut self, msn: u64) {
        while self.retired.front().is_some_and(|(first, _)| *first <= msn) {
            self.retired.pop_front();
        }
    }

    /// The first segment that playlists list.
    pub fn first_listed(&self) -> Option<u64> {
        self.listed.front().map(|(msn, _)| *msn)
    }

    /// The oldest segment that must still be fetchable.
    pub fn first_retained(&self) -> Option<u64> {
        let retired = self.retired.front().map(|(msn, _)| *msn);
        retired.or_else(|| self.first_listed())
    }

    /// Segments listed.
    pub fn listed(&self) -> usize {
        self.listed.len()
    }

    /// Media time of all segments ever closed, in ticks.
    pub fn clock(&self) -> i64 {
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 360_000;

    #[test]
    fn lists_the_length_and_at_least_six() {
        let mut window = Window::new(5 * SECOND);
        for msn in 100..110 {
            window.push(msn, 2 * SECOND);
        }
        assert_eq!((window.listed(), window.first_listed()), (6, Some(104)));
        let mut window = Window::new(60 * SECOND);
        for msn in 0..50 {
            window.push(msn, 2 * SECOND);
        }
        assert_eq!((window.listed(), window.first_listed()), (30, Some(20)));
    }

    #[test]
    fn removed_segments_stay_for_their_duration_and_the_longest_playlist() {
        let mut window = Window::new(12 * SECOND);
        for msn in 0..100 {
            window.push(msn, 2 * SECOND);
        }
        // Removed 99 - 93 = 6 segments after it was made; 2 s + 14 s later it may go.
        assert_eq!(window.first_listed(), Some(94));
        let kept = window.first_listed().unwrap() - window.first_retained().unwrap();
        assert!(kept * 2 >= 16 - 2, "{kept}");
    }

    #[test]
    fn released_segments_are_gone_and_listed_ones_stay() {
        let mut window = Window::new(12 * SECOND);
        for msn in 0..100 {
            window.push(msn, 2 * SECOND);
        }
        window.release_through(90);
        assert_eq!(window.first_retained(), Some(91));
        window.release_through(98);
        assert_eq!(
            (window.first_listed(), window.first_retained()),
            (Some(94), Some(94))
        );
    }
}
