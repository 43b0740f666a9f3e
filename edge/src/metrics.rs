//! The edge's figures, defined once.

use http::StatusCode;
use service::metrics::{
    Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, LATENCY_SECONDS, Registry,
};

use crate::request::Kind;

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// From the cache.
    Hit,
    /// By a fetch that it started.
    Miss,
    /// By a fetch that another request had started.
    Coalesced,
    /// From the cache although expired, because no origin could be asked.
    Stale,
    /// Not at all.
    Failed,
    /// Refused: the request was wrong, or too many waited.
    Refused,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Hit,
        Self::Miss,
        Self::Coalesced,
        Self::Stale,
        Self::Failed,
        Self::Refused,
    ];

    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// Bucket bounds of what players measure.
const THROUGHPUT_KBPS: &[f64] = &[500.0, 1e3, 2.5e3, 5e3, 1e4, 1.5e4, 2e4, 3e4, 5e4, 1e5, 2e5];
const LIVE_LATENCY_SECONDS: &[f64] = &[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0, 60.0];

macro_rules! metrics {
    ($($field:ident: $type:ty = $method:ident($($argument:expr),+ $(,)?);)+) => {
        /// All figures, each said what it is by its help text; clones share them.
        #[allow(missing_docs)]
        #[derive(Debug, Clone)]
        pub struct Metrics {
            $(pub $field: $type,)+
            answered: Vec<IntCounter>,
            classes: [IntCounter; 4],
        }

        impl Metrics {
            /// Defines them in `registry`.
            pub fn new(registry: &Registry) -> Self {
                let by_kind = registry.counter_vec(
                    "edge_responses_total",
                    "requests",
                    "Requests by what was asked for and how it was answered.",
                    &["kind", "cache"],
                );
                // Looked up once: the hot path only adds.
                let answered = Kind::ALL
                    .iter()
                    .flat_map(|kind| Outcome::ALL.iter().map(move |outcome| (kind, outcome)))
                    .map(|(kind, outcome)| {
                        by_kind.with_label_values(&[kind.name(), outcome.name()])
                    })
                    .collect();
                let statuses = registry.counter_vec(
                    "edge_statuses_total",
                    "requests",
                    "Requests by the class of the answer's status.",
                    &["class"],
                );
                let classes =
                    ["2xx", "3xx", "4xx", "5xx"].map(|class| statuses.with_label_values(&[class]));
                Self { $($field: registry.$method($($argument),+),)+ answered, classes }
            }
        }
    };
}

metrics! {
    requests: IntCounter = counter("edge_requests_total", "requests", "Requests from viewers.");
    bytes: IntCounter = counter(
        "edge_sent_bytes_total", "bytes", "Body bytes of answers, by their announced lengths.");
    first_byte: Histogram = histogram(
        "edge_first_byte_seconds", "seconds",
        "From request to the begin of the answer, for answers that had to wait.", LATENCY_SECONDS);
    waiting: IntGauge = gauge(
        "edge_waiting_requests", "requests", "Requests waiting for, or reading from, a fetch.");
    fetching: IntGauge = gauge("edge_fetches", "fetches", "Fetches under way.");
    upstream_fetches: IntCounter = counter(
        "edge_upstream_fetches_total", "requests", "Requests sent to origins.");
    upstream_answers: IntCounterVec = counter_vec(
        "edge_upstream_answers_total", "requests",
        "Answers of origins by status; none = no answer.", &["origin", "status"]);
    upstream_failures: IntCounter = counter(
        "edge_upstream_failures_total", "fetches",
        "Fetches that no origin could answer to the end.");
    upstream_hedged: IntCounter = counter(
        "edge_upstream_hedged_total", "requests",
        "Times the next origin was asked because an answer was overdue.");
    upstream_resumed: IntCounter = counter(
        "edge_upstream_resumed_total", "bodies",
        "Bodies that broke off and were completed from another origin.");
    stale_playlists: IntCounter = counter(
        "edge_stale_playlists_total", "playlists",
        "Playlists from origins that had not moved for 1.5 target durations or had gone back.");
    streams_led: IntGauge = gauge(
        "edge_streams_led", "streams",
        "Live streams that are asked first of another origin than the preferred one, which was \
         behind.");
    origin_up: IntGaugeVec = gauge_vec(
        "edge_origin_up", "origins", "1 while the origin is asked in its turn, 0 while it is down.",
        &["origin"]);
    store_fetches: IntCounter = counter(
        "edge_store_fetches_total", "requests", "Objects asked of the egress store.");
    cache_bytes: IntGauge = gauge("edge_cache_bytes", "bytes", "Memory that cached answers take.");
    cache_entries: IntGauge = gauge("edge_cache_entries", "objects", "Cached answers in memory.");
    pinned_bytes: IntGauge = gauge(
        "edge_pinned_bytes", "bytes",
        "Memory of bodies that have left the cache but that viewers are still being sent.");
    filling_bytes: IntGauge = gauge(
        "edge_filling_bytes", "bytes", "Memory of bodies that are arriving from origins.");
    disk_bytes: IntGauge = gauge("edge_disk_bytes", "bytes", "Disk that cached answers take.");
    disk_hits: IntCounter = counter(
        "edge_disk_hits_total", "objects", "Objects read back from the disk cache.");
    draining: IntGauge = gauge("edge_draining", "processes", "1 once this edge is leaving.");
    viewers: IntGauge = gauge(
        "edge_viewers", "sessions", "CMCD sessions that asked for something in the last 30 s.");
    stalls: IntCounter = counter(
        "edge_viewer_stalls_total", "stalls",
        "Requests whose CMCD says that the buffer ran empty (bs).");
    viewer_throughput: Histogram = histogram(
        "edge_viewer_throughput_kbps", "kilobits per second",
        "Throughput that players measured (CMCD mtp).", THROUGHPUT_KBPS);
    viewer_latency: Histogram = histogram(
        "edge_viewer_live_latency_seconds", "seconds",
        "How far behind live players are (CMCD ltc).", LIVE_LATENCY_SECONDS);
    viewer_start: Histogram = histogram(
        "edge_viewer_start_seconds", "seconds",
        "From play to the first picture, as players measured it (CMCD msd).", LATENCY_SECONDS);
    views: IntCounterVec = counter_vec(
        "edge_viewer_views_total", "seconds",
        "Seconds in which a viewer of a live stream looked there, to the nearest 30 degrees (CMCD \
         panocast-view).",
        &["yaw", "pitch"]);
    log_lost: IntCounter = counter(
        "edge_access_log_lost_total", "lines",
        "Access log lines dropped because the writer was behind.");
}

impl Metrics {
    /// Counts one answer's status.
    pub fn status(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        if let Some(counter) = self.classes.get(class) {
            counter.inc();
        }
    }

    /// Counts one answer.
    pub fn answered(&self, kind: Kind, outcome: Outcome) {
        let index = kind as usize * Outcome::ALL.len() + outcome as usize;
        if let Some(counter) = self.answered.get(index) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_where_they_belong() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        for kind in Kind::ALL {
            metrics.answered(kind, Outcome::Refused);
        }
        metrics.answered(Kind::Media, Outcome::Hit);
        let text = registry.text();
        assert!(
            text.contains("edge_responses_total{cache=\"hit\",kind=\"media\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("edge_responses_total{cache=\"refused\",kind=\"page\"} 1"),
            "{text}"
        );
        for definition in registry.definitions() {
            assert!(definition.name.starts_with("edge_") && definition.help.ends_with('.'));
        }
    }
}
