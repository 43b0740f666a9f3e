//! Config to a running transcoder: build opens stores, queue and listener, run works until told to
//! end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use http::Method;
use jobs::Queue;
use serde_json::json;
use service::{
    Clock,
    admin::{self, AdminRequest, AdminResponse, AdminState, Routes},
    config::{Jobs, Stores},
    drain,
    interruption::{Source, Trigger},
    metrics::Registry,
    notify,
    readiness::Readiness,
};
use store::Store;

use crate::{Config, Worker, metrics::Metrics, progress::Progress};

/// Figures are brought up to date this often: a collector asks every 10 s or more.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// A drain without a deadline of its own keeps this much for giving slices back.
const CLOSING: Duration = Duration::from_secs(5);

/// Where a transcoder takes from and gives to.
#[derive(Clone, Debug)]
pub struct Backends {
    /// Recordings.
    pub ingest: Arc<dyn Store>,
    /// VOD.
    pub egress: Arc<dyn Store>,
    /// Jobs.
    pub queue: Arc<dyn Queue>,
}

impl Backends {
    /// Opens what the configuration names.
    pub async fn open(stores: &Stores, jobs: &Jobs) -> Result<Self> {
        let options = store::Options {
            endpoint: stores.endpoint.clone(),
            path_style: stores.path_style,
            region: stores.region.clone(),
            credentials: None,
        };
        let queue = jobs::Options {
            visibility: jobs.visibility.get(),
            max_receives: jobs.max_receives,
            endpoint: jobs.endpoint.clone(),
            region: jobs.region.clone(),
            credentials: None,
        };
        Ok(Self {
            ingest: store::open(&stores.ingest, &options).await?.into(),
            egress: store::open(&stores.egress, &options).await?.into(),
            queue: jobs::open(&jobs.queue, &queue).await?.into(),
        })
    }
}

/// A built transcoder: it takes no job yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    admin: admin::Bound,
    worker: Worker,
    queue: Arc<dyn Queue>,
    progress: Progress,
    registry: Registry,
    metrics: Metrics,
}

impl App {
    /// Binds what `config` names.
    pub fn build(config: Config, backends: Backends, clock: Clock) -> Result<Self> {
        encode::init();
        let admin = admin::bind(admin::Config {
            listen: config.admin_listen,
            token: config.admin_token.clone(),
        })
        .context("cannot start the admin listener")?;
        let progress = Progress::new(clock.clone());
        let Backends {
            ingest,
            egress,
            queue,
        } = backends;
        let settings = config.settings();
        let worker = Worker::new(ingest, egress, queue.clone(), settings, progress.clone())?;
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        Ok(Self {
            config,
            clock,
            admin,
            worker,
            queue,
            progress,
            registry,
            metrics,
        })
    }

    /// Where operators look.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// How the jobs are doing, for whoever runs in the same process.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Works until `notices` says to end; `trigger` lets the admin listener say it.
    pub async fn run(self, trigger: Trigger, mut notices: Source) -> Result<()> {
        let (signal, watch) = drain::channel();
        let readiness = Readiness::new();
        let address = self.admin.address();
        let _admin = self.admin.start(AdminState {
            registry: self.registry,
            readiness: readiness.clone(),
            drain: trigger,
            routes: routes(self.progress.clone(), self.queue.clone()),
        })?;
        let meter = self
            .metrics
            .follow(self.progress.clone(), self.queue, METRICS_EVERY);
        let meter = tokio::spawn(meter);
        let slots = self.config.slots();
        let worker = self.worker.clone();
        let working = tokio::spawn(async move { worker.run(slots, watch).await });
        tracing::info!(admin = %address, slots, "transcoder works");
        notify::systemd("READY=1");

        let (cause, deadline) = notices.interrupted(|| readiness.set_weight(50)).await;
        readiness.unmet("drain", cause.to_string());
        notify::systemd("STOPPING=1");
        let limit = self.config.drain.deadline.get().saturating_sub(CLOSING);
        let left = deadline.map_or(limit, |at| at.saturating_sub(self.clock.now()));
        tracing::info!(%cause, seconds = left.as_secs(), "transcoder drains");
        self.worker.set_deadline(left);
        signal.leave();
        working.await.context("cannot end the workers")?;
        signal.close();
        meter.abort();
        tracing::info!("transcoder ended");
        Ok(())
    }
}

fn routes(progress: Progress, queue: Arc<dyn Queue>) -> Routes {
    Routes::new().add(Method::GET, "/api/jobs", move |_: AdminRequest| {
        let (report, queue) = (progress.report(), queue.clone());
        async move {
            let (depth, dead) = (queue.depth().await, queue.dead_letters().await);
            let depth = match depth {
                Ok(depth) => {
                    json!({"waiting": depth.waiting, "held": depth.held, "dead": depth.dead})
                }
                Err(error) => json!({"error": error.to_string()}),
            };
            let dead = dead.unwrap_or_default();
            let dead: Vec<_> = dead
                .iter()
                .map(|letter| json!({"message": letter.body, "reason": letter.reason}))
                .collect();
            AdminResponse::json(&json!({"jobs": report, "queue": depth, "dead_letters": dead}))
        }
    })
}
