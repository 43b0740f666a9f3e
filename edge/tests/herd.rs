//! However many viewers ask, an origin hears of it once.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Edge, Origin, PLAYLIST, SEGMENT, config, live, media};
use http_body_util::BodyExt;
use service::http::{Body, Client};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Viewers, each on connections of its own.
const VIEWERS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_costs_one_fetch_per_object() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let origin = Origin::start(move |key, _| {
        let gate = Arc::clone(&opened);
        async move {
            if key == "/hls/index.json" {
                return live(1);
            }
            // Nothing is answered before every viewer has asked.
            let _open = gate.acquire().await.unwrap();
            match key.contains("m3u8") {
                true => live(10),
                false => media(vec![3; 700_000]),
            }
        }
    });
    let edge = Edge::start(config(&[&origin])).await;
    let blocked = format!("{PLAYLIST}?_HLS_msn=10&_HLS_part=0");
    let hinted = "/hls/a/source/e1/11.1.m4s".to_owned();
    let keys = [SEGMENT.to_owned(), blocked, hinted];
    let mut viewers = tokio::task::JoinSet::new();
    for index in 0..VIEWERS {
        let (key, http) = (keys[index % 3].clone(), edge.http);
        viewers.spawn(async move {
            let client = Client::new(Duration::from_secs(30));
            let request = http::Request::get(format!("http://{http}{key}"));
            let request = request.body(Body::empty()).unwrap();
            let response = client.send(request, Duration::from_secs(60)).await.unwrap();
            let status = response.status();
            (
                key,
                status,
                response
                    .into_body()
                    .collect()
                    .await
                    .unwrap()
                    .to_bytes()
                    .len(),
            )
        });
    }
    edge.reaches("edge_waiting_requests", VIEWERS as f64).await;
    gate.add_permits(3);
    while let Some(viewer) = viewers.join_next().await {
        let (key, status, length) = viewer.unwrap();
        let expected = if key.contains("m3u8") {
            common::playlist(10).len()
        } else {
            700_000
        };
        assert_eq!((status.as_u16(), length), (200, expected), "{key}");
    }
    for key in &keys {
        assert_eq!(origin.count(key), 1, "{key}");
    }
}

#[tokio::test]
async fn a_fetch_goes_on_until_its_last_waiter_leaves() {
    let (dropped, mut was_dropped) = mpsc::channel::<()>(1);
    let asked = Arc::new(Notify::new());
    let (tell, token) = (Arc::clone(&asked), std::sync::Mutex::new(Some(dropped)));
    let origin = Origin::start(move |key, _| {
        let (asked, token) = (
            Arc::clone(&tell),
            (key == SEGMENT).then(|| token.lock().unwrap().take()),
        );
        async move {
            if key != SEGMENT {
                return live(1);
            }
            asked.notify_one();
            let _token = token;
            std::future::pending().await
        }
    });
    let edge = Edge::start(config(&[&origin])).await;
    let viewer = |http: std::net::SocketAddr| {
        tokio::spawn(async move {
            let client = Client::new(Duration::from_secs(5));
            let request = http::Request::get(format!("http://{http}{SEGMENT}"));
            let _ = client
                .send(
                    request.body(Body::empty()).unwrap(),
                    Duration::from_secs(60),
                )
                .await;
        })
    };
    let (first, second) = (viewer(edge.http), viewer(edge.http));
    asked.notified().await;
    edge.reaches("edge_waiting_requests", 2.0).await;
    first.abort();
    while edge.metric("edge_waiting_requests").await > 1.0 {
        tokio::task::yield_now().await;
    }
    assert!(was_dropped.try_recv().is_err(), "one still waits");
    second.abort();
    assert_eq!(
        was_dropped.recv().await,
        None,
        "the origin's side has ended"
    );
    assert_eq!(origin.count(SEGMENT), 1);
}

#[tokio::test]
async fn past_the_bound_viewers_are_told_to_come_back() {
    let origin = Origin::start(|key, _| async move {
        match key == SEGMENT {
            true => std::future::pending().await,
            false => live(1),
        }
    });
    let mut config = config(&[&origin]);
    config.waiters_per_key = 1;
    let edge = Edge::start(config).await;
    let http = edge.http;
    let waiting = tokio::spawn(async move {
        let client = Client::new(Duration::from_secs(5));
        let request = http::Request::get(format!("http://{http}{SEGMENT}"));
        let _ = client
            .send(
                request.body(Body::empty()).unwrap(),
                Duration::from_secs(60),
            )
            .await;
    });
    edge.reaches("edge_waiting_requests", 1.0).await;
    let refused = edge.get(SEGMENT).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    waiting.abort();
}
