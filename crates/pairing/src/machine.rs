//! Decides about one stream: publish as it comes, hold, join the peer's run, or begin one's own.
//!
//! ```text
//!            first unit / break / peer leads             decided
//! Passing --------------------------------> Holding -----------------> Passing
//!    ^  compare with every answer                |  join, own run, or go on as before
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use hls::{Boundary, LastPosition, Tracks};
use media::{AccessUnit, MediaKind, Timescale, timeline};

use crate::{
    ASK_HOLDING, ASK_LIVE, BACKOFF_MIN, Settings,
    history::{PublishHistory, PublishedKeyframe, fingerprint},
    pending::{Join, PendingMedia, PendingUnit, Reason, TimestampOffset},
    status::{PeerStatus, RunStatus, SegmentDigest, State, VERSION},
};

/// Audio kept for a hold that begins with the next keyframe, so that its segment has all of its
/// audio: encoders interleave within two seconds.
const RECENT_AUDIO_MAX: usize = 96;

/// A question that nobody answered for this long is lost with whoever asked it.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// Why two origins are not in step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The question reached nobody.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time: somebody may be there.
    #[error("the peer does not answer in time")]
    Slow,
    /// An answer that is not believed or not given.
    #[error("{0}")]
    Refused(String),
    /// Both say `primary = true`, or both `primary = false`.
    #[error("both origins say primary = {0}")]
    SameRole(bool),
    /// They cannot cut alike.
    #[error("the origins' segment or part targets differ")]
    Settings,
    /// The same media in two runs.
    #[error("the same stream under another name")]
    OtherRun,
    /// The publishers send different media.
    #[error("the origins receive different streams")]
    OtherMedia,
    /// A rendition is described differently.
    #[error(
        "the origins' init segments of {0} describe the stream differently: make their configurations equal"
    )]
    Inits(String),
    /// One URL has other bytes on the peer.
    #[error("segments of one name differ")]
    Segments,
}

/// A break in the timeline that the run must be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Break {
    /// The tracks from here on.
    pub tracks: Tracks,
    /// Its name.
    pub reason: &'static str,
}

/// What the stream must do next, in order.
#[derive(Debug)]
pub enum Output {
    /// Begin a run of its own, numbered at or above these.
    OwnRun {
        /// The first number, at least.
        msn: u64,
        /// The discontinuity sequence, at least.
        discontinuity_sequence: u64,
        /// Where viewers were left; its numbers are used then.
        last_position: Option<LastPosition>,
        /// The source.
        tracks: Tracks,
    },
    /// Begin with the peer's run.
    Join(Join, Tracks),
    /// The run goes on behind a discontinuity.
    Break(Break),
    /// Publish this; then say so with [`Pairing::placed`].
    Unit(PendingUnit),
}

/// What publishing a unit did.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// The segment that it opened.
    pub boundary: Option<Boundary>,
}

/// How two origins stand to each other over one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PairingState {
    /// Both publish one run.
    Locked,
    /// Media is held until it is decided whose run it joins.
    Holding,
    /// The peer answers, and carries something else or nothing.
    Apart,
    /// The peer does not answer.
    Alone,
}

fn in_words<S: serde::Serializer>(
    error: &Option<PeerError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}

