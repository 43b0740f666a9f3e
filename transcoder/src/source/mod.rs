//! A recording as access units from any keyframe on, whoever made it.
//!
//! Our own recordings come with a sidecar that says where every keyframe is, so a slice is one run
//! of bytes. Everything else is read by FFmpeg's demuxers, and its keyframes are found by reading
//! it once. Times are moved so that none is below 0. Blocking.

use std::collections::VecDeque;

use encode::{Rotation, stills::Stills};
use media::{AccessUnit, Codec, Immersive, MediaKind, Track, VIDEO_TIMESCALE};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    input::Input,
};

mod ffmpeg;
mod recording;

pub use contract::Sidecar;
pub use recording::parse_sidecar;

/// Video units looked at to find out a rate that the stream does not declare.
const RATE_UNITS: usize = 120;

/// Baseline, Main and High. What lies beyond (10 bits, 4:2:2, 4:4:4) few players decode.
const COMMON_PROFILES: [&str; 3] = ["avc1.42", "avc1.4d", "avc1.64"];

/// Keyframes that are tried before pictures count as beyond decoding.
const KEYFRAMES_TRIED: u32 = 3;

/// Only whether they decode matters.
const STILL_PIXELS: u32 = 16;

/// What a plan needs to know of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The video track, where there is one.
    pub video: Option<Video>,
    /// The audio track, where there is one.
    pub audio: Option<Audio>,
    /// Everything ends here, in [`VIDEO_TIMESCALE`].
    pub end: i64,
    /// Bytes in all.
    pub bytes: u64,
    /// How pictures lie on the sphere.
    pub immersive: Immersive,
    /// The stream it is of, where it says.
    pub stream: Option<String>,
    /// When it began, in seconds since 1970, where it says.
    pub started_at: Option<f64>,
}

/// The video of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Pixels, held upright.
    pub width: u32,
    /// Pixels, held upright.
    pub height: u32,
    /// Pictures per second, as numerator and denominator.
    pub rate: (u32, u32),
    /// Decode times of keyframes.
    pub keyframes: Vec<i64>,
    /// It can be sent as it is: upright, and in a profile that players of all kinds decode.
    pub is_common: bool,
    /// Where media does not go on: the end of what is before it.
    pub breaks: Vec<i64>,
}

/// The audio of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
}

enum Reader {
    Recording(Box<recording::RecordingReader>),
    Ffmpeg(Box<ffmpeg::FfmpegReader>),
}

/// An open recording.
pub struct Source {
    key: String,
    reader: Reader,
    video: Option<Track>,
    audio: Option<Track>,
    bytes: u64,
    sidecar: Option<Sidecar>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a recording, with the sidecar that stands beside it.
    pub fn open(key: &str, input: Input, sidecar: Option<Sidecar>) -> Result<Self> {
        let bytes = input.size();
        if bytes == 0 {
            return Err(Error::recording(key, "it is empty"));
        }
        let sidecar = sidecar.filter(|sidecar| sidecar.bytes == bytes);
        let (reader, video, audio) = match sidecar.clone() {
            Some(sidecar) => {
                let reader = recording::RecordingReader::open(key, input, sidecar)?;
                let of = |kind| reader.tracks().find(|track| track.kind() == kind).cloned();
                let (video, audio) = (of(MediaKind::Video), of(MediaKind::Audio));
                (Reader::Recording(Box::new(reader)), video, audio)
            }
            None => {
                let reader = ffmpeg::FfmpegReader::open(key, input)?;
                let (video, audio) = (reader.video().cloned(), reader.audio().cloned());
                (Reader::Ffmpeg(Box::new(reader)), video, audio)
            }
        };
        Ok(Self {
            key: key.to_owned(),
            reader,
            video,
            audio,
            bytes,
            sidecar,
        })
    }

    /// The video track.
    pub fn video(&self) -> Option<&Track> {
        self.video.as_ref()
    }

    /// The audio track.
    pub fn audio(&self) -> Option<&Track> {
        self.audio.as_ref()
    }

    /// What the pictures need to be upright. Recordings of ours always are.
    pub fn rotation(&self) -> Rotation {
        match &self.reader {
            Reader::Recording(_) => Rotation::NONE,
            Reader::Ffmpeg(reader) => reader.rotation(),
        }
    }

    /// How pictures lie on the sphere: as the sidecar says, or the container, or as most do.
    fn immersive(&self) -> Immersive {
        let said = match &self.reader {
            Reader::Recording(_) => self.sidecar.as_ref().map(Sidecar::immersive),
            Reader::Ffmpeg(reader) => reader.immersive(),
        };
        said.unwrap_or_default()
    }

