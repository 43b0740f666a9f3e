//! Decode times for pictures whose presentation times alone can be trusted.

/// Pictures that a decoder holds back for reordering at most (H.264 §A.3.1).
const DEPTH_MAX: usize = 16;

/// Decode times of a closed group, given its presentation times in decoding order: the first is the
/// first picture's presentation time, each later one is greater, and none is after its picture's
/// presentation time. `None` where there are none such: the first picture is not the first shown,
/// two are shown at once, or the order is none that a decoder undoes.
///
/// The group's reordering delay is made inside it: what is decoded ahead shares the first picture's
/// duration. So groups follow each other without gap or overlap whatever their depth, and no
/// composition offset is negative, which FFmpeg would add to all others.
pub fn decode_times(shown: &[i64]) -> Option<Vec<i64>> {
    let mut grid = shown.to_vec();
    grid.sort_unstable();
    let first = *grid.first()?;
    if shown.first() != Some(&first) || grid.windows(2).any(|pair| pair[0] == pair[1]) {
        return None;
    }
    let depth = depth(shown, &grid);
    if depth > DEPTH_MAX {
        return None;
    }
    let lead = grid.get(1).map_or(1, |second| second - first);
    let steps = i64::try_from(depth).unwrap_or(0) + 1;
    if lead < steps {
        return None;
    }
    let time = |index: usize| match index.checked_sub(depth) {
        Some(at) if at > 0 => grid.get(at).copied().unwrap_or(first),
        _ => first + lead * i64::try_from(index).unwrap_or(0) / steps,
    };
    Some((0..shown.len()).map(time).collect())
}

/// By how many pictures decoding must be ahead.
fn depth(shown: &[i64], grid: &[i64]) -> usize {
    let mut least = i64::MAX;
    let mut depth = 0;
    for (index, pts) in shown.iter().enumerate().rev() {
        least = least.min(*pts);
        let place = grid.partition_point(|time| *time < least);
        depth = depth.max(index.saturating_sub(place));
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_reordering_pictures_are_decoded_when_they_are_shown() {
        assert_eq!(decode_times(&[10, 20, 45]), Some(vec![10, 20, 45]));
        assert_eq!(decode_times(&[7]), Some(vec![7]));
        assert_eq!(decode_times(&[]), None);
    }

    #[test]
    fn the_delay_is_made_within_the_first_pictures_duration() {
        // I P B B P B B
        let shown = [0, 30, 10, 20, 60, 40, 50];
        assert_eq!(decode_times(&shown), Some(vec![0, 5, 10, 20, 30, 40, 50]));
    }

    #[test]
    fn orders_that_no_closed_group_has_are_refused() {
        assert_eq!(
            decode_times(&[10, 0, 20]),
            None,
            "shown before its keyframe"
        );
        assert_eq!(decode_times(&[0, 10, 10]), None, "two at once");
        assert_eq!(decode_times(&[0, 3, 1, 2]), None, "no room for ticks");
    }

    proptest! {
        #[test]
        fn times_rise_and_never_pass_the_presentation(
            steps in proptest::collection::vec(100i64..5000, 1..60),
            swaps in proptest::collection::vec((1usize..60, 1usize..4), 0..40),
        ) {
            let mut at = 0;
            let mut shown: Vec<i64> = steps.iter().map(|step| { at += step; at }).collect();
            for (from, by) in swaps {
                if from + by < shown.len() {
                    shown.swap(from, from + by);
                }
            }
            let Some(times) = decode_times(&shown) else { return Ok(()) };
            prop_assert_eq!(times.first(), shown.first());
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times);
            prop_assert!(times.iter().zip(&shown).all(|(dts, pts)| dts <= pts), "{:?}", times);
        }
    }
}