/// For `/api/streams`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// How the two stand to each other.
    pub state: PairingState,
    /// While locked: whether this origin's numbers are followed.
    pub leads: Option<bool>,
    /// Seconds since the lock was made.
    pub locked_seconds: Option<u64>,
    /// There should be a lock, and there is none for half a minute.
    pub unlocked: bool,
    /// How much later than at the peer media arrives here.
    pub offset_ms: Option<i64>,
    /// Boundaries and segments found equal.
    pub agreements: u64,
    /// Boundaries and segments found different.
    pub disagreements: u64,
    /// Runs taken over from the peer.
    pub joins: u64,
    /// Why there is no lock, or what went wrong last; in words in JSON.
    #[serde(serialize_with = "in_words")]
    pub trouble: Option<PeerError>,
    /// Seconds since the peer last answered.
    pub heard_seconds: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Lock {
    pub(crate) since: Option<Duration>,
    pub(crate) is_leader: bool,
    pub(crate) offset_ms: Option<i64>,
    pub(crate) agreements: u64,
    pub(crate) disagreements: u64,
    /// Boundaries and digests up to here are compared.
    pub(crate) boundaries_to: u64,
    pub(crate) digests_to: u64,
    pub(crate) joins: u64,
    /// Whole segments in a row that differ.
    pub(crate) differing: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The last answer and when it came.
    pub(crate) status: Option<(PeerStatus, Duration)>,
    pub(crate) heard: Option<Duration>,
    pub(crate) refusals: u32,
    /// When the last question without an answer ended.
    pub(crate) failed: Option<(PeerError, Duration)>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Pairing {
    pub(crate) settings: Settings,
    pub(crate) primary: bool,
    pub(crate) history: PublishHistory,
    pub(crate) timestamp_offset: TimestampOffset,
    pub(crate) audio_timescale: Option<Timescale>,
    /// Ticks by which the timeline has followed the publisher's clock, and when that last changed.
    pub(crate) slewed: (i64, i64),
    pub(crate) slewed_at: Option<Duration>,
    pub(crate) pending: Option<PendingMedia>,
    pub(crate) outputs: VecDeque<Output>,
    /// When the peer was last known to carry this run too, or was told all it needs to.
    pub(crate) last_shared_at: Option<Duration>,
    /// When the publisher left, nobody else carried this run.
    pub(crate) left_exclusive: bool,
    pub(crate) recent_audio: VecDeque<PendingUnit>,
    pub(crate) rejoining: Option<Reason>,
    pub(crate) peer: Peer,
    pub(crate) lock: Lock,
    pub(crate) asked: Option<Duration>,
    pub(crate) next_ask: Duration,
    pub(crate) backoff: Duration,
    pub(crate) backoff_until: Duration,
    pub(crate) trouble: Option<PeerError>,
    /// Since when there should be a lock and is none.
    pub(crate) unlocked: Option<Duration>,
}

/// What the stream knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct LocalState<'a> {
    /// Its run, ended or not.
    pub run: Option<&'a RunStatus>,
    /// That run has ended.
    pub ended: bool,
    /// Somebody publishes.
    pub has_publisher: bool,
    /// The next number and the discontinuity sequence of runs before it that viewers have seen.
    pub shown_before: (u64, u64),
}

impl<'a> LocalState<'a> {
    pub(crate) fn open_run(&self) -> Option<&'a RunStatus> {
        self.run.filter(|_| !self.ended)
    }

    /// Everything below these numbers viewers may have seen here.
    pub(crate) fn shown(&self) -> (u64, u64) {
        let (msn, discontinuity_sequence) = self.shown_before;
        match self.run.filter(|run| run.served) {
            Some(run) => (
                run.next_msn.max(msn),
                run.discontinuity_sequence.max(discontinuity_sequence),
            ),
            None => self.shown_before,
        }
    }
}

impl Pairing {
    /// Knows nothing.
    pub fn new(settings: Settings, primary: bool) -> Self {
        Self {
            settings,
            primary,
            history: PublishHistory::default(),
            timestamp_offset: TimestampOffset::default(),
            audio_timescale: None,
            slewed: (0, 0),
            slewed_at: None,
            pending: None,
            outputs: VecDeque::new(),
            last_shared_at: None,
            left_exclusive: false,
            recent_audio: VecDeque::new(),
            rejoining: None,
            peer: Peer::default(),
            lock: Lock::default(),
            asked: None,
            next_ask: Duration::ZERO,
            backoff: BACKOFF_MIN,
            backoff_until: Duration::ZERO,
            trouble: None,
            unlocked: None,
        }
    }

    /// Takes the timeline's next unit; `has_run` says whether it could be published at once.
    pub fn take(
        &mut self,
        unit: AccessUnit,
        (now, wall): (Duration, SystemTime),
        timeline: &timeline::Stats,
        has_run: bool,
        tracks: &Tracks,
    ) {
        self.follow_audio(tracks);
        let slewed = (timeline.video.slewed_ticks, timeline.audio.slewed_ticks);
        if self.slewed != slewed {
            self.slewed = slewed;
            self.slewed_at = Some(now);
        }
        let named = unit.is_sync() || unit.kind == MediaKind::Audio;
        let hash = if named { fingerprint(&unit.payload) } else { 0 };
        let held = PendingUnit {
            unit,
            hash,
            wall,
            at: now,
            frame: timeline.video.frame_ticks,
        };
        if self.pending.is_none() && !has_run {
            self.begin(Reason::Start, now, tracks.clone(), Vec::new());
        }
        let opens = tracks.video.is_none() || held.unit.kind == MediaKind::Video;
        if self.pending.is_none()
            && opens
            && held.unit.is_sync()
            && let Some(reason) = self.rejoining.take()
        {
            let recent = self.recent_audio.drain(..).collect();
            self.begin(reason, now, tracks.clone(), recent);
        }
        if let Some(pending) = &mut self.pending {
            pending.push(held);
            return;
        }
        if held.unit.kind == MediaKind::Audio {
            if self.recent_audio.len() == RECENT_AUDIO_MAX {
                self.recent_audio.pop_front();
            }
            self.recent_audio.push_back(held.clone());
        }
        self.pass(held);
    }

