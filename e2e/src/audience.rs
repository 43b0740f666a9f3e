//! Viewers in numbers: each follows a live rendition as a player does, keeps a buffer that empties
//! at the pace of the clock, and remembers what no viewer should meet.
//!
//! Nothing is decoded; what was fetched counts as watched. [`crate::viewer`] looks closer.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hls::check::{Media, parse_media};
use http::StatusCode;
use service::http::{Body, Client, read_all};
use tokio::{sync::watch, task::JoinSet};

use crate::{PATIENCE, until};

/// Longer than any answer may take: past it, a player has given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Largest body a viewer takes.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How a viewer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Reloads each target duration, takes whole segments, starts three of them behind.
    Plain,
    /// Reloads blocked, takes parts, the hinted one too, starts `PART-HOLD-BACK` behind.
    LowLatency,
}

/// What one viewer has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Answers that were as they should be.
    pub good: u64,
    /// What should not have happened, in words; the first few.
    pub failures: Vec<String>,
    /// The longest time without anything left to play.
    pub longest_stall: Duration,
    /// Seconds of media fetched.
    pub seconds: f64,
    /// Discontinuities met.
    pub discontinuities: u64,
}

/// Viewers that watch until they are told to leave.
#[derive(Debug)]
pub struct Audience {
    viewers: JoinSet<Seen>,
    leave: watch::Sender<bool>,
    reached: Vec<Arc<AtomicU64>>,
}

/// What all viewers share: where they look, and what bytes each URL had for the first of them.
#[derive(Debug)]
struct Hall {
    playlist: String,
    bodies: Mutex<HashMap<String, u64>>,
    leave: watch::Receiver<bool>,
}

impl Audience {
    /// Viewers of the media playlist at `playlist` (a whole URL), some of each manner.
    pub fn start(playlist: &str, manners: &[(Manner, usize)]) -> Self {
        let (leave, left) = watch::channel(false);
        let hall = Arc::new(Hall {
            playlist: playlist.to_owned(),
            bodies: Mutex::default(),
            leave: left,
        });
        let mut audience = Self {
            viewers: JoinSet::new(),
            leave,
            reached: Vec::new(),
        };
        for (manner, count) in manners {
            for _ in 0..*count {
                let viewer = Viewer::new(Arc::clone(&hall), *manner);
                audience.reached.push(Arc::clone(&viewer.reached));
                audience.viewers.spawn(viewer.watch());
            }
        }
        audience
    }

    /// The segment that every viewer has got to.
    pub fn least(&self) -> u64 {
        let numbers = self.reached.iter().map(|number| number.load(Relaxed));
        numbers.min().unwrap_or(0)
    }

    /// Waits until every viewer has fetched all before segment `msn`.
    pub async fn all_reach(&self, msn: u64) {
        let what = format!("every viewer has got to segment {msn}");
        until(&what, PATIENCE, async || {
            (self.least() >= msn).then_some(())
        })
        .await;
    }

    /// Waits until every viewer has fetched `count` segments more than all have now.
    pub async fn all_go_on(&self, count: u64) {
        until("every viewer plays", PATIENCE, async || {
            (self.least() > 0).then_some(())
        })
        .await;
        let furthest = self.reached.iter().map(|number| number.load(Relaxed)).max();
        self.all_reach(furthest.unwrap_or(0) + count).await;
    }

    /// Ends all, and gives what each has seen.
    pub async fn end(mut self) -> Vec<Seen> {
        // Nobody listening means that all have ended.
        let _ = self.leave.send(true);
        let mut seen = Vec::new();
        while let Some(viewer) = self.viewers.join_next().await {
            seen.push(viewer.expect("a viewer does not panic"));
        }
        seen
    }
}

/// Fails unless every viewer got only good answers and never stalled for longer than `stall_max`.
pub fn assert_content(seen: &[Seen], stall_max: Duration) {
    let failures: Vec<_> = seen.iter().flat_map(|one| &one.failures).collect();
    assert!(
        failures.is_empty(),
        "{} failures, such as {:#?}",
        failures.len(),
        &failures[..failures.len().min(12)]
    );
    let longest = seen.iter().map(|one| one.longest_stall).max();
    assert!(longest <= Some(stall_max), "a stall of {longest:?}");
    assert!(seen.iter().all(|one| one.good > 0), "somebody saw nothing");
}

