//! A small HTTP client for neighbours on the same network: pooled, bounded, with a deadline.
//!
//! Plain HTTP only: origins, peers and the metadata service are reached inside one network; what
//! needs TLS (S3, SQS) goes through the cloud's own libraries.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{Body, BodyError};

/// Why a request to a neighbour failed. All are worth another try but [`ClientError::TooLarge`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection, or it broke before the answer began.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// Whom we asked.
        host: String,
        /// The chain of causes.
        reason: String,
    },
    /// No answer in time.
    #[error("cannot wait longer for {host}: no answer within {limit:?}")]
    Timeout {
        /// Whom we asked.
        host: String,
        /// How long we waited.
        limit: Duration,
    },
    /// The body broke off.
    #[error("cannot read the answer: {0}")]
    Body(String),
    /// The body is longer than the caller takes.
    #[error("cannot take the answer: more than {limit} bytes")]
    TooLarge {
        /// The caller's limit.
        limit: usize,
    },
}

/// A pool of connections; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Body>,
}

impl Client {
    /// Idle connections kept to one host; more than a herd of distinct objects needs.
    const IDLE_PER_HOST_MAX: usize = 128;
    /// Shorter than our servers keep a connection, so that we never send into a closing one.
    const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

    /// A client that gives up connecting after `connect_timeout`.
    pub fn new(connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Self::IDLE_TIMEOUT)
            .pool_max_idle_per_host(Self::IDLE_PER_HOST_MAX)
            .http1_max_buf_size(512 << 10)
            .build(connector);
        Self { pool }
    }

    /// Sends `request` and waits at most `limit` for the header of the answer.
    pub async fn send(
        &self,
        request: ::http::Request<Body>,
        limit: Duration,
    ) -> Result<::http::Response<Incoming>, ClientError> {
        let host = request
            .uri()
            .authority()
            .map(|a| a.to_string())
            .unwrap_or_default();
        match tokio::time::timeout(limit, self.pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(ClientError::Unreachable {
                host,
                reason: chain(&error),
            }),
            Err(_) => Err(ClientError::Timeout { host, limit }),
        }
    }
}

/// The whole body, when it is at most `limit` bytes.
pub async fn read_all<B>(mut body: B, limit: usize) -> Result<Bytes, ClientError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ClientError::Body(e.into().to_string()))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(ClientError::TooLarge { limit });
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
