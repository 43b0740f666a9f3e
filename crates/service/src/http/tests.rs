use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

use super::*;
use crate::{drain, metrics::Registry};

async fn start<H: Handler>(
    server: Server,
    handler: H,
) -> (SocketAddr, drain::Signal, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (signal, watch) = drain::channel();
    let task = tokio::spawn(serve(listener, server, handler, watch));
    (address, signal, task)
}

async fn hello(_: Request, _: Peer) -> Response {
    Response::new(Body::full("hello"))
}

/// Reads one answer with `Content-Length` and gives header and body.
async fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.trim().parse().unwrap());
            if body.len() >= length {
                return (head, body.to_owned());
            }
        }
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "closed early after {text:?}");
        bytes.extend_from_slice(&buffer[..length]);
    }
}

async fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut rest).await;
    rest
}

fn impatient() -> Server {
    let short = Duration::from_millis(80);
    let limits = Limits {
        header_timeout: short,
        idle_timeout: short,
        write_timeout: short,
        ..Limits::default()
    };
    let metrics = Metrics::new(&Registry::new(), "test");
    Server {
        limits,
        metrics: Some(metrics),
        ..Server::default()
    }
}

#[tokio::test]
async fn keep_alive_connections_are_reused() {
    let (address, _signal, _task) = start(Server::default(), hello).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let (head, body) = read_answer(&mut stream).await;
        assert!(
            head.starts_with("http/1.1 200") && body == "hello",
            "{head}"
        );
    }
}

