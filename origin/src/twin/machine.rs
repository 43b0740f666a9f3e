//! The decision of one stream: publish as it comes, hold, join the peer's run, or begin one's own.
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

use hls::{Boundary, Tail, Tracks};
use media::{AccessUnit, Kind, Timescale, timeline};

use super::{
    ASK_HOLDING, ASK_LIVE, BACKOFF_MIN, Settings,
    facts::{DigestFacts, Facts, RunFacts, State, VERSION},
    hold::{Held, Hold, Join, Reason, Shift},
    mark::{Mark, Memory, fingerprint},
};

/// Sound kept for a hold that begins with the next keyframe, so that its segment has all of its sound:
/// encoders interleave within two seconds.
const RECENT_SOUND_MAX: usize = 96;

/// A question that nobody answered for this long is lost with whoever asked it.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// Why a question got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody there.
    Unreachable(String),
    /// No answer in time: somebody may be there.
    Slow,
    /// An answer that is not believed or not given.
    Refused(String),
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
    Own {
        /// The first number, at least.
        msn: u64,
        /// The discontinuity sequence, at least.
        discontinuity_sequence: u64,
        /// Where viewers were left; its numbers are used then.
        tail: Option<Tail>,
        /// The source.
        tracks: Tracks,
    },
    /// Begin with the peer's run.
    Join(Join, Tracks),
    /// The run goes on behind a discontinuity.
    Break(Break),
    /// Publish this; then say so with [`Twin::placed`].
    Unit(Held),
}

/// What publishing a unit did.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// The segment that it opened.
    pub boundary: Option<Boundary>,
}

/// For `/api/streams`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// `locked`, `apart`, `holding` or `alone`.
    pub state: &'static str,
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
    /// Why there is no lock, or what went wrong last.
    pub trouble: Option<String>,
    /// Seconds since the peer last answered.
    pub heard_seconds: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Lock {
    pub(super) since: Option<Duration>,
    pub(super) leads: bool,
    pub(super) offset_ms: Option<i64>,
    pub(super) agreements: u64,
    pub(super) disagreements: u64,
    /// Boundaries and digests up to here are compared.
    pub(super) boundaries_to: u64,
    pub(super) digests_to: u64,
    pub(super) joins: u64,
    /// Whole segments in a row that differ.
    pub(super) differing: u32,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The last answer and when it came.
    pub(super) facts: Option<(Facts, Duration)>,
    pub(super) heard: Option<Duration>,
    pub(super) refusals: u32,
    /// When the last question without an answer ended.
    pub(super) failed: Option<(Trouble, Duration)>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Twin {
    pub(super) settings: Settings,
    pub(super) primary: bool,
    pub(super) memory: Memory,
    pub(super) shift: Shift,
    pub(super) sound_scale: Option<Timescale>,
    /// Ticks by which the timeline has followed the publisher's clock, and when that last changed.
    pub(super) slewed: (i64, i64),
    pub(super) slewed_at: Option<Duration>,
    pub(super) hold: Option<Hold>,
    pub(super) outputs: VecDeque<Output>,
    /// When the peer was last known to carry this run too, or was told all it needs to.
    pub(super) carried: Option<Duration>,
    /// When the publisher left, nobody else carried this run.
    pub(super) left_exclusive: bool,
    pub(super) recent_sound: VecDeque<Held>,
    pub(super) yielding: Option<Reason>,
    pub(super) peer: Peer,
    pub(super) lock: Lock,
    pub(super) asked: Option<Duration>,
    pub(super) next_ask: Duration,
    pub(super) backoff: Duration,
    pub(super) backoff_until: Duration,
    pub(super) trouble: Option<String>,
    /// Since when there should be a lock and is none.
    pub(super) unlocked: Option<Duration>,
}

/// What the stream knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Its run, ended or not.
    pub run: Option<&'a RunFacts>,
    /// That run has ended.
    pub ended: bool,
    /// Somebody publishes.
    pub has_publisher: bool,
    /// The next number and the discontinuity sequence of runs before it that viewers have seen.
    pub shown_before: (u64, u64),
}

