//! What players say about themselves (CTA-5004, Common Media Client Data) to figures per edge.
//!
//! It comes in the query (`CMCD=…`) or in four headers, and never reaches the cache key or an origin.
//! Sessions are only counted: no figure names a viewer.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;

use crate::audience::{GONE_AFTER, VIEWERS_MAX, View};
use crate::metrics::Metrics;

/// CMCD longer than this is not read.
const BYTES_MAX: usize = 4 << 10;

const HEADERS: [&str; 4] = ["cmcd-session", "cmcd-request", "cmcd-status", "cmcd-object"];

/// The keys we use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// `sid`: the viewing session.
    pub session: Option<String>,
    /// `bs`: the buffer ran empty.
    pub is_starved: bool,
    /// `mtp`: measured throughput, kb/s.
    pub throughput_kbps: Option<u32>,
    /// `ltc`: behind live, ms.
    pub latency_ms: Option<u32>,
    /// `msd`: start delay, ms.
    pub start_ms: Option<u32>,
    /// `panocast-view`: where the viewer looks.
    pub view: Option<View>,
}

impl Report {
    /// What a request says, none when it says nothing.
    pub fn of(query: Option<&str>, headers: &HeaderMap) -> Option<Report> {
        let mut report = Report::default();
        let mut any = false;
        if let Some(value) = query
            .and_then(in_query)
            .filter(|value| value.len() <= BYTES_MAX)
        {
            let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            report.read(&text);
            any = true;
        }
        // One pass over the few names a request has costs less than four look-ups.
        for (name, value) in headers {
            if name.as_str().starts_with("cmcd-")
                && HEADERS.contains(&name.as_str())
                && value.len() <= BYTES_MAX
                && let Ok(value) = value.to_str()
            {
                report.read(value);
                any = true;
            }
        }
        any.then_some(report)
    }

    fn read(&mut self, text: &str) {
        for item in split_unquoted(text) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            // Version 2 writes some numbers as lists, `(1200;v)`: the first is meant.
            let number = || {
                let digits = value.trim_start_matches('(');
                let end = digits
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(digits.len());
                digits.get(..end)?.parse::<u32>().ok()
            };
            match key {
                "sid" => {
                    let id = value.trim_matches('"');
                    self.session = (!id.is_empty() && id.len() <= 64).then(|| id.to_owned());
                }
                "bs" => self.is_starved = value.is_empty() || value == "true" || value == "?1",
                "mtp" => self.throughput_kbps = number(),
                "ltc" => self.latency_ms = number(),
                "msd" => self.start_ms = number(),
                "panocast-view" => self.view = View::parse(value),
                _ => {}
            }
        }
    }
}

fn in_query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("CMCD="))
}

/// At commas outside of quotes.
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
}

/// The sessions of the last half minute.
#[derive(Debug, Default)]
pub struct Sessions {
    hasher: RandomState,
    last_seen: Mutex<HashMap<u64, Duration>>,
}

impl Sessions {
    /// Takes note of one request's report.
    pub fn note(&self, report: &Report, metrics: &Metrics, now: Duration) {
        if report.is_starved {
            metrics.stalls.inc();
        }
        if let Some(kbps) = report.throughput_kbps {
            metrics.viewer_throughput.observe(f64::from(kbps));
        }
        if let Some(ms) = report.latency_ms {
            metrics.viewer_latency.observe(f64::from(ms) / 1000.0);
        }
        if let Some(ms) = report.start_ms {
            metrics.viewer_start.observe(f64::from(ms) / 1000.0);
        }
        if let Some(session) = &report.session {
            let id = self.hasher.hash_one(session);
            let mut last_seen = self
                .last_seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if last_seen.len() < VIEWERS_MAX || last_seen.contains_key(&id) {
                last_seen.insert(id, now);
            }
        }
    }

    /// How many there are; forgets those that have gone.
    pub fn count(&self, now: Duration) -> usize {
        let mut last_seen = self
            .last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last_seen.retain(|_, seen| now.saturating_sub(*seen) < GONE_AFTER);
        last_seen.len()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use service::metrics::Registry;

    use super::*;

    #[test]
    fn reports_are_read_from_query_and_headers() {
        let query = "x=1&CMCD=bl%3D21300%2Cbs%2Cltc%3D1850%2Cmtp%3D25400%2Csid%3D%226e2f%2Cb5%22%2Cst%3Dl%2Cpanocast-view%3D%2230.-60%22";
        let report = Report::of(Some(query), &HeaderMap::new()).unwrap();
        let expected = Report {
            session: Some("6e2f,b5".to_owned()),
            is_starved: true,
            throughput_kbps: Some(25_400),
            latency_ms: Some(1_850),
            start_ms: None,
            view: View::parse("30.-60"),
        };
        assert_eq!(report, expected);
        let mut headers = HeaderMap::new();
        headers.insert("cmcd-session", HeaderValue::from_static("sid=\"a\", sf=h"));
        headers.insert(
            "cmcd-request",
            HeaderValue::from_static("mtp=(900;v),msd=420"),
        );
        let report = Report::of(None, &headers).unwrap();
        assert_eq!(report.session.as_deref(), Some("a"));
        assert_eq!(
            (report.throughput_kbps, report.start_ms),
            (Some(900), Some(420))
        );
        assert_eq!(Report::of(Some("_HLS_msn=4"), &HeaderMap::new()), None);
    }

    #[test]
    fn viewers_are_sessions_of_the_last_half_minute() {
        let metrics = Metrics::new(&Registry::new());
        let sessions = Sessions::default();
        for (second, session) in [(0, "a"), (1, "b"), (2, "a"), (20, "b")] {
            let report = Report {
                session: Some(session.to_owned()),
                ..Report::default()
            };
            sessions.note(&report, &metrics, Duration::from_secs(second));
        }
        assert_eq!(sessions.count(Duration::from_secs(21)), 2);
        assert_eq!(sessions.count(Duration::from_secs(35)), 1);
        assert_eq!(sessions.count(Duration::from_secs(60)), 0);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(query in ".{0,200}") {
            let _ = Report::of(Some(&format!("CMCD={query}")), &HeaderMap::new());
        }
    }
}
