//! One audio rendition of a slice: access units at exactly the plan's times, with silence where the
//! source has nothing.

use bytes::Bytes;
use encode::{
    AudioDecoder, AudioOutput, Samples, audio,
    file_demuxer::{CodedPacket, FileDemuxer},
};
use media::{AccessUnit, MediaKind, Track};

use crate::plan::AudioPlan;

/// Access units encoded and thrown away before a slice's first, until the encoder has the same
/// state as that of the slice before: so there is nothing to hear at an edge.
const WARM_FRAMES: i64 = 12;

/// Samples that come this much beside where the last ones ended follow them all the same: some
/// containers round times to milliseconds. More is a hole or an overlap.
const JITTER_SECONDS: f64 = 0.02;

/// Bits per second of AAC for each channel, and for a pair together.
const BITRATE_MONO: u32 = 96_000;
const BITRATE_STEREO: u32 = 160_000;
const BITRATE_SURROUND: u32 = 384_000;

/// AAC spends at most this many bits per sample and channel (ISO/IEC 14496-3 §4.5.3.1: 6144 per
/// access unit).
const BITS_PER_SAMPLE_MAX: u32 = 5;

/// Makes one audio rendition of one slice.
pub(super) struct AudioMaker {
    plan: AudioPlan,
    /// The first access unit of the slice, and the first after it.
    range: (i64, i64),
    how: How,
    track: Track,
    /// All of its units were given.
    is_done: bool,
    /// No packet of it comes in time: [`AudioMaker::finish`] fills the rest.
    has_given_up: bool,
}

enum How {
    Copy { next: i64, silence: Bytes },
    Encode(Box<Encode>),
}

struct Encode {
    decoder: AudioDecoder,
    encoder: Option<audio::Encoder>,
    /// Samples fed so far, counted from the rendition's start.
    fed: i64,
    has_begun: bool,
}

impl AudioMaker {
    /// `track` is the file's own, where it is sent as it is.
    pub(super) fn open(
        plan: &AudioPlan,
        range: (i64, i64),
        demuxer: &FileDemuxer,
    ) -> Result<Self, encode::Error> {
        let own = demuxer.audio().get(plan.source.track);
        let own = own.and_then(|stream| stream.track());
        if let (true, Some(track)) = (plan.source.is_copied, own) {
            let audio = track.as_audio();
            let silence = audio.map_or_else(Bytes::new, |audio| audio.config.silence());
            let how = How::Copy {
                next: range.0,
                silence,
            };
            return Ok(Self::new(plan, range, how, track.clone()));
        }
        let output = AudioOutput {
            sample_rate: plan.source.sample_rate,
            channels: plan.source.channels,
        };
        let decoder = demuxer.audio_decoder(plan.source.track, output)?;
        let fed = (range.0 - WARM_FRAMES).max(0) * i64::from(plan.source.frame_samples);
        let encoder = audio::Encoder::new(encoder_config(output), plan.start + fed)?;
        let track = encoder.track().clone();
        let how = How::Encode(Box::new(Encode {
            decoder,
            encoder: Some(encoder),
            fed,
            has_begun: false,
        }));
        Ok(Self::new(plan, range, how, track))
    }

    fn new(plan: &AudioPlan, range: (i64, i64), how: How, track: Track) -> Self {
        Self {
            plan: plan.clone(),
            range,
            how,
            track,
            is_done: range.0 >= range.1,
            has_given_up: false,
        }
    }

    /// The rendition's track.
    pub(super) fn track(&self) -> &Track {
        &self.track
    }

    /// Which of the file's audio tracks it takes.
    pub(super) fn source_track(&self) -> usize {
        self.plan.source.track
    }

    /// It needs no more packets.
    pub(super) fn is_done(&self) -> bool {
        self.is_done || self.has_given_up
    }

    /// The file has nothing more for the slice.
    pub(super) fn give_up(&mut self) {
        self.has_given_up = true;
    }

    /// Packets that could not be decoded.
    pub(super) fn damaged(&self) -> u64 {
        match &self.how {
            How::Copy { .. } => 0,
            How::Encode(encode) => encode.decoder.damaged(),
        }
    }

    fn frame(&self) -> i64 {
        i64::from(self.plan.source.frame_samples.max(1))
    }

    /// Takes a packet of its track and gives what is ready.
    pub(super) fn push(
        &mut self,
        demuxer: &FileDemuxer,
        packet: &CodedPacket,
    ) -> Result<Vec<AccessUnit>, encode::Error> {
        if self.is_done {
            return Ok(Vec::new());
        }
        if matches!(self.how, How::Copy { .. }) {
            return Ok(match demuxer.access_unit(packet) {
                Some(unit) => self.copy(unit),
                None => Vec::new(),
            });
        }
        let How::Encode(encode) = &mut self.how else {
            return Ok(Vec::new());
        };
        let decoded = encode.decoder.push_coded(packet)?;
        self.feed(decoded)
    }

    /// No more packets come: silence fills what is missing.
    pub(super) fn finish(&mut self) -> Result<Vec<AccessUnit>, encode::Error> {
        let mut units = Vec::new();
        let range = self.range;
        if let How::Copy { .. } = &self.how {
            if !self.is_done {
                self.fill(range.1, &mut units);
                self.is_done = true;
            }
            return Ok(units);
        }
        if !self.is_done {
            let How::Encode(encode) = &mut self.how else {
                return Ok(units);
            };
            let rest = encode.decoder.finish()?;
            units = self.feed(rest)?;
        }
        units.extend(self.end()?);
        Ok(units)
    }

