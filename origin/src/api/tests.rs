//! The page that documents the admin API lists exactly the fields that there are.

use std::collections::BTreeSet;

use super::*;

const PAGE: &str = include_str!("../../../docs/ref/admin.md");

/// A stream that says all that can be said, and in which nothing is wrong.
pub fn entry(name: &str) -> StreamEntry {
    let pairing = pairing::Report {
        state: pairing::PairingState::Locked,
        leads: Some(true),
        locked_seconds: Some(60),
        unlocked: false,
        offset_ms: Some(3),
        agreements: 90,
        disagreements: 0,
        joins: 0,
        trouble: None,
        heard_seconds: Some(0),
    };
    let stream = StreamReport {
        name: name.to_owned(),
        state: StreamState::Live,
        publisher: Some(PublisherReport {
            address: "192.0.2.7:50000".to_owned(),
            encoder: "obs".to_owned(),
            since: "2026-11-01T12:00:00Z".to_owned(),
            health: Figures::default(),
            damaged_tags: 0,
            skipped: Vec::new(),
            repaired: Vec::new(),
        }),
        sessions: 1,
        tracks: TracksReport {
            video: Some(VideoReport {
                codec: "avc1.640033".to_owned(),
                width: 3840,
                height: 1920,
                frame_rate: Some(30.0),
            }),
            audio: Some(AudioReport {
                codec: "mp4a.40.2".to_owned(),
                sample_rate: 48_000,
                channels: 2,
            }),
        },
        timeline: timeline::Stats::default(),
        immersive: Immersive::default().into(),
        run: Some(run()),
        pairing: Some(pairing.clone()),
        twin: Some(pairing),
    };
    StreamEntry {
        stream,
        conformance: ConformanceReport::default(),
        audience: Some(AudienceReport::default()),
        history: None,
    }
}

fn run() -> RunReport {
    RunReport {
        run_id: "k3x9".to_owned(),
        started_at: "2026-11-01T12:00:00Z".to_owned(),
        next_msn: 1_793_534_400,
        target_duration: Some(4),
        late_keyframes: 0,
        keyframes: hls::Keyframes::Idr,
        window_bytes: 1,
        rungs: vec![RungReport {
            name: "960p".to_owned(),
            width: 1920,
            height: 960,
            bitrate_max: 5_800_000,
            projection: Some(Projection::default()),
            state: RungState::Running,
            reason: None,
            sheds: 0,
            failures: 0,
        }],
        renditions: vec![RenditionReport {
            name: "source".to_owned(),
            last_msn: Some(1_793_534_399),
            segments: 30,
        }],
        recording: Some(RecordingReport { dropped_units: 0 }),
    }
}

/// The names of all values: `run.rungs[].name`. What the page says of `pairing` it says of `twin`
/// too.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => {
            for (key, value) in all.iter().filter(|(key, _)| *key != "twin") {
                let dot = if path.is_empty() { "" } else { "." };
                fields(value, &format!("{path}{dot}{key}"), found);
            }
        }
        Value::Array(all) if all.first().is_some_and(Value::is_object) => {
            fields(&all[0], &format!("{path}[]"), found);
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_page_lists_every_field_of_a_stream_and_no_other() {
    let mut entry = entry("stage");
    let last = "late".to_owned();
    let rule = RuleReport { count: 1, last };
    entry.conformance.rules.insert("<rule>", rule);
    let publisher = entry.stream.publisher.as_mut().unwrap();
    publisher.skipped.push(SkippedReport {
        track: "other",
        reason: "other-track",
        count: 1,
        last: "a second track of audio".to_owned(),
        remedy: "none needed",
    });
    publisher.repaired.push(RepairedReport {
        kind: "adts",
        count: 1,
        remedy: "none needed",
    });
    let mut found = BTreeSet::new();
    fields(&serde_json::to_value(&entry).unwrap(), "", &mut found);
    let table = PAGE.split("## Fields of a stream").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()));
    let listed: BTreeSet<String> = listed.collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing {missing:?}, stale {stale:?}"
    );
}
