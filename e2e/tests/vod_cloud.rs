//! Live to on-demand in the cloud: the real programs and the AWS SDKs against a simulated AWS that
//! carries the deployment's own storage, whose bucket tells the queue of each object.

#[path = "../../crates/store/tests/support/mod.rs"]
mod moto;
mod vod_common;

use std::{path::Path, time::Duration};

use e2e::{PATIENCE, clip::Clip, publisher::Publisher, until};
use http::StatusCode;
use moto::{Deployment, SECRET};
use service::http::{Body, Client, read_all};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use vod_common::*;

/// How long S3 answers 503.
const OUTAGE: Duration = Duration::from_secs(30);

/// Frames per second of the clip.
const RATE: usize = 25;

/// S3 behind a front that answers 503 to everything while told to.
struct Front {
    endpoint: String,
    outage: watch::Sender<bool>,
    refused: watch::Receiver<u64>,
}

impl Front {
    async fn of(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let far = endpoint.trim_start_matches("http://").to_owned();
        let (outage, is_out) = watch::channel(false);
        let (count, refused) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (far, is_out, count) = (far.clone(), is_out.clone(), count.clone());
                tokio::spawn(carry(near, far, is_out, count));
            }
        });
        Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            outage,
            refused,
        }
    }
}

/// One connection; an outage ends it.
async fn carry(
    mut near: TcpStream,
    far: String,
    mut is_out: watch::Receiver<bool>,
    refused: watch::Sender<u64>,
) {
    if *is_out.borrow() {
        let _ = near.read(&mut [0; 16 << 10]).await;
        let answer = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = near.write_all(answer.as_bytes()).await;
        refused.send_modify(|count| *count += 1);
        return;
    }
    let Ok(mut far) = TcpStream::connect(far).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = is_out.wait_for(|is_out| *is_out) => {}
    }
}

/// A person puts a file into the ingest bucket.
async fn drop_in(aws: &Deployment, key: &str, file: Vec<u8>) {
    let url = format!("{}/{}/{key}", aws.endpoint, aws.ingest);
    let credential = format!("{SECRET}/20260101/{}/s3/aws4_request", aws.region);
    let request = http::Request::put(url)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}"),
        )
        .body(Body::full(file))
        .expect("well formed");
    let client = Client::new(Duration::from_secs(2));
    let answer = client.send(request, PATIENCE).await.expect("S3 answers");
    let (parts, body) = answer.into_parts();
    let body = read_all(body, 1 << 16).await.expect("all of it");
    assert_eq!(parts.status, StatusCode::OK, "{body:?}");
}

fn film(folder: &Path) -> Vec<u8> {
    let path = folder.join("film.mp4");
    let to = path.to_string_lossy();
    let source = "testsrc2=s=320x160:r=25[out0];sine=f=440:r=48000[out1]";
    let mut arguments = vec![
        "-v", "error", "-f", "lavfi", "-i", source, "-t", "6", "-g", "50",
    ];
    arguments.extend([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
    ]);
    arguments.extend(["-c:a", "aac", &to]);
    e2e::run("ffmpeg", &arguments);
    std::fs::read(&path).expect("the film was made")
}

#[tokio::test]
async fn nothing_is_lost_when_the_store_fails_and_a_worker_dies() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let aws = Deployment::start(&deploy);
    let front = Front::of(&aws.endpoint).await;
    let stores = format!(
        "[store]\ningest = \"s3://{}\"\negress = \"s3://{}\"\nendpoint = \"{}\"\n\
         [jobs]\nqueue = \"{}\"\nendpoint = \"{}\"\nvisibility = \"6s\"\n",
        aws.ingest, aws.egress, front.endpoint, aws.queue, aws.endpoint
    );
    let site = Site::new(folder.path(), stores, &aws.environment());
    let (origin, _edge) = (site.origin().await, site.edge().await);
    let mut worker = site.worker("first", SMALL_LADDER).await;
    let clip = Clip::make(folder.path(), "320x160", 2);
    let film = film(folder.path());
    let mut publisher = Publisher::connect(&site.publish_url("stage"))
        .await
        .expect("accepted");
    let tags = clip.headers_at(0).chain(clip.turns(0, 4));
    assert!(publisher.send(tags).await);

    // The film is on its way when the store begins to fail, and the encoder stops meanwhile.
    drop_in(&aws, "dropped/Mein%20Film%20%281%29.MP4", film).await;
    until("the worker has the film", PATIENCE, async || {
        let jobs = worker.api("/api/jobs").await;
        let begun = jobs["queue"]["held"].as_u64() > Some(0);
        (begun || jobs["jobs"]["slices_done"].as_u64() > Some(0)).then_some(())
    })
    .await;
    front.outage.send_replace(true);
    publisher.leave().await;
    let began = tokio::time::Instant::now();
    let mut refused = front.refused.clone();
    refused.wait_for(|count| *count > 0).await.expect("asked");
    worker.process.kill();
    let worker = site.worker("second", SMALL_LADDER).await;
    tokio::time::sleep_until(began + OUTAGE).await;
    front.outage.send_replace(false);

    let assets = site.assets_when(2, 2 * PATIENCE).await;
    let mut streams: Vec<&str> = assets
        .iter()
        .filter_map(|asset| asset["stream"].as_str())
        .collect();
    streams.sort_unstable();
    assert_eq!(
        streams,
        ["Mein-Film--1", "stage"],
        "none lost, none doubled"
    );
    for asset in &assets {
        let path = asset["url"].as_str().expect("a URL");
        let frames = if asset["stream"] == "stage" { 8 } else { 6 } * RATE;
        assert_eq!(assert_aligned(&read(&site, path).await), frames, "{asset}");
        assert_decodes(&site.url(path));
    }
    let jobs = worker.api("/api/jobs").await;
    assert_eq!(jobs["dead_letters"], serde_json::json!([]), "{jobs:#}");
    assert_eq!(
        origin.metric("origin_recorder_unconfirmed_bytes").await,
        0.0
    );
}
