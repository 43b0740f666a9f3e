//! One fetch from question to cached entry, told to everybody who waits as it goes.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use service::{Clock, http::allow_cors};

use super::{
    FetchWriter, State,
    chunks::{Chunks, chunks_of},
    partial_body::{Budget, PartialBody},
};
use crate::{
    cache::{
        CacheEntry, DiskCache, MemoryCache, SMALL_BYTES_MAX,
        decide::{Decision, Pace, lifetimes},
        headers_from,
    },
    metrics::Metrics,
    request::{CacheRequest, Kind},
    upstream::{Failure, Found, Origin, Origins, Verdict, content_length},
    vod::Vod,
    zero_copy::Slabs,
};

/// An origin that was killed has its streams again this long after at most: its encoders are back
/// within a second or two, then come the three segments of a first playlist. Viewers wait with a
/// stall, not with an error.
const COMEBACK_MAX: Duration = Duration::from_secs(12);

/// But no request waits longer than this for it: hls.js gives up on one after 10 s.
const COMEBACK_WAIT_MAX: Duration = Duration::from_secs(9);

/// How often it is asked meanwhile.
const COMEBACK_EVERY: Duration = Duration::from_millis(250);

/// An origin that sends nothing for this long in the middle of a body will not go on.
const BODY_STALL_MAX: Duration = Duration::from_secs(5);

/// Text up to this is no burden in memory: a playlist of 12 h of segments has half of it.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Everything a fetch needs.
#[derive(Debug)]
pub struct Fetcher {
    pub(crate) origins: Arc<Origins>,
    pub(crate) vod: Vod,
    pub(crate) memory: Arc<MemoryCache>,
    pub(crate) disk: Option<DiskCache>,
    pub(crate) slabs: Arc<Slabs>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) served_by: HeaderValue,
    pub(crate) object_bytes_max: u64,
}

/// Where the rest of a body can be had when it breaks off.
enum Rest {
    Origin(Arc<Origin>),
    Store,
}

impl Fetcher {
    /// Fetches `request` and tells `writer`.
    pub(crate) async fn run(self: Arc<Self>, request: CacheRequest<'static>, writer: FetchWriter) {
        if let Some(entry) = self.read_disk(&request).await {
            writer.set(State::Done(entry));
            return;
        }
        match request.kind {
            Kind::Vod => self.run_vod(&request, &writer).await,
            _ => self.run_live(&request, &writer).await,
        }
    }

    async fn run_live(&self, request: &CacheRequest<'_>, writer: &FetchWriter) {
        match self.ask_patiently(request).await {
            Verdict::Streaming(found) => {
                let Found {
                    origin,
                    status,
                    headers,
                    body,
                } = found;
                let rest = Rest::Origin(origin);
                self.stream(request, writer, status, headers, chunks_of(body), rest)
                    .await;
            }
            Verdict::Whole(found, pace) => {
                let Found {
                    status,
                    headers,
                    body,
                    ..
                } = found;
                let entry = self.entry(request.kind, status, &headers, body, pace);
                self.finish(request, writer, entry);
            }
            Verdict::Failed(failure) => self.fail(writer, failure),
        }
    }

    /// Asks until somebody has the playlist of a stream that was live a moment ago. Meanwhile a 404
    /// is as good as no answer: what is kept may be served, or the viewer waits.
    async fn ask_patiently(&self, request: &CacheRequest<'_>) -> Verdict {
        let asked = self.clock.now();
        loop {
            let verdict = self.origins.ask(request).await;
            let words = match &verdict {
                Verdict::Failed(Failure::Unreachable(words)) => words.clone(),
                Verdict::Whole(found, _) if found.status == StatusCode::NOT_FOUND => {
                    "no origin has it yet".to_owned()
                }
                _ => return verdict,
            };
            let now = self.clock.now();
            let moved_at = self.origins.moved_at(request.path());
            let is_back_soon = moved_at.is_some_and(|moved_at| now < moved_at + COMEBACK_MAX);
            if request.kind != Kind::Playlist || !is_back_soon {
                return verdict;
            }
            if now >= asked + COMEBACK_WAIT_MAX || self.usable(request, now).is_some() {
                return Verdict::Failed(Failure::Unreachable(words));
            }
            self.clock.sleep(COMEBACK_EVERY).await;
        }
    }

