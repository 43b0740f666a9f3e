//! A store behind the worker's one retry loop.
//!
//! A store that fails for half a minute must not use up a job's few deliveries, so each operation
//! is repeated within [`BUDGET`] while the lease is kept. Every operation here may safely happen
//! twice.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use service::backoff::Backoff;
use store::{Created, Object, ObjectMetadata, Result, Store};

/// How long one operation is repeated: an outage of S3 or a full disk that somebody empties.
const BUDGET: Duration = Duration::from_secs(600);

/// A store that is asked again.
#[derive(Clone, Debug)]
pub struct RetryingStore {
    store: Arc<dyn Store>,
    backoff: Backoff,
}

impl RetryingStore {
    /// Wraps `store` with waits of 200 ms to 10 s.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let (first, longest) = (Duration::from_millis(200), Duration::from_secs(10));
        Self::with_backoff(store, Backoff::within(first, longest, BUDGET))
    }

    /// The same with other waits.
    pub fn with_backoff(store: Arc<dyn Store>, backoff: Backoff) -> Self {
        Self { store, backoff }
    }

    /// The same store with other waits.
    pub fn with_waits(&self, backoff: Backoff) -> Self {
        Self {
            store: self.store.clone(),
            backoff,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.store.url()
    }

    async fn repeat<T, F>(&self, mut operation: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut waits = self.backoff.start();
        loop {
            let error = match operation().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match waits.next().filter(|_| error.is_retryable()) {
                Some(wait) => {
                    tracing::warn!(store = self.url(), %error, wait = ?wait, "again");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(error),
            }
        }
    }

    /// Writes an object whole.
    pub async fn put(&self, key: &str, bytes: Bytes, metadata: ObjectMetadata) -> Result<()> {
        self.repeat(|| self.store.put(key, bytes.clone(), metadata))
            .await
    }

    /// Writes an object whole unless the key is taken. After a lost answer an object of our own may
    /// count as existing.
    pub async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: ObjectMetadata,
    ) -> Result<Created> {
        self.repeat(|| self.store.put_if_absent(key, bytes.clone(), metadata))
            .await
    }

    /// A whole object of at most `limit` bytes; `None` when it is not there.
    pub async fn read(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let read = || async { self.store.get(key).await?.bytes(limit).await };
        match self.repeat(read).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Some bytes of an object.
    pub async fn read_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        let read = || async {
            self.store
                .get_range(key, range.clone())
                .await?
                .bytes(length)
                .await
        };
        self.repeat(read).await
    }

    /// An object's facts; `None` when it is not there.
    pub async fn find(&self, key: &str) -> Result<Option<Object>> {
        match self.repeat(|| self.store.head(key)).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every object under `prefix`, at most `limit`.
    pub async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Object>> {
        self.repeat(|| store::list_all(&*self.store, prefix, limit))
            .await
    }

    /// Removes an object.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.repeat(|| self.store.delete(key)).await
    }
}
