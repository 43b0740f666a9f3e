//! Counts what of a publisher's media was put right or left out, by track and kind, and logs each
//! kind once.

use std::collections::BTreeMap;

use media::{MediaKind, Repair, SkipReason, Skipped};
use tracing::{info, warn};

use crate::{
    api::{RepairedReport, SkippedReport},
    metrics::Metrics,
};

/// What was left out of one track for one reason.
#[derive(Debug, Default)]
struct LeftOut {
    count: u64,
    /// The newest case in words.
    last: String,
}

/// Of one publisher.
#[derive(Debug, Default)]
pub struct InputFaults {
    skipped: BTreeMap<(&'static str, SkipReason), LeftOut>,
    repaired: BTreeMap<Repair, u64>,
}

impl InputFaults {
    /// Something was left out.
    pub fn skipped(&mut self, stream: &str, skipped: Skipped, metrics: &Metrics) {
        let (track, reason) = (track_of(skipped.kind), skipped.reason);
        let labels = [track, reason.name()];
        metrics.skipped.with_label_values(&labels).inc();
        let entry = self.skipped.entry((track, reason)).or_default();
        entry.count += 1;
        if entry.count == 1 {
            let (detail, remedy) = (&skipped.detail, reason.remedy());
            let reason = reason.name();
            warn!(
                stream,
                track, reason, detail, remedy, "left out of what the encoder sends"
            );
        }
        entry.last = skipped.detail;
    }

    /// Something was put right.
    pub fn repaired(&mut self, stream: &str, repair: Repair, metrics: &Metrics) {
        let kind = repair.name();
        metrics.repaired.with_label_values(&[kind]).inc();
        let count = self.repaired.entry(repair).or_default();
        *count += 1;
        if *count == 1 {
            let remedy = repair.remedy();
            info!(stream, kind, remedy, "put right in what the encoder sends");
        }
    }

    /// For `/api/streams`: what was left out.
    pub fn skipped_report(&self) -> Vec<SkippedReport> {
        let all = self.skipped.iter();
        all.map(|((track, reason), entry)| SkippedReport {
            track,
            reason: reason.name(),
            count: entry.count,
            last: entry.last.clone(),
            remedy: reason.remedy(),
        })
        .collect()
    }

    /// For `/api/streams`: what was put right.
    pub fn repaired_report(&self) -> Vec<RepairedReport> {
        let all = self.repaired.iter();
        all.map(|(repair, count)| RepairedReport {
            kind: repair.name(),
            count: *count,
            remedy: repair.remedy(),
        })
        .collect()
    }
}

/// `video`, `audio`, or `other` for what belongs to neither.
fn track_of(kind: Option<MediaKind>) -> &'static str {
    match kind {
        Some(MediaKind::Video) => "video",
        Some(MediaKind::Audio) => "audio",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use service::metrics::Registry;

    use super::*;

    #[test]
    fn good_audio_does_not_hide_what_is_left_out_of_video() {
        let metrics = Metrics::new(&Registry::new());
        let mut faults = InputFaults::default();
        let left_out = |kind, detail: &str| Skipped {
            kind,
            reason: SkipReason::Damaged,
            detail: detail.to_owned(),
        };
        for detail in ["first", "second"] {
            faults.skipped("s", left_out(Some(MediaKind::Video), detail), &metrics);
        }
        faults.skipped("s", left_out(Some(MediaKind::Audio), "once"), &metrics);
        faults.repaired("s", Repair::Adts, &metrics);
        faults.repaired("s", Repair::Adts, &metrics);
        let found = faults.skipped_report();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.track, one.count, &*one.last))
            .collect();
        assert_eq!(found, [("audio", 1, "once"), ("video", 2, "second")]);
        let repaired = faults.repaired_report();
        assert_eq!((repaired[0].kind, repaired[0].count), ("adts", 2));
        let counted = metrics
            .skipped
            .with_label_values(&["video", "damaged"])
            .get();
        assert_eq!(counted, 2);
    }
}
