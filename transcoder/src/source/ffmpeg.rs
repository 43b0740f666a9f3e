//! Reads uploads through FFmpeg's demuxers: anything that is no recording of ours with its sidecar.

use encode::file_demuxer::{Access, CodedPacket, FileDemuxer, Stream};
use media::VIDEO_TIMESCALE;

use super::{
    survey::{self, AccessPoint, Survey},
    *,
};
use crate::input::Failure;

/// Seeking lands where the container likes. Each try begins earlier by this many seconds.
const SEEK_BACK_SECONDS: [i64; 4] = [0, 2, 10, 60];

/// Packets looked at after a seek, before one counts as having failed: a second of everything.
const SEEK_PACKETS_MAX: usize = 4096;

/// An open upload.
pub struct Upload {
    key: String,
    demuxer: FileDemuxer,
    failure: Failure,
    /// Read while seeking, to be given out again.
    waiting: VecDeque<CodedPacket>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Upload {
    pub(super) fn open(key: &str, input: Input) -> Result<Self> {
        let failure = input.failure();
        let demuxer = FileDemuxer::open(input).map_err(|error| refuse(key, &failure, error))?;
        Ok(Self {
            key: key.into(),
            demuxer,
            failure,
            waiting: VecDeque::new(),
        })
    }

    /// What is in the file.
    pub fn demuxer(&self) -> &FileDemuxer {
        &self.demuxer
    }

    /// Reads all of it; see [`survey`].
    pub fn survey(&mut self) -> Result<Survey> {
        let survey = survey::survey(&mut self.demuxer);
        match (survey, self.failure.take()) {
            (_, Some(reason)) => Err(Error::Work {
                what: self.key.clone(),
                reason,
            }),
            (survey, None) => survey.map_err(|error| Error::recording(&self.key, error)),
        }
    }

    /// Goes to where the access point's packet is among the next ones, or to the beginning.
    pub fn seek(&mut self, to: Option<AccessPoint>) -> Result<()> {
        self.waiting.clear();
        let Some(to) = to else {
            return self.seek_ticks(i64::MIN / 4);
        };
        let second = i64::from(VIDEO_TIMESCALE.rate());
        for back in SEEK_BACK_SECONDS {
            self.seek_ticks(to.dts - back * second)?;
            if self.is_before(to)? {
                return Ok(());
            }
            self.waiting.clear();
        }
        self.seek_ticks(i64::MIN / 4)
    }

    fn seek_ticks(&mut self, dts: i64) -> Result<()> {
        let sought = self.demuxer.seek(dts);
        sought.map_err(|error| refuse(&self.key, &self.failure, error))
    }

    /// Whether the first place to begin decoding from here on is the wanted one or before it.
    fn is_before(&mut self, to: AccessPoint) -> Result<bool> {
        for _ in 0..SEEK_PACKETS_MAX {
            let Some(packet) = self.demuxed()? else {
                return Ok(false);
            };
            let is_access = packet.stream == Stream::Video && packet.access != Access::None;
            let pts = packet.pts;
            self.waiting.push_back(packet);
            if is_access {
                return Ok(pts <= to.pts);
            }
        }
        Ok(false)
    }

    /// The next packet. `None` at the end, also where the file cannot be read on: its survey said
    /// so.
    pub fn next_packet(&mut self) -> Result<Option<CodedPacket>> {
        match self.waiting.pop_front() {
            Some(packet) => Ok(Some(packet)),
            None => self.demuxed(),
        }
    }

    fn demuxed(&mut self) -> Result<Option<CodedPacket>> {
        match (self.demuxer.next_packet(), self.failure.take()) {
            (_, Some(reason)) => Err(Error::Work {
                what: self.key.clone(),
                reason,
            }),
            (Ok(packet), None) => Ok(packet),
            (Err(error @ encode::Error::Recording(_)), None) => {
                Err(Error::recording(&self.key, error))
            }
            (Err(error), None) => {
                tracing::debug!(recording = self.key, %error, "read as far as possible");
                Ok(None)
            }
        }
    }
}

/// What FFmpeg cannot read is the recording's fault, unless the store failed under it.
fn refuse(key: &str, failure: &Failure, error: encode::Error) -> Error {
    match failure.take() {
        Some(reason) => Error::Work {
            what: key.into(),
            reason,
        },
        None => Error::recording(key, error),
    }
}
