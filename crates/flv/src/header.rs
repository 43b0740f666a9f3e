//! The first bytes of audio and video tags, classic and enhanced, as one shape.
//!
//! Enhanced RTMP v2 wraps the same few packet types into FourCC headers, ModEx extensions and
//! multitrack bodies. Here all of them become [`Video`] or [`Audio`] with the rest of the body, so
//! that the demuxer sees one form. Of a multitrack body track 0 is taken; the others are
//! [`Packet::OtherTrack`].

use bytes::{Buf, Bytes};
use media::{ForeignCodec, MediaKind};

use crate::Error;

/// What a tag is about, after its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The configuration record (sequence header).
    Config(Bytes),
    /// One access unit.
    AccessUnit {
        /// Presentation minus decode time, SI24.
        composition_ms: i32,
        /// The encoder calls it a keyframe. Always true for audio.
        is_key: bool,
        /// Its bytes.
        payload: Bytes,
    },
    /// No more access units of this track until a new configuration.
    EndOfSequence,
    /// Audio that is not AAC.
    Foreign(Foreign),
    /// A track other than track 0.
    OtherTrack,
    /// Nothing to do: commands, colour metadata, empty messages.
    Nothing,
}

/// Audio of another codec than AAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Which.
    pub codec: ForeignCodec,
    /// Samples per second, where the header says it.
    pub sample_rate: Option<u32>,
    /// Channels, where the header says it.
    pub channels: Option<u8>,
    /// It is the codec's own header.
    pub is_header: bool,
    /// Its bytes.
    pub payload: Bytes,
}

const VIDEO: &str = "video tag";
const AUDIO: &str = "audio tag";
const H264: &str = "H.264";

/// Bits 6-4 of an enhanced, 7-4 of a classic video header.
mod frame_type {
    pub const KEY: u8 = 1;
    pub const COMMAND: u8 = 5;
}

/// Low nibble of an enhanced header.
mod packet_type {
    pub const SEQUENCE_START: u8 = 0;
    pub const CODED_FRAMES: u8 = 1;
    pub const SEQUENCE_END: u8 = 2;
    /// Video: coded frames whose composition offset is 0.
    pub const CODED_FRAMES_X: u8 = 3;
    /// Colour metadata of video, channel order of audio: both 4.
    pub const METADATA: u8 = 4;
    /// Video has multitrack at 6, audio at 5.
    pub const VIDEO_MULTITRACK: u8 = 6;
    pub const AUDIO_MULTITRACK: u8 = 5;
    pub const MOD_EX: u8 = 7;
}

// === video ===

/// Reads the body of a video tag.
pub fn video(mut body: Bytes) -> Result<Packet, Error> {
    let bytes = body.len();
    if bytes == 0 {
        return Ok(Packet::Nothing);
    }
    let first = take_u8(&mut body, VIDEO, bytes)?;
    if first & 0x80 != 0 {
        return enhanced_video(first, body, bytes);
    }
    let (frame_type, codec) = (first >> 4, first & 0x0f);
    if frame_type == frame_type::COMMAND {
        return Ok(Packet::Nothing);
    }
    if codec != 7 {
        return Err(unsupported(classic_video_name(codec)));
    }
    let kind = take_u8(&mut body, VIDEO, bytes)?;
    let composition_ms = take_si24(&mut body, VIDEO, bytes)?;
    Ok(match kind {
        0 => Packet::Config(body),
        1 => access_unit(composition_ms, frame_type == frame_type::KEY, body),
        2 => Packet::EndOfSequence,
        value => {
            return Err(Error::Header {
                what: "AVC packet type",
                value: value.into(),
            });
        }
    })
}

fn enhanced_video(first: u8, mut body: Bytes, bytes: usize) -> Result<Packet, Error> {
    let frame_type = (first >> 4) & 7;
    let mut kind = first & 0x0f;
    kind = skip_mod_ex(kind, &mut body, VIDEO, bytes)?;
    if frame_type == frame_type::COMMAND && kind != packet_type::METADATA {
        return Ok(Packet::Nothing);
    }
    let fourcc = if kind == packet_type::VIDEO_MULTITRACK {
        match track_zero(&mut kind, &mut body, VIDEO, bytes)? {
            Some(fourcc) => fourcc,
            None => return Ok(Packet::OtherTrack),
        }
    } else {
        take_fourcc(&mut body, VIDEO, bytes)?
    };
    // FFmpeg sends the colours of a second track, of whatever codec, without the track's wrapper.
    if kind == packet_type::METADATA {
        return Ok(Packet::Nothing);
    }
    if &fourcc != b"avc1" {
        return Err(unsupported(fourcc_name(fourcc)));
    }
    let is_key = frame_type == frame_type::KEY;
    Ok(match kind {
        packet_type::SEQUENCE_START => Packet::Config(body),
        packet_type::CODED_FRAMES => {
            let composition_ms = take_si24(&mut body, VIDEO, bytes)?;
            access_unit(composition_ms, is_key, body)
        }
        packet_type::CODED_FRAMES_X => access_unit(0, is_key, body),
        packet_type::SEQUENCE_END => Packet::EndOfSequence,
        value => {
            return Err(Error::Header {
                what: "video packet type",
                value: value.into(),
            });
        }
    })
}