    /// Goes to the keyframe at `dts`, or to the beginning.
    pub fn seek(&mut self, dts: Option<i64>) -> Result<()> {
        match &mut self.reader {
            Reader::Recording(reader) => reader.seek(dts),
            Reader::Ffmpeg(reader) => reader.seek(dts),
        }
    }

    /// The next access unit of either track. `None` at the end.
    pub fn read(&mut self) -> Result<Option<AccessUnit>> {
        match &mut self.reader {
            Reader::Recording(reader) => reader.read(),
            Reader::Ffmpeg(reader) => reader.read(),
        }
    }

    /// Finds out what a plan needs. The position is at the beginning afterwards.
    pub fn probe(&mut self) -> Result<Probe> {
        let (keyframes, end) = match &mut self.reader {
            Reader::Recording(reader) => reader.extent(),
            Reader::Ffmpeg(reader) => reader.extent()?,
        };
        if end <= 0 {
            return Err(Error::recording(&self.key, "its duration is zero"));
        }
        let rate = self.rate()?;
        self.check_decodes()?;
        let sidecar = self.sidecar.as_ref();
        let breaks = sidecar.map(Sidecar::breaks).unwrap_or_default();
        let rotation = self.rotation();
        let video = self.video.as_ref().and_then(Track::avc).map(|avc| {
            let (width, height) = rotation.size((avc.width(), avc.height()));
            let profile = avc.rfc6381();
            let is_common = COMMON_PROFILES.iter().any(|p| profile.starts_with(p));
            Video {
                width,
                height,
                rate,
                keyframes,
                is_common: is_common && rotation.is_none(),
                breaks,
            }
        });
        if video
            .as_ref()
            .is_some_and(|video| video.keyframes.is_empty())
        {
            return Err(Error::recording(&self.key, "its video has no keyframe"));
        }
        let audio = match self.audio.as_ref().map(|track| &track.codec) {
            Some(Codec::Aac(aac)) => Some(Audio {
                sample_rate: aac.sample_rate(),
                channels: aac.channels(),
            }),
            _ => None,
        };
        Ok(Probe {
            video,
            audio,
            end,
            bytes: self.bytes,
            immersive: self.immersive(),
            stream: sidecar.map(|sidecar| sidecar.stream.clone()),
            started_at: sidecar.map(|sidecar| sidecar.started_at),
        })
    }

    /// Refuses pictures that nobody can decode.
    fn check_decodes(&mut self) -> Result<()> {
        let Some(track) = self.video.clone() else {
            return Ok(());
        };
        let refuse = |error: encode::Error| Error::recording(&self.key, error);
        let mut stills = Stills::open(&track, STILL_PIXELS, STILL_PIXELS).map_err(refuse)?;
        let mut tried = 0;
        self.seek(None)?;
        while tried < KEYFRAMES_TRIED {
            let Some(unit) = self.read()? else { break };
            if unit.kind == MediaKind::Video && unit.is_sync {
                tried += 1;
                let refuse = |error: encode::Error| Error::recording(&self.key, error);
                if stills.take(&unit).map_err(refuse)?.is_some() {
                    return self.seek(None);
                }
            }
        }
        let verdict = format!("none of its first {tried} keyframes can be decoded: it is damaged");
        Err(Error::recording(&self.key, verdict))
    }

    /// Pictures per second: declared, or the commonest distance of the first pictures.
    fn rate(&mut self) -> Result<(u32, u32)> {
        let declared = self
            .video
            .as_ref()
            .and_then(Track::avc)
            .and_then(|avc| avc.frame_rate());
        let mut durations = VecDeque::new();
        if self.video.is_some() && declared.is_none() {
            self.seek(None)?;
            while let Some(unit) = self.read()? {
                if unit.kind == MediaKind::Video {
                    durations.push_back(unit.duration);
                }
                if durations.len() == RATE_UNITS {
                    break;
                }
            }
        }
        self.seek(None)?;
        let sorted = durations.make_contiguous();
        sorted.sort_unstable();
        let middle = sorted
            .get(sorted.len() / 2)
            .copied()
            .filter(|ticks| *ticks > 0);
        let measured = middle.map(|ticks| (VIDEO_TIMESCALE.rate(), ticks));
        Ok(declared.or(measured).unwrap_or((30, 1)))
    }
}
