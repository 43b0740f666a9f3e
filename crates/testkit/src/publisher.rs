//! A publisher without an encoder: access units in order, on whatever clock a test wants.

use std::time::Duration;

use media::{IngestUnit, MILLISECONDS, MediaKind, RandomAccess, VideoConfig, aac};

use crate::synth::{self, Content};

/// What a publisher sends.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Pixels; multiples of 16.
    pub size: (u32, u32),
    /// Frames per seconds.
    pub frame_rate: (u32, u32),
    /// What it declares, if anything.
    pub declared_rate: Option<(u32, u32)>,
    /// Frames from one keyframe to the next.
    pub gop: u64,
    /// Sends pictures out of order, as B-pictures are.
    pub b_pictures: bool,
    /// The audio configuration, if it sends audio.
    pub audio: Option<aac::Config>,
    /// How much further apart frames come than their rate says, in parts per million: a camera
    /// whose clock is slow. Stamps tell the truth.
    pub video_ppm: i64,
    /// The same of audio: a sound card whose clock is slow.
    pub audio_ppm: i64,
    /// Time stamps are off by up to this, at random.
    pub jitter_ms: u32,
    /// The first time stamp.
    pub first_ms: i64,
    /// Time stamps count modulo two to the power of this: 32, or 31 as OBS has it.
    pub wrap_bits: u32,
    /// Bytes of a picture, at least.
    pub picture_bytes: usize,
}

impl Default for Shape {
    /// 30 frames a second, a keyframe each second, stereo at 48 kHz: OBS at its simplest.
    fn default() -> Self {
        Self {
            size: (1280, 640),
            frame_rate: (30, 1),
            declared_rate: Some((30, 1)),
            gop: 30,
            b_pictures: false,
            audio: aac::Config::lc(48_000, 2),
            video_ppm: 0,
            audio_ppm: 0,
            jitter_ms: 0,
            first_ms: 0,
            wrap_bits: 31,
            picture_bytes: 60,
        }
    }
}

/// One access unit and when it arrives, since the broadcast began.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Duration,
    /// What.
    pub unit: IngestUnit,
}

/// The publisher of one session after another.
#[derive(Clone, Debug)]
pub struct Publisher {
    shape: Shape,
    video: Option<VideoConfig>,
    began: Duration,
    session: u32,
    video_units: u64,
    audio_units: u64,
    offset_ms: i64,
    outlier: Option<(MediaKind, i64)>,
    noise: u64,
}

/// Decode order to presentation: one picture ahead, two between, as encoders with B-pictures do.
const REORDER: [u64; 5] = [2, 4, 2, 0, 1];

