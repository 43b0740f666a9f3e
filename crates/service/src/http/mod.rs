//! HTTP as Panocast serves it: connections with limits in front of a handler, one body type, and
//! the headers that caches and players need.
//!
//! ```text
//! TcpListener ──[ limits: idle, header, write stalls ]── TLS? ── hyper h1/h2 ── Handler → Response
//! ```
//!
//! Why own code around hyper: the drain order, the limits and what happens past them are promises
//! to viewers, the same on origin and edge. What this does not do: routing (roles have a few lines
//! each).

mod body;
mod cache_control;
mod client;
mod connection_limits;
mod content;
mod gzip;
mod limits;
mod range;
mod reply;
mod serve;
mod tls;

#[cfg(test)]
mod tests;

pub use body::{Body, BodyError};
pub use cache_control::CacheControl;
pub use client::{Client, ClientError, read_all};
pub use content::{Content, etag_of, fnv1a};
pub use gzip::{accepts_gzip, gzip};
pub use limits::{Limits, Metrics};
pub use range::Range;
pub use reply::{allow_cors, preflight, status, text};
pub use serve::{Handler, Peer, Server, Transport, serve, serve_over};
pub use tls::{TlsConfig, TlsError};

/// A request as handlers see it.
pub type Request = ::http::Request<hyper::body::Incoming>;

/// A response as handlers give it.
pub type Response = ::http::Response<Body>;

/// The media type of playlists (RFC 8216 section 4).
pub const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// `Content-Type` by the ending of a path, for what Panocast serves from folders and stores.
pub fn content_type(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "m3u8" => PLAYLIST_TYPE,
        "mp4" | "m4s" | "m4v" => "video/mp4",
        "m4a" => "audio/mp4",
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        _ => "application/octet-stream",
    }
}
