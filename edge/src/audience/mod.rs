//! Who watches which live stream, and in which direction they look: counts per stream, names of
//! nobody.
//!
//! The player says where it looks in CMCD's `panocast-view`, rounded to 30° before it leaves the
//! device. Each viewer counts at most once a second, so that short parts weigh no more than long
//! segments, and the past fades with a half-life of half a minute: the table shows where people
//! look now. Sessions are hashed with a key of this process and forgotten half a minute after the
//! last request.

pub mod cmcd;
mod report;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use urls::Live;

use crate::metrics::Metrics;
use report::{COLUMNS, ROWS};

pub use report::{Report, View};

/// A viewer that asked for nothing in this time has gone; players ask at least once a segment.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// After this time a look counts half.
const HALF_LIFE_SECONDS: f64 = 30.0;

/// A viewer's look counts once in this time.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Streams known at once: an origin has at most some dozens, and a made-up name is never counted.
const STREAMS_MAX: usize = 1024;

/// Viewers known at once over all streams; more than one edge serves.
const VIEWERS_MAX: usize = 200_000;

/// One viewer of one stream.
#[derive(Debug)]
struct Viewer {
    seen: Duration,
    counted: Option<Duration>,
}

#[derive(Debug, Default)]
struct StreamViewers {
    viewers: HashMap<u64, Viewer>,
    views: [[f64; COLUMNS]; ROWS],
    faded: Duration,
}

/// The live streams' viewers.
#[derive(Debug, Default)]
pub struct Audience {
    hasher: RandomState,
    streams: Mutex<HashMap<Box<str>, StreamViewers>>,
}

impl Audience {
    /// Takes note of one answered request for `path`.
    pub fn note(&self, path: &str, report: &Report, metrics: &Metrics, now: Duration) {
        let (Some(stream), Some(session)) = (Live::stream_of(path), &report.session) else {
            return;
        };
        let viewer = self.hasher.hash_one(session);
        let mut streams = self.streams();
        let is_known = streams
            .get(stream)
            .is_some_and(|entry| entry.viewers.contains_key(&viewer));
        if !is_known && is_full(&streams, stream) {
            return;
        }
        let entry = match streams.get_mut(stream) {
            Some(entry) => entry,
            None => streams.entry(stream.into()).or_default(),
        };
        if let Some(view) = entry.look(viewer, report.view, now) {
            let degrees = [view.yaw().to_string(), view.pitch().to_string()];
            let labels = degrees.each_ref().map(String::as_str);
            metrics.views.with_label_values(&labels).inc();
        }
    }

    /// Each stream's `viewers` and `views`; forgets those that have gone.
    pub fn report(&self, now: Duration) -> Value {
        let mut streams = self.streams();
        streams.retain(|_, entry| {
            entry.fade(now);
            let seen = |viewer: &mut Viewer| now.saturating_sub(viewer.seen) < GONE_AFTER;
            entry.viewers.retain(|_, viewer| seen(viewer));
            !entry.viewers.is_empty()
        });
        let rounded = |cell: &f64| (cell * 1e3).round() / 1e3;
        streams
            .iter()
            .map(|(stream, entry)| {
                let views = entry
                    .views
                    .each_ref()
                    .map(|row| row.each_ref().map(rounded));
                let told = json!({ "viewers": entry.viewers.len(), "views": views });
                (stream.to_string(), told)
            })
            .collect()
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Box<str>, StreamViewers>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamViewers {
    /// The view that counts, if one does.
    fn look(&mut self, viewer: u64, view: Option<View>, now: Duration) -> Option<View> {
        let counted = self.viewers.get(&viewer).and_then(|viewer| viewer.counted);
        let is_due = counted.is_none_or(|counted| now.saturating_sub(counted) >= COUNT_EVERY);
        let counts = view.filter(|_| is_due);
        let viewer_now = Viewer {
            seen: now,
            counted: counts.map(|_| now).or(counted),
        };
        self.viewers.insert(viewer, viewer_now);
        let view = counts?;
        self.fade(now);
        let cell = self.views.get_mut(view.row)?.get_mut(view.column)?;
        *cell += 1.0;
        Some(view)
    }

    fn fade(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.faded).as_secs_f64();
        let left = (-seconds / HALF_LIFE_SECONDS).exp2();
        self.views
            .as_flattened_mut()
            .iter_mut()
            .for_each(|cell| *cell *= left);
        self.faded = now;
    }
}

fn is_full(streams: &HashMap<Box<str>, StreamViewers>, stream: &str) -> bool {
    let viewers: usize = streams.values().map(|entry| entry.viewers.len()).sum();
    viewers >= VIEWERS_MAX || (streams.len() >= STREAMS_MAX && !streams.contains_key(stream))
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
    use service::metrics::Registry;

    use super::*;

    const SEGMENT: &str = "/hls/harbour/960p/e1/7.m4s";

    fn report(session: &str, view: &str) -> Report {
        Report {
            session: Some(session.to_owned()),
            view: View::parse(view),
            ..Report::default()
        }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn each_viewer_counts_once_a_second_and_the_past_fades() {
        let (audience, registry) = (Audience::default(), Registry::new());
        let metrics = Metrics::new(&registry);
        for tenth in 0..10 {
            let now = seconds(f64::from(tenth) / 10.0);
            audience.note(SEGMENT, &report("a", "0.0"), &metrics, now);
        }
        audience.note(SEGMENT, &report("b", "90.0"), &metrics, seconds(0.9));
        audience.note(SEGMENT, &report("c", "nowhere"), &metrics, seconds(0.9));
        let found = audience.report(seconds(0.9));
        assert_eq!(found["harbour"]["viewers"], 3);
        assert_eq!(found["harbour"]["views"][3][3], 1.0);
        let ahead = found["harbour"]["views"][3][6].as_f64().unwrap();
        assert!((0.97..1.0).contains(&ahead), "{ahead}");
        let later = audience.report(seconds(30.0));
        assert_eq!(later["harbour"]["viewers"], 3);
        let ahead = later["harbour"]["views"][3][6].as_f64().unwrap();
        assert!((0.49..0.51).contains(&ahead), "{ahead}");
        assert_eq!(audience.report(seconds(31.0)), json!({}));
        let text = registry.text();
        assert!(
            text.contains("edge_viewer_views_total{pitch=\"0\",yaw=\"0\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_stream_or_no_session_is_not_counted() {
        let (audience, metrics) = (Audience::default(), Metrics::new(&Registry::new()));
        audience.note(
            "/vod/a/index.m3u8",
            &report("a", "0.0"),
            &metrics,
            seconds(0.0),
        );
        audience.note(SEGMENT, &Report::default(), &metrics, seconds(0.0));
        assert_eq!(audience.report(seconds(0.0)), json!({}));
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
}
