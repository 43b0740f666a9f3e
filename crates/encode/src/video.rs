//! Encodes pictures of a constant rate, BT.709 in limited range, as an H.264 track: for sources of
//! our own.
//!
//! What this does not do: scale, or follow a source's uneven times; the ladder does both.

use std::collections::VecDeque;

use ffmpeg_next::color;
use media::{AccessUnit, MediaKind, RandomAccess, Track, VIDEO_TIMESCALE};

use crate::{
    Error, Picture,
    color::ColorInfo,
    h264::{self, H264Encoder},
};

/// Settings of an [`Encoder`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Pictures per second, as numerator and denominator.
    pub frame_rate: (u32, u32),
    /// Bits per second on average; at most 1.2 times that over 1 s.
    pub bitrate: u32,
    /// The encoder's name, `libx264` by default.
    pub encoder: String,
    /// The encoder's preset, `veryfast` by default; faster ones cost bits, slower ones CPU.
    pub preset: String,
    /// Consecutive B-pictures; 0, the default, gives every picture out as it comes.
    pub b_pictures: u8,
    /// Encoder threads; 0, the default, is the encoder's own choice.
    pub threads: u8,
}

impl Config {
    /// A configuration with the defaults above.
    pub fn new(width: u32, height: u32, frame_rate: (u32, u32), bitrate: u32) -> Self {
        Self {
            width,
            height,
            frame_rate,
            bitrate,
            encoder: h264::ENCODER_DEFAULT.to_owned(),
            preset: "veryfast".to_owned(),
            b_pictures: 0,
            threads: 0,
        }
    }

    fn settings(&self) -> h264::Settings {
        h264::Settings {
            encoder: self.encoder.clone(),
            preset: self.preset.clone(),
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            bitrate: self.bitrate,
            bitrate_max: self.bitrate.saturating_add(self.bitrate / 5),
            buffer_ms: 1000,
            b_pictures: Some(self.b_pictures),
            // Without B-pictures a lookahead only delays.
            lookahead: (self.b_pictures == 0).then_some(0),
            threads: self.threads,
            color: ColorInfo {
                range: color::Range::MPEG,
                space: color::Space::BT709,
                primaries: color::Primaries::BT709,
                transfer: color::TransferCharacteristic::BT709,
                ..ColorInfo::default()
            },
        }
    }
}

/// Encodes pictures of a constant rate; see the module.
pub struct Encoder {
    encoder: H264Encoder,
    track: Track,
    config: Config,
    /// Pictures taken so far.
    taken: i64,
    /// Numbers of pictures that have not come out yet, in the order taken. At most the encoder's
    /// delay.
    inside: VecDeque<i64>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("config", &self.config)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Opens the encoder.
    pub fn new(config: Config) -> Result<Self, Error> {
        let encoder = H264Encoder::open(&config.settings())?;
        Ok(Self {
            track: Track::video(encoder.config().clone()),
            encoder,
            config,
            taken: 0,
            inside: VecDeque::new(),
        })
    }

    /// The track its access units belong to.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// Takes the next picture and gives what is ready. The first picture is a keyframe; others are
    /// where `keyframe`.
    pub fn encode(&mut self, picture: &Picture, keyframe: bool) -> Result<Vec<AccessUnit>, Error> {
        if (picture.width(), picture.height()) != (self.config.width, self.config.height) {
            let value = format!("{}x{}", picture.width(), picture.height());
            let reason = format!("make it {}x{}", self.config.width, self.config.height);
            return Err(Error::setting("picture", value, reason));
        }
        self.encoder
            .send(picture, self.taken, keyframe || self.taken == 0)?;
        self.inside.push_back(self.taken);
        self.taken += 1;
        self.drain()
    }

    /// Ends the track and gives what was still inside.
    pub fn finish(mut self) -> Result<Vec<AccessUnit>, Error> {
        self.encoder.send_end()?;
        self.drain()
    }

    fn drain(&mut self) -> Result<Vec<AccessUnit>, Error> {
        let mut units = Vec::new();
        while let Some(coded) = self.encoder.receive()? {
            // The k-th picture out is decoded at the time of the k-th picture in.
            let due = self.inside.pop_front().unwrap_or(coded.number);
            let dts = self.ticks(due);
            let duration = u32::try_from(self.ticks(due + 1) - dts).unwrap_or(u32::MAX);
            // Shifted by the reorder depth, so that no picture is shown before it is decoded.
            let shift = i64::from(self.encoder.reorder_depth());
            units.push(AccessUnit {
                kind: MediaKind::Video,
                dts,
                pts: self.ticks(coded.number + shift),
                duration: duration.max(1),
                random_access: RandomAccess::idr_if(coded.is_sync),
                payload: coded.payload,
            });
        }
        Ok(units)
    }

    /// When the picture with this number is due.
    fn ticks(&self, number: i64) -> i64 {
        let (pictures, seconds) = self.config.frame_rate;
        let ticks = i128::from(number) * i128::from(VIDEO_TIMESCALE.rate()) * i128::from(seconds)
            / i128::from(pictures.max(1));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }
}
