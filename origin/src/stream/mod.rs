//! One stream: its publisher's place, its run, and what viewers see of it.
//!
//! ```text
//! Publication::push --lock--> Core { Timeline -> Packager <- ladder threads } --watch--> View per rendition
//! ```
//!
//! Everything that changes a stream takes its core's lock for the time of one access unit:
//! microseconds, with no IO inside. Viewers never take it; they read immutable views from channels.
//! Why a lock and no task with a queue: a queue would need a bound and a policy for a slow
//! consumer, and there is none here to be slow.

mod context;
mod core;
mod discontinuity_store;
mod events;
mod health;
mod immersive;
mod input_faults;
mod ladder;
mod paired;
mod publication;
mod recording;
mod registry;
mod run;
mod run_id;
mod rung;
mod view;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

use contract::{Info, StartedAt};
use hls::{Flavour, Multivariant, Snapshot, render_multivariant};
use serde_json::Value;
use service::http::{CacheControl, Content};
use tokio::sync::watch;
use tracing::info;

use self::{
    core::Core,
    ladder::{LadderReport, LadderSink},
};
use crate::{
    api::{Figures, StreamReport},
    config::StreamConfig,
    rfc3339::rfc3339,
};

pub use context::{Environment, PeerConfig, Publisher, unix_micros};
pub use discontinuity_store::{DiscontinuityStore, SEQUENCE_MAX};
pub use events::{Events, StreamEvent};
pub use publication::{Claim, Publication};
pub use registry::{Registry, TICK};
pub use run_id::generate as new_run_id;
pub use view::{View, playlist_content};

/// One stream.
#[derive(Debug)]
pub struct Stream {
    name: String,
    environment: Environment,
    core: Mutex<Core>,
    views: RwLock<BTreeMap<String, watch::Sender<Arc<View>>>>,
    front: RwLock<Front>,
    digests: pairing::Digests,
}

/// What is asked of the stream as a whole.
#[derive(Clone, Debug, Default)]
struct Front {
    shown: Option<Arc<Multivariant>>,
    web: Option<Content>,
    spatial: Option<Content>,
}

impl Stream {
    /// A stream that nobody publishes yet.
    pub fn new(name: &str, config: StreamConfig, environment: Environment) -> Arc<Self> {
        Arc::new_cyclic(|myself: &Weak<Self>| Self {
            name: name.to_owned(),
            core: Mutex::new(Core::new(
                name,
                config,
                environment.clone(),
                ladder_sink(myself.clone()),
            )),
            environment,
            views: RwLock::default(),
            front: RwLock::default(),
            digests: pairing::Digests::default(),
        })
    }

    /// Shows what an earlier process left of it, and waits for its publisher.
    pub fn restore(&self, restored: Arc<Snapshot>) {
        let mut core = self.core();
        core.restore(restored);
        self.publish(&mut core);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the publisher's connection; `false` when there is none.
    pub fn kick(&self, reason: &str) -> bool {
        self.core().kick(reason)
    }

    /// What happens to streams.
    #[cfg(test)]
    pub fn events(&self) -> &Events {
        &self.environment.events
    }

    /// Whether somebody publishes now.
    pub fn has_publisher(&self) -> bool {
        self.core().session().is_some()
    }

    /// Whether it should be locked to the other origin's and is not.
    pub fn is_unlocked(&self) -> bool {
        self.core().is_unlocked()
    }

    /// Whether there is a multivariant playlist of a run that has not ended.
    pub fn is_watchable(&self) -> bool {
        self.front().web.is_some() && !self.core().is_ended()
    }

    /// Whether the run is over and nothing of it need be served any more.
    pub fn is_over(&self) -> bool {
        self.core().is_over()
    }

    /// Tells the time; answers [`Stream::is_over`].
    pub fn tick(&self) -> bool {
        let mut core = self.core();
        core.tick();
        self.publish(&mut core);
        core.is_over()
    }

    /// Sends the publisher away and closes the recording; the playlists stay open.
    pub fn seal(&self) {
        let mut core = self.core();
        core.kick("the server is shutting down; reconnect");
        if let Some(run) = core.run() {
            run.close_recording();
        }
        self.publish(&mut core);
    }

    /// When the run started, RFC 3339; `null` before.
    pub fn started_at(&self) -> Value {
        self.core()
            .started_at()
            .map_or(Value::Null, |at| Value::String(rfc3339(at)))
    }

    /// What a player must know.
    pub fn info(&self) -> Info {
        let core = self.core();
        let run = core.run.as_ref();
        Info {
            rungs: run.map(|run| run.reprojected()).unwrap_or_default(),
            started_at: core.started_at().map(rfc3339).map(StartedAt::Text),
            state: Some(core.state().name().to_owned()),
            ..Info::new(self.name.as_str(), &core.immersive())
        }
    }

    /// What the publisher sends, as far as it can be counted; `None` without one.
    pub fn health(&self) -> Option<Figures> {
        let now = self.environment.clock.now();
        let core = self.core();
        core.session().map(|session| session.health.figures(now))
    }

    /// What an operator wants to know.
    pub fn report(&self) -> StreamReport {
        self.core().report()
    }

    /// Changes how the picture lies on the sphere, from the next segment on.
    pub fn set_immersive(&self, immersive: media::Immersive) {
        let mut core = self.core();
        core.set_immersive(immersive);
        self.publish(&mut core);
    }

    /// The multivariant playlist, once it exists.
    pub fn multivariant(&self, spatial: bool) -> Option<Content> {
        let front = self.front();
        if spatial {
            front.spatial.clone()
        } else {
            front.web.clone()
        }
    }

    /// A rendition's view and its successors, once it exists.
    pub fn view(&self, rendition: &str) -> Option<watch::Receiver<Arc<View>>> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.get(rendition).map(watch::Sender::subscribe)
    }