/// The next piece to fetch: a segment's number and how many of its parts are there already.
type Place = (u64, usize);

/// A piece that is listed: its place, URI and seconds.
struct Piece {
    place: Place,
    next: Place,
    uri: String,
    seconds: f64,
    is_gap: bool,
    is_break: bool,
}

struct Viewer {
    hall: Arc<Hall>,
    manner: Manner,
    client: Client,
    seen: Seen,
    reached: Arc<AtomicU64>,
    next: Place,
    /// The hinted part, if it came before it was listed.
    early: Option<String>,
    began: Option<Instant>,
    stalled: Duration,
}

impl Viewer {
    fn new(hall: Arc<Hall>, manner: Manner) -> Self {
        Self {
            hall,
            manner,
            client: Client::new(Duration::from_secs(5)),
            seen: Seen::default(),
            reached: Arc::default(),
            next: (0, 0),
            early: None,
            began: None,
            stalled: Duration::ZERO,
        }
    }

    async fn watch(mut self) -> Seen {
        let mut leave = self.hall.leave.clone();
        let told = async move {
            // The sender is gone when the scenario is.
            let _ = leave.wait_for(|leave| *leave).await;
        };
        tokio::select! {
            () = self.follow() => {}
            () = told => {}
        }
        self.note_stall();
        self.seen
    }

    async fn follow(&mut self) {
        let mut hint = None;
        loop {
            let asked = Instant::now();
            let Some(media) = self.reload(hint.take()).await else {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            };
            let before = self.next;
            self.take(&media).await;
            if media.ended {
                return;
            }
            hint = media.hint.clone();
            if self.manner == Manner::Plain {
                let target = Duration::from_secs(media.target_duration.unwrap_or(2));
                // rfc8216bis section 6.3.4: sooner when nothing was new.
                let wait = if self.next > before {
                    target
                } else {
                    target / 2
                };
                tokio::time::sleep_until((asked + wait).into()).await;
            }
        }
    }

    async fn reload(&mut self, hint: Option<String>) -> Option<Media> {
        let blocking = self.manner == Manner::LowLatency && self.began.is_some();
        let url = match blocking {
            true => {
                let (msn, part) = self.next;
                format!("{}?_HLS_msn={msn}&_HLS_part={part}", self.hall.playlist)
            }
            false => self.hall.playlist.clone(),
        };
        let body = match hint.filter(|_| blocking) {
            None => self.get(&url).await,
            Some(uri) => {
                let part = self.url_of(&uri);
                let (body, early) = tokio::join!(self.get(&url), self.get(&part));
                // A hint is no promise: only what is listed must be there.
                if let Ok(bytes) = early {
                    self.keep(&part, &bytes);
                    self.early = Some(uri);
                }
                body
            }
        };
        let media = match body {
            Ok(body) => parse_media(&String::from_utf8_lossy(&body)).map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        };
        match media {
            Ok(media) => {
                self.seen.good += 1;
                Some(media)
            }
            Err(reason) => {
                self.fail(format!("{url}: {reason}"));
                None
            }
        }
    }

    /// Fetches what is new.
    async fn take(&mut self, media: &Media) {
        let pieces = self.pieces(media);
        if self.began.is_none() {
            self.next = start(&pieces, self.behind(media));
        }
        if self.next.0 < media.media_sequence {
            let first = media.media_sequence;
            self.fail(format!(
                "{:?} has left the playlist, which starts at {first}",
                self.next
            ));
        }
        for piece in pieces {
            if piece.place < self.next {
                continue;
            }
            self.seen.discontinuities += u64::from(piece.is_break);
            if !piece.is_gap && self.early.as_ref() != Some(&piece.uri) {
                let url = self.url_of(&piece.uri);
                match self.get(&url).await {
                    Ok(bytes) => {
                        self.seen.good += 1;
                        self.keep(&url, &bytes);
                    }
                    Err(reason) => self.fail(format!("{url}: {reason}")),
                }
            }
            self.note_stall();
            self.seen.seconds += piece.seconds;
            self.next = piece.next;
            self.reached.store(self.next.0, Relaxed);
        }
        self.began = self.began.or_else(|| Some(Instant::now()));
    }

