//! What all watchers found, counted by rule and rendition.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hls::check::{Checker, Media, Violation};
use http::header;

use super::{Rule, fetch::Answer, rule::Level};

/// Content types of playlists (RFC 8216, 4 and 10).
const TYPES: [&str; 4] = [
    "application/vnd.apple.mpegurl",
    "audio/mpegurl",
    "application/x-mpegurl",
    "audio/x-mpegurl",
];

/// A rule broken in one rendition.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Finding {
    /// Its stable id.
    pub rule: &'static str,
    /// Where it is written.
    pub section: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// Where.
    pub rendition: String,
    /// How often.
    pub count: u64,
    /// Seconds after the start, the first time.
    pub first_at: f64,
    /// What was found the first time, with values.
    pub detail: String,
}

/// Shared by all watchers.
#[derive(Clone)]
pub struct Findings(Arc<Mutex<State>>);

struct State {
    started: Instant,
    checker: Checker,
    found: BTreeMap<(Rule, String), Finding>,
}

impl Findings {
    /// Nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            started: Instant::now(),
            checker: Checker::new(),
            found: BTreeMap::new(),
        })))
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.lock().started.elapsed().as_secs_f64()
    }

    /// Everything found, the worst first.
    pub fn take(&self) -> Vec<Finding> {
        let mut found: Vec<_> = std::mem::take(&mut self.lock().found)
            .into_values()
            .collect();
        found.sort_by(|a, b| {
            a.level
                .cmp(&b.level)
                .then(a.first_at.total_cmp(&b.first_at))
        });
        found
    }

    /// Judges a rendition's next playlist, alone and beside the others; gives it back as read.
    pub fn playlist(&self, rendition: &str, text: &str) -> Option<Media> {
        let mut state = self.lock();
        let mut found = state.checker.media(rendition, text);
        found.extend(state.checker.across());
        for violation in found {
            state.charge(violation);
        }
        let is_playlist = hls::check::parse_media(text).is_ok();
        state
            .checker
            .latest(rendition)
            .filter(|_| is_playlist)
            .cloned()
    }

    /// Notes a broken rule.
    pub fn note(&self, rule: Rule, rendition: &str, detail: impl Into<String>) {
        self.lock().note(rule, rendition, detail.into());
    }

    /// Notes what the checks of text found.
    pub fn charge_all(&self, violations: impl IntoIterator<Item = Violation>) {
        let mut state = self.lock();
        violations
            .into_iter()
            .for_each(|violation| state.charge(violation));
    }

    /// Judges the headers of a playlist (`is_playlist`) or of media.
    pub fn headers(&self, rendition: &str, answer: &Answer, is_playlist: bool) {
        let mut state = self.lock();
        let path = answer.url.path().to_owned();
        if is_playlist {
            let kind = answer.header(header::CONTENT_TYPE);
            let bare = kind
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            if !TYPES.contains(&bare.as_str()) {
                state.note(Rule::ContentType, rendition, format!("{path}: \"{kind}\""));
            }
            if !answer.is_gzip() {
                let bytes = answer.body.len();
                state.note(
                    Rule::Gzip,
                    rendition,
                    format!("{path}: {bytes} bytes as they are"),
                );
            }
        }
        if answer
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            .is_empty()
        {
            state.note(
                Rule::Cors,
                rendition,
                format!("{path}: no Access-Control-Allow-Origin"),
            );
        }
        if answer.header(header::CACHE_CONTROL).is_empty() {
            state.note(
                Rule::CacheControl,
                rendition,
                format!("{path}: no Cache-Control"),
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn charge(&mut self, violation: Violation) {
        self.note(
            Rule::Text(violation.rule),
            &violation.rendition,
            violation.detail,
        );
    }

    fn note(&mut self, rule: Rule, rendition: &str, detail: String) {
        let first_at = self.started.elapsed().as_secs_f64();
        let finding = self
            .found
            .entry((rule, rendition.to_owned()))
            .or_insert_with(|| Finding {
                rule: rule.id(),
                section: rule.section(),
                level: rule.level(),
                rendition: rendition.to_owned(),
                count: 0,
                first_at,
                detail,
            });
        finding.count += 1;
    }
}
