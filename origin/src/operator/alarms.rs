//! Reports and histories to alarms: what is wrong now, in words, with the remedy.
//!
//! Pure: the same figures give the same alarms. An alarm lasts as long as its cause; nothing is
//! acknowledged or remembered here. Paging people is for whoever collects the metrics.

use serde::Serialize;
use serde_json::Value;

use super::history::{History, Sample};

/// Rates are judged once a publisher has sent for this many seconds: they are averages.
const SETTLED_SECONDS: usize = 10;

/// The bitrate is compared with its own median once there are this many seconds of it.
const MEDIAN_SECONDS: usize = 60;

/// Below this share of the usual bitrate viewers see it.
const BITRATE_SHARE_MIN: f64 = 0.5;

/// An encoder that cannot keep its declared frame rate loses more than this share of pictures.
const FRAME_RATE_SHARE_MIN: f64 = 0.9;

/// Half of a usual part: beyond it parts come late and low-latency viewers stall.
const JITTER_MS_MAX: f64 = 250.0;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Viewers, or a recording, lose something now.
    Error,
    /// They will, if nobody acts.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// How bad.
    pub level: Level,
    /// The stream, recording, edge or transcoder.
    pub at: String,
    /// What, in words.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Alarms of one place.
struct List {
    at: String,
    alarms: Vec<Alarm>,
}

impl List {
    fn of(at: &Value) -> Self {
        Self {
            at: at.as_str().unwrap_or_default().to_owned(),
            alarms: Vec::new(),
        }
    }

    fn add(&mut self, level: Level, what: impl Into<String>, remedy: &'static str) {
        self.alarms.push(Alarm {
            level,
            at: self.at.clone(),
            what: what.into(),
            remedy,
        });
    }
}

/// What a stream's report and history say.
pub fn of_stream(report: &Value, history: Option<&History>) -> Vec<Alarm> {
    let mut list = List::of(&report["name"]);
    if report["state"] == "ended" {
        return list.alarms;
    }
    if report["publisher"].is_null() {
        list.add(
            Level::Error,
            "nobody publishes; viewers wait",
            "start the encoder again before the reconnect window is over",
        );
    } else {
        let samples: Vec<Sample> = history.into_iter().flat_map(History::unbroken).collect();
        signal(&mut list, report, &samples);
    }
    outputs(&mut list, report);
    twin(&mut list, &report["twin"]);
    list.alarms
}

/// What the publisher sends.
fn signal(list: &mut List, report: &Value, samples: &[Sample]) {
    let Some(now) = samples.first().filter(|_| samples.len() >= SETTLED_SECONDS) else {
        return;
    };
    let target = report["run"]["target_duration"].as_f64();
    if let Some(target) = target.filter(|target| now.gop_seconds > *target) {
        list.add(
            Level::Warning,
            format!(
                "keyframes are {:.1} s apart, more than the target duration of {target} s",
                now.gop_seconds
            ),
            "set the encoder's keyframe interval to 2 s",
        );
    }
    let declared = report["tracks"]["video"]["frame_rate"].as_f64();
    if let Some(declared) = declared.filter(|rate| now.frame_rate < rate * FRAME_RATE_SHARE_MIN) {
        list.add(
            Level::Warning,
            format!(
                "{:.1} of {declared:.1} pictures a second arrive",
                now.frame_rate
            ),
            "the encoder drops pictures: lower its resolution or preset, or look at its network",
        );
    }
    if samples.len() >= MEDIAN_SECONDS {
        let mut rates: Vec<f64> = samples.iter().map(|sample| sample.bitrate_bps).collect();
        let (_, usual, _) = rates.select_nth_unstable_by(samples.len() / 2, f64::total_cmp);
        if now.bitrate_bps < *usual * BITRATE_SHARE_MIN {
            let (now, usual) = (now.bitrate_bps / 1e6, *usual / 1e6);
            list.add(
                Level::Warning,
                format!("the bitrate fell to {now:.1} Mb/s; usual are {usual:.1} Mb/s"),
                "look at the encoder's network and whether the picture is black",
            );
        }
    }
    if now.jitter_ms > JITTER_MS_MAX {
        list.add(
            Level::Warning,
            format!("pictures arrive up and down by {:.0} ms", now.jitter_ms),
            "look at the encoder's network; a wired connection helps most",
        );
    }
    if let Some(damaged) = report["publisher"]["damaged_tags"]
        .as_u64()
        .filter(|n| *n > 0)
    {
        list.add(
            Level::Warning,
            format!("{damaged} damaged tags came from the encoder and were left out"),
            "update the encoder, or send its log to whoever made it",
        );
    }
}

