//! Runs `hls::check` on this origin's own playlists once a second.
//!
//! Each second every rendition of every stream is rendered and judged against the one before and
//! against its siblings. A broken rule is counted in metrics, told once in the log, shown in
//! `/api/streams` and mentioned by `/healthz`: most packaging defects stand in the playlist long
//! before a viewer complains. It judges text; whether the media keep the playlist's promises is for
//! tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hls::{
    Delivery, Snapshot,
    check::{Checker, Rule, Violation},
    render_media,
};
use service::{Clock, readiness::Readiness};
use tracing::error;

use crate::{
    api::{ConformanceReport, RuleReport},
    metrics::Metrics,
    stream::{Registry, Stream},
};

/// Parts of half a second: each playlist is looked at while it is young, at a cost of about a
/// millisecond of CPU per stream.
const EVERY: Duration = Duration::from_secs(1);

/// How long `/healthz` goes on mentioning a violation: long enough for whoever polls each minute.
const MENTIONED_FOR: Duration = Duration::from_secs(300);

/// Looks at the streams of one registry; clones share what was found.
#[derive(Clone)]
pub struct ConformanceChecks {
    metrics: Metrics,
    clock: Clock,
    streams: Arc<Mutex<BTreeMap<String, Watched>>>,
}

/// What is known of one stream.
#[derive(Debug, Default)]
struct Watched {
    /// The run judged: a new one starts afresh.
    run_id: String,
    checker: Checker,
    /// Count and newest words by rule.
    broken: BTreeMap<&'static str, (u64, String)>,
    last: Option<(Duration, String)>,
}

impl ConformanceChecks {
    /// Nothing looked at yet.
    pub fn new(metrics: Metrics, clock: Clock) -> Self {
        Self {
            metrics,
            clock,
            streams: Arc::default(),
        }
    }

    /// Looks each second, for ever.
    pub async fn run(self, registry: Arc<Registry>, readiness: Readiness) {
        loop {
            self.clock.sleep(EVERY).await;
            let streams = registry.streams();
            self.lock()
                .retain(|name, _| streams.iter().any(|stream| stream.name() == name));
            for stream in streams {
                self.look(&stream);
                // Viewers come first.
                tokio::task::yield_now().await;
            }
            readiness.remark("playlists", self.remark());
        }
    }

    /// For `/api/streams`: how often which rule was broken, with the newest case in words.
    pub fn report(&self, stream: &str) -> ConformanceReport {
        let streams = self.lock();
        let Some(watched) = streams.get(stream) else {
            return ConformanceReport::default();
        };
        let rules: BTreeMap<_, _> = watched
            .broken
            .iter()
            .map(|(rule, (count, words))| {
                let last = words.clone();
                (
                    *rule,
                    RuleReport {
                        count: *count,
                        last,
                    },
                )
            })
            .collect();
        let violations: u64 = watched.broken.values().map(|(count, _)| count).sum();
        ConformanceReport { violations, rules }
    }

    fn look(&self, stream: &Stream) {
        let Some(snapshot) = stream.snapshot() else {
            return;
        };
        let mut all = self.lock();
        let watched = all.entry(stream.name().to_owned()).or_default();
        // A source that drops pictures has frames that last longer than a part may claim.
        let ours = |violation: &Violation| violation.rule != Rule::PartSumShort;
        for violation in watched.judge(&snapshot).into_iter().filter(ours) {
            self.note(stream.name(), watched, &violation);
        }
    }

    fn note(&self, stream: &str, watched: &mut Watched, violation: &Violation) {
        let rule = violation.rule.id();
        self.metrics.violations.with_label_values(&[rule]).inc();
        let words = violation.to_string();
        let (count, last) = watched.broken.entry(rule).or_default();
        *count += 1;
        if *count == 1 {
            error!(
                stream,
                rule,
                violation = words,
                "a playlist of ours breaks a rule"
            );
        }
        last.clone_from(&words);
        watched.last = Some((self.clock.now(), format!("{stream}: {words}")));
    }

    fn remark(&self) -> Option<String> {
        let now = self.clock.now();
        let streams = self.lock();
        let newest = streams.values().filter_map(|watched| watched.last.as_ref());
        let (at, words) = newest.max_by_key(|(at, _)| *at)?;
        (now.saturating_sub(*at) < MENTIONED_FOR).then(|| words.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Watched>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn judge(&mut self, snapshot: &Snapshot) -> Vec<Violation> {
        if self.run_id != snapshot.run_id() {
            self.run_id = snapshot.run_id().to_owned();
            self.checker = Checker::new();
        }
        if let Some(multivariant) = snapshot.multivariant() {
            let variants = multivariant
                .variants
                .iter()
                .map(|variant| &variant.rendition);
            let audio = multivariant.audio.iter().map(|audio| &audio.rendition);
            let names = variants.chain(audio).map(|name| name.to_string());
            self.checker.expect_reports(names);
        }
        let mut found = Vec::new();
        for media in snapshot.renditions() {
            let text = render_media(media, &Delivery::default());
            found.extend(self.checker.media(media.name(), &text));
        }
        found.extend(self.checker.across());
        found
    }
}
