//! An event on the whole fleet: the deployment's own templates in a simulated AWS, the configs that
//! its machines write, the real programs, each on a host of its own behind cables with delay and
//! loss. One encoder publishes to both origins; every kind of machine gets a notice and is
//! replaced, the primary's network is cut; viewers see a stream without a fault, and afterwards the
//! recordings as VOD.
//!
//! What it cannot show: what AWS decides (capacity, health checks, CloudFront), and the kernel of a
//! real instance.

mod balancer;
mod cloud;
mod fleet;
mod node;
mod world;

use std::{
    fs,
    io::Write as _,
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use cloud::Cloud;
use e2e::{
    PATIENCE, Process,
    audience::{Audience, Manner, assert_content},
    binary, get, until,
};
use fleet::{BACKUP, Fleet, PRIMARY};
use http::StatusCode;
use node::Why;
use world::{Port, World};

const STREAM: &str = "stage";

/// Hosts that are there from the beginning; machines take those behind them.
const CLOUD: Port = Port(0);
const ENCODER: Port = Port(1);
const VIEWERS: Port = Port(2);
const FIRST_MACHINE: usize = 3;
/// Two origins, two edges, a worker, and one more for each of them.
const MACHINES: usize = 10;
/// Of primary and backup.
const FIXED_INTERFACES: usize = 2;

/// Far above what is seen even on a busy machine (about one second); without a failover viewers
/// stand still for good.
const STALL_MAX: Duration = Duration::from_secs(10);

#[test]
fn an_event_through_notices_a_cut_and_replacements_without_a_fault_that_viewers_see() {
    let hosts = FIRST_MACHINE + MACHINES;
    let world = World::make(hosts, FIXED_INTERFACES).unwrap_or_else(|reason| {
        // Not through the harness, which keeps what passing tests say to itself.
        let _ = writeln!(
            std::io::stderr(),
            "event: no network namespaces here ({reason}); on loopback, without delay and loss, and a \
             machine that should be cut off is frozen"
        );
        World::loopback()
    });
    let world = Arc::new(world);
    world.enter(VIEWERS);
    let entering = Arc::clone(&world);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(move || entering.enter(VIEWERS))
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(event(world));
}

async fn event(world: Arc<World>) {
    let folder = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    let note = |what: &str| println!("{:5.1} s: {what}", began.elapsed().as_secs_f64());
    let cloud = Arc::new(lay_out(&world, folder.path()));
    note("the deployment is made");
    let machines = FIRST_MACHINE..FIRST_MACHINE + MACHINES;
    let mut fleet = Fleet::boot(world, cloud, machines, folder.path().to_owned()).await;
    note("the fleet is ready");

    let encoder = publish(&fleet, folder.path());
    let playlist = format!("/hls/{STREAM}/source/index.m3u8");
    fleet.locked(STREAM).await;
    let manners = [(Manner::Plain, 2), (Manner::LowLatency, 2)];
    until("there is something to watch", PATIENCE, async || {
        let text = get(&fleet.balancer.url(&playlist)).await?.text();
        (text.matches("#EXTINF").count() >= 4).then_some(())
    })
    .await;
    let audience = Audience::start(&fleet.balancer.url(&playlist), &manners);
    audience.all_go_on(1).await;
    note("viewers watch");

    fleet.edges[0].tell(&fleet.cloud, Why::SpotMarket);
    fleet.replace_edge().await;
    note("an edge is replaced");
    fleet.origins[PRIMARY].tell(&fleet.cloud, Why::SpotMarket);
    fleet.replace_origin(PRIMARY).await;
    fleet.locked(STREAM).await;
    audience.all_go_on(1).await;
    note("the primary is replaced");
    cut_primary(&fleet, &audience).await;
    note("the primary's network was cut");
    fleet.edges[0].tell(&fleet.cloud, Why::Group);
    fleet.origins[BACKUP].tell(&fleet.cloud, Why::Group);
    fleet.replace_edge().await;
    fleet.replace_origin(BACKUP).await;
    fleet.locked(STREAM).await;
    audience.all_go_on(1).await;
    note("the other edge and the backup are replaced");

    // How long viewers wait for an encoder that may come back is not what they are asked about.
    let seen = audience.end().await;
    assert_content(&seen, STALL_MAX);
    assert!(seen.iter().all(|one| one.discontinuities == 0), "{seen:?}");
    let stall = seen.iter().map(|one| one.longest_stall).max();
    note(&format!(
        "viewers are content, the longest stall was {stall:?}"
    ));
    end(&fleet, encoder, &playlist).await;
    note("the event has ended");
    becomes_vod(&mut fleet).await;
    note("VOD is there");
}

/// Cables, addresses and the simulated AWS.
fn lay_out(world: &World, folder: &Path) -> Cloud {
    let address = |last: u8| -> Ipv4Addr {
        let text = format!("{}.250.{last}", world.prefix);
        text.parse().expect("an address")
    };
    world.address(ENCODER, address(2));
    world.address(VIEWERS, address(3));
    world.shape(ENCODER, 20, 0.1);
    world.shape(VIEWERS, 30, 0.3);
    for machine in FIRST_MACHINE..FIRST_MACHINE + MACHINES + FIXED_INTERFACES {
        world.shape(Port(machine), 1, 0.0);
    }
    Cloud::start(world, CLOUD, address(1), folder)
}

/// One encoder, the same bytes to both fixed addresses.
fn publish(fleet: &Fleet, folder: &Path) -> Process {
    let targets = fleet
        .fixed
        .map(|(_, address)| format!("rtmp://{address}:1935/live/{STREAM}?key=the-publish-key"));
    let config = folder.join("test-source.toml");
    let text = format!(
        "[test-source]\ntargets = {targets:?}\nwidth = 320\nbitrate = \"300k\"\npreset = \"ultrafast\"\n"
    );
    fs::write(&config, text).expect("config is written");
    let program = binary("panocast-test-source");
    let mut command = fleet.world.command(ENCODER, &program);
    Process::start(
        folder,
        "test-source",
        command.arg("--config").arg(&config).current_dir(folder),
    )
}

/// Nothing reaches the primary or comes from it, and nobody is told; after a while it is back.
async fn cut_primary(fleet: &Fleet, audience: &Audience) {
    let primary = &fleet.origins[PRIMARY];
    primary.cut_off(&fleet.world, fleet.fixed[PRIMARY].0, true);
    audience.all_go_on(2).await;
    primary.cut_off(&fleet.world, fleet.fixed[PRIMARY].0, false);
    fleet.locked(STREAM).await;
    audience.all_go_on(1).await;
}

/// The encoder stops, and viewers are told that there is nothing more.
async fn end(fleet: &Fleet, mut encoder: Process, playlist: &str) {
    encoder.signal("TERM");
    assert!(encoder.wait("the encoder has stopped").await.success());
    until("the stream has ended", PATIENCE, async || {
        let text = get(&fleet.balancer.url(playlist)).await?.text();
        text.contains("#EXT-X-ENDLIST").then_some(())
    })
    .await;
}

/// Each recording becomes an asset, though the first worker is taken away in the middle of its
/// work.
async fn becomes_vod(fleet: &mut Fleet) {
    let mut worker = fleet.wake_worker().await;
    until("the worker is at work", PATIENCE, async || {
        let jobs = worker.says(&fleet.world, "/api/jobs");
        (jobs["jobs"]["slices_done"].as_u64()? > 0).then_some(())
    })
    .await;
    worker.tell(&fleet.cloud, Why::SpotMarket);
    let worker = fleet.replace_worker(worker).await;
    let recordings = fleet.cloud.recordings().len();
    assert!(recordings >= 4, "one of each origin that was: {recordings}");
    let url = fleet.balancer.url("/vod/index.json");
    let assets = until("every recording is VOD", PATIENCE, async || {
        let answer = get(&url).await?;
        let assets: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        let assets = assets.as_array()?.clone();
        (assets.len() >= recordings).then_some(assets)
    })
    .await;
    for asset in assets {
        let path = asset["url"].as_str().expect("an asset has a URL");
        let answer = get(&fleet.balancer.url(path)).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.text().contains("#EXT-X-STREAM-INF"), "{path}");
    }
    let jobs = worker.says(&fleet.world, "/api/jobs");
    assert_eq!(jobs["dead_letters"], serde_json::json!([]), "{jobs:#}");
}
