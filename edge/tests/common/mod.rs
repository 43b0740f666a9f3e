//! An edge with scripted origins in front of it, over real sockets.

#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use edge::{App, Config};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use service::{
    Clock,
    clock::Hand,
    http::{Body, Client, Request, Response, Server, serve},
    interruption::{self, Metadata, Trigger},
};
use store::Store;
use tokio::{net::TcpListener, task::JoinHandle};

pub type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;
pub type Script = Arc<dyn Fn(String, HeaderMap) -> Answer + Send + Sync>;

/// An origin that answers as its script says, on a runtime of its own so that it can be killed.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<HashMap<String, usize>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Origin {
    pub fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(String, HeaderMap) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        Self::start_at(([127, 0, 0, 1], 0).into(), script)
    }

    pub fn start_at<F, Fut>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(String, HeaderMap) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let socket = std::net::TcpListener::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let counted = Arc::clone(&seen);
        let script: Script = Arc::new(move |key, headers| Box::pin(script(key, headers)));
        let handler = move |request: Request, _| {
            let key = request.uri().path_and_query().unwrap().to_string();
            *counted.lock().unwrap().entry(key.clone()).or_default() += 1;
            script(key, request.headers().clone())
        };
        runtime.spawn(async move {
            let listener = TcpListener::from_std(socket).unwrap();
            let (signal, watch) = service::drain::channel();
            serve(listener, Server::default(), handler, watch).await;
            drop(signal);
        });
        Self {
            address,
            seen,
            runtime: Some(runtime),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often `key` was asked for.
    pub fn count(&self, key: &str) -> usize {
        self.seen.lock().unwrap().get(key).copied().unwrap_or(0)
    }

    /// Everything asked for but probes.
    pub fn keys(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut keys: Vec<String> = seen
            .keys()
            .filter(|key| *key != "/hls/index.json")
            .cloned()
            .collect();
        keys.sort();
        keys
    }

    /// Dies at once, as `kill -9` would: every connection is gone.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be ended from within another.
            let end = move || runtime.shutdown_timeout(Duration::from_secs(5));
            std::thread::spawn(end).join().unwrap();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn respond(status: u16, cache_control: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    headers.insert("cache-control", cache_control.parse().unwrap());
    headers.insert("etag", "\"tag\"".parse().unwrap());
    response
}

pub fn media(body: impl Into<Bytes>) -> Response {
    let mut response = respond(200, "public, max-age=31536000, immutable", body);
    response
        .headers_mut()
        .insert("content-type", "video/mp4".parse().unwrap());
    response
}

/// A live playlist that reaches to `msn` and has one part after it.
pub fn playlist(msn: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n#EXTINF:2.0,\n{}.m4s\n#EXTINF:2.0,\n{msn}.m4s\n\
         #EXT-X-PART:DURATION=0.5,URI=\"{}.0.m4s\"\n",
        msn - 1,
        msn - 1,
        msn + 1,
    )
}

pub fn live(msn: u64) -> Response {
    let mut response = respond(200, "public, max-age=1, stale-if-error=0", playlist(msn));
    response.headers_mut().insert(
        "content-type",
        "application/vnd.apple.mpegurl".parse().unwrap(),
    );
    response
}

pub const PLAYLIST: &str = "/hls/a/source/index.m3u8";
pub const SEGMENT: &str = "/hls/a/source/e1/7.m4s";

/// A running edge.
pub struct Edge {
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub trigger: Trigger,
    pub hand: Option<Hand>,
    pub task: JoinHandle<anyhow::Result<()>>,
    client: Client,
}

/// An answer, read to the end.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub fn config(origins: &[&Origin]) -> Config {
    let mut config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        admin_listen: ([127, 0, 0, 1], 0).into(),
        origins: origins.iter().map(|origin| origin.url()).collect(),
        name: Some("edge-1".to_owned()),
        ..Config::default()
    };
    config.drain.quiet = service::config::Duration::from_millis(50);
    config
}

impl Edge {
    /// On real time.
    pub async fn start(config: Config) -> Self {
        Self::start_with(config, None, Clock::real(), None).await
    }

    /// On a clock that the test moves.
    pub async fn with_hand(config: Config) -> Self {
        let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH);
        Self::start_with(config, None, clock, Some(hand)).await
    }

    pub async fn start_with(
        config: Config,
        store: Option<Arc<dyn Store>>,
        clock: Clock,
        hand: Option<Hand>,
    ) -> Self {
        let (trigger, notices) = interruption::source(Metadata::off(), false, clock.clone());
        let app = App::build(config, store, clock).await.unwrap();
        let addresses = app.addresses();
        let task = tokio::spawn(app.run(trigger.clone(), notices));
        let client = Client::new(Duration::from_secs(5));
        Self {
            http: addresses.http,
            admin: addresses.admin,
            trigger,
            hand,
            task,
            client,
        }
    }

    pub fn advance(&self, by: Duration) {
        self.hand.as_ref().unwrap().advance(by);
    }

    pub async fn send(
        &self,
        request: http::Request<Body>,
    ) -> http::Response<hyper::body::Incoming> {
        self.client
            .send(request, Duration::from_secs(30))
            .await
            .unwrap()
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(Body::empty()).unwrap()).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[]).await
    }

    /// The value of a metric line that starts with `name`.
    pub async fn metric(&self, name: &str) -> f64 {
        let request = http::Request::get(format!("http://{}/metrics", self.admin));
        let response = self.send(request.body(Body::empty()).unwrap()).await;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.map_or(0.0, |line| {
            line.rsplit(' ').next().unwrap().parse().unwrap()
        })
    }

    /// Waits until a metric has reached `value`.
    pub async fn reaches(&self, name: &str, value: f64) {
        while self.metric(name).await < value {
            tokio::task::yield_now().await;
        }
    }
}