    /// Everything listed, in order, as finely as this viewer takes it.
    fn pieces(&self, media: &Media) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for unit in media.segments.iter().chain(&media.open) {
            let by_part = self.manner == Manner::LowLatency && !unit.parts.is_empty();
            if !by_part && !unit.uri.is_empty() {
                pieces.push(Piece {
                    place: (unit.msn, 0),
                    next: (unit.msn + 1, 0),
                    uri: unit.uri.clone(),
                    seconds: unit.duration,
                    is_gap: unit.gap,
                    is_break: unit.discontinuity,
                });
            }
            for (index, part) in unit.parts.iter().enumerate().filter(|_| by_part) {
                let is_last = !unit.uri.is_empty() && index + 1 == unit.parts.len();
                pieces.push(Piece {
                    place: (unit.msn, index),
                    next: match is_last {
                        true => (unit.msn + 1, 0),
                        false => (unit.msn, index + 1),
                    },
                    uri: part.uri.clone(),
                    seconds: part.duration,
                    is_gap: part.gap || unit.gap,
                    is_break: unit.discontinuity && index == 0,
                });
            }
        }
        pieces
    }

    /// How far behind the end of the playlist this viewer starts, in seconds.
    fn behind(&self, media: &Media) -> f64 {
        let said = media.server_control.as_ref().and_then(|control| {
            let name = match self.manner {
                Manner::Plain => "HOLD-BACK",
                Manner::LowLatency => "PART-HOLD-BACK",
            };
            control.get(name)?.parse().ok()
        });
        said.unwrap_or(3.0 * media.target_duration.unwrap_or(2) as f64)
    }

    async fn get(&self, url: &str) -> Result<Bytes, String> {
        let request = http::Request::get(url)
            .body(Body::empty())
            .map_err(|e| e.to_string())?;
        let response = self
            .client
            .send(request, ANSWER_LIMIT)
            .await
            .map_err(|e| e.to_string())?;
        let status = response.status();
        let body =
            tokio::time::timeout(ANSWER_LIMIT, read_all(response.into_body(), BODY_BYTES_MAX))
                .await
                .map_err(|_| "the body stopped".to_owned())?
                .map_err(|e| e.to_string())?;
        match status {
            StatusCode::OK => Ok(body),
            other => Err(format!("{other}: {}", String::from_utf8_lossy(&body))),
        }
    }

    fn url_of(&self, uri: &str) -> String {
        let base = self.hall.playlist.rsplit_once('/');
        let base = base.map_or(self.hall.playlist.as_str(), |(base, _)| base);
        format!("{base}/{uri}")
    }

    /// A URL's bytes are the same for everybody, always.
    fn keep(&mut self, url: &str, bytes: &Bytes) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let digest = hasher.finish();
        let mut bodies = self.hall.bodies.lock().expect("no viewer panics");
        let first = *bodies.entry(url.to_owned()).or_insert(digest);
        drop(bodies);
        if first != digest {
            self.fail(format!("{url}: other bytes than somebody else got"));
        }
    }

    /// If everything fetched has been played by now, the picture has stood still since then.
    fn note_stall(&mut self) {
        let Some(began) = self.began else { return };
        let lasts = Duration::from_secs_f64(self.seen.seconds) + self.stalled;
        let stall = began.elapsed().saturating_sub(lasts);
        self.stalled += stall;
        self.seen.longest_stall = self.seen.longest_stall.max(stall);
    }

    fn fail(&mut self, words: String) {
        const KEPT: usize = 5;
        if self.seen.failures.len() < KEPT {
            let at = self
                .began
                .map_or(0.0, |began| began.elapsed().as_secs_f64());
            self.seen.failures.push(format!("after {at:.1} s: {words}"));
        }
    }
}

/// The latest piece from which at least `behind` seconds are listed.
fn start(pieces: &[Piece], behind: f64) -> Place {
    let mut left = behind;
    for piece in pieces.iter().rev() {
        left -= piece.seconds;
        if left <= 0.0 {
            return piece.place;
        }
    }
    pieces.first().map_or((0, 0), |piece| piece.place)
}
