//! Judges what must hold between the renditions of one stream.

use std::collections::BTreeMap;

use super::{Media, Rule, Unit, Violation};

/// Audio starts up to a frame after the video of its segment, and its segments are cut at
/// frames: at the lowest rate in use a frame lasts 64 ms, and two may meet.
const DATE_TOLERANCE_SECONDS: f64 = 0.13;

/// At the end of a timeline audio also lacks the reordering delay of the video.
const DURATION_TOLERANCE_SECONDS: f64 = 0.3;

pub(super) fn check(latest: &BTreeMap<String, Media>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut all = latest.iter();
    // The one with the most segments is what the others are held against.
    let Some((reference, best)) = all
        .clone()
        .max_by_key(|(name, media)| (media.segments.len(), *name == "source"))
    else {
        return found;
    };
    let numbers = discontinuity_numbers(best);
    for (name, media) in all.by_ref().filter(|(name, _)| *name != reference) {
        let mut add = |rule, detail| {
            found.push(Violation {
                rule,
                rendition: name.clone(),
                detail,
            });
        };
        if media.target_duration != best.target_duration {
            let detail = format!(
                "{:?}, {reference} has {:?}",
                media.target_duration, best.target_duration
            );
            add(Rule::AcrossTarget, detail);
        }
        let own = discontinuity_numbers(media);
        for (index, (unit, number)) in media.segments.iter().zip(own).enumerate() {
            let Some((other, expected)) = find(best, &numbers, unit.msn) else {
                continue;
            };
            if let Some(millis) = apart(unit, other) {
                let detail = format!("segment {} starts {millis} ms off {reference}", unit.msn);
                add(Rule::AcrossDate, detail);
            }
            let differs = (unit.duration - other.duration).abs() > DURATION_TOLERANCE_SECONDS;
            if differs && !media.ends_timeline(index) {
                let detail = format!(
                    "segment {} lasts {} s, on {reference} {} s",
                    unit.msn, unit.duration, other.duration
                );
                add(Rule::AcrossDuration, detail);
            }
            if number != expected {
                let detail = format!(
                    "segment {} has {number}, on {reference} {expected}",
                    unit.msn
                );
                add(Rule::AcrossDiscontinuity, detail);
            }
        }
    }
    found
}

/// The discontinuity number of each segment.
fn discontinuity_numbers(media: &Media) -> Vec<u64> {
    let mut number = media.discontinuity_sequence.unwrap_or(0);
    let count = |unit: &Unit| {
        number += u64::from(unit.discontinuity);
        number
    };
    media.segments.iter().map(count).collect()
}

fn find<'a>(media: &'a Media, numbers: &[u64], msn: u64) -> Option<(&'a Unit, u64)> {
    let first = media.segments.first()?.msn;
    let index = usize::try_from(msn.checked_sub(first)?).ok()?;
    Some((media.segments.get(index)?, *numbers.get(index)?))
}

fn apart(unit: &Unit, other: &Unit) -> Option<i64> {
    let micros = unit.date? - other.date?;
    (micros.abs() as f64 > DATE_TOLERANCE_SECONDS * 1e6).then_some(micros / 1000)
}
