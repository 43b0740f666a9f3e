//! Makes AAC of audio that players do not take (MP3, G.711, Speex …), before it reaches the stream.

use bytes::Bytes;
use encode::{AudioFormat, AudioTranscoder};
use media::{
    ForeignAudio, ForeignCodec, IngestEvent, IngestUnit, MediaKind, RandomAccess, Timescale,
};
use tracing::{info, warn};

/// Transcodes one publisher's audio. Audio that cannot be transcoded is left out with a warning;
/// the video goes on without it.
#[derive(Default)]
pub(super) struct ForeignAudioTranscoder {
    running: Option<(Format, AudioTranscoder)>,
    /// What could not be opened or broke down; not tried again.
    refused: Option<Format>,
}

/// What a decoder is opened for; another one needs another decoder.
#[derive(Clone, PartialEq)]
struct Format {
    codec: ForeignCodec,
    sample_rate: Option<u32>,
    channels: Option<u8>,
    header: Option<Bytes>,
    timescale: Timescale,
}

impl Format {
    fn of(audio: &ForeignAudio) -> Self {
        Self {
            codec: audio.codec.clone(),
            sample_rate: audio.sample_rate,
            channels: audio.channels,
            header: audio.header.clone(),
            timescale: audio.timescale,
        }
    }

    fn open(&self) -> Result<AudioTranscoder, String> {
        let codec = decoder(&self.codec).ok_or("no decoder for it")?;
        let format = AudioFormat {
            codec,
            sample_rate: self.sample_rate.unwrap_or(0),
            channels: self.channels.unwrap_or(0),
            extradata: self.header.as_deref().unwrap_or_default(),
            ticks_per_second: self.timescale.rate(),
        };
        AudioTranscoder::open(&format).map_err(|error| error.to_string())
    }
}

/// FFmpeg's name of the decoder.
fn decoder(codec: &ForeignCodec) -> Option<&'static str> {
    Some(match codec {
        ForeignCodec::Aac(_) => "aac",
        ForeignCodec::Mp3 => "mp3",
        ForeignCodec::ALaw => "pcm_alaw",
        ForeignCodec::MuLaw => "pcm_mulaw",
        ForeignCodec::Speex => "speex",
        ForeignCodec::Nellymoser => "nellymoser",
        ForeignCodec::Pcm { bits: 8 } => "pcm_u8",
        ForeignCodec::Pcm { .. } => "pcm_s16le",
        ForeignCodec::Adpcm => "adpcm_swf",
        ForeignCodec::Opus => "opus",
        ForeignCodec::Flac => "flac",
        ForeignCodec::Ac3 => "ac3",
        ForeignCodec::Eac3 => "eac3",
        ForeignCodec::Other(_) => return None,
    })
}

impl ForeignAudioTranscoder {
    /// Takes a frame; gives the configuration before the first unit, and the units that are ready.
    pub(super) fn push(&mut self, audio: &ForeignAudio) -> Vec<IngestEvent> {
        let format = Format::of(audio);
        let mut events = Vec::new();
        if self.refused.as_ref() == Some(&format) {
            return events;
        }
        let codec = &audio.codec;
        if self
            .running
            .as_ref()
            .is_none_or(|(open, _)| *open != format)
        {
            match format.open() {
                Ok(transcoder) => {
                    info!(%codec, "audio is transcoded to AAC: players do not take it");
                    let track = transcoder.track().as_audio();
                    let config = track.map(|track| track.config.clone());
                    events.extend(config.map(IngestEvent::AudioConfig));
                    self.running = Some((format, transcoder));
                }
                Err(reason) => return self.refuse(format, &reason),
            }
        }
        let Some((_, transcoder)) = &mut self.running else {
            return events;
        };
        let samples = transcoder.track().timescale();
        match transcoder.push(&audio.payload, audio.dts) {
            Ok(units) => events.extend(units.into_iter().map(|unit| {
                IngestEvent::Unit(IngestUnit {
                    kind: MediaKind::Audio,
                    timescale: audio.timescale,
                    dts: samples.rescale(unit.dts, audio.timescale),
                    composition: 0,
                    random_access: RandomAccess::Idr,
                    payload: unit.payload,
                })
            })),
            Err(error) => return self.refuse(Format::of(audio), &error.to_string()),
        }
        events
    }

    fn refuse(&mut self, format: Format, reason: &str) -> Vec<IngestEvent> {
        let codec = &format.codec;
        warn!(%codec, reason, "audio left out: set the encoder to AAC");
        self.running = None;
        self.refused = Some(format);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use media::MILLISECONDS;

    use super::*;

    fn frame(codec: ForeignCodec, dts: i64) -> ForeignAudio {
        ForeignAudio {
            codec,
            sample_rate: Some(8000),
            channels: Some(1),
            header: None,
            timescale: MILLISECONDS,
            dts,
            payload: Bytes::from_static(&[0xd5; 160]),
        }
    }

    #[test]
    fn a_telephones_audio_comes_as_aac_with_the_publishers_times() {
        let mut transcoder = ForeignAudioTranscoder::default();
        let frames = (0..100).map(|n| frame(ForeignCodec::ALaw, 7000 + n * 20));
        let events: Vec<_> = frames.flat_map(|frame| transcoder.push(&frame)).collect();
        assert!(matches!(events.first(), Some(IngestEvent::AudioConfig(_))));
        let times: Vec<i64> = events[1..]
            .iter()
            .map(|event| match event {
                IngestEvent::Unit(unit) => unit.dts,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!((6990..7064).contains(&times[0]), "{times:?}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 64));
        assert!(times.len() > 25, "{times:?}");
    }

    #[test]
    fn a_codec_without_a_decoder_is_left_out() {
        let mut transcoder = ForeignAudioTranscoder::default();
        let unknown = frame(ForeignCodec::Other("x-audio".to_owned()), 0);
        assert!(transcoder.push(&unknown).is_empty());
        assert!(transcoder.push(&unknown).is_empty());
    }
}
