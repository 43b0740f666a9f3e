//! Publisher, origin core and viewers on simulated time.

use std::{sync::Arc, time::Duration};

use hls::{Delivery, MediaSnapshot, Packager, Snapshot, Tracks, render_media};
use media::{IngestUnit, MediaKind, Timeline, Track, timeline};

use crate::{Publisher, Viewer, faults::Act};

/// Sunday 2026-11-01, 12:00:00 UTC, in seconds since 1970: when broadcasts here begin.
pub const WALL_SECONDS: u64 = 1_793_534_400;

/// What an origin does with one stream, without sockets, threads and clocks.
#[derive(Debug)]
pub struct Core {
    /// Units as sent to access units.
    pub timeline: Timeline,
    /// Access units to playlists.
    pub packager: Packager,
    tracks: Tracks,
    started: bool,
    /// Discontinuities the timeline announced.
    pub discontinuities: Vec<timeline::Reason>,
    /// Decode times the source's segments start at.
    pub opened: Vec<i64>,
}

impl Core {
    /// A core that has seen nothing.
    pub fn new(config: hls::Config, start: hls::Start) -> Result<Self, hls::Error> {
        Ok(Self {
            timeline: Timeline::new(),
            packager: Packager::new(config, start)?,
            tracks: Tracks::default(),
            started: false,
            discontinuities: Vec::new(),
            opened: Vec::new(),
        })
    }

    /// A publisher's configurations, before its access units and whenever they change.
    pub fn announce(&mut self, publisher: &Publisher, now: Duration) -> Result<(), hls::Error> {
        if let Some(video) = publisher.video() {
            self.timeline
                .set_video(video, publisher.shape().declared_rate);
            self.tracks.video = Some(Track::video(video.clone()));
        }
        if let Some(audio) = &publisher.shape().audio {
            self.timeline.set_audio(&audio.clone().into());
            self.tracks.audio = Some(Track::audio(audio.clone()));
        }
        self.drain(now)
    }

    /// Takes an access unit as sent.
    pub fn push(&mut self, unit: IngestUnit, now: Duration) -> Result<(), hls::Error> {
        self.timeline.push(unit, now);
        self.drain(now)
    }

    /// The publisher is gone for now.
    pub fn interrupt(&mut self, now: Duration) -> Result<(), hls::Error> {
        self.timeline.flush();
        self.drain(now)?;
        self.packager.interrupt();
        self.tracks = Tracks::default();
        self.timeline.resume();
        Ok(())
    }

    /// The broadcast is over.
    pub fn end(&mut self, now: Duration) -> Result<(), hls::Error> {
        self.timeline.flush();
        self.drain(now)?;
        self.packager.end();
        Ok(())
    }

    /// The tracks that are part of what comes out.
    fn carried(&self) -> Tracks {
        let Tracks { video, audio } = self.tracks.clone();
        Tracks {
            video: video.filter(|_| self.timeline.carries(MediaKind::Video)),
            audio: audio.filter(|_| self.timeline.carries(MediaKind::Audio)),
        }
    }

    fn drain(&mut self, now: Duration) -> Result<(), hls::Error> {
        let wall = (Duration::from_secs(WALL_SECONDS) + now).as_micros() as i64;
        while let Some(event) = self.timeline.next() {
            match event {
                timeline::Event::AccessUnit(unit) => {
                    if !self.started {
                        let tracks = self.carried();
                        self.packager.start(tracks, Vec::new())?;
                        self.started = true;
                    }
                    let (dts, kind) = (unit.dts, unit.kind);
                    let pushed = self.packager.push_source(unit, wall)?;
                    if pushed.opens_segment && kind == MediaKind::Video {
                        self.opened.push(dts);
                    }
                }
                timeline::Event::Discontinuity { reason } => {
                    self.discontinuities.push(reason);
                    self.packager.discontinuity(self.carried())?;
                }
                timeline::Event::Stopped { .. } | timeline::Event::Returned { .. } => {}
            }
        }
        Ok(())
    }
}

/// One publisher, one origin, any number of viewers.
#[derive(Debug)]
pub struct Broadcast {
    /// Who publishes.
    pub publisher: Publisher,
    /// Who packages.
    pub core: Core,
    /// Who watches, each with the time between looks.
    pub viewers: Vec<(Viewer, Duration)>,
    /// Simulated time since the start.
    pub now: Duration,
    looks: Vec<Duration>,
}

