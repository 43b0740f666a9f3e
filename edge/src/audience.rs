//! Who watches which live stream, and in which direction they look: counts per stream, names of
//! nobody.
//!
//! The player says where it looks in CMCD's `panocast-view`, rounded to 30° before it leaves the
//! device. Each viewer counts at most once a second, so that short parts weigh no more than long
//! segments, and the past fades with a half-life of half a minute: the table shows where people look
//! now. Sessions are hashed with a key of this process and forgotten half a minute after the last
//! request.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use urls::Live;

use crate::cmcd::Report;
use crate::metrics::Metrics;

/// A viewer that asked for nothing in this time has gone; players ask at least once a segment.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(30);

/// After this time a look counts half.
const HALF_LIFE_SECONDS: f64 = 30.0;

/// A viewer's look counts once in this time.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Streams known at once: an origin has at most some dozens, and a made-up name is never counted.
const STREAMS_MAX: usize = 1024;

/// Viewers known at once over all streams; more than one edge serves.
pub(crate) const VIEWERS_MAX: usize = 200_000;

/// Degrees between two directions.
const STEP: i32 = 30;
const COLUMNS: usize = 12;
const ROWS: usize = 7;

/// A direction, coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// From straight up to straight down.
    row: usize,
    /// From behind over the left to the right; straight up and down it is always 0.
    column: usize,
}

impl View {
    /// Reads `yaw.pitch`: degrees, yaw counter-clockwise seen from above, pitch upwards.
    pub fn parse(text: &str) -> Option<View> {
        let (yaw, pitch) = text.trim_matches('"').split_once('.')?;
        let (yaw, pitch) = (yaw.parse::<i32>().ok()?, pitch.parse::<i32>().ok()?);
        if !(-360..=360).contains(&yaw) || !(-90..=90).contains(&pitch) {
            return None;
        }
        let steps = |degrees: i32| (f64::from(degrees) / f64::from(STEP)).round() as i32;
        let row = usize::try_from(steps(90 - pitch)).ok()?;
        let around = usize::try_from(steps(180 - yaw).rem_euclid(COLUMNS as i32)).ok()?;
        let is_pole = row == 0 || row == ROWS - 1;
        Some(View {
            row,
            column: if is_pole { 0 } else { around },
        })
    }

    fn yaw(self) -> i32 {
        180 - self.column as i32 * STEP
    }

    fn pitch(self) -> i32 {
        90 - self.row as i32 * STEP
    }
}

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
        let (Some(stream), Some(session)) = (stream_of(path), &report.session) else {
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

/// The live stream a path belongs to.
pub(crate) fn stream_of(path: &str) -> Option<&str> {
    Live::parse(path)?.stream()
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
    fn directions_are_read_coarsely() {
        for (text, expected) in [
            ("0.0", Some((3, 6))),
            ("\"90.-30\"", Some((4, 3))),
            ("-90.30", Some((2, 9))),
            ("180.0", Some((3, 0))),
            ("-180.0", Some((3, 0))),
            ("120.90", Some((0, 0))),
            ("-44.-80", Some((6, 0))),
            ("14.0", Some((3, 6))),
            ("0.91", None),
            ("0", None),
            ("here.there", None),
            ("99999999999.0", None),
        ] {
            let found = View::parse(text).map(|view| (view.row, view.column));
            assert_eq!(found, expected, "{text}");
        }
        let view = View::parse("90.-30").unwrap();
        assert_eq!((view.yaw(), view.pitch()), (90, -30));
    }

    #[test]
    fn streams_are_found_in_their_addresses() {
        for (path, expected) in [
            (SEGMENT, Some("harbour")),
            ("/hls/a.m3u8", Some("a")),
            ("/hls/a.spatial.m3u8", Some("a")),
            ("/hls/a/info.json", Some("a")),
            ("/hls/index.json", None),
            ("/vod/a/index.m3u8", None),
            ("/", None),
        ] {
            assert_eq!(stream_of(path), expected, "{path}");
        }
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

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[-0-9.\"a]{0,12}") {
            let _ = View::parse(&text);
        }
    }
}
