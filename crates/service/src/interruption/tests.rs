use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use ::http::{Method, StatusCode};
use tokio::net::TcpListener;

use super::*;
use crate::{
    drain,
    http::{Body, Request, Response, Server, serve},
};

/// A metadata service whose answers a test changes while it runs.
#[derive(Default)]
struct Fake {
    spot: Option<String>,
    rebalance: bool,
    lifecycle: Option<&'static str>,
    /// Answers to give instead, each once.
    failures: Vec<StatusCode>,
    tokens_given: u32,
    questions: u32,
}

fn answer(
    fake: &mut Fake,
    method: &Method,
    path: &str,
    token: Option<&str>,
) -> (StatusCode, String) {
    fake.questions += 1;
    if path == "/latest/api/token" {
        if method != Method::PUT {
            return (StatusCode::METHOD_NOT_ALLOWED, String::new());
        }
        fake.tokens_given += 1;
        return (StatusCode::OK, format!("token-{}", fake.tokens_given));
    }
    if token != Some(format!("token-{}", fake.tokens_given).as_str()) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    if let Some(status) = fake.failures.pop() {
        return (status, String::new());
    }
    let found = match path.trim_start_matches("/latest/meta-data/") {
        "spot/instance-action" => fake.spot.clone(),
        "events/recommendations/rebalance" => fake
            .rebalance
            .then(|| "{\"noticeTime\":\"2026-11-02T12:00:00Z\"}".to_owned()),
        "autoscaling/target-lifecycle-state" => fake.lifecycle.map(str::to_owned),
        _ => None,
    };
    found.map_or((StatusCode::NOT_FOUND, String::new()), |text| {
        (StatusCode::OK, text)
    })
}

async fn fake(state: Fake) -> (SocketAddr, Arc<Mutex<Fake>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(state));
    let shared = Arc::clone(&state);
    let handler = move |request: Request, _| {
        let token = request.headers().get("x-aws-ec2-metadata-token");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        let (status, text) = answer(
            &mut shared.lock().unwrap(),
            request.method(),
            request.uri().path(),
            token.as_deref(),
        );
        async move {
            let mut response = Response::new(Body::full(text));
            *response.status_mut() = status;
            response
        }
    };
    tokio::spawn(async move {
        let (signal, watch) = drain::channel();
        serve(listener, Server::default(), handler, watch).await;
        drop(signal);
    });
    (address, state)
}

/// 2026-11-02T12:00:00Z
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_620_800)
}

fn source_at(address: SocketAddr) -> (Trigger, Source) {
    let metadata =
        Metadata::at(&format!("http://{address}")).polled_every(Duration::from_millis(10));
    // Real sleeps, so that polling goes on; the wall stands at noon.
    let (clock, hand) = Clock::manual(noon());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            hand.advance(Duration::from_millis(1));
        }
    });
    source(metadata, false, clock)
}

#[tokio::test]
async fn a_spot_notice_names_action_and_deadline() {
    let notice = r#"{"action":"terminate","time":"2026-11-02T12:02:00Z"}"#;
    let (address, _) = fake(Fake {
        spot: Some(notice.to_owned()),
        ..Fake::default()
    })
    .await;
    let (_trigger, mut source) = source_at(address);
    let Notice::Interruption { cause, deadline } = source.next().await else {
        panic!("no interruption");
    };
    assert_eq!(
        cause,
        Cause::Spot {
            action: "terminate".to_owned()
        }
    );
    let deadline = deadline.unwrap();
    assert!(deadline > Duration::from_secs(115) && deadline <= Duration::from_secs(120));
}

#[tokio::test]
async fn a_rebalance_alone_is_no_interruption() {
    let (address, state) = fake(Fake {
        rebalance: true,
        ..Fake::default()
    })
    .await;
    let (_trigger, mut source) = source_at(address);
    assert_eq!(source.next().await, Notice::Rebalance);
    // It stays recommended; what comes next is something else.
    state.lock().unwrap().lifecycle = Some("Terminated");
    let cause = Cause::Lifecycle {
        state: "Terminated".to_owned(),
    };
    assert_eq!(
        source.next().await,
        Notice::Interruption {
            cause,
            deadline: None
        }
    );
}

#[tokio::test]
async fn a_past_time_means_now_and_the_first_deadline_is_kept() {
    let notice = r#"{"action":"stop","time":"2020-01-01T00:00:00Z"}"#;
    let (address, _) = fake(Fake {
        spot: Some(notice.to_owned()),
        ..Fake::default()
    })
    .await;
    let (trigger, mut source) = source_at(address);
    let Notice::Interruption {
        deadline: Some(first),
        ..
    } = source.next().await
    else {
        panic!("no deadline");
    };
    assert!(
        first < Duration::from_secs(10),
        "now, not in the past and not later"
    );
    trigger.interrupt(Cause::Admin, Some(Duration::from_secs(999)));
    let expected = Notice::Interruption {
        cause: Cause::Admin,
        deadline: Some(first),
    };
    assert_eq!(source.next().await, expected);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_failures_are_survived() {
    let notice = r#"{"action":"terminate","time":"2026-11-02T12:02:00Z"}"#;
    let failures = vec![StatusCode::UNAUTHORIZED, StatusCode::INTERNAL_SERVER_ERROR];
    let (address, state) = fake(Fake {
        spot: Some(notice.to_owned()),
        failures,
        ..Fake::default()
    })
    .await;
    let (_trigger, mut source) = source_at(address);
    assert!(matches!(source.next().await, Notice::Interruption { .. }));
    assert_eq!(state.lock().unwrap().tokens_given, 2);
}

#[tokio::test]
async fn a_silent_service_is_no_notice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (trigger, mut source) = source_at(listener.local_addr().unwrap());
    // It accepts and says nothing; a drain request is heard all the same.
    let _connection = listener.accept().await.unwrap();
    trigger.drain();
    trigger.drain();
    let expected = Notice::Interruption {
        cause: Cause::Admin,
        deadline: None,
    };
    assert_eq!(source.next().await, expected);
}

#[test]
fn metadata_is_off_or_a_url() {
    let read = |text: &str| serde_json::from_str::<Metadata>(text);
    assert_eq!(read("\"off\"").unwrap(), Metadata::off());
    assert_eq!(
        read("\"http://169.254.169.254/\"").unwrap(),
        Metadata::at(Metadata::EC2)
    );
    assert!(read("\"yes\"").unwrap_err().to_string().contains("\"off\""));
}