impl Broadcast {
    /// A broadcast about to begin: 2 s segments, 500 ms parts, 60 s window.
    pub fn new(publisher: Publisher) -> Result<Self, hls::Error> {
        let config = hls::Config {
            segment_target: Duration::from_secs(2),
            part_target: Some(Duration::from_millis(500)),
            window: Duration::from_secs(60),
            run_id: "sim".to_owned(),
            immersive: media::Immersive::default(),
        };
        let start = hls::Start::Fresh {
            first_msn: WALL_SECONDS,
            discontinuity_sequence: 0,
        };
        let mut core = Core::new(config, start)?;
        core.announce(&publisher, Duration::ZERO)?;
        Ok(Self {
            publisher,
            core,
            viewers: Vec::new(),
            now: Duration::ZERO,
            looks: Vec::new(),
        })
    }

    /// Adds a viewer that looks for news this often.
    pub fn watch(&mut self, every: Duration) {
        self.viewers.push((Viewer::new(), every));
        self.looks.push(self.now);
    }

    /// Lets this much time pass.
    pub fn drive_for(&mut self, time: Duration) -> Result<(), hls::Error> {
        let end = self.now + time;
        loop {
            let mut ahead = self.publisher.clone();
            let sent = ahead.send();
            if sent.at > end {
                break;
            }
            self.publisher = ahead;
            self.now = self.now.max(sent.at);
            self.core.push(sent.unit, self.now)?;
            self.look();
        }
        self.now = end;
        self.look();
        Ok(())
    }

    /// Lets something happen.
    pub fn act(&mut self, act: &Act) -> Result<(), hls::Error> {
        match act {
            Act::Run(time) => return self.drive_for(*time),
            Act::Jump(by_ms) => self.publisher.jump(*by_ms),
            Act::Outlier(kind, by_ms) => self.publisher.outlier(*kind, *by_ms),
            Act::Lose(kind, units) => self.publisher.lose(*kind, *units),
            Act::Pause(time) => self.publisher.pause(*time),
            Act::Reconnect(away) => {
                self.core.interrupt(self.now)?;
                self.now += *away;
                self.publisher.reconnect(self.now);
                self.core.announce(&self.publisher, self.now)?;
            }
            Act::Resize(size) => {
                self.publisher.resize(*size);
                self.core.announce(&self.publisher, self.now)?;
            }
        }
        Ok(())
    }

    /// Ends it and lets every viewer see the end.
    pub fn end(&mut self) -> Result<(), hls::Error> {
        self.core.end(self.now)?;
        let snapshot = self.core.packager.snapshot();
        for (viewer, _) in &mut self.viewers {
            show(&snapshot, viewer, self.now);
        }
        Ok(())
    }

    fn look(&mut self) {
        for ((viewer, every), next) in self.viewers.iter_mut().zip(&mut self.looks) {
            if self.now < *next {
                continue;
            }
            *next = self.now + *every;
            show(&self.core.packager.snapshot(), viewer, self.now);
        }
    }
}

/// One look of a viewer: every playlist, then whatever it wants to fetch.
fn show(snapshot: &Arc<Snapshot>, viewer: &mut Viewer, now: Duration) {
    for media in snapshot.renditions() {
        let text = render_media(media, &Delivery::default());
        for uri in viewer.playlist(media.name(), &text, now) {
            match fetch(media, &uri) {
                Some(bytes) => viewer.deliver(media.name(), &uri, &bytes),
                None => viewer.missed(media.name(), &uri),
            }
        }
    }
    viewer.compare();
}

/// What an HTTP server would answer.
fn fetch(media: &MediaSnapshot, uri: &str) -> Option<bytes::Bytes> {
    let name = uri.rsplit('/').next()?;
    if let Some(index) = name
        .strip_prefix("init-")
        .and_then(|name| name.strip_suffix(".mp4"))
    {
        return Some(media.init(index.parse().ok()?)?.bytes.clone());
    }
    let msn = name.strip_suffix(".m4s")?.parse().ok()?;
    match media.segment(msn) {
        hls::Lookup::Found(segment) => Some(segment.to_bytes()),
        _ => None,
    }
}
