//! Judges what one playlist must hold by itself.

use super::{Findings, Media, Rule, Unit};

/// Durations are decimal text: two that should be equal may differ by the last digit of each.
const ROUNDING_SECONDS: f64 = 0.000_1;

/// Audio of 16 kHz has frames of 64 ms, and the first one after a gap waits for the segment to
/// start. Between segments of frames nothing but rounding is allowed, but whether a gap lies before
/// is not worth telling apart here.
const DATE_TOLERANCE_MICROS: i64 = 66_000;

/// A gap lasts as long as the video's segment, the audio's before it up to a frame more.
const GAP_TOLERANCE_MICROS: i64 = 132_000;

/// A part may be this much of PART-TARGET at least.
const PART_MIN: f64 = 0.85;

pub(super) fn check(media: &Media, findings: &mut Findings) {
    let Some(target) = media.target_duration else {
        findings.add(Rule::TargetMissing, "no EXT-X-TARGETDURATION");
        return;
    };
    for segment in &media.segments {
        if segment.duration.round() > target as f64 {
            let detail = format!(
                "segment {} lasts {} s, the target is {target} s",
                segment.msn, segment.duration
            );
            findings.add(Rule::TargetExceeded, detail);
        }
        let needs_map = is_fragmented(segment) && !segment.gap && media.skipped == 0;
        if needs_map && segment.map.is_none() {
            findings.add(
                Rule::MapMissing,
                format!("segment {} has none", segment.msn),
            );
        }
    }
    let needed = needed_version(media);
    if media.version < needed {
        let detail = format!("{} is below {needed}", media.version);
        findings.add(Rule::Version, detail);
    }
    let discontinuities = media.segments.iter().any(|segment| segment.discontinuity);
    if discontinuities && media.discontinuity_sequence.is_none() {
        findings.add(
            Rule::DiscontinuitySequenceMissing,
            "a discontinuity is listed",
        );
    }
    dates(media, findings);
    server_control(media, target, findings);
    parts(media, findings);
    hint(media, findings);
}

/// Whether a segment cannot be read without EXT-X-MAP: TS, packed audio and WebVTT can.
fn is_fragmented(segment: &Unit) -> bool {
    let path = segment.uri.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit('.').next().unwrap_or_default();
    let fragmented = ["m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa"];
    fragmented.contains(&ending.to_ascii_lowercase().as_str())
}

/// What EXT-X-VERSION must be at least (bis 7).
fn needed_version(media: &Media) -> u64 {
    let mut units = media.segments.iter();
    if media.skipped > 0 {
        9
    } else if media.segments.iter().any(|unit| unit.map.is_some()) {
        6
    } else if units.any(|unit| unit.duration.fract() != 0.0) {
        3
    } else {
        1
    }
}

fn dates(media: &Media, findings: &mut Findings) {
    let mut units = media.segments.iter();
    // Without low latency nobody needs them; with one there must be all.
    if media.part_target.is_none() && units.all(|unit| unit.date.is_none()) {
        return;
    }
    let mut expected: Option<i64> = None;
    for unit in media.segments.iter().chain(&media.open) {
        if unit.discontinuity {
            expected = None;
        }
        match (unit.date, expected) {
            (None, None) => {
                let detail = format!("segment {} has no time of its own", unit.msn);
                findings.add(Rule::DateMissing, detail);
                return;
            }
            (Some(date), Some(expected)) if off(date, expected, unit) => {
                let detail = format!(
                    "segment {} is dated {} ms off the sum of durations",
                    unit.msn,
                    (date - expected) / 1000
                );
                findings.add(Rule::DateDrift, detail);
            }
            _ => {}
        }
        let start = unit.date.or(expected).unwrap_or(0);
        expected = Some(start.saturating_add((unit.duration * 1e6) as i64));
    }
}

/// Audio next to a gap may start up to a frame after the gap's end.
fn off(date: i64, expected: i64, unit: &Unit) -> bool {
    let tolerance = if unit.gap {
        GAP_TOLERANCE_MICROS
    } else {
        DATE_TOLERANCE_MICROS
    };
    (date - expected).abs() > tolerance
}

