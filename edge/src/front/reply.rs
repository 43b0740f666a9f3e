//! Answers from a body that is still arriving.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use service::http::{Body, Range, Response};

use crate::cache::X_CACHE;
use crate::flight::Ticket;
use crate::flight::filling::Filling;

/// Streams to one viewer; its share in the fetch ends with the body.
pub fn stream(
    method: &Method,
    request: &HeaderMap,
    filling: Arc<Filling>,
    ticket: Ticket,
    cache: HeaderValue,
) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = filling.headers.clone();
    let headers = response.headers_mut();
    headers.insert(header::AGE, HeaderValue::from_static("0"));
    headers.insert(X_CACHE, cache);
    let range = match filling.length {
        Some(length) => Range::of(request, length, headers.get(header::ETAG)),
        // Without a length no range can be told from a wrong one: everything is sent, which is allowed.
        None => Range::Full,
    };
    let (start, length) = match range {
        Range::Full => (0, filling.length),
        Range::Part { start, end } => {
            let total = filling.length.unwrap_or(end);
            content_range(
                headers,
                &format!("bytes {start}-{}/{total}", end.saturating_sub(1)),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (start, Some(end - start))
        }
        Range::Unsatisfiable => {
            let total = filling.length.unwrap_or(0);
            content_range(headers, &format!("bytes */{total}"));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
    };
    *response.body_mut() = match (method == Method::HEAD, length) {
        (true, Some(length)) => Body::head_only(length),
        (true, None) => Body::empty(),
        (false, _) => Body::stream(filling.read(start, length)).holding(ticket),
    };
    response
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(header::CONTENT_RANGE, value);
    }
}
