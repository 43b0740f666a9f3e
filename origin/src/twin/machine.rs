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

use hls::{Boundary, Tracks};
use media::{AccessUnit, Kind, Timescale};

use super::{
    ASK_HOLDING, ASK_LIVE, BACKOFF_MAX, BACKOFF_MIN, HOLD_MAX, HOLD_RECOGNISED_MAX, PEER_LOST,
    Settings,
    facts::{DigestFacts, Facts, RunFacts, State, VERSION},
    hold::{Held, Hold, Join, Match, Reason, Shift, offset_ms},
    mark::{Mark, Memory, fingerprint},
    rank::{Side, leads},
};

/// Sound kept for a hold that begins with the next keyframe, so that its segment has all of its sound:
/// encoders interleave within two seconds.
const RECENT_SOUND_MAX: usize = 96;

/// Questions in a row that found nobody, after which a hold waits no longer.
const REFUSALS_MAX: u32 = 2;

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
struct Lock {
    since: Option<Duration>,
    leads: bool,
    offset_ms: Option<i64>,
    agreements: u64,
    disagreements: u64,
    /// Boundaries and digests up to here are compared.
    boundaries_to: u64,
    digests_to: u64,
    joins: u64,
}

#[derive(Debug, Default)]
struct Peer {
    /// The last answer and when it came.
    facts: Option<(Facts, Duration)>,
    heard: Option<Duration>,
    refusals: u32,
    /// When the last question without an answer ended.
    failed: Option<(Trouble, Duration)>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Twin {
    settings: Settings,
    primary: bool,
    memory: Memory,
    shift: Shift,
    sound_scale: Option<Timescale>,
    hold: Option<Hold>,
    outputs: VecDeque<Output>,
    recent_sound: VecDeque<Held>,
    yielding: Option<Reason>,
    peer: Peer,
    lock: Lock,
    asked: Option<Duration>,
    next_ask: Duration,
    backoff: Duration,
    backoff_until: Duration,
    trouble: Option<String>,
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
}

impl<'a> Own<'a> {
    fn open_run(&self) -> Option<&'a RunFacts> {
        self.run.filter(|_| !self.ended)
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
            hold: None,
            outputs: VecDeque::new(),
            recent_sound: VecDeque::new(),
            yielding: None,
            peer: Peer::default(),
            lock: Lock::default(),
            asked: None,
            next_ask: Duration::ZERO,
            backoff: BACKOFF_MIN,
            backoff_until: Duration::ZERO,
            trouble: None,
        }
    }

    /// Takes the timeline's next unit. `frame` is the timeline's ticks of a picture, `has_run` whether it
    /// could be published at once.
    pub fn take(
        &mut self,
        unit: AccessUnit,
        (now, wall): (Duration, SystemTime),
        frame: u32,
        has_run: bool,
        tracks: &Tracks,
    ) {
        self.follow_sound(tracks);
        let named = unit.is_sync || unit.kind == Kind::Audio;
        let hash = if named { fingerprint(&unit.payload) } else { 0 };
        let held = Held {
            unit,
            hash,
            wall,
            at: now,
            frame,
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
        let followed = self.lock.since.is_some() && !self.lock.leads;
        if own.open_run().is_none() {
            return;
        }
        if self.is_lost(now) || !(contested || followed) {
            self.outputs.push_back(Output::Break(mark));
            return;
        }
        self.begin(Reason::Break(mark.reason), now, mark.tracks, Vec::new());
    }

    /// The publisher is gone: nothing more comes that could be waited for.
    pub fn left(&mut self, own: Own<'_>, now: Duration) {
        if self.hold.is_some() {
            self.proceed(own, now);
        }
        self.yielding = None;
        self.recent_sound.clear();
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

    /// Whether another origin has what is missing here: see `Packager::interrupt_incomplete`.
    pub fn is_shared(&self, now: Duration) -> bool {
        self.lock.since.is_some() && !self.is_lost(now)
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
    }

    /// The peer's constants for a run that has joined: `None` while it may still fix them, `Some(None)` when
    /// it will not.
    pub fn constants(&self, epoch: &str, now: Duration) -> Option<Option<hls::Constants>> {
        if self.is_lost(now) {
            return Some(None);
        }
        let (facts, _) = self.peer.facts.as_ref()?;
        match &facts.run {
            Some(run) if run.epoch == epoch => run.constants.map(Some),
            _ => Some(None),
        }
    }

    /// What the peer is told.
    pub fn facts(
        &self,
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
        Facts {
            version: VERSION,
            primary: self.primary,
            settings: self.settings,
            state,
            run: own.run.cloned(),
            marks: self.memory.mark_facts(now),
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
            offset_ms: self.lock.offset_ms.filter(|_| locked.is_some()),
            agreements: self.lock.agreements,
            disagreements: self.lock.disagreements,
            joins: self.lock.joins,
            trouble: self.trouble.clone(),
            heard_seconds: self.peer.heard.map(seconds),
        }
    }
}

// === deciding ===

/// What a look at the facts came to.
enum Verdict {
    Wait,
    Proceed,
    Join(Join),
}

impl Twin {
    fn begin(&mut self, reason: Reason, now: Duration, tracks: Tracks, recent: Vec<Held>) {
        self.hold = Some(Hold::new(reason, now, tracks, recent));
        self.yielding = None;
        self.peer.refusals = 0;
        self.next_ask = now;
    }

    fn pass(&mut self, held: Held) {
        let unit = self.shift.apply(held.unit);
        self.outputs.push_back(Output::Unit(Held { unit, ..held }));
    }

    fn is_lost(&self, now: Duration) -> bool {
        let heard = self.peer.heard;
        heard.is_none_or(|heard| now.saturating_sub(heard) > PEER_LOST)
    }

    fn decide(&mut self, own: Own<'_>, now: Duration) {
        let Some(hold) = &self.hold else {
            return;
        };
        match self.judge(hold, own, now) {
            Verdict::Wait => {}
            Verdict::Proceed => self.proceed(own, now),
            Verdict::Join(join) => self.join(join, now),
        }
    }

    fn judge(&self, hold: &Hold, own: Own<'_>, now: Duration) -> Verdict {
        let Some(since) = hold.sync_since else {
            // Nothing that could open a segment, unless no keyframe ever comes.
            return if hold.is_full() {
                Verdict::Proceed
            } else {
                Verdict::Wait
            };
        };
        let waited = now.saturating_sub(since);
        let patient = |limit: Duration| {
            if waited >= limit || hold.is_full() {
                Verdict::Proceed
            } else {
                Verdict::Wait
            }
        };
        if let Some((trouble, at)) = &self.peer.failed
            && *at >= hold.since
        {
            return match trouble {
                Trouble::Refused(_) => Verdict::Proceed,
                Trouble::Unreachable(_) if self.peer.refusals >= REFUSALS_MAX => Verdict::Proceed,
                _ => patient(HOLD_MAX),
            };
        }
        let Some((facts, answered)) = self.peer.facts.as_ref().filter(|(_, at)| *at >= since)
        else {
            return patient(HOLD_MAX);
        };
        if facts.settings != self.settings {
            return Verdict::Proceed;
        }
        let ours = Side {
            run: own.open_run(),
            primary: self.primary,
        };
        let open = |state| !matches!(state, State::Absent);
        let theirs = Side {
            run: facts.run.as_ref().filter(|_| open(facts.state)),
            primary: facts.primary,
        };
        match facts.state {
            State::Absent => Verdict::Proceed,
            State::Holding | State::Waiting if leads(ours, theirs) => Verdict::Proceed,
            State::Waiting if ours.run.is_none() => Verdict::Proceed,
            State::Holding | State::Waiting => patient(HOLD_MAX),
            State::Live => match hold.find(facts, *answered) {
                Match::Found(join) if is_above(&join, own) => Verdict::Join(join),
                // The leader's numbers are below ours: only a new run can bring both together.
                Match::Found(_) => Verdict::Proceed,
                Match::Recognised => patient(HOLD_MAX + HOLD_RECOGNISED_MAX),
                Match::Unknown => patient(HOLD_MAX),
            },
        }
    }

    fn join(&mut self, join: Join, now: Duration) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        self.shift = join.shift;
        self.memory.clear();
        self.lock = Lock {
            joins: self.lock.joins + 1,
            agreements: self.lock.agreements,
            disagreements: self.lock.disagreements,
            offset_ms: Some(join.offset_ms),
            since: Some(now),
            leads: false,
            ..Lock::default()
        };
        self.recent_sound.clear();
        let tracks = hold.tracks.clone();
        let units = hold.join(&join);
        self.outputs.push_back(Output::Join(join, tracks));
        self.outputs.extend(units.into_iter().map(Output::Unit));
    }

    /// Publishes what is held without the peer's run.
    fn proceed(&mut self, own: Own<'_>, now: Duration) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        let reason = hold.reason;
        let goes_on = match (own.open_run(), reason) {
            (None, _) | (_, Reason::Poisoned) => false,
            (Some(_), Reason::Start | Reason::Yield) => true,
            (Some(run), Reason::Break(_)) => self.may_continue(run, now),
        };
        if matches!(reason, Reason::Yield | Reason::Poisoned) {
            self.backoff_until = now + self.backoff;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        let tracks = hold.tracks.clone();
        if !goes_on {
            self.begin_own(own, tracks);
        } else if let Reason::Break(reason) = reason {
            self.outputs
                .push_back(Output::Break(Break { tracks, reason }));
        }
        for held in hold.release() {
            self.pass(held);
        }
    }

    fn begin_own(&mut self, own: Own<'_>, tracks: Tracks) {
        let theirs = self
            .peer
            .facts
            .as_ref()
            .and_then(|(facts, _)| facts.run.as_ref());
        let runs = || [own.run, theirs].into_iter().flatten();
        let msn = runs().map(|run| run.next_msn).max();
        let sequence = runs().map(|run| run.discontinuity_sequence + 1).max();
        self.memory.clear();
        self.shift = Shift::default();
        self.lock.since = None;
        self.outputs.push_back(Output::Own {
            msn: msn.unwrap_or(0),
            discontinuity_sequence: sequence.unwrap_or(0),
            tracks,
        });
    }

    /// Whether our run may go on behind a break: only if nobody else can give the same URLs other bytes, and
    /// nobody's numbers are above ours.
    fn may_continue(&self, run: &RunFacts, now: Duration) -> bool {
        let facts = match &self.peer.facts {
            Some((facts, _)) if !self.is_lost(now) => facts,
            _ => return true,
        };
        let Some(theirs) = &facts.run else {
            return true;
        };
        if theirs.epoch != run.epoch {
            return run.next_msn > theirs.next_msn;
        }
        let reached = run.next_msn >= theirs.next_msn
            && run.discontinuity_sequence >= theirs.discontinuity_sequence;
        let ours = Side {
            run: Some(run),
            primary: self.primary,
        };
        let theirs = Side {
            run: Some(theirs),
            primary: facts.primary,
        };
        facts.state != State::Live && reached && leads(ours, theirs)
    }
}

/// Numbers never go back for anybody who has seen ours.
fn is_above(join: &Join, own: Own<'_>) -> bool {
    let boundary = &join.boundary;
    own.run.filter(|run| run.served).is_none_or(|run| {
        boundary.msn >= run.next_msn
            && boundary.discontinuity_sequence >= run.discontinuity_sequence
    })
}

// === comparing ===

impl Twin {
    fn compare(&mut self, facts: &Facts, own: Own<'_>, now: Duration) {
        let ready = matches!(facts.state, State::Live) && facts.settings == self.settings;
        if facts.settings != self.settings {
            self.trouble = Some("the origins' segment or part targets differ".to_owned());
        }
        let (Some(ours), Some(theirs)) = (own.open_run(), facts.run.as_ref().filter(|_| ready))
        else {
            self.lock.since = None;
            return;
        };
        let we_lead = leads(
            Side {
                run: Some(ours),
                primary: self.primary,
            },
            Side {
                run: Some(theirs),
                primary: facts.primary,
            },
        );
        self.lock.leads = we_lead;
        let may_yield = !we_lead && now >= self.backoff_until && own.has_publisher;
        if ours.epoch != theirs.epoch {
            self.lock.since = None;
            let known = |mark: &Mark| facts.marks.iter().any(|theirs| theirs.hash == mark.hash);
            if self.memory.marks().any(known) {
                self.trouble = Some("the same stream under another name".to_owned());
                self.yielding = may_yield.then_some(Reason::Yield);
            } else {
                self.trouble = Some("the origins receive different streams".to_owned());
                self.yielding = None;
            }
            return;
        }
        let wrong = self.compare_boundaries(facts, now);
        self.compare_inits(ours, theirs);
        if wrong > 0 {
            self.lock.since = None;
            self.yielding = may_yield.then_some(Reason::Poisoned);
        }
    }

    /// Boundaries of the same number must be the same; how many are not.
    fn compare_boundaries(&mut self, facts: &Facts, now: Duration) -> u64 {
        let mut wrong = 0;
        for mark in self.memory.marks() {
            let Some(ours) = mark.boundary.filter(|b| b.msn > self.lock.boundaries_to) else {
                continue;
            };
            let same = |theirs: &&super::facts::MarkFacts| {
                theirs.boundary.is_some_and(|theirs| theirs.msn == ours.msn)
            };
            let Some(theirs) = facts.marks.iter().find(same) else {
                continue;
            };
            self.lock.boundaries_to = ours.msn;
            if theirs.boundary.map(essence) == Some(essence(ours)) && theirs.hash == mark.hash {
                self.lock.agreements += 1;
                self.lock.since.get_or_insert(now);
                self.lock.offset_ms = Some(offset_ms(theirs, mark.at, now));
                self.backoff = BACKOFF_MIN;
            } else {
                self.lock.disagreements += 1;
                wrong += 1;
            }
        }
        wrong
    }

    fn compare_inits(&mut self, ours: &RunFacts, theirs: &RunFacts) {
        let differs = |(name, index): &(&String, &u32)| {
            theirs
                .inits
                .get(*name)
                .is_some_and(|theirs| theirs != *index)
        };
        if let Some((name, _)) = ours.inits.iter().find(differs) {
            let words = "describe the stream differently: make their configurations equal";
            self.trouble = Some(format!("the origins' init segments of {name} {words}"));
        }
    }

    /// Compares whole segments' digests, ours against the last answer's.
    pub fn compare_segments(&mut self, ours: &[DigestFacts]) {
        let Some((facts, _)) = &self.peer.facts else {
            return;
        };
        for own in ours {
            if own.msn <= self.lock.digests_to {
                continue;
            }
            let Some(theirs) = facts.digests.iter().find(|theirs| theirs.msn == own.msn) else {
                continue;
            };
            let pairs = [(own.source, theirs.source), (own.audio, theirs.audio)];
            // A gap on one side is no contradiction: nothing is served there.
            let differ = pairs
                .into_iter()
                .any(|pair| matches!(pair, (Some(a), Some(b)) if a != b));
            self.lock.digests_to = own.msn;
            if differ {
                self.lock.disagreements += 1;
            } else {
                self.lock.agreements += 1;
            }
        }
    }
}

/// What must be alike in a boundary.
fn essence(boundary: Boundary) -> (i64, i64, u64, i64) {
    // The anchor may be told at another time; what it says of this boundary may not differ.
    let elapsed = i128::from(boundary.time - boundary.anchor_time) * 1_000_000 / 360_000;
    let date = i128::from(boundary.anchor_micros) + elapsed;
    let date = i64::try_from(date).unwrap_or(0);
    (
        boundary.dts,
        boundary.time,
        boundary.discontinuity_sequence,
        date,
    )
}
