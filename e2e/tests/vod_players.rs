//! A recording of everything in one process, in two players that share no code: our page with
//! hls.js, and Shaka Player.

mod vod_common;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use e2e::{PATIENCE, Process, clip::Clip, publisher::Publisher};
use vod_common::*;

/// Two browsers' worth of playing in real time, on a machine that draws with its processor.
const PLAYING_MAX: Duration = Duration::from_secs(180);

#[tokio::test]
async fn our_page_and_shaka_play_every_rung_and_seek() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let site = Site::in_folder(folder.path());
    let _panocast = site.up(SMALL_LADDER).await;
    let clip = Clip::make(folder.path(), "320x160", 2);
    let mut publisher = Publisher::connect(&site.publish_url("stage"))
        .await
        .expect("accepted");
    let tags = clip.headers_at(0).chain(clip.turns(0, 8));
    assert!(publisher.send(tags).await);
    publisher.leave().await;
    let asset = site.assets_when(1, PATIENCE).await.remove(0);
    let name = asset["asset"].as_str().expect("a name");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/vod.mjs");
    let mut command = Command::new("node");
    command.arg(script).arg(site.url("")).arg(name);
    command.stdin(Stdio::null());
    let mut players = Process::start(folder.path(), "players", &mut command);
    let ended = e2e::until("both have played it", PLAYING_MAX, async || players.ended());
    let (status, said) = (ended.await, players.output());
    assert!(status.success(), "{said}");
    let seen: serde_json::Value = serde_json::from_str(said.trim()).expect("one line of JSON");
    let mut heights: Vec<u64> = seen["shaka"]["heights"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(serde_json::Value::as_u64)
        .collect();
    heights.sort_unstable();
    assert_eq!(heights, [80, 120, 160], "{seen}");
    for seconds in [&seen["page"]["seconds"], &seen["shaka"]["duration"]] {
        let seconds = seconds.as_f64().expect("a number");
        assert!((seconds - 16.0).abs() < 0.2, "{seen}");
    }
}
