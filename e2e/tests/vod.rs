//! Live to on-demand on one machine, with the real programs: what was published is on the page's
//! list when the encoder has stopped, whole, whatever was killed meanwhile.

mod vod_common;

use std::{fs, time::Duration};

use e2e::{PATIENCE, clip::Clip, publisher::Publisher, until};
use serde_json::Value;
use vod_common::*;

/// Frames per second of every clip.
const RATE: usize = 25;

/// What stands beside each recording in the ingest store, by its recording's name.
fn sidecars(site: &Site) -> Vec<Value> {
    let mut found = Vec::new();
    let Ok(streams) = fs::read_dir(site.folder.join("ingest/recordings")) else {
        return found;
    };
    for stream in streams.flatten() {
        let files = fs::read_dir(stream.path()).into_iter().flatten().flatten();
        let texts = files.filter(|file| file.path().extension().is_some_and(|e| e == "json"));
        found.extend(
            texts.filter_map(|file| serde_json::from_slice(&fs::read(file.path()).ok()?).ok()),
        );
    }
    found
}

#[tokio::test]
async fn what_was_live_is_on_demand_when_the_encoder_stops() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let site = Site::in_folder(folder.path());
    let (_origin, _edge) = (site.origin().await, site.edge().await);
    let worker = site.worker("worker", SMALL_LADDER).await;
    let clip = Clip::make(folder.path(), "320x160", 2);
    let url = site.publish_url("stage");
    let mut publisher = Publisher::connect(&url).await.expect("accepted");
    assert!(
        publisher
            .send_live(clip.headers_at(0).chain(clip.turns(0, 4)))
            .await
    );
    assert!(site.assets().await.is_empty(), "nothing before it stops");
    publisher.leave().await;

    let asset = site.assets_when(1, PATIENCE).await.remove(0);
    assert_eq!(asset["stream"], "stage");
    assert_eq!(asset["info"]["projection"], "equirectangular");
    let seconds = asset["duration"].as_f64().expect("a duration");
    let recorded = sidecars(&site)[0]["duration"].as_f64().expect("a duration");
    assert!((seconds - recorded).abs() <= 1.0 / RATE as f64, "{asset}");
    let path = asset["url"].as_str().expect("a URL").to_owned();
    let renditions = read(&site, &path).await;
    let names: Vec<&str> = renditions.keys().map(String::as_str).collect();
    assert_eq!(names, ["120p", "80p", "audio", "source"]);
    assert_eq!(assert_aligned(&renditions), 8 * RATE);
    assert_decodes(&site.url(&path));
    assert_conforms(&site.url(&path));
    assert_conforms(&site.url(&path.replace("index.m3u8", "index.spatial.m3u8")));
    for key in ["poster", "thumbnails"] {
        let answer = site.get(asset[key].as_str().expect("a URL")).await;
        assert_eq!(answer.status, 200, "{key}");
    }
    let jobs = worker.api("/api/jobs").await;
    assert_eq!(jobs["jobs"]["assets_done"], 1, "{jobs:#}");
    assert_eq!(jobs["dead_letters"], serde_json::json!([]));
}

#[tokio::test]
async fn a_flaky_session_is_one_asset() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let site = Site::in_folder(folder.path());
    let (_origin, _edge) = (site.origin_that_waits("2s").await, site.edge().await);
    let _worker = site.worker("worker", SMALL_LADDER).await;
    let clip = Clip::make(folder.path(), "320x160", 2);
    for _ in 0..4 {
        let url = site.publish_url("stage");
        let mut publisher = Publisher::connect(&url).await.expect("accepted");
        let tags = clip.headers_at(0).chain(clip.turns(0, 1));
        assert!(publisher.send(tags).await);
        publisher.leave().await;
    }
    let assets = site.assets_when(1, PATIENCE).await;
    let path = assets[0]["url"].as_str().expect("a URL");
    let renditions = read(&site, path).await;
    assert_eq!(assert_aligned(&renditions), 4 * 2 * RATE, "no picture lost");
    assert_decodes(&site.url(path));
    assert_eq!(sidecars(&site).len(), 1);
    assert_eq!(
        sidecars(&site)[0]["discontinuities"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}

#[tokio::test]
async fn ten_publishers_stop_in_the_same_second_and_ten_assets_appear() {
    const PUBLISHERS: usize = 10;
    let folder = tempfile::tempdir().expect("temporary folder");
    let site = Site::in_folder(folder.path());
    let (_origin, _edge) = (site.origin().await, site.edge().await);
    let clip = Clip::make(folder.path(), "320x160", 2);
    let mut publishers = Vec::new();
    for n in 0..PUBLISHERS {
        let url = site.publish_url(&format!("stage-{n}"));
        let mut publisher = Publisher::connect(&url).await.expect("accepted");
        let tags = clip.headers_at(0).chain(clip.turns(0, 2));
        assert!(publisher.send(tags).await);
        publishers.push(publisher);
    }
    let leaving = publishers.into_iter().map(Publisher::leave);
    let mut all = tokio::task::JoinSet::new();
    leaving.for_each(|leave| drop(all.spawn(leave)));
    all.join_all().await;
    // Two that race for every job.
    let workers = [
        site.worker("first", SMALL_LADDER).await,
        site.worker("second", SMALL_LADDER).await,
    ];
    let assets = site.assets_when(PUBLISHERS, PATIENCE).await;
    let mut streams: Vec<&str> = assets
        .iter()
        .filter_map(|asset| asset["stream"].as_str())
        .collect();
    streams.sort_unstable();
    let expected: Vec<String> = (0..PUBLISHERS).map(|n| format!("stage-{n}")).collect();
    assert_eq!(streams, expected, "none is lost and none is there twice");
    for asset in &assets {
        let path = asset["url"].as_str().expect("a URL");
        assert_eq!(
            assert_aligned(&read(&site, path).await),
            4 * RATE,
            "{asset}"
        );
    }
    let mut done = 0;
    for worker in &workers {
        let jobs = worker.api("/api/jobs").await;
        done += jobs["jobs"]["assets_done"].as_u64().expect("a number");
        assert_eq!(jobs["dead_letters"], serde_json::json!([]));
    }
    assert_eq!(done, PUBLISHERS as u64, "each was completed once");
}

/// How much faster than in life a recording is made that is going to be killed: eight chunks a
/// second, so that there is always something under way, and far from what a disk cannot take, where
/// the recorder would leave things out.
const HASTE: u32 = 8;

/// Moments of twenty kills, in milliseconds after the first bytes were on the disk: SplitMix64's
/// first draws, so that every run kills at the same ones.
fn moments() -> impl Iterator<Item = u64> {
    let mut state = 20u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 120
    })
    .take(20)
}

