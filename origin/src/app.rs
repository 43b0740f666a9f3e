//! Config to a running origin: build binds every listener, run serves until told to end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use service::{
    Clock,
    admin::{self, AdminRequest, AdminResponse, AdminState, Routes},
    drain,
    http::{Limits, Server, serve},
    interruption::{Cause, Source, Trigger},
    metrics::Registry as MetricsRegistry,
    notify,
    readiness::Readiness,
};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{
    config::{Config, ImmersiveConfig},
    http::Http,
    ingest::Ingest,
    metrics::Metrics,
    operator::{self, ConformanceChecks, Operator},
    peer::{PeerPoller, PeerServer},
    recorder::Recorder,
    segment_store::SegmentStore,
    stream::{DiscontinuityStore, Environment, PeerConfig, Registry, Stream, StreamEvent, TICK},
    thumbnail::Thumbnails,
};

/// After the publishers have been sent away, answers in flight get this long; blocked requests end
/// by themselves.
const HTTP_GRACE: Duration = Duration::from_secs(10);

/// With a deadline, sealing starts this long before it: uploads of open parts take seconds.
const SEAL_BEFORE_DEADLINE: Duration = Duration::from_secs(30);

/// Without a deadline, sealing takes at most this long: what is left is finished by the next start.
const SEAL_MAX: Duration = Duration::from_secs(60);

/// Where an origin listens, with the ports the system chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Publishers.
    pub rtmp: SocketAddr,
    /// Edges and viewers.
    pub http: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

/// A built origin: every address is bound, nothing is served yet.
pub struct App {
    config: Arc<Config>,
    clock: Clock,
    rtmp: TcpListener,
    http: TcpListener,
    admin: admin::Bound,
    tls: Option<Arc<rustls::ServerConfig>>,
    metrics_registry: MetricsRegistry,
    metrics: Metrics,
    recorder: Option<Recorder>,
    registry: Arc<Registry>,
    segment_store: SegmentStore,
    addresses: Addresses,
}