    /// What may still be served when nobody can be asked.
    pub(crate) fn usable(
        &self,
        request: &CacheRequest<'_>,
        now: Duration,
    ) -> Option<Arc<CacheEntry>> {
        self.memory
            .get(&request.key)
            .filter(|entry| entry.status() == StatusCode::OK && entry.decide(now) != Decision::Gone)
    }

    async fn run_vod(&self, request: &CacheRequest<'_>, writer: &FetchWriter) {
        self.metrics.store_fetches.inc();
        match self.vod.open(request.path(), &self.clock).await {
            Ok(Some((headers, chunks))) => {
                self.stream(
                    request,
                    writer,
                    StatusCode::OK,
                    headers,
                    chunks,
                    Rest::Store,
                )
                .await;
            }
            Ok(None) => {
                let headers = HeaderMap::from_iter([(
                    header::CACHE_CONTROL,
                    HeaderValue::from_static("public, max-age=1"),
                )]);
                let body = Bytes::from_static(b"no such recording\n");
                let entry = self.entry(Kind::Vod, StatusCode::NOT_FOUND, &headers, body, None);
                self.finish(request, writer, entry);
            }
            Err(reason) => self.fail(writer, Failure::Unreachable(reason)),
        }
    }

    fn fail(&self, writer: &FetchWriter, failure: Failure) {
        self.metrics.upstream_failures.inc();
        writer.set(State::Failed(failure));
    }

    fn entry(
        &self,
        kind: Kind,
        status: StatusCode,
        headers: &HeaderMap,
        body: Bytes,
        pace: Option<Pace>,
    ) -> Arc<CacheEntry> {
        let kept = lifetimes(kind, status, headers, pace);
        let now = self.clock.now();
        Arc::new(CacheEntry::new(
            kind,
            status,
            headers,
            &self.served_by,
            body,
            now,
            kept,
        ))
    }

    fn finish(&self, request: &CacheRequest<'_>, writer: &FetchWriter, entry: Arc<CacheEntry>) {
        self.memory.insert(&request.key, &entry);
        writer.set(State::Done(entry));
    }

    /// Streams a body to everybody who waits, then keeps it.
    async fn stream(
        &self,
        request: &CacheRequest<'_>,
        writer: &FetchWriter,
        status: StatusCode,
        headers: HeaderMap,
        chunks: Chunks,
        rest: Rest,
    ) {
        let length = content_length(&headers);
        if length.is_some_and(|length| length > self.object_bytes_max) {
            let limit = self.object_bytes_max;
            let reason = format!("the object is larger than object_max = {limit} bytes");
            tracing::warn!(key = %request.key, ?length, limit, "cannot cache: raise object_max");
            return self.fail(writer, Failure::Unreachable(reason));
        }
        let said = streaming_headers(&headers, &self.served_by);
        let partial = PartialBody::new(said, length, Arc::clone(&self.budget));
        let whole = is_told_whole(request.kind, &headers, length);
        if !whole {
            writer.set(State::Arriving(Arc::clone(&partial)));
        }
        if let Err(reason) = self.fill(request, &partial, &headers, chunks, rest).await {
            tracing::warn!(key = %request.key, reason, got = partial.total(), "a body broke off");
            if whole {
                return self.fail(writer, Failure::Unreachable(reason));
            }
            self.metrics.upstream_failures.inc();
            partial.break_off();
            return;
        }
        let pieces = partial.finish();
        let body = self.consolidate(&pieces);
        let entry = self.entry(request.kind, status, &headers, body, None);
        if let Some(disk) = &self.disk
            && entry.is_cacheable()
            && is_worth_disk(request.kind, partial.total())
        {
            disk.keep(&request.key, &headers, entry.content().chunks());
        }
        self.finish(request, writer, entry);
    }

