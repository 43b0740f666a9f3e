//! Gives each decoded picture its place among the source's decode times, so that every rung opens
//! its segments where the source does.
//!
//! A decoder takes units in decoding order and gives pictures in presentation order, and may lose
//! some. Within one segment the k-th picture out gets the k-th of the segment's decode times; the
//! first one opens the segment at the source's own boundary. A lost picture takes a decode time
//! with it, so losses never shift what follows, and the picture before it lasts longer. A segment
//! with no picture at all is a hole.
//!
//! Pure: no codec, no clock.

use std::collections::VecDeque;

/// Units that wait for their pictures at most: a decoder holds 16 for reordering and some for its
/// threads; what is older has been lost.
pub(crate) const PENDING_UNITS_MAX: usize = 128;

/// Segments without a picture that are told apart at most; older ones merge into one hole.
const OPENERS_MAX: usize = 256;

/// A source unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub number: i64,
    pub dts: i64,
    pub pts: i64,
    pub opens_segment: bool,
    pub is_sync: bool,
}

/// A picture's place in every rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub dts: i64,
    pub pts: i64,
    /// The first picture of its segment: a keyframe.
    pub opens_segment: bool,
    /// Nothing was decoded from here to `dts`: whole segments are missing.
    pub hole_from: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    unit: Unit,
    segment: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Grid {
    pending: VecDeque<Pending>,
    /// Decode times of `pending` and of its segments' units that became pictures out of order.
    times: VecDeque<(u64, i64)>,
    /// The units that open segments of which no picture has come yet.
    openers: VecDeque<Pending>,
    /// Segments opened so far by the source.
    segment: u64,
    /// The segment of the last picture.
    pictured: u64,
    hole_from: Option<i64>,
}

