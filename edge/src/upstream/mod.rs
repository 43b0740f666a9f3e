//! Asks the origins, in order of preference, until one has what the viewer wants.
//!
//! A 404, a failure, silence, or a playlist that does not move are tried on the next origin before
//! any viewer hears of them. All origins speak the same URLs and, for what never changes, the same
//! bytes.

mod ask;
pub mod freshness;
pub mod health;
mod preferred_origin;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use service::{
    Clock,
    http::{Body, Client, ClientError, read_all},
};
use tokio::sync::watch;

use crate::{metrics::Metrics, playlist};
use freshness::FreshnessTracker;
use health::{Health, Seen};
use preferred_origin::PreferredOrigins;

pub use ask::{Failure, Found, Verdict};

/// A neighbour that does not accept a connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often each origin is probed, and how long a probe may take.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Playlists of a day have about 3 MiB.
const PLAYLIST_BYTES_MAX: usize = 4 << 20;

/// What is probed: small, and served from memory by every origin.
const PROBE_PATH: &str = "/hls/index.json";

/// One origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) url: String,
    /// Its place in the order of preference.
    rank: usize,
    health: Mutex<Health>,
    is_up: watch::Sender<bool>,
}

/// The origins in order of preference.
#[derive(Debug)]
pub struct Origins {
    list: Vec<Arc<Origin>>,
    client: Client,
    clock: Clock,
    metrics: Metrics,
    freshness: FreshnessTracker,
    preferred: PreferredOrigins,
    frozen_max: Duration,
}

/// An origin's answer to one request.
pub(crate) type Answer = Result<http::Response<Incoming>, ClientError>;

impl Origins {
    /// Of base URLs without a slash at the end.
    pub fn new(urls: &[String], frozen_max: Duration, clock: Clock, metrics: Metrics) -> Self {
        let list = urls
            .iter()
            .enumerate()
            .map(|(rank, url)| {
                metrics.origin_up.with_label_values(&[url]).set(1);
                let (is_up, _) = watch::channel(true);
                Arc::new(Origin {
                    url: url.clone(),
                    rank,
                    health: Mutex::default(),
                    is_up,
                })
            })
            .collect();
        let client = Client::new(CONNECT_TIMEOUT);
        Self {
            list,
            client,
            clock,
            metrics,
            freshness: FreshnessTracker::default(),
            preferred: PreferredOrigins::default(),
            frozen_max,
        }
    }

    /// When the playlist at `path` last moved; none when it has ended or is not known.
    pub(crate) fn moved_at(&self, path: &str) -> Option<Duration> {
        self.freshness.moved_at(path)
    }

    /// Each origin's URL and whether it is up.
    pub fn report(&self) -> Vec<(String, bool)> {
        self.list
            .iter()
            .map(|origin| (origin.url.clone(), *origin.is_up.borrow()))
            .collect()
    }

    /// Probes all origins for as long as it is polled.
    pub async fn probe(&self) {
        futures_util::future::join_all(self.list.iter().map(|origin| self.probe_one(origin))).await;
    }

    async fn probe_one(&self, origin: &Arc<Origin>) {
        loop {
            let spread = PROBE_EVERY.mul_f64(0.9 + 0.2 * rand::random::<f64>());
            self.clock.sleep(spread).await;
            let answer = self
                .send(origin, Method::HEAD, PROBE_PATH, None, PROBE_TIMEOUT)
                .await;
            let seen = seen(&answer);
            self.change(origin, |health, now| health.probe(seen, now));
            // One that is silent now would only keep the next probe waiting.
            if seen == Seen::Answer {
                for path in self.preferred.lost_by(origin.rank) {
                    self.look_back(origin, &path).await;
                }
            }
        }
    }

    /// Whether a preferred origin has come level in the playlist at `path`, so that it is asked
    /// first again.
    async fn look_back(&self, origin: &Origin, path: &str) {
        let answer = self
            .send(origin, Method::GET, path, None, PROBE_TIMEOUT)
            .await;
        let text = match answer {
            Ok(answer) => {
                let text = read_all(answer.into_body(), PLAYLIST_BYTES_MAX);
                tokio::time::timeout(PROBE_TIMEOUT, text).await.ok()
            }
            Err(_) => None,
        };
        let summary = text.and_then(|text| playlist::scan(&text.ok()?));
        let is_level = summary.is_some_and(|summary| self.freshness.is_level(path, &summary));
        if is_level || self.freshness.is_over(path, self.clock.now()) {
            tracing::info!(origin = origin.url, path, "asked first again");
            self.preferred.forget(path);
            self.count_preferred();
        }
    }

    fn follow(&self, path: &str, origin: &Origin) {
        if self.preferred.follow(path, origin.rank) {
            tracing::info!(origin = origin.url, path, "is ahead, and asked first");
            self.count_preferred();
        }
    }

    fn count_preferred(&self) {
        self.metrics.streams_led.set(self.preferred.count() as i64);
    }

    fn note(&self, origin: &Arc<Origin>, seen: Seen) {
        self.change(origin, |health, now| health.request(seen, now));
    }

    fn change(&self, origin: &Arc<Origin>, change: impl FnOnce(&mut Health, Duration)) {
        let now = self.clock.now();
        let mut health = origin.health.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut health, now);
        let is_up = health.is_up();
        let changed = origin
            .is_up
            .send_if_modified(|was| std::mem::replace(was, is_up) != is_up);
        drop(health);
        if changed {
            self.metrics
                .origin_up
                .with_label_values(&[&origin.url])
                .set(is_up.into());
            match is_up {
                true => tracing::info!(origin = origin.url, "origin is back"),
                false => tracing::warn!(origin = origin.url, "origin is down; asking the next"),
            }
        }
    }

    /// Those that are up first, among them who leads the stream of `path`, then in order of
    /// preference.
    fn in_order(&self, path: &str) -> Vec<Arc<Origin>> {
        let preferred = self.preferred.of(path);
        let mut order = self.list.clone();
        order
            .sort_by_cached_key(|origin| (!*origin.is_up.borrow(), preferred != Some(origin.rank)));
        order
    }

    async fn send(
        &self,
        origin: &Origin,
        method: Method,
        key: &str,
        range: Option<String>,
        limit: Duration,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{key}", origin.url));
        if let Some(range) = range {
            request = request.header(http::header::RANGE, range);
        }
        let request = request
            .header(http::header::USER_AGENT, "panocast-edge")
            .body(Body::empty())
            .map_err(|e| ClientError::Body(e.to_string()))?;
        self.client.send(request, limit).await
    }
}

/// What an answer says about its origin's health.
fn seen(answer: &Answer) -> Seen {
    match answer {
        // 503 on a blocked request only says that the stream makes no progress.
        Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => Seen::Answer,
        Ok(response) if response.status().is_server_error() => Seen::Trouble,
        Ok(_) => Seen::Answer,
        Err(ClientError::Unreachable { .. }) => Seen::Nobody,
        Err(_) => Seen::Trouble,
    }
}

/// `Content-Length`, where it is said.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
