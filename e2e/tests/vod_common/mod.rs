//! An installation of real programs that records and makes VOD, and a viewer who looks at every
//! byte of an asset through the edge.

#![allow(dead_code, reason = "each scenario uses its part")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::{Answer, Process, binary, free_port, get, run, until};
use http::StatusCode;
use media::{AccessUnit, MediaKind, VIDEO_TIMESCALE};
use serde_json::Value;

/// Rungs that two cores make many times faster than real time. The first has the width of what
/// scenarios publish, so that those bytes qualify as the top rung.
pub const SMALL_LADDER: &str = "[[transcoder.ladder]]\nwidth = 320\nbitrate = \"900k\"\npreset = \"ultrafast\"\n\
    [[transcoder.ladder]]\nwidth = 240\nbitrate = \"200k\"\npreset = \"ultrafast\"\n\
    [[transcoder.ladder]]\nwidth = 160\nbitrate = \"80k\"\npreset = \"ultrafast\"\n";

/// Where everything of one scenario is.
pub struct Site {
    pub folder: PathBuf,
    stores: String,
    environment: Vec<(String, String)>,
    rtmp: u16,
    origin: u16,
    edge: u16,
}

/// A running program with its admin listener.
pub struct Role {
    pub process: Process,
    pub admin: u16,
}

impl Role {
    /// What the admin listener says.
    pub async fn api(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let answer = get(&url).await.expect("admin answers");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// One figure of `/metrics`.
    pub async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        let text = get(&url).await.expect("admin answers").text();
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        let value = lines.find_map(|line| line.rsplit_once(' ')?.1.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

impl Site {
    /// On this machine alone: two folders and a queue in a file, whose jobs come back after 2 s.
    pub fn in_folder(folder: &Path) -> Self {
        let at = folder.display();
        let stores = format!(
            "[store]\ningest = \"file://{at}/ingest\"\negress = \"file://{at}/egress\"\n\
             [jobs]\nqueue = \"sqlite://{at}/jobs.db\"\nvisibility = \"2s\"\nmax_receives = 10\n"
        );
        Self::new(folder, stores, &[])
    }

    /// On stores and a queue that `stores` names, with `environment` for every program.
    pub fn new(folder: &Path, stores: String, environment: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            folder: folder.to_owned(),
            stores,
            environment: environment.iter().map(owned).collect(),
            rtmp: free_port(),
            origin: free_port(),
            edge: free_port(),
        }
    }

    async fn start(&self, role: &str, name: &str, section: String, tail: &str) -> Role {
        let admin = free_port();
        let config = self.folder.join(format!("{name}.toml"));
        let text = format!(
            "{section}admin_listen = \"127.0.0.1:{admin}\"\n{tail}\n{}",
            self.stores
        );
        fs::write(&config, text).expect("config is written");
        let mut command = Command::new(binary(&format!("panocast-{role}")));
        command.arg("--config").arg(&config);
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        let mut process = Process::start(&self.folder, name, &mut command);
        let health = format!("http://127.0.0.1:{admin}/healthz");
        let what = format!("{name} answers");
        process.until_ok(&what, &health).await;
        Role { process, admin }
    }

    fn origin_section(&self) -> String {
        format!(
            "[origin]\nrtmp_listen = \"127.0.0.1:{}\"\nhttp_listen = \"127.0.0.1:{}\"\n\
             state = \"{2}/state\"\nladder = []\n",
            self.rtmp,
            self.origin,
            self.folder.display()
        )
    }

    fn recorder_section(&self, window: &str) -> String {
        format!(
            "[origin.publish]\nreconnect_window = \"{window}\"\n\
             [origin.recorder]\nspool = \"{}/spool\"\n",
            self.folder.display()
        )
    }

    /// An origin that passes through and records; a session ends with its publisher. Started again,
    /// it finds the spool of the one before.
    pub async fn origin(&self) -> Role {
        self.origin_that_waits("0s").await
    }

    /// The same, but a session waits so long for its publisher.
    pub async fn origin_that_waits(&self, window: &str) -> Role {
        let tail = self.recorder_section(window);
        self.start("origin", "origin", self.origin_section(), &tail)
            .await
    }

    /// Everything in one process, as `make live` runs it, without its test picture.
    pub async fn up(&self, ladder: &str) -> Process {
        let config = self.folder.join("panocast.toml");
        let text = format!(
            "{}admin_listen = \"127.0.0.1:{}\"\n{}{}admin_listen = \"127.0.0.1:{}\"\n\
             [transcoder]\nadmin_listen = \"127.0.0.1:{}\"\nslots = 2\nslice_target = \"4s\"\n\
             segment_target = \"2s\"\n{ladder}\n{}",
            self.origin_section(),
            free_port(),
            self.recorder_section("0s"),
            self.edge_section(),
            free_port(),
            free_port(),
            self.stores
        );
        fs::write(&config, text).expect("config is written");
        let mut command = Command::new(binary("panocast"));
        command.args(["up", "--no-test-source", "--config"]);
        let mut process = Process::start(&self.folder, "up", command.arg(&config));
        process.until_ok("the page answers", &self.url("/")).await;
        process
    }

    fn edge_section(&self) -> String {
        format!(
            "[edge]\nlisten = \"127.0.0.1:{}\"\norigins = [\"http://127.0.0.1:{}\"]\nplayer = \"{}\"\n",
            self.edge,
            self.origin,
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../player/dist")
                .display()
        )
    }

    /// An edge in front of the origin and of what is finished.
    pub async fn edge(&self) -> Role {
        let section = self.edge_section();
        self.start("edge", "edge", section, "").await
    }

    /// A worker with these rungs, in slices of 4 s and segments of 2 s.
    pub async fn worker(&self, name: &str, ladder: &str) -> Role {
        let section =
            "[transcoder]\nslots = 2\nslice_target = \"4s\"\nsegment_target = \"2s\"\n".to_owned();
        let section = match ladder {
            "" => section + "ladder = []\n",
            _ => section,
        };
        self.start("transcoder", name, section, ladder).await
    }

    /// Where `stream` is published.
    pub fn publish_url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{stream}", self.rtmp)
    }

    /// A URL of the edge.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.edge)
    }