impl Publisher {
    /// A publisher that connects at `began`.
    pub fn new(shape: Shape, began: Duration) -> Self {
        Self {
            video: synth::avc_config(shape.size.0, shape.size.1).map(VideoConfig::from),
            shape,
            began,
            session: 0,
            video_units: 0,
            audio_units: 0,
            offset_ms: 0,
            outlier: None,
            noise: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Connects anew at `began`, its clock at its start.
    pub fn reconnect(&mut self, began: Duration) {
        *self = Self {
            session: self.session + 1,
            noise: self.noise,
            ..Self::new(self.shape.clone(), began)
        };
    }

    /// What it sends.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its video configuration.
    pub fn video(&self) -> Option<&VideoConfig> {
        self.video.as_ref()
    }

    /// Changes the picture's size from the next keyframe on; the caller announces the
    /// configuration.
    pub fn resize(&mut self, size: (u32, u32)) {
        self.shape.size = size;
        self.video = synth::avc_config(size.0, size.1).map(VideoConfig::from);
        // The next picture is a keyframe.
        self.video_units = self.video_units.next_multiple_of(self.shape.gop.max(1));
    }

    /// Lets the clock jump.
    pub fn jump(&mut self, by_ms: i64) {
        self.offset_ms += by_ms;
    }

    /// Sends one time stamp of this kind that is off by as much.
    pub fn outlier(&mut self, kind: MediaKind, by_ms: i64) {
        self.outlier = Some((kind, by_ms));
    }

    /// Leaves out units that were captured.
    pub fn lose(&mut self, kind: MediaKind, units: u64) {
        match kind {
            MediaKind::Video => self.video_units += units,
            MediaKind::Audio => self.audio_units += units,
        }
    }

    /// Captures nothing for a while.
    pub fn pause(&mut self, time: Duration) {
        let micros = time.as_micros() as u64;
        let (frames, seconds) = self.shape.frame_rate;
        self.video_units += micros * u64::from(frames) / u64::from(seconds) / 1_000_000;
        if let Some(audio) = &self.shape.audio {
            let samples = micros * u64::from(audio.sample_rate()) / 1_000_000;
            self.audio_units += samples / u64::from(audio.frame_samples());
        }
    }

    /// The next access unit.
    pub fn send(&mut self) -> Sent {
        let picture = self.picture_us(self.video_units);
        match self.audio_us(self.audio_units) {
            Some(audio) if audio <= picture => {
                self.audio_units += 1;
                self.sent(MediaKind::Audio, self.audio_units - 1, audio, None)
            }
            _ => {
                self.video_units += 1;
                self.sent(
                    MediaKind::Video,
                    self.video_units - 1,
                    picture,
                    self.shown_us(),
                )
            }
        }
    }

    /// When the picture just taken is shown.
    fn shown_us(&self) -> Option<i64> {
        let number = self.video_units - 1;
        let later = REORDER[(number % REORDER.len() as u64) as usize];
        self.shape
            .b_pictures
            .then(|| self.picture_us(number + later))
    }

    fn sent(
        &mut self,
        kind: MediaKind,
        serial: u64,
        captured_us: i64,
        shown_us: Option<i64>,
    ) -> Sent {
        let captured_ms = captured_us.div_euclid(1000);
        let shown_ms = shown_us.map_or(0, |us| us.div_euclid(1000) - captured_ms);
        let outlier = self
            .outlier
            .take_if(|(of, _)| *of == kind)
            .map_or(0, |(_, by_ms)| by_ms);
        let jitter = match self.shape.jitter_ms {
            0 => 0,
            bound => (self.random() % u64::from(bound + 1)) as i64,
        };
        let ms = captured_ms + self.shape.first_ms + self.offset_ms + outlier + jitter;
        let is_sync = kind == MediaKind::Audio || serial.is_multiple_of(self.shape.gop.max(1));
        let content = Content {
            session: self.session,
            serial,
            captured_us,
        };
        let bytes = if kind == MediaKind::Video {
            self.shape.picture_bytes
        } else {
            0
        };
        let unit = IngestUnit {
            kind,
            timescale: MILLISECONDS,
            dts: ms & ((1 << self.shape.wrap_bits) - 1),
            composition: shown_ms as i32,
            random_access: RandomAccess::idr_if(is_sync),
            payload: content.payload(kind, is_sync, bytes),
        };
        // Captured means sent: encoding and network take no time here.
        let at = self.began + Duration::from_micros(captured_us.unsigned_abs());
        Sent { at, unit }
    }

    fn picture_us(&self, number: u64) -> i64 {
        let (frames, seconds) = self.shape.frame_rate;
        let us = u128::from(number) * 1_000_000 * u128::from(seconds) / u128::from(frames);
        apart(us as i64, self.shape.video_ppm)
    }

    fn audio_us(&self, number: u64) -> Option<i64> {
        let audio = self.shape.audio.as_ref()?;
        let samples = u128::from(number) * u128::from(audio.frame_samples());
        let us = samples * 1_000_000 / u128::from(audio.sample_rate());
        Some(apart(us as i64, self.shape.audio_ppm))
    }

    fn random(&mut self) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise >> 20
    }
}

fn apart(us: i64, ppm: i64) -> i64 {
    us + (i128::from(us) * i128::from(ppm) / 1_000_000) as i64
}