impl App {
    /// Binds what `config` names. Fails early: an origin that cannot do what it was told does not
    /// start.
    pub async fn build(config: Config, recorder: Option<Recorder>, clock: Clock) -> Result<Self> {
        encode::init();
        let rtmp = bind(config.rtmp_listen, "rtmp_listen").await?;
        let http = bind(config.http_listen, "http_listen").await?;
        let admin = admin::bind(admin::Config {
            listen: config.admin_listen,
            token: config.admin_token.clone(),
        })?;
        let tls = config
            .tls
            .as_ref()
            .map(service::http::TlsConfig::build)
            .transpose()?;
        let addresses = Addresses {
            rtmp: rtmp.local_addr()?,
            http: http.local_addr()?,
            admin: admin.address(),
        };
        let metrics_registry = MetricsRegistry::new();
        let metrics = Metrics::new(&metrics_registry);
        let discontinuities = DiscontinuityStore::open(&config.state).with_context(|| {
            let folder = config.state.display();
            format!("cannot use {folder}; give this process the folder or set origin.state")
        })?;
        let environment = Environment {
            discontinuities,
            clock: clock.clone(),
            metrics: metrics.clone(),
            recorder: recorder.clone(),
            peer: peer_config(&config),
            events: Default::default(),
            published: Arc::default(),
        };
        if let Some(recorder) = &recorder {
            let (events, clock) = (environment.events.clone(), clock.clone());
            recorder.on_stored(move |stream, key| {
                let key = key.to_owned();
                events.tell(stream, StreamEvent::RecordingReady { key }, clock.wall());
            });
        }
        let config = Arc::new(config);
        let registry = Arc::new(Registry::new(Arc::clone(&config), environment));
        let segment_store = open_segment_store(&config, &registry, &clock, &metrics)?;
        Ok(Self {
            config,
            clock,
            rtmp,
            http,
            admin,
            tls,
            metrics_registry,
            metrics,
            recorder,
            registry,
            segment_store,
            addresses,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The streams, for whoever runs in the same process.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Serves until `notices` says to end; `trigger` lets the admin listener say it.
    pub async fn run(self, trigger: Trigger, mut notices: Source) -> Result<()> {
        if let Some(cause) = self.take_place(&mut notices).await? {
            info!(%cause, "origin ended before it had its address");
            return Ok(());
        }
        let (signal, watch) = drain::channel();
        let readiness = Readiness::new();
        let conformance = ConformanceChecks::new(self.metrics.clone(), self.clock.clone());
        let thumbnails = Arc::new(Thumbnails::default());
        let operator = self.operator(&conformance, &readiness, &thumbnails);
        let state = AdminState {
            registry: self.metrics_registry.clone(),
            readiness: readiness.clone(),
            drain: trigger,
            routes: routes(&self.registry, self.recorder.clone(), &operator),
        };
        self.warn_when_open();
        let (poller, peer_server) = self.pair();
        let _admin = self.admin.start(state)?;
        let ingest = Ingest {
            registry: Arc::clone(&self.registry),
            publish: Arc::new(self.config.publish.clone()),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            connections_max: self.config.max_connections,
        };
        let (ingest_signal, ingest_watch) = drain::channel();
        let ingest = tokio::spawn(ingest.serve(self.rtmp, ingest_watch));
        let server = Server {
            limits: Limits::default(),
            tls: self.tls,
            metrics: Some(service::http::Metrics::new(
                &self.metrics_registry,
                "origin",
            )),
            clock: self.clock.clone(),
        };
        let handler = Http::new(
            Arc::clone(&self.registry),
            self.segment_store.clone(),
            self.metrics.clone(),
            thumbnails,
            peer_server,
        );
        let segment_store = tokio::spawn(self.segment_store.run(Arc::clone(&self.registry)));
        let handle = move |request, peer| {
            let handler = handler.clone();
            async move { handler.handle(request, peer).await }
        };
        let http = tokio::spawn(serve(self.http, server, handle, watch));
        let ticker = tokio::spawn(tick(Arc::clone(&self.registry), self.clock.clone()));
        let checks = conformance.run(Arc::clone(&self.registry), readiness.clone());
        let checks = tokio::spawn(checks);
        let operator = tokio::spawn(operator.run());
        let poller = poller.map(|poller| tokio::spawn(poller.run()));
        let Addresses {
            rtmp,
            http: web,
            admin,
        } = self.addresses;
        info!(%rtmp, http = %web, %admin, "origin serves");
        notify::systemd("READY=1");

        let (cause, deadline) = notices.interrupted(|| readiness.set_weight(50)).await;
        readiness.unmet("drain", cause.to_string());
        notify::systemd("STOPPING=1");
        info!(%cause, "origin drains");
        if let Some(deadline) = deadline {
            // Publishers stay as long as the machine does: their encoders have nowhere better to go
            // before that.
            self.clock
                .sleep_until(deadline.saturating_sub(SEAL_BEFORE_DEADLINE))
                .await;
        }
        ingest_signal.close();
        self.registry.seal_all();
        let sealed = async {
            if let Some(recorder) = &self.recorder {
                recorder.settled().await;
            }
        };
        if tokio::time::timeout(SEAL_MAX, sealed).await.is_err() {
            warn!("recordings are not uploaded yet; the next start goes on with them");
        }
        signal.leave();
        signal.close();
        let _ = tokio::time::timeout(HTTP_GRACE, http).await;
        ticker.abort();
        segment_store.abort();
        checks.abort();
        operator.abort();
        poller.inspect(|poller| poller.abort());
        ingest.abort();
        info!("origin ended");
        Ok(())
    }

    /// Nobody can publish before the fixed address is here. Gives what interrupted it, if anything
    /// did.
    #[cfg(feature = "ec2")]
    async fn take_place(&self, notices: &mut Source) -> Result<Option<Cause>> {
        let (aws, metadata) = (&self.config.aws, &self.config.drain.metadata);
        tokio::select! {
            taken = crate::aws::take(aws, metadata, &self.clock) => taken.map(|()| None).map_err(Into::into),
            (cause, _) = notices.interrupted(|| {}) => Ok(Some(cause)),
        }
    }

    /// Without EC2's library no address can be configured.
    #[cfg(not(feature = "ec2"))]
    async fn take_place(&self, _: &mut Source) -> Result<Option<Cause>> {
        Ok(None)
    }

    /// Both ends of the talk with the other origin, if there is one.
    fn pair(&self) -> (Option<PeerPoller>, Option<PeerServer>) {
        let (Some(peer), Some(secret), Some(peer_config)) = (
            &self.config.peer,
            &self.config.peer_secret,
            peer_config(&self.config),
        ) else {
            return (None, None);
        };
        let poller = PeerPoller {
            peer: peer.clone(),
            secret: secret.clone(),
            registry: Arc::clone(&self.registry),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        };
        let server = PeerServer {
            secret: secret.clone(),
            registry: Arc::clone(&self.registry),
            settings: peer_config.settings,
            primary: peer_config.primary,
        };
        (Some(poller), Some(server))
    }

    fn operator(
        &self,
        conformance: &ConformanceChecks,
        readiness: &Readiness,
        thumbnails: &Arc<Thumbnails>,
    ) -> Operator {
        let sources = operator::Sources {
            registry: Arc::clone(&self.registry),
            recorder: self.recorder.clone(),
            conformance: conformance.clone(),
            readiness: readiness.clone(),
            thumbnails: Arc::clone(thumbnails),
            token: self.config.admin_token.clone(),
            clock: self.clock.clone(),
        };
        Operator::new(&self.config.operator, sources)
    }

    fn warn_when_open(&self) {
        if self.config.publish.keys.is_empty() && !self.addresses.rtmp.ip().is_loopback() {
            warn!(
                address = %self.addresses.rtmp,
                "anybody who reaches this address may publish: set [origin.publish] keys"
            );
        }
    }
}

/// This origin's part in a pair, if it has a peer.
fn peer_config(config: &Config) -> Option<PeerConfig> {
    config.peer.as_ref()?;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let hls = &config.hls;
    let settings = pairing::Settings {
        segment_target_ms: millis(hls.segment_target.0),
        part_target_ms: hls.low_latency.then(|| millis(hls.part_target.0)),
    };
    let primary = config.primary;
    Some(PeerConfig { settings, primary })
}

/// Opens the segment store and shows what an earlier process left there.
fn open_segment_store(
    config: &Arc<Config>,
    registry: &Registry,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<SegmentStore> {
    let folder = config.state.join("shelf");
    let told = || {
        let folder = folder.display();
        format!("cannot use {folder}; give this process the folder or set origin.state")
    };
    let segment_store =
        SegmentStore::open(&folder, Arc::clone(config), clock.clone(), metrics.clone());
    let segment_store = segment_store.with_context(told)?;
    for (name, restored) in segment_store.restore().with_context(told)? {
        registry.restore(&name, restored);
    }
    Ok(segment_store)
}

async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another {key} or stop who listens there")
    })
}

async fn tick(registry: Arc<Registry>, clock: Clock) {
    loop {
        clock.sleep(TICK).await;
        registry.tick();
    }
}

fn routes(registry: &Arc<Registry>, recorder: Option<Recorder>, operator: &Operator) -> Routes {
    let (judge, judge_one) = (operator.clone(), operator.clone());
    let (all, one, kicked, labelled) = (
        Arc::clone(registry),
        Arc::clone(registry),
        Arc::clone(registry),
        Arc::clone(registry),
    );
    operator
        .routes(Routes::new())
        .add(Method::GET, "/api/streams", move |_: AdminRequest| {
            let streams = all.streams();
            let list: Vec<_> = streams.iter().map(|one| judge.report(one)).collect();
            async move { AdminResponse::json(&list) }
        })
        .add(Method::GET, "/api/recordings", move |_: AdminRequest| {
            let list = recorder.as_ref().map(Recorder::status).unwrap_or_default();
            async move { AdminResponse::json(&list) }
        })
        .add(Method::GET, "/api/streams/{stream}", move |request: AdminRequest| {
            let found = request
                .params
                .first()
                .and_then(|name| one.find(name))
                .map(|stream| judge_one.report(&stream));
            async move { found.map_or_else(no_such_stream, |report| AdminResponse::json(&report)) }
        })
        .add(
            Method::DELETE,
            "/api/streams/{stream}/publisher",
            move |request: AdminRequest| {
                let found = request.params.first().and_then(|name| kicked.find(name));
                let reply = match found {
                    Some(stream) if stream.kick("an operator ended this publish") => {
                        AdminResponse::json(&serde_json::json!({ "kicked": stream.name() }))
                    }
                    Some(_) => {
                        AdminResponse::problem(StatusCode::CONFLICT, "the stream has no publisher now")
                    }
                    None => no_such_stream(),
                };
                async move { reply }
            },
        )
        .add(
            Method::PUT,
            "/api/streams/{stream}/immersive",
            move |request: AdminRequest| {
                let found = request.params.first().and_then(|name| labelled.find(name));
                let reply = found.map_or_else(no_such_stream, |stream| label(&stream, &request.body));
                async move { reply }
            },
        )
}

/// Sets how a stream's picture lies on the sphere; what the body leaves out has its default.
fn label(stream: &Stream, body: &[u8]) -> AdminResponse {
    let wanted = serde_json::from_slice::<ImmersiveConfig>(body)
        .map_err(|error| error.to_string())
        .and_then(|wanted| match wanted.fault() {
            Some(fault) => Err(fault),
            None => Ok(wanted),
        });
    match wanted {
        Ok(wanted) => {
            stream.set_immersive(wanted.into());
            AdminResponse::json(&stream.info())
        }
        Err(reason) => AdminResponse::problem(
            StatusCode::BAD_REQUEST,
            &format!("{reason}; send the keys of [origin.immersive] as JSON"),
        ),
    }
}

fn no_such_stream() -> AdminResponse {
    AdminResponse::problem(
        StatusCode::NOT_FOUND,
        "no such stream; GET /api/streams lists them",
    )
}
