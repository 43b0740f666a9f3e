//! An edge under load that its market takes back: nobody is cut off, nobody is turned away while
//! the balancer may still send, and the fleet hears of it in the right order. Against a simulated
//! AWS.

#[path = "../../crates/store/tests/support/mod.rs"]
mod moto;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use e2e::{
    PATIENCE, binary,
    edge::Edge,
    imds::{Fault, Imds},
    run, until,
};
use http::StatusCode;
use http_body_util::BodyExt as _;
use service::{
    drain,
    http::{Body, Client, Content, Request, Response, Server, serve},
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

const REGION: &str = "eu-central-1";

/// What the balancer sends: half over kept connections, half over new ones.
const REQUESTS_PER_SECOND: u64 = 500;

/// Viewers on slow lines, and what they fetch: far more than sockets hold.
const SLOW: usize = 8;
const LARGE: usize = 8 << 20;
const SMALL: usize = 40_000;

/// Requests that must be served while the balancer makes up its mind.
const MEANWHILE: u64 = 300;

/// Starts an HTTP server in this process.
async fn serve_by<F, Fut>(handler: F) -> u16
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (_signal, watch) = drain::channel();
        let handler = move |request, _| handler(request);
        serve(listener, Server::default(), handler, watch).await;
    });
    port
}

/// An origin that has every segment: large ones in the run `large`, and the others.
async fn origin() -> u16 {
    serve_by(|request| async move {
        let length = match request.uri().path().contains("/large") {
            true => LARGE,
            false => SMALL,
        };
        let content = Content::new([vec![7; length].into()], "video/mp4").with_etag("tag");
        let mut response = content.respond(request.method(), request.headers());
        let lifetime = "public, max-age=31536000, immutable";
        let lifetime = http::HeaderValue::from_static(lifetime);
        response.headers_mut().insert("cache-control", lifetime);
        response
    })
    .await
}

/// Between the edge and AWS: writes down what is said, and counts what viewers were given
/// meanwhile.
#[derive(Debug, Default)]
struct Wire {
    calls: Mutex<Vec<(String, StatusCode)>>,
    served: watch::Sender<u64>,
}

impl Wire {
    /// Passes calls on to `endpoint` and writes them down.
    async fn start(endpoint: String) -> (Arc<Wire>, String) {
        let wire = Arc::new(Wire::default());
        let shared = Arc::clone(&wire);
        let port = serve_by(move |request| {
            let (wire, endpoint) = (Arc::clone(&shared), endpoint.clone());
            async move { wire.pass(request, &endpoint).await }
        })
        .await;
        (wire, format!("http://127.0.0.1:{port}"))
    }

    async fn pass(&self, request: Request, endpoint: &str) -> Response {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.expect("a call is whole").to_bytes();
        let text = String::from_utf8_lossy(&body);
        let action = text
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="));
        let action = action.unwrap_or("?").to_owned();
        if action == "DeregisterTargets" {
            // A slow balancer: whatever comes meanwhile is still to be served.
            let before = *self.served.borrow();
            self.has_served(before + MEANWHILE).await;
        }
        head.uri = format!("{endpoint}{}", head.uri.path())
            .parse()
            .expect("a URL");
        head.headers.remove("host");
        let call = http::Request::from_parts(head, Body::full(body));
        let answer = Client::new(PATIENCE).send(call, PATIENCE).await;
        let (head, body) = answer.expect("the simulated AWS answers").into_parts();
        let body = body.collect().await.expect("an answer is whole").to_bytes();
        self.calls
            .lock()
            .expect("nothing panics with it")
            .push((action, head.status));
        Response::from_parts(head, Body::full(body))
    }

    /// Waits until viewers have been given this many answers.
    async fn has_served(&self, count: u64) {
        let mut served = self.served.subscribe();
        let enough = tokio::time::timeout(PATIENCE, served.wait_for(|now| *now >= count));
        assert!(
            enough.await.is_ok(),
            "only {} answers",
            *self.served.borrow()
        );
    }

    fn calls(&self) -> Vec<(String, StatusCode)> {
        self.calls.lock().expect("nothing panics with it").clone()
    }

    fn has(&self, action: &str) -> bool {
        self.calls().iter().any(|(name, _)| name == action)
    }
}

fn fleet(arguments: &[&str]) -> String {
    let venv = std::env::var_os("PANOCAST_VENV").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/panocast/venv"),
        PathBuf::from,
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/edge_fleet.py");
    let arguments = [&[script], arguments].concat();
    run(&venv.join("bin/python3").to_string_lossy(), &arguments)
}