#[tokio::test]
async fn an_origin_killed_at_twenty_moments_loses_no_recording() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let site = Site::in_folder(folder.path());
    let clip = Clip::make(folder.path(), "320x160", 2);
    let mut on_disk = Vec::new();
    for (n, moment) in moments().enumerate() {
        let mut origin = site.origin().await;
        let url = site.publish_url(&format!("stage-{n}"));
        let mut publisher = Publisher::connect(&url).await.expect("accepted");
        let tags: Vec<_> = clip.headers_at(0).chain(clip.turns(0, 1000)).collect();
        let sending = tokio::spawn(async move { publisher.send_at_speed(tags, HASTE).await });
        let status = async || {
            let list = origin.api("/api/recordings").await;
            let list = list.as_array().cloned().unwrap_or_default();
            list.into_iter()
                .find(|one| one["live"] == true && one["bytes"].as_u64() > Some(0))
        };
        until("something is recorded", PATIENCE, status).await;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let seen = status().await.and_then(|one| one["bytes"].as_u64());
        origin.process.kill();
        sending.abort();
        on_disk.push(seen.unwrap_or(0));
    }
    // The next start finishes what the last ones left, and a worker that has no rungs to make is
    // quick.
    let (origin, _edge) = (site.origin().await, site.edge().await);
    let _worker = site.worker("worker", "").await;
    let assets = site.assets_when(on_disk.len(), PATIENCE).await;
    assert_eq!(assets.len(), on_disk.len());
    assert_eq!(origin.api("/api/recordings").await, serde_json::json!([]));
    let sidecars = sidecars(&site);
    for (n, seen) in on_disk.into_iter().enumerate() {
        let stream = format!("stage-{n}");
        let of = |one: &&Value| one["stream"] == stream.as_str();
        let sidecar = sidecars.iter().find(of).expect("a recording");
        assert!(sidecar["bytes"].as_u64() >= Some(seen), "{stream}: {seen}");
        assert_eq!(sidecar["gaps"], serde_json::json!([]), "{stream}");
        let asset = assets.iter().find(of).expect("an asset");
        let (recorded, shown) = (sidecar["duration"].as_f64(), asset["duration"].as_f64());
        let apart = recorded.zip(shown).map(|(a, b)| (a - b).abs());
        assert!(apart < Some(1.0 / RATE as f64), "{stream}: {apart:?}");
        assert_decodes(&site.url(asset["url"].as_str().expect("a URL")));
    }
}

#[tokio::test]
async fn an_origin_that_has_to_go_stores_what_it_recorded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let site = Site::in_folder(folder.path());
    let (mut origin, _edge) = (site.origin().await, site.edge().await);
    let _worker = site.worker("worker", SMALL_LADDER).await;
    let clip = Clip::make(folder.path(), "320x160", 2);
    let url = site.publish_url("stage");
    let mut publisher = Publisher::connect(&url).await.expect("accepted");
    let tags = clip.headers_at(0).chain(clip.turns(0, 3));
    assert!(publisher.send(tags).await);
    until("4 s have arrived", PATIENCE, async || {
        let text = site.get("/hls/stage/source/index.m3u8").await.text();
        (text.matches("#EXTINF").count() >= 2).then_some(())
    })
    .await;
    origin.process.signal("TERM");
    assert!(
        origin
            .process
            .wait("the origin has drained")
            .await
            .success()
    );
    // Without another start: the publisher is still there, the recording is closed and stored.
    let asset = site.assets_when(1, PATIENCE).await.remove(0);
    let path = asset["url"].as_str().expect("a URL");
    let frames = assert_aligned(&read(&site, path).await);
    assert!(frames >= 4 * RATE, "{frames} frames of {}", 6 * RATE);
    assert_decodes(&site.url(path));
}
