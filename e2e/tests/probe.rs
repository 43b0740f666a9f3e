//! `panocast probe` watches our own streams through the worst of it and finds nothing.

use std::process::Command;

use e2e::{Origin, Process, binary, clip::Clip, publisher::Publisher};

const SETTINGS: &str = "record = false\n\
    [[origin.ladder]]\nwidth = 80\nbitrate = \"60k\"\npreset = \"ultrafast\"\n";

fn probe(origin: &Origin, name: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(binary("panocast"));
    command.args([
        "probe",
        &origin.url("/hls/foo.m3u8"),
        "--seconds",
        "60",
        "--json",
    ]);
    command.args(arguments);
    Process::start(origin.folder(), name, &mut command)
}

async fn clean(mut probe: Process) {
    let status = probe.wait("the stream has ended").await;
    let said = probe.output();
    let report: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
    assert!(status.success(), "{report:#}");
    let renditions = report["renditions"].as_array().expect("a list");
    assert_eq!(renditions.len(), 3, "{report:#}");
    for one in renditions {
        assert!(
            one["reloads"].as_u64() > Some(4) && one["ended"] == true,
            "{report:#}"
        );
    }
}

#[tokio::test]
async fn nothing_to_report_on_reconnect_jump_and_another_size() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = format!("{SETTINGS}[origin.publish]\nreconnect_window = \"2s\"\n");
    let origin = Origin::start(folder.path(), &settings).await;
    let small = Clip::make(folder.path(), "160x80", 2);
    let large = Clip::make(folder.path(), "240x120", 2);
    let url = origin.publish_url("foo");

    let mut first = Publisher::connect(&url).await.expect("accepted");
    let start = first.send_live(small.headers_at(0).chain(small.turns(0, 4)));
    assert!(start.await);
    origin
        .text_when("/hls/foo.m3u8", |text| text.contains("40p"))
        .await;
    let blocking = probe(&origin, "blocking", &[]);
    let plain = probe(&origin, "plain", &["--no-low-latency"]);
    // The clock jumps by an hour, then the connection breaks in the middle of a segment.
    assert!(first.send_live(small.turns(8_000, 1)).await);
    assert!(first.send_live(small.turns(3_600_000, 1)).await);
    drop(first);
    // Whoever comes back sends another picture size, and that changes once more.
    let mut second = Publisher::connect(&url).await.expect("accepted");
    assert!(
        second
            .send_live(large.headers_at(70).chain(large.turns(70, 2)))
            .await
    );
    assert!(
        second
            .send_live(small.headers_at(4_070).chain(small.turns(4_070, 1)))
            .await
    );
    second.leave().await;
    clean(blocking).await;
    clean(plain).await;
    origin.assert_healthy().await;
}
