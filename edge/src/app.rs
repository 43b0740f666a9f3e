//! Config to a running edge: build binds every listener, run serves until told to end.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use service::{
    Clock,
    admin::{self, AdminRequest, AdminResponse, AdminState, Routes},
    http::{Limits, Server, serve_over},
    interruption::{Source, Trigger},
    metrics::Registry,
    notify,
    readiness::{Readiness, WEIGHT_FULL},
};
use store::Store;
use tokio::net::TcpListener;

use crate::{
    access_log::AccessLog,
    audience::{Audience, Sessions},
    cache::{DiskCache, MemoryCache},
    config::Config,
    drain,
    handler::{Public, RequestHandler},
    metrics::Metrics,
    page::Page,
    single_flight::{Bounds, Fetches, fetch::Fetcher, partial_body::Budget},
    upstream::Origins,
    vod::Vod,
    zero_copy::{Slabs, ZeroCopy},
};

/// How often sizes are looked at and room is made for what slow viewers hold.
const GAUGES_EVERY: Duration = Duration::from_millis(500);

/// Where an edge listens, with the ports the system chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Viewers.
    pub http: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

/// A built edge: every address is bound, nothing is served yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    listener: TcpListener,
    admin: admin::Bound,
    tls: Option<Arc<rustls::ServerConfig>>,
    registry: Registry,
    handler: Arc<RequestHandler>,
    addresses: Addresses,
}

