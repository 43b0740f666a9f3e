//! Questions and answers over HTTP: one small request per stream and second, authenticated by a
//! shared secret, on the listener that edges use. Nothing of it is on the way of media.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use service::{
    Clock,
    config::Secret,
    http::{Body, Client, ClientError, Content, Request, Response, read_all, text},
};
use tracing::{debug, warn};
use urls::is_name;

use crate::{
    metrics::Metrics,
    stream::{Registry, Stream, unix_micros},
};
use pairing::{ANSWER_MAX, PeerError, PeerStatus, Settings};

/// Where questions go.
const PATH: &str = "/peer/v1/streams/";
/// Asks for fingerprints of audio too.
const WITH_AUDIO: &str = "sounds";
/// Carries the secret.
const SECRET_HEADER: &str = "x-panocast-peer";
/// The longest answer: all marks and all audio are half of it.
const ANSWER_BYTES_MAX: usize = 128 << 10;
/// How often streams are looked at: half of the shortest pause between two questions.
const BEAT: Duration = Duration::from_millis(50);

/// Asks the peer.
pub struct PeerPoller {
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

impl PeerPoller {
    /// Asks for ever.
    pub async fn run(self) {
        // Longer than a question may take: a connection that is not even refused counts as slow,
        // because somebody may be there.
        let client = Client::new(ANSWER_MAX * 2);
        let poller = Arc::new(self);
        loop {
            poller.clock.sleep(BEAT).await;
            for stream in poller.registry.streams() {
                if let Some(with_audio) = stream.peer_question() {
                    let (poller, client) = (Arc::clone(&poller), client.clone());
                    tokio::spawn(async move { poller.ask(&client, &stream, with_audio).await });
                }
            }
        }
    }

    async fn ask(&self, client: &Client, stream: &Arc<Stream>, with_audio: bool) {
        let answer =
            tokio::time::timeout(ANSWER_MAX, self.fetch(client, stream.name(), with_audio));
        let answer = answer.await.unwrap_or(Err(PeerError::Slow));
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(PeerError::Slow) => "slow",
            Err(PeerError::Unreachable(_)) => "unreachable",
            Err(_) => "refused",
        };
        self.metrics
            .pairing_questions
            .with_label_values(&[outcome])
            .inc();
        if let Err(PeerError::Refused(why)) = &answer {
            warn!(stream = stream.name(), why, "the peer's answer is not used");
        } else if let Err(trouble) = &answer {
            debug!(stream = stream.name(), ?trouble, "no answer from the peer");
        }
        stream.peer_answered(answer);
        let digests = digests(stream).await;
        stream.compare_digests(&digests);
    }

    async fn fetch(
        &self,
        client: &Client,
        name: &str,
        with_audio: bool,
    ) -> Result<PeerStatus, PeerError> {
        let query = if with_audio { "?sounds" } else { "" };
        let base = self.peer.trim_end_matches('/');
        let request = ::http::Request::get(format!("{base}{PATH}{name}{query}"))
            .header(SECRET_HEADER, self.secret.expose())
            .body(Body::empty())
            .map_err(|error| PeerError::Refused(format!("cannot ask {base}: {error}")))?;
        let response = client.send(request, ANSWER_MAX).await.map_err(trouble)?;
        let status = response.status();
        let body = read_all(response.into_body(), ANSWER_BYTES_MAX).await;
        let body = body.map_err(trouble)?;
        if status != StatusCode::OK {
            let hint = "peer and peer_secret must match on both";
            return Err(PeerError::Refused(format!(
                "the peer answers {status}; {hint}"
            )));
        }
        let peer_status: PeerStatus = serde_json::from_slice(&body).map_err(|error| {
            PeerError::Refused(format!("cannot read the peer's answer: {error}"))
        })?;
        let wall = unix_micros(self.clock.wall());
        match peer_status.check(wall) {
            Ok(()) => Ok(peer_status),
            Err(error) => Err(PeerError::Refused(error.to_string())),
        }
    }
}

fn trouble(error: ClientError) -> PeerError {
    match error {
        ClientError::Timeout { .. } => PeerError::Slow,
        ClientError::TooLarge { .. } => PeerError::Refused(error.to_string()),
        _ => PeerError::Unreachable(error.to_string()),
    }
}

/// Answers the peer.
#[derive(Clone)]
pub struct PeerServer {
    /// What the two show each other.
    pub secret: Secret,
    /// Whose streams.
    pub registry: Arc<Registry>,
    /// For streams that are not known.
    pub settings: Settings,
    /// Wins ties.
    pub primary: bool,
}

impl PeerServer {
    /// Answers a question; `None` for other requests.
    pub async fn answer(&self, request: &Request) -> Option<Response> {
        let name = request.uri().path().strip_prefix(PATH)?;
        let shown = request.headers().get(SECRET_HEADER);
        let shown = shown.map(HeaderValue::as_bytes).unwrap_or_default();
        if !self.secret.matches(shown) {
            return Some(text(StatusCode::FORBIDDEN, "not the peer"));
        }
        if !is_name(name) {
            return Some(text(StatusCode::NOT_FOUND, "no such stream"));
        }
        let with_audio = request.uri().query() == Some(WITH_AUDIO);
        let peer_status = match self.registry.find(name) {
            Some(stream) => {
                let digests = digests(&stream).await;
                stream.status_for_peer(with_audio, digests)
            }
            None => None,
        };
        let peer_status =
            peer_status.unwrap_or_else(|| PeerStatus::absent(self.settings, self.primary));
        let body = Bytes::from(serde_json::to_vec(&peer_status).unwrap_or_default());
        let content = Content::new([body], "application/json")
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(content.respond(request.method(), request.headers()))
    }
}

async fn digests(stream: &Arc<Stream>) -> Vec<pairing::SegmentDigest> {
    let stream = Arc::clone(stream);
    let work = tokio::task::spawn_blocking(move || stream.segment_digests());
    work.await.unwrap_or_default()
}
