//! Polls the EC2 instance metadata service, version 2, for warnings.
//!
//! A token is fetched first and renewed before it ends or when it is refused (401). Off EC2, or
//! when the service fails or says nothing, polling backs off and goes on: no answer is no notice.

use std::time::{Duration, SystemTime};

use ::http::{HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use rand::Rng;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::mpsc;

use super::{Cause, Notice};
use crate::{
    backoff::{Backoff, Waits},
    clock::Clock,
    http::{Body, Client, read_all},
};

/// A Spot notice gives two minutes; five seconds lose little of them (AWS's own advice).
const POLL_EVERY: Duration = Duration::from_secs(5);
/// A token lives an hour and is renewed a little early.
const TOKEN_TTL_S: u32 = 3600;
const TOKEN_RENEW_EARLY: Duration = Duration::from_secs(15);
/// The service is on the same host; one that says nothing for this long is not there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Real answers have a few dozen bytes; an identity document has about 500.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// While nothing answers there is no point in asking each five seconds.
const BACKOFF: Backoff = Backoff::endless(Duration::from_secs(1), Duration::from_secs(60));
/// Lifecycle target states that mean the end; `InService` and `Warmed:…` do not.
const LEAVING_STATES: &[&str] = &["Terminated", "Detached", "Standby"];

/// Where the metadata service is: `"off"`, or a URL such as `"http://169.254.169.254"`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    url: Option<String>,
    poll_every: Option<Duration>,
}

impl Metadata {
    /// The address every EC2 instance has.
    pub const EC2: &'static str = "http://169.254.169.254";

    /// Do not ask.
    pub fn off() -> Self {
        Self::default()
    }

    /// Ask at `url`.
    pub fn at(url: &str) -> Self {
        Self {
            url: Some(url.trim_end_matches('/').to_owned()),
            poll_every: None,
        }
    }

    /// Asks each `period` instead of five seconds.
    pub fn polled_every(mut self, period: Duration) -> Self {
        self.poll_every = Some(period);
        self
    }

    /// The base URL, unless it is off.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Who this instance is; none when metadata is off or does not answer.
    pub async fn identity(&self, clock: &Clock) -> Option<Identity> {
        let mut session = self.poller(clock.clone())?.session;
        let text = session
            .get("dynamic/instance-identity/document")
            .await
            .ok()??;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn poller(&self, clock: Clock) -> Option<Poller> {
        let base = self.url.clone()?;
        let session = Session {
            client: Client::new(ANSWER_TIMEOUT),
            base,
            token: None,
            clock,
        };
        Some(Poller {
            session,
            poll_every: self.poll_every.unwrap_or(POLL_EVERY),
            seen: Seen::default(),
        })
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(Self::off()),
            url if url.starts_with("http://") => Ok(Self::at(url)),
            _ => Err(serde::de::Error::custom(format!(
                "cannot use {text:?}: write \"off\" or \"{}\"",
                Self::EC2
            ))),
        }
    }
}

impl serde::Serialize for Metadata {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.url().unwrap_or("off"))
    }
}

/// The parts of the identity document that calls to the cloud need.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// `i-…`
    #[serde(rename = "instanceId")]
    pub instance_id: String,
    /// Such as `eu-central-1`.
    pub region: String,
}

/// Why a question found no answer; all are worth asking again later.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the token was refused")]
    TokenRefused,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Unreachable(String),
}

struct Session {
    client: Client,
    base: String,
    token: Option<(HeaderValue, Duration)>,
    clock: Clock,
}

