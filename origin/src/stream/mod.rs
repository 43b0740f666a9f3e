//! One stream: its publisher's place, its run, and what viewers see of it.
//!
//! ```text
//! Publication::push --lock--> Core { Timeline -> Packager <- ladder threads } --watch--> View per rendition
//! ```
//!
//! Everything that changes a stream takes its core's lock for the time of one access unit: microseconds, with no IO
//! inside. Viewers never take it; they read immutable views from channels. Why a lock and no task with a queue: a
//! queue would need a bound and a policy for a slow consumer, and there is none here to be slow.

mod core;
mod health;
mod immersive;
mod ladder;
mod paired;
mod run;
mod rung;
mod view;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use hls::{Flavour, Multivariant, Snapshot, render_multivariant};
use serde_json::{Value, json};
use service::{
    Clock,
    http::{CacheControl, Content},
};
use tokio::sync::{Notify, watch};
use tracing::info;

use self::core::Core;
use crate::{
    auth::OnConflict, config::StreamConfig, discontinuity_store::DiscontinuityStore,
    metrics::Metrics, pairing, recorder::Recorder, rfc3339::rfc3339,
};

pub use health::Figures;
pub use view::{View, playlist_content};

/// What a stream needs of the process around it; clones share it.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
    /// Where recordings go; `None` when this origin records nothing.
    pub recorder: Option<Recorder>,
    /// What must outlive the process.
    pub discontinuities: DiscontinuityStore,
    /// What this origin must know to share streams with its peer; `None` without one.
    pub peer: Option<PeerConfig>,
    /// Told whenever viewers of any stream can see something new.
    pub published: Arc<Notify>,
}

/// This origin's part in a pair.
#[derive(Clone, Copy, Debug)]
pub struct PeerConfig {
    /// How it cuts.
    pub settings: pairing::Settings,
    /// Wins ties.
    pub primary: bool,
}

/// Who publishes.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Where from.
    pub address: SocketAddr,
    /// What `connect` called itself.
    pub encoder: String,
}

/// The answer to a claim of the publisher's place.
pub enum Claim {
    /// It is yours until you drop this.
    Granted(Publication),
    /// Somebody else has it and keeps it.
    Taken {
        /// Since when, RFC 3339.
        since: String,
        /// From where.
        address: SocketAddr,
    },
}

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
        Arc::new_cyclic(|myself| Self {
            name: name.to_owned(),
            core: Mutex::new(Core::new(name, config, environment.clone(), myself.clone())),
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

    /// Takes the publisher's place.
    pub fn claim(self: &Arc<Self>, publisher: Publisher, policy: OnConflict) -> Claim {
        let mut core = self.core();
        if let Some(session) = core.session()
            && policy == OnConflict::Reject
        {
            let since = rfc3339(session.since);
            return Claim::Taken {
                since,
                address: session.publisher.address,
            };
        }
        let (kick, kicked) = watch::channel(None);
        let session = core.open_session(publisher, kick);
        drop(core);
        Claim::Granted(Publication {
            stream: Arc::clone(self),
            session,
            kicked,
        })
    }

    /// Ends the publisher's connection; `false` when there is none.
    pub fn kick(&self, reason: &str) -> bool {
        self.core().kick(reason)
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
    pub fn info(&self) -> Value {
        let core = self.core();
        let immersive = core.immersive();
        json!({
            "name": self.name,
            "projection": immersive.projection,
            "stereo": immersive.stereo,
            "yaw": immersive.orientation.yaw,
            "pitch": immersive.orientation.pitch,
            "roll": immersive.orientation.roll,
            "fov": immersive.fov,
            "rungs": core.run.as_ref().map(|run| run.reprojected()).unwrap_or_default(),
            "started_at": core.started_at().map(rfc3339),
            "state": core.state_name(),
        })
    }

    /// What the publisher sends, as far as it can be counted; `None` without one.
    pub fn health(&self) -> Option<Figures> {
        let now = self.environment.clock.now();
        let core = self.core();
        core.session().map(|session| session.health.figures(now))
    }

    /// What an operator wants to know.
    pub fn report(&self) -> Value {
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

    /// A ladder thread has something to tell.
    fn ladder_event(&self, generation: u64, event: encode::ladder::Event) {
        let mut core = self.core();
        if let Some(run) = core.run() {
            run.ladder_event(generation, event);
            self.publish(&mut core);
        }
    }

    /// A ladder has told everything.
    fn ladder_finished(&self, generation: u64) {
        let mut core = self.core();
        if let Some(run) = core.run() {
            run.ladder_finished(generation);
            self.publish(&mut core);
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A panic under this lock is a defect of ours; the stream goes on with what it has rather than end them all.
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
            let text = render_multivariant(shown.as_deref()?, &format!("{}/", self.name), flavour);
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

/// The publisher's place of a stream; dropping it leaves.
pub struct Publication {
    stream: Arc<Stream>,
    session: u64,
    kicked: watch::Receiver<Option<String>>,
}

impl Publication {
    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.stream.name
    }

    /// Hands over what the publisher sent; without effect once somebody else has taken over.
    pub fn push(&self, event: flv::Event, now: Duration) {
        let mut core = self.stream.core();
        if core.is_session(self.session) {
            core.push(event, now, self.stream.environment.clock.wall());
            self.stream.publish(&mut core);
        }
    }

    /// Counts a damaged tag that was skipped.
    pub fn note_damaged(&self) {
        self.stream.core().note_damaged(self.session);
    }

    /// Ends, with the reason, when the publisher must go.
    pub async fn kicked(&mut self) -> String {
        match self.kicked.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The stream dropped this session: somebody took over.
            Err(_) => "another publisher took over this stream".to_owned(),
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        let mut core = self.stream.core();
        core.close_session(self.session, self.stream.environment.clock.now());
        self.stream.publish(&mut core);
    }
}

/// Seconds since 1970 and microseconds, for numbering and program date times.
pub(crate) fn unix_micros(wall: SystemTime) -> i64 {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
