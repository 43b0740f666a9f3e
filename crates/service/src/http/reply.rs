//! Small answers and the headers every answer carries.

use ::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Body, CacheControl, Response};

/// Lets any page read the answer and the headers players time themselves by. A constant `*`, so
/// that caches never need to vary on `Origin`.
pub fn allow_cors(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Age, Date, Server-Timing"),
    );
}

/// The answer to a CORS preflight (and to any OPTIONS): reading is allowed, for a day.
pub fn preflight() -> Response {
    let mut response = status(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "*, Range, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::ALLOW, "GET, HEAD, OPTIONS"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer without a body, readable across origins.
pub fn status(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    allow_cors(response.headers_mut());
    response
}

/// An answer in words, kept by no cache: say what is wrong and what to do.
pub fn text(code: StatusCode, words: impl Into<String>) -> Response {
    let mut words = words.into();
    words.push('\n');
    let mut response = Response::new(Body::full(words));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    allow_cors(headers);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CACHE_CONTROL, CacheControl::no_store().to_header());
    response
}
