//! What a listener's connections may cost, and the figures that show how near to it they are.

use std::time::Duration;

use crate::metrics::{IntCounter, IntCounterVec, IntGauge, Registry};

/// What a connection may cost. The defaults suit a public listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; one past this gets 503 and is closed. 16 Ki idle ones cost about 200 MiB.
    pub connections_max: usize,
    /// All header bytes of a request; more is answered 431. Cookies and CMCD fit into 16 KiB.
    pub header_bytes_max: usize,
    /// From the first byte of a request to the end of its header: ends slow-loris clients.
    pub header_timeout: Duration,
    /// Between requests. Longer than the 60 s of load balancers and CDNs, so that they close first
    /// and never send a request into a connection we are closing.
    pub idle_timeout: Duration,
    /// A client that opens no room for the bytes that wait for it is ended after this, by the
    /// kernel: it has gone, or reads nothing.
    pub silence_timeout: Duration,
    /// A client that waits for its bytes but takes fewer than 16 KiB of them in this time is ended.
    /// Longer, because what slow clients take is seen late: a full send buffer of 4 MiB makes
    /// itself known only when a third of it is gone, and at 100 kb/s that takes almost two minutes.
    pub write_timeout: Duration,
    /// Streams a client may have open on one HTTP/2 connection.
    pub http2_streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16 << 10,
            header_bytes_max: 16 << 10,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            silence_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(120),
            http2_streams_max: 128,
        }
    }
}

/// The figures of one listener.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) connections: IntGauge,
    pub(super) accepted: IntCounter,
    pub(super) refused: IntCounter,
    pub(super) limit: IntGauge,
    pub(super) reaped: IntCounterVec,
}

impl Metrics {
    /// Defines them as `<component>_http_…`.
    pub fn new(registry: &Registry, component: &str) -> Self {
        let name = |rest: &str| format!("{component}_http_{rest}");
        Self {
            connections: registry.gauge(name("connections"), "connections", "Open connections."),
            accepted: registry.counter(
                name("connections_total"),
                "connections",
                "Connections accepted since the start.",
            ),
            refused: registry.counter(
                name("connections_refused_total"),
                "connections",
                "Connections answered 503 because the limit of open ones was reached.",
            ),
            limit: registry.gauge(
                name("connections_max"),
                "connections",
                "The configured limit of open connections.",
            ),
            reaped: registry.counter_vec(
                name("connections_reaped_total"),
                "connections",
                "Connections ended because a client was past a time limit.",
                &["reason"],
            ),
        }
    }
}
