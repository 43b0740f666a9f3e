//! Accepts connections, limits them, and hands their requests to a handler until told to end.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::{
    Body, Limits, Metrics, Request, Response,
    connection_limits::{Activity, Connections, LimitedStream, Permit},
};
use crate::{
    clock::Clock,
    drain::{Phase, Retain, Watch},
    log::RateLimited,
};

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address at the other end of the connection.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// Turns requests into responses. Implemented by `Fn(Request, Peer) -> impl Future<Output =
/// Response>`.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Request, Peer) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send,
{
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send {
        self(request, peer)
    }
}

/// A byte stream that HTTP can run over.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// How a listener serves; everything but the listener, the handler and the end.
#[derive(Clone, Default)]
pub struct Server {
    /// What a connection may cost.
    pub limits: Limits,
    /// With it every connection is TLS, with ALPN for HTTP/2.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Figures, when somebody wants them.
    pub metrics: Option<Metrics>,
    /// Time.
    pub clock: Clock,
}

/// Serves until `drain` reaches `Closing` and the last connection has ended. While `Leaving` it
/// goes on accepting, but every HTTP/1.1 answer says `Connection: close` and HTTP/2 connections get
/// GOAWAY.
pub async fn serve<H: Handler>(listener: TcpListener, server: Server, handler: H, drain: Watch) {
    serve_over(listener, server, |stream| stream, handler, drain).await;
}

/// Like [`serve`], with `wrap` around each plain connection (TLS connections are not wrapped).
pub async fn serve_over<H, T, W>(
    listener: TcpListener,
    server: Server,
    wrap: W,
    handler: H,
    drain: Watch,
) where
    H: Handler,
    T: Transport,
    W: Fn(TcpStream) -> T + Send + Sync,
{
    let connections = Connections::new(server.clock.clone());
    if let Some(metrics) = &server.metrics {
        metrics
            .limit
            .set(i64::try_from(server.limits.connections_max).unwrap_or(i64::MAX));
    }
    let shared = Arc::new(Shared {
        server,
        connections,
        next_id: AtomicU64::new(1),
    });
    let all_ended = async {
        tokio::select! {
            () = accept(&listener, &shared, &wrap, &handler, &drain) => {}
            () = drain.reached(Phase::Closing) => {}
        }
        drop(listener);
        loop {
            let none_left = shared.connections.none_left.notified();
            let mut none_left = pin!(none_left);
            none_left.as_mut().enable();
            if shared.connections.count() == 0 {
                return;
            }
            none_left.await;
        }
    };
    let reaper = shared
        .connections
        .reap(shared.server.limits, shared.server.metrics.clone());
    tokio::select! {
        () = all_ended => {}
        () = reaper => {}
    }
}

struct Shared {
    server: Server,
    connections: Arc<Connections>,
    next_id: AtomicU64,
}

async fn accept<H, T, W>(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    wrap: &W,
    handler: &H,
    drain: &Watch,
) where
    H: Handler,
    T: Transport,
    W: Fn(TcpStream) -> T,
{
    static FAILED: RateLimited = RateLimited::new();
    static REFUSED: RateLimited = RateLimited::new();
    /// Out of file descriptors, most likely: give connections time to end.
    const PAUSE: Duration = Duration::from_millis(50);
    let clock = &shared.server.clock;
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(count) = FAILED.note(clock.now()) {
                    let remedy = "raise the file limit";
                    tracing::error!(%error, count, remedy, "cannot accept connections");
                }
                clock.sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; waiting for more to fill a packet would only add latency.
        let _ = stream.set_nodelay(true);
        // A system without it has the write timeout all the same.
        let silence_timeout = Some(shared.server.limits.silence_timeout);
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(silence_timeout);
        let limit = shared.server.limits.connections_max;
        match shared.connections.admit(limit) {
            Some(permit) => spawn(shared, wrap, handler, drain, stream, address, permit),
            None => {
                refuse(&stream, shared.server.tls.is_some());
                if let Some(metrics) = &shared.server.metrics {
                    metrics.refused.inc();
                }
                if let Some(count) = REFUSED.note(clock.now()) {
                    tracing::warn!(count, limit, "refused connections past the limit");
                }
            }
        }
    }
}

/// Says why, as far as that goes without waiting for anybody.
fn refuse(stream: &TcpStream, is_tls: bool) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
        Access-Control-Allow-Origin: *\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    if !is_tls {
        // A request that came with the connection must be read, or closing would reset the answer.
        let mut request = [0; 4096];
        let _ = stream.try_read(&mut request);
        let _ = stream.try_write(BUSY);
    }
}

