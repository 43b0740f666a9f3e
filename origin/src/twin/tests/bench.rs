//! The bench: real streams (timeline, twin, packager, views), simulated clocks, network and encoder.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flv::{Event, Metadata};
use hls::{Lookup, MediaSnapshot, Segment};
use media::Arrival;
use service::{Clock, clock::Hand, metrics::Registry};
use testkit::{Publisher, Sent, Shape, synth::Content};

use crate::{
    Config,
    auth::OnConflict,
    config::Hls,
    memory::Memory,
    metrics::Metrics,
    stream::{Claim, Environment, Office, Publication, Stream},
    twin::{ANSWER_MAX, Facts, Settings, Trouble},
};

/// Sunday 2026-11-01, 12:00:00 UTC.
const WALL: Duration = Duration::from_secs(1_793_534_400);
/// How finely time passes.
const STEP: Duration = Duration::from_millis(10);
/// How often the observer looks, and streams look at the clock.
const LOOK: Duration = Duration::from_millis(250);

/// A question or an answer on its way.
enum Letter {
    Question { sounds: bool },
    Answer(Box<Facts>),
    Trouble(Trouble),
}

struct Mail {
    due: Duration,
    /// Index of the origin that asked.
    asker: usize,
    letter: Letter,
}

/// One of the encoder's connections.
struct Connection {
    /// Up from then on; `None` while down.
    from: Option<Duration>,
    /// Everything arrives this much later.
    delay: Duration,
    /// Exact time of the clock's zero, once something was sent.
    zero_us: Option<i64>,
    publication: Option<Publication>,
    /// Sent and under way.
    pending: VecDeque<(Duration, Arrival)>,
}

struct Origin {
    stream: Arc<Stream>,
    hand: Hand,
    clock: Clock,
    /// Its process lives.
    alive: bool,
    _disk: tempfile::TempDir,
    connection: Connection,
    /// Whole segments looked at.
    seen: BTreeSet<String>,
    /// Numbers its playlists have shown, by rendition: first and last.
    shown: BTreeMap<String, (u64, u64)>,
}

/// Somebody who watches one origin and goes to the other when that dies or stands still.
#[derive(Default)]
struct Viewer {
    origin: usize,
    /// Newest whole segment seen, and when.
    newest: u64,
    epoch: String,
    since: Duration,
}

/// See the module's text.
pub struct Bench {
    now: Duration,
    origins: [Origin; 2],
    encoder: Publisher,
    next: Option<Sent>,
    mail: Vec<Mail>,
    /// One way between the origins.
    pub latency: Duration,
    /// Keyframes are all alike, and so is all sound.
    pub still: bool,
    /// Other bytes under a URL are counted by the origins alone.
    pub lenient: bool,
    /// Nothing gets through between the origins.
    pub partitioned: bool,
    /// Of a hundred letters, so many are lost.
    pub loss_percent: u64,
    noise: u64,
    /// Every URL ever answered, and a digest of its bytes.
    served: BTreeMap<String, u64>,
    viewer: Viewer,
    /// A viewer waits at most this long for the next segment while an encoder sends.
    pub patience: Duration,
}

fn environment(primary: bool, clock: Clock, disk: &Path) -> Environment {
    let settings = Settings {
        segment_target_ms: 2000,
        part_target_ms: Some(500),
    };
    Environment {
        clock,
        metrics: Metrics::new(&Registry::new()),
        recorder: None,
        memory: Memory::open(disk).expect("a folder"),
        twin: Some(Office { settings, primary }),
    }
}

fn origin(index: usize, now: Duration, wall_skew_ms: i64) -> Origin {
    let wall = WALL.saturating_add_signed_ms(wall_skew_ms);
    let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH + wall);
    hand.advance(now);
    let config = Config {
        ladder: Vec::new(),
        record: false,
        hls: Hls {
            window: service::config::Duration(Duration::from_secs(20)),
            ..Hls::default()
        },
        ..Config::default()
    };
    let disk = tempfile::tempdir().expect("a folder");
    let environment = environment(index == 0, clock.clone(), disk.path());
    let stream = Stream::new("show", config.stream("show"), environment);
    Origin {
        stream,
        hand,
        clock,
        alive: true,
        _disk: disk,
        connection: Connection {
            from: None,
            delay: Duration::ZERO,
            zero_us: None,
            publication: None,
            pending: VecDeque::new(),
        },
        seen: BTreeSet::new(),
        shown: BTreeMap::new(),
    }
}