impl Session {
    /// The document at `path` under `/latest`, none when it does not exist (no notice).
    async fn get(&mut self, path: &str) -> Result<Option<Bytes>, Failure> {
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let answer = self
                .send(Method::GET, path, "x-aws-ec2-metadata-token", token)
                .await?;
            match answer {
                (StatusCode::OK, bytes) => return Ok(Some(bytes)),
                (StatusCode::NOT_FOUND, _) => return Ok(None),
                (StatusCode::UNAUTHORIZED, _) => {
                    self.token = None;
                    if std::mem::replace(&mut renewed, true) {
                        return Err(Failure::TokenRefused);
                    }
                }
                (status, _) => return Err(Failure::Status(status)),
            }
        }
    }

    async fn token(&mut self) -> Result<HeaderValue, Failure> {
        if let Some((token, renew_at)) = &self.token
            && self.clock.now() < *renew_at
        {
            return Ok(token.clone());
        }
        let ttl = HeaderValue::from(TOKEN_TTL_S);
        let name = "x-aws-ec2-metadata-token-ttl-seconds";
        match self.send(Method::PUT, "api/token", name, ttl).await? {
            (StatusCode::OK, bytes) => {
                let token = HeaderValue::from_maybe_shared(bytes)
                    .map_err(|_| Failure::Unreachable("the token is no header value".to_owned()))?;
                let life = Duration::from_secs(TOKEN_TTL_S.into()) - TOKEN_RENEW_EARLY;
                self.token = Some((token.clone(), self.clock.now() + life));
                Ok(token)
            }
            (status, _) => Err(Failure::Status(status)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        header: &'static str,
        value: HeaderValue,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let unreachable = |reason: String| Failure::Unreachable(reason);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/latest/{path}", self.base))
            .header(header, value)
            .body(Body::empty())
            .map_err(|e| unreachable(e.to_string()))?;
        let exchange = async {
            let response = self
                .client
                .send(request, ANSWER_TIMEOUT)
                .await
                .map_err(|e| unreachable(e.to_string()))?;
            let status = response.status();
            let bytes = read_all(response.into_body(), ANSWER_BYTES_MAX)
                .await
                .map_err(|e| unreachable(e.to_string()))?;
            Ok((status, bytes))
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| unreachable(format!("no answer within {ANSWER_TIMEOUT:?}")))?
    }
}

/// What has been told already; each kind of notice is passed on once.
#[derive(Debug, Default)]
struct Seen {
    rebalance: bool,
    spot: bool,
    lifecycle: bool,
}

pub(super) struct Poller {
    session: Session,
    poll_every: Duration,
    seen: Seen,
}

#[derive(Deserialize)]
struct InstanceAction {
    action: String,
    time: String,
}

impl Poller {
    pub(super) async fn run(mut self, sender: mpsc::Sender<Notice>) {
        let mut failures: Option<Waits> = None;
        while !sender.is_closed() {
            let wait = match self.poll().await {
                Ok(notices) => {
                    if failures.take().is_some() {
                        tracing::info!("metadata service answers again");
                    }
                    for notice in notices {
                        if sender.send(notice).await.is_err() {
                            return;
                        }
                    }
                    // Spread by a tenth, so that a fleet does not ask in step.
                    self.poll_every
                        .mul_f64(1.0 - 0.1 * rand::rng().random::<f64>())
                }
                Err(error) => {
                    if failures.is_none() {
                        let base = &self.session.base;
                        tracing::warn!(%error, base, "cannot ask the metadata service; trying on");
                    }
                    let waits = failures.get_or_insert_with(|| BACKOFF.start());
                    waits.next().unwrap_or(BACKOFF.longest)
                }
            };
            self.session.clock.sleep(wait).await;
        }
    }

    async fn poll(&mut self) -> Result<Vec<Notice>, Failure> {
        let mut notices = Vec::new();
        if !self.seen.spot
            && let Some(bytes) = self.session.get("meta-data/spot/instance-action").await?
            && let Some((action, deadline)) = self.instance_action(&bytes)
        {
            self.seen.spot = true;
            let cause = Cause::Spot { action };
            notices.push(Notice::Interruption {
                cause,
                deadline: Some(deadline),
            });
        }
        if !self.seen.lifecycle {
            let state = self
                .session
                .get("meta-data/autoscaling/target-lifecycle-state")
                .await?;
            let state = state.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
            if let Some(state) = state.filter(|s| LEAVING_STATES.contains(&s.as_str())) {
                self.seen.lifecycle = true;
                let cause = Cause::Lifecycle { state };
                notices.push(Notice::Interruption {
                    cause,
                    deadline: None,
                });
            }
        }
        if !self.seen.rebalance {
            let path = "meta-data/events/recommendations/rebalance";
            if self.session.get(path).await?.is_some() {
                self.seen.rebalance = true;
                notices.push(Notice::Rebalance);
            }
        }
        Ok(notices)
    }

    /// Action and deadline on our clock. A time that cannot be read counts as the two minutes that
    /// are promised; one that is past counts as now.
    fn instance_action(&self, bytes: &[u8]) -> Option<(String, Duration)> {
        let clock = &self.session.clock;
        let notice: InstanceAction = match serde_json::from_slice(bytes) {
            Ok(notice) => notice,
            Err(error) => {
                tracing::warn!(%error, "cannot read the spot notice");
                return None;
            }
        };
        let left = match OffsetDateTime::parse(&notice.time, &Rfc3339) {
            Ok(time) => until(time, clock.wall()),
            Err(_) => Duration::from_secs(120),
        };
        Some((notice.action, clock.now() + left))
    }
}

fn until(time: OffsetDateTime, wall: SystemTime) -> Duration {
    SystemTime::from(time)
        .duration_since(wall)
        .unwrap_or(Duration::ZERO)
}
