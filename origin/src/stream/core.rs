//! A stream's state behind its lock: who publishes, how the clock runs, and the run that viewers
//! see.
//!
//! ```text
//! Idle --first access unit--> Live --publisher leaves--> Waiting --same or next publisher--> Live
//!                                                           \--reconnect window passes--> Ended --next publisher--> Live
//! ```
//!
//! While waiting, every URL goes on answering; a publisher that comes back goes on in the same run
//! behind one discontinuity. After the window the playlists get their end, and the next publisher
//! starts a new run whose numbers lie above everything served.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hls::{LastPosition, Snapshot, Tracks};
use media::{Immersive, IngestEvent, MediaKind, SourceMetadata, Timeline, Track, timeline};
use pairing::{Join, Pairing};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{
    Environment, Publisher, discontinuity_store,
    events::StreamEvent,
    health::Health,
    input_faults::InputFaults,
    ladder::LadderSink,
    run::{Run, Start},
    run_id, unix_micros,
};
use crate::{
    api::{PublisherReport, StreamReport, StreamState, TracksReport},
    config::StreamConfig,
    rfc3339::rfc3339,
};

/// How long an ended run's playlists and segments stay: its window and as much again, so that
/// viewers who lag see the end. Counted in windows.
const LINGER_WINDOWS: u32 = 2;

/// One publisher's connection.
#[derive(Debug)]
pub struct Session {
    id: u64,
    /// Who.
    pub publisher: Publisher,
    /// Since when.
    pub since: SystemTime,
    kick: watch::Sender<Option<String>>,
    pub(super) health: Health,
    damaged: u64,
    faults: InputFaults,
    metadata: Option<SourceMetadata>,
}

