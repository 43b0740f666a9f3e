//! Gives a rung's coded pictures their decode times.
//!
//! Each picture is presented at the source's own time, whatever the encoder reorders; only decode
//! times may differ from the source's. Three rules fix them:
//!
//! - A segment's first picture is decoded at the source's own time. Players take a segment's start
//!   from its first decode time (`tfdt`; hls.js and Shaka look at nothing else), so a rung whose
//!   decode times led would move the picture at every switch.
//! - No picture is decoded after it is presented. FFmpeg's demuxer adds the largest negative
//!   composition offset it has seen to every presentation time.
//! - Decode times grow, and stay before the next segment's first.
//!
//! An encoder that reorders by D pictures therefore makes up its delay inside the segment: the
//! first D + 1 pictures share the time of one, each further one is decoded when the picture D
//! places before it is presented, and the last one lasts longer. Where the source's own
//! composition offsets are large enough, all of this changes nothing and the decode times are the
//! source's (docs/design/ladder.md).
//!
//! Pure: no codec, no clock.

use std::collections::VecDeque;

use super::grid::Slot;

/// The decode times of one run of a rung, in the order its pictures are given to the encoder.
#[derive(Debug)]
pub(super) struct DecodeTimes {
    /// D: places by which the encoder gives a picture out later than it is presented.
    depth: usize,
    /// The picture's place in its segment.
    place: usize,
    /// Presentation times of the segment's first two pictures.
    first: i64,
    second: i64,
    /// Presentation times of the last D + 1 pictures of the segment.
    recent: VecDeque<i64>,
    last: i64,
}

impl DecodeTimes {
    pub(super) fn new(depth: u32) -> Self {
        Self {
            depth: depth as usize,
            place: 0,
            first: 0,
            second: 0,
            recent: VecDeque::new(),
            last: i64::MIN,
        }
    }

    /// The decode time that belongs to the next picture's place in decoding order.
    pub(super) fn next(&mut self, slot: &Slot) -> i64 {
        if slot.opens_segment {
            self.place = 0;
            self.first = slot.pts;
            self.recent.clear();
            self.recent.push_back(slot.pts);
            self.last = slot.dts;
            return slot.dts;
        }
        self.place += 1;
        if self.place == 1 {
            self.second = slot.pts;
        }
        self.recent.push_back(slot.pts);
        while self.recent.len() > self.depth + 1 {
            self.recent.pop_front();
        }
        let latest = if self.place <= self.depth {
            // Up to here a picture may come out that is presented right after the first.
            let (place, of) = (self.place as i64, self.depth as i64 + 1);
            self.first + (self.second - self.first) * place / of
        } else {
            self.recent.front().copied().unwrap_or(slot.pts)
        };
        self.last = slot.dts.min(latest).max(self.last.saturating_add(1));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(dts: i64, pts: i64, opens_segment: bool) -> Slot {
        Slot {
            dts,
            pts,
            opens_segment,
            hole_from: None,
        }
    }

    fn run(depth: u32, slots: &[Slot]) -> Vec<i64> {
        let mut times = DecodeTimes::new(depth);
        slots.iter().map(|slot| times.next(slot)).collect()
    }

    #[test]
    fn a_source_without_reordering_gets_the_encoders_delay_inside_the_segment() {
        let slots: Vec<_> = (0..12)
            .map(|n| slot(n * 300, n * 300, n % 6 == 0))
            .collect();
        assert_eq!(
            run(2, &slots),
            [
                0, 100, 200, 300, 600, 900, 1800, 1900, 2000, 2100, 2400, 2700
            ]
        );
        let own: Vec<_> = slots.iter().map(|slot| slot.dts).collect();
        assert_eq!(run(0, &slots), own, "nothing is reordered");
    }

    #[test]
    fn a_source_that_reorders_as_far_keeps_its_decode_times() {
        let slots: Vec<_> = (0..12)
            .map(|n| slot(n * 300, (n + 2) * 300, n % 6 == 0))
            .collect();
        let own: Vec<_> = slots.iter().map(|slot| slot.dts).collect();
        assert_eq!(run(2, &slots), own);
        // One picture less is made up for.
        let slots: Vec<_> = (0..6)
            .map(|n| slot(n * 300, (n + 1) * 300, n == 0))
            .collect();
        assert_eq!(run(2, &slots), [0, 300, 500, 600, 900, 1200]);
    }

    proptest! {
        /// Whatever an encoder of this depth does, and however uneven the pictures' times are.
        #[test]
        fn no_picture_is_decoded_after_it_is_presented(
            steps in proptest::collection::vec(20i64..4000, 1..60),
            depth in 0u32..4, delay in 0i64..3, every in 1usize..20, seed: u64,
        ) {
            let mut at = 0;
            let pts: Vec<i64> = steps.iter().map(|step| { at += step; at }).collect();
            // Decode times of the source: its presentation times, earlier by its own delay.
            let dts = |n: usize| n.checked_sub(delay as usize)
                .map_or(n as i64 - delay, |earlier| pts[earlier]);
            let slots: Vec<_> = (0..pts.len()).map(|n| slot(dts(n), pts[n], n % every == 0)).collect();
            let times = run(depth, &slots);
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
            let mut random = seed;
            let mut number = 0;
            for group in slots.chunks(every) {
                // A coding order that gives no picture out more than `depth` places late.
                let mut waiting: VecDeque<usize> = (1..group.len()).collect();
                let mut coded = vec![0];
                while !waiting.is_empty() {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let overdue = coded.len() >= waiting[0] + depth as usize;
                    let ahead = if overdue { 0 } else { (random >> 40) as usize % waiting.len() };
                    coded.extend(waiting.remove(ahead));
                }
                for (place, shown) in coded.iter().enumerate() {
                    let (time, opener) = (times[number + place], group[0].dts);
                    prop_assert!(time <= group[*shown].pts, "{place} {shown}");
                    prop_assert!(time >= opener && (place > 0 || time == opener));
                }
                number += group.len();
            }
        }
    }
}
