//! How an edge leaves its fleet: nobody is cut off, nobody is turned away while the balancer may
//! still send, and it ends in time.
//!
//! ```text
//! notice → not ready → deregister → serve on, saying "Connection: close" → quiet, or time is up
//!        → stop accepting → bodies in flight end → lifecycle action done → end
//! ```

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use service::{Clock, drain::Signal, interruption::Cause, notify};

use crate::{config::Drain, handler::RequestHandler};

/// How often "has anything come?" is asked.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Bodies in flight when nothing more is accepted get this long at least, if nobody hurries us.
const LAST_BODIES: Duration = Duration::from_secs(2);

/// What the fleet must be told.
pub trait Fleet: Send {
    /// Takes this instance out of its target group, and waits until nothing new is sent to it.
    fn deregister(&self) -> impl Future<Output = ()> + Send;
    /// Says that the instance may end.
    fn complete(&self) -> impl Future<Output = ()> + Send;
}

/// No fleet: one machine, or a balancer that only looks at readiness.
#[cfg(not(feature = "aws"))]
#[derive(Debug)]
pub struct Standalone;

#[cfg(not(feature = "aws"))]
impl Fleet for Standalone {
    async fn deregister(&self) {}
    async fn complete(&self) {}
}

/// Leaves. `deadline` is when the machine will be gone, if somebody said so.
pub async fn drain(
    handler: &Arc<RequestHandler>,
    signal: &Signal,
    fleet: &impl Fleet,
    config: &Drain,
    clock: &Clock,
    cause: &Cause,
    deadline: Option<Duration>,
) {
    let now = clock.now();
    let own = now + config.deadline.get();
    let end = deadline
        .map_or(own, |d| d.saturating_sub(config.margin.get()).min(own))
        .max(now);
    let left_s = (end - now).as_secs();
    tracing::info!(%cause, left_s, "leaving: not ready any more, serving on");
    notify::systemd("STOPPING=1");
    handler
        .readiness
        .unmet("drain", format!("leaving: {cause}"));
    handler.metrics.draining.set(1);
    signal.leave();
    tokio::select! {
        () = fleet.deregister() => {}
        () = clock.sleep_until(end) => tracing::warn!("deregistration has not ended in time"),
    }
    tokio::select! {
        () = quiet(handler, config.quiet.get(), clock) => {}
        () = clock.sleep_until(end) => {}
    }
    signal.close();
    let bodies_end = end.max(clock.now() + LAST_BODIES);
    tokio::select! {
        () = signal.drained() => tracing::info!("every answer has been sent"),
        () = clock.sleep_until(bodies_end) => {
            tracing::warn!(open = signal.held(), "time is up with connections open");
        }
    }
    fleet.complete().await;
}

/// Ends once no request has come for `quiet` and none is waiting.
async fn quiet(handler: &RequestHandler, quiet: Duration, clock: &Clock) {
    let mut last = handler.requests.load(Relaxed);
    let mut since = clock.now();
    loop {
        clock.sleep(POLL_EVERY.min(quiet)).await;
        let requests = handler.requests.load(Relaxed);
        if requests != last || handler.fetches.waiting() > 0 {
            last = requests;
            since = clock.now();
        } else if clock.now().saturating_sub(since) >= quiet {
            return;
        }
    }
}

#[cfg(feature = "aws")]
impl Fleet for service::interruption::aws::Membership {
    async fn deregister(&self) {
        service::interruption::aws::Membership::deregister(self).await;
    }

    async fn complete(&self) {
        service::interruption::aws::Membership::complete(self).await;
    }
}
