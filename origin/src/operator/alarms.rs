//! Finds what is wrong now in reports and histories, and says it in words with the remedy.
//!
//! Pure: the same figures give the same alarms. An alarm lasts as long as its cause; nothing is
//! acknowledged or remembered here. Paging people is for whoever collects the metrics.

use media::timeline;
use pairing::PeerError;
use serde::Serialize;
use serde_json::Value;

use super::history::{History, Sample};
use crate::{
    api::{
        ConformanceReport, PolledReport, PublisherReport, RunReport, RungReport, RungState,
        StreamEntry, StreamReport, StreamState,
    },
    recorder,
};

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
    fn of(at: &str) -> Self {
        Self {
            at: at.to_owned(),
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
pub fn of_stream(entry: &StreamEntry, history: Option<&History>) -> Vec<Alarm> {
    let report = &entry.stream;
    let mut list = List::of(&report.name);
    if report.state == StreamState::Ended {
        return list.alarms;
    }
    if report.publisher.is_none() {
        list.add(
            Level::Error,
            "nobody publishes; viewers wait",
            "start the encoder again before the reconnect window is over",
        );
    } else {
        let samples: Vec<Sample> = history.into_iter().flat_map(History::unbroken).collect();
        missing(&mut list, &report.timeline);
        signal(&mut list, report, &samples);
    }
    if let Some(publisher) = &report.publisher {
        left_out(&mut list, publisher);
    }
    if let Some(run) = &report.run {
        outputs(&mut list, run);
    }
    conformance(&mut list, &entry.conformance);
    if let Some(pairing) = &report.pairing {
        pair(&mut list, pairing);
    }
    list.alarms
}

/// Tracks that have stopped while the other goes on.
fn missing(list: &mut List, timeline: &timeline::Stats) {
    if timeline.audio.is_filled {
        list.add(
            Level::Error,
            "audio has stopped; viewers hear silence",
            "look at the encoder's microphone and its mute button",
        );
    }
    if timeline.video.is_filled {
        list.add(
            Level::Error,
            "video has stopped; viewers see the last keyframe",
            "look at the encoder's camera",
        );
    }
}

/// What the publisher sends.
fn signal(list: &mut List, report: &StreamReport, samples: &[Sample]) {
    let Some(now) = samples.first().filter(|_| samples.len() >= SETTLED_SECONDS) else {
        return;
    };
    let run = report.run.as_ref();
    let target = run.and_then(|run| run.target_duration);
    if let Some(target) = target
        .map(|target| target as f64)
        .filter(|target| now.gop_seconds > *target)
    {
        list.add(
            Level::Warning,
            format!(
                "keyframes are {:.1} s apart, more than the target duration of {target} s",
                now.gop_seconds
            ),
            "set the encoder's keyframe interval to 2 s",
        );
    }
    let video = report.tracks.video.as_ref();
    let declared = video.and_then(|video| video.frame_rate);
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
}

/// What of the publisher's media was left out. A further track is none of its business.
fn left_out(list: &mut List, publisher: &PublisherReport) {
    for one in &publisher.skipped {
        let level = match one.reason {
            "damaged" | "config" | "no-config" => Level::Error,
            "codec" => Level::Warning,
            _ => continue,
        };
        let (count, track, last) = (one.count, one.track, &one.last);
        let what = format!("{count} {track} tags came from the encoder and were left out: {last}");
        list.add(level, what, one.remedy);
    }
}

/// What this origin makes of it.
fn outputs(list: &mut List, run: &RunReport) {
    if run.keyframes == hls::Keyframes::NotIdr {
        list.add(
            Level::Error,
            "keyframes are not IDR pictures (open GOP or intra refresh): players cannot start the \
             source",
            "turn it off in the encoder; until then rungs carry the stream",
        );
    }
    for rung in &run.rungs {
        rung_state(list, rung);
    }
    let recording = run.recording.as_ref();
    let lost = recording.map_or(0, |recording| recording.dropped_units);
    if lost > 0 {
        list.add(
            Level::Error,
            format!("the recording lost {lost} access units"),
            "the disk of origin.recorder.spool is too slow or full",
        );
    }
}

fn rung_state(list: &mut List, rung: &RungReport) {
    let name = &rung.name;
    let reason = rung.reason.as_deref().unwrap_or("no reason given");
    match rung.state {
        RungState::Shed => list.add(
            Level::Warning,
            format!("rung {name} is shed: {reason}"),
            "take a rung out of the ladder, or give the origin more cores",
        ),
        RungState::Failed => list.add(
            Level::Error,
            format!("rung {name} failed: {reason}"),
            "its encoder gives an error, which more cores do not mend: check encoder and preset of \
             [[origin.ladder]] and the origin's log",
        ),
        RungState::Starting | RungState::Running | RungState::Absent => {}
    }
}

/// What the conformance checks make of the playlists.
fn conformance(list: &mut List, found: &ConformanceReport) {
    if found.violations > 0 {
        let count = found.violations;
        let last = found.rules.values().next();
        let last = last.map_or("", |rule| rule.last.as_str());
        list.add(
            Level::Error,
            format!("our playlists broke rules {count} times, such as: {last}"),
            "players may stall; report it with the stream's /api/streams entry",
        );
    }
}

/// What the other origin makes of it.
fn pair(list: &mut List, pairing: &pairing::Report) {
    let count = pairing.disagreements;
    if count > 0 {
        list.add(
            Level::Error,
            format!("{count} segments differ from the other origin's of the same address"),
            "point the encoder at both origins with one and the same output",
        );
    }
    let remedy = match &pairing.trouble {
        None => return,
        Some(PeerError::SameRole(_)) => {
            "set origin.primary = true on exactly one of the two, else both may number a stream \
             for themselves"
        }
        Some(_) => "a failover would be seen; look at the other origin",
    };
    if let Some(trouble) = &pairing.trouble {
        list.add(
            Level::Warning,
            format!("not in step with the other origin: {trouble}"),
            remedy,
        );
    }
}

/// What recordings on their way to the store say.
pub fn of_recordings(recordings: &[recorder::Status]) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for recording in recordings {
        if let Some(trouble) = &recording.failing {
            let mut list = List::of(&recording.key);
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
pub fn of_fleet(edges: &[PolledReport], transcoders: &[PolledReport]) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for (kind, all) in [("edge", edges), ("transcoder", transcoders)] {
        for one in all {
            let mut list = List::of(&one.url);
            if let Some(trouble) = &one.trouble {
                let remedy = "start it again, or take it out of origin.operator";
                let what = format!("the {kind} does not answer: {trouble}");
                list.add(Level::Error, what, remedy);
            }
            // The report of another program: read as what it is, JSON.
            let report = one.report.as_ref().unwrap_or(&Value::Null);
            for origin in report["origins"].as_array().into_iter().flatten() {
                if origin["up"] == false {
                    let url = origin["url"].as_str().unwrap_or_default();
                    let remedy = "viewers are served from the other origin, if there is one";
                    let what = format!("origin {url} is down for this edge");
                    list.add(Level::Error, what, remedy);
                }
            }
            if let Some(dead) = report["queue"]["dead"].as_u64().filter(|n| *n > 0) {
                let remedy = "see GET /api/jobs of the transcoder for the reasons";
                list.add(Level::Error, format!("{dead} jobs were given up"), remedy);
            }
            alarms.append(&mut list.alarms);
        }
    }
    alarms
}

#[cfg(test)]
mod tests;
