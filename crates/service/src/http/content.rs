//! A body in memory with its headers, answered to GET, HEAD, conditional and range requests.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;

use super::{Body, Range, Response, accepts_gzip, allow_cors};

/// Bytes to serve, with what must be said about them. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Content {
    chunks: Arc<[Bytes]>,
    length: usize,
    /// The same, compressed once by whoever made this.
    gzip: Option<Bytes>,
    /// Complete for a plain answer, entity tag and all: most answers only clone it.
    headers: HeaderMap,
}

impl Content {
    /// `chunks` one after the other, as `content_type`. CORS headers are set.
    pub fn new(chunks: impl Into<Arc<[Bytes]>>, content_type: &'static str) -> Self {
        let chunks = chunks.into();
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        allow_cors(&mut headers);
        let length = chunks.iter().map(Bytes::len).sum();
        Self {
            chunks,
            length,
            gzip: None,
            headers,
        }
    }

    /// Adds the compressed form (made once, by the caller).
    pub fn with_gzip(mut self, packed: Option<Bytes>) -> Self {
        if packed.is_some() {
            self.headers
                .insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        self.gzip = packed;
        self
    }

    /// Adds an entity tag; `tag` without quotes. One that is no legal header is left out.
    pub fn with_etag(mut self, tag: &str) -> Self {
        insert(&mut self.headers, header::ETAG, &format!("\"{tag}\""));
        self
    }

    /// Adds or replaces a header.
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Number of bytes, uncompressed.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The bytes.
    pub fn chunks(&self) -> &Arc<[Bytes]> {
        &self.chunks
    }

    /// Answers GET or HEAD (the caller has refused other methods).
    pub fn respond(&self, method: &Method, request: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = self.headers.clone();
        if request.contains_key(header::IF_NONE_MATCH)
            && self
                .headers
                .get(header::ETAG)
                .is_some_and(|etag| matches_any(request, etag))
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(header::CONTENT_TYPE);
            return response;
        }
        if let Some(packed) = self.gzip.as_ref().filter(|_| accepts_gzip(request)) {
            return self.respond_packed(method, packed, response);
        }
        let headers = response.headers_mut();
        let etag = self.headers.get(header::ETAG);
        let (start, end) = match Range::of(request, self.length as u64, etag) {
            Range::Full => (0, self.length as u64),
            Range::Part { start, end } => {
                let text = format!("bytes {start}-{}/{}", end - 1, self.length);
                insert(headers, header::CONTENT_RANGE, &text);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                (start, end)
            }
            Range::Unsatisfiable => {
                insert(
                    headers,
                    header::CONTENT_RANGE,
                    &format!("bytes */{}", self.length),
                );
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                return response;
            }
        };
        *response.body_mut() = if method == Method::HEAD {
            Body::head_only(end - start)
        } else {
            // Both fit: they are within a length that is a usize.
            Body::slice(
                Arc::clone(&self.chunks),
                start as usize,
                (end - start) as usize,
            )
        };
        response
    }

    fn respond_packed(&self, method: &Method, packed: &Bytes, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.remove(header::ACCEPT_RANGES);
        if let Some(etag) = self.headers.get(header::ETAG) {
            // The packed form is another representation: a weak tag says "same meaning".
            let text = format!("W/{}", etag.to_str().unwrap_or("\"\""));
            insert(headers, header::ETAG, &text);
        }
        *response.body_mut() = if method == Method::HEAD {
            Body::head_only(packed.len() as u64)
        } else {
            Body::full(packed.clone())
        };
        response
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// Whether `If-None-Match` lists `etag` (weak comparison, RFC 9110 section 13.1.2).
fn matches_any(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let own = bare(etag.to_str().unwrap_or_default());
    request.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.trim() == "*" || text.split(',').any(|tag| bare(tag) == own)
    })
}

/// A short tag of `bytes`, the same on every machine (FNV-1a, 64 bits, and the length): it tells
/// versions of one URL apart, and defends against nobody.
pub fn etag_of(bytes: &[u8]) -> String {
    format!("{:016x}-{:x}", fnv1a(bytes), bytes.len())
}

/// FNV-1a with 64 bits: the same on every machine, and enough to tell a few versions of one object
/// apart.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
