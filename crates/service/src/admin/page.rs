//! A page for people, in one answer: text, style and program, and nothing from anywhere else.
//!
//! It shows what strangers chose (stream names, encoders' names), so the policy that goes with it
//! lets exactly its own program run, and lets no other page frame its buttons.

use ::http::{HeaderValue, header};
use bytes::Bytes;

use crate::http::{Body, CacheControl, Response};

/// One HTML document and its policy.
#[derive(Debug)]
pub struct Page {
    html: Bytes,
    policy: HeaderValue,
}

impl Page {
    /// `html`, whose inline script and style hash to `script` and `style` (base64 of SHA-256). None
    /// where a hash is no header text.
    pub fn new(html: impl Into<Bytes>, script: &str, style: &str) -> Option<Self> {
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
             connect-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        Some(Self {
            html: html.into(),
            policy: HeaderValue::from_str(&policy).ok()?,
        })
    }

    pub(super) fn respond(&self) -> Response {
        let mut response = Response::new(Body::full(self.html.clone()));
        let headers = response.headers_mut();
        let fixed = HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, fixed("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
        headers.insert(header::CACHE_CONTROL, CacheControl::no_store().to_header());
        response
    }
}