impl Grid {
    /// The decoder was given this unit.
    pub(crate) fn expect(&mut self, unit: Unit) {
        self.open(unit);
        let segment = self.segment;
        self.times.push_back((segment, unit.dts));
        self.pending.push_back(Pending { unit, segment });
        if self.pending.len() > PENDING_UNITS_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.lose(oldest);
        }
    }

    /// The decoder was not given this unit and will never be.
    pub(crate) fn skip(&mut self, unit: Unit) {
        self.open(unit);
    }

    fn open(&mut self, unit: Unit) {
        if !unit.opens_segment {
            return;
        }
        self.segment += 1;
        let segment = self.segment;
        self.openers.push_back(Pending { unit, segment });
        if self.openers.len() > OPENERS_MAX
            && let Some(oldest) = self.openers.pop_front()
        {
            self.hole_from.get_or_insert(oldest.unit.dts);
        }
    }

    /// The unit `number` has become a picture. `None` for one that nobody waits for.
    pub(crate) fn picture(&mut self, number: i64) -> Option<Slot> {
        let at = self.pending.iter().position(|p| p.unit.number == number)?;
        let this = self.pending.remove(at)?;
        let gone = |p: &Pending| {
            let earlier = p.unit.pts < this.unit.pts;
            p.segment < this.segment || (p.segment == this.segment && earlier)
        };
        let opener = self.opener_of(this.segment);
        let stands_in = opener.filter(|o| o.unit.is_sync && o.unit.number != number);
        let dts = match opener {
            Some(opener) => self.take_boundary(&opener, &this),
            None => self.take_earliest(&this),
        };
        let (lost, waiting): (VecDeque<_>, _) = self.pending.drain(..).partition(gone);
        self.pending = waiting;
        lost.into_iter().for_each(|lost| self.lose(lost));
        self.times.retain(|(segment, _)| *segment >= this.segment);
        self.pictured = this.segment;
        Some(Slot {
            dts,
            // The first picture after a lost keyframe is shown in its place, so that the segment
            // starts on time.
            pts: stands_in.map_or(this.unit.pts, |opener| opener.unit.pts),
            opens_segment: opener.is_some(),
            hole_from: self.hole_from.take(),
        })
    }

    /// The unit that opens `segment`, if no picture of it has come yet. Segments passed over become
    /// a hole.
    fn opener_of(&mut self, segment: u64) -> Option<Pending> {
        if segment <= self.pictured {
            return None;
        }
        while let Some(opener) = self.openers.pop_front() {
            if opener.segment >= segment {
                return Some(opener);
            }
            self.hole_from.get_or_insert(opener.unit.dts);
        }
        None
    }

    /// Takes the segment's first decode time.
    fn take_boundary(&mut self, opener: &Pending, this: &Pending) -> i64 {
        let boundary = (opener.segment, opener.unit.dts);
        // The decoder was never given a skipped opener; then this picture brings the time of its
        // own that goes.
        let own = (this.segment, this.unit.dts);
        let find = |wanted| self.times.iter().position(|time| *time == wanted);
        if let Some(at) = find(boundary).or_else(|| find(own)) {
            self.times.remove(at);
        }
        opener.unit.dts
    }

    fn take_earliest(&mut self, this: &Pending) -> i64 {
        let at = self
            .times
            .iter()
            .position(|(segment, _)| *segment == this.segment);
        let time = at.and_then(|at| self.times.remove(at));
        time.map_or(this.unit.dts, |(_, dts)| dts)
    }

    fn lose(&mut self, lost: Pending) {
        let own = (lost.segment, lost.unit.dts);
        let at = self.times.iter().position(|time| *time == own);
        // Its own time may have gone to a picture that is shown earlier: then the next one goes.
        let at = at.or_else(|| self.times.iter().position(|(segment, _)| *segment == own.0));
        if let Some(at) = at {
            self.times.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Units of closed groups `I P B B P B B …`, `group` long, opening a segment each.
    fn units(groups: i64, group: i64, reorder: bool) -> Vec<Unit> {
        (0..groups * group)
            .map(|number| {
                let place = number % group;
                let shown = match (reorder, place % 3) {
                    (true, 1) if place + 2 < group => place + 2,
                    (true, 2) if place + 1 < group => place - 1,
                    (true, 0) if place > 0 => place - 1,
                    _ => place,
                };
                Unit {
                    number,
                    dts: number * 10,
                    pts: (number - place + shown) * 10 + 20,
                    opens_segment: place == 0,
                    is_sync: place == 0,
                }
            })
            .collect()
    }

    fn slots(units: &[Unit], lost: &[i64]) -> Vec<Slot> {
        let mut grid = Grid::default();
        let mut shown = units.to_vec();
        shown.sort_by_key(|unit| unit.pts);
        let mut fed = 0;
        let mut slots = Vec::new();
        for unit in shown {
            while fed < units.len() && fed as i64 <= unit.number + 4 {
                grid.expect(units[fed]);
                fed += 1;
            }
            if !lost.contains(&unit.number) {
                slots.extend(grid.picture(unit.number));
            }
        }
        slots
    }

    #[test]
    fn without_losses_the_grid_is_the_sources() {
        for reorder in [false, true] {
            let units = units(3, 7, reorder);
            let slots = slots(&units, &[]);
            assert!(slots.iter().map(|s| s.dts).eq(units.iter().map(|u| u.dts)));
            assert!(
                slots
                    .iter()
                    .zip(&units)
                    .all(|(s, u)| s.opens_segment == u.opens_segment)
            );
            assert!(slots.windows(2).all(|w| w[0].pts < w[1].pts));
            assert!(
                slots
                    .iter()
                    .all(|s| s.pts >= s.dts && s.hole_from.is_none())
            );
        }
    }

    #[test]
    fn a_lost_keyframe_is_stood_in_for_and_a_lost_segment_is_a_hole() {
        let units = units(3, 3, false);
        let found = slots(&units, &[3]);
        assert_eq!(
            (found[3].dts, found[3].pts, found[3].opens_segment),
            (30, 50, true)
        );
        assert_eq!((found[4].dts, found[4].pts), (50, 70));
        let found = slots(&units, &[3, 4, 5]);
        assert_eq!((found[3].dts, found[3].hole_from), (60, Some(30)));
    }

    proptest! {
        #[test]
        fn losses_never_shift_later_segments(
            group in 1i64..12, reorder: bool, lost in proptest::collection::vec(0i64..60, 0..20),
        ) {
            let units = units(5, group, reorder);
            let slots = slots(&units, &lost);
            prop_assert!(slots.windows(2).all(|w| w[0].dts < w[1].dts));
            let count = units.iter().filter(|u| !lost.contains(&u.number)).count();
            prop_assert_eq!(slots.len(), count);
            for slot in &slots {
                let unit = units.iter().find(|u| u.dts == slot.dts);
                prop_assert_eq!(unit.map(|u| u.opens_segment), Some(slot.opens_segment));
            }
        }
    }
}