impl App {
    /// Binds what `config` names. `egress` holds finished recordings; without it `/vod/` is empty.
    pub async fn build(
        config: Config,
        egress: Option<Arc<dyn Store>>,
        clock: Clock,
    ) -> Result<Self> {
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            let address = config.listen;
            format!("cannot listen on {address}; choose another edge.listen or stop who has it")
        })?;
        let admin = admin::bind(admin::Config {
            listen: config.admin_listen,
            token: config.admin_token.clone(),
        })?;
        let tls = config
            .tls
            .as_ref()
            .map(service::http::TlsConfig::build)
            .transpose()?;
        let registry = Registry::new();
        let handler = build_handler(&config, egress, &registry, &clock)?;
        let addresses = Addresses {
            http: listener.local_addr()?,
            admin: admin.address(),
        };
        Ok(Self {
            config,
            clock,
            listener,
            admin,
            tls,
            registry,
            handler,
            addresses,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// All figures.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Serves until `notices` says to end and the last answer has been sent; `trigger` lets the
    /// admin listener say it.
    pub async fn run(self, trigger: Trigger, mut notices: Source) -> Result<()> {
        let Self {
            config,
            clock,
            listener,
            admin,
            tls,
            registry,
            handler,
            addresses,
        } = self;
        let readiness = handler.readiness.clone();
        let state = AdminState {
            registry: registry.clone(),
            readiness: readiness.clone(),
            drain: trigger,
            routes: routes(&handler),
        };
        let _admin = admin.start(state)?;
        let (signal, watch) = service::drain::channel();
        let limits = Limits {
            connections_max: config.connections,
            idle_timeout: config.keep_alive.get(),
            ..Limits::default()
        };
        let metrics = Some(service::http::Metrics::new(&registry, "edge"));
        let server = Server {
            limits,
            tls,
            metrics,
            clock: clock.clone(),
        };
        let slabs = Arc::clone(&handler.fetcher.slabs);
        let wrap = move |stream| ZeroCopy::new(stream, Arc::clone(&slabs));
        let serving = tokio::spawn(serve_over(
            listener,
            server,
            wrap,
            Public(Arc::clone(&handler)),
            watch,
        ));
        let keeping = tokio::spawn(update_gauges(Arc::clone(&handler)));
        let origins = Arc::clone(&handler.fetcher.origins);
        let probing = tokio::spawn(async move { origins.probe().await });
        let fleet = fleet(&config, &clock).await?;
        tracing::info!(http = %addresses.http, admin = %addresses.admin, "edge serves");
        notify::systemd("READY=1");

        let (cause, deadline) = notices
            .interrupted(|| {
                tracing::warn!("rebalance recommended: half the weight, nothing else");
                readiness.set_weight(WEIGHT_FULL / 2);
            })
            .await;
        drain::drain(
            &handler,
            &signal,
            &fleet,
            &config.drain,
            &clock,
            &cause,
            deadline,
        )
        .await;
        keeping.abort();
        probing.abort();
        serving.abort();
        tracing::info!("edge ended");
        Ok(())
    }
}

fn build_handler(
    config: &Config,
    egress: Option<Arc<dyn Store>>,
    registry: &Registry,
    clock: &Clock,
) -> Result<Arc<RequestHandler>> {
    let metrics = Metrics::new(registry);
    let served_by = config.served_by();
    let memory = config.cache_memory.get();
    let origins = Origins::new(
        &config.origins,
        config.frozen_max.get(),
        clock.clone(),
        metrics.clone(),
    );
    let disk = match &config.cache_disk {
        Some(folder) => Some(
            DiskCache::open(folder, config.cache_disk_size.get()).with_context(|| {
                format!(
                    "cannot use cache_disk = {}; make it writable",
                    folder.display()
                )
            })?,
        ),
        None => None,
    };
    let folder = Some(config.player.as_path()).filter(|f| f.join("index.html").is_file());
    if folder.is_none() {
        let folder = &config.player;
        tracing::warn!(?folder, "no player page there: build it or set edge.player");
    }
    let page = Page::load(folder, &served_by)
        .with_context(|| format!("cannot read the player page from {:?}", config.player))?;
    let access_log = match &config.access_log {
        Some(path) => Some(AccessLog::open(path, metrics.clone()).with_context(|| {
            format!(
                "cannot write access_log = {}; make it writable",
                path.display()
            )
        })?),
        None => None,
    };
    let fetcher = Arc::new(Fetcher {
        origins: Arc::new(origins),
        vod: Vod::new(egress),
        // A quarter is for what is arriving, so that both together keep the bound.
        memory: Arc::new(MemoryCache::new(memory - memory / 4)),
        disk,
        slabs: Slabs::new(),
        budget: Budget::new(memory / 4),
        metrics: metrics.clone(),
        clock: clock.clone(),
        served_by,
        object_bytes_max: config.object_max.get(),
    });
    let bounds = Bounds {
        per_key: config.waiters_per_key,
        total: config.waiters,
    };
    Ok(Arc::new(RequestHandler {
        fetcher,
        fetches: Fetches::new(bounds),
        page,
        sessions: Sessions::default(),
        audience: Audience::default(),
        metrics,
        clock: clock.clone(),
        readiness: Readiness::new(),
        access_log,
        public_readyz: config.public_readyz,
        trusted_proxies: config.trusted_proxies.clone(),
        addresses: RequestHandler::limits(config.requests_per_address),
        requests: AtomicU64::new(0),
    }))
}

#[cfg(not(feature = "aws"))]
async fn fleet(_: &Config, _: &Clock) -> Result<drain::Standalone> {
    Ok(drain::Standalone)
}

#[cfg(feature = "aws")]
async fn fleet(config: &Config, clock: &Clock) -> Result<service::interruption::aws::Membership> {
    use service::interruption::aws::{Membership, Names};
    let drain = &config.drain;
    let names = Names {
        target_group_arn: drain.target_group_arn.clone(),
        auto_scaling_group: drain.auto_scaling_group.clone(),
        lifecycle_hook: drain.lifecycle_hook.clone(),
        instance_id: drain.instance_id.clone(),
        region: drain.region.clone(),
        endpoint: drain.endpoint.clone(),
    };
    Ok(Membership::find(names, &drain.metadata, clock.clone()).await?)
}

/// Keeps gauges and room up to date.
async fn update_gauges(handler: Arc<RequestHandler>) {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    loop {
        handler.clock.sleep(GAUGES_EVERY).await;
        let (metrics, fetcher) = (&handler.metrics, &handler.fetcher);
        let cached = fetcher.memory.weight();
        let pinned = fetcher.slabs.resident().saturating_sub(cached);
        fetcher.memory.make_room_for(pinned);
        metrics.pinned_bytes.set(number(pinned));
        metrics.cache_bytes.set(number(cached));
        metrics
            .cache_entries
            .set(number(fetcher.memory.count() as u64));
        metrics.filling_bytes.set(number(fetcher.budget.used()));
        metrics
            .disk_bytes
            .set(number(fetcher.disk.as_ref().map_or(0, DiskCache::weight)));
        metrics
            .waiting
            .set(number(handler.fetches.waiting() as u64));
        metrics
            .fetching
            .set(number(handler.fetches.under_way() as u64));
        metrics
            .viewers
            .set(number(handler.sessions.count(handler.clock.now()) as u64));
    }
}

fn routes(handler: &Arc<RequestHandler>) -> Routes {
    let (state, cleared) = (Arc::clone(handler), Arc::clone(handler));
    Routes::new()
        .add(Method::GET, "/api/edge", move |_: AdminRequest| {
            let report = report(&state);
            async move { AdminResponse::json(&report) }
        })
        .add(Method::DELETE, "/api/cache", move |_: AdminRequest| {
            cleared.fetcher.memory.clear();
            async { AdminResponse::json(&json!({ "cache": "empty" })) }
        })
}

fn report(handler: &RequestHandler) -> serde_json::Value {
    let fetcher = &handler.fetcher;
    let origins: Vec<_> = fetcher
        .origins
        .report()
        .into_iter()
        .map(|(url, up)| json!({ "url": url, "up": up }))
        .collect();
    json!({
        "origins": origins,
        "cache": { "bytes": fetcher.memory.weight(), "objects": fetcher.memory.count() },
        "viewers": handler.sessions.count(handler.clock.now()),
        "streams": handler.audience.report(handler.clock.now()),
        "waiting": handler.fetches.waiting(),
        "fetches": handler.fetches.under_way(),
        "readiness": handler.readiness.report(),
    })
}