impl Session {
    fn report(&self, now: Duration) -> PublisherReport {
        PublisherReport {
            address: self.publisher.address.to_string(),
            encoder: self.publisher.encoder.clone(),
            since: rfc3339(self.since),
            health: self.health.figures(now),
            damaged_tags: self.damaged,
            skipped: self.faults.skipped_report(),
            repaired: self.faults.repaired_report(),
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Core {
    pub(super) name: String,
    pub(super) config: StreamConfig,
    /// How pictures lie on the sphere where nobody says otherwise.
    pub(super) configured: Immersive,
    pub(super) environment: Environment,
    ladder_reports: LadderSink,
    session: Option<Session>,
    sessions: u64,
    pub(super) timeline: Timeline,
    /// Milliseconds of filling exported so far, of this timeline: video, audio.
    filled_ms: [u64; 2],
    /// What this session's publisher has announced.
    pub(super) announced: Tracks,
    pub(super) run: Option<Run>,
    /// What an earlier process left of the stream, until a run goes on from it.
    restored: Option<Arc<Snapshot>>,
    /// Viewers have yet to see it as it is now.
    remains_changed: bool,
    /// What is shared with the other origin, if there is one.
    pub(super) pairing: Option<Pairing>,
    /// Next number and discontinuity sequence of earlier runs that viewers have seen.
    pub(super) shown_before: (u64, u64),
    /// Ladders of a run that was discarded: up to this generation.
    ladders_before: u64,
    /// When the last publisher left.
    left_at: Option<Duration>,
    /// When the run ended.
    ended_at: Option<Duration>,
}

impl Core {
    /// Nobody publishes, nothing runs.
    pub fn new(
        name: &str,
        config: StreamConfig,
        environment: Environment,
        ladder_reports: LadderSink,
    ) -> Self {
        let pairing = environment
            .peer
            .map(|peer_config| Pairing::new(peer_config.settings, peer_config.primary));
        Self {
            pairing,
            name: name.to_owned(),
            configured: config.immersive,
            config,
            environment,
            ladder_reports,
            session: None,
            sessions: 0,
            timeline: Timeline::new(),
            filled_ms: [0; 2],
            announced: Tracks::default(),
            run: None,
            restored: None,
            remains_changed: false,
            shown_before: (0, 0),
            ladders_before: 0,
            left_at: None,
            ended_at: None,
        }
    }

    /// Shows what an earlier process left, and waits for its publisher.
    pub fn restore(&mut self, restored: Arc<Snapshot>) {
        self.restored = Some(restored);
        self.remains_changed = true;
        self.left_at = Some(self.environment.clock.now());
    }

    /// The publisher, if there is one.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether `id` is the publisher's session.
    pub fn is_session(&self, id: u64) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.id == id)
    }

    /// Gives the place to a new publisher; whoever had it is told to go.
    pub fn open_session(
        &mut self,
        publisher: Publisher,
        kick: watch::Sender<Option<String>>,
    ) -> u64 {
        self.kick(&format!(
            "another publisher took over this stream, from {}",
            publisher.address
        ));
        let id = self.sessions;
        self.sessions += 1;
        let since = self.environment.clock.wall();
        let health = Health::default();
        self.session = Some(Session {
            id,
            publisher,
            since,
            kick,
            health,
            damaged: 0,
            faults: InputFaults::default(),
            metadata: None,
        });
        if let Some(session) = &self.session {
            let event = StreamEvent::PublishStarted {
                address: session.publisher.address.to_string(),
                encoder: session.publisher.encoder.clone(),
            };
            self.environment.events.tell(&self.name, event, since);
        }
        self.left_at = None;
        self.announced = Tracks::default();
        if self.run.as_ref().is_some_and(|run| !run.is_ending()) {
            self.timeline.resume();
            self.drain_timeline(since);
        } else {
            // Above the times of what an earlier process left, as after any reconnect: GStreamer
            // loses its place where times go back.
            let end = self
                .restored
                .as_ref()
                .map_or(0.0, |restored| restored.end_seconds());
            self.timeline = Timeline::starting_at(end);
        }
        id
    }

    /// The publisher `id` is refused: what it sent before is as if it had never been, unless
    /// viewers have seen any of it.
    pub fn refuse_session(&mut self, id: u64, reason: &str, now: Duration) {
        if !self.is_session(id) {
            return;
        }
        let unseen = |run: &Run| run.shown().is_none() && !run.is_ending();
        if self.pairing.is_some() {
            // The peer may know of the run: it ends as any other, unrecorded.
            if let Some(run) = self.run.as_mut().filter(|run| unseen(run)) {
                run.discard_recording();
            }
            return self.close_session(id, reason, now);
        }
        let Some(mut run) = self.run.take_if(|run| unseen(run)) else {
            if self.run.is_none() {
                // What waits to be placed would start one.
                self.timeline = Timeline::new();
            }
            return self.close_session(id, reason, now);
        };
        self.ladders_before = run.ladders_generation();
        run.discard_recording();
        run.retire();
        self.session_ended(reason);
        self.timeline = Timeline::new();
        self.ended_at = Some(now);
    }

    fn session_ended(&mut self, reason: &str) {
        self.session = None;
        let reason = reason.to_owned();
        let wall = self.environment.clock.wall();
        let event = StreamEvent::PublishEnded { reason };
        self.environment.events.tell(&self.name, event, wall);
    }

    /// The publisher `id` is gone.
    pub fn close_session(&mut self, id: u64, reason: &str, now: Duration) {
        if !self.is_session(id) {
            return;
        }
        self.session_ended(reason);
        self.left_at = Some(now);
        self.timeline.flush();
        self.drain_timeline(self.environment.clock.wall());
        self.interrupt(now);
        if self.config.publish.reconnect_window.0.is_zero() {
            self.end();
        }
    }

    /// Tells the publisher to go; `false` when there is none.
    pub fn kick(&mut self, reason: &str) -> bool {
        let Some(session) = &self.session else {
            return false;
        };
        session.kick.send_replace(Some(reason.to_owned()));
        let id = session.id;
        self.close_session(id, reason, self.environment.clock.now());
        true
    }

    /// Takes what the publisher sent.
    pub fn push(&mut self, event: IngestEvent, now: Duration, wall: SystemTime) {
        match event {
            IngestEvent::VideoConfig(config) => {
                let declared = self
                    .session
                    .as_ref()
                    .and_then(|session| session.metadata.as_ref())
                    .and_then(declared_rate);
                self.timeline.set_video(&config, declared);
                self.announced.video = Some(Track::video(config));
            }
            IngestEvent::AudioConfig(config) => {
                self.timeline.set_audio(&config);
                self.announced.audio = Some(Track::audio(config));
            }
            IngestEvent::Unit(unit) => {
                if let Some(session) = &mut self.session {
                    session.health.record(&unit, now);
                }
                self.timeline.push(unit, now);
            }
            IngestEvent::Metadata(metadata) => {
                if let Some(session) = &mut self.session {
                    info!(stream = self.name, ?metadata, "metadata");
                    session.metadata = Some(metadata.clone());
                    self.hear(&metadata);
                }
            }
            IngestEvent::Repaired(repair) => {
                if let Some(session) = &mut self.session {
                    let metrics = &self.environment.metrics;
                    session.faults.repaired(&self.name, repair, metrics);
                }
            }
            IngestEvent::Skipped(skipped) => {
                if let Some(session) = &mut self.session {
                    let metrics = &self.environment.metrics;
                    session.faults.skipped(&self.name, skipped, metrics);
                }
            }
            IngestEvent::EndOfTrack(_) | IngestEvent::ForeignAudio(_) => {}
        }
        self.drain_timeline(wall);
    }

    /// Counts a damaged tag.
    pub fn note_damaged(&mut self, id: u64) {
        if let Some(session) = self.session.as_mut().filter(|session| session.id == id) {
            session.damaged += 1;
        }
    }

    /// The current run.
    pub fn run(&mut self) -> Option<&mut Run> {
        self.run.as_mut()
    }

    /// Looks at the clock.
    pub fn tick(&mut self) {
        let now = self.environment.clock.now();
        let window = self.config.publish.reconnect_window.0;
        if self
            .left_at
            .is_some_and(|left| now.saturating_sub(left) >= window)
        {
            self.end();
        }
        if self.ended_at.is_none() && self.run.as_ref().is_some_and(Run::is_ended) {
            self.ended_at = Some(now);
        }
        self.tick_pairing(now);
        self.export(now);
    }

    /// Ends the run, if one is open.
    pub fn end(&mut self) {
        self.left_at = None;
        match &mut self.run {
            Some(run) => run.end(),
            // A publisher came and went without a single access unit, or never came back.
            None => {
                self.ended_at = Some(self.environment.clock.now());
                self.restored = self
                    .restored
                    .as_ref()
                    .map(|restored| Arc::new(restored.ended()));
                self.remains_changed = true;
            }
        }
    }

    /// Whether the run has got its end.
    pub fn is_ended(&self) -> bool {
        match (&self.run, &self.restored) {
            (Some(run), _) => run.is_ended(),
            (None, restored) => restored
                .as_ref()
                .is_some_and(|restored| restored.is_ended()),
        }
    }

    /// Whether nothing of this stream need be served any more.
    pub fn is_over(&self) -> bool {
        let linger = if self.run.is_some() || self.restored.is_some() {
            self.config.hls.window.0 * LINGER_WINDOWS
        } else {
            Duration::ZERO
        };
        let now = self.environment.clock.now();
        self.session.is_none()
            && self
                .ended_at
                .is_some_and(|ended| now.saturating_sub(ended) >= linger)
    }

    /// When the run started.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.run.as_ref().map(Run::started)
    }

