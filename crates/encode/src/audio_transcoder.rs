//! Transcodes live audio that players do not take (MP3, G.711, Speex, AAC Main …) to AAC-LC.
//!
//! The first access unit lies at the first sample's time; those that follow are one frame apart. A
//! publisher's clock that drifts is followed by a few samples more or less; after a jump the
//! encoder starts anew, and the hole or the overlap is the caller's to see. About one percent of a
//! core for stereo at 48 kHz, on the caller's thread. What this does not do: fill holes.

use media::{AccessUnit, Track};

use crate::{
    AudioDecoder, AudioFormat, AudioOutput, Error, Samples,
    audio::{Config, Encoder},
};

/// Bits per second for each channel: AAC-LC that nobody tells from the source.
const BITRATE_PER_CHANNEL: u32 = 64_000;

/// The sample rates that every player takes, lowest first; others become the next higher one.
const RATES: [u32; 8] = [
    16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000,
];

/// A time that is off by more than this many milliseconds is a jump; less is a clock of whole
/// milliseconds, frames of uneven length, or drift.
const JUMP_MIN_MS: i64 = 100;

/// Transcodes one track; see the module.
#[derive(Debug)]
pub struct AudioTranscoder {
    decoder: AudioDecoder,
    config: Config,
    encoder: Encoder,
    track: Track,
    /// The time of the next sample given to the encoder; `None` before the first.
    next: Option<i64>,
    /// The end of the last access unit given out.
    end: i64,
}

/// What players take that is nearest to the input.
fn output(input: &AudioFormat<'_>) -> AudioOutput {
    let rate = RATES.into_iter().find(|rate| *rate >= input.sample_rate);
    AudioOutput {
        sample_rate: match input.sample_rate {
            0 => 48_000,
            _ => rate.unwrap_or(48_000),
        },
        channels: match input.channels {
            1 => 1,
            3.. => 6,
            _ => 2,
        },
    }
}

impl AudioTranscoder {
    /// Opens decoder and encoder for audio of `input`.
    pub fn open(input: &AudioFormat<'_>) -> Result<Self, Error> {
        let output = output(input);
        let config = Config {
            sample_rate: output.sample_rate,
            channels: output.channels,
            bitrate: BITRATE_PER_CHANNEL * u32::from(output.channels),
        };
        let encoder = Encoder::new(config.clone(), 0)?;
        Ok(Self {
            decoder: AudioDecoder::open(input, output)?,
            track: encoder.track().clone(),
            encoder,
            config,
            next: None,
            end: i64::MIN,
        })
    }

    /// The track its access units belong to.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// Frames that could not be decoded.
    pub fn damaged(&self) -> u64 {
        self.decoder.damaged()
    }

    /// Takes the next frame, at `pts` in the input's ticks. Times of what comes out are in samples.
    pub fn push(&mut self, payload: &[u8], pts: i64) -> Result<Vec<AccessUnit>, Error> {
        let mut units = Vec::new();
        for samples in self.decoder.push(payload, pts)? {
            self.encode(&samples, &mut units)?;
        }
        Ok(units)
    }

    /// No more frames come; gives what was still inside.
    pub fn finish(mut self) -> Result<Vec<AccessUnit>, Error> {
        let mut units = Vec::new();
        for samples in self.decoder.finish()? {
            self.encode(&samples, &mut units)?;
        }
        if self.next.is_some() {
            let rest = self.encoder.finish()?;
            keep(rest, &mut self.end, &mut units);
        }
        Ok(units)
    }

    fn encode(&mut self, samples: &Samples, units: &mut Vec<AccessUnit>) -> Result<(), Error> {
        let tolerated = i64::from(self.config.sample_rate) * JUMP_MIN_MS / 1000;
        let goes_on = |next: i64| (samples.pts - next).abs() <= tolerated;
        if !self.next.is_some_and(goes_on) {
            let fresh = Encoder::new(self.config.clone(), samples.pts)?;
            let old = std::mem::replace(&mut self.encoder, fresh);
            if self.next.is_some() {
                keep(old.finish()?, &mut self.end, units);
            }
            self.next = Some(samples.pts);
            // A clock that was set back goes on from there.
            self.end = samples.pts;
        }
        let planes: Vec<&[f32]> = samples.planes.iter().map(Vec::as_slice).collect();
        let coded = self.encoder.encode(&planes)?;
        keep(coded, &mut self.end, units);
        self.next = self.next.map(|next| next + samples.len() as i64);
        Ok(())
    }
}

/// Appends what does not lie before the end: an encoder starts with a frame of silence.
fn keep(coded: Vec<AccessUnit>, end: &mut i64, units: &mut Vec<AccessUnit>) {
    for unit in coded {
        if unit.dts >= *end {
            *end = unit.dts + i64::from(unit.duration);
            units.push(unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A-law of silence, 20 ms a frame at 8 kHz, with times in milliseconds.
    fn phone() -> AudioTranscoder {
        AudioTranscoder::open(&AudioFormat {
            codec: "pcm_alaw",
            sample_rate: 8_000,
            channels: 1,
            extradata: &[],
            ticks_per_second: 1000,
        })
        .unwrap()
    }

    #[test]
    fn a_telephones_audio_becomes_aac_at_the_same_times() {
        let mut transcoder = phone();
        let aac = transcoder.track().clone();
        assert_eq!(aac.rfc6381(), "mp4a.40.2");
        let mut units = Vec::new();
        for frame in 0..100 {
            units.extend(transcoder.push(&[0xd5; 160], 5000 + frame * 20).unwrap());
        }
        assert_eq!(transcoder.damaged(), 0);
        units.extend(transcoder.finish().unwrap());
        let first = units.first().unwrap().dts;
        assert!((first - 5 * 16_000).abs() <= 1024, "{first}");
        let end = |unit: &AccessUnit| unit.dts + i64::from(unit.duration);
        assert!(units.windows(2).all(|pair| end(&pair[0]) == pair[1].dts));
        let last = end(units.last().unwrap());
        assert!((last - 7 * 16_000).abs() <= 2048, "{last}");
    }

    #[test]
    fn a_jump_is_kept_and_jitter_is_not() {
        let mut transcoder = phone();
        let mut units = Vec::new();
        for frame in 0..200 {
            let jitter = [0, 7, -9, 3][frame as usize % 4];
            let jump = if frame >= 100 { 3000 } else { 0 };
            let at = 1000 + frame * 20 + jitter + jump;
            units.extend(transcoder.push(&[0xd5; 160], at).unwrap());
        }
        units.extend(transcoder.finish().unwrap());
        let breaks: Vec<_> = units
            .windows(2)
            .map(|pair| pair[1].dts - pair[0].dts - i64::from(pair[0].duration))
            .filter(|hole| *hole != 0)
            .collect();
        assert_eq!(breaks.len(), 1, "{breaks:?}");
        assert!((breaks[0] - 3 * 16_000).abs() < 3000, "{breaks:?}");
    }
}
