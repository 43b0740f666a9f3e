//! Gives a slice's pictures the times that the plan has: holes are filled by the picture before
//! them, and every group opens exactly where all other slices and renditions expect it.

use std::collections::VecDeque;

use crate::plan::holds;

/// Times closer than this are the same: a millisecond, to which some containers round.
const SAME_TICKS: i64 = 360;

/// Where a picture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pts: i64,
    /// A group opens here: it must be a keyframe.
    pub(super) opens: bool,
}

/// The pictures of one slice, in presentation order.
pub(super) struct PictureTimeline<P> {
    /// Where groups open, rising; the first is where encoders begin.
    opens: VecDeque<i64>,
    /// Nothing is shown from here on.
    end: i64,
    /// The newest picture, also one before the slice.
    last: Option<P>,
    /// The newest time given out.
    at: Option<i64>,
    /// Times for which there was no picture of their own though the plan had one.
    missing: u64,
}

impl<P> PictureTimeline<P> {
    pub(super) fn new(opens: impl IntoIterator<Item = i64>, end: i64) -> Self {
        Self {
            opens: opens.into_iter().collect(),
            end,
            last: None,
            at: None,
            missing: 0,
        }
    }

    /// Groups that had to be opened by another picture than the plan's.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Takes the next picture; `emit` gets all that are due with it. Whether more are wanted.
    pub(super) fn push(&mut self, picture: P, pts: i64, mut emit: impl FnMut(&P, Place)) -> bool {
        let begins = self.at.or(self.opens.front().map(|open| open - SAME_TICKS));
        if begins.is_some_and(|begins| pts <= begins) {
            // Shown before the slice, or at the same time as the one before it.
            self.last = Some(picture);
            return true;
        }
        let until = pts.min(self.end);
        self.fill(until, Some(&picture), &mut emit);
        if pts >= self.end {
            return false;
        }
        let opening = self.take_opening(pts);
        let place = Place {
            pts: opening.unwrap_or(pts),
            opens: opening.is_some(),
        };
        emit(&picture, place);
        self.at = Some(place.pts);
        self.last = Some(picture);
        true
    }

    /// No more pictures come: the last one is held until the end.
    pub(super) fn finish(&mut self, mut emit: impl FnMut(&P, Place)) {
        self.fill(self.end, None, &mut emit);
    }

    /// Shows the last picture (or, where there was none, the one to come) at every time before
    /// `until` that needs one.
    fn fill(&mut self, until: i64, next: Option<&P>, emit: &mut impl FnMut(&P, Place)) {
        let Some(held) = self.last.as_ref().or(next) else {
            return;
        };
        loop {
            let hold = self.at.and_then(|at| holds(at, until).next());
            let open = self.opens.front().copied();
            let open = open.filter(|open| *open + SAME_TICKS < until);
            let Some(pts) = hold.into_iter().chain(open).min() else {
                return;
            };
            let opens = open.is_some_and(|open| open <= pts + SAME_TICKS);
            if opens {
                self.opens.pop_front();
                self.missing += u64::from(hold != Some(pts) && self.at.is_some());
            }
            emit(held, Place { pts, opens });
            self.at = Some(pts);
        }
    }

    /// The group that a picture shown at `pts` opens.
    fn take_opening(&mut self, pts: i64) -> Option<i64> {
        let open = self.opens.front().copied()?;
        (open <= pts + SAME_TICKS)
            .then(|| self.opens.pop_front())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 360_000;

    /// What becomes of pictures named by their times.
    fn run(opens: &[i64], end: i64, pictures: &[i64]) -> Vec<(i64, i64, bool)> {
        let mut timeline = PictureTimeline::new(opens.iter().copied(), end);
        let mut out = Vec::new();
        for pts in pictures {
            timeline.push(*pts, *pts, |picture, place| {
                out.push((*picture, place.pts, place.opens));
            });
        }
        timeline.finish(|picture, place| out.push((*picture, place.pts, place.opens)));
        out
    }

    #[test]
    fn whole_video_passes_as_it_is() {
        let step = SECOND / 10;
        let pictures: Vec<i64> = (0..40).map(|n| n * step).collect();
        let out = run(&[0, 2 * SECOND], 4 * SECOND, &pictures);
        assert!(out.iter().all(|(picture, pts, _)| picture == pts));
        let opened: Vec<i64> = out.iter().filter(|one| one.2).map(|one| one.1).collect();
        assert_eq!((out.len(), opened), (40, vec![0, 2 * SECOND]));
    }

    #[test]
    fn a_hole_is_filled_by_the_picture_before_it_and_groups_open_on_time() {
        let out = run(&[0, 3 * SECOND], 8 * SECOND, &[0, 5 * SECOND]);
        let seconds: Vec<_> = out
            .iter()
            .map(|(picture, pts, opens)| (picture / SECOND, pts / SECOND, *opens))
            .collect();
        assert_eq!(
            seconds,
            [
                (0, 0, true),
                (0, 1, false),
                (0, 2, false),
                (0, 3, true),
                (5, 5, false),
                (5, 6, false)
            ]
        );
    }

    #[test]
    fn a_slice_without_its_first_pictures_begins_with_the_first_there_is() {
        let out = run(&[0, 2 * SECOND], 3 * SECOND, &[SECOND]);
        assert_eq!(
            out,
            [
                (SECOND, 0, true),
                (SECOND, SECOND, false),
                (SECOND, 2 * SECOND, true)
            ]
        );
        let before = run(&[2 * SECOND], 3 * SECOND, &[SECOND]);
        assert_eq!(
            before,
            [(SECOND, 2 * SECOND, true)],
            "held from before the slice"
        );
        assert_eq!(run(&[0], SECOND, &[]), []);
    }

    #[test]
    fn what_comes_after_the_end_or_twice_is_left_out() {
        let out = run(&[0], SECOND, &[0, 0, 100_000, SECOND, 2 * SECOND]);
        assert_eq!(out, [(0, 0, true), (100_000, 100_000, false)]);
    }
}
