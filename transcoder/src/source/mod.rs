//! Opens what is to become VOD, whoever made it, and finds out what a plan needs.
//!
//! Recordings of ours come with a sidecar that says where every keyframe is, so a slice is one run
//! of bytes ([`RecordingReader`]). Everything else is an upload ([`Upload`]): read once in full to
//! find out what it really holds, then by FFmpeg's demuxers and decoders. A recording that cannot
//! be cut at its own keyframes is read like an upload too. Blocking.

use std::collections::VecDeque;

use media::{AccessUnit, Immersive, MediaKind, Track, VIDEO_TIMESCALE};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    input::Input,
    plan::Settings,
};

mod ffmpeg;
mod language;
mod probe;
mod recording;
mod reorder;
mod survey;

pub use contract::Sidecar;
pub use ffmpeg::Upload;
pub use probe::{AudioTrack, Probe, UploadProbe, Video};
pub use recording::{RecordingReader, parse_sidecar};
pub use reorder::decode_times;
pub use survey::AccessPoint;

/// Segments are at most this many times their target; what has longer groups is cut by encoding.
pub(crate) const SEGMENT_TARGETS_MAX: f64 = 1.5;

/// What is to become VOD, not yet read.
#[derive(Debug)]
pub struct Source {
    key: String,
    input: Input,
    /// Only one that describes exactly this file.
    sidecar: Option<Sidecar>,
}

impl Source {
    /// A file or object, with the sidecar that stands beside it.
    pub fn new(key: &str, input: Input, sidecar: Option<Sidecar>) -> Result<Self> {
        if input.size() == 0 {
            return Err(Error::recording(key, "it is empty"));
        }
        let size = input.size();
        Ok(Self {
            key: key.to_owned(),
            input,
            sidecar: sidecar.filter(|sidecar| sidecar.bytes == size),
        })
    }

    /// Finds out what a plan needs.
    pub fn probe(self, settings: &Settings) -> Result<Probe> {
        let Self {
            key,
            input,
            sidecar,
        } = self;
        let bytes = input.size();
        let mut probe = match &sidecar {
            Some(sidecar) if is_cuttable(sidecar, settings) => {
                let mut reader = RecordingReader::open(&key, input, sidecar.clone())?;
                probe::recording(&mut reader, sidecar)?
            }
            _ => probe::upload(&mut Upload::open(&key, input)?, &key)?,
        };
        probe.bytes = bytes;
        if let Some(sidecar) = sidecar {
            probe.immersive = sidecar.immersive();
            probe.started_at = Some(sidecar.started_at);
            probe.stream = Some(sidecar.stream);
        }
        Ok(probe)
    }

    /// Opens a recording of ours.
    pub fn recording(self) -> Result<RecordingReader> {
        let gone = || Error::recording(&self.key, "its sidecar is gone or describes another file");
        let sidecar = self.sidecar.clone().ok_or_else(gone)?;
        RecordingReader::open(&self.key, self.input, sidecar)
    }

    /// Opens an upload.
    pub fn upload(self) -> Result<Upload> {
        Upload::open(&self.key, self.input)
    }
}

/// Whether a recording can be cut into segments at its own keyframes. Where its encoder was away
/// its times jump, which only the sidecar tells.
fn is_cuttable(sidecar: &Sidecar, settings: &Settings) -> bool {
    let longest = settings.segment_seconds * SEGMENT_TARGETS_MAX;
    let end = (sidecar.duration * f64::from(VIDEO_TIMESCALE.rate())) as i64;
    let times = &sidecar.keyframes.dts;
    let next = times.iter().skip(1).copied().chain([end]);
    let mut groups = times.iter().zip(next);
    !sidecar.breaks().is_empty()
        || groups.all(|(start, end)| VIDEO_TIMESCALE.seconds(end - start) <= longest)
}
