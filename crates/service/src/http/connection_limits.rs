//! Watches each connection from below hyper: how long it says nothing, sends a header in drips, or
//! takes none of the bytes it asked for. One reaper per server ends those past a limit.
//!
//! The hot path only stores into atomics and reads a coarse clock; no timer is armed per request.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    task::{AbortHandle, JoinHandle},
};

use super::limits::{Limits, Metrics};
use crate::Clock;

/// A blocked client that takes at least this much within the write timeout is slow, not stuck.
const PROGRESS_BYTES_MIN: u64 = 16 << 10;

/// What one connection has been doing. Times are milliseconds of the coarse clock, plus one; 0 =
/// no.
#[derive(Debug)]
pub(super) struct Activity {
    connections: Arc<Connections>,
    in_flight: AtomicU32,
    idle_since: AtomicU64,
    header_since: AtomicU64,
    blocked_since: AtomicU64,
    taken: AtomicU64,
    is_http2: AtomicBool,
    pub(super) http2_seen: Notify,
}

impl Activity {
    /// A TLS handshake counts as a header that has begun.
    pub(super) fn handshake_started(&self, now: u64) {
        self.header_since.store(now, Relaxed);
    }

    pub(super) fn handshake_ended(&self) {
        self.header_since.store(0, Relaxed);
    }

    pub(super) fn request_started(&self, http2: bool) {
        self.in_flight.fetch_add(1, Relaxed);
        self.header_since.store(0, Relaxed);
        if http2 && !self.is_http2.swap(true, Relaxed) {
            self.http2_seen.notify_one();
        }
    }

    pub(super) fn request_ended(&self) {
        let now = self.connections.coarse();
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.idle_since.store(now, Relaxed);
            self.header_since.store(0, Relaxed);
        }
    }

    fn read(&self, now: u64) {
        // On HTTP/2 bytes without a request are ordinary (acknowledgements, window updates).
        if self.in_flight.load(Relaxed) == 0
            && !self.is_http2.load(Relaxed)
            && self.header_since.load(Relaxed) == 0
        {
            self.header_since.store(now, Relaxed);
        }
    }

    fn wrote(&self, bytes: u64) {
        if self.blocked_since.load(Relaxed) != 0
            && self.taken.fetch_add(bytes, Relaxed) + bytes >= PROGRESS_BYTES_MIN
        {
            self.blocked_since.store(0, Relaxed);
        }
    }

    fn write_blocked(&self, now: u64) {
        if self.blocked_since.load(Relaxed) == 0 {
            self.taken.store(0, Relaxed);
            self.blocked_since.store(now, Relaxed);
        }
    }

    /// The limit this connection is past, if any.
    fn verdict(&self, now: u64, limits: &Limits) -> Option<&'static str> {
        let past = |since: u64, limit: Duration| {
            since != 0 && u128::from(now.saturating_sub(since)) >= limit.as_millis()
        };
        if past(self.blocked_since.load(Relaxed), limits.write_timeout) {
            return Some("write_timeout");
        }
        if self.in_flight.load(Relaxed) > 0 {
            return None;
        }
        if past(self.header_since.load(Relaxed), limits.header_timeout) {
            return Some("header_timeout");
        }
        past(self.idle_since.load(Relaxed), limits.idle_timeout).then_some("idle_timeout")
    }
}

/// All connections of one server.
#[derive(Debug)]
pub(super) struct Connections {
    clock: Clock,
    coarse: AtomicU64,
    open: Mutex<HashMap<u64, (Arc<Activity>, AbortHandle)>>,
    count: AtomicU64,
    pub(super) none_left: Notify,
}

impl Connections {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let connections = Self {
            clock,
            coarse: AtomicU64::new(1),
            open: Mutex::default(),
            count: AtomicU64::new(0),
            none_left: Notify::new(),
        };
        connections.tick();
        Arc::new(connections)
    }

    /// The coarse clock: milliseconds plus one, renewed by the reaper.
    pub(super) fn coarse(&self) -> u64 {
        self.coarse.load(Relaxed)
    }

    fn tick(&self) -> u64 {
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        self.coarse.store(now, Relaxed);
        now
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Takes a permit among at most `limit`; it is given back when the permit is dropped.
    pub(super) fn admit(self: &Arc<Self>, limit: usize) -> Option<Permit> {
        let taken = self.count.fetch_add(1, Relaxed);
        let permit = Permit {
            connections: Arc::clone(self),
            id: 0,
        };
        (taken < limit as u64).then_some(permit)
    }

    pub(super) fn activity(self: &Arc<Self>) -> Arc<Activity> {
        Arc::new(Activity {
            connections: Arc::clone(self),
            in_flight: AtomicU32::new(0),
            idle_since: AtomicU64::new(self.coarse()),
            header_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            http2_seen: Notify::new(),
        })
    }

    /// Starts a connection's task and watches it. The list stays locked meanwhile, so that a task
    /// that ends at once still finds its entry to remove.
    pub(super) fn watch(
        &self,
        id: u64,
        activity: Arc<Activity>,
        spawn: impl FnOnce() -> JoinHandle<()>,
    ) {
        let mut open = self.lock();
        open.insert(id, (activity, spawn().abort_handle()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (Arc<Activity>, AbortHandle)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends connections past a limit, for as long as it is polled.
    pub(super) async fn reap(&self, limits: Limits, metrics: Option<Metrics>) {
        let shortest = limits
            .header_timeout
            .min(limits.idle_timeout)
            .min(limits.write_timeout);
        let every = (shortest / 4).clamp(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            self.clock.sleep(every).await;
            let now = self.tick();
            for (activity, abort) in self.lock().values() {
                if let Some(reason) = activity.verdict(now, &limits) {
                    abort.abort();
                    if let Some(metrics) = &metrics {
                        metrics.reaped.with_label_values(&[reason]).inc();
                    }
                }
            }
        }
    }
}

/// One connection's permit; dropped when it ends, however it ends.
#[derive(Debug)]
pub(super) struct Permit {
    connections: Arc<Connections>,
    pub(super) id: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.id != 0 {
            self.connections.lock().remove(&self.id);
        }
        if self.connections.count.fetch_sub(1, Relaxed) == 1 {
            self.connections.none_left.notify_waiters();
        }
    }
}

/// A transport that tells its [`Activity`] what happens.
pub(super) struct LimitedStream<T> {
    inner: T,
    activity: Arc<Activity>,
}

impl<T> LimitedStream<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>) -> Self {
        LimitedStream { inner, activity }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.activity.wrote(*bytes as u64),
            Poll::Pending => self
                .activity
                .write_blocked(self.activity.connections.coarse()),
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LimitedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if result.is_ready() && buffer.filled().len() > before {
            self.activity.read(self.activity.connections.coarse());
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LimitedStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if flushed.is_ready() {
            // hyper flushes once it has written all it has: nothing waits for the client any more.
            self.activity.blocked_since.store(0, Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
