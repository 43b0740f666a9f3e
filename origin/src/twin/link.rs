//! Questions and answers over HTTP: one small request per stream and second, authenticated by a shared
//! secret, on the listener that edges use. Nothing of it is on the way of media.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use service::{
    Clock,
    config::Secret,
    http::{Body, Client, ClientError, Content, Request, Response, read_all, text},
};
use tracing::{debug, warn};

use super::{ANSWER_MAX, Facts, Settings, Trouble};
use crate::{
    metrics::Metrics,
    registry::Registry,
    route::is_stream_name,
    stream::{Stream, unix_micros},
};

/// Where questions go.
const PATH: &str = "/peer/v1/streams/";
/// Asks for fingerprints of sound too.
const SOUNDS: &str = "sounds";
/// Carries the secret.
const SECRET_HEADER: &str = "x-panocast-peer";
/// The longest answer: all marks and all sound are half of it.
const ANSWER_BYTES_MAX: usize = 128 << 10;
/// How often streams are looked at: half of the shortest pause between two questions.
const BEAT: Duration = Duration::from_millis(50);

/// Asks the peer.
pub struct Link {
    /// `http://host:port`.
    pub peer: String,
    /// What the two show each other.
    pub secret: Secret,
    /// Whose streams.
    pub registry: Arc<Registry>,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
}

impl Link {
    /// Asks for ever.
    pub async fn run(self) {
        // Longer than a question may take: a connection that is not even refused counts as slow, because
        // somebody may be there.
        let client = Client::new(ANSWER_MAX * 2);
        let link = Arc::new(self);
        loop {
            link.clock.sleep(BEAT).await;
            for stream in link.registry.streams() {
                if let Some(sounds) = stream.twin_ask() {
                    let (link, client) = (Arc::clone(&link), client.clone());
                    tokio::spawn(async move { link.ask(&client, &stream, sounds).await });
                }
            }
        }
    }

    async fn ask(&self, client: &Client, stream: &Arc<Stream>, sounds: bool) {
        let answer = tokio::time::timeout(ANSWER_MAX, self.fetch(client, stream.name(), sounds));
        let answer = answer.await.unwrap_or(Err(Trouble::Slow));
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(Trouble::Slow) => "slow",
            Err(Trouble::Unreachable(_)) => "unreachable",
            Err(Trouble::Refused(_)) => "refused",
        };
        self.metrics
            .twin_questions
            .with_label_values(&[outcome])
            .inc();
        if let Err(Trouble::Refused(why)) = &answer {
            warn!(stream = stream.name(), why, "the peer's answer is not used");
        } else if let Err(trouble) = &answer {
            debug!(stream = stream.name(), ?trouble, "no answer from the peer");
        }
        stream.twin_answered(answer);
        let digests = digests(stream).await;
        stream.twin_compare(&digests);
    }

    async fn fetch(&self, client: &Client, name: &str, sounds: bool) -> Result<Facts, Trouble> {
        let query = if sounds { "?sounds" } else { "" };
        let base = self.peer.trim_end_matches('/');
        let request = ::http::Request::get(format!("{base}{PATH}{name}{query}"))
            .header(SECRET_HEADER, self.secret.expose())
            .body(Body::empty())
            .map_err(|error| Trouble::Refused(format!("cannot ask {base}: {error}")))?;
        let response = client.send(request, ANSWER_MAX).await.map_err(trouble)?;
        let status = response.status();
        let body = read_all(response.into_body(), ANSWER_BYTES_MAX).await;
        let body = body.map_err(trouble)?;
        if status != StatusCode::OK {
            let hint = "peer and peer_secret must match on both";
            return Err(Trouble::Refused(format!(
                "the peer answers {status}; {hint}"
            )));
        }
        let facts: Facts = serde_json::from_slice(&body)
            .map_err(|error| Trouble::Refused(format!("cannot read the peer's answer: {error}")))?;
        let wall = unix_micros(self.clock.wall());
        match facts.check(wall) {
            Ok(()) => Ok(facts),
            Err(error) => Err(Trouble::Refused(error.to_string())),
        }
    }
}

fn trouble(error: ClientError) -> Trouble {
    match error {
        ClientError::Timeout { .. } => Trouble::Slow,
        ClientError::TooLarge { .. } => Trouble::Refused(error.to_string()),
        _ => Trouble::Unreachable(error.to_string()),
    }
}

/// Answers the peer.
#[derive(Clone)]
pub struct Server {
    /// What the two show each other.
    pub secret: Secret,
    /// Whose streams.
    pub registry: Arc<Registry>,
    /// For streams that are not known.
    pub settings: Settings,
    /// Wins ties.
    pub primary: bool,
}

impl Server {
    /// Answers a question; `None` for other requests.
    pub async fn answer(&self, request: &Request) -> Option<Response> {
        let name = request.uri().path().strip_prefix(PATH)?;
        let shown = request.headers().get(SECRET_HEADER);
        let shown = shown.map(HeaderValue::as_bytes).unwrap_or_default();
        if !self.secret.matches(shown) {
            return Some(text(StatusCode::FORBIDDEN, "not the peer"));
        }
        if !is_stream_name(name) {
            return Some(text(StatusCode::NOT_FOUND, "no such stream"));
        }
        let sounds = request.uri().query() == Some(SOUNDS);
        let facts = match self.registry.find(name) {
            Some(stream) => {
                let digests = digests(&stream).await;
                stream.twin_facts(sounds, digests)
            }
            None => None,
        };
        let facts = facts.unwrap_or_else(|| Facts::absent(self.settings, self.primary));
        let body = Bytes::from(serde_json::to_vec(&facts).unwrap_or_default());
        let content = Content::new([body], "application/json")
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(content.respond(request.method(), request.headers()))
    }
}

async fn digests(stream: &Arc<Stream>) -> Vec<super::facts::DigestFacts> {
    let stream = Arc::clone(stream);
    let work = tokio::task::spawn_blocking(move || stream.twin_digests());
    work.await.unwrap_or_default()
}
