//! Publishes encoded units to one RTMP server and reconnects whenever the connection ends.
//!
//! A connection's clock starts at its first keyframe, as OBS does it. A target that is down,
//! refuses or is slow never disturbs the others.

use std::{io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use flv::{Tag, TagKind, mux};
use media::MediaKind;
use rand::Rng;
use rtmp::{client, url::PublishUrl};
use service::{Clock, backoff::Backoff};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{broadcast, watch},
};

use crate::{
    faults::{self, Fault, Schedule},
    source::{self, Item, Tracks},
};

/// A server that does not accept or take bytes for this long is gone.
const IO_WITHIN: Duration = Duration::from_secs(10);
/// A local origin restarts within a second; an absent one is asked this rarely.
const BACKOFF: Backoff = Backoff::endless(Duration::from_millis(200), Duration::from_secs(5));
/// A publish that lasted this long was healthy: the next failure starts the waits over.
const HEALTHY: Duration = Duration::from_secs(10);
/// Bytes overwritten by [`Fault::Damage`].
const DAMAGED_BYTES: usize = 16;
const READ_BYTES: usize = 16 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot reach it: {0}")]
    Io(#[from] io::Error),
    #[error("no progress for {} s", IO_WITHIN.as_secs())]
    Stuck,
    #[error(transparent)]
    Protocol(#[from] rtmp::Error),
    #[error("refused: {code} {description}")]
    Refused { code: String, description: String },
    #[error("closed by the server")]
    Closed,
    #[error("cut on purpose for {} ms", .0.as_millis())]
    Cut(Duration),
    #[error("done")]
    Done,
}

/// One target.
#[derive(Debug)]
pub struct Publisher {
    url: PublishUrl,
    clock: Clock,
    schedule: Schedule,
    first_timestamp_ms: u32,
    stop: watch::Receiver<bool>,
}

impl Publisher {
    /// A publisher to `url` that ends when `stop` turns true.
    pub fn new(
        url: PublishUrl,
        clock: Clock,
        faults: &faults::Config,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            url,
            schedule: Schedule::new(faults, clock.now()),
            first_timestamp_ms: faults.first_timestamp_ms,
            clock,
            stop,
        }
    }

    /// Publishes until stopped.
    pub async fn run(mut self, items: broadcast::Sender<Arc<Item>>) {
        let mut waits = BACKOFF.start();
        let target = self.url.tc_url();
        let stream = self.url.stream().to_owned();
        // Painting a large scene takes seconds, and a server drops a publisher that sends nothing.
        let mut first = items.subscribe();
        tokio::select! {
            _ = first.recv() => {}
            () = stopped(&mut self.stop) => return,
        }
        drop(first);
        while !*self.stop.borrow() {
            let started = self.clock.now();
            let ended = self.connection(items.subscribe()).await;
            if matches!(ended, Ended::Done) {
                return;
            }
            if self.clock.now().saturating_sub(started) > HEALTHY {
                waits.reset();
            }
            let wait = match &ended {
                Ended::Cut(away) => *away,
                _ => waits.next().unwrap_or(BACKOFF.longest),
            };
            let retry_ms = wait.as_millis();
            tracing::warn!(target_url = target, stream, %ended, retry_ms, "publish ended");
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = stopped(&mut self.stop) => return,
            }
        }
    }

    async fn connection(&mut self, items: broadcast::Receiver<Arc<Item>>) -> Ended {
        let connect = TcpStream::connect((self.url.host(), self.url.port()));
        let session = match client::Session::publish_to(&self.url) {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let stream = tokio::select! {
            stream = tokio::time::timeout(IO_WITHIN, connect) => stream,
            () = stopped(&mut self.stop) => return Ended::Done,
        };
        let stream = match stream {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return error.into(),
            Err(_) => return Ended::Stuck,
        };
        // Small tags must not wait for more.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            publisher: self,
            stream,
            session,
            items,
            tracks: None,
            zero_ms: 0,
            jumped_ms: 0,
            stalled_until: None,
            muted_until: None,
            damage: false,
        };
        match connection.run().await {
            Ok(()) => Ended::Done,
            Err(ended) => ended,
        }
    }
}

struct Connection<'a> {
    publisher: &'a mut Publisher,
    stream: TcpStream,
    session: client::Session,
    items: broadcast::Receiver<Arc<Item>>,
    /// What was announced; `None` until the first keyframe, and again after units were lost.
    tracks: Option<Arc<Tracks>>,
    zero_ms: i64,
    jumped_ms: i64,
    stalled_until: Option<Duration>,
    muted_until: Option<Duration>,
    damage: bool,
}

