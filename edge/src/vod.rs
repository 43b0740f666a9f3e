//! Finished recordings from the egress store, as if the store were an origin.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, header};
use service::{
    Clock,
    backoff::Backoff,
    http::{CacheControl, content_type},
};
use store::{Read, Store};

use crate::single_flight::chunks::Chunks;

/// A store that fails is asked again for this long; then the viewer's own retry is due.
const RETRY: Backoff = Backoff::within(
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(2),
);

/// The egress store, where there is one.
#[derive(Debug, Clone)]
pub struct Vod(Option<Arc<dyn Store>>);

impl Vod {
    /// Of `store`; without one every recording is unknown.
    pub fn new(store: Option<Arc<dyn Store>>) -> Self {
        Self(store)
    }

    /// The object behind `path`: headers and bytes, none when it does not exist. The error is words
    /// for the log.
    pub(crate) async fn open(
        &self,
        path: &str,
        clock: &Clock,
    ) -> Result<Option<(HeaderMap, Chunks)>, String> {
        let Some(store) = &self.0 else {
            return Ok(None);
        };
        let key = path.trim_start_matches('/');
        let mut waits = RETRY.start();
        loop {
            let error = match store.get(key).await {
                Ok(read) => return Ok(Some((headers(path, &read), chunks(read)))),
                Err(store::Error::NotFound { .. } | store::Error::Invalid { .. }) => {
                    return Ok(None);
                }
                Err(error) => error,
            };
            match waits.next().filter(|_| error.is_retryable()) {
                Some(wait) => clock.sleep(wait).await,
                None => return Err(error.to_string()),
            }
        }
    }

    /// The bytes from `got` on, if the object is still the same.
    pub(crate) async fn resume(
        &self,
        path: &str,
        got: u64,
        length: u64,
        etag: &HeaderValue,
    ) -> Option<Chunks> {
        let store = self.0.as_ref()?;
        let read = store
            .get_range(path.trim_start_matches('/'), got..length)
            .await
            .ok()?;
        let same = tag(&read).as_ref() == Some(etag) && read.range == (got..length);
        same.then(|| chunks(read))
    }
}

fn tag(read: &Read) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{}\"", read.object.etag)).ok()
}

fn headers(path: &str, read: &Read) -> HeaderMap {
    // The list of recordings changes; everything else never does.
    let lifetime = match urls::Vod::parse(path) {
        Some(urls::Vod::Index) => CacheControl::max_age(1),
        _ => CacheControl::immutable(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(path)),
    );
    headers.insert(header::CACHE_CONTROL, lifetime.to_header());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(read.object.size));
    if let Some(tag) = tag(read) {
        headers.insert(header::ETAG, tag);
    }
    headers
}

fn chunks(read: Read) -> Chunks {
    Box::pin(read.body.map_err(|error| error.to_string()).boxed())
}