trait Signed {
    fn saturating_add_signed_ms(self, ms: i64) -> Self;
}

impl Signed for Duration {
    fn saturating_add_signed_ms(self, ms: i64) -> Self {
        let by = Duration::from_millis(ms.unsigned_abs());
        if ms < 0 {
            self.saturating_sub(by)
        } else {
            self + by
        }
    }
}

impl Bench {
    /// An encoder of this shape that nobody is connected to yet.
    pub fn new(shape: Shape) -> Self {
        let mut encoder = Publisher::new(shape, Duration::ZERO);
        let next = Some(encoder.send());
        Self {
            now: Duration::ZERO,
            origins: [origin(0, Duration::ZERO, 0), origin(1, Duration::ZERO, 0)],
            encoder,
            next,
            mail: Vec::new(),
            latency: Duration::from_millis(5),
            still: false,
            lenient: false,
            partitioned: false,
            loss_percent: 0,
            noise: 0x2545_f491_4f6c_dd1d,
            served: BTreeMap::new(),
            viewer: Viewer::default(),
            patience: Duration::from_secs(30),
        }
    }

    /// Connects the encoder to an origin after `wait`; media arrives there `delay` late.
    pub fn connect(&mut self, index: usize, wait: Duration, delay: Duration) {
        let connection = &mut self.origins[index].connection;
        connection.from = Some(self.now + wait);
        connection.delay = delay;
    }

    /// The encoder's connection to an origin is lost.
    pub fn disconnect(&mut self, index: usize) {
        let connection = &mut self.origins[index].connection;
        connection.from = None;
        connection.zero_us = None;
        connection.publication = None;
        connection.pending.clear();
    }

    /// The encoder captures nothing for a while.
    pub fn pause(&mut self, time: Duration) {
        self.encoder.pause(time);
    }

    /// An origin's process dies at once.
    pub fn kill(&mut self, index: usize) {
        self.disconnect(index);
        // What a dead process would do on the loss of its connection nobody sees.
        self.origins[index].alive = false;
    }

    /// A new process in its place, with an empty disk; its clock is off by `skew_ms`.
    pub fn start(&mut self, index: usize, skew_ms: i64) {
        self.origins[index] = origin(index, self.now, skew_ms);
        self.mail.retain(|mail| mail.asker != index);
    }

    /// Whether an origin's process lives.
    pub fn lives(&self, index: usize) -> bool {
        self.origins[index].alive
    }

    /// Whether the encoder is connected there.
    pub fn is_connected(&self, index: usize) -> bool {
        self.origins[index].connection.from.is_some()
    }

    /// `/api/streams` of an origin.
    pub fn report(&self, index: usize) -> serde_json::Value {
        self.origins[index].stream.report()
    }

    /// Both say that they are locked, to the same run.
    pub fn is_locked(&self) -> bool {
        let [a, b] = [self.report(0), self.report(1)];
        let locked = |report: &serde_json::Value| report["twin"]["state"] == "locked";
        locked(&a) && locked(&b) && a["run"]["epoch"] == b["run"]["epoch"]
    }

    /// How many URLs were answered so far.
    pub fn urls(&self) -> usize {
        self.served.len()
    }

    /// An origin's snapshot of a rendition.
    pub fn media(&self, index: usize, rendition: &str) -> Option<Arc<MediaSnapshot>> {
        let view = self.origins[index].stream.view(rendition)?;
        let media = view.borrow().media().clone();
        Some(media)
    }

    /// Whole segments that both answer now.
    pub fn in_common(&self, rendition: &str) -> usize {
        let [Some(a), Some(b)] = [self.media(0, rendition), self.media(1, rendition)] else {
            return 0;
        };
        let both = a.listed().iter().filter(|segment| {
            a.epoch() == b.epoch() && matches!(b.segment(segment.msn), Lookup::Found(_))
        });
        both.count()
    }

