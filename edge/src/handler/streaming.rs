//! Answers from a body that is still arriving.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use service::http::{Body, Range, Response};

use crate::{
    cache::X_CACHE,
    single_flight::{Waiter, partial_body::PartialBody},
};

/// Streams to one viewer; its share in the fetch ends with the body.
pub fn stream(
    method: &Method,
    request: &HeaderMap,
    partial: Arc<PartialBody>,
    waiter: Waiter,
    cache: HeaderValue,
) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = partial.headers.clone();
    let headers = response.headers_mut();
    headers.insert(header::AGE, HeaderValue::from_static("0"));
    headers.insert(X_CACHE, cache);
    let range = match partial.length {
        Some(length) => Range::of(request, length, headers.get(header::ETAG)),
        // Without a length no range can be told from a wrong one: everything is sent, which is
        // allowed.
        None => Range::Full,
    };
    let (start, length) = match range {
        Range::Full => (0, partial.length),
        Range::Part { start, end } => {
            let total = partial.length.unwrap_or(end);
            content_range(
                headers,
                &format!("bytes {start}-{}/{total}", end.saturating_sub(1)),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (start, Some(end - start))
        }
        Range::Unsatisfiable => {
            let total = partial.length.unwrap_or(0);
            content_range(headers, &format!("bytes */{total}"));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
    };
    *response.body_mut() = match (method == Method::HEAD, length) {
        (true, Some(length)) => Body::head_only(length),
        (true, None) => Body::empty(),
        (false, _) => Body::stream(partial.read(start, length)).holding(waiter),
    };
    response
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(header::CONTENT_RANGE, value);
    }
}
