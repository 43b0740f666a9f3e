//! What this process tells a collector.

use std::{sync::Arc, time::Duration};

use jobs::Queue;
use service::metrics::{IntCounter, IntGauge, IntGaugeVec, Registry};

use crate::progress::Progress;

/// The transcoder's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    slices: IntCounter,
    assets: IntCounter,
    media: IntCounter,
    failures: IntCounter,
    running: IntGauge,
    messages: IntGaugeVec,
}

impl Metrics {
    /// Defines them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            slices: registry.counter(
                "transcoder_slices_total",
                "slices",
                "Slices whose manifest this process wrote.",
            ),
            assets: registry.counter(
                "transcoder_assets_total",
                "assets",
                "Assets this process completed.",
            ),
            media: registry.counter(
                "transcoder_media_seconds_total",
                "seconds",
                "Seconds of media in those slices.",
            ),
            failures: registry.counter(
                "transcoder_failures_total",
                "jobs",
                "Jobs that failed here, given up or not.",
            ),
            running: registry.gauge(
                "transcoder_running_slices",
                "slices",
                "Slices being made now.",
            ),
            messages: registry.gauge_vec(
                "transcoder_queue_messages",
                "messages",
                "Messages in the queue: waiting, held by somebody, dead.",
                &["state"],
            ),
        }
    }

    /// Keeps them up to date; never ends.
    pub(crate) fn follow(
        &self,
        progress: Progress,
        queue: Arc<dyn Queue>,
        every: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let metrics = self.clone();
        async move {
            loop {
                metrics.take(&progress);
                if let Ok(depth) = queue.depth().await {
                    let states = [
                        ("waiting", depth.waiting),
                        ("held", depth.held),
                        ("dead", depth.dead),
                    ];
                    for (state, count) in states {
                        let count = i64::try_from(count).unwrap_or(i64::MAX);
                        metrics.messages.with_label_values(&[state]).set(count);
                    }
                }
                tokio::time::sleep(every).await;
            }
        }
    }

    fn take(&self, progress: &Progress) {
        let report = progress.report();
        let raise =
            |counter: &IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        raise(&self.slices, report.slices_done);
        raise(&self.assets, report.assets_done);
        raise(&self.media, report.media_seconds_done as u64);
        raise(&self.failures, report.failures_seen);
        self.running
            .set(i64::try_from(report.running.len()).unwrap_or(i64::MAX));
    }
}
