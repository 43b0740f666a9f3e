//! Judges what must hold between one playlist and the next of the same rendition.

use super::{Findings, Media, Rule, Unit};

/// What rounded durations of a playlist may lack together, in seconds.
const ROUNDED_OFF: f64 = 0.001;

/// Puts back what a delta update left out.
pub(super) fn restore_skipped(media: &mut Media, before: Option<&Media>, findings: &mut Findings) {
    if media.skipped == 0 {
        return;
    }
    let last_skipped = media.media_sequence.saturating_add(media.skipped);
    let known = before.map_or(&[][..], |before| &before.segments);
    let skipped = |unit: &&Unit| (media.media_sequence..last_skipped).contains(&unit.msn);
    let restored: Vec<Unit> = known.iter().filter(skipped).cloned().collect();
    if restored.len() as u64 != media.skipped {
        let detail = format!(
            "{} segments skipped, {} known",
            media.skipped,
            restored.len()
        );
        findings.add(Rule::Skip, detail);
    }
    if let Some(map) = restored.last().and_then(|unit| unit.map.clone()) {
        // What the delta does not repeat stays in force.
        for unit in media.segments.iter_mut().chain(&mut media.open) {
            if unit.map.is_some() {
                break;
            }
            unit.map = Some(map.clone());
        }
    }
    media.segments.splice(0..0, restored);
}

pub(super) fn check(before: &Media, now: &Media, findings: &mut Findings) {
    if before.ended && (!now.ended || before.segments != now.segments) {
        findings.add(Rule::EndReopened, "it changed after EXT-X-ENDLIST");
    }
    if before.target_duration != now.target_duration {
        let detail = format!(
            "{:?} became {:?}",
            before.target_duration, now.target_duration
        );
        findings.add(Rule::TargetChanged, detail);
    }
    if before.part_target.is_some()
        && now.part_target.is_some()
        && before.part_target != now.part_target
    {
        let detail = format!("{:?} became {:?}", before.part_target, now.part_target);
        findings.add(Rule::PartTargetChanged, detail);
    }
    if before.server_control != now.server_control {
        findings.add(Rule::ServerControl, "EXT-X-SERVER-CONTROL changed");
    }
    if now.media_sequence < before.media_sequence || now.last_msn() < before.last_msn() {
        let detail = format!(
            "{}..{:?} became {}..{:?}",
            before.media_sequence,
            before.last_msn(),
            now.media_sequence,
            now.last_msn()
        );
        findings.add(Rule::MsnDecreased, detail);
        return;
    }
    same_segments(before, now, findings);
    discontinuity_sequence(before, now, findings);
    window(before, now, findings);
    hint(before, now, findings);
    announced(before, now, findings);
}

/// The number after all whole segments.
fn next_msn(media: &Media) -> Option<u64> {
    media.last_msn()?.checked_add(1)
}

/// What was said of the segment to come holds for it.
fn announced(before: &Media, now: &Media, findings: &mut Findings) {
    if before.open.is_some() {
        return;
    }
    let Some(next) = next_msn(before) else {
        return;
    };
    let mut units = now.segments.iter().chain(&now.open);
    let Some(unit) = units.find(|unit| unit.msn == next) else {
        return;
    };
    match (before.discontinuity_ahead, unit.discontinuity) {
        (true, false) => findings.add(Rule::DiscontinuityTakenBack, format!("segment {next}")),
        // Without parts nobody counts what is not listed yet.
        (false, true) if before.part_target.is_some() && !before.ended => {
            findings.add(Rule::DiscontinuityUnannounced, format!("segment {next}"));
        }
        _ => {}
    }
    let hinted = before.map_hint.as_ref().filter(|_| !unit.gap);
    if let Some(hinted) = hinted.filter(|hinted| unit.map.as_ref() != Some(hinted)) {
        let detail = format!("{hinted} was hinted, {:?} came", unit.map);
        findings.add(Rule::HintBroken, detail);
    }
}

fn same_segments(before: &Media, now: &Media, findings: &mut Findings) {
    for old in &before.segments {
        let Some(new) = now.segments.iter().find(|unit| unit.msn == old.msn) else {
            continue;
        };
        let same = old.uri == new.uri
            && old.duration == new.duration
            && old.discontinuity == new.discontinuity
            && old.gap == new.gap
            && old.date == new.date;
        if !same {
            findings.add(Rule::SegmentChanged, format!("segment {}", old.msn));
        }
    }
    let Some(open) = &before.open else {
        return;
    };
    let newer = now
        .segments
        .iter()
        .chain(&now.open)
        .find(|unit| unit.msn == open.msn);
    let Some(newer) = newer.filter(|unit| !unit.parts.is_empty()) else {
        return;
    };
    if newer.parts.get(..open.parts.len()) != Some(&open.parts[..]) {
        findings.add(Rule::PartChanged, format!("of segment {}", open.msn));
    }
}

fn discontinuity_sequence(before: &Media, now: &Media, findings: &mut Findings) {
    let (Some(old), Some(new)) = (before.discontinuity_sequence, now.discontinuity_sequence) else {
        if before.discontinuity_sequence.is_some() {
            findings.add(Rule::DiscontinuitySequenceMissing, "it was there before");
        }
        return;
    };
    // Only what was seen can be counted: after a jump past everything known nothing can be said.
    if before
        .last_msn()
        .is_none_or(|last| now.media_sequence > last.saturating_add(1))
    {
        if new < old {
            findings.add(Rule::DiscontinuitySequence, format!("{old} became {new}"));
        }
        return;
    }
    let left = before
        .segments
        .iter()
        .filter(|unit| unit.msn < now.media_sequence);
    let left = left.filter(|unit| unit.discontinuity).count() as u64;
    if new != old + left {
        let detail = format!("{old} became {new}, but {left} discontinuities left");
        findings.add(Rule::DiscontinuitySequence, detail);
    }
}

fn window(before: &Media, now: &Media, findings: &mut Findings) {
    let removed = now.media_sequence > before.media_sequence;
    let listed: f64 = now.segments.iter().map(|unit| unit.duration).sum();
    let least = now.target_duration.unwrap_or(0) as f64 * 3.0;
    // Each duration is rounded to what its playlist prints.
    if removed && !now.ended && listed + ROUNDED_OFF < least {
        let detail = format!("{listed} s listed, {least} s are the least");
        findings.add(Rule::WindowShort, detail);
    }
}

/// A hint must come true with the next part, whatever segment it lands in, unless that was lost.
fn hint(before: &Media, now: &Media, findings: &mut Findings) {
    let Some(hinted) = &before.hint else {
        return;
    };
    let known = |uri: &str| {
        let mut old = before
            .segments
            .iter()
            .chain(&before.open)
            .flat_map(|unit| &unit.parts);
        old.any(|part| part.uri == uri)
    };
    let last = before
        .open
        .as_ref()
        .map(|open| open.msn)
        .or(before.last_msn())
        .unwrap_or(0);
    let next = before
        .open
        .as_ref()
        .map(|open| open.msn)
        .or(next_msn(before));
    let mut all = now.segments.iter();
    if all.any(|unit| Some(unit.msn) == next && unit.gap) {
        return;
    }
    let recent = now
        .segments
        .iter()
        .chain(&now.open)
        .filter(|unit| unit.msn >= last);
    let first_new = recent
        .flat_map(|unit| &unit.parts)
        .find(|part| !known(&part.uri));
    if let Some(part) = first_new.filter(|part| part.uri != *hinted && !part.gap) {
        findings.add(
            Rule::HintBroken,
            format!("{hinted} was hinted, {} came", part.uri),
        );
    }
}
