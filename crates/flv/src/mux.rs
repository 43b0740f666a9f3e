//! Configurations, access units and metadata to classic FLV tags, as every RTMP server reads them.

use bytes::{BufMut, Bytes, BytesMut};
use media::{
    AccessUnit, AudioConfig, IngestUnit, MILLISECONDS, MediaKind, RandomAccess, SourceMetadata,
    VIDEO_TIMESCALE, VideoConfig,
};

use crate::{Tag, TagKind, metadata::to_body};

/// AAC, 44 kHz, 16 bit, stereo: what the header says of every AAC stream, whatever its
/// configuration says.
const AAC_HEADER: u8 = 0xaf;
const AVC_KEY: u8 = 0x17;
const AVC_INTER: u8 = 0x27;

/// The sequence header of a video track.
pub fn video_config(config: &VideoConfig, timestamp_ms: u32) -> Tag {
    match config {
        VideoConfig::Avc(config) => video(AVC_KEY, 0, 0, config.record(), timestamp_ms),
    }
}

/// The sequence header of an audio track.
pub fn audio_config(config: &AudioConfig, timestamp_ms: u32) -> Tag {
    match config {
        AudioConfig::Aac(config) => audio(0, config.bytes(), timestamp_ms),
    }
}

/// One access unit, stamped with the publisher's own millisecond clock.
pub fn access_unit(unit: &AccessUnit, timestamp_ms: u32) -> Tag {
    match unit.kind {
        MediaKind::Video => {
            let offset = VIDEO_TIMESCALE.rescale(unit.pts.saturating_sub(unit.dts), MILLISECONDS);
            let header = avc_header(unit.is_sync());
            video(header, 1, si24(offset), &unit.payload, timestamp_ms)
        }
        MediaKind::Audio => audio(1, &unit.payload, timestamp_ms),
    }
}

/// One access unit as it came: what the demuxer would read back.
pub fn ingest_unit(unit: &IngestUnit) -> Tag {
    // Modulo 2^32, as the clock of FLV counts.
    let at = unit.timescale.rescale(unit.dts, MILLISECONDS) as u32;
    match unit.kind {
        MediaKind::Video => {
            let header = avc_header(unit.random_access != RandomAccess::No);
            let composition = i64::from(unit.composition);
            let offset = si24(unit.timescale.rescale(composition, MILLISECONDS));
            video(header, 1, offset, &unit.payload, at)
        }
        MediaKind::Audio => audio(1, &unit.payload, at),
    }
}

/// A composition offset in the three bytes that a tag has for it.
fn si24(offset_ms: i64) -> i32 {
    offset_ms.clamp(-0x80_0000, 0x7f_ffff) as i32
}

/// The end of the video track. AAC has no such tag in the classic form.
pub fn end_of_video(timestamp_ms: u32) -> Tag {
    video(AVC_KEY, 2, 0, &[], timestamp_ms)
}

/// `@setDataFrame`, `onMetaData`.
pub fn metadata(metadata: &SourceMetadata, timestamp_ms: u32) -> Tag {
    Tag {
        kind: TagKind::Script,
        timestamp_ms,
        body: to_body(metadata),
    }
}

fn avc_header(is_key: bool) -> u8 {
    if is_key { AVC_KEY } else { AVC_INTER }
}

fn video(header: u8, packet: u8, offset: i32, payload: &[u8], timestamp_ms: u32) -> Tag {
    let mut body = BytesMut::with_capacity(5 + payload.len());
    body.put_u8(header);
    body.put_u8(packet);
    body.put_int(i64::from(offset), 3);
    body.put_slice(payload);
    Tag {
        kind: TagKind::Video,
        timestamp_ms,
        body: body.freeze(),
    }
}

fn audio(packet: u8, payload: &[u8], timestamp_ms: u32) -> Tag {
    let mut body = BytesMut::with_capacity(2 + payload.len());
    body.put_slice(&[AAC_HEADER, packet]);
    body.put_slice(payload);
    Tag {
        kind: TagKind::Audio,
        timestamp_ms,
        body: Bytes::from(body),
    }
}
