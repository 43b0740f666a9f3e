//! The public side: URLs to bytes of a stream's snapshot, blocking where the protocol says so.
//!
//! ```text
//! request -> route -> stream -> view --[ Now ]--> answer
//!                                \--[ Wait ]--> the rendition's next part --> look again
//! ```
//!
//! Everything served is immutable and shared; a waiting viewer costs one task asleep on its
//! rendition's channel and is woken once per part. What this does not do: page and VOD (the edge
//! serves them), authorisation, TLS policy.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hls::{
    Lookup,
    reload::{Decision, decide, ends_as_asked},
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use service::http::{CacheControl, Content, Peer, Request, Response, preflight, text};
use tokio::sync::watch;
use urls::{Directives, Live, MediaFile};

use crate::{
    metrics::Metrics,
    peer::PeerServer,
    segment_store::{MediaKey, SegmentStore},
    stream::{Registry, Stream, View},
    thumbnail::Thumbnails,
};

/// How long caches may keep an error: long enough to absorb a herd, too short for anybody to
/// notice.
const ERROR_LIFETIME: CacheControl = CacheControl::max_age(1);

/// How long caches may keep lists and stream facts.
const FACTS_LIFETIME: CacheControl = CacheControl::max_age(1);

/// How long caches may keep a live poster: it is decoded at most so often, however many look.
const POSTER_LIFETIME: CacheControl = CacheControl::max_age(10);

/// Answers viewers and edges.
#[derive(Clone)]
pub struct Http {
    registry: Arc<Registry>,
    segment_store: SegmentStore,
    metrics: Metrics,
    thumbnails: Arc<Thumbnails>,
    peer_server: Option<PeerServer>,
}

impl Http {
    /// A handler over `registry`'s streams, and what they let go of.
    pub fn new(
        registry: Arc<Registry>,
        segment_store: SegmentStore,
        metrics: Metrics,
        thumbnails: Arc<Thumbnails>,
        peer_server: Option<PeerServer>,
    ) -> Self {
        Self {
            registry,
            segment_store,
            metrics,
            thumbnails,
            peer_server,
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request, _peer: Peer) -> Response {
        let (kind, response) = self.answer(&request).await;
        let class = match response.status().as_u16() {
            200..300 => "2xx",
            304 => "304",
            300..500 => "4xx",
            _ => "5xx",
        };
        self.metrics
            .requests
            .with_label_values(&[kind, class])
            .inc();
        response
    }

    async fn answer(&self, request: &Request) -> (&'static str, Response) {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return ("other", preflight()),
            _ => {
                let mut refused = text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "only GET, HEAD and OPTIONS are served",
                );
                let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
                refused.headers_mut().insert(header::ALLOW, allow);
                return ("other", refused);
            }
        }
        if let Some(peer_server) = &self.peer_server
            && let Some(response) = peer_server.answer(request).await
        {
            return ("peer", response);
        }
        let Some(resource) = Live::parse(request.uri().path()) else {
            return ("other", not_found("no such page; streams are under /hls/"));
        };
        match resource {
            Live::Index => ("facts", json_answer(request, &self.index())),
            Live::Multivariant { stream, spatial } => {
                ("multivariant", self.multivariant(request, stream, spatial))
            }
            Live::Info { stream } => ("facts", self.info(request, stream)),
            Live::Poster { stream } => ("poster", self.poster(request, stream).await),
            Live::Playlist { stream, rendition } => {
                ("playlist", self.playlist(request, stream, rendition).await)
            }
            Live::Media {
                stream,
                rendition,
                run_id,
                file,
            } => {
                let key = MediaKey {
                    stream,
                    rendition,
                    run_id,
                };
                (file.kind(), self.media(request, key, file).await)
            }
        }
    }

    fn index(&self) -> serde_json::Value {
        let streams = self.registry.streams();
        let live = streams
            .iter()
            .filter(|stream| stream.is_watchable())
            .map(|stream| {
                let name = stream.name();
                json!({
                    "name": name,
                    "url": Live::Multivariant { stream: name, spatial: false }.to_string(),
                    "started_at": stream.started_at(),
                    "info": Live::Info { stream: name }.to_string(),
                })
            });
        live.collect()
    }

    fn info(&self, request: &Request, stream: &str) -> Response {
        match self.registry.find(stream) {
            Some(stream) => json_answer(request, &stream.info()),
            None => not_found("no such stream"),
        }
    }

    async fn poster(&self, request: &Request, stream: &str) -> Response {
        let Some(stream) = self.registry.find(stream) else {
            return not_found("no such stream");
        };
        match self.thumbnails.of(&stream).await {
            Some(jpeg) => {
                let tag = service::http::etag_of(&jpeg);
                Content::new([jpeg], "image/jpeg")
                    .with_etag(&tag)
                    .with_header(header::CACHE_CONTROL, POSTER_LIFETIME.to_header())
                    .respond(request.method(), request.headers())
            }
            None => not_found("the stream has no picture yet"),
        }
    }

    fn multivariant(&self, request: &Request, stream: &str, spatial: bool) -> Response {
        let content = self
            .registry
            .find(stream)
            .and_then(|stream| stream.multivariant(spatial));
        match content {
            Some(content) => content.respond(request.method(), request.headers()),
            None => not_found("no such stream, or it is not ready yet"),
        }
    }

    fn view(
        &self,
        stream: &str,
        rendition: &str,
    ) -> Option<(Arc<Stream>, watch::Receiver<Arc<View>>)> {
        let stream = self.registry.find(stream)?;
        let view = stream.view(rendition)?;
        Some((stream, view))
    }

    async fn playlist(&self, request: &Request, stream: &str, rendition: &str) -> Response {
        let directives = match Directives::parse(request.uri().query().unwrap_or_default()) {
            Ok(directives) => directives,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let Some((_stream, mut views)) = self.view(stream, rendition) else {
            return not_found("no such rendition, or it is not ready yet");
        };
        let limit = views.borrow().media().constants().block_limit();
        let mut held = false;
        let answer = self
            .watch(&mut views, limit, |view| {
                match decide(&directives, view.media()) {
                    Decision::Now => {
                        let lasts = held && ends_as_asked(&directives, view.media());
                        let content = view.playlist(directives.skip, lasts);
                        Some(content.respond(request.method(), request.headers()))
                    }
                    Decision::Wait { .. } => {
                        held = true;
                        None
                    }
                    Decision::BadRequest(error) => {
                        Some(text(StatusCode::BAD_REQUEST, error.to_string()))
                    }
                }
            })
            .await;
        answer.unwrap_or_else(|| unavailable("the stream made no progress in time"))
    }

    async fn media(&self, request: &Request, key: MediaKey<'_>, media: MediaFile) -> Response {
        if let Some(content) = self.live(key, media).await {
            return content.respond(request.method(), request.headers());
        }
        match self.segment_store.find(key, media).await {
            Some((kind, bytes)) => content(vec![bytes], kind, key.run_id, media)
                .respond(request.method(), request.headers()),
            None => not_found("never published, or no longer in the window"),
        }
    }

    /// What the stream still holds, waiting for it where it was announced. What was announced and
    /// does not come is as if it had never been (rfc8216bis, EXT-X-PRELOAD-HINT).
    async fn live(&self, key: MediaKey<'_>, media: MediaFile) -> Option<Content> {
        let (_stream, mut views) = self.view(key.stream, key.rendition)?;
        let limit = views.borrow().media().constants().block_limit();
        let look = |view: &View| {
            let snapshot = view.media();
            match find(snapshot, key.run_id, media) {
                Lookup::Found(content) => Some(Some(content)),
                Lookup::Pending => None,
                Lookup::Missing => Some(None),
            }
        };
        self.watch(&mut views, limit, look).await.flatten()
    }

    /// Looks at each new view until `look` has an answer; `None` after `limit`, or when the stream
    /// is gone.
    async fn watch<T>(
        &self,
        views: &mut watch::Receiver<Arc<View>>,
        limit: Duration,
        mut look: impl FnMut(&View) -> Option<T>,
    ) -> Option<T> {
        let first = Arc::clone(&views.borrow_and_update());
        if let Some(found) = look(&first) {
            return Some(found);
        }
        drop(first);
        let _waiting = Waiting::new(&self.metrics);
        let wait = async {
            while views.changed().await.is_ok() {
                let view = Arc::clone(&views.borrow_and_update());
                if let Some(found) = look(&view) {
                    return Some(found);
                }
            }
            None
        };
        tokio::time::timeout(limit, wait).await.ok().flatten()
    }
}