    /// Whether it is published now.
    pub fn state(&self) -> StreamState {
        match (&self.run, &self.session) {
            _ if self.is_ended() => StreamState::Ended,
            (Some(_), Some(_)) => StreamState::Live,
            _ => StreamState::Waiting,
        }
    }

    /// The newest snapshot.
    pub fn snapshot(&mut self) -> Option<Arc<Snapshot>> {
        let restored = self.restored.clone();
        self.run.as_mut().map(Run::snapshot).or(restored)
    }

    /// The newest snapshot, if viewers have not seen it.
    pub fn changed_snapshot(&mut self) -> Option<Arc<Snapshot>> {
        match &mut self.run {
            Some(run) => run.changed_snapshot(),
            None => {
                let changed = std::mem::take(&mut self.remains_changed);
                self.restored.clone().filter(|_| changed)
            }
        }
    }

    /// Whether it should be locked to the other origin's and is not.
    pub fn is_unlocked(&self) -> bool {
        let now = self.environment.clock.now();
        self.pairing
            .as_ref()
            .is_some_and(|pairing| pairing.is_unlocked(now))
    }

    /// For `/api/streams`.
    pub fn report(&mut self) -> StreamReport {
        let now = self.environment.clock.now();
        let session = self.session.as_ref();
        let pairing = self.pairing.as_ref().map(|pairing| pairing.report(now));
        StreamReport {
            name: self.name.clone(),
            state: self.state(),
            publisher: session.map(|session| session.report(now)),
            sessions: self.sessions,
            tracks: TracksReport::of(&self.announced),
            timeline: self.timeline.stats(),
            immersive: self.config.immersive.into(),
            run: self.run.as_mut().map(Run::report),
            twin: pairing.clone(),
            pairing,
        }
    }