fn spawn<H, T, W>(
    shared: &Arc<Shared>,
    wrap: &W,
    handler: &H,
    drain: &Watch,
    stream: TcpStream,
    address: SocketAddr,
    mut permit: Permit,
) where
    H: Handler,
    T: Transport,
    W: Fn(TcpStream) -> T,
{
    if let Some(metrics) = &shared.server.metrics {
        metrics.accepted.inc();
        metrics.connections.inc();
    }
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    permit.id = id;
    let activity = shared.connections.activity();
    let context = Context {
        activity: Arc::clone(&activity),
        handler: handler.clone(),
        drain: drain.clone(),
    };
    let connection = Connection {
        shared: Arc::clone(shared),
        context: Arc::new(context),
        address,
        _retain: drain.retain(),
        _permit: permit,
        _open: shared.server.metrics.clone().map(Open),
    };
    let tls = shared.server.tls.clone();
    if tls.is_some() {
        activity.handshake_started(shared.connections.coarse());
    }
    shared.connections.watch(id, activity, || match tls {
        Some(tls) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
            tokio::spawn(async move {
                match acceptor.accept(stream).await {
                    Ok(stream) => connection.run(stream, true).await,
                    Err(error) => tracing::debug!(%error, %address, "TLS handshake failed"),
                }
            })
        }
        None => tokio::spawn(connection.run(wrap(stream), false)),
    });
}

/// Counts an open connection down.
struct Open(Metrics);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// What the requests of one connection share.
struct Context<H> {
    activity: Arc<Activity>,
    handler: H,
    drain: Watch,
}

struct Connection<H> {
    shared: Arc<Shared>,
    context: Arc<Context<H>>,
    address: SocketAddr,
    _retain: Retain,
    _permit: Permit,
    _open: Option<Open>,
}

/// A request that is being answered; ends with its response body.
struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

impl<H: Handler> Context<H> {
    async fn answer(&self, request: Request, peer: Peer) -> ::http::Response<Tracked> {
        let http2 = request.version() == ::http::Version::HTTP_2;
        let is_head = request.method() == ::http::Method::HEAD;
        self.activity.request_started(http2);
        let in_flight = InFlight(Arc::clone(&self.activity));
        let mut response = self.handler.handle(request, peer).await;
        let has_length = !matches!(response.status().as_u16(), 204 | 304);
        if is_head
            && has_length
            && let Some(length) = response.body().exact_length()
        {
            // hyper derives it from a body that is sent; here none is.
            let length = ::http::HeaderValue::from(length);
            response
                .headers_mut()
                .entry(::http::header::CONTENT_LENGTH)
                .or_insert(length);
        }
        if !http2 && self.drain.is_leaving() {
            let close = ::http::HeaderValue::from_static("close");
            response
                .headers_mut()
                .insert(::http::header::CONNECTION, close);
        }
        response.map(|body| Tracked {
            body,
            _in_flight: in_flight,
        })
    }
}

impl<H: Handler> Connection<H> {
    async fn run<T: Transport>(self, stream: T, is_tls: bool) {
        self.context.activity.handshake_ended();
        let io = LimitedStream::new(stream, Arc::clone(&self.context.activity));
        let peer = Peer {
            address: self.address,
            is_tls,
        };
        let service = service_fn(|request: Request| {
            let context = Arc::clone(&self.context);
            async move { Ok::<_, std::convert::Infallible>(context.answer(request, peer).await) }
        });
        let builder = self.builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        // An HTTP/2 client can be told to leave without losing a request; one on HTTP/1.1 only with
        // an answer, so its idle connections stay until the listener closes.
        let told_to_leave = async {
            tokio::select! {
                () = self.context.drain.reached(Phase::Closing) => {}
                () = async {
                    self.context.drain.reached(Phase::Leaving).await;
                    self.context.activity.http2_seen.notified().await;
                } => {}
            }
        };
        let mut told_to_leave = pin!(told_to_leave);
        let (mut is_watching, mut is_told) = (false, false);
        let ended = poll_fn(|cx| {
            // Nobody is told before the drain's flag is up: until then one look, which has us woken
            // by it, is enough, and requests need not pay for more.
            let must_look = !is_watching || self.context.drain.is_leaving();
            if must_look && !is_told && told_to_leave.as_mut().poll(cx).is_ready() {
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
            is_watching = true;
            connection.as_mut().poll(cx)
        })
        .await;
        if let Err(error) = ended {
            tracing::debug!(%error, address = %self.address, "connection ended early");
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let limits = &self.shared.server.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // [`LimitedStream`] below hyper ends slow headers and idle connections.
            .header_read_timeout(None)
            .half_close(false)
            .max_buf_size(limits.header_bytes_max.max(8 << 10));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams_max)
            .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        builder
    }
}

/// A body that ends its request when it is dropped.
struct Tracked {
    body: Body,
    _in_flight: InFlight,
}

impl hyper::body::Body for Tracked {
    type Data = bytes::Bytes;
    type Error = super::BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, super::BodyError>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