impl<'a> Own<'a> {
    pub(super) fn open_run(&self) -> Option<&'a RunFacts> {
        self.run.filter(|_| !self.ended)
    }

    /// Everything below these numbers viewers may have seen here.
    pub(super) fn shown(&self) -> (u64, u64) {
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

impl Twin {
    /// Knows nothing.
    pub fn new(settings: Settings, primary: bool) -> Self {
        Self {
            settings,
            primary,
            memory: Memory::default(),
            shift: Shift::default(),
            sound_scale: None,
            slewed: (0, 0),
            slewed_at: None,
            hold: None,
            outputs: VecDeque::new(),
            carried: None,
            left_exclusive: false,
            recent_sound: VecDeque::new(),
            yielding: None,
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
        self.follow_sound(tracks);
        let slewed = (timeline.video.slewed_ticks, timeline.audio.slewed_ticks);
        if self.slewed != slewed {
            self.slewed = slewed;
            self.slewed_at = Some(now);
        }
        let named = unit.is_sync || unit.kind == Kind::Audio;
        let hash = if named { fingerprint(&unit.payload) } else { 0 };
        let held = Held {
            unit,
            hash,
            wall,
            at: now,
            frame: timeline.video.frame_ticks,
        };
        if self.hold.is_none() && !has_run {
            self.begin(Reason::Start, now, tracks.clone(), Vec::new());
        }
        let opens = tracks.video.is_none() || held.unit.kind == Kind::Video;
        if self.hold.is_none()
            && opens
            && held.unit.is_sync
            && let Some(reason) = self.yielding.take()
        {
            let recent = self.recent_sound.drain(..).collect();
            self.begin(reason, now, tracks.clone(), recent);
        }
        if let Some(hold) = &mut self.hold {
            hold.push(held);
            return;
        }
        if held.unit.kind == Kind::Audio {
            if self.recent_sound.len() == RECENT_SOUND_MAX {
                self.recent_sound.pop_front();
            }
            self.recent_sound.push_back(held.clone());
        }
        self.pass(held);
    }

    /// The timeline broke. `contested` says that only this origin may have seen it: its publisher was gone.
    pub fn broken(&mut self, mark: Break, now: Duration, own: Own<'_>, contested: bool) {
        self.recent_sound.clear();
        if self.hold.is_some() {
            // What is held belongs to the old timeline: it leaves first, as if there were no peer.
            self.proceed(own, now);
            self.outputs.push_back(Output::Break(mark));
            return;
        }
        let Some(run) = own.open_run() else {
            return;
        };
        let follows = !self.is_exclusive(now) && !self.lock.leads;
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
            self.begin_own(own, mark.tracks, None);
        }
    }

    /// How long the timeline has kept its rhythm.
    pub(super) fn settled(&self, now: Duration) -> Duration {
        let since = self.slewed_at.map(|at| now.saturating_sub(at));
        since.unwrap_or(Duration::MAX)
    }

    /// The publisher is gone: nothing more comes that could be waited for.
    pub fn left(&mut self, own: Own<'_>, now: Duration) {
        if self.hold.is_some() {
            self.proceed(own, now);
        }
        self.yielding = None;
        self.recent_sound.clear();
        self.left_exclusive = self.is_exclusive(now);
    }

    /// Whether media is held: then [`Twin::tick`] after each unit.
    pub fn is_holding(&self) -> bool {
        self.hold.is_some()
    }

    /// The shift of sound is counted in its own timescale, which may change.
    fn follow_sound(&mut self, tracks: &Tracks) {
        let Some(track) = &tracks.audio else {
            return;
        };
        let from = self.sound_scale.replace(track.timescale);
        if let Some(from) = from.filter(|from| *from != track.timescale) {
            self.shift.audio = from.rescale(self.shift.audio, track.timescale);
        }
    }

    /// A unit that came out as [`Output::Unit`] is published.
    pub fn placed(&mut self, held: &Held, placed: Placed) {
        let unit = &held.unit;
        if unit.kind == Kind::Audio {
            self.memory.keep_sound(unit, held.hash);
        }
        let boundary = placed.boundary;
        if unit.is_sync && (unit.kind == Kind::Video || boundary.is_some()) {
            self.memory.keep_mark(Mark {
                hash: held.hash,
                dts: unit.dts,
                pts: unit.pts,
                frame: held.frame,
                at: held.at,
                boundary,
            });
        }
    }

    /// The next thing to do.
    pub fn next(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether another origin may have what is missing here, under the same names: see
    /// `Packager::interrupt_incomplete`.
    pub fn is_shared(&self, now: Duration) -> bool {
        let spoken = |(facts, at): &(Facts, Duration)| {
            // Since then it may have taken our offer.
            let since = self.carried.is_none_or(|carried| carried <= *at);
            since && facts.state == State::Waiting
        };
        let waits = self.peer.facts.as_ref().is_some_and(spoken) && !self.is_lost(now);
        !self.is_exclusive(now) && !waits
    }

    /// Whether to ask now; then exactly one [`Twin::answered`] must follow.
    pub fn ask(&mut self, now: Duration, own: Own<'_>) -> Option<bool> {
        let idle = !own.has_publisher && own.open_run().is_none();
        let waits = |asked: Duration| now.saturating_sub(asked) < QUESTION_MAX;
        if self.asked.is_some_and(waits) || idle || now < self.next_ask {
            return None;
        }
        self.asked = Some(now);
        Some(self.hold.is_some() || self.yielding.is_some())
    }

    /// What became of the question.
    pub fn answered(&mut self, answer: Result<Facts, Trouble>, now: Duration, own: Own<'_>) {
        self.asked = None;
        let pace = if self.hold.is_some() {
            ASK_HOLDING
        } else {
            ASK_LIVE
        };
        self.next_ask = now + pace;
        match answer {
            Ok(facts) => {
                self.peer.heard = Some(now);
                self.peer.refusals = 0;
                self.peer.failed = None;
                self.trouble = None;
                let ours = own.open_run().map(|run| &run.epoch);
                let theirs = facts.run.as_ref().filter(|_| facts.state != State::Absent);
                if ours.is_some() && theirs.map(|run| &run.epoch) == ours {
                    self.carried = Some(now);
                }
                if self.hold.is_none() {
                    self.compare(&facts, own, now);
                }
                self.peer.facts = Some((facts, now));
            }
            Err(trouble) => {
                self.peer.refusals += 1;
                self.trouble = Some(match &trouble {
                    Trouble::Unreachable(why) | Trouble::Refused(why) => why.clone(),
                    Trouble::Slow => "the peer does not answer in time".to_owned(),
                });
                self.peer.failed = Some((trouble, now));
            }
        }
        self.decide(own, now);
    }

    /// Time has passed.
    pub fn tick(&mut self, own: Own<'_>, now: Duration) {
        if self.is_lost(now) {
            self.lock.since = None;
        }
        self.decide(own, now);
        self.watch_lock(own, now);
    }

    /// The peer's constants for a run that has joined: `None` while it may still fix them, `Some(None)` when
    /// it will not.
    pub fn constants(&self, epoch: &str, now: Duration) -> Option<Option<hls::Constants>> {
        if self.is_lost(now) {
            return Some(None);
        }
        let (facts, _) = self.peer.facts.as_ref()?;
        match &facts.run {
            // Without media it will not come to fix any, and who leads does not wait for who follows.
            Some(run) if run.epoch == epoch && run.constants.is_none() => {
                (facts.state != State::Live || self.lock.leads).then_some(None)
            }
            Some(run) if run.epoch == epoch => Some(run.constants),
            _ => Some(None),
        }
    }

    /// What the peer is told. `sounds` says that it may join by this.
    pub fn facts(
        &mut self,
        own: Own<'_>,
        now: Duration,
        sounds: bool,
        digests: Vec<DigestFacts>,
    ) -> Facts {
        let state = match (self.hold.is_some(), own.open_run(), own.has_publisher) {
            (true, _, _) => State::Holding,
            (_, Some(_), true) => State::Live,
            (_, Some(_), false) => State::Waiting,
            _ => State::Absent,
        };
        if sounds && state == State::Live {
            self.carried = Some(now);
        }
        Facts {
            version: VERSION,
            primary: self.primary,
            settings: self.settings,
            state,
            settled_ms: u64::try_from(self.settled(now).as_millis()).unwrap_or(u64::MAX),
            run: own.run.cloned().map(|run| RunFacts {
                // Where somebody else has carried the run, its viewers may be further.
                tail: run
                    .tail
                    .filter(|_| self.left_exclusive && state == State::Waiting),
                ..run
            }),
            marks: self.memory.mark_facts(now, sounds),
            sounds: if sounds {
                self.memory.sound_facts()
            } else {
                Vec::new()
            },
            digests,
        }
    }

    /// For the operator.
    pub fn report(&self, now: Duration) -> Report {
        let seconds = |since: Duration| now.saturating_sub(since).as_secs();
        let locked = self.lock.since.filter(|_| self.hold.is_none());
        let state = match (&self.hold, locked, self.is_lost(now)) {
            (Some(_), _, _) => "holding",
            (_, Some(_), _) => "locked",
            (_, _, true) => "alone",
            _ => "apart",
        };
        Report {
            state,
            leads: locked.map(|_| self.lock.leads),
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
