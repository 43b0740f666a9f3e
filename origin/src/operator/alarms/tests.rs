use serde_json::json;

use super::{super::history::Histories, *};
use crate::api::{self, Figures, RuleReport, SkippedReport};

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

fn entry() -> StreamEntry {
    api::tests::entry("stage")
}

/// Alarms after a calm minute that ends with a second of `last`.
fn words(entry: &StreamEntry, last: Figures) -> Vec<String> {
    let mut histories = Histories::default();
    for figures in std::iter::repeat_n(GOOD, 60).chain([last]) {
        histories.sample(std::iter::once(("stage".to_owned(), Some(figures))));
    }
    let found = of_stream(entry, histories.of("stage"));
    found.into_iter().map(|alarm| alarm.what).collect()
}

#[test]
fn a_good_stream_has_none() {
    assert_eq!(words(&entry(), GOOD), [""; 0]);
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
        let found = words(&entry(), figures);
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
    assert_eq!(of_stream(&entry(), histories.of("stage")), []);
}

#[test]
fn what_the_report_says_becomes_alarms() {
    type Change = fn(&mut StreamEntry);
    let cases: [(Change, &str); 12] = [
        (|entry| entry.stream.publisher = None, "nobody publishes"),
        (
            |entry| entry.stream.timeline.audio.is_filled = true,
            "audio has stopped; viewers hear silence",
        ),
        (
            |entry| entry.stream.timeline.video.is_filled = true,
            "video has stopped; viewers see the last keyframe",
        ),
        (
            |entry| {
                let skipped = SkippedReport {
                    track: "video",
                    reason: "damaged",
                    count: 3,
                    last: "a length beyond the tag".to_owned(),
                    remedy: "restart the encoder",
                };
                entry
                    .stream
                    .publisher
                    .as_mut()
                    .unwrap()
                    .skipped
                    .push(skipped);
            },
            "3 video tags came from the encoder and were left out: a length",
        ),
        (
            |entry| entry.stream.run.as_mut().unwrap().keyframes = hls::Keyframes::NotIdr,
            "keyframes are not IDR pictures (open GOP or intra refresh)",
        ),
        (|entry| rung(entry, RungState::Shed), "rung 960p is shed"),
        (|entry| rung(entry, RungState::Failed), "rung 960p failed"),
        (
            |entry| {
                let last = "late".to_owned();
                let rule = RuleReport { count: 2, last };
                entry.conformance.violations = 2;
                entry.conformance.rules.insert("r", rule);
            },
            "our playlists broke rules 2 times, such as: late",
        ),
        (
            |entry| {
                entry
                    .stream
                    .run
                    .as_mut()
                    .unwrap()
                    .recording
                    .as_mut()
                    .unwrap()
                    .dropped_units = 7
            },
            "the recording lost 7 access units",
        ),
        (
            |entry| entry.stream.pairing.as_mut().unwrap().disagreements = 1,
            "1 segments differ",
        ),
        (
            |entry| entry.stream.pairing.as_mut().unwrap().trouble = Some(PeerError::Slow),
            "not in step with the other origin: the peer does not answer",
        ),
        (
            |entry| {
                let trouble = Some(PeerError::SameRole(true));
                entry.stream.pairing.as_mut().unwrap().trouble = trouble;
            },
            "not in step with the other origin: both origins say primary = true",
        ),
    ];
    for (change, expected) in cases {
        let mut entry = entry();
        change(&mut entry);
        let found = words(&entry, GOOD);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{expected}: {found:?}"
        );
    }
    let mut ended = entry();
    ended.stream.publisher = None;
    ended.stream.state = StreamState::Ended;
    assert_eq!(of_stream(&ended, None), []);
}

#[test]
fn a_failed_rung_has_another_remedy_than_a_shed_one() {
    let remedy = |state| {
        let mut entry = entry();
        rung(&mut entry, state);
        of_stream(&entry, None)[0].remedy
    };
    assert!(remedy(RungState::Shed).contains("more cores"));
    assert!(remedy(RungState::Failed).contains("check encoder and preset"));
}

fn rung(entry: &mut StreamEntry, state: RungState) {
    entry.stream.run.as_mut().unwrap().rungs[0].state = state;
}

#[test]
fn edges_and_transcoders_that_are_silent_or_in_trouble_are_named() {
    let polled = |url: &str, report: Option<Value>, trouble: Option<&str>| PolledReport {
        url: url.to_owned(),
        report,
        trouble: trouble.map(str::to_owned),
    };
    let down = json!({ "origins": [{ "url": "http://o:2", "up": false }] });
    let edges = [
        polled("http://a:1", None, Some("cannot reach a:1")),
        polled("http://b:1", Some(down), None),
        polled("http://c:1", None, None),
    ];
    let dead = json!({ "queue": { "dead": 2 } });
    let transcoders = [polled("http://t:1", Some(dead), None)];
    let places: Vec<String> = of_fleet(&edges, &transcoders)
        .into_iter()
        .map(|alarm| alarm.at)
        .collect();
    assert_eq!(places, ["http://a:1", "http://b:1", "http://t:1"]);
    let recording = |failing: Option<&str>| recorder::Status {
        stream: "a".to_owned(),
        key: "a/b.mp4".to_owned(),
        live: false,
        bytes: 1,
        confirmed_bytes: 0,
        dropped_units: 0,
        failing: failing.map(str::to_owned),
    };
    let recordings = [recording(Some("disk full")), recording(None)];
    assert_eq!(of_recordings(&recordings).len(), 1);
}
