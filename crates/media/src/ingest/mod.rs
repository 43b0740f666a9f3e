//! What every ingest protocol makes of a publisher's bytes: configurations, units, and a word for
//! whatever was put right or left out.
//!
//! RTMP gives these through FLV; another protocol gives the same, with a timescale of its own, and
//! nothing behind this point knows which one it was.

mod metadata;
mod skipped;

use bytes::Bytes;

pub use metadata::SourceMetadata;
pub use skipped::{Repair, SkipReason, Skipped};

use crate::{AudioConfig, MediaKind, RandomAccess, Timescale, VIDEO_TIMESCALE, VideoConfig};

/// One thing a publisher said, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum IngestEvent {
    /// The video configuration is new or has changed; it holds from the next unit on.
    VideoConfig(VideoConfig),
    /// The audio configuration is new or has changed; it holds from the next unit on.
    AudioConfig(AudioConfig),
    /// One access unit with the publisher's clock.
    Unit(IngestUnit),
    /// The publisher describes its stream, for the first time or otherwise than before.
    Metadata(SourceMetadata),
    /// The publisher says that this track ends here.
    EndOfTrack(MediaKind),
    /// Something was wrong and is put right; nothing is lost.
    Repaired(Repair),
    /// Something cannot be used and was left out.
    Skipped(Skipped),
    /// Audio that players do not decode as it is. It comes while there is no audio that they do:
    /// whoever transcodes it makes [`IngestEvent::AudioConfig`] and [`IngestEvent::Unit`] of it.
    ForeignAudio(ForeignAudio),
}

/// An access unit as a publisher sent it, stamped by a clock that may wrap, jitter, jump or drift.
///
/// [`crate::Timeline`] is the only place that turns them into [`crate::AccessUnit`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestUnit {
    /// The track it belongs to.
    pub kind: MediaKind,
    /// Ticks per second of `dts` and `composition`: 1000 from RTMP, 90,000 from MPEG-TS.
    pub timescale: Timescale,
    /// Decode time as sent. Milliseconds count modulo 2^32 (some encoders: 2^31); a clock in
    /// another timescale comes unwrapped.
    pub dts: i64,
    /// Presentation minus decode time, as sent. 0 for audio.
    pub composition: i32,
    /// Where decoding may start; [`RandomAccess::Idr`] for all audio.
    pub random_access: RandomAccess,
    /// NAL units with lengths of four bytes, or one raw AAC frame.
    pub payload: Bytes,
}

impl IngestUnit {
    /// Whether a decoder may start here with nothing before.
    pub fn is_sync(&self) -> bool {
        self.random_access.is_sync()
    }

    /// Presentation minus decode time in [`VIDEO_TIMESCALE`].
    pub fn composition_ticks(&self) -> i64 {
        let sent = i64::from(self.composition);
        self.timescale.rescale(sent, VIDEO_TIMESCALE)
    }
}

/// What a protocol carries as one video access unit, before anybody has looked into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPacket {
    /// Ticks per second of `dts` and `composition`.
    pub timescale: Timescale,
    /// Decode time; see [`IngestUnit::dts`].
    pub dts: i64,
    /// Presentation minus decode time.
    pub composition: i32,
    /// The publisher calls it a keyframe.
    pub is_key: bool,
    /// Its bytes, as sent.
    pub payload: Bytes,
}

/// What a protocol carries as audio at one time: usually one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPacket {
    /// Ticks per second of `dts`.
    pub timescale: Timescale,
    /// Decode time; see [`IngestUnit::dts`].
    pub dts: i64,
    /// Its bytes, as sent.
    pub payload: Bytes,
}

/// One frame of audio in a codec that players do not take as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAudio {
    /// Which.
    pub codec: ForeignCodec,
    /// Samples per second, where the protocol says it.
    pub sample_rate: Option<u32>,
    /// Channels, where the protocol says it.
    pub channels: Option<u8>,
    /// The codec's own header, where one came: an AudioSpecificConfig, `OpusHead`, `STREAMINFO`.
    pub header: Option<Bytes>,
    /// Ticks per second of `dts`.
    pub timescale: Timescale,
    /// Decode time; see [`IngestUnit::dts`].
    pub dts: i64,
    /// The frame, as sent.
    pub payload: Bytes,
}

/// Audio codecs that publishers send and players do not take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForeignCodec {
    /// AAC that browsers do not decode, and why.
    Aac(crate::aac::Unplayable),
    /// MPEG-1 or MPEG-2 layer 3.
    Mp3,
    /// G.711 with A-law.
    ALaw,
    /// G.711 with µ-law.
    MuLaw,
    /// Speex.
    Speex,
    /// Nellymoser.
    Nellymoser,
    /// Little-endian samples of 8 (unsigned) or 16 bits.
    Pcm {
        /// 8 or 16.
        bits: u8,
    },
    /// Flash's ADPCM.
    Adpcm,
    /// Opus.
    Opus,
    /// FLAC.
    Flac,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
    /// Another one, by the name or number that the protocol gives.
    Other(String),
}

impl std::fmt::Display for ForeignCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Aac(reason) => return write!(f, "AAC with {reason}"),
            Self::Mp3 => "MP3",
            Self::ALaw => "G.711 A-law",
            Self::MuLaw => "G.711 µ-law",
            Self::Speex => "Speex",
            Self::Nellymoser => "Nellymoser",
            Self::Pcm { .. } => "PCM",
            Self::Adpcm => "ADPCM",
            Self::Opus => "Opus",
            Self::Flac => "FLAC",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Other(name) => name,
        })
    }
}
