//! Files of others, through FFmpeg's demuxers.

use encode::file_demuxer::FileDemuxer;
use media::Timescale;

use super::*;
use crate::input::Failure;

/// A reader of one such file.
pub(super) struct FfmpegReader {
    key: String,
    demuxer: FileDemuxer,
    failure: Failure,
    /// Added to all times so that none is below 0, in [`VIDEO_TIMESCALE`].
    shift: i64,
}

impl FfmpegReader {
    pub(super) fn open(key: &str, input: Input) -> Result<Self> {
        let failure = input.failure();
        let mut demuxer = FileDemuxer::open(input).map_err(|error| refuse(key, &failure, error))?;
        let shift = first_shift(&mut demuxer).map_err(|error| refuse(key, &failure, error))?;
        Ok(Self {
            key: key.into(),
            demuxer,
            failure,
            shift,
        })
    }

    pub(super) fn video(&self) -> Option<&Track> {
        self.demuxer.video()
    }

    pub(super) fn audio(&self) -> Option<&Track> {
        self.demuxer.audio()
    }

    pub(super) fn rotation(&self) -> Rotation {
        self.demuxer.rotation()
    }

    pub(super) fn immersive(&self) -> Option<Immersive> {
        self.demuxer.immersive()
    }

    pub(super) fn extent(&mut self) -> Result<(Vec<i64>, i64)> {
        let refuse = |error| refuse(&self.key, &self.failure, error);
        if self.demuxer.video().is_some() {
            let (keyframes, end) = self.demuxer.keyframes().map_err(refuse)?;
            let times = keyframes
                .iter()
                .map(|keyframe| keyframe.dts + self.shift)
                .collect();
            return Ok((times, end + self.shift));
        }
        let mut end = 0;
        self.seek(None)?;
        while let Some(unit) = self.read()? {
            end = end.max(unit.dts + i64::from(unit.duration));
        }
        let timescale = self
            .demuxer
            .audio()
            .map_or(VIDEO_TIMESCALE, |track| track.timescale);
        Ok((Vec::new(), timescale.rescale(end, VIDEO_TIMESCALE)))
    }

    pub(super) fn seek(&mut self, dts: Option<i64>) -> Result<()> {
        let to = dts.map_or(i64::MIN / 4, |dts| dts - self.shift);
        self.demuxer
            .seek(to)
            .map_err(|error| refuse(&self.key, &self.failure, error))
    }

    pub(super) fn read(&mut self) -> Result<Option<AccessUnit>> {
        loop {
            let refuse = |error| refuse(&self.key, &self.failure, error);
            let Some(mut unit) = self.demuxer.read().map_err(refuse)? else {
                return Ok(None);
            };
            if !self.is_whole(&unit) {
                tracing::warn!(
                    recording = self.key,
                    dts = unit.dts,
                    "left out a damaged picture"
                );
                continue;
            }
            let shift = VIDEO_TIMESCALE.rescale(self.shift, self.timescale(unit.kind));
            unit.dts += shift;
            unit.pts += shift;
            return Ok(Some(unit));
        }
    }

    fn timescale(&self, kind: MediaKind) -> Timescale {
        match kind {
            MediaKind::Video => VIDEO_TIMESCALE,
            MediaKind::Audio => self
                .demuxer
                .audio()
                .map_or(VIDEO_TIMESCALE, |t| t.timescale),
        }
    }

    /// Whether a picture's NAL units fill it: the last one of a file cut short does not.
    fn is_whole(&self, unit: &AccessUnit) -> bool {
        let Some(avc) = self.demuxer.video().and_then(Track::avc) else {
            return true;
        };
        if unit.kind == MediaKind::Audio {
            return true;
        }
        let mut units = avc.nal_units(&unit.payload);
        units.by_ref().count() > 0 && units.rest().is_empty()
    }
}

/// What to add so that the first unit of each track is at 0 or later.
fn first_shift(demuxer: &mut FileDemuxer) -> Result<i64, encode::Error> {
    let mut first = [None, None];
    let wanted = [demuxer.video().is_some(), demuxer.audio().is_some()];
    for _ in 0..RATE_UNITS {
        let Some(unit) = demuxer.read()? else { break };
        let (index, track) = match unit.kind {
            MediaKind::Video => (0, demuxer.video()),
            MediaKind::Audio => (1, demuxer.audio()),
        };
        let timescale = track.map_or(VIDEO_TIMESCALE, |track| track.timescale);
        let dts = timescale.rescale(unit.dts.min(unit.pts), VIDEO_TIMESCALE);
        if let Some(slot) = first.get_mut(index) {
            slot.get_or_insert(dts);
        }
        if first.map(|dts| dts.is_some()) == wanted {
            break;
        }
    }
    demuxer.seek(i64::MIN / 4)?;
    let least = first.into_iter().flatten().min().unwrap_or(0);
    // Whole seconds: a whole number of ticks in every timescale, so that audio and video stay
    // together.
    let second = i64::from(VIDEO_TIMESCALE.rate());
    Ok(((-least).max(0) + second - 1) / second * second)
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
