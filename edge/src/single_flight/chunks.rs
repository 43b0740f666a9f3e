//! The bytes of a body as they come, from an origin or from the egress store.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// A body's bytes. An error is words for the log.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

/// The bytes of an origin's answer.
pub(crate) fn chunks_of(body: Incoming) -> Chunks {
    Box::pin(
        body.into_data_stream()
            .map(|chunk| chunk.map_err(|e| e.to_string())),
    )
}