    /// The timeline broke. `contested` says that only this origin may have seen it: its publisher
    /// was gone.
    pub fn broken(&mut self, mark: Break, now: Duration, local: LocalState<'_>, contested: bool) {
        self.recent_audio.clear();
        if self.pending.is_some() {
            // What is held belongs to the old timeline: it leaves first, as if there were no peer.
            self.proceed(local, now);
            self.outputs.push_back(Output::Break(mark));
            return;
        }
        let Some(run) = local.open_run() else {
            return;
        };
        let follows = !self.is_exclusive(now) && !self.lock.is_leader;
        if !contested {
            self.left_exclusive = !follows;
        }
        if !(contested || follows) {
            self.outputs.push_back(Output::Break(mark));
        } else if !self.is_lost(now) {
            self.begin(Reason::Break(mark.reason), now, mark.tracks, Vec::new());
        } else if self.may_continue(run, now) {
            self.outputs.push_back(Output::Break(mark));
        } else {
            self.begin_own_run(local, mark.tracks, None);
        }
    }

    /// How long the timeline has kept its rhythm.
    pub(crate) fn settled(&self, now: Duration) -> Duration {
        let since = self.slewed_at.map(|at| now.saturating_sub(at));
        since.unwrap_or(Duration::MAX)
    }

    /// The publisher is gone: nothing more comes that could be waited for.
    pub fn left(&mut self, local: LocalState<'_>, now: Duration) {
        if self.pending.is_some() {
            self.proceed(local, now);
        }
        self.rejoining = None;
        self.recent_audio.clear();
        self.left_exclusive = self.is_exclusive(now);
    }

    /// Whether media is held: then [`Pairing::tick`] after each unit.
    pub fn is_holding(&self) -> bool {
        self.pending.is_some()
    }

    /// The offset of audio is counted in its own timescale, which may change.
    fn follow_audio(&mut self, tracks: &Tracks) {
        let Some(track) = &tracks.audio else {
            return;
        };
        let from = self.audio_timescale.replace(track.timescale());
        if let Some(from) = from.filter(|from| *from != track.timescale()) {
            self.timestamp_offset.audio =
                from.rescale(self.timestamp_offset.audio, track.timescale());
        }
    }

    /// A unit that came out as [`Output::Unit`] is published.
    pub fn placed(&mut self, held: &PendingUnit, placed: Placed) {
        let unit = &held.unit;
        if unit.kind == MediaKind::Audio {
            self.history.record_audio(unit, held.hash);
        }
        let boundary = placed.boundary;
        if unit.is_sync() && (unit.kind == MediaKind::Video || boundary.is_some()) {
            self.history.record_keyframe(PublishedKeyframe {
                hash: held.hash,
                dts: unit.dts,
                pts: unit.pts,
                frame: held.frame,
                at: held.at,
                boundary,
            });
        }
    }

    /// The next thing to do, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether another origin may have what is missing here, under the same names: see
    /// `Packager::interrupt_incomplete`.
    pub fn is_shared(&self, now: Duration) -> bool {
        let spoken = |(status, at): &(PeerStatus, Duration)| {
            // Since then it may have taken our offer.
            let since = self
                .last_shared_at
                .is_none_or(|last_shared_at| last_shared_at <= *at);
            since && status.state == State::Waiting
        };
        let waits = self.peer.status.as_ref().is_some_and(spoken) && !self.is_lost(now);
        !self.is_exclusive(now) && !waits
    }

    /// Whether to ask now; then exactly one [`Pairing::answered`] must follow.
    pub fn ask(&mut self, now: Duration, local: LocalState<'_>) -> Option<bool> {
        let idle = !local.has_publisher && local.open_run().is_none();
        let waits = |asked: Duration| now.saturating_sub(asked) < QUESTION_MAX;
        if self.asked.is_some_and(waits) || idle || now < self.next_ask {
            return None;
        }
        self.asked = Some(now);
        Some(self.pending.is_some() || self.rejoining.is_some())
    }

