//! Encodes planar float samples as AAC-LC access units.
//!
//! An AAC encoder starts [`Encoder::priming_samples`] early: the first access units decode to that
//! much silence, so the first one's time lies that much before the first sample's. What this does
//! not do: change the rate or mix.

use bytes::Bytes;
use ffmpeg_next::{self as ffmpeg, ChannelLayout, Packet, Rational, codec, encoder, format, frame};
use media::{AccessUnit, MediaKind, RandomAccess, Track, aac};

use crate::{
    Error,
    error::{Attempt, is_again},
};

/// Samples per access unit of AAC-LC.
pub const FRAME_SAMPLES: u32 = 1024;

/// Channels an encoder here takes at most (7.1).
pub const CHANNELS_MAX: u8 = 8;

/// Settings of an [`Encoder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Samples per second, one of AAC's rates.
    pub sample_rate: u32,
    /// Channels, 1 to 6 or 8.
    pub channels: u8,
    /// Bits per second.
    pub bitrate: u32,
}

/// Encodes AAC-LC; see the module.
pub struct Encoder {
    encoder: encoder::audio::Encoder,
    track: Track,
    /// Channels; a layout itself is tied to its thread.
    channel_count: i32,
    /// One vector per channel, at most a frame's samples less one between calls.
    pending: Vec<Vec<f32>>,
    frame_samples: usize,
    priming: u32,
    /// Samples given to FFmpeg so far.
    sent: i64,
    /// Access units given out so far.
    received: i64,
    start: i64,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("track", &self.track)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Opens FFmpeg's AAC encoder. `start` is the first sample's time in samples.
    pub fn new(config: Config, start: i64) -> Result<Self, Error> {
        crate::init();
        let channels = i32::from(config.channels);
        if config.channels == 0 || config.channels > CHANNELS_MAX {
            let reason = format!("make it 1 to {CHANNELS_MAX}");
            return Err(Error::setting("channels", channels, reason));
        }
        let codec = encoder::find(codec::Id::AAC).ok_or_else(|| Error::NoEncoder {
            name: "aac".to_owned(),
            available: "no AAC encoder".to_owned(),
        })?;
        let layout = ChannelLayout::default(channels);
        let rate = i32::try_from(config.sample_rate).unwrap_or(i32::MAX);
        let mut audio = codec::Context::new_with_codec(codec)
            .encoder()
            .audio()
            .attempt(|| "use the AAC encoder for audio".to_owned())?;
        audio.set_rate(rate);
        audio.set_channel_layout(layout);
        audio.set_format(format::Sample::F32(format::sample::Type::Planar));
        audio.set_bit_rate(config.bitrate as usize);
        audio.set_time_base(Rational(1, rate));
        audio.set_flags(codec::Flags::GLOBAL_HEADER);
        let encoder = audio.open_as(codec).attempt(|| {
            format!(
                "open the AAC encoder for {channels} channels at {rate} Hz, {} b/s",
                config.bitrate
            )
        })?;
        // SAFETY: plain fields of an open context; `extradata` holds `extradata_size` bytes until
        // it is freed.
        let (header, priming) = unsafe {
            let context = encoder.as_ptr();
            let size = usize::try_from((*context).extradata_size).unwrap_or(0);
            let header = if (*context).extradata.is_null() {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(std::slice::from_raw_parts((*context).extradata, size))
            };
            (
                header,
                u32::try_from((*context).initial_padding).unwrap_or(0),
            )
        };
        let parsed = aac::Config::parse(header).map_err(|e| Error::Configuration {
            encoder: "aac".to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Self {
            frame_samples: encoder.frame_size().max(1) as usize,
            track: Track::audio(parsed),
            encoder,
            channel_count: channels,
            pending: vec![Vec::new(); usize::from(config.channels)],
            priming,
            sent: 0,
            received: 0,
            start,
        })
    }

    /// The track its access units belong to.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// Channels that it takes.
    pub fn channels(&self) -> usize {
        self.pending.len()
    }

    /// Samples of silence that precede the first sample given to [`Encoder::encode`].
    pub fn priming_samples(&self) -> u32 {
        self.priming
    }

    /// Takes samples, one slice per channel of equal length, -1 to 1, and gives what is ready.
    pub fn encode(&mut self, channels: &[&[f32]]) -> Result<Vec<AccessUnit>, Error> {
        let lengths_differ = channels.windows(2).any(|w| w[0].len() != w[1].len());
        if channels.len() != self.pending.len() || lengths_differ {
            let reason = format!("give {} slices of equal length", self.pending.len());
            return Err(Error::setting("channels", channels.len(), reason));
        }
        for (pending, new) in self.pending.iter_mut().zip(channels) {
            pending.extend_from_slice(new);
        }
        let mut units = Vec::new();
        while self
            .pending
            .first()
            .is_some_and(|p| p.len() >= self.frame_samples)
        {
            self.send(self.frame_samples)?;
            self.drain(&mut units)?;
        }
        Ok(units)
    }

    /// Ends the track and gives what was still inside; the last frame is filled up with silence.
    pub fn finish(mut self) -> Result<Vec<AccessUnit>, Error> {
        let mut units = Vec::new();
        let rest = self.pending.first().map_or(0, Vec::len);
        if rest > 0 {
            for pending in &mut self.pending {
                pending.resize(self.frame_samples, 0.0);
            }
            self.send(self.frame_samples)?;
        }
        self.encoder
            .send_eof()
            .attempt(|| "flush the AAC encoder".to_owned())?;
        self.drain(&mut units)?;
        Ok(units)
    }

    fn send(&mut self, samples: usize) -> Result<(), Error> {
        let format = format::Sample::F32(format::sample::Type::Planar);
        let mut frame =
            frame::Audio::new(format, samples, ChannelLayout::default(self.channel_count));
        // Only the encoder's own rate is right here; where FFmpeg could not allocate there are no
        // planes.
        frame.set_rate(self.track.timescale().rate());
        frame.set_pts(Some(self.sent));
        let planes = frame.planes();
        for (index, pending) in self.pending.iter_mut().enumerate() {
            if index >= planes {
                break;
            }
            let plane = frame.plane_mut::<f32>(index);
            for (to, from) in plane.iter_mut().zip(pending.drain(..samples)) {
                *to = from;
            }
        }
        self.sent += samples as i64;
        let sent = self.encoder.send_frame(&frame);
        sent.attempt(|| "encode audio".to_owned())
    }

    fn drain(&mut self, units: &mut Vec<AccessUnit>) -> Result<(), Error> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => return Ok(()),
                Err(e) => return Err(e).attempt(|| "take audio from the encoder".to_owned()),
            }
            let payload = Bytes::copy_from_slice(packet.data().unwrap_or_default());
            let samples = self.frame_samples as i64;
            let dts = self.start - i64::from(self.priming) + self.received * samples;
            self.received += 1;
            units.push(AccessUnit {
                kind: MediaKind::Audio,
                dts,
                pts: dts,
                duration: self.frame_samples as u32,
                random_access: RandomAccess::Idr,
                payload,
            });
        }
    }
}
