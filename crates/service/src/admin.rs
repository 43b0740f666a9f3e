//! The admin listener: health, readiness, metrics, drain, and what a role adds: JSON, and a page.
//!
//! It runs on its own thread with its own runtime, so that it answers while the data plane is
//! saturated. On loopback it is open; bound to anything else it demands a bearer token. The page
//! holds no figures of its own and comes without one: it asks its reader for the token instead.

mod browser;
mod page;

use std::{
    collections::HashMap, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration,
};

use ::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;

use crate::{
    config::Secret,
    drain,
    http::{self, Body, CacheControl, Limits, Response, Server},
    interruption::Trigger,
    metrics::Registry,
    readiness::Readiness,
};

pub use page::Page;

/// A request body larger than this is not for an admin call.
const BODY_BYTES_MAX: usize = 256 << 10;

/// An admin request must have been read, and answered, within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Demanded of every request when set; must be set beyond loopback.
    pub token: Option<Secret>,
}

/// Why the admin listener cannot start. The operator's to fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Open to the network without a token.
    #[error(
        "cannot listen on {0} without a token: anyone could drain this process; set admin_token, \
         or listen on 127.0.0.1"
    )]
    TokenMissing(SocketAddr),
    /// The address is taken or not ours.
    #[error("cannot listen on {0} for admin: {1}; choose another admin_listen")]
    Bind(SocketAddr, std::io::Error),
    /// No thread or runtime.
    #[error("cannot start the admin thread: {0}")]
    Thread(std::io::Error),
}

/// What a handler is given.
#[derive(Debug, Clone)]
pub struct AdminRequest {
    /// GET, POST, DELETE, …
    pub method: Method,
    /// The values of `{name}` pieces of the route, in order, percent-decoded by nobody.
    pub params: Vec<String>,
    /// The query, without the question mark.
    pub query: String,
    /// Request headers.
    pub headers: HeaderMap,
    /// Request body.
    pub body: Bytes,
}

/// What a handler answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminResponse {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl AdminResponse {
    /// 200 with `value` as JSON.
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(json) => Self::bytes("application/json", json),
            Err(error) => Self::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("cannot encode: {error}"),
            ),
        }
    }

    /// 200 with `body` as `content_type`.
    pub fn bytes(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body: body.into(),
        }
    }

    /// A status other than success, with the reason.
    pub fn problem(status: StatusCode, reason: &str) -> Self {
        let json = serde_json::json!({ "error": reason }).to_string();
        Self::bytes("application/json", json).with_status(status)
    }

    /// The same answer with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

type Answer = Pin<Box<dyn Future<Output = AdminResponse> + Send>>;
type Run = Arc<dyn Fn(AdminRequest) -> Answer + Send + Sync>;

/// The role's own routes.
#[derive(Clone, Default)]
pub struct Routes {
    list: Vec<(Method, Vec<String>, Run)>,
    page: Option<Arc<Page>>,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `method` on `pattern`, whose pieces are literal or `{name}` (such as
    /// `/api/streams/{stream}/publisher`). The handler runs on the admin thread: it must not wait
    /// for the data plane longer than a few seconds.
    pub fn add<F, Fut>(mut self, method: Method, pattern: &str, run: F) -> Self
    where
        F: Fn(AdminRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = AdminResponse> + Send + 'static,
    {
        let pieces = pattern
            .trim_matches('/')
            .split('/')
            .map(str::to_owned)
            .collect();
        self.list.push((
            method,
            pieces,
            Arc::new(move |request| Box::pin(run(request))),
        ));
        self
    }

    /// Serves `page` at `/`, to anybody who reaches the listener.
    pub fn page(mut self, page: Page) -> Self {
        self.page = Some(Arc::new(page));
        self
    }

    /// The handler for a path, with its parameters; or the methods that the path does have.
    fn find(&self, method: &Method, path: &str) -> Result<(Run, Vec<String>), Vec<Method>> {
        let pieces: Vec<&str> = path.trim_matches('/').split('/').collect();
        let mut others = Vec::new();
        for (candidate, pattern, run) in &self.list {
            let Some(params) = matches(pattern, &pieces) else {
                continue;
            };
            if candidate == method {
                return Ok((Arc::clone(run), params));
            }
            others.push(candidate.clone());
        }
        Err(others)
    }
}

fn matches(pattern: &[String], pieces: &[&str]) -> Option<Vec<String>> {
    if pattern.len() != pieces.len() {
        return None;
    }
    let mut params = Vec::new();
    for (pattern, piece) in pattern.iter().zip(pieces) {
        if pattern.starts_with('{') {
            params.push((*piece).to_owned());
        } else if pattern != piece {
            return None;
        }
    }
    Some(params)
}

/// What the built-in endpoints speak for.
#[derive(Clone)]
pub struct AdminState {
    /// Behind `/metrics`.
    pub registry: Registry,
    /// Behind `/readyz`.
    pub readiness: Readiness,
    /// Behind `POST /drain`.
    pub drain: Trigger,
    /// The role's own.
    pub routes: Routes,
}

/// A bound listener that answers nothing yet.
#[derive(Debug)]
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    token: Option<Secret>,
}

/// A serving listener; dropping it ends the thread.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    signal: drain::Signal,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Binds the listener, so that its address is known.
pub fn bind(config: Config) -> Result<Bound, Error> {
    if config.token.is_none() && !config.listen.ip().is_loopback() {
        return Err(Error::TokenMissing(config.listen));
    }
    let refuse = |error| Error::Bind(config.listen, error);
    let listener = std::net::TcpListener::bind(config.listen).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    Ok(Bound {
        listener,
        address,
        token: config.token,
    })
}

impl Bound {
    /// The address, with the port the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the thread.
    pub fn start(self, state: AdminState) -> Result<Running, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let (signal, watch) = drain::channel();
        let Self {
            listener,
            address,
            token,
        } = self;
        let context = Arc::new(Context { state, token });
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let listener = match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => listener,
                        Err(error) => {
                            tracing::error!(%error, "cannot serve admin");
                            return;
                        }
                    };
                    let server = Server {
                        limits: limits(),
                        ..Server::default()
                    };
                    let handler = move |request, _| answer(Arc::clone(&context), request);
                    http::serve(listener, server, handler, watch).await;
                });
            })
            .map_err(Error::Thread)?;
        Ok(Running {
            address,
            signal,
            thread: Some(thread),
        })
    }
}

