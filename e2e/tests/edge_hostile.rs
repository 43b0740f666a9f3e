//! Clients that mean no good, in numbers: they are refused or ended, memory stays bounded, and
//! others notice nothing.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use e2e::{PATIENCE, binary, edge::Edge, free_port, until};
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// As many idle connections as a popular stream's viewers have between two segments.
const IDLE: usize = 20_000;

/// What one may cost; the sample configuration promises 12 kB.
const IDLE_KIB: u64 = 16;

/// What allocators keep after a storm without leaking.
const SLACK_KIB: u64 = 24 << 10;

const LORIS: usize = 300;

/// File descriptors that everything else needs.
const SPARE: usize = 500;

/// How many files a process may open, after asking for `wanted`.
fn allow(wanted: usize) -> usize {
    let (pid, both) = (
        std::process::id().to_string(),
        format!("--nofile={wanted}:{wanted}"),
    );
    // Refused to ordinary users: then it stays as it is.
    let _ = Command::new("prlimit")
        .args(["--pid", &pid, &both])
        .status();
    let hard = Command::new("prlimit")
        .args([
            "--pid",
            &pid,
            "--nofile",
            "--output=HARD",
            "--noheadings",
            "--raw",
        ])
        .output();
    let hard = hard
        .ok()
        .and_then(|done| String::from_utf8(done.stdout).ok()?.trim().parse().ok());
    let hard = hard.unwrap_or(1024);
    let _ = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={hard}:{hard}")])
        .status();
    hard
}

/// An edge that may open as many files as this process.
async fn edge(folder: &std::path::Path, settings: &str) -> Edge {
    std::fs::write(folder.join("index.html"), "<p>page").expect("a page");
    let settings = format!("player = \"{}\"\n{settings}", folder.display());
    let mut command = Command::new(binary("panocast-edge"));
    Edge::start_by(&mut command, folder, "edge", &[free_port()], &settings).await
}

/// Somebody who means well, on a connection of their own, asking on and on; ends with how often.
fn well_meaning(edge: &Edge) -> (Arc<AtomicBool>, JoinHandle<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, url) = (Arc::clone(&stop), edge.url("/"));
    let task = tokio::spawn(async move {
        let mut count = 0;
        while !told.load(Relaxed) {
            let answer = e2e::get(&url).await.expect("an answer");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (StatusCode::OK, "<p>page")
            );
            count += 1;
        }
        count
    });
    (stop, task)
}

/// Reads until the other side has ended the connection.
async fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end as well.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    let _ = read.expect("it is ended");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_idle_connections_cost_little_and_disturb_nobody() {
    let files = allow(IDLE + SPARE);
    let count = IDLE.min(files.saturating_sub(SPARE));
    if count < IDLE {
        println!("{count} idle connections instead of {IDLE}: only {files} files may be open");
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let edge = edge(folder.path(), "connections = 20100").await;
    let before = edge.process.resident_kib();
    let (stop, well_meaning) = well_meaning(&edge);
    let mut idle = Vec::new();
    for index in 0..count {
        let socket = TcpSocket::new_v4().expect("a socket");
        // One address has fewer ports than this.
        let from = format!("127.0.0.{}:0", 2 + index % 8);
        socket
            .bind(from.parse().expect("an address"))
            .expect("a port");
        let address = ([127, 0, 0, 1], edge.http).into();
        let mut stream = socket.connect(address).await.expect("it listens");
        // Every other one has been of use before.
        if index % 2 == 0 {
            let request = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request).await.expect("it reads");
        }
        idle.push(stream);
    }
    edge.metric_when("edge_http_connections ", |open| open >= count as f64)
        .await;
    let each = edge.process.resident_kib().saturating_sub(before) / count as u64;
    assert!(each <= IDLE_KIB, "{each} KiB each");
    stop.store(true, Relaxed);
    assert!(well_meaning.await.expect("served all the while") > 0);
    // Past the limit people are told so.
    if count == IDLE {
        let mut more = Vec::new();
        let refused = until("the limit is reached", PATIENCE, async || {
            let mut stream = TcpStream::connect(("127.0.0.1", edge.http)).await.ok()?;
            let mut first = [0; 12];
            let read =
                tokio::time::timeout(Duration::from_millis(20), stream.read_exact(&mut first))
                    .await;
            let refused = matches!(read, Ok(Ok(_))).then_some(first);
            more.push(stream);
            refused
        })
        .await;
        assert_eq!(&refused, b"HTTP/1.1 503");
        assert!(edge.metric("edge_http_connections_refused_total").await >= 1.0);
    }
    drop(idle);
    edge.metric_when("edge_http_connections ", |open| open <= SPARE as f64)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_and_huge_ones_end_their_own_connections_only() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let edge = edge(folder.path(), "").await;
    edge.get("/").await;
    let before = edge.process.resident_kib();
    let (stop, well_meaning) = well_meaning(&edge);
    let mut bad = JoinSet::new();
    for index in 0..LORIS {
        let http = edge.http;
        // A header that drips, one byte after the other, for ever.
        bad.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", http))
                .await
                .expect("it listens");
            let begin = format!("GET /{index} HTTP/1.1\r\nX: ");
            let (mut reader, mut writer) = stream.split();
            let drip = async {
                writer.write_all(begin.as_bytes()).await?;
                loop {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    writer.write_all(b"a").await?;
                }
                #[allow(unreachable_code, reason = "gives the block its type")]
                Ok::<_, std::io::Error>(())
            };
            let mut rest = Vec::new();
            tokio::select! {
                _ = drip => {}
                _ = reader.read_to_end(&mut rest) => {}
            }
        });
    }
    for _ in 0..20 {
        let http = edge.http;
        bad.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", http))
                .await
                .expect("it listens");
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await;
            let line = format!("X: {}\r\n", "a".repeat(64 << 10));
            for _ in 0..160 {
                if stream.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
            let answer = to_the_end(&mut stream).await;
            // The refusal may be lost to the reset of a connection whose bytes nobody wants.
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
        });
    }
    let ended = bad.join_all();
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("all are ended");
    let reaped = "edge_http_connections_reaped_total{reason=\"header_timeout\"}";
    assert_eq!(edge.metric(reaped).await, LORIS as f64);
    stop.store(true, Relaxed);
    assert!(well_meaning.await.expect("served all the while") > 0);
    let after = edge.process.resident_kib();
    assert!(
        after < before + SLACK_KIB,
        "{after} KiB after, {before} KiB before"
    );
}