    /// The newest state of every rendition.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.core().snapshot()
    }

    /// Removed segments through `msn` are on disk: their memory is let go.
    pub fn release_through(&self, msn: u64) {
        let mut core = self.core();
        if let Some(run) = core.run() {
            run.release_through(msn);
            self.publish(&mut core);
        }
    }

    /// Whether to ask the peer about this stream now, and whether for audio too; then exactly one
    /// [`Stream::peer_answered`] must follow.
    pub fn peer_question(&self) -> Option<bool> {
        let mut core = self.core();
        let ask = core.peer_question();
        self.publish(&mut core);
        ask
    }

    /// What became of the question.
    pub fn peer_answered(&self, answer: Result<pairing::PeerStatus, pairing::PeerError>) {
        let mut core = self.core();
        core.peer_answered(answer);
        self.publish(&mut core);
    }

    /// What the peer is told; `None` without one.
    pub fn status_for_peer(
        &self,
        with_audio: bool,
        digests: Vec<pairing::SegmentDigest>,
    ) -> Option<pairing::PeerStatus> {
        self.core().status_for_peer(with_audio, digests)
    }

    /// Compares our segments with the peer's last answer.
    pub fn compare_digests(&self, digests: &[pairing::SegmentDigest]) {
        self.core().compare_digests(digests);
    }

    /// The newest segments' digests: takes milliseconds.
    pub fn segment_digests(&self) -> Vec<pairing::SegmentDigest> {
        let snapshot = self.snapshot();
        snapshot.map_or_else(Vec::new, |snapshot| self.digests.of(&snapshot))
    }

    /// A ladder's thread has something to say.
    fn ladder_report(&self, report: LadderReport) {
        let mut core = self.core();
        if let Some(run) = core.run() {
            run.ladder_report(report);
            self.publish(&mut core);
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic under this lock is a defect of ours; the stream goes on with what it has rather
        // than end them all.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn front(&self) -> Front {
        self.front
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows viewers what changed since the last time.
    fn publish(&self, core: &mut Core) {
        let Some(snapshot) = core.changed_snapshot() else {
            return;
        };
        for media in snapshot.renditions() {
            let view = Arc::new(View::new(Arc::clone(media)));
            let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(sender) = views.get(media.name()) {
                sender.send_if_modified(|old| {
                    let moved_on = view.moved_on(old);
                    *old = view;
                    moved_on
                });
                continue;
            }
            drop(views);
            let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
            views.insert(media.name().to_owned(), watch::Sender::new(view));
        }
        self.publish_front(&snapshot);
        self.environment.published.notify_one();
    }

    fn publish_front(&self, snapshot: &Snapshot) {
        let shown = snapshot.multivariant().cloned();
        if self
            .front
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .shown
            == shown
        {
            return;
        }
        let content = |flavour| {
            let text = render_multivariant(shown.as_deref()?, Some(&self.name), flavour);
            let target = snapshot
                .constants()
                .map_or(2, |constants| constants.target_duration);
            let seconds = u32::try_from(target / 2).unwrap_or(1).max(1);
            Some(playlist_content(
                text.into(),
                CacheControl::max_age(seconds).stale_if_error(0),
            ))
        };
        let (web, spatial) = (content(Flavour::Web), content(Flavour::Spatial));
        if web.is_some() && self.multivariant(false).is_none() {
            info!(stream = self.name, "stream can be watched");
        }
        *self.front.write().unwrap_or_else(PoisonError::into_inner) = Front {
            shown,
            web,
            spatial,
        };
    }
}

/// Where the ladders of a stream report; nowhere once the stream is gone.
fn ladder_sink(stream: Weak<Stream>) -> LadderSink {
    LadderSink::new(move |report| {
        if let Some(stream) = stream.upgrade() {
            stream.ladder_report(report);
        }
    })
}
