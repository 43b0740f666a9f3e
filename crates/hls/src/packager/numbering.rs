//! The segments' numbers, places in time and dates, which all renditions share.

use std::collections::VecDeque;

use crate::timing::{Contents, CutPoint, ProgramDateTime, SegmentTiming};

/// Segments as far as any rendition may still need them, and what the next one gets.
#[derive(Debug)]
pub(super) struct Numbering {
    /// In order; only the last one may be open.
    timings: VecDeque<SegmentTiming>,
    /// The next segment's Media Sequence Number.
    pub next_msn: u64,
    /// Discontinuities before the next segment, without the one right before it.
    pub discontinuities: u64,
    /// The next segment comes after a discontinuity.
    pub discontinuity: bool,
    /// How media time maps to the wall clock; `None` where the next segment decides it.
    pub anchor: Option<ProgramDateTime>,
}

impl Numbering {
    /// Starts with segment `next_msn` after so many discontinuities.
    pub fn new(next_msn: u64, discontinuities: u64) -> Self {
        Self {
            timings: VecDeque::new(),
            next_msn,
            discontinuities,
            discontinuity: false,
            anchor: None,
        }
    }

    /// No segment was opened yet.
    pub fn is_empty(&self) -> bool {
        self.timings.is_empty()
    }

    /// The segment `msn`, while any rendition may need it.
    pub fn get(&self, msn: u64) -> Option<&SegmentTiming> {
        let first = self.timings.front()?.msn;
        let index = usize::try_from(msn.checked_sub(first)?).ok()?;
        self.timings.get(index)
    }

    /// All that are known, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SegmentTiming> {
        self.timings.iter()
    }

    /// The oldest that is known.
    pub fn first_msn(&self) -> Option<u64> {
        self.timings.front().map(|timing| timing.msn)
    }

    /// The last one opened, closed or not.
    pub fn newest(&self) -> Option<&SegmentTiming> {
        self.timings.back()
    }

    /// As [`Numbering::newest`].
    pub fn newest_mut(&mut self) -> Option<&mut SegmentTiming> {
        self.timings.back_mut()
    }

    /// The one that is open.
    pub fn open_segment(&self) -> Option<&SegmentTiming> {
        self.timings.back().filter(|timing| timing.end.is_none())
    }

    /// Opens the next segment; its Media Sequence Number.
    pub fn open(&mut self, start: CutPoint, anchor: ProgramDateTime, contents: Contents) -> u64 {
        let msn = self.next_msn;
        let discontinuity = std::mem::take(&mut self.discontinuity);
        self.timings.push_back(SegmentTiming {
            msn,
            start,
            end: None,
            ends_timeline: false,
            closed_at: 0,
            discontinuity,
            discontinuity_sequence: self.discontinuities,
            anchor,
            contents,
        });
        self.next_msn += 1;
        self.discontinuities += u64::from(discontinuity);
        msn
    }

    /// Closes the open segment at `end`, when the media clock of closed segments is at `clock`.
    pub fn close(&mut self, end: CutPoint, clock: i64) -> Option<SegmentTiming> {
        let timing = self.newest_mut().filter(|timing| timing.end.is_none())?;
        timing.end = Some(CutPoint {
            dts: end.dts.max(timing.start.dts + 1),
            time: end.time.max(timing.start.time + 1),
        });
        timing.closed_at = clock + timing.length();
        Some(timing.clone())
    }

    /// Takes back the newest segment, of which no rendition has anything: the next gets its number.
    pub fn take_back(&mut self) {
        if self.timings.pop_back().is_some() {
            self.next_msn -= 1;
        }
    }

    /// Forgets segments before `first`.
    pub fn prune(&mut self, first: u64) {
        while self.first_msn().is_some_and(|msn| msn < first) {
            self.timings.pop_front();
        }
    }
}