    fn drain_timeline(&mut self, wall: SystemTime) {
        while let Some(event) = self.timeline.next() {
            match event {
                timeline::Event::AccessUnit(unit) if self.pairing.is_some() => {
                    self.take(unit, wall)
                }
                timeline::Event::Discontinuity { reason } if self.pairing.is_some() => {
                    self.broken(reason);
                }
                timeline::Event::AccessUnit(unit) => {
                    if self.run.as_ref().is_none_or(Run::is_ending) && !self.start_run(wall) {
                        return;
                    }
                    if let Some(run) = &mut self.run {
                        run.push(unit, wall);
                    }
                }
                timeline::Event::Discontinuity { reason } => {
                    let tracks = self.tracks();
                    if let Some(run) = self.run.as_mut().filter(|run| !run.is_ending()) {
                        run.discontinuity(tracks, reason.name());
                    }
                }
                timeline::Event::Stopped { kind } => self.track_stopped(kind),
                timeline::Event::Returned { kind, filled } => {
                    let seconds = filled.as_secs_f64();
                    info!(stream = self.name, track = %kind, seconds, "track is back");
                }
            }
        }
    }

    /// Says what viewers get instead of a track that has stopped.
    fn track_stopped(&self, kind: MediaKind) {
        let (instead, remedy) = match kind {
            MediaKind::Audio => (
                "silence",
                "look at the encoder's microphone and its mute button",
            ),
            MediaKind::Video => ("the last keyframe", "look at the encoder's camera"),
        };
        warn!(stream = self.name, track = %kind, instead, remedy, "track has stopped, the other goes on");
    }

    /// The publisher's tracks that are part of what comes out of the timeline.
    pub(super) fn tracks(&self) -> Tracks {
        let Tracks { video, audio } = self.announced.clone();
        Tracks {
            video: video.filter(|_| self.timeline.carries(MediaKind::Video)),
            audio: audio.filter(|_| self.timeline.carries(MediaKind::Audio)),
        }
    }

    /// Starts a run: right behind what this origin's previous process left, unless its playlists
    /// have got their end; `false` when it cannot start.
    fn start_run(&mut self, wall: SystemTime) -> bool {
        let tracks = self.tracks();
        match self.restored.take() {
            Some(restored) if !restored.is_ended() => {
                let run_id = restored.run_id().to_owned();
                self.replace_run(run_id, hls::Start::Restart(restored), wall, tracks)
            }
            Some(ended) => self.start_fresh(wall, ended.next_numbers(), tracks),
            None => self.start_fresh(wall, (0, 0), tracks),
        }
    }

    /// Starts a run whose numbers lie above everything served before, and at or above `least`: a
    /// Media Sequence Number and a discontinuity sequence.
    pub(super) fn start_fresh(
        &mut self,
        wall: SystemTime,
        least: (u64, u64),
        tracks: Tracks,
    ) -> bool {
        let seconds = u64::try_from(unix_micros(wall) / 1_000_000).unwrap_or(0);
        let (next_msn, discontinuities) = self.run.as_ref().map_or((0, 0), Run::numbers);
        let remembered = self.environment.discontinuities.discontinuities(&self.name);
        let start = hls::Start::Fresh {
            first_msn: seconds.max(next_msn).max(least.0),
            discontinuity_sequence: discontinuity_store::by_clock(wall)
                .max(remembered + 1)
                .max(discontinuities + 1)
                .max(least.1),
        };
        self.replace_run(run_id::generate(wall), start, wall, tracks)
    }

