//! Configurations, access units and metadata to classic FLV tags, as every RTMP server reads them.

use bytes::{BufMut, Bytes, BytesMut};
use media::{AccessUnit, IngestUnit, MediaKind, Timescale, VIDEO_TIMESCALE, aac, avc};

use crate::{Metadata, Tag, TagKind};

/// AAC, 44 kHz, 16 bit, stereo: what the header says of every AAC stream, whatever its
/// configuration says.
const AAC_HEADER: u8 = 0xaf;
const AVC_KEY: u8 = 0x17;
const AVC_INTER: u8 = 0x27;

const MILLISECONDS: Timescale = match Timescale::new(1000) {
    Some(timescale) => timescale,
    None => VIDEO_TIMESCALE,
};

/// The sequence header of H.264.
pub fn video_config(config: &avc::Config, timestamp_ms: u32) -> Tag {
    video(AVC_KEY, 0, 0, config.record(), timestamp_ms)
}

/// The sequence header of AAC.
pub fn audio_config(config: &aac::Config, timestamp_ms: u32) -> Tag {
    audio(0, config.bytes(), timestamp_ms)
}

/// One access unit, stamped with the publisher's own millisecond clock.
pub fn access_unit(unit: &AccessUnit, timestamp_ms: u32) -> Tag {
    match unit.kind {
        MediaKind::Video => {
            let offset = VIDEO_TIMESCALE.rescale(unit.pts.saturating_sub(unit.dts), MILLISECONDS);
            // SI24: half the range of three bytes on either side.
            let offset = offset.clamp(-0x80_0000, 0x7f_ffff) as i32;
            video(
                avc_header(unit.is_sync),
                1,
                offset,
                &unit.payload,
                timestamp_ms,
            )
        }
        MediaKind::Audio => audio(1, &unit.payload, timestamp_ms),
    }
}

/// One access unit as it came: what the demuxer would read back.
pub fn ingest_unit(unit: &IngestUnit) -> Tag {
    let at = unit.timestamp_ms;
    match unit.kind {
        MediaKind::Video => {
            let header = avc_header(unit.is_sync);
            video(header, 1, unit.composition_ms, &unit.payload, at)
        }
        MediaKind::Audio => audio(1, &unit.payload, at),
    }
}

/// The end of the video track. AAC has no such tag in the classic form.
pub fn end_of_video(timestamp_ms: u32) -> Tag {
    video(AVC_KEY, 2, 0, &[], timestamp_ms)
}

/// `@setDataFrame`, `onMetaData`.
pub fn metadata(metadata: &Metadata, timestamp_ms: u32) -> Tag {
    Tag {
        kind: TagKind::Script,
        timestamp_ms,
        body: metadata.to_body(),
    }
}

fn avc_header(is_sync: bool) -> u8 {
    if is_sync { AVC_KEY } else { AVC_INTER }
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