/// Few clients, all ours.
fn limits() -> Limits {
    Limits {
        connections_max: 256,
        ..Limits::default()
    }
}

impl Running {
    /// The address, with the port the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the admin thread had failed");
        }
    }
}

struct Context {
    state: AdminState,
    token: Option<Secret>,
}

impl Context {
    fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .is_some_and(|candidate| token.matches(candidate))
    }
}

async fn answer(context: Arc<Context>, request: http::Request) -> Response {
    if let Some(reason) = browser::refusal(request.headers(), context.token.is_some()) {
        return reply(AdminResponse::problem(StatusCode::FORBIDDEN, &reason));
    }
    if let (&Method::GET, "/", Some(page)) = (
        request.method(),
        request.uri().path(),
        &context.state.routes.page,
    ) {
        return page.respond();
    }
    if !context.allows(request.headers()) {
        let mut response = reply(AdminResponse::problem(
            StatusCode::UNAUTHORIZED,
            "bearer token needed",
        ));
        let scheme = ::http::HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
        return response;
    }
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    match (&method, path.as_str()) {
        (&Method::GET | &Method::HEAD, "/healthz") => healthy(&context.state.readiness),
        (&Method::GET | &Method::HEAD, "/readyz") => ready(&context.state.readiness),
        (&Method::GET, "/metrics") => metrics(&context.state.registry),
        (&Method::POST, "/drain") => {
            context.state.drain.drain();
            let body = HashMap::from([("state", "draining")]);
            reply(AdminResponse::json(&body).with_status(StatusCode::ACCEPTED))
        }
        (_, "/healthz" | "/readyz" | "/metrics" | "/drain") => reply(AdminResponse::problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed here",
        )),
        _ => {
            let worked =
                tokio::time::timeout(ANSWER_TIMEOUT, routed(&context, method, request)).await;
            reply(worked.unwrap_or_else(|_| {
                AdminResponse::problem(
                    StatusCode::GATEWAY_TIMEOUT,
                    "the process did not answer in time",
                )
            }))
        }
    }
}

async fn routed(context: &Context, method: Method, request: http::Request) -> AdminResponse {
    let path = request.uri().path();
    let (run, params) = match context.state.routes.find(&method, path) {
        Ok(found) => found,
        Err(others) if others.is_empty() => {
            return AdminResponse::problem(StatusCode::NOT_FOUND, "no such path");
        }
        Err(others) => {
            let list: Vec<&str> = others.iter().map(Method::as_str).collect();
            let reason = format!("this path has {}", list.join(", "));
            return AdminResponse::problem(StatusCode::METHOD_NOT_ALLOWED, &reason);
        }
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (parts, body) = request.into_parts();
    let body = match http::read_all(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return AdminResponse::problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    run(AdminRequest {
        method,
        params,
        query,
        headers: parts.headers,
        body,
    })
    .await
}

/// Who answers is alive; what else there is to say follows on lines of its own.
fn healthy(readiness: &Readiness) -> Response {
    let mut words = vec!["ok".to_owned()];
    words.extend(readiness.remarks());
    http::text(StatusCode::OK, words.join("\n"))
}

fn ready(readiness: &Readiness) -> Response {
    let report = readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    reply(AdminResponse::json(&report).with_status(status))
}

fn metrics(registry: &Registry) -> Response {
    typed(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        registry.text(),
    )
}

fn reply(reply: AdminResponse) -> Response {
    typed(reply.status, reply.content_type, reply.body)
}

fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        ::http::HeaderValue::from_static(content_type),
    );
    headers.insert(header::CACHE_CONTROL, CacheControl::no_store().to_header());
    response
}