/// What we make of it.
fn outputs(list: &mut List, report: &Value) {
    let run = &report["run"];
    for rung in run["rungs"].as_array().into_iter().flatten() {
        let state = rung["state"].as_str().unwrap_or_default();
        let level = match state {
            "shed" => Level::Warning,
            "failed" => Level::Error,
            _ => continue,
        };
        let name = rung["name"].as_str().unwrap_or_default();
        let reason = rung["reason"].as_str().unwrap_or("no reason given");
        list.add(
            level,
            format!("rung {name} is {state}: {reason}"),
            "take a rung out of the ladder, or give the origin more cores",
        );
    }
    let conformance = &report["conformance"];
    if let Some(count) = conformance["violations"].as_u64().filter(|n| *n > 0) {
        let rules = conformance["rules"].as_object();
        let last = rules.and_then(|rules| rules.values().next());
        let last = last
            .and_then(|rule| rule["last"].as_str())
            .unwrap_or_default();
        list.add(
            Level::Error,
            format!("our playlists broke rules {count} times, such as: {last}"),
            "players may stall; report it with the stream's /api/streams entry",
        );
    }
    if let Some(lost) = run["recording"]["dropped_units"]
        .as_u64()
        .filter(|n| *n > 0)
    {
        list.add(
            Level::Error,
            format!("the recording lost {lost} access units"),
            "the disk of origin.recorder.spool is too slow or full",
        );
    }
}

/// What the other origin makes of it.
fn twin(list: &mut List, twin: &Value) {
    if let Some(count) = twin["disagreements"].as_u64().filter(|n| *n > 0) {
        list.add(
            Level::Error,
            format!("{count} segments differ from the other origin's of the same address"),
            "point the encoder at both origins with one and the same output",
        );
    }
    if let Some(trouble) = twin["trouble"].as_str() {
        list.add(
            Level::Warning,
            format!("not in step with the other origin: {trouble}"),
            "a failover would be seen; look at the other origin",
        );
    }
}

/// What recordings on their way to the store say.
pub fn of_recordings(recordings: &Value) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for recording in recordings.as_array().into_iter().flatten() {
        if let Some(trouble) = recording["failing"].as_str() {
            let mut list = List::of(&recording["key"]);
            list.add(
                Level::Error,
                format!("the recording cannot be stored: {trouble}"),
                "it waits on the origin's disk and is tried again; mend the store before the quota is full",
            );
            alarms.append(&mut list.alarms);
        }
    }
    alarms
}

