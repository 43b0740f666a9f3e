//! The operator's page on the admin listener, and the one answer that it draws.
//!
//! ```text
//! streams ──each second──► history ─┐
//! edges, transcoders ──each 2 s────►├─► overview (JSON) ──► page: plots, alarms, map, tables
//! reports, recordings ──when asked──┘
//! ```
//!
//! `GET /` is the page: one self-contained document, see `page`. It asks `GET /api/overview` once a
//! second with the operator's token and `GET /api/streams/<stream>/still` for a picture now and
//! then. Nothing here touches the media path: a stream is asked for figures that it has anyway.

mod alarms;
mod conformance;
mod fleet_status;
mod history;
mod page;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use service::{
    Clock, Secret,
    admin::{AdminRequest, AdminResponse, Routes},
    readiness::Readiness,
};

pub use conformance::ConformanceChecks;

use crate::{
    api::StreamEntry,
    config::OperatorConfig,
    recorder::Recorder,
    stream::{Registry, Stream},
    thumbnail::Thumbnails,
};
use fleet_status::FleetStatus;
use history::Histories;

/// One sample of history: fine enough to see a hiccup, coarse enough to keep ten minutes of it.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What the page speaks for; clones share it.
#[derive(Clone)]
pub struct Operator {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Arc<Registry>,
    recorder: Option<Recorder>,
    conformance: ConformanceChecks,
    readiness: Readiness,
    clock: Clock,
    player: Option<String>,
    fleet_status: FleetStatus,
    histories: Mutex<Histories>,
    thumbnails: Arc<Thumbnails>,
}

/// What else of the origin the page shows.
pub struct Sources {
    /// The streams.
    pub registry: Arc<Registry>,
    /// Recordings, if this origin records.
    pub recorder: Option<Recorder>,
    /// Rules that our playlists broke.
    pub conformance: ConformanceChecks,
    /// Whether we want traffic.
    pub readiness: Readiness,
    /// Pictures of the streams.
    pub thumbnails: Arc<Thumbnails>,
    /// Shown to edges and transcoders that demand a token.
    pub token: Option<Secret>,
    /// The time.
    pub clock: Clock,
}

impl Operator {
    /// Knows nothing yet.
    pub fn new(config: &OperatorConfig, sources: Sources) -> Self {
        let fleet_status = FleetStatus::new(config, sources.token, sources.clock.clone());
        Self {
            shared: Arc::new(Shared {
                registry: sources.registry,
                recorder: sources.recorder,
                conformance: sources.conformance,
                readiness: sources.readiness,
                clock: sources.clock,
                player: config.player.clone(),
                fleet_status,
                histories: Mutex::default(),
                thumbnails: sources.thumbnails,
            }),
        }
    }

    /// Samples and asks around, for ever.
    pub async fn run(self) {
        let sampling = async {
            loop {
                self.shared.clock.sleep(SAMPLE_EVERY).await;
                let streams = self.shared.registry.streams();
                let figures = streams
                    .iter()
                    .map(|stream| (stream.name().to_owned(), stream.health()));
                self.histories().sample(figures);
            }
        };
        tokio::join!(sampling, self.shared.fleet_status.run());
    }

    /// Adds the page and what it asks for.
    pub fn routes(&self, routes: Routes) -> Routes {
        let (overview, still) = (self.clone(), self.clone());
        let routes = routes
            .add(
                Method::GET,
                "/api/overview",
                move |request: AdminRequest| {
                    let since = request.query.strip_prefix("since=");
                    let reply = overview.overview(since.and_then(|since| since.parse().ok()));
                    async move { AdminResponse::json(&reply) }
                },
            )
            .add(
                Method::GET,
                "/api/streams/{stream}/still",
                move |request: AdminRequest| {
                    let operator = still.clone();
                    async move { operator.still(&request).await }
                },
            );
        match page::page() {
            Some(page) => routes.page(page),
            None => routes,
        }
    }

    /// What a stream says of itself, what its playlists look like from outside, and who watches.
    pub fn report(&self, stream: &Stream) -> StreamEntry {
        StreamEntry {
            stream: stream.report(),
            conformance: self.shared.conformance.report(stream.name()),
            audience: self.shared.fleet_status.audience(stream.name()),
            history: None,
        }
    }

    /// Everything the page shows; of the histories what came after sample `since`.
    fn overview(&self, since: Option<u64>) -> Value {
        let shared = &self.shared;
        let histories = self.histories();
        let mut streams = Vec::new();
        let mut alarms = Vec::new();
        for stream in shared.registry.streams() {
            let mut entry = self.report(&stream);
            let history = histories.of(stream.name());
            alarms.extend(alarms::of_stream(&entry, history));
            entry.history = history.map(|history| histories.report(history, since));
            streams.push(entry);
        }
        let recordings = shared.recorder.as_ref().map(Recorder::status);
        let (edges, transcoders) = shared.fleet_status.report();
        alarms.extend(alarms::of_recordings(
            recordings.as_deref().unwrap_or_default(),
        ));
        alarms.extend(alarms::of_fleet(&edges, &transcoders));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "sample": histories.newest(),
            "readiness": shared.readiness.report(),
            "player": shared.player,
            "streams": streams,
            "recordings": recordings,
            "edges": edges,
            "transcoders": transcoders,
            "alarms": alarms,
            "events": shared.registry.events().recent(),
        })
    }

    async fn still(&self, request: &AdminRequest) -> AdminResponse {
        let found = request.params.first();
        let Some(stream) = found.and_then(|name| self.shared.registry.find(name)) else {
            return AdminResponse::problem(StatusCode::NOT_FOUND, "no such stream");
        };
        match self.shared.thumbnails.of(&stream).await {
            Some(jpeg) => AdminResponse::bytes("image/jpeg", jpeg),
            None => AdminResponse::problem(StatusCode::NOT_FOUND, "the stream has no picture yet"),
        }
    }

    fn histories(&self) -> std::sync::MutexGuard<'_, Histories> {
        let histories = self.shared.histories.lock();
        histories.unwrap_or_else(PoisonError::into_inner)
    }
}
