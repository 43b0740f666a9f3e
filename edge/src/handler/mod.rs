//! The public side: a request to an answer, from the cache where it can, by one shared fetch where
//! it must.

mod address;
mod streaming;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use service::{
    Clock,
    http::{Handler, Peer, Request, Response, preflight, text},
    readiness::Readiness,
};

use crate::{
    access_log::{AccessLog, Line},
    audience::{Audience, Sessions, cmcd},
    cache::{CacheEntry, decide::Decision},
    config::Network,
    metrics::{Metrics, Outcome},
    page::Page,
    request::{self, CacheRequest, Kind, Refusal},
    single_flight::{Fetches, Joined, State, Waiter, fetch::Fetcher},
    upstream::Failure,
};
use address::{AddressLimits, client_address};

const HIT: HeaderValue = HeaderValue::from_static("HIT");
const STALE: HeaderValue = HeaderValue::from_static("STALE");

/// Everything that answering needs; one per edge.
#[derive(Debug)]
pub struct RequestHandler {
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) fetches: Arc<Fetches>,
    pub(crate) page: Page,
    pub(crate) sessions: Sessions,
    pub(crate) audience: Audience,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) readiness: Readiness,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) public_readyz: bool,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) addresses: Option<Arc<AddressLimits>>,
    /// Requests so far, for telling when nothing comes any more.
    pub(crate) requests: AtomicU64,
}

impl RequestHandler {
    /// Limits of requests per address, if any.
    pub(crate) fn limits(per_address: Option<usize>) -> Option<Arc<AddressLimits>> {
        per_address.map(|limit| Arc::new(AddressLimits::new(limit)))
    }
}

/// An answer and how it came about.
struct Answered {
    kind: Kind,
    outcome: Outcome,
    response: Response,
}

/// The handler behind the listener.
#[derive(Debug, Clone)]
pub struct Public(pub(crate) Arc<RequestHandler>);

impl Handler for Public {
    async fn handle(&self, request: Request, peer: Peer) -> Response {
        self.0.answer(&request, peer).await
    }
}

impl RequestHandler {
    async fn answer(&self, request: &Request, peer: Peer) -> Response {
        self.requests.fetch_add(1, Relaxed);
        self.metrics.requests.inc();
        let query = request.uri().query();
        let report = cmcd::parse(query, request.headers());
        if let Some(report) = &report {
            self.sessions.note(report, &self.metrics, self.clock.now());
        }
        // Time and address are only taken where somebody wants them: a hit costs a microsecond.
        let logged = self.access_log.as_ref().map(|log| (log, self.clock.now()));
        let permit = match &self.addresses {
            Some(addresses) => {
                let client = client_address(request.headers(), peer, &self.trusted_proxies);
                match addresses.enter(client) {
                    Some(permit) => Some(permit),
                    None => return self.count(too_many_from_one()),
                }
            }
            None => None,
        };
        let parsed = check(request).and_then(|()| {
            request::parse(request.uri().path(), query).map_err(|refusal| refuse(&refusal))
        });
        let (key, answered) = match parsed {
            Ok(cache_request) => {
                let key = logged
                    .is_some()
                    .then(|| cache_request.key.clone().into_owned());
                (key, self.find(request, cache_request).await)
            }
            Err(response) => {
                let answered = Answered {
                    kind: Kind::Page,
                    outcome: Outcome::Refused,
                    response: *response,
                };
                (None, answered)
            }
        };
        let mut response = answered.response;
        if let Some(report) = report.as_ref().filter(|_| response.status().is_success()) {
            let now = self.clock.now();
            self.audience
                .note(request.uri().path(), report, &self.metrics, now);
        }
        self.metrics.answered(answered.kind, answered.outcome);
        if let Some((log, started)) = logged {
            log.write(Line {
                at: self.clock.wall(),
                client: client_address(request.headers(), peer, &self.trusted_proxies),
                method: if request.method() == Method::HEAD {
                    "HEAD"
                } else {
                    "GET"
                },
                key: key.unwrap_or_else(|| request.uri().path().chars().take(256).collect()),
                status: response.status().as_u16(),
                bytes: response.body().exact_length(),
                cache: answered.outcome.name(),
                took: self.clock.now().saturating_sub(started),
                session: report.and_then(|report| report.session),
            });
        }
        if let Some(permit) = permit {
            response = response.map(|body| body.holding(permit));
        }
        self.count(response)
    }

    fn count(&self, response: Response) -> Response {
        self.metrics.status(response.status());
        self.metrics
            .bytes
            .inc_by(response.body().exact_length().unwrap_or(0));
        response
    }

    async fn find(&self, request: &Request, cache_request: CacheRequest<'_>) -> Answered {
        let (method, headers) = (request.method(), request.headers());
        let kind = cache_request.kind;
        if kind == Kind::Page {
            let response = self.page_or_ready(&cache_request, method, headers);
            let found = response.status() != StatusCode::NOT_FOUND;
            let outcome = if found { Outcome::Hit } else { Outcome::Failed };
            return Answered {
                kind,
                outcome,
                response,
            };
        }
        let now = self.clock.now();
        if let Some(entry) = self.fresh(&cache_request, now) {
            let response = entry.respond(method, headers, now, HIT);
            return Answered {
                kind,
                outcome: Outcome::Hit,
                response,
            };
        }
        self.fetch(method, headers, cache_request).await
    }