/// What edges and transcoders say, or that they say nothing.
pub fn of_fleet(edges: &Value, transcoders: &Value) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for (kind, all) in [("edge", edges), ("transcoder", transcoders)] {
        for one in all.as_array().into_iter().flatten() {
            let mut list = List::of(&one["url"]);
            if let Some(trouble) = one["trouble"].as_str() {
                let remedy = "start it again, or take it out of origin.operator";
                list.add(
                    Level::Error,
                    format!("the {kind} does not answer: {trouble}"),
                    remedy,
                );
            }
            for origin in one["report"]["origins"].as_array().into_iter().flatten() {
                if origin["up"] == false {
                    let url = origin["url"].as_str().unwrap_or_default();
                    let remedy = "viewers are served from the other origin, if there is one";
                    list.add(
                        Level::Error,
                        format!("origin {url} is down for this edge"),
                        remedy,
                    );
                }
            }
            if let Some(dead) = one["report"]["queue"]["dead"].as_u64().filter(|n| *n > 0) {
                let remedy = "see GET /api/jobs of the transcoder for the reasons";
                list.add(Level::Error, format!("{dead} jobs were given up"), remedy);
            }
            alarms.append(&mut list.alarms);
        }
    }
    alarms
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::history::Histories, *};
    use crate::stream::Figures;

    const GOOD: Figures = Figures {
        bitrate_bps: 16_000_000,
        frame_rate: 30.0,
        audio_rate: 43.0,
        gop_seconds: 2.0,
        gop_seconds_max: 2.0,
        jitter_ms: 4.0,
        access_units: 1,
        bytes: 1,
    };

    fn report() -> Value {
        json!({
            "name": "stage", "state": "live",
            "publisher": { "damaged_tags": 0 },
            "tracks": { "video": { "frame_rate": 30.0 } },
            "run": { "target_duration": 4, "rungs": [{ "name": "960p", "state": "running" }] },
            "conformance": { "violations": 0, "rules": {} },
            "twin": null,
        })
    }

    /// Alarms after a calm minute that ends with a second of `last`.
    fn words(report: &Value, last: Figures) -> Vec<String> {
        let mut histories = Histories::default();
        for figures in std::iter::repeat_n(GOOD, 60).chain([last]) {
            histories.sample(std::iter::once(("stage".to_owned(), Some(figures))));
        }
        let found = of_stream(report, histories.of("stage"));
        found.into_iter().map(|alarm| alarm.what).collect()
    }

    #[test]
    fn a_good_stream_has_none() {
        assert_eq!(words(&report(), GOOD), [""; 0]);
    }

    #[test]
    fn each_figure_has_its_own_alarm() {
        let cases = [
            (
                Figures {
                    gop_seconds: 8.3,
                    ..GOOD
                },
                "keyframes are 8.3 s apart",
            ),
            (
                Figures {
                    frame_rate: 21.0,
                    ..GOOD
                },
                "21.0 of 30.0 pictures a second",
            ),
            (
                Figures {
                    bitrate_bps: 2_000_000,
                    ..GOOD
                },
                "the bitrate fell to 2.0 Mb/s; usual are 16.0",
            ),
            (
                Figures {
                    jitter_ms: 400.0,
                    ..GOOD
                },
                "pictures arrive up and down by 400 ms",
            ),
        ];
        for (figures, expected) in cases {
            let found = words(&report(), figures);
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{found:?}"
            );
        }
    }

    #[test]
    fn figures_of_a_new_publisher_are_not_judged() {
        let mut histories = Histories::default();
        let slow = Figures {
            frame_rate: 1.0,
            ..GOOD
        };
        for _ in 1..SETTLED_SECONDS {
            histories.sample(std::iter::once(("stage".to_owned(), Some(slow.clone()))));
        }
        assert_eq!(of_stream(&report(), histories.of("stage")), []);
    }

    #[test]
    fn what_the_report_says_becomes_alarms() {
        for (at, value, expected) in [
            ("/publisher", Value::Null, "nobody publishes"),
            ("/publisher/damaged_tags", json!(3), "3 damaged tags"),
            ("/run/rungs/0/state", json!("shed"), "rung 960p is shed"),
            (
                "/conformance",
                json!({ "violations": 2, "rules": { "r": { "count": 2, "last": "late" } } }),
                "our playlists broke rules 2 times, such as: late",
            ),
            ("/twin", json!({ "disagreements": 1 }), "1 segments differ"),
            ("/twin", json!({ "trouble": "no answer" }), "not in step"),
        ] {
            let mut report = report();
            *report.pointer_mut(at).unwrap() = value;
            let found = words(&report, GOOD);
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{at}: {found:?}"
            );
        }
        let ended = json!({ "name": "stage", "state": "ended", "publisher": null });
        assert_eq!(of_stream(&ended, None), []);
    }

    #[test]
    fn edges_and_transcoders_that_are_silent_or_in_trouble_are_named() {
        let edges = json!([
            { "url": "http://a:1", "trouble": "cannot reach a:1" },
            { "url": "http://b:1", "report": { "origins": [{ "url": "http://o:2", "up": false }] } },
            { "url": "http://c:1" },
        ]);
        let transcoders = json!([{ "url": "http://t:1", "report": { "queue": { "dead": 2 } } }]);
        let places: Vec<String> = of_fleet(&edges, &transcoders)
            .into_iter()
            .map(|alarm| alarm.at)
            .collect();
        assert_eq!(places, ["http://a:1", "http://b:1", "http://t:1"]);
        let failing =
            json!([{ "key": "a/b.mp4", "failing": "disk full" }, { "key": "c", "failing": null }]);
        assert_eq!(of_recordings(&failing).len(), 1);
    }
}