    /// GET through the edge.
    pub async fn get(&self, path: &str) -> Answer {
        let url = self.url(path);
        get(&url)
            .await
            .unwrap_or_else(|| panic!("no answer for {path}"))
    }

    /// What `/vod/index.json` lists now.
    pub async fn assets(&self) -> Vec<Value> {
        let answer = self.get("/vod/index.json").await;
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Waits until so many assets are listed.
    pub async fn assets_when(&self, count: usize, limit: Duration) -> Vec<Value> {
        until(&format!("{count} assets are listed"), limit, async || {
            Some(self.assets().await).filter(|assets| assets.len() >= count)
        })
        .await
    }
}

/// One rendition of an asset, down to its access units.
pub struct Rendition {
    pub segments: Vec<Vec<AccessUnit>>,
    /// What its playlist says it lasts.
    pub seconds: f64,
}

impl Rendition {
    pub fn units(&self) -> impl Iterator<Item = &AccessUnit> {
        self.segments.iter().flatten()
    }

    fn starts(&self) -> Vec<i64> {
        self.segments.iter().map(|units| units[0].dts).collect()
    }
}

/// Every rendition of the asset at `url` (`/vod/<asset>/index.m3u8`).
pub async fn read(site: &Site, url: &str) -> BTreeMap<String, Rendition> {
    let base = url.trim_end_matches("index.m3u8");
    let master = site.get(url).await;
    assert_eq!(master.status, StatusCode::OK, "{url}");
    let (_, master) =
        m3u8_rs::parse_master_playlist(&master.body).expect("a multivariant playlist");
    let mut renditions = BTreeMap::new();
    for variant in &master.variants {
        let (name, _) = variant.uri.split_once('/').expect("a folder each");
        let folder = format!("{base}{name}");
        let text = site.get(&format!("{folder}/index.m3u8")).await.body;
        let (_, playlist) = m3u8_rs::parse_media_playlist(&text).expect("a media playlist");
        assert!(playlist.end_list, "{folder}");
        let (mut init, mut segments, mut seconds) = (None, Vec::new(), 0.0);
        for segment in &playlist.segments {
            if let Some(map) = &segment.map {
                let bytes = site.get(&format!("{folder}/{}", map.uri)).await.body;
                init = Some(cmaf::read_init(&bytes).expect("an init segment"));
            }
            let answer = site.get(&format!("{folder}/{}", segment.uri)).await;
            assert_eq!(answer.status, StatusCode::OK, "{folder}/{}", segment.uri);
            let init = init.as_ref().expect("a map comes before the first segment");
            let samples = cmaf::read_segment(init, &answer.body).expect("a segment");
            segments.push(samples.into_iter().map(|sample| sample.unit).collect());
            seconds += f64::from(segment.duration);
        }
        renditions.insert(name.to_owned(), Rendition { segments, seconds });
    }
    renditions
}

/// Fails unless all rungs hold the same frames and every switch between them lands on a keyframe
/// at the same time. Gives the number of frames.
pub fn assert_aligned(renditions: &BTreeMap<String, Rendition>) -> usize {
    let is_video = |rendition: &&Rendition| rendition.segments[0][0].kind == MediaKind::Video;
    let rungs: Vec<&Rendition> = renditions.values().filter(is_video).collect();
    let first = rungs.first().expect("an asset has video");
    for (name, rung) in renditions {
        if !is_video(&rung) {
            continue;
        }
        assert!(
            rung.segments.iter().all(|units| units[0].is_sync()),
            "{name}"
        );
        assert_eq!(rung.starts(), first.starts(), "{name}");
        let times = |rung: &Rendition| rung.units().map(|unit| unit.dts).collect::<Vec<_>>();
        assert_eq!(times(rung), times(first), "{name}");
        let ticks: i64 = rung.units().map(|unit| i64::from(unit.duration)).sum();
        let difference = VIDEO_TIMESCALE.seconds(ticks) - rung.seconds;
        assert!(difference.abs() < 1e-3, "{name}: {difference} s");
    }
    first.units().count()
}

/// Fails unless ffmpeg decodes every rendition from end to end without a word.
pub fn assert_decodes(url: &str) {
    let quiet = ["-hide_banner", "-nostdin", "-v", "warning", "-xerror"];
    let rest = ["-i", url, "-map", "0", "-f", "null", "-"];
    assert_eq!(run("ffmpeg", &[&quiet[..], &rest].concat()), "");
}

/// Fails if `panocast probe` finds anything to say about the asset.
pub fn assert_conforms(url: &str) {
    let output = Command::new(binary("panocast"))
        .args(["probe", url, "--seconds", "30", "--json"])
        .output()
        .expect("the probe runs");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
    assert!(output.status.success(), "{report:#}");
}
