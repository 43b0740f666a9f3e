//! The simulation: real streams (timeline, pairing, packager, views), simulated clocks, network and
//! encoder.

use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hls::{Lookup, MediaSnapshot};
use media::{IngestEvent, IngestUnit, SourceMetadata};
use pairing::{ANSWER_MAX, PeerError, PeerStatus, Settings};
use service::{Clock, clock::Hand, metrics::Registry};
use testkit::{Publisher, Sent, Shape, synth::Content};

use super::{false_answers::twist, observer::Observer};
use crate::{
    Config,
    config::{Hls, OnConflict},
    metrics::Metrics,
    stream::{Claim, DiscontinuityStore, Environment, PeerConfig, Publication, Stream},
};

/// Sunday 2026-11-01, 12:00:00 UTC.
const WALL: Duration = Duration::from_secs(1_793_534_400);
/// How finely time passes.
const STEP: Duration = Duration::from_millis(10);
/// How often the observer looks, and streams look at the clock.
const LOOK: Duration = Duration::from_millis(250);
/// What HTTP adds to a question and its answer: request line, status line and headers, less than
/// this.
const HEADS_BYTES: usize = 512;

/// A question or an answer on its way.
enum Letter {
    Question { sounds: bool },
    Answer(Box<PeerStatus>),
    PeerError(PeerError),
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
    pending: VecDeque<(Duration, IngestUnit)>,
}

struct Origin {
    stream: Arc<Stream>,
    hand: Hand,
    clock: Clock,
    /// Its process lives.
    alive: bool,
    _disk: tempfile::TempDir,
    connection: Connection,
}

/// Somebody who watches one origin and goes to the other when that dies or stands still.
#[derive(Default)]
struct Viewer {
    origin: usize,
    /// Newest whole segment seen, and when.
    newest: u64,
    run_id: String,
    since: Duration,
}

/// See the module's text.
pub struct Simulation {
    now: Duration,
    origins: [Origin; 2],
    encoder: Publisher,
    next: Option<Sent>,
    mail: Vec<Mail>,
    /// One way between the origins.
    pub latency: Duration,
    /// Keyframes are all alike, and so is all audio.
    pub still: bool,
    /// Nothing gets through between the origins.
    pub partitioned: bool,
    /// Of a hundred letters, so many are lost.
    pub loss_percent: u64,
    /// Of a hundred answers, so many have one value changed.
    pub lie_percent: u64,
    /// Bytes of all questions and answers so far.
    pub told_bytes: usize,
    noise: u64,
    /// Looks at every URL.
    pub observer: Observer,
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
        discontinuities: DiscontinuityStore::open(disk).expect("a folder"),
        peer: Some(PeerConfig { settings, primary }),
        events: Default::default(),
        published: Arc::default(),
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

impl Simulation {
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
            partitioned: false,
            loss_percent: 0,
            lie_percent: 0,
            told_bytes: 0,
            noise: 0x2545_f491_4f6c_dd1d,
            observer: Observer::default(),
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
        self.observe();
    }

    /// The encoder captures nothing for a while.
    pub fn pause(&mut self, time: Duration) {
        self.encoder.pause(time);
    }

    /// An origin's process dies at once.
    pub fn kill(&mut self, index: usize) {
        // What a dead process would do on the loss of its connection nobody sees.
        self.origins[index].alive = false;
        self.disconnect(index);
    }

    /// A new process in its place, with an empty disk; its clock is off by `skew_ms`.
    pub fn start(&mut self, index: usize, skew_ms: i64) {
        self.origins[index] = origin(index, self.now, skew_ms);
        self.mail.retain(|mail| mail.asker != index);
        self.observer.replaced(index);
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
        serde_json::to_value(self.origins[index].stream.report()).expect("JSON")
    }