/// `[edge.drain]` for a machine of the fleet.
fn drain_settings(imds: &Imds, endpoint: &str, fleet: &serde_json::Value) -> String {
    format!(
        "[edge.drain]\nmetadata = \"{}\"\ntarget_group_arn = {}\nauto_scaling_group = \"edges\"\n\
         lifecycle_hook = \"drain\"\nendpoint = \"{endpoint}\"\nregion = \"{REGION}\"\ninstance_id = {}\n",
        imds.url, fleet["target_group"], fleet["instance"]
    )
}

async fn edge(folder: &Path, name: &str, origin: u16, settings: &str) -> Edge {
    let mut command = Command::new(binary("panocast-edge"));
    command.env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "test");
    Edge::start_by(&mut command, folder, name, &[origin], settings).await
}

/// Asks at [`REQUESTS_PER_SECOND`] until the balancer has let go; gives what went wrong.
async fn balancer(http: u16, wire: Arc<Wire>) -> Vec<String> {
    let kept = Client::new(PATIENCE);
    let mut requests = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / REQUESTS_PER_SECOND as u32);
    let mut number = 0;
    while !wire.has("DescribeTargetHealth") {
        tick.tick().await;
        number += 1;
        let client = match number % 2 {
            0 => kept.clone(),
            _ => Client::new(PATIENCE),
        };
        let wire = Arc::clone(&wire);
        let url = format!(
            "http://127.0.0.1:{http}/hls/foo/source/e1/{}.m4s",
            number % 50
        );
        requests.spawn(async move {
            let request = http::Request::get(&url)
                .body(Body::empty())
                .expect("a valid request");
            let answer = client
                .send(request, PATIENCE)
                .await
                .map_err(|e| e.to_string())?;
            let status = answer.status();
            let body = answer
                .into_body()
                .collect()
                .await
                .map_err(|e| e.to_string())?;
            let length = body.to_bytes().len();
            wire.served.send_modify(|count| *count += 1);
            match (status, length) {
                (StatusCode::OK, SMALL) => Ok(()),
                other => Err(format!("{url}: {other:?}")),
            }
        });
    }
    let results = requests.join_all().await;
    results.into_iter().filter_map(Result::err).collect()
}