fn server_control(media: &Media, target: u64, findings: &mut Findings) {
    let Some(control) = &media.server_control else {
        if media.part_target.is_some() {
            findings.add(Rule::ServerControl, "missing in a low-latency playlist");
        }
        return;
    };
    let target = target as f64;
    let part = media.part_target;
    let minimums = [
        ("CAN-SKIP-UNTIL", Some(target * 6.0)),
        ("HOLD-BACK", Some(target * 3.0)),
        ("PART-HOLD-BACK", part.map(|part| part * 3.0)),
    ];
    for (name, minimum) in minimums {
        let (Some(text), Some(minimum)) = (control.get(name), minimum) else {
            continue;
        };
        let value: f64 = text.parse().unwrap_or(0.0);
        if value + ROUNDING_SECONDS < minimum {
            findings.add(
                Rule::ServerControl,
                format!("{name}={text} is below {minimum}"),
            );
        }
    }
    if part.is_some() && !control.contains_key("PART-HOLD-BACK") {
        findings.add(Rule::ServerControl, "PART-HOLD-BACK is missing");
    }
}

fn parts(media: &Media, findings: &mut Findings) {
    let listed = media.segments.iter().map(|segment| (segment, true));
    for (index, (unit, complete)) in listed
        .chain(media.open.iter().map(|open| (open, false)))
        .enumerate()
    {
        if unit.parts.is_empty() {
            continue;
        }
        let Some(target) = media.part_target else {
            findings.add(
                Rule::PartTargetMissing,
                format!("segment {} has parts", unit.msn),
            );
            return;
        };
        one_units_parts(unit, complete, target, findings);
        // What a killed process had not written is no part, and takes its time nevertheless.
        if complete && !unit.gap {
            let may_be_short = media.ends_timeline(index);
            parts_make_the_segment(unit, may_be_short, findings);
        }
    }
}

fn one_units_parts(unit: &Unit, complete: bool, target: f64, findings: &mut Findings) {
    for (index, part) in unit.parts.iter().enumerate() {
        let name = format!(
            "part {}.{index} lasts {} s of {target} s",
            unit.msn, part.duration
        );
        if part.duration > target + ROUNDING_SECONDS {
            findings.add(Rule::PartLong, name);
            continue;
        }
        let last = complete && index + 1 == unit.parts.len();
        let before_gap = unit.parts.get(index + 1).is_some_and(|next| next.gap);
        let may_be_short = part.independent || part.gap || before_gap || last;
        if part.duration < target * PART_MIN - ROUNDING_SECONDS && !may_be_short {
            findings.add(Rule::PartShort, name);
        }
        if part.gap && complete && !unit.gap {
            findings.add(
                Rule::PartGap,
                format!("part {}.{index} is lost, its segment is not", unit.msn),
            );
        }
    }
}

fn parts_make_the_segment(unit: &Unit, may_be_short: bool, findings: &mut Findings) {
    let sum: f64 = unit.parts.iter().map(|part| part.duration).sum();
    let rounding = ROUNDING_SECONDS * (1 + unit.parts.len()) as f64;
    let short = sum < unit.duration && may_be_short;
    if (sum - unit.duration).abs() > rounding && !short {
        let detail = format!(
            "segment {} lasts {} s, its parts {sum} s",
            unit.msn, unit.duration
        );
        let rule = match sum > unit.duration {
            true => Rule::PartSum,
            false => Rule::PartSumShort,
        };
        findings.add(rule, detail);
    }
}

fn hint(media: &Media, findings: &mut Findings) {
    let Some(hint) = &media.hint else {
        if media.part_target.is_some() && !media.ended {
            findings.add(Rule::HintMissing, "no next part is named");
        }
        return;
    };
    if media.ended {
        findings.add(Rule::HintWrong, "a final playlist names a next part");
    }
    let mut listed = media
        .segments
        .iter()
        .chain(&media.open)
        .flat_map(|unit| &unit.parts);
    if listed.any(|part| part.uri == *hint) {
        findings.add(Rule::HintWrong, format!("{hint} is listed already"));
    }
}

/// Every other rendition must be reported on, so that a player can switch without a reload.
pub(super) fn check_reports(
    media: &Media,
    rendition: &str,
    expected: &[String],
    findings: &mut Findings,
) {
    if media.ended || media.server_control.is_none() {
        return;
    }
    for name in expected.iter().filter(|name| *name != rendition) {
        let folder = format!("/{name}/");
        let reported = media.reports.iter().filter_map(|report| report.get("URI"));
        if !reported.into_iter().any(|uri| uri.contains(&folder)) {
            findings.add(Rule::ReportMissing, format!("nothing on {name}"));
        }
    }
}