    /// Both say that they are locked, to the same run.
    pub fn is_locked(&self) -> bool {
        let [a, b] = [self.report(0), self.report(1)];
        let locked = |report: &serde_json::Value| report["pairing"]["state"] == "locked";
        locked(&a) && locked(&b) && a["run"]["epoch"] == b["run"]["epoch"]
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
            a.run_id() == b.run_id() && matches!(b.segment(segment.msn), Lookup::Found(_))
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
                self.observe();
                self.watch();
            }
        }
    }

    /// The encoder sends what is due on every connection that is up.
    fn encode(&mut self) {
        while let Some(sent) = self.next.take_if(|sent| sent.at <= self.now) {
            let content = Content::read(&sent.unit.payload).expect("synthetic");
            for origin in self.origins.iter_mut().filter(|origin| origin.alive) {
                let connection = &mut origin.connection;
                if connection.from.is_none_or(|from| sent.at < from) {
                    continue;
                }
                // A clock of its own: from zero, and rounded where this connection began.
                let zero = *connection.zero_us.get_or_insert(content.captured_us);
                let mut unit = sent.unit.clone();
                unit.dts = i64::from(((content.captured_us - zero + 500) / 1000) as u32);
                if self.still {
                    unit.payload = Bytes::from(vec![unit.is_sync().into(); 64]);
                }
                let at = sent.at + connection.delay;
                connection.pending.push_back((at, unit));
            }
            self.next = Some(self.encoder.send());
        }
    }

    fn deliver(&mut self, index: usize) {
        let origin = &mut self.origins[index];
        while let Some((_, unit)) = origin
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
                publication.push(IngestEvent::Unit(unit), origin.clock.now());
            }
            self.observer.look(self.now, index, &origin.stream);
        }
    }

    fn post(&mut self) {
        if self.now.as_millis().is_multiple_of(50) {
            for asker in 0..2 {
                if self.origins[asker].alive
                    && let Some(sounds) = self.origins[asker].stream.peer_question()
                {
                    self.send(asker, Letter::Question { sounds });
                }
            }
        }
        let now = self.now;
        let due: Vec<Mail> = self.mail.extract_if(.., |mail| mail.due <= now).collect();
        for mail in due {
            self.receive(mail);
            self.observe();
        }
    }

    fn send(&mut self, asker: usize, letter: Letter) {
        let lost = self.partitioned || self.random() % 100 < self.loss_percent;
        let mut due = self.now + self.latency;
        let letter = if !self.origins[1 - asker].alive {
            Letter::PeerError(PeerError::Unreachable("refused".to_owned()))
        } else if lost || self.latency * 2 > ANSWER_MAX {
            due = self.now + ANSWER_MAX;
            Letter::PeerError(PeerError::Slow)
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
                let digests = peer.segment_digests();
                let status = peer
                    .status_for_peer(sounds, digests)
                    .expect("it has a peer");
                return self.send(asker, Letter::Answer(Box::new(status)));
            }
            Letter::Answer(status) => {
                let wall = crate::stream::unix_micros(self.origins[asker].clock.wall());
                // As it travels: nothing is lost on the wire.
                let text = serde_json::to_vec(&status).expect("a status is JSON");
                assert!(text.len() < 96 << 10, "{} bytes", text.len());
                self.told_bytes += text.len() + HEADS_BYTES;
                let mut said = serde_json::from_slice(&text).expect("JSON");
                if self.random() % 100 < self.lie_percent {
                    twist(&mut said, &mut || self.random());
                }
                let read = serde_json::from_value::<PeerStatus>(said).map_err(|e| e.to_string());
                let checked = read.and_then(|status| {
                    let plausible = status.check(wall).map_err(|e| e.to_string());
                    plausible.map(|()| status)
                });
                checked.map_err(PeerError::Refused)
            }
            Letter::PeerError(trouble) => Err(trouble),
        };
        let stream = &self.origins[asker].stream;
        stream.peer_answered(answer);
        stream.compare_digests(&stream.segment_digests());
    }

    fn observe(&mut self) {
        for (index, origin) in self.origins.iter().enumerate() {
            if origin.alive {
                self.observer.look(self.now, index, &origin.stream);
            }
        }
    }

    /// The viewer takes the next segment, and goes to the other origin when there is none for a
    /// while.
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
            self.viewer.run_id = media.run_id().to_owned();
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
        encoder: "simulation".to_owned(),
    };
    match stream.claim(publisher, OnConflict::Takeover) {
        Claim::Granted(publication) => publication,
        Claim::Taken { .. } => panic!("a takeover is granted"),
    }
}

fn announce(publication: &Publication, encoder: &Publisher, now: Duration) {
    let rate = encoder.shape().declared_rate;
    let frame_rate = rate.map(|(frames, seconds)| f64::from(frames) / f64::from(seconds));
    let metadata = SourceMetadata {
        frame_rate,
        ..SourceMetadata::default()
    };
    publication.push(IngestEvent::Metadata(metadata), now);
    if let Some(video) = encoder.video() {
        publication.push(IngestEvent::VideoConfig(video.clone()), now);
    }
    if let Some(audio) = &encoder.shape().audio {
        publication.push(IngestEvent::AudioConfig(audio.clone().into()), now);
    }
}
