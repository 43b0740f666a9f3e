//! The admin listener over real sockets.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use http::Method;
use service::{
    Clock, Secret,
    admin::{self, AdminRequest, AdminResponse, AdminState, Page, Routes},
    interruption::{self, Cause, Metadata, Notice},
    metrics::Registry,
    readiness::Readiness,
};

fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

fn state(trigger: interruption::Trigger) -> (AdminState, Readiness) {
    let registry = Registry::new();
    registry.gauge("test_things", "things", "Things.").set(4);
    let readiness = Readiness::new();
    let routes = Routes::new()
        .add(
            Method::DELETE,
            "/api/streams/{stream}/publisher",
            |request: AdminRequest| async move { AdminResponse::json(&request.params) },
        )
        .add(Method::GET, "/api/streams", |_| async {
            AdminResponse::json(&["a"])
        })
        .page(Page::new("<p>figures</p>", "c2NyaXB0", "c3R5bGU=").unwrap());
    (
        AdminState {
            registry,
            readiness: readiness.clone(),
            drain: trigger,
            routes,
        },
        readiness,
    )
}

fn local(token: Option<Secret>) -> admin::Config {
    admin::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        token,
    }
}

// One thread for the data plane, and the test keeps it busy: the admin thread answers on its own.
#[tokio::test]
async fn it_answers_while_the_data_plane_is_stuck() {
    let (trigger, mut source) = interruption::source(Metadata::off(), false, Clock::real());
    let (state, readiness) = state(trigger);
    let running = admin::bind(local(None)).unwrap().start(state).unwrap();
    let address = running.address();
    assert_eq!(
        ask(address, "GET /healthz HTTP/1.1"),
        (200, "ok\n".to_owned())
    );
    assert_eq!(ask(address, "GET /readyz HTTP/1.1").0, 200);
    readiness.unmet("drain", "leaving");
    let (status, body) = ask(address, "GET /readyz HTTP/1.1");
    assert!(status == 503 && body.contains("leaving"), "{body}");
    assert!(
        ask(address, "GET /metrics HTTP/1.1")
            .1
            .contains("test_things 4")
    );
    let (status, body) = ask(address, "DELETE /api/streams/a-b/publisher HTTP/1.1");
    assert!(status == 200 && body.contains("a-b"), "{body}");
    assert_eq!(ask(address, "POST /api/streams HTTP/1.1").0, 405);
    assert_eq!(ask(address, "GET /api/nothing HTTP/1.1").0, 404);
    assert_eq!(ask(address, "GET /drain HTTP/1.1").0, 405);
    assert_eq!(ask(address, "POST /drain HTTP/1.1").0, 202);
    let expected = Notice::Interruption {
        cause: Cause::Admin,
        deadline: None,
    };
    assert_eq!(source.next().await, expected);
}

#[tokio::test]
async fn beyond_loopback_a_token_is_demanded() {
    let open = admin::Config {
        listen: ([0, 0, 0, 0], 0).into(),
        token: None,
    };
    let error = admin::bind(open).unwrap_err().to_string();
    assert!(error.contains("admin_token"), "{error}");
    let (trigger, _source) = interruption::source(Metadata::off(), false, Clock::real());
    let (state, _) = state(trigger);
    let running = admin::bind(local(Some(Secret::new("t0ken"))))
        .unwrap()
        .start(state)
        .unwrap();
    let address = running.address();
    assert_eq!(ask(address, "GET /healthz HTTP/1.1").0, 401);
    assert_eq!(
        ask(
            address,
            "GET /healthz HTTP/1.1\r\nAuthorization: Bearer t0keN"
        )
        .0,
        401
    );
    assert_eq!(
        ask(
            address,
            "GET /healthz HTTP/1.1\r\nAuthorization: Bearer t0ken"
        )
        .0,
        200
    );
}

#[tokio::test]
async fn the_page_needs_no_token_and_everything_it_asks_for_does() {
    let (trigger, _source) = interruption::source(Metadata::off(), false, Clock::real());
    let (state, _) = state(trigger);
    let running = admin::bind(local(Some(Secret::new("t0ken"))))
        .unwrap()
        .start(state)
        .unwrap();
    let address = running.address();
    assert_eq!(
        ask(address, "GET / HTTP/1.1"),
        (200, "<p>figures</p>".to_owned())
    );
    for request in [
        "GET /api/streams HTTP/1.1",
        "GET /metrics HTTP/1.1",
        "POST / HTTP/1.1",
        "POST /drain HTTP/1.1",
    ] {
        assert_eq!(ask(address, request).0, 401, "{request}");
    }
}

// Without a token, a page of another site that is open on the same machine must not drain us.
#[tokio::test]
async fn other_sites_pages_are_refused() {
    let (trigger, _source) = interruption::source(Metadata::off(), false, Clock::real());
    let (state, readiness) = state(trigger);
    let running = admin::bind(local(None)).unwrap().start(state).unwrap();
    let address = running.address();
    let foreign = "POST /drain HTTP/1.1\r\nOrigin: http://evil.example";
    assert_eq!(ask(address, foreign).0, 403);
    assert!(readiness.report().ready);
    let own = "DELETE /api/streams/a/publisher HTTP/1.1\r\nOrigin: http://localhost";
    assert_eq!(ask(address, own).0, 200);
}
