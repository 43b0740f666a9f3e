//! The first bytes of audio and video tags, classic and enhanced, as one shape.
//!
//! Enhanced RTMP v2 wraps the same few packet types into FourCC headers, ModEx extensions and
//! multitrack bodies. Here all of them become [`Video`] or [`Audio`] with the rest of the body, so
//! that the demuxer sees one form. Of a multitrack body track 0 is taken; the others are
//! [`Packet::OtherTrack`].

use bytes::{Buf, Bytes};
use media::MediaKind;

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
    /// A track other than track 0.
    OtherTrack,
    /// Nothing to do: commands, colour metadata, empty messages.
    Nothing,
}

const VIDEO: &str = "video tag";
const AUDIO: &str = "audio tag";
const H264: &str = "H.264";
const AAC: &str = "AAC";

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
        return Err(unsupported(MediaKind::Video, classic_video_name(codec)));
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
    if &fourcc != b"avc1" {
        return Err(unsupported(MediaKind::Video, fourcc_name(fourcc)));
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
        packet_type::METADATA => Packet::Nothing,
        value => {
            return Err(Error::Header {
                what: "video packet type",
                value: value.into(),
            });
        }
    })
}

// === audio ===

/// Reads the body of an audio tag. A message without bytes is how some encoders say silence:
/// nothing to do.
pub fn audio(mut body: Bytes) -> Result<Packet, Error> {
    let bytes = body.len();
    if bytes == 0 {
        return Ok(Packet::Nothing);
    }
    let first = take_u8(&mut body, AUDIO, bytes)?;
    match first >> 4 {
        9 => return enhanced_audio(first & 0x0f, body, bytes),
        10 => {}
        format => return Err(unsupported(MediaKind::Audio, classic_audio_name(format))),
    }
    Ok(match take_u8(&mut body, AUDIO, bytes)? {
        0 => Packet::Config(body),
        1 => access_unit(0, true, body),
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
        return Err(unsupported(MediaKind::Audio, fourcc_name(fourcc)));
    }
    Ok(match kind {
        packet_type::SEQUENCE_START => Packet::Config(body),
        packet_type::CODED_FRAMES => access_unit(0, true, body),
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

// === names of what is refused ===

fn unsupported(kind: MediaKind, codec: String) -> Error {
    let remedy = match kind {
        MediaKind::Video => H264,
        MediaKind::Audio => AAC,
    };
    Error::UnsupportedCodec {
        kind,
        codec,
        remedy,
    }
}

fn classic_video_name(codec: u8) -> String {
    match codec {
        2 => "Sorenson H.263".into(),
        3 | 6 => "screen video".into(),
        4 | 5 => "VP6".into(),
        8 => "H.263".into(),
        9 => "MPEG-4 part 2".into(),
        // Numbers outside the specification that some networks use.
        12 => "HEVC (H.265)".into(),
        13 => "AV1".into(),
        other => format!("codec {other}"),
    }
}

fn classic_audio_name(format: u8) -> String {
    match format {
        0 | 3 => "PCM".into(),
        1 => "ADPCM".into(),
        2 | 14 => "MP3".into(),
        4..=6 => "Nellymoser".into(),
        7 | 8 => "G.711".into(),
        11 => "Speex".into(),
        13 => "Opus".into(),
        other => format!("format {other}"),
    }
}

fn fourcc_name(fourcc: [u8; 4]) -> String {
    match &fourcc {
        b"hvc1" => "HEVC (hvc1)".into(),
        b"vvc1" => "VVC (vvc1)".into(),
        b"av01" => "AV1 (av01)".into(),
        b"vp08" => "VP8 (vp08)".into(),
        b"vp09" => "VP9 (vp09)".into(),
        b"Opus" => "Opus".into(),
        b"fLaC" => "FLAC (fLaC)".into(),
        b"ac-3" => "AC-3 (ac-3)".into(),
        b"ec-3" => "E-AC-3 (ec-3)".into(),
        b".mp3" => "MP3 (.mp3)".into(),
        b"avc1" => "H.264 (avc1)".into(),
        b"mp4a" => "AAC (mp4a)".into(),
        other => format!("FourCC \"{}\"", other.escape_ascii()),
    }
}