impl Connection<'_> {
    async fn run(mut self) -> Result<(), Ended> {
        let mut read = BytesMut::with_capacity(READ_BYTES);
        let mut stop = self.publisher.stop.clone();
        loop {
            self.flush().await?;
            self.events()?;
            let now = self.publisher.clock.now();
            self.faults(now)?;
            let wake = self.wake();
            let until = wake.unwrap_or_default();
            let may_send = self.session.is_ready() && self.stalled_until.is_none();
            read.reserve(READ_BYTES);
            tokio::select! {
                count = self.stream.read_buf(&mut read) => {
                    if count? == 0 {
                        return Err(Ended::Closed);
                    }
                    let bytes = read.split();
                    self.session.push(&bytes, self.publisher.clock.now())?;
                }
                item = self.items.recv(), if may_send => self.item(item)?,
                () = self.publisher.clock.sleep_until(until), if wake.is_some() => {
                    self.session.handle_timeout(self.publisher.clock.now())?;
                }
                () = stopped(&mut stop) => {
                    self.session.close();
                    let _ = self.flush().await;
                    return Ok(());
                }
            }
        }
    }

    /// Writes whatever the session wants written.
    async fn flush(&mut self) -> Result<(), Ended> {
        while let Some(bytes) = self.session.next_output() {
            let write = self.stream.write_all(&bytes);
            tokio::time::timeout(IO_WITHIN, write)
                .await
                .map_err(|_| Ended::Stuck)??;
        }
        Ok(())
    }

    fn events(&mut self) -> Result<(), Ended> {
        while let Some(event) = self.session.next_event() {
            match event {
                client::Event::Ready => {
                    // What piled up while connecting is stale.
                    self.items = self.items.resubscribe();
                    let url = &self.publisher.url;
                    tracing::info!(
                        target_url = url.tc_url(),
                        stream = url.stream(),
                        "publishing"
                    );
                }
                client::Event::Rejected { code, description } => {
                    return Err(Ended::Refused { code, description });
                }
                _ => return Err(Ended::Closed),
            }
        }
        Ok(())
    }

    fn faults(&mut self, now: Duration) -> Result<(), Ended> {
        if self.stalled_until.is_some_and(|until| until <= now) {
            self.stalled_until = None;
        }
        if self.muted_until.is_some_and(|until| until <= now) {
            tracing::info!("audio is sent again");
            self.muted_until = None;
        }
        if !self.session.is_ready() {
            return Ok(());
        }
        while let Some(fault) = self.publisher.schedule.due(now) {
            tracing::info!(?fault, "fault");
            match fault {
                Fault::Drop(away) => return Err(Ended::Cut(away)),
                Fault::Jump(by_ms) => self.jumped_ms += by_ms,
                Fault::Stall(time) => self.stalled_until = Some(now + time),
                Fault::Mute(time) => self.muted_until = Some(now + time),
                Fault::Damage => self.damage = true,
            }
        }
        Ok(())
    }

    fn wake(&self) -> Option<Duration> {
        let faults = self
            .session
            .is_ready()
            .then(|| self.publisher.schedule.next())
            .flatten();
        let times = [
            self.session.next_timeout(),
            self.stalled_until,
            self.muted_until,
            faults,
        ];
        // A session that was not told the time yet is told soon.
        let soon = self.publisher.clock.now() + Duration::from_millis(10);
        let wake = times.into_iter().flatten().min()?;
        Some(if wake.is_zero() { soon } else { wake })
    }

    fn item(&mut self, item: Result<Arc<Item>, broadcast::error::RecvError>) -> Result<(), Ended> {
        let item = match item {
            Ok(item) => item,
            Err(broadcast::error::RecvError::Closed) => return Err(Ended::Done),
            Err(broadcast::error::RecvError::Lagged(units)) => {
                tracing::warn!(units, "the network is too slow; units were left out");
                self.tracks = None;
                return Ok(());
            }
        };
        match &self.tracks {
            Some(tracks) if Arc::ptr_eq(tracks, &item.tracks) => {}
            first => {
                if !source::opens(&item) {
                    return Ok(());
                }
                if first.is_none() && self.zero_ms == 0 {
                    self.zero_ms = item.ms;
                }
                self.announce(&item)?;
            }
        }
        if self.muted_until.is_some() && item.unit.kind == MediaKind::Audio {
            return Ok(());
        }
        let Some(timestamp_ms) = self.timestamp(item.ms) else {
            return Ok(());
        };
        let mut tag = mux::access_unit(&item.unit, timestamp_ms);
        if self.damage && item.unit.kind == MediaKind::Video && !item.unit.is_sync() {
            self.damage = false;
            tag.body = damaged(&tag);
        }
        self.session.send(&tag)?;
        Ok(())
    }

    fn announce(&mut self, item: &Item) -> Result<(), Ended> {
        let at = self.timestamp(item.ms).unwrap_or_default();
        self.session
            .send(&mux::metadata(&item.tracks.metadata, at))?;
        self.session
            .send(&mux::video_config(&item.tracks.video, at))?;
        if let Some(audio) = &item.tracks.audio {
            self.session.send(&mux::audio_config(audio, at))?;
        }
        self.tracks = Some(Arc::clone(&item.tracks));
        Ok(())
    }

    /// This connection's time stamp; `None` for what lies before its first keyframe.
    fn timestamp(&self, ms: i64) -> Option<u32> {
        let since = ms - self.zero_ms;
        let stamp = since + self.jumped_ms + i64::from(self.publisher.first_timestamp_ms);
        // RTMP counts modulo 2^32.
        (since >= 0).then_some(stamp as u32)
    }
}

/// Ends when the source is told to; also when whoever would tell it is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The tag with some bytes in its middle overwritten; lengths stay as they are.
fn damaged(tag: &Tag) -> Bytes {
    debug_assert_eq!(tag.kind, TagKind::Video);
    let mut body = tag.body.to_vec();
    let middle = body.len() / 2;
    let end = (middle + DAMAGED_BYTES).min(body.len());
    rand::rng().fill(&mut body[middle..end]);
    body.into()
}
