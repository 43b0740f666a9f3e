//! Serves RTMP publishers: one task per connection reads bytes and hands media to its stream.
//!
//! The task reads, lets the RTMP session and the FLV demuxer make events of the bytes, and hands
//! them to the stream under a short lock. Nothing here waits for anything but the peer's socket, so
//! a publisher is never slowed by a viewer, a rung or the recorder. A bad peer costs its own
//! connection and one log line with the reason.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use flv::Demuxer;
use media::{IngestEvent, MediaKind, SkipReason, Skipped};
use rtmp::server::{Code, Event, Limits, PublishRequest, Rejection, Session};
use service::{
    Clock,
    drain::{Phase, Watch},
    log::RateLimited,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{Instrument, debug, info, info_span, warn};

use super::{auth, foreign_audio::ForeignAudioTranscoder};
use crate::{
    config::Publish,
    metrics::Metrics,
    stream::{Publication, Publisher, Registry},
};

/// One read takes at most this much: a 4K keyframe arrives in a few reads, an idle publisher costs
/// one buffer.
const READ_BYTES: usize = 256 << 10;

/// A peer that does not take our few bytes of answers for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// After a refusal the encoder gets this long to read the reason before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);

/// A publish of which nothing could be used for this long ends, with the reason; whatever can be
/// used keeps it.
const NOTHING_USABLE_MAX: Duration = Duration::from_secs(10);

/// A pause after the system refuses a connection (no file descriptors), so that the loop does not
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static REFUSED: RateLimited = RateLimited::new();

/// Everything a connection needs.
#[derive(Clone)]
pub struct Ingest {
    /// Where streams live.
    pub registry: Arc<Registry>,
    /// Publish rules.
    pub publish: Arc<Publish>,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
    /// Connections at once.
    pub connections_max: usize,
}

/// How a connection ended, for its one closing log line.
enum End {
    /// The peer closed or said goodbye.
    Closed,
    /// We refused or ended it; the reason was sent.
    Refused(String),
    /// What it sends is not taken; the reason was sent.
    Unwanted(String),
    /// Its bytes were wrong, or it fell silent.
    Faulty(String),
}

impl Ingest {
    /// Accepts publishers until the drain closes the door, then waits for none: their streams seal
    /// themselves.
    pub async fn serve(self, listener: TcpListener, drain: Watch) {
        let places = Arc::new(Semaphore::new(self.connections_max));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.reached(Phase::Closing) => return,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a publisher; raise the limit of open files");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.metrics.refused("connections").inc();
                if let Some(count) = REFUSED.note(self.clock.now()) {
                    let limit = self.connections_max;
                    warn!(%peer, count, limit, "refused connections: all places taken; raise max_connections");
                }
                continue;
            };
            let (ingest, drain) = (self.clone(), drain.clone());
            let span = info_span!("conn", %peer);
            tokio::spawn(
                async move {
                    ingest.connection(socket, peer, drain).await;
                    drop(place);
                }
                .instrument(span),
            );
        }
    }

    async fn connection(&self, socket: TcpStream, peer: SocketAddr, drain: Watch) {
        self.metrics.connections.inc();
        let limits = Limits {
            idle: self.publish.idle_timeout.0,
            ..Limits::default()
        };
        let mut connection = Connection {
            ingest: self,
            socket,
            peer,
            session: Session::new(limits),
            demuxer: Demuxer::new(),
            foreign_audio: ForeignAudioTranscoder::default(),
            publication: None,
            stream: None,
            left_out: 0,
            usable_at: self.clock.now(),
            has_video: false,
        };
        let end = connection.run(drain).await;
        let left = connection.leave(&end);
        let stream = connection.stream.as_deref().unwrap_or("-");
        match end {
            End::Closed if left => debug!(stream, "publisher left"),
            End::Closed => debug!("connection closed before a publish"),
            End::Refused(reason) | End::Unwanted(reason) => {
                info!(stream, reason, "publisher refused");
            }
            End::Faulty(reason) => {
                self.metrics.refused("protocol").inc();
                warn!(stream, reason, "connection ended: bad input");
            }
        }
        self.metrics.connections.dec();
    }
}