/// A viewer on a slow line; reads on at full speed once nobody listens any more, and gives all
/// bytes.
async fn slow(http: u16, index: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", http))
        .await
        .expect("it listens");
    let request = format!("GET /hls/foo/source/large/{index}.m4s HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut all = Vec::new();
    let mut buffer = vec![0; 4 << 10];
    let mut hurries = false;
    loop {
        let length = stream.read(&mut buffer).await.expect("no reset");
        all.extend_from_slice(&buffer[..length]);
        let head = all.windows(4).position(|four| four == b"\r\n\r\n");
        if length == 0 || head.is_some_and(|head| all.len() == head + 4 + LARGE) {
            return all;
        }
        if !hurries {
            tokio::time::sleep(Duration::from_millis(50)).await;
            hurries = TcpStream::connect(("127.0.0.1", http)).await.is_err();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_under_load_breaks_nothing() {
    let moto = moto::Moto::start();
    let folder = tempfile::tempdir().expect("temporary folder");
    let made: serde_json::Value =
        serde_json::from_str(&fleet(&[&moto.endpoint, REGION])).expect("JSON");
    let (wire, endpoint) = Wire::start(moto.endpoint.clone()).await;
    let imds = Imds::start("i-1", REGION);
    let settings = drain_settings(&imds, &endpoint, &made);
    let mut edge = edge(folder.path(), "edge", origin().await, &settings).await;

    // What is in the cache holds nothing back but its own connection.
    for index in 0..SLOW {
        let large = edge
            .get(&format!("/hls/foo/source/large/{index}.m4s"))
            .await;
        assert_eq!((large.status, large.body.len()), (StatusCode::OK, LARGE));
    }
    let downloads: Vec<_> = (0..SLOW)
        .map(|index| tokio::spawn(slow(edge.http, index)))
        .collect();
    let load = tokio::spawn(balancer(edge.http, Arc::clone(&wire)));
    wire.has_served(MEANWHILE).await;
    let instance = made["instance"].as_str().expect("a name");
    fleet(&[&moto.endpoint, REGION, instance]);
    let deadline = SystemTime::now() + Duration::from_secs(120);
    imds.interrupt(Duration::from_secs(120));
    imds.set_lifecycle("Terminated");

    let failures = load.await.expect("the balancer does not panic");
    assert!(
        failures.is_empty(),
        "{} failures: {failures:#?}",
        failures.len()
    );
    for download in downloads {
        let body = download.await.expect("a viewer does not panic");
        let head = body
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a header");
        assert_eq!(body.len() - head - 4, LARGE, "whole");
        assert!(body[head + 4..].iter().all(|byte| *byte == 7));
    }
    let status = edge.process.wait("the edge has left").await;
    assert!(status.success(), "{status}: {}", edge.process.output());
    assert!(SystemTime::now() < deadline, "in time");
    let mut calls = wire.calls();
    // The simulated AWS knows no heartbeats, which is no reason to wait: it is told a few times.
    calls.dedup_by(|later, earlier| later.0 == earlier.0);
    let names: Vec<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "RecordLifecycleActionHeartbeat",
            "DeregisterTargets",
            "DescribeTargetHealth",
            "CompleteLifecycleAction"
        ]
    );
    assert_eq!(calls[1].1, StatusCode::OK);
    assert_eq!(calls[3].1, StatusCode::OK);
}

#[tokio::test]
async fn a_rebalance_recommendation_alone_leaves_nothing() {
    let moto = moto::Moto::start();
    let folder = tempfile::tempdir().expect("temporary folder");
    let made: serde_json::Value =
        serde_json::from_str(&fleet(&[&moto.endpoint, REGION])).expect("JSON");
    let (wire, endpoint) = Wire::start(moto.endpoint.clone()).await;
    let imds = Imds::start("i-1", REGION);
    imds.recommend_rebalance();
    let settings = drain_settings(&imds, &endpoint, &made);
    let mut edge = edge(folder.path(), "edge", origin().await, &settings).await;
    let ready = until("half the weight is left", PATIENCE, async || {
        let answer = e2e::get(&edge.admin_url("/readyz")).await?;
        let report: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        (report["weight"] == 50).then_some((answer.status, report))
    })
    .await;
    assert_eq!((ready.0, &ready.1["ready"]), (StatusCode::OK, &true.into()));
    // It goes on being recommended, and nothing more comes of it.
    let asked = imds.asked();
    until("it is asked again", PATIENCE, async || {
        (imds.asked() > asked).then_some(())
    })
    .await;
    let answer = edge.get("/hls/foo/source/e1/1.m4s").await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (StatusCode::OK, "")
    );
    assert_eq!(wire.calls(), []);
    edge.process.kill();
}

#[tokio::test]
async fn a_notice_that_names_a_past_time_ends_the_edge_although_somebody_is_stuck() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let imds = Imds::start("i-1", REGION);
    let settings = format!("[edge.drain]\nmetadata = \"{}\"\n", imds.url);
    let mut edge = edge(folder.path(), "edge", origin().await, &settings).await;
    let mut stuck = TcpStream::connect(("127.0.0.1", edge.http))
        .await
        .expect("it listens");
    let request = b"GET /hls/foo/source/large/0.m4s HTTP/1.1\r\nHost: x\r\n\r\n";
    stuck.write_all(request).await.expect("it reads");
    // The answer has begun, and is never read on.
    stuck.read_u8().await.expect("an answer");
    imds.interrupt_at(OffsetDateTime::UNIX_EPOCH);
    let status = edge.process.wait("the edge has left").await;
    assert!(status.success(), "{status}: {}", edge.process.output());
}

/// An edge serves on whatever its metadata service does, and hears of a notice when that has
/// recovered.
async fn outlives(name: &str, fault: Fault) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let imds = Imds::start("i-1", REGION);
    imds.fail(Some(fault));
    let settings = format!("[edge.drain]\nmetadata = \"{}\"\n", imds.url);
    let mut edge = edge(folder.path(), name, origin().await, &settings).await;
    until("it has been asked twice", PATIENCE, async || {
        (imds.asked() >= 2).then_some(())
    })
    .await;
    let answer = edge.get("/hls/foo/source/e1/1.m4s").await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (StatusCode::OK, ""),
        "{name}"
    );
    imds.interrupt(Duration::from_secs(120));
    imds.fail(None);
    let status = edge.process.wait("the edge has left").await;
    assert!(status.success(), "{status}: {}", edge.process.output());
}

#[tokio::test]
async fn a_metadata_service_that_fails_is_no_notice() {
    tokio::join!(
        outlives("refusing", Fault::Status(StatusCode::UNAUTHORIZED)),
        outlives("broken", Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        outlives("silent", Fault::Silence),
    );
}
