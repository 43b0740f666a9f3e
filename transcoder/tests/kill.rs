//! The real program, killed again and again while it works.

#![forbid(unsafe_code)]

mod support;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use support::*;

/// Starts the program on the fixture's stores and queue.
fn start(fixture: &Fixture, config: &Path) -> Child {
    let folder = fixture.folder.path().display();
    let rungs = settings()
        .ladder
        .iter()
        .map(|rung| {
            format!(
                "[[transcoder.ladder]]\nwidth = {}\nbitrate = \"{}k\"\npreset = \"ultrafast\"\n",
                rung.width,
                rung.bitrate / 1000
            )
        })
        .collect::<String>();
    let text = format!(
        "[transcoder]\nadmin_listen = \"127.0.0.1:0\"\nslots = 1\nslice_target = \"4s\"\n\
         segment_target = \"2s\"\n{rungs}\n[store]\ningest = \"file://{folder}/ingest\"\n\
         egress = \"file://{folder}/egress\"\n[jobs]\nqueue = \"sqlite://{folder}/live-jobs\"\n\
         visibility = \"2s\"\nmax_receives = 100\n"
    );
    std::fs::write(config, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_panocast-transcoder"))
        .arg("--config")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            _ => 1,
        })
        .sum()
}

/// Looks until `done`, as often as a person would not mind.
fn wait_until(child: &mut Child, done: impl Fn() -> bool) {
    while !done() {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "the program ended by itself"
        );
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[test]
fn killed_at_twenty_moments_it_still_makes_one_whole_asset() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(Fixture::new());
    let made = recording(20, None);
    let config = fixture.folder.path().join("transcoder.toml");
    // The queue in a file of its own, on the machine's clock.
    runtime.block_on(async {
        fixture.record(&made).await;
        let mut taken = jobs::Queue::receive(&*fixture.queue, 1, Duration::ZERO)
            .await
            .unwrap();
        let path = fixture.folder.path().join("live-jobs");
        let live = jobs::Sqlite::open(path, &jobs::Options::default())
            .await
            .unwrap();
        jobs::Queue::send(&live, &[taken.remove(0).body])
            .await
            .unwrap();
    });
    let vod = fixture.vod();
    let complete = vod.join(ASSET).join("index.m3u8");
    let mut state = 7u64;
    for kill in 0..20 {
        let mut child = start(&fixture, &config);
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // After so many more files, and a moment within the next.
        let target = files(&vod) + (state >> 33) as usize % 4;
        wait_until(&mut child, || files(&vod) >= target || complete.exists());
        std::thread::sleep(Duration::from_micros((state >> 20) % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        if complete.exists() {
            assert!(kill > 5, "only {kill} kills");
            break;
        }
    }
    let mut child = start(&fixture, &config);
    let listed =
        || std::fs::read_to_string(vod.join("index.json")).is_ok_and(|t| t.contains(ASSET));
    wait_until(&mut child, || complete.exists() && listed());
    child.kill().unwrap();
    child.wait().unwrap();
    runtime.block_on(check(
        &*fixture.egress,
        &made,
        &["source", "120p", "80p", "audio"],
    ));
    assert_eq!(decode_with_ffmpeg(&complete), "");
}