struct Connection<'a> {
    ingest: &'a Ingest,
    socket: TcpStream,
    peer: SocketAddr,
    session: Session,
    demuxer: Demuxer,
    foreign_audio: ForeignAudioTranscoder,
    publication: Option<Publication>,
    /// What it last asked to publish, for its log lines.
    stream: Option<String>,
    /// Tags left out since something could be used.
    left_out: u32,
    /// When something could be used last.
    usable_at: Duration,
    /// A video configuration came.
    has_video: bool,
}

impl Connection<'_> {
    async fn run(&mut self, drain: Watch) -> End {
        // Answers are a few hundred bytes and awaited by the encoder: do not hold them back.
        let _ = self.socket.set_nodelay(true);
        let clock = self.ingest.clock.clone();
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            let timeout = self.session.next_timeout();
            let kicked = self.publication.as_mut().map(Publication::kicked);
            tokio::select! {
                read = self.socket.read_buf(&mut buffer) => match read {
                    Ok(0) => return End::Closed,
                    Ok(_) => {
                        let pushed = self.session.push(&buffer, clock.now());
                        buffer.clear();
                        if let Err(end) = self.handle_events(pushed) {
                            return self.finish(end).await;
                        }
                    }
                    Err(error) => return closed_by(&error),
                },
                () = sleep_until(&clock, timeout) => {
                    if let Err(error) = self.session.handle_timeout(clock.now()) {
                        return End::Faulty(error.to_string());
                    }
                }
                reason = pending_unless(kicked) => {
                    let rejection = Rejection::new(Code::Rejected, reason.clone());
                    self.session.close(rejection);
                    return self.finish(End::Refused(reason)).await;
                }
                () = drain.reached(Phase::Closing) => {
                    let reason = "the server is shutting down; reconnect".to_owned();
                    self.session.close(Rejection::new(Code::Rejected, reason.clone()));
                    return self.finish(End::Refused(reason)).await;
                }
            }
            if let Err(error) = self.flush().await {
                return closed_by(&error);
            }
        }
    }

    /// Events that came before an error still count; then the error ends the connection.
    fn handle_events(&mut self, pushed: Result<(), rtmp::Error>) -> Result<(), End> {
        while let Some(event) = self.session.next_event() {
            match event {
                Event::PublishRequested(request) => self.decide(request)?,
                Event::Media(tag) => self.media(tag)?,
                Event::PublishEnded => {
                    if let Some(mut publication) = self.publication.take() {
                        publication.leave("the publisher ended it");
                    }
                    self.demuxer = Demuxer::new();
                    self.foreign_audio = ForeignAudioTranscoder::default();
                }
                _ => {}
            }
        }
        pushed.map_err(|error| End::Faulty(error.to_string()))?;
        if self.session.is_closing() {
            let reason = match self.session.rejection() {
                Some(rejection) => rejection.reason.clone(),
                None => "the session ended it".to_owned(),
            };
            return Err(End::Refused(reason));
        }
        Ok(())
    }

    fn decide(&mut self, request: PublishRequest) -> Result<(), End> {
        let (ingest, id) = (self.ingest, request.id);
        self.stream = Some(request.stream.clone());
        let publisher = Publisher {
            address: self.peer,
            encoder: request.flash_ver.clone(),
        };
        let rules = &ingest.publish;
        let key = request.key.as_ref().map(|key| key.expose());
        let claimed = auth::authorize(&rules.keys, rules.on_conflict, &request.stream, key)
            .map_err(|refusal| refusal.to_string())
            .and_then(|policy| {
                ingest
                    .registry
                    .claim(&request.stream, publisher, policy)
                    .map_err(|e| e.to_string())
            });
        match claimed {
            Ok(publication) => {
                self.publication = Some(publication);
                self.demuxer = Demuxer::new();
                self.foreign_audio = ForeignAudioTranscoder::default();
                self.has_video = false;
                self.left_out = 0;
                self.usable_at = ingest.clock.now();
                self.session
                    .accept(id)
                    .map_err(|error| End::Faulty(error.to_string()))
            }
            Err(reason) => {
                ingest.metrics.refused("publish").inc();
                self.session.reject(id, Rejection::bad_name(reason.clone()));
                Err(End::Refused(reason))
            }
        }
    }

    fn media(&mut self, tag: flv::Tag) -> Result<(), End> {
        let Some(publication) = &self.publication else {
            return Ok(());
        };
        let now = self.ingest.clock.now();
        self.ingest
            .metrics
            .ingest_bytes
            .inc_by(tag.body.len() as u64);
        self.demuxer.push(tag);
        while let Some(event) = self.demuxer.next_event() {
            match &event {
                IngestEvent::Skipped(skipped) => {
                    self.left_out += 1;
                    if is_damage(skipped.reason) {
                        self.ingest.metrics.damaged_tags.inc();
                        publication.note_damaged();
                    }
                    if let Some(rejection) = self.judge(skipped, now) {
                        let reason = rejection.reason.clone();
                        self.session.close(rejection);
                        return Err(End::Unwanted(reason));
                    }
                }
                IngestEvent::VideoConfig(_) => self.has_video = true,
                IngestEvent::Unit(_) | IngestEvent::ForeignAudio(_) => {
                    self.left_out = 0;
                    self.usable_at = now;
                }
                _ => {}
            }
            if let IngestEvent::ForeignAudio(audio) = &event {
                for event in self.foreign_audio.push(audio) {
                    publication.push(event, now);
                }
                continue;
            }
            publication.push(event, now);
        }
        Ok(())
    }

    /// Whether the publish ends over a tag that was left out: nothing usable came for long, or its
    /// video is none that is carried.
    fn judge(&self, skipped: &Skipped, now: Duration) -> Option<Rejection> {
        let is_video = skipped.kind == Some(MediaKind::Video);
        if is_video && skipped.reason == SkipReason::Codec && !self.has_video {
            return Some(Rejection::bad_name(skipped.detail.clone()));
        }
        (now.saturating_sub(self.usable_at) >= NOTHING_USABLE_MAX).then(|| {
            let (seconds, count) = (NOTHING_USABLE_MAX.as_secs(), self.left_out);
            let last = &skipped.detail;
            let reason = format!(
                "nothing usable came for {seconds} s; {count} tags were left out, the last: {last}"
            );
            Rejection::new(Code::Failed, reason)
        })
    }

    /// Gives the publisher's place up; whether it had one.
    fn leave(&mut self, end: &End) -> bool {
        let Some(mut publication) = self.publication.take() else {
            return false;
        };
        match end {
            End::Closed => publication.leave("the encoder closed the connection"),
            End::Refused(reason) | End::Faulty(reason) => publication.leave(reason),
            End::Unwanted(reason) => publication.refuse(reason),
        }
        true
    }

    /// Sends what is left and gives the peer time to read it: a cut connection would swallow the
    /// reason.
    async fn finish(&mut self, end: End) -> End {
        // The stream goes on without this publisher from now, not from when the peer has read its
        // farewell.
        self.leave(&end);
        if self.flush().await.is_ok() {
            let _ = self.socket.shutdown().await;
            let drain_input = async {
                let mut sink = BytesMut::with_capacity(READ_BYTES);
                while matches!(self.socket.read_buf(&mut sink).await, Ok(read) if read > 0) {
                    sink.clear();
                }
            };
            let _ = tokio::time::timeout(LINGER, drain_input).await;
        }
        end
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        while let Some(bytes) = self.session.next_output() {
            let written = tokio::time::timeout(WRITE_TIMEOUT, self.socket.write_all(&bytes)).await;
            written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
        }
        Ok(())
    }
}

/// Whether a tag was left out because it is broken, not because nobody needs it.
fn is_damage(reason: SkipReason) -> bool {
    match reason {
        SkipReason::Damaged | SkipReason::Config | SkipReason::NoConfig => true,
        SkipReason::Codec | SkipReason::OtherTrack | SkipReason::Metadata => false,
    }
}

fn closed_by(error: &std::io::Error) -> End {
    match error.kind() {
        // How most encoders leave.
        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => End::Closed,
        _ => End::Faulty(format!("cannot use the connection: {error}")),
    }
}

async fn sleep_until(clock: &Clock, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn pending_unless<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