// === audio ===

/// Reads the body of an audio tag. A message without bytes is how some encoders say silence: an
/// access unit of no bytes.
pub fn audio(mut body: Bytes) -> Result<Packet, Error> {
    let bytes = body.len();
    if bytes == 0 {
        return Ok(audio_unit(body));
    }
    let first = take_u8(&mut body, AUDIO, bytes)?;
    match first >> 4 {
        9 => return enhanced_audio(first & 0x0f, body, bytes),
        10 => {}
        format => return Ok(classic_foreign(format, first, body)),
    }
    Ok(match take_u8(&mut body, AUDIO, bytes)? {
        0 => Packet::Config(body),
        1 => audio_unit(body),
        value => {
            return Err(Error::Header {
                what: "AAC packet type",
                value: value.into(),
            });
        }
    })
}

fn enhanced_audio(kind: u8, mut body: Bytes, bytes: usize) -> Result<Packet, Error> {
    let mut kind = skip_mod_ex(kind, &mut body, AUDIO, bytes)?;
    let fourcc = if kind == packet_type::AUDIO_MULTITRACK {
        match track_zero(&mut kind, &mut body, AUDIO, bytes)? {
            Some(fourcc) => fourcc,
            None => return Ok(Packet::OtherTrack),
        }
    } else {
        take_fourcc(&mut body, AUDIO, bytes)?
    };
    if &fourcc != b"mp4a" {
        return Ok(enhanced_foreign(kind, fourcc, body));
    }
    Ok(match kind {
        packet_type::SEQUENCE_START => Packet::Config(body),
        packet_type::CODED_FRAMES => audio_unit(body),
        packet_type::SEQUENCE_END => Packet::EndOfSequence,
        packet_type::METADATA => Packet::Nothing,
        value => {
            return Err(Error::Header {
                what: "audio packet type",
                value: value.into(),
            });
        }
    })
}

// === both ===

/// Audio has no composition offset, and may have no bytes.
fn audio_unit(payload: Bytes) -> Packet {
    Packet::AccessUnit {
        composition_ms: 0,
        is_key: true,
        payload,
    }
}

fn access_unit(composition_ms: i32, is_key: bool, payload: Bytes) -> Packet {
    match payload.is_empty() {
        true => Packet::Nothing,
        false => Packet::AccessUnit {
            composition_ms,
            is_key,
            payload,
        },
    }
}

/// Skips extensions (ModEx: a nanosecond offset is all there is today) up to the real packet type.
fn skip_mod_ex(
    mut kind: u8,
    body: &mut Bytes,
    what: &'static str,
    bytes: usize,
) -> Result<u8, Error> {
    // Each turn consumes at least three bytes, so the body bounds the loop.
    while kind == packet_type::MOD_EX {
        let mut size = usize::from(take_u8(body, what, bytes)?) + 1;
        if size == 256 {
            let high = usize::from(take_u8(body, what, bytes)?);
            size = (high << 8 | usize::from(take_u8(body, what, bytes)?)) + 1;
        }
        if body.len() < size {
            return Err(Error::Truncated { what, bytes });
        }
        body.advance(size);
        kind = take_u8(body, what, bytes)? & 0x0f;
    }
    Ok(kind)
}

/// Finds track 0 of a multitrack body: leaves `body` at its bytes and `kind` at its packet type,
/// gives its FourCC.
fn track_zero(
    kind: &mut u8,
    body: &mut Bytes,
    what: &'static str,
    bytes: usize,
) -> Result<Option<[u8; 4]>, Error> {
    let layout = take_u8(body, what, bytes)?;
    *kind = layout & 0x0f;
    let (one_track, codec_per_track) = match layout >> 4 {
        0 => (true, false),
        1 => (false, false),
        2 => (false, true),
        value => {
            return Err(Error::Header {
                what: "multitrack type",
                value: value.into(),
            });
        }
    };
    let mut fourcc = match codec_per_track {
        true => [0; 4],
        false => take_fourcc(body, what, bytes)?,
    };
    // Each turn consumes at least one byte, so the body bounds the loop.
    while !body.is_empty() {
        if codec_per_track {
            fourcc = take_fourcc(body, what, bytes)?;
        }
        let track = take_u8(body, what, bytes)?;
        let size = match one_track {
            true => body.len(),
            false => take_u24(body, what, bytes)? as usize,
        };
        if size > body.len() {
            return Err(Error::Truncated { what, bytes });
        }
        if track == 0 {
            body.truncate(size);
            return Ok(Some(fourcc));
        }
        body.advance(size);
    }
    Ok(None)
}

