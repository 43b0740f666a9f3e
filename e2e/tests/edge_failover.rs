//! An audience behind an edge, while the origins die, freeze, fall behind and come back: nobody in
//! it is ever told anything but the stream.

use std::{path::Path, time::Duration};

use e2e::{
    Origin, PATIENCE, Process,
    audience::{Audience, Manner, assert_content},
    edge::Edge,
    link::Link,
    page::Page,
    peer::Ffmpeg,
    until,
};

/// Some follow part by part, most as ordinary players do.
const AUDIENCE: [(Manner, usize); 2] = [(Manner::Plain, 150), (Manner::LowLatency, 50)];

/// One segment: what a viewer may miss at most.
const SEGMENT: Duration = Duration::from_secs(2);

/// Segments that an origin lists before the other may die: players are as far behind.
const BEHIND: usize = 4;

/// Segments that everybody must get after each blow.
const GO_ON: u64 = 3;

/// Two origins that carry one stream, its encoder, and an edge that prefers the first.
struct Stage {
    folder: tempfile::TempDir,
    ports: [[u16; 3]; 2],
    origins: [Origin; 2],
    links: [Link; 2],
    edge: Edge,
    _encoder: Process,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let ports = std::array::from_fn(|_| std::array::from_fn(|_| e2e::free_port()));
        let origins = [
            start(folder.path(), ports, 0).await,
            start(folder.path(), ports, 1).await,
        ];
        let links = [
            Link::to(origins[0].rtmp).await,
            Link::to(origins[1].rtmp).await,
        ];
        let urls = [0, 1].map(|index| format!("rtmp://127.0.0.1:{}/live/foo", links[index].port));
        let encoder = Process::start(folder.path(), "encoder", &mut source().tee(&urls));
        let http = [origins[0].http, origins[1].http];
        let player = concat!(env!("CARGO_MANIFEST_DIR"), "/../player/dist");
        let settings = format!("player = \"{player}\"");
        let edge = Edge::start(folder.path(), "edge", &http, &settings).await;
        let stage = Self {
            folder,
            ports,
            origins,
            links,
            edge,
            _encoder: encoder,
        };
        stage.both_carry_it().await;
        stage
    }

    async fn audience(&self) -> Audience {
        let audience = Audience::start(&self.edge.url("/hls/foo/source/index.m3u8"), &AUDIENCE);
        audience.all_go_on(1).await;
        audience
    }

    async fn page(&self) -> Option<Page> {
        let address = self.edge.url("/?url=/hls/foo.m3u8");
        Page::open_where_asked(self.folder.path(), &address).await
    }

    /// Waits until both origins have the stream under the same numbers, and the edge takes both for
    /// well.
    async fn both_carry_it(&self) {
        for origin in &self.origins {
            let what = "is carried under common numbers";
            let locked = |stream: &serde_json::Value| stream["twin"]["state"] == "locked";
            origin.stream_when("foo", what, locked).await;
            let up = format!(
                "edge_origin_up{{origin=\"http://127.0.0.1:{}\"}}",
                origin.http
            );
            self.edge.metric_when(&up, |value| value == 1.0).await;
        }
        let [one, other] = &self.origins;
        until("both list the same segment last", PATIENCE, async || {
            let last = async |origin: &Origin| {
                let text = origin.get("/hls/foo/source/index.m3u8").await.text();
                let enough = text.matches("#EXTINF").count() >= BEHIND;
                text.lines()
                    .filter(|_| enough)
                    .rfind(|line| line.ends_with(".m4s"))
                    .map(str::to_owned)
            };
            let (one, other) = (last(one).await?, last(other).await?);
            (one == other).then_some(())
        })
        .await;
    }

    async fn replace(&mut self, index: usize) {
        self.origins[index].process.kill();
        self.origins[index] = start(self.folder.path(), self.ports, index).await;
        self.both_carry_it().await;
    }
}

/// Small pictures, a keyframe each second, none like another.
fn source() -> Ffmpeg {
    Ffmpeg {
        size: "160x80",
        ..Ffmpeg::default()
    }
}

async fn start(folder: &Path, ports: [[u16; 3]; 2], index: usize) -> Origin {
    let folder = folder.join(["primary", "backup"][index]);
    std::fs::create_dir_all(&folder).expect("a folder");
    let settings = format!(
        "record = false\nladder = []\npeer = \"http://127.0.0.1:{}\"\npeer_secret = \"between us\"\n\
         primary = {}\n[origin.hls]\nwindow = \"30s\"",
        ports[1 - index][1],
        index == 0
    );
    let [rtmp, http, admin] = ports[index];
    Origin::start_on(&folder, &settings, rtmp, http, admin).await
}

/// Nor did the picture of the page, if there is one, ever stand still for longer.
async fn assert_played(page: Option<Page>) {
    let Some(page) = page else { return };
    let seen = page.close().await;
    let longest_ms = seen["longest_ms"].as_f64().expect("a number");
    assert!(longest_ms <= SEGMENT.as_millis() as f64, "{seen:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_origin_may_be_killed() {
    let mut stage = Stage::start().await;
    let audience = stage.audience().await;
    let page = stage.page().await;
    for dead in [0, 1] {
        stage.origins[dead].process.kill();
        audience.all_go_on(GO_ON).await;
        stage.replace(dead).await;
    }
    audience.all_go_on(GO_ON).await;
    let seen = audience.end().await;
    assert_content(&seen, SEGMENT);
    assert!(seen.iter().all(|one| one.discontinuities == 0), "one run");
    assert_played(page).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_may_say_nothing_or_only_what_is_old() {
    let stage = Stage::start().await;
    let audience = stage.audience().await;
    let page = stage.page().await;
    // It accepts connections and answers none.
    stage.origins[0].process.signal("STOP");
    audience.all_go_on(GO_ON).await;
    stage.origins[0].process.signal("CONT");
    stage.both_carry_it().await;
    audience.all_go_on(1).await;
    // It answers everything, and has nothing new.
    stage.links[0].cut();
    audience.all_go_on(GO_ON).await;
    stage.links[0].mend();
    stage.both_carry_it().await;
    audience.all_go_on(1).await;
    let seen = audience.end().await;
    assert_content(&seen, SEGMENT);
    assert!(seen.iter().all(|one| one.discontinuities == 0), "one run");
    assert_played(page).await;
}
