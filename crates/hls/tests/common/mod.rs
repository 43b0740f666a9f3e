//! A simulated broadcast: video, audio and rungs pushed into a packager in the order an origin
//! would see them.

#![allow(dead_code)] // Each test binary uses its own part.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use hls::{
    Config, Delivery, Event, MediaSnapshot, Packager, RungSpec, Start, Tracks, check::Checker,
    render_media,
};
use media::{
    AccessUnit, Immersive, MediaKind, RandomAccess, Timescale, Track, VIDEO_TIMESCALE, aac, avc,
};

/// Sunday 2026-11-01, 12:00:00 UTC in seconds since 1970.
pub const WALL: u64 = 1_793_534_400;

pub fn video_track(level: u8) -> Track {
    let sps: &[u8] = &[
        0x67, 0x64, 0x00, level, 0xac, 0xd9, 0x40, 0x50, 0x05, 0x1b, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    let pps: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let mut record = vec![1, 0x64, 0, level, 0xff, 0xe1];
    record.extend((sps.len() as u16).to_be_bytes());
    record.extend(sps);
    record.push(1);
    record.extend((pps.len() as u16).to_be_bytes());
    record.extend(pps);
    Track::video(avc::Config::parse(Bytes::from(record)).unwrap())
}

pub fn audio_track(rate: u32) -> Track {
    Track::audio(aac::Config::lc(rate, 2).unwrap())
}

pub fn config() -> Config {
    Config {
        segment_target: Duration::from_secs(2),
        part_target: Some(Duration::from_millis(500)),
        window: Duration::from_secs(60),
        run_id: "e1".into(),
        immersive: Immersive::default(),
    }
}

/// A run without history.
pub fn fresh() -> Start {
    Start::Fresh {
        first_msn: WALL,
        discontinuity_sequence: 0,
    }
}

pub fn rung(name: &str, bitrate: u64) -> RungSpec {
    RungSpec {
        name: name.into(),
        width: 1280,
        height: 640,
        bitrate,
        projection: None,
    }
}

/// What the simulated source sends.
pub struct Source {
    /// Ticks per frame.
    pub frame: u32,
    /// Sync samples, by frame number since the start of the timeline.
    pub is_sync: Box<dyn Fn(u64) -> bool>,
    /// Reordering delay in frames.
    pub b_frames: i64,
    /// Payload bytes of frame n.
    pub size: Box<dyn Fn(u64) -> usize>,
    pub audio_rate: Option<u32>,
    /// Frames by which rung encoders lag.
    pub rung_lag: usize,
}

impl Source {
    pub fn regular(fps: u32, gop: u64) -> Self {
        Self {
            frame: VIDEO_TIMESCALE.rate() / fps,
            is_sync: Box::new(move |frame| frame % gop == 0),
            b_frames: 0,
            size: Box::new(|_| 100),
            audio_rate: Some(48_000),
            rung_lag: 5,
        }
    }

    pub fn tracks(&self) -> Tracks {
        Tracks {
            video: Some(video_track(0x1f)),
            audio: self.audio_rate.map(audio_track),
        }
    }
}

/// A packager and what is on its way to it.
pub struct Broadcast {
    pub packager: Packager,
    pub source: Source,
    pub rungs: usize,
    /// Frames of this timeline.
    pub frame: u64,
    /// Decode time of the next picture.
    pub dts: i64,
    /// Decode time of the next sound, in its own timescale.
    pub audio_dts: i64,
    in_flight: Vec<VecDeque<AccessUnit>>,
    /// Rungs that send nothing.
    pub mute: Vec<bool>,
    pub audio_mute: bool,
    pub opened: Vec<i64>,
    /// The next picture stays for this much longer than usual.
    linger: i64,
}

impl Broadcast {
    pub fn new(config: Config, source: Source, rungs: &[RungSpec]) -> Self {
        Self::started(Packager::new(config, fresh()).unwrap(), source, rungs)
    }

    pub fn started(mut packager: Packager, source: Source, rungs: &[RungSpec]) -> Self {
        packager.start(source.tracks(), rungs.to_vec()).unwrap();
        for index in 0..rungs.len() {
            packager.rung_track(index, video_track(0x1e)).unwrap();
        }
        Self {
            packager,
            source,
            rungs: rungs.len(),
            frame: 0,
            dts: 0,
            audio_dts: 0,
            in_flight: vec![VecDeque::new(); rungs.len()],
            mute: vec![false; rungs.len()],
            audio_mute: false,
            opened: Vec::new(),
            linger: 0,
        }
    }

    pub fn timescale(&self) -> Timescale {
        Timescale::new(self.source.audio_rate.unwrap_or(48_000)).unwrap()
    }

    /// One picture, the sound beside it, and what the rungs have ready by then.
    pub fn step(&mut self) {
        self.step_audio();
        let mut unit = self.picture();
        unit.duration += u32::try_from(std::mem::take(&mut self.linger)).unwrap();
        let wall = (WALL * 1_000_000) as i64 + VIDEO_TIMESCALE.rescale(self.dts, micros());
        let pushed = self.packager.push_source(unit.clone(), wall).unwrap();
        if pushed.opens_segment {
            self.opened.push(unit.dts);
        }
        for rung in 0..self.rungs {
            let mut coded = unit.clone();
            coded.random_access = RandomAccess::idr_if(pushed.opens_segment);
            coded.payload = Bytes::from(vec![7; unit.payload.len() / (rung + 2)]);
            let Some(queue) = self.in_flight.get_mut(rung) else {
                continue;
            };
            queue.push_back(coded);
            while queue.len() > self.source.rung_lag {
                let coded = queue.pop_front().unwrap();
                if !self.mute[rung] {
                    self.packager.push_rung(rung, coded).unwrap();
                }
            }
        }
        self.dts += i64::from(unit.duration);
        self.frame += 1;
    }

    /// Pictures stand still for `pause` while sound goes on. As a source of exact durations does,
    /// the last picture comes only when the one after it is known.
    pub fn stall(&mut self, pause: Duration) {
        let (start, pause) = (self.dts, VIDEO_TIMESCALE.ticks(pause));
        while self.dts < start + pause {
            self.dts += i64::from(self.source.frame);
            self.step_audio();
        }
        self.linger = self.dts - start;
        self.dts = start;
        self.step();
    }

    /// The last picture on its way in a rung stays for this much longer.
    pub fn stretch(&mut self, rung: usize, ticks: u32) {
        self.in_flight[rung].back_mut().unwrap().duration += ticks;
    }

    /// The next picture of a rung is lost on its way.
    pub fn lose(&mut self, rung: usize) {
        if let Some(queue) = self.in_flight.get_mut(rung) {
            queue.pop_front();
        }
    }

    pub fn step_audio(&mut self) {
        let Some(rate) = self.source.audio_rate else {
            return;
        };
        let timescale = Timescale::new(rate).unwrap();
        while timescale.rescale(self.audio_dts, VIDEO_TIMESCALE) < self.dts {
            let unit = AccessUnit {
                kind: MediaKind::Audio,
                dts: self.audio_dts,
                pts: self.audio_dts,
                duration: 1024,
                random_access: RandomAccess::Idr,
                payload: Bytes::from_static(&[1; 40]),
            };
            if !self.audio_mute {
                self.packager.push_source(unit, 0).unwrap();
            }
            self.audio_dts += 1024;
        }
    }

    fn picture(&self) -> AccessUnit {
        let is_sync = (self.source.is_sync)(self.frame);
        // A plain I P B B pattern: every third picture is shown late.
        let delay = match (self.source.b_frames, is_sync || self.frame % 3 == 1) {
            (0, _) => 0,
            (b_frames, true) => b_frames,
            (_, false) => 0,
        };
        AccessUnit {
            kind: MediaKind::Video,
            dts: self.dts,
            pts: self.dts + delay * i64::from(self.source.frame),
            duration: self.source.frame,
            random_access: RandomAccess::idr_if(is_sync),
            payload: Bytes::from(vec![3; (self.source.size)(self.frame)]),
        }
    }

    pub fn run(&mut self, frames: u64) {
        for _ in 0..frames {
            self.step();
        }
    }

    pub fn run_seconds(&mut self, seconds: u64) {
        let frames = seconds * u64::from(VIDEO_TIMESCALE.rate()) / u64::from(self.source.frame);
        self.run(frames);
    }

    /// Everything the rungs still hold.
    pub fn flush_rungs(&mut self) {
        for rung in 0..self.rungs {
            while let Some(coded) = self.in_flight[rung].pop_front() {
                if !self.mute[rung] {
                    self.packager.push_rung(rung, coded).unwrap();
                }
            }
        }
    }

    /// The publisher is back after `gap` of media time.
    pub fn discontinuity(&mut self, source: Source, gap: Duration) {
        self.packager.discontinuity(source.tracks()).unwrap();
        self.flush_rungs();
        self.dts += VIDEO_TIMESCALE.ticks(gap);
        let timescale = Timescale::new(source.audio_rate.unwrap_or(48_000)).unwrap();
        self.audio_dts = VIDEO_TIMESCALE.rescale(self.dts, timescale);
        self.frame = 0;
        self.source = source;
    }

    pub fn end(&mut self) {
        self.flush_rungs();
        self.packager.end();
    }
}

/// A watched broadcast with one rung that broke no rule in its first seconds: a segment each `gop`
/// frames, 30 a second.
pub fn broadcast(seconds: u64, gop: u64) -> (Broadcast, Checker) {
    let source = Source::regular(30, gop);
    let mut broadcast = Broadcast::new(config(), source, &[rung("960p", 1_000_000)]);
    let mut checker = Checker::new();
    let found = watch(&mut broadcast, &mut checker, seconds * 30);
    assert_eq!(found, Vec::<String>::new());
    (broadcast, checker)
}

/// The process of `died` is followed by one with `packager`, whose encoder comes `away` after the
/// last picture.
pub fn gone_on(died: &Broadcast, packager: Packager, away: Duration) -> Broadcast {
    let rungs = [rung("960p", 1_000_000)];
    let mut next = Broadcast::started(packager, Source::regular(30, 60), &rungs);
    next.dts = died.dts + VIDEO_TIMESCALE.ticks(away);
    next.audio_dts = VIDEO_TIMESCALE.rescale(next.dts, next.timescale());
    next
}

pub fn micros() -> Timescale {
    Timescale::new(1_000_000).unwrap()
}

/// Runs and judges every playlist after every change; returns what was found.
pub fn watch(broadcast: &mut Broadcast, checker: &mut Checker, frames: u64) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..frames {
        broadcast.step();
        if !broadcast.packager.has_changed() {
            continue;
        }
        let snapshot = broadcast.packager.snapshot();
        if snapshot.multivariant().is_some() {
            checker.expect_reports(snapshot.renditions().iter().map(|m| m.name().to_owned()));
        }
        for media in snapshot.renditions() {
            let text = render_media(media, &Delivery::default());
            found.extend(checker.media(media.name(), &text));
        }
        found.extend(checker.across());
    }
    found.iter().map(ToString::to_string).collect()
}

pub fn events(packager: &mut Packager) -> Vec<Event> {
    std::iter::from_fn(|| packager.next_event()).collect()
}

pub fn numbers(media: &MediaSnapshot) -> Vec<u64> {
    media.retained().iter().map(|segment| segment.msn).collect()
}