    /// Starts a run behind the peer's, which is lost with its media.
    pub(super) fn start_after_peer(
        &mut self,
        wall: SystemTime,
        last_position: LastPosition,
        tracks: Tracks,
    ) -> bool {
        let start = hls::Start::AfterPeer(last_position);
        self.replace_run(run_id::generate(wall), start, wall, tracks)
    }

    /// Continues the peer's run beside it.
    pub(super) fn start_joined(&mut self, wall: SystemTime, join: Join, tracks: Tracks) -> bool {
        let start = hls::Start::JoinPeer {
            boundary: join.boundary,
            constants: join.constants,
        };
        self.replace_run(join.run_id, start, wall, tracks)
    }

    fn replace_run(
        &mut self,
        run_id: String,
        start: hls::Start,
        wall: SystemTime,
        tracks: Tracks,
    ) -> bool {
        let start = Start {
            run_id,
            start,
            recording: run_id::generate(wall),
            ladders_before: {
                let run = self.run.as_ref();
                run.map_or(self.ladders_before, Run::ladders_generation)
            },
        };
        let place = (self.name.as_str(), self.ladder_reports.clone());
        match Run::start(start, &self.config, tracks, self.environment.clone(), place) {
            Ok(run) => {
                if let Some(mut old) = self.run.replace(run) {
                    let shown = old.shown().unwrap_or_default();
                    let before = self.shown_before;
                    self.shown_before = (before.0.max(shown.0), before.1.max(shown.1));
                    old.retire();
                }
                self.ended_at = None;
                true
            }
            Err(error) => {
                error!(stream = self.name, %error, "cannot start a run");
                self.kick("the server cannot package this stream; see its log");
                false
            }
        }
    }

    /// Counts what was filled since the last time; a new timeline begins at nothing.
    fn export_filled(&mut self) {
        for (kind, before) in [MediaKind::Video, MediaKind::Audio]
            .into_iter()
            .zip(&mut self.filled_ms)
        {
            let filled = self.timeline.filled(kind).as_millis();
            let filled = u64::try_from(filled).unwrap_or(u64::MAX);
            let track = kind.to_string();
            let counter = self
                .environment
                .metrics
                .filled
                .with_label_values(&[&self.name, &track]);
            counter.inc_by(filled.checked_sub(*before).unwrap_or(filled));
            *before = filled;
        }
    }

    fn export(&mut self, now: Duration) {
        self.export_filled();
        let metrics = &self.environment.metrics;
        let label = &[self.name.as_str()];
        let figures = self
            .session
            .as_ref()
            .map(|session| session.health.figures(now))
            .unwrap_or_default();
        let rate = i64::try_from(figures.bitrate_bps).unwrap_or(i64::MAX);
        metrics.ingest_bitrate.with_label_values(label).set(rate);
        metrics
            .ingest_frame_rate
            .with_label_values(label)
            .set(figures.frame_rate);
        metrics
            .ingest_gop
            .with_label_values(label)
            .set(figures.gop_seconds);
        metrics
            .ingest_jitter
            .with_label_values(label)
            .set(figures.jitter_ms);
        if let Some(run) = &mut self.run {
            let bytes = i64::try_from(run.snapshot().retained_bytes()).unwrap_or(i64::MAX);
            metrics.window_bytes.with_label_values(label).set(bytes);
        }
    }
}

fn declared_rate(metadata: &SourceMetadata) -> Option<(u32, u32)> {
    let rate = metadata
        .frame_rate
        .filter(|rate| (1.0..=240.0).contains(rate))?;
    // Encoders write 29.97 for 30000/1001; the timeline knows which rates exist.
    Some(((rate * 1000.0).round() as u32, 1000))
}