    /// A unit of the file at its place in the grid.
    fn copy(&mut self, mut unit: AccessUnit) -> Vec<AccessUnit> {
        let frame = self.frame();
        let number = (unit.pts - self.plan.start + frame / 2).div_euclid(frame);
        let How::Copy { next, .. } = &self.how else {
            return Vec::new();
        };
        let mut units = Vec::new();
        if number < *next {
            return units;
        }
        self.fill(number.min(self.range.1), &mut units);
        if number >= self.range.1 {
            self.is_done = true;
            return units;
        }
        unit.dts = self.plan.start + number * frame;
        unit.pts = unit.dts;
        units.push(unit);
        if let How::Copy { next, .. } = &mut self.how {
            *next = number + 1;
        }
        units
    }

    /// Silence up to the unit `until`.
    fn fill(&mut self, until: i64, units: &mut Vec<AccessUnit>) {
        let (frame, start) = (self.frame(), self.plan.start);
        let How::Copy { next, silence } = &mut self.how else {
            return;
        };
        for number in *next..until {
            let dts = start + number * frame;
            units.push(AccessUnit {
                kind: MediaKind::Audio,
                dts,
                pts: dts,
                duration: u32::try_from(frame).unwrap_or(u32::MAX),
                random_access: media::RandomAccess::Idr,
                payload: silence.clone(),
            });
        }
        *next = until.max(*next);
    }

    /// Encodes decoded samples at their places.
    fn feed(&mut self, decoded: Vec<Samples>) -> Result<Vec<AccessUnit>, encode::Error> {
        let mut units = Vec::new();
        for samples in decoded {
            units.extend(self.feed_one(samples)?);
        }
        Ok(units)
    }

    fn feed_one(&mut self, mut samples: Samples) -> Result<Vec<AccessUnit>, encode::Error> {
        let jitter = (JITTER_SECONDS * f64::from(self.plan.source.sample_rate)) as i64;
        let at = samples.pts - self.plan.start;
        let last = (self.range.1 + 1) * self.frame();
        let is_done = self.is_done;
        let How::Encode(encode) = &mut self.how else {
            return Ok(Vec::new());
        };
        let length = i64::try_from(samples.len()).unwrap_or(0);
        if is_done || at + length <= encode.fed - jitter {
            return Ok(Vec::new());
        }
        let beside = at - encode.fed;
        let mut units = Vec::new();
        if beside > 0 && (beside > jitter || !encode.has_begun) {
            units.extend(encode.silence(beside.min(last - encode.fed))?);
        } else if beside < 0 && (beside < -jitter || !encode.has_begun) {
            let early = usize::try_from(-beside).unwrap_or(0).min(samples.len());
            for plane in &mut samples.planes {
                plane.drain(..early);
            }
        }
        encode.has_begun = true;
        units.extend(encode.encode(&samples.planes)?);
        let is_full = encode.fed >= last;
        let mut units = self.own(units);
        if is_full {
            units.extend(self.end()?);
        }
        Ok(units)
    }

    /// Ends the encoder; silence fills what is missing.
    fn end(&mut self) -> Result<Vec<AccessUnit>, encode::Error> {
        self.is_done = true;
        // One more than there is room for: an encoder's first unit holds what is before.
        let last = (self.range.1 + 1) * self.frame();
        let How::Encode(encode) = &mut self.how else {
            return Ok(Vec::new());
        };
        let mut units = encode.silence(last - encode.fed)?;
        if let Some(encoder) = encode.encoder.take() {
            units.extend(encoder.finish()?);
        }
        Ok(self.own(units))
    }

    /// Those of the units that belong to the slice.
    fn own(&self, units: Vec<AccessUnit>) -> Vec<AccessUnit> {
        let (frame, start) = (self.frame(), self.plan.start);
        let number = |unit: &AccessUnit| (unit.dts - start).div_euclid(frame);
        let (first, end) = self.range;
        let is_own = |unit: &AccessUnit| (first..end).contains(&number(unit));
        units.into_iter().filter(is_own).collect()
    }
}

impl Encode {
    fn encode(&mut self, planes: &[Vec<f32>]) -> Result<Vec<AccessUnit>, encode::Error> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(Vec::new());
        };
        let length = planes.first().map_or(0, Vec::len);
        self.fed += i64::try_from(length).unwrap_or(0);
        let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
        encoder.encode(&planes)
    }

    /// Feeds this many samples of silence, a second at a time.
    fn silence(&mut self, samples: i64) -> Result<Vec<AccessUnit>, encode::Error> {
        let mut units = Vec::new();
        let mut left = usize::try_from(samples).unwrap_or(0);
        let channels = self.encoder.as_ref().map_or(0, audio::Encoder::channels);
        while left > 0 && channels > 0 {
            let count = left.min(48_000);
            left -= count;
            units.extend(self.encode(&vec![vec![0.0; count]; channels])?);
        }
        Ok(units)
    }
}

fn encoder_config(output: AudioOutput) -> audio::Config {
    let bitrate = match output.channels {
        1 => BITRATE_MONO,
        2 => BITRATE_STEREO,
        _ => BITRATE_SURROUND,
    };
    let most = output.sample_rate * u32::from(output.channels) * BITS_PER_SAMPLE_MAX;
    audio::Config {
        sample_rate: output.sample_rate,
        channels: output.channels,
        bitrate: bitrate.min(most),
    }
}