    async fn fill(
        &self,
        request: &CacheRequest<'_>,
        partial: &PartialBody,
        headers: &HeaderMap,
        mut chunks: Chunks,
        mut rest: Rest,
    ) -> Result<(), String> {
        loop {
            let reason = match tokio::time::timeout(BODY_STALL_MAX, chunks.next()).await {
                Ok(Some(Ok(chunk))) => {
                    if partial.total() + chunk.len() as u64 > self.object_bytes_max {
                        return Err("it is larger than object_max".to_owned());
                    }
                    if !partial.push(chunk) {
                        return Err("too many bytes are arriving at once".to_owned());
                    }
                    continue;
                }
                Ok(None)
                    if partial
                        .length
                        .is_none_or(|length| length == partial.total()) =>
                {
                    return Ok(());
                }
                Ok(None) => "it ended early".to_owned(),
                Ok(Some(Err(reason))) => reason,
                Err(_) => format!("nothing came for {BODY_STALL_MAX:?}"),
            };
            (chunks, rest) = self
                .resume(request, partial, headers, rest)
                .await
                .ok_or(reason)?;
        }
    }

    /// Another source for the bytes that are missing. Only what never changes can be pieced
    /// together.
    async fn resume(
        &self,
        request: &CacheRequest<'_>,
        partial: &PartialBody,
        headers: &HeaderMap,
        rest: Rest,
    ) -> Option<(Chunks, Rest)> {
        let (got, length) = (partial.total(), partial.length?);
        let etag = headers
            .get(header::ETAG)
            .filter(|tag| tag.as_bytes().starts_with(b"\""))?;
        match (rest, request.kind) {
            (Rest::Origin(broken), Kind::Media) => {
                let found = self
                    .origins
                    .resume(&broken, &request.key, got, length, etag)
                    .await?;
                Some((chunks_of(found.body), Rest::Origin(found.origin)))
            }
            (Rest::Store, Kind::Vod) => {
                let chunks = self.vod.resume(request.path(), got, length, etag).await?;
                // One more try, and no other after it.
                Some((chunks, Rest::Store))
            }
            _ => None,
        }
    }

    /// One piece of memory for a whole body: small ones on the heap, large ones where they can be
    /// sent from without copying.
    fn consolidate(&self, pieces: &[Bytes]) -> Bytes {
        let total = pieces.iter().map(Bytes::len).sum();
        if total > SMALL_BYTES_MAX
            && let Some(bytes) = self.slabs.store(pieces, total)
        {
            return bytes;
        }
        let mut whole = BytesMut::with_capacity(total);
        for piece in pieces {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }

    async fn read_disk(&self, request: &CacheRequest<'_>) -> Option<Arc<CacheEntry>> {
        let disk = self.disk.as_ref().filter(|disk| disk.has(&request.key))?;
        let (headers, body) = disk.read(&request.key).await?;
        self.metrics.disk_hits.inc();
        let body = self.consolidate(&[body]);
        let entry = self.entry(request.kind, StatusCode::OK, &headers, body, None);
        self.memory.insert(&request.key, &entry);
        Some(entry)
    }
}

/// Only what never changes, and what is too large to fetch again lightly.
fn is_worth_disk(kind: Kind, bytes: u64) -> bool {
    matches!(kind, Kind::Media | Kind::Vod) && bytes > SMALL_BYTES_MAX as u64
}

/// Playlists and lists of a store: read to their end first, so that already the first answer is
/// compressed.
fn is_told_whole(kind: Kind, headers: &HeaderMap, length: Option<u64>) -> bool {
    let is_small = length.is_some_and(|length| length <= TEXT_BYTES_MAX);
    kind == Kind::Vod && is_small && crate::cache::is_text(headers)
}

fn streaming_headers(upstream: &HeaderMap, served_by: &HeaderValue) -> HeaderMap {
    let mut headers = headers_from(upstream, served_by);
    allow_cors(&mut headers);
    for name in [header::CONTENT_TYPE, header::ETAG] {
        if let Some(value) = upstream.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers
}
