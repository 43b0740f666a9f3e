//! An edge that leaves cuts nobody off and turns nobody away before it may.

mod common;

use std::time::Duration;

use common::{Edge, Origin, SEGMENT, config, media};
use service::interruption::Cause;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LENGTH: usize = 8 << 20;

fn big_origin() -> Origin {
    Origin::start(|_, _| async { media(vec![6; LENGTH]) })
}

async fn ask(edge: &Edge) -> TcpStream {
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    let request = format!("GET {SEGMENT} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // The answer has begun, and far more of it is to come than sockets hold.
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first[..12], b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn slow_downloads_end_whole_and_newcomers_are_served() {
    let origin = big_origin();
    let edge = Edge::start(config(&[&origin])).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(ask(&edge).await);
    }
    edge.trigger.drain();
    while edge.metric("edge_draining").await == 0.0 {
        tokio::task::yield_now().await;
    }
    let late = edge.get(SEGMENT).await;
    assert_eq!((late.status, late.body.len()), (200, LENGTH));
    assert_eq!(
        late.header("connection"),
        "close",
        "but told to go elsewhere"
    );
    for mut stream in slow {
        let mut rest = Vec::new();
        // The connection was promised to stay open; it is closed once the edge closes.
        while rest.len() < LENGTH {
            let mut buffer = vec![0; 256 << 10];
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "cut after {} bytes", rest.len());
            rest.extend_from_slice(&buffer[..length]);
        }
    }
    edge.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(edge.http).await.is_err());
}

#[tokio::test]
async fn a_notice_that_names_a_past_time_ends_at_once() {
    let origin = big_origin();
    let edge = Edge::start(config(&[&origin])).await;
    let _stuck = ask(&edge).await;
    let cause = Cause::Spot {
        action: "terminate".to_owned(),
    };
    edge.trigger.interrupt(cause, Some(Duration::ZERO));
    edge.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_edge_leaves_long_before_its_deadline() {
    let origin = big_origin();
    let edge = Edge::start(config(&[&origin])).await;
    edge.get("/").await;
    let cause = Cause::Spot {
        action: "stop".to_owned(),
    };
    edge.trigger
        .interrupt(cause, Some(Duration::from_secs(3600)));
    edge.task.await.unwrap().unwrap();
}
