//! Two origins that know each other, each of which may die and be replaced.

use std::path::{Path, PathBuf};

use e2e::{Origin, PATIENCE, until, viewer};
use http::StatusCode;
use serde_json::Value;

/// The primary and the backup.
pub struct Pair {
    folder: PathBuf,
    ports: [[u16; 3]; 2],
    settings: String,
    /// Primary first.
    pub origins: [Origin; 2],
}

impl Pair {
    /// Starts both; `settings` follow those that make them a pair.
    pub async fn start(folder: &Path, settings: &str) -> Self {
        let ports = std::array::from_fn(|_| std::array::from_fn(|_| e2e::free_port()));
        let settings = settings.to_owned();
        let start = async |index| start(folder, ports, &settings, index).await;
        let origins = [start(0).await, start(1).await];
        Self {
            folder: folder.to_owned(),
            ports,
            settings,
            origins,
        }
    }

    /// An origin dies at once.
    pub fn kill(&mut self, index: usize) {
        self.origins[index].process.kill();
    }

    /// Another machine takes its place: nothing on its disk.
    pub async fn replace(&mut self, index: usize) {
        self.origins[index] = start(&self.folder, self.ports, &self.settings, index).await;
    }

    /// Waits until both say of `streams` streams that they are locked.
    pub async fn locked(&self, streams: usize) {
        until("both origins are locked", PATIENCE, async || {
            for origin in &self.origins {
                let all = origin.streams().await;
                let all = all.as_array()?;
                let locked = |stream: &Value| stream["twin"]["state"] == "locked";
                if all.len() != streams || !all.iter().all(locked) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Waits until an origin lists `count` segments of each rendition, and all of them in the
    /// multivariant playlist.
    pub async fn lists(&self, index: usize, stream: &str, renditions: &[&str], count: usize) {
        let origin = &self.origins[index];
        let front = format!("/hls/{stream}.m3u8");
        let all = |text: &str| {
            renditions
                .iter()
                .all(|name| text.contains(&format!("{name}/")))
        };
        origin.text_when(&front, all).await;
        for name in renditions {
            let path = format!("/hls/{stream}/{name}/index.m3u8");
            let enough = |text: &str| text.matches("#EXTINF").count() >= count;
            origin.text_when(&path, enough).await;
        }
    }

    /// Fails if any segment of one origin was found to differ from the other's.
    pub async fn agree(&self) {
        for origin in &self.origins {
            for stream in origin.streams().await.as_array().expect("a list") {
                assert_eq!(stream["twin"]["disagreements"], 0, "{stream:#}");
            }
            origin.assert_healthy().await;
        }
    }
}

async fn start(folder: &Path, ports: [[u16; 3]; 2], settings: &str, index: usize) -> Origin {
    let folder = folder.join(["primary", "backup"][index]);
    // Missing the first time.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let peer = ports[1 - index][1];
    let primary = index == 0;
    let settings = format!(
        "record = false\npeer = \"http://127.0.0.1:{peer}\"\npeer_secret = \"between us\"\nprimary = {primary}\n{settings}"
    );
    let [rtmp, http, admin] = ports[index];
    Origin::start_on(&folder, &settings, rtmp, http, admin).await
}

/// A media playlist's text, once there is one.
pub async fn playlist(origin: &Origin, stream: &str, rendition: &str) -> Option<String> {
    let answer = e2e::get(&origin.url(&format!("/hls/{stream}/{rendition}/index.m3u8"))).await?;
    (answer.status == StatusCode::OK).then(|| answer.text())
}

/// Name of the run, first and next number, as a viewer of this origin sees them; the playlist has
/// no discontinuity.
pub async fn position(origin: &Origin, stream: &str) -> (String, u64, u64) {
    let text = playlist(origin, stream, "source").await;
    let text = text.expect("the survivor answers");
    let parsed = viewer::parse(&text);
    let broken = parsed.segments.iter().any(|segment| segment.discontinuity);
    assert!(!broken, "{text}");
    let last = parsed.segments.last().expect("segments");
    let (run_id, _) = last.uri.split_once('/').expect("run_id and number");
    let newest = parsed.media_sequence + parsed.segments.len() as u64;
    (run_id.to_owned(), parsed.media_sequence, newest)
}