    fn page_or_ready(
        &self,
        cache_request: &CacheRequest<'_>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Response {
        if self.public_readyz && cache_request.path() == "/readyz" {
            return match self.readiness.report().ready {
                true => text(StatusCode::OK, "ready"),
                false => text(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            };
        }
        self.page
            .respond(cache_request.path(), method, headers)
            .unwrap_or_else(|| {
                text(
                    StatusCode::NOT_FOUND,
                    "no such page; streams are under /hls/",
                )
            })
    }

    fn fresh(&self, cache_request: &CacheRequest<'_>, now: Duration) -> Option<Arc<CacheEntry>> {
        let entry = self.fetcher.memory.get(&cache_request.key)?;
        (entry.decide(now) == Decision::Fresh).then_some(entry)
    }

    async fn fetch(
        &self,
        method: &Method,
        headers: &HeaderMap,
        cache_request: CacheRequest<'_>,
    ) -> Answered {
        let kind = cache_request.kind;
        let started = self.clock.now();
        let joined = self.fetches.join(
            &cache_request.key,
            || self.fresh(&cache_request, self.clock.now()),
            |writer| {
                let fetcher = Arc::clone(&self.fetcher);
                tokio::spawn(fetcher.run(cache_request.clone().into_owned(), writer)).abort_handle()
            },
        );
        let waiter = match joined {
            Joined::Waiter(waiter) => waiter,
            Joined::Cached(entry) => {
                let response = entry.respond(method, headers, self.clock.now(), HIT);
                return Answered {
                    kind,
                    outcome: Outcome::Hit,
                    response,
                };
            }
            Joined::Full => {
                let response = busy("too many wait for this; ask again");
                return Answered {
                    kind,
                    outcome: Outcome::Refused,
                    response,
                };
            }
        };
        let state = waiter.answer().await;
        self.metrics
            .first_byte
            .observe(self.clock.now().saturating_sub(started).as_secs_f64());
        self.respond(method, headers, &cache_request, waiter, state)
    }

    fn respond(
        &self,
        method: &Method,
        headers: &HeaderMap,
        cache_request: &CacheRequest<'_>,
        waiter: Waiter,
        state: State,
    ) -> Answered {
        let kind = cache_request.kind;
        let (outcome, said) = match waiter.is_first {
            true => (Outcome::Miss, HeaderValue::from_static("MISS")),
            false => (Outcome::Coalesced, HeaderValue::from_static("COALESCED")),
        };
        let now = self.clock.now();
        match state {
            State::Done(entry) => {
                let response = entry.respond(method, headers, now, said);
                Answered {
                    kind,
                    outcome,
                    response,
                }
            }
            State::Arriving(partial) => {
                let response = streaming::stream(method, headers, partial, waiter, said);
                Answered {
                    kind,
                    outcome,
                    response,
                }
            }
            State::Failed(failure) => self.failed(method, headers, cache_request, &failure, now),
            State::Asking => {
                let failure = Failure::Unreachable("no answer".to_owned());
                self.failed(method, headers, cache_request, &failure, now)
            }
        }
    }

    /// Nobody could be asked: what is still of use is served, else the viewer is told to come back.
    fn failed(
        &self,
        method: &Method,
        headers: &HeaderMap,
        cache_request: &CacheRequest<'_>,
        failure: &Failure,
        now: Duration,
    ) -> Answered {
        let kind = cache_request.kind;
        if let Some(entry) = self.fetcher.usable(cache_request, now) {
            let response = entry.respond(method, headers, now, STALE);
            return Answered {
                kind,
                outcome: Outcome::Stale,
                response,
            };
        }
        let response = match failure {
            Failure::Unreachable(reason) => {
                static UNREACHABLE: service::log::RateLimited = service::log::RateLimited::new();
                if let Some(count) = UNREACHABLE.note(now) {
                    let key = &*cache_request.key;
                    tracing::warn!(key, reason, count, "no origin could answer");
                }
                busy("no origin can answer now; ask again")
            }
            Failure::Frozen => busy("the stream makes no progress; ask again"),
        };
        Answered {
            kind,
            outcome: Outcome::Failed,
            response,
        }
    }
}

/// Only plain reads are served.
fn check(request: &Request) -> Result<(), Box<Response>> {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return Err(Box::new(preflight())),
        _ => {
            let words = "only GET, HEAD and OPTIONS are served";
            let mut refused = closing(text(StatusCode::METHOD_NOT_ALLOWED, words));
            let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
            refused.headers_mut().insert(header::ALLOW, allow);
            return Err(Box::new(refused));
        }
    }
    let headers = request.headers();
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length != "0");
    if has_body {
        // A body on a read is at best a mistake and at worst a smuggled request.
        let words = "a read has no body";
        return Err(Box::new(closing(text(StatusCode::BAD_REQUEST, words))));
    }
    Ok(())
}

fn refuse(refusal: &Refusal) -> Box<Response> {
    let status = match refusal {
        Refusal::NoSuchPath => StatusCode::NOT_FOUND,
        Refusal::PathTooLong | Refusal::QueryTooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    };
    Box::new(text(status, refusal.to_string()))
}

fn busy(words: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn too_many_from_one() -> Response {
    let words = "too many requests of this address are open; close some";
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, words);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn closing(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