#[tokio::test]
async fn slow_headers_and_idle_connections_are_ended() {
    let server = impatient();
    let reaped = server.metrics.clone().unwrap().reaped;
    let (address, _signal, _task) = start(server, hello).await;
    let mut drip = TcpStream::connect(address).await.unwrap();
    drip.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    assert_eq!(ended(drip).await, b"");
    assert_eq!(reaped.with_label_values(&["header_timeout"]).get(), 1);
    let idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(ended(idle).await, b"");
    assert_eq!(reaped.with_label_values(&["idle_timeout"]).get(), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_ended() {
    let server = impatient();
    let reaped = server.metrics.clone().unwrap().reaped;
    let (dropped, mut told) = mpsc::channel::<()>(1);
    let handler = move |_, _| {
        let token = dropped.clone();
        let body = Body::full(vec![7; 64 << 20]).holding(token);
        async move { Response::new(body) }
    };
    let (address, _signal, task) = start(server, handler).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The handler's own sender goes with the server; the body's token with the connection.
    while reaped.with_label_values(&["write_timeout"]).get() == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert_eq!(told.recv().await, None);
}

#[tokio::test]
async fn a_client_that_opens_no_room_is_ended_long_before_a_slow_one_would_be() {
    let limits = Limits {
        silence_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let (dropped, mut told) = mpsc::channel::<()>(1);
    let handler = move |_, _| {
        let token = dropped.clone();
        let body = Body::full(vec![7; 64 << 20]).holding(token);
        async move { Response::new(body) }
    };
    let server = Server {
        limits,
        ..Server::default()
    };
    let (address, _signal, task) = start(server, handler).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The answer has begun, so the connection has the only token but the handler's own.
    stream.read_u8().await.unwrap();
    task.abort();
    assert_eq!(told.recv().await, None, "ended although nobody reads");
}

#[tokio::test]
async fn connections_past_the_limit_hear_503() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let (address, _signal, _task) = start(
        Server {
            limits,
            ..Server::default()
        },
        hello,
    )
    .await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    read_answer(&mut first).await;
    let second = TcpStream::connect(address).await.unwrap();
    let answer = String::from_utf8(ended(second).await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: 1"),
        "{answer}"
    );
}

#[tokio::test]
async fn headers_past_the_limit_hear_431() {
    let (address, _signal, _task) = start(Server::default(), hello).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
        "a".repeat(40 << 10)
    );
    let _ = stream.write_all(long.as_bytes()).await;
    let answer = String::from_utf8_lossy(&ended(stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight() {
    let (asked, mut was_asked) = mpsc::channel(1);
    let (answer, wait) = oneshot::channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let handler = move |_, _| {
        let (asked, wait) = (asked.clone(), Arc::clone(&wait));
        async move {
            asked.send(()).await.unwrap();
            let first = wait.lock().await.take();
            if let Some(wait) = first {
                wait.await.unwrap();
            }
            Response::new(Body::full(vec![b'x'; 1 << 20]))
        }
    };
    let (address, signal, task) = start(Server::default(), handler).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    was_asked.recv().await.unwrap();
    signal.leave();
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let (head, _) = read_answer(&mut late).await;
    assert!(
        head.contains("connection: close"),
        "still served, but told to go: {head}"
    );
    signal.close();
    answer.send(()).unwrap();
    let (head, body) = read_answer(&mut stream).await;
    assert!(
        head.contains("connection: close") && body.len() == 1 << 20,
        "{head}"
    );
    task.await.unwrap();
    signal.drained().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the listener is gone"
    );
}

#[tokio::test]
async fn http2_clients_get_goaway_and_their_answers() {
    let tls = TlsConfig::default().build().unwrap();
    let (address, signal, task) = start(
        Server {
            tls: Some(tls),
            ..Server::default()
        },
        hello,
    )
    .await;
    let (mut sender, connection) = h2_over_tls(address).await;
    let ended = tokio::spawn(connection);
    let request = |path: &str| {
        ::http::Request::get(format!("https://localhost{path}"))
            .body(Body::empty())
            .unwrap()
    };
    let response = sender.send_request(request("/")).await.unwrap();
    assert_eq!(response.version(), ::http::Version::HTTP_2);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    signal.leave();
    ended.await.unwrap().unwrap();
    signal.close();
    task.await.unwrap();
}

type H2 = hyper::client::conn::http2::SendRequest<Body>;

async fn h2_over_tls(
    address: SocketAddr,
) -> (H2, impl Future<Output = hyper::Result<()>> + Send + 'static) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream))
        .await
        .unwrap()
}

/// The test's own server signed its certificate itself.
#[derive(Debug)]
struct TrustAll(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn content() -> Content {
    let chunks = [
        Bytes::from_static(b"0123"),
        Bytes::from_static(b""),
        Bytes::from_static(b"456789"),
    ];
    Content::new(chunks, PLAYLIST_TYPE).with_etag("v1")
}

fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

async fn bytes_of(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn content_answers_ranges_across_chunks() {
    let response = content().respond(&Method::GET, &headers(header::RANGE, "bytes=2-5"));
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes 2-5/10");
    assert_eq!(bytes_of(response).await, "2345");
    let response = content().respond(&Method::GET, &headers(header::RANGE, "bytes=10-"));
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes */10");
    assert_eq!(
        bytes_of(content().respond(&Method::GET, &HeaderMap::new())).await,
        "0123456789"
    );
}

#[tokio::test]
async fn content_answers_head_and_conditions() {
    let response = content().respond(&Method::HEAD, &HeaderMap::new());
    assert_eq!(response.body().exact_length(), Some(10));
    assert_eq!(bytes_of(response).await, "");
    for value in ["\"v1\"", "W/\"v1\"", "\"v0\", \"v1\"", "*"] {
        let request = headers(header::IF_NONE_MATCH, value);
        let response = content().respond(&Method::GET, &request);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{value}");
        assert_eq!(response.headers()[header::ETAG], "\"v1\"");
    }
}

#[tokio::test]
async fn content_answers_gzip_where_accepted() {
    let text = "#EXTINF:2.0,\n".repeat(100);
    let content = Content::new([Bytes::from(text.clone())], PLAYLIST_TYPE)
        .with_etag(&etag_of(text.as_bytes()))
        .with_gzip(gzip(text.as_bytes()));
    let response = content.respond(&Method::GET, &headers(header::ACCEPT_ENCODING, "gzip"));
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
    assert!(
        response.headers()[header::ETAG]
            .to_str()
            .unwrap()
            .starts_with("W/\"")
    );
    assert!(bytes_of(response).await.len() < text.len() / 5);
    assert_eq!(
        bytes_of(content.respond(&Method::GET, &HeaderMap::new())).await,
        text
    );
}
