//! Requests that mean harm are refused clearly and cost nobody else anything.

mod common;

use common::{Edge, Origin, SEGMENT, config, media};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn edge() -> (Origin, Edge) {
    let origin = Origin::start(|_, _| async { media("ok") });
    let edge = Edge::start(config(&[&origin])).await;
    (origin, edge)
}

/// Sends raw bytes and reads to the end (or the first answer, if the connection stays open).
async fn raw(edge: &Edge, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

#[tokio::test]
async fn path_tricks_reach_no_origin() {
    let (origin, edge) = edge().await;
    for path in [
        "/hls/../../etc/passwd",
        "/hls/%2e%2e/%2e%2e/etc/passwd",
        "/hls/a%00.m3u8",
        "/vod/..%2f..%2fsecret.m4s",
        "//hls/a.m3u8",
        "/hls/a/%69ndex.m3u8",
        "/hls/a.m3u8%20",
    ] {
        let answer = raw(
            &edge,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        )
        .await;
        assert_eq!(status(&answer), "400", "{path}: {answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(4_000));
    assert_eq!(status(&raw(&edge, long.as_bytes()).await), "414");
    assert_eq!(origin.keys(), [""; 0]);
}

#[tokio::test]
async fn methods_and_bodies_that_are_no_reads_are_refused_and_end_the_connection() {
    let (origin, edge) = edge().await;
    for method in ["POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH", "BREW"] {
        let request = format!("{method} {SEGMENT} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = raw(&edge, request.as_bytes()).await.to_ascii_lowercase();
        assert!(
            matches!(status(&answer), "405" | "400"),
            "{method}: {answer}"
        );
    }
    let with_body = format!("GET {SEGMENT} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd");
    let answer = raw(&edge, with_body.as_bytes()).await.to_ascii_lowercase();
    assert!(
        status(&answer) == "400" && answer.contains("connection: close"),
        "{answer}"
    );
    assert_eq!(origin.keys(), [""; 0]);
}

#[tokio::test]
async fn smuggling_shapes_yield_one_refusal_and_no_second_answer() {
    let (origin, edge) = edge().await;
    let hidden = "GET /hls/a/source/e1/666.m4s HTTP/1.1\r\nHost: x\r\n\r\n";
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        "Content-Length: +4\r\n\r\nabcd",
        "Content-Length: 4, 4\r\n\r\nabcd",
        "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let request = format!("GET {SEGMENT} HTTP/1.1\r\nHost: x\r\n{framing}{hidden}");
        let answer = raw(&edge, request.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{framing:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{framing:?}: {answer}"
        );
    }
    assert_eq!(origin.count("/hls/a/source/e1/666.m4s"), 0);
}

#[tokio::test]
async fn huge_headers_are_refused_without_being_read() {
    let (_origin, edge) = edge().await;
    let request = format!(
        "GET {SEGMENT} HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(10 << 20)
    );
    let answer = raw(&edge, request.as_bytes()).await;
    // The refusal may be lost to the reset of a connection whose bytes nobody wants.
    assert!(
        matches!(status(&answer), "431" | "none"),
        "{}",
        &answer[..60.min(answer.len())]
    );
    assert_eq!(edge.get(SEGMENT).await.status, 200, "others are served");
}

#[tokio::test]
async fn one_address_has_its_limit() {
    let origin = Origin::start(|_, _| std::future::pending());
    let mut config = config(&[&origin]);
    config.requests_per_address = Some(2);
    let edge = Edge::start(config).await;
    let request = format!("GET {SEGMENT} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(edge.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        open.push(stream);
    }
    edge.reaches("edge_waiting_requests", 2.0).await;
    assert_eq!(edge.get("/").await.status, 429);
}

#[tokio::test]
async fn the_limit_of_connections_is_configured_and_counted() {
    let origin = Origin::start(|_, _| async { media("ok") });
    let mut config = config(&[&origin]);
    config.connections = 1;
    let edge = Edge::start(config).await;
    assert_eq!(edge.metric("edge_http_connections_max").await, 1.0);
    let mut first = TcpStream::connect(edge.http).await.unwrap();
    let request = format!("GET {SEGMENT} HTTP/1.1\r\nHost: x\r\n\r\n");
    first.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    first.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    let answer = raw(&edge, request.as_bytes()).await;
    assert_eq!(status(&answer), "503", "{answer}");
    edge.reaches("edge_http_connections_refused_total", 1.0)
        .await;
}