/// Counts a blocked request while it waits.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.blocked.inc();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.blocked.dec();
    }
}

fn find(snapshot: &hls::MediaSnapshot, run_id: &str, media: MediaFile) -> Lookup<Content> {
    let content = |chunks| content(chunks, snapshot.kind(), run_id, media);
    let known = match media {
        MediaFile::Init(_) => snapshot.knows(run_id),
        MediaFile::Segment(msn) | MediaFile::Part(msn, _) => snapshot.run_id_of(msn) == run_id,
    };
    if !known {
        return Lookup::Missing;
    }
    match media {
        MediaFile::Init(index) => match snapshot.init(index) {
            Some(init) => Lookup::Found(content(vec![init.bytes.clone()])),
            None => Lookup::Missing,
        },
        MediaFile::Segment(msn) => match snapshot.segment(msn) {
            Lookup::Found(segment) => Lookup::Found(content(segment.pieces().cloned().collect())),
            Lookup::Pending => Lookup::Pending,
            Lookup::Missing => Lookup::Missing,
        },
        MediaFile::Part(msn, part) => match snapshot.part(msn, part) {
            Lookup::Found(bytes) => Lookup::Found(content(vec![bytes])),
            Lookup::Pending => Lookup::Pending,
            Lookup::Missing => Lookup::Missing,
        },
    }
}

/// An entity tag: the URL names the bytes for ever, so its own words do. The format version is in
/// it because the same media packaged by a newer program has other bytes.
fn entity_tag(run_id: &str, media: MediaFile) -> String {
    let version = cmaf::FORMAT_VERSION;
    match media {
        MediaFile::Init(index) => format!("{version}-{run_id}-i{index:x}"),
        MediaFile::Segment(msn) => format!("{version}-{run_id}-{msn}"),
        MediaFile::Part(msn, part) => format!("{version}-{run_id}-{msn}.{part}"),
    }
}

/// Media under a URL that names it for ever.
fn content(chunks: Vec<Bytes>, kind: media::MediaKind, run_id: &str, media: MediaFile) -> Content {
    let kind = match kind {
        media::MediaKind::Video => "video/mp4",
        media::MediaKind::Audio => "audio/mp4",
    };
    Content::new(chunks, kind)
        .with_etag(&entity_tag(run_id, media))
        .with_header(header::CACHE_CONTROL, CacheControl::immutable().to_header())
}

fn json_answer(request: &Request, value: &impl serde::Serialize) -> Response {
    let bytes = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
    let tag = service::http::etag_of(&bytes);
    Content::new([bytes], "application/json")
        .with_etag(&tag)
        .with_header(header::CACHE_CONTROL, FACTS_LIFETIME.to_header())
        .respond(request.method(), request.headers())
}

fn not_found(words: &str) -> Response {
    let mut response = text(StatusCode::NOT_FOUND, words);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, ERROR_LIFETIME.to_header());
    response
}

fn unavailable(words: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
