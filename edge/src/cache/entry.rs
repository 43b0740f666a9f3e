//! One cached answer: bytes, headers and lifetimes, ready to be given to any number of viewers.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use service::http::{Content, Response, gzip};

use super::decide::{Decision, Lifetimes, decide, upstream_age};
use crate::request::Kind;

/// Bodies up to this stay on the heap in one piece; larger ones go where they can be sent without a
/// copy. Below it a system call costs more than copying.
pub const SMALL_BYTES_MAX: usize = 32 << 10;

/// How an answer came about.
pub const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Ages up to this are not written anew for each answer.
const AGES: u64 = 3600;

fn seconds(age: Duration) -> HeaderValue {
    static READY: LazyLock<Vec<HeaderValue>> =
        LazyLock::new(|| (0..AGES).map(HeaderValue::from).collect());
    let ready = usize::try_from(age.as_secs())
        .ok()
        .and_then(|age| READY.get(age));
    ready
        .cloned()
        .unwrap_or_else(|| HeaderValue::from(age.as_secs()))
}

/// What an entry weighs besides its body: headers, key, tables.
const OVERHEAD_BYTES: u64 = 1 << 10;

/// Headers of an origin's answer that are passed on; the rest is about the connection, or ours to
/// say.
const PASSED_ON: [HeaderName; 5] = [
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
];

/// A cached answer.
#[derive(Debug)]
pub struct CacheEntry {
    status: StatusCode,
    content: Content,
    fetched: Duration,
    upstream_age: Duration,
    lifetimes: Option<Lifetimes>,
    weight: u64,
}

/// The headers to send with an answer that had `upstream` headers.
pub fn headers_from(upstream: &HeaderMap, served_by: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    for name in &PASSED_ON {
        if let Some(value) = upstream.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert("x-served-by", served_by.clone());
    headers
}

impl CacheEntry {
    /// An answer whose body is whole. Playlists and facts get their compressed form here, once.
    pub fn new(
        kind: Kind,
        status: StatusCode,
        upstream: &HeaderMap,
        served_by: &HeaderValue,
        body: Bytes,
        fetched: Duration,
        lifetimes: Option<Lifetimes>,
    ) -> Self {
        let encoded = upstream.contains_key(header::CONTENT_ENCODING);
        let packed = match kind {
            Kind::Playlist | Kind::Multivariant | Kind::Info if !encoded => gzip(&body),
            Kind::Vod if !encoded && is_text(upstream) => gzip(&body),
            _ => None,
        };
        let weight =
            OVERHEAD_BYTES + body.len() as u64 + packed.as_ref().map_or(0, |p| p.len() as u64);
        let mut content = Content::new([body], "application/octet-stream").with_gzip(packed);
        if let Some(value) = upstream.get(header::CONTENT_TYPE) {
            content = content.with_header(header::CONTENT_TYPE, value.clone());
        }
        let etag = upstream
            .get(header::ETAG)
            .and_then(|value| value.to_str().ok());
        if let Some(tag) = etag.and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"')) {
            content = content.with_etag(tag);
        }
        for (name, value) in headers_from(upstream, served_by) {
            if let Some(name) = name {
                content = content.with_header(name, value);
            }
        }
        // What each answer says anew has its place already: cloned headers grow only by copying
        // all.
        content = content
            .with_header(header::AGE, HeaderValue::from_static("0"))
            .with_header(X_CACHE, HeaderValue::from_static("HIT"));
        let upstream_age = upstream_age(upstream);
        Self {
            status,
            content,
            fetched,
            upstream_age,
            lifetimes,
            weight,
        }
    }

    /// Bytes it takes.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Whether others than those who waited for it may have it.
    pub fn is_cacheable(&self) -> bool {
        self.lifetimes.is_some()
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its body, uncompressed, in pieces.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// What it is good for at `now`.
    pub fn decide(&self, now: Duration) -> Decision {
        match self.lifetimes {
            Some(lifetimes) => decide(lifetimes, now.saturating_sub(self.fetched)),
            None => Decision::Gone,
        }
    }

    /// Answers GET or HEAD, with `Age` at `now` (rfc8216bis B.1: caches must say it; players tune
    /// in by it) and `X-Cache`.
    pub fn respond(
        &self,
        method: &Method,
        request: &HeaderMap,
        now: Duration,
        cache: HeaderValue,
    ) -> Response {
        let mut response = if self.status == StatusCode::OK {
            self.content.respond(method, request)
        } else {
            // Neither ranges nor conditions apply to an error.
            let mut response = self.content.respond(method, &HeaderMap::new());
            *response.status_mut() = self.status;
            response
        };
        let age = now.saturating_sub(self.fetched) + self.upstream_age;
        let headers = response.headers_mut();
        headers.insert(header::AGE, seconds(age));
        headers.insert(X_CACHE, cache);
        response
    }

    /// An answer of our own, never cached.
    pub fn of_words(status: StatusCode, words: &str, now: Duration) -> Self {
        let content = Content::new(
            [Bytes::from(format!("{words}\n"))],
            "text/plain; charset=utf-8",
        )
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let lifetimes = None;
        let upstream_age = Duration::ZERO;
        Self {
            status,
            content,
            fetched: now,
            upstream_age,
            lifetimes,
            weight: OVERHEAD_BYTES,
        }
    }
}

/// Whether compressing a body with these headers is worth it.
pub fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.contains("mpegurl") || kind.contains("json"))
}