fn take_u8(body: &mut Bytes, what: &'static str, bytes: usize) -> Result<u8, Error> {
    body.try_get_u8()
        .map_err(|_| Error::Truncated { what, bytes })
}

fn take_u24(body: &mut Bytes, what: &'static str, bytes: usize) -> Result<u32, Error> {
    let value = body
        .try_get_uint(3)
        .map_err(|_| Error::Truncated { what, bytes })?;
    Ok(value as u32)
}

fn take_si24(body: &mut Bytes, what: &'static str, bytes: usize) -> Result<i32, Error> {
    Ok(((take_u24(body, what, bytes)? << 8) as i32) >> 8)
}

fn take_fourcc(body: &mut Bytes, what: &'static str, bytes: usize) -> Result<[u8; 4], Error> {
    let value = body
        .try_get_u32()
        .map_err(|_| Error::Truncated { what, bytes })?;
    Ok(value.to_be_bytes())
}

// === names of what is not carried ===

fn unsupported(codec: String) -> Error {
    Error::UnsupportedCodec {
        kind: MediaKind::Video,
        codec,
        remedy: H264,
    }
}

fn classic_video_name(codec: u8) -> String {
    match codec {
        2 => "Sorenson H.263".into(),
        3 | 6 => "screen video".into(),
        4 | 5 => "VP6".into(),
        // FFmpeg means H.263 by it; eflvmux writes HEVC so in its usual mode.
        8 => "codec 8 (H.263, or HEVC from GStreamer's eflvmux)".into(),
        9 => "MPEG-4 part 2".into(),
        // Numbers outside the specification that some networks use.
        12 => "HEVC (H.265)".into(),
        13 => "AV1".into(),
        other => format!("codec {other}"),
    }
}

/// A classic audio tag of another format than AAC (annex E.4.2.1).
fn classic_foreign(format: u8, first: u8, payload: Bytes) -> Packet {
    if payload.is_empty() {
        return Packet::Nothing;
    }
    const MP3_8_KHZ: u8 = 14;
    let codec = match format {
        0 | 3 => ForeignCodec::Pcm {
            bits: if first & 2 == 0 { 8 } else { 16 },
        },
        1 => ForeignCodec::Adpcm,
        2 | MP3_8_KHZ => ForeignCodec::Mp3,
        4..=6 => ForeignCodec::Nellymoser,
        7 => ForeignCodec::ALaw,
        8 => ForeignCodec::MuLaw,
        11 => ForeignCodec::Speex,
        13 => ForeignCodec::Opus,
        other => ForeignCodec::Other(format!("audio format {other}")),
    };
    // Two bits name the rate; formats that have one rate of their own say it by their number.
    let sample_rate = match format {
        4 | 11 => Some(16_000),
        5 | 7 | 8 | MP3_8_KHZ => Some(8_000),
        13 => Some(48_000),
        _ => [5_512, 11_025, 22_050, 44_100]
            .get(usize::from(first >> 2 & 3))
            .copied(),
    };
    let channels = match format {
        4 | 5 | 11 => 1,
        _ => 1 + (first & 1),
    };
    Packet::Foreign(Foreign {
        codec,
        sample_rate,
        channels: Some(channels),
        is_header: false,
        payload,
    })
}

fn enhanced_foreign(kind: u8, fourcc: [u8; 4], payload: Bytes) -> Packet {
    let codec = match &fourcc {
        b"Opus" => ForeignCodec::Opus,
        b"fLaC" => ForeignCodec::Flac,
        b"ac-3" => ForeignCodec::Ac3,
        b"ec-3" => ForeignCodec::Eac3,
        b".mp3" => ForeignCodec::Mp3,
        _ => ForeignCodec::Other(fourcc_name(fourcc)),
    };
    let is_media = matches!(
        kind,
        packet_type::SEQUENCE_START | packet_type::CODED_FRAMES
    );
    if payload.is_empty() || !is_media {
        return Packet::Nothing;
    }
    Packet::Foreign(Foreign {
        codec,
        sample_rate: None,
        channels: None,
        is_header: kind == packet_type::SEQUENCE_START,
        payload,
    })
}

fn fourcc_name(fourcc: [u8; 4]) -> String {
    match &fourcc {
        b"hvc1" => "HEVC (hvc1)".into(),
        b"vvc1" => "VVC (vvc1)".into(),
        b"av01" => "AV1 (av01)".into(),
        b"vp08" => "VP8 (vp08)".into(),
        b"vp09" => "VP9 (vp09)".into(),
        b"avc1" => "H.264 (avc1)".into(),
        b"mp4a" => "AAC (mp4a)".into(),
        other => format!("FourCC \"{}\"", other.escape_ascii()),
    }
}