    /// What became of the question.
    pub fn answered(
        &mut self,
        answer: Result<PeerStatus, PeerError>,
        now: Duration,
        local: LocalState<'_>,
    ) {
        self.asked = None;
        let pace = if self.pending.is_some() {
            ASK_HOLDING
        } else {
            ASK_LIVE
        };
        self.next_ask = now + pace;
        match answer {
            Ok(status) => {
                self.peer.heard = Some(now);
                self.peer.refusals = 0;
                self.peer.failed = None;
                self.trouble = None;
                let ours = local.open_run().map(|run| &run.run_id);
                let theirs = status
                    .run
                    .as_ref()
                    .filter(|_| status.state != State::Absent);
                if ours.is_some() && theirs.map(|run| &run.run_id) == ours {
                    self.last_shared_at = Some(now);
                }
                if self.pending.is_none() {
                    self.compare(&status, local, now);
                }
                if status.primary == self.primary {
                    self.trouble
                        .get_or_insert(PeerError::SameRole(self.primary));
                }
                self.peer.status = Some((status, now));
            }
            Err(trouble) => {
                self.peer.refusals += 1;
                self.trouble = Some(trouble.clone());
                self.peer.failed = Some((trouble, now));
            }
        }
        self.decide(local, now);
    }

    /// Time has passed.
    pub fn tick(&mut self, local: LocalState<'_>, now: Duration) {
        if self.is_lost(now) {
            self.lock.since = None;
        }
        self.decide(local, now);
        self.watch_lock(local, now);
    }

    /// The peer's constants for a run that has joined: `None` while it may still fix them,
    /// `Some(None)` when it will not.
    pub fn constants(&self, run_id: &str, now: Duration) -> Option<Option<hls::PlaylistConstants>> {
        if self.is_lost(now) {
            return Some(None);
        }
        let (status, _) = self.peer.status.as_ref()?;
        match &status.run {
            // Without media it will not come to fix any, and who leads does not wait for who
            // follows.
            Some(run) if run.run_id == run_id && run.constants.is_none() => {
                (status.state != State::Live || self.lock.is_leader).then_some(None)
            }
            Some(run) if run.run_id == run_id => Some(run.constants),
            _ => Some(None),
        }
    }

    /// What the peer is told. `sounds` says that it may join by this.
    pub fn status(
        &mut self,
        local: LocalState<'_>,
        now: Duration,
        sounds: bool,
        digests: Vec<SegmentDigest>,
    ) -> PeerStatus {
        let state = match (
            self.pending.is_some(),
            local.open_run(),
            local.has_publisher,
        ) {
            (true, _, _) => State::Holding,
            (_, Some(_), true) => State::Live,
            (_, Some(_), false) => State::Waiting,
            _ => State::Absent,
        };
        if sounds && state == State::Live {
            self.last_shared_at = Some(now);
        }
        PeerStatus {
            version: VERSION,
            primary: self.primary,
            settings: self.settings,
            state,
            settled_ms: u64::try_from(self.settled(now).as_millis()).unwrap_or(u64::MAX),
            run: local.run.cloned().map(|run| RunStatus {
                // Where somebody else has carried the run, its viewers may be further.
                last_position: run
                    .last_position
                    .filter(|_| self.left_exclusive && state == State::Waiting),
                ..run
            }),
            marks: self.history.keyframe_marks(now, sounds),
            sounds: if sounds {
                self.history.audio_fingerprints()
            } else {
                Vec::new()
            },
            digests,
        }
    }

    /// For the operator.
    pub fn report(&self, now: Duration) -> Report {
        let seconds = |since: Duration| now.saturating_sub(since).as_secs();
        let locked = self.lock.since.filter(|_| self.pending.is_none());
        let state = match (&self.pending, locked, self.is_lost(now)) {
            (Some(_), _, _) => PairingState::Holding,
            (_, Some(_), _) => PairingState::Locked,
            (_, _, true) => PairingState::Alone,
            _ => PairingState::Apart,
        };
        Report {
            state,
            leads: locked.map(|_| self.lock.is_leader),
            locked_seconds: locked.map(seconds),
            unlocked: self.is_unlocked(now),
            offset_ms: self.lock.offset_ms.filter(|_| locked.is_some()),
            agreements: self.lock.agreements,
            disagreements: self.lock.disagreements,
            joins: self.lock.joins,
            trouble: self.trouble.clone(),
            heard_seconds: self.peer.heard.map(seconds),
        }
    }
}