    /// Lets time pass; checks all the while.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.origins
                .iter()
                .for_each(|origin| origin.hand.advance(STEP));
            self.encode();
            (0..2).for_each(|index| self.deliver(index));
            self.post();
            if self.now.as_millis().is_multiple_of(LOOK.as_millis()) {
                let living = self.origins.iter().filter(|origin| origin.alive);
                living.for_each(|origin| {
                    origin.stream.tick();
                });
                (0..2).for_each(|index| self.observe(index));
                self.watch();
            }
        }
    }

    /// The encoder sends what is due on every connection that is up.
    fn encode(&mut self) {
        while let Some(sent) = self.next.take_if(|sent| sent.at <= self.now) {
            let content = Content::read(&sent.arrival.payload).expect("synthetic");
            for origin in self.origins.iter_mut().filter(|origin| origin.alive) {
                let connection = &mut origin.connection;
                if connection.from.is_none_or(|from| sent.at < from) {
                    continue;
                }
                // A clock of its own: from zero, and rounded where this connection began.
                let zero = *connection.zero_us.get_or_insert(content.captured_us);
                let mut arrival = sent.arrival.clone();
                arrival.timestamp_ms = ((content.captured_us - zero + 500) / 1000) as u32;
                if self.still {
                    arrival.payload = Bytes::from(vec![arrival.is_sync.into(); 64]);
                }
                let at = sent.at + connection.delay;
                connection.pending.push_back((at, arrival));
            }
            self.next = Some(self.encoder.send());
        }
    }

    fn deliver(&mut self, index: usize) {
        let origin = &mut self.origins[index];
        while let Some((_, arrival)) = origin
            .connection
            .pending
            .pop_front_if(|(at, _)| *at <= self.now)
        {
            if origin.connection.publication.is_none() {
                let publication = claim(&origin.stream);
                announce(&publication, &self.encoder, origin.clock.now());
                origin.connection.publication = Some(publication);
            }
            if let Some(publication) = &origin.connection.publication {
                publication.push(Event::AccessUnit(arrival), origin.clock.now());
            }
        }
    }

    fn post(&mut self) {
        if self.now.as_millis().is_multiple_of(50) {
            for asker in 0..2 {
                if self.origins[asker].alive
                    && let Some(sounds) = self.origins[asker].stream.twin_ask()
                {
                    self.send(asker, Letter::Question { sounds });
                }
            }
        }
        let now = self.now;
        let due: Vec<Mail> = self.mail.extract_if(.., |mail| mail.due <= now).collect();
        for mail in due {
            self.receive(mail);
        }
    }

    fn send(&mut self, asker: usize, letter: Letter) {
        let lost = self.partitioned || self.random() % 100 < self.loss_percent;
        let mut due = self.now + self.latency;
        let letter = if !self.origins[1 - asker].alive {
            Letter::Trouble(Trouble::Unreachable("refused".to_owned()))
        } else if lost || self.latency * 2 > ANSWER_MAX {
            due = self.now + ANSWER_MAX;
            Letter::Trouble(Trouble::Slow)
        } else {
            letter
        };
        self.mail.push(Mail { due, asker, letter });
    }

    fn receive(&mut self, mail: Mail) {
        let Mail { asker, letter, .. } = mail;
        if !self.origins[asker].alive {
            return;
        }
        let answer = match letter {
            Letter::Question { sounds } => {
                let peer = &self.origins[1 - asker].stream;
                let digests = peer.twin_digests();
                let facts = peer.twin_facts(sounds, digests).expect("it has a peer");
                return self.send(asker, Letter::Answer(Box::new(facts)));
            }
            Letter::Answer(facts) => {
                let wall = crate::stream::unix_micros(self.origins[asker].clock.wall());
                // As it travels: nothing is lost on the wire.
                let text = serde_json::to_vec(&facts).expect("facts are JSON");
                assert!(text.len() < 96 << 10, "{} bytes", text.len());
                let facts: Facts = serde_json::from_slice(&text).expect("facts are read back");
                let checked = facts.check(wall);
                checked
                    .map(|()| facts)
                    .map_err(|e| Trouble::Refused(e.to_string()))
            }
            Letter::Trouble(trouble) => Err(trouble),
        };
        let stream = &self.origins[asker].stream;
        stream.twin_answered(answer);
        stream.twin_compare(&stream.twin_digests());
    }

    /// Every URL that this origin answers now has the bytes it always had, on whichever origin.
    fn observe(&mut self, index: usize) {
        if !self.origins[index].alive {
            return;
        }
        for rendition in ["source", "audio"] {
            let Some(media) = self.media(index, rendition) else {
                continue;
            };
            for segment in media.retained().iter().filter(|segment| !segment.gap) {
                let name = format!("{rendition}/{}/{}", media.epoch(), segment.msn);
                // It never changes any more at this origin; that is another test's matter.
                if self.origins[index].seen.insert(name.clone()) {
                    self.segment(index, &name, segment);
                    self.served(index, name, &segment.to_bytes());
                }
            }
            if let Some(open) = media.open() {
                let name = format!("{rendition}/{}/{}", media.epoch(), open.msn);
                self.segment(index, &name, open);
            }
            self.numbers(index, rendition, &media);
        }
    }

    fn segment(&mut self, index: usize, name: &str, segment: &Segment) {
        for (number, part) in segment.parts.iter().enumerate() {
            self.served(index, format!("{name}.{number}"), &part.bytes);
        }
        if let Some(init) = &segment.init {
            let url = format!("{name}/init-{}", init.index);
            self.served(index, url, &init.bytes);
        }
    }

    fn served(&mut self, index: usize, url: String, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let digest = hasher.finish();
        let first = *self.served.entry(url.clone()).or_insert(digest);
        assert!(
            first == digest || self.lenient,
            "{:?}: {url} has other bytes at origin {index}",
            self.now
        );
    }

    fn numbers(&mut self, index: usize, rendition: &str, media: &MediaSnapshot) {
        let (Some(first), Some(last)) = (media.listed().first(), media.last_msn()) else {
            return;
        };
        let (now, origin) = (self.now, &mut self.origins[index]);
        let place = (first.msn, last);
        let before = origin
            .shown
            .insert(rendition.to_owned(), place)
            .unwrap_or(place);
        let back = place.0 < before.0 || place.1 < before.1;
        assert!(
            !back,
            "{now:?}: {rendition} of origin {index} went from {before:?} to {place:?}"
        );
    }

    /// The viewer takes the next segment, and goes to the other origin when there is none for a while.
    fn watch(&mut self) {
        let sending = (0..2).any(|index| {
            let origin = &self.origins[index];
            let from = origin.connection.from.filter(|_| origin.alive);
            from.is_some_and(|from| self.now > from + self.patience)
        });
        if !sending {
            self.viewer.since = self.now;
        }
        let index = self.viewer.origin;
        let seen = self.origins[index]
            .alive
            .then(|| self.media(index, "source"))
            .flatten();
        if let Some(media) = seen
            && let Some(last) = media.last_msn()
            && last > self.viewer.newest
        {
            self.viewer.newest = last;
            self.viewer.epoch = media.epoch().to_owned();
            self.viewer.since = self.now;
            return;
        }
        let waited = self.now.saturating_sub(self.viewer.since);
        assert!(
            waited < self.patience,
            "{:?}: the viewer waits since {waited:?}",
            self.now
        );
        if !self.origins[index].alive || waited > Duration::from_secs(4) {
            self.viewer.origin = 1 - index;
        }
    }

    fn random(&mut self) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise >> 20
    }
}

fn claim(stream: &Arc<Stream>) -> Publication {
    let publisher = crate::stream::Publisher {
        address: ([127, 0, 0, 1], 1935).into(),
        encoder: "bench".to_owned(),
    };
    match stream.claim(publisher, OnConflict::Takeover) {
        Claim::Granted(publication) => publication,
        Claim::Taken { .. } => panic!("a takeover is granted"),
    }
}

fn announce(publication: &Publication, encoder: &Publisher, now: Duration) {
    let rate = encoder.shape().declared_rate;
    let frame_rate = rate.map(|(frames, seconds)| f64::from(frames) / f64::from(seconds));
    let metadata = Metadata {
        frame_rate,
        ..Metadata::default()
    };
    publication.push(Event::Metadata(metadata), now);
    if let Some(video) = encoder.video() {
        publication.push(Event::VideoConfig(video.clone()), now);
    }
    if let Some(sound) = &encoder.shape().sound {
        publication.push(Event::AudioConfig(sound.clone()), now);
    }
}
