//! One HTTP client for whatever scheme a stream has.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use service::http::{Body, read_all};
use url::Url;

/// How long a plain answer may take.
pub const PLAIN_LIMIT: Duration = Duration::from_secs(10);

/// Largest answer: a segment of ten seconds at 50 Mb/s.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Largest playlist once unpacked: a window of hours is below this, a gzip bomb is not.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// Redirects followed, as browsers count them.
const REDIRECTS_MAX: usize = 10;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it came from, after redirects.
    pub url: Url,
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as it was sent.
    pub body: Bytes,
    /// From asking to the last byte.
    pub took: Duration,
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether the body is packed.
    pub fn is_gzip(&self) -> bool {
        self.header(header::CONTENT_ENCODING)
            .eq_ignore_ascii_case("gzip")
    }

    /// The body as text, unpacked.
    pub fn text(&self) -> String {
        if !self.is_gzip() {
            return String::from_utf8_lossy(&self.body).into_owned();
        }
        let mut bytes = Vec::new();
        // What cannot be unpacked is judged as far as it can.
        let _ = GzDecoder::new(&self.body[..])
            .take(TEXT_BYTES_MAX)
            .read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Asks; clones share connections.
#[derive(Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Fetcher {
    /// Trusts what the system trusts.
    pub fn new() -> Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(PLAIN_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .context("cannot read the system's certificates")?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client })
    }

    /// GET with everything a player would send; follows redirects.
    pub async fn get(&self, url: &Url, limit: Duration) -> Result<Answer> {
        let started = Instant::now();
        let mut url = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let asked = self.ask(&url, limit.saturating_sub(started.elapsed()));
            let mut answer = asked.await.with_context(|| format!("cannot fetch {url}"))?;
            let location = answer.header(header::LOCATION).to_owned();
            if !answer.status.is_redirection() || location.is_empty() {
                answer.took = started.elapsed();
                return Ok(answer);
            }
            url = url
                .join(&location)
                .with_context(|| format!("{location} is no URL"))?;
        }
        bail!("cannot fetch {url}: more than {REDIRECTS_MAX} redirects")
    }

    async fn ask(&self, url: &Url, limit: Duration) -> Result<Answer> {
        let request = http::Request::get(url.as_str())
            .header(header::ACCEPT_ENCODING, "gzip")
            .header(
                header::USER_AGENT,
                concat!("panocast-probe/", env!("CARGO_PKG_VERSION")),
            )
            .body(Body::empty())?;
        let whole = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body = read_all(body, BODY_BYTES_MAX).await?;
            anyhow::Ok((parts, body))
        };
        let (parts, body) = tokio::time::timeout(limit, whole)
            .await
            .with_context(|| format!("no answer within {limit:?}"))??;
        Ok(Answer {
            url: url.clone(),
            status: parts.status,
            headers: parts.headers,
            body,
            took: Duration::ZERO,
        })
    }
}
