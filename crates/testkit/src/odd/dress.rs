//! Oddities of how access units and headers are written.

use bytes::{BufMut, Bytes, BytesMut};
use flv::{Tag, TagKind};

use super::{
    Dice, Oddity,
    media::{is_audio, is_header, is_key, is_video},
};

/// Frame type and codec, packet type, composition time.
const VIDEO_HEADER_BYTES: usize = 5;
/// An SEI message of no standard's: type 5, user data, a UUID and a byte.
const SEI: &[u8] = b"\x06\x05\x11panocast test id!\x80";
const DELIMITER: &[u8] = b"\x09\xf0";

pub(super) fn apply(oddity: Oddity, tags: Vec<Tag>, dice: &mut Dice) -> Vec<Tag> {
    match oddity {
        Oddity::Adts => with_adts(tags),
        Oddity::AnnexB => each_picture(tags, |tag| start_codes(&tag)),
        Oddity::SeiTags => before_pictures(tags, |_| dice.below(3) == 0, SEI),
        Oddity::Delimiters => {
            let tags = each_picture(tags, |tag| prefixed(&tag, DELIMITER));
            before_pictures(tags, |_| dice.below(7) == 0, DELIMITER)
        }
        Oddity::StrayBytes => each_picture(tags, |tag| {
            let mut tag = prefixed(&tag, b"");
            let mut body = BytesMut::from(&tag.body[..]);
            body.put_bytes(0, dice.below(4) as usize);
            tag.body = body.freeze();
            tag
        }),
        Oddity::ZeroProfile => zero_profile(tags),
        Oddity::RepeatedHeaders => repeat_headers(tags),
        Oddity::InBandSets => with_sets(tags),
        Oddity::WrongFlags => each_picture(tags, |tag| match dice.below(10) {
            0 => flagged(tag),
            _ => tag,
        }),
        Oddity::UnknownTags => unknown_tags(tags, dice),
        _ => tags,
    }
}

fn is_picture(tag: &Tag) -> bool {
    is_video(tag) && tag.body.get(1) == Some(&1)
}

fn each_picture(tags: Vec<Tag>, mut change: impl FnMut(Tag) -> Tag) -> Vec<Tag> {
    let changed = tags.into_iter().map(|tag| match is_picture(&tag) {
        true => change(tag),
        false => tag,
    });
    changed.collect()
}

/// The picture with a NAL unit before its own.
fn prefixed(tag: &Tag, unit: &[u8]) -> Tag {
    let (header, units) = tag.body.split_at(VIDEO_HEADER_BYTES);
    let mut body = BytesMut::from(header);
    put_unit(&mut body, unit);
    body.put_slice(units);
    Tag {
        body: body.freeze(),
        ..tag.clone()
    }
}

fn put_unit(body: &mut BytesMut, unit: &[u8]) {
    body.put_u32(unit.len() as u32);
    body.put_slice(unit);
}

/// A tag with nothing but `unit` before some pictures, at their time.
fn before_pictures(tags: Vec<Tag>, mut some: impl FnMut(&Tag) -> bool, unit: &[u8]) -> Vec<Tag> {
    let mut out = Vec::with_capacity(tags.len());
    for tag in tags {
        if is_picture(&tag) && some(&tag) {
            let mut body = BytesMut::from(&tag.body[..VIDEO_HEADER_BYTES]);
            put_unit(&mut body, unit);
            out.push(Tag {
                body: body.freeze(),
                ..tag.clone()
            });
        }
        out.push(tag);
    }
    out
}

/// Start codes of three and four bytes in turn where lengths were.
fn start_codes(tag: &Tag) -> Tag {
    let (header, mut units) = tag.body.split_at(VIDEO_HEADER_BYTES);
    let mut body = BytesMut::from(header);
    let mut is_first = true;
    while let Some((length, rest)) = units.split_first_chunk::<4>() {
        let length = (u32::from_be_bytes(*length) as usize).min(rest.len());
        body.put_slice(if is_first { &[0, 0, 0, 1] } else { &[0, 0, 1] });
        body.put_slice(&rest[..length]);
        is_first = false;
        units = &rest[length..];
    }
    Tag {
        body: body.freeze(),
        ..tag.clone()
    }
}

/// ADTS (ISO/IEC 13818-7 §6.2) before each frame, as its AudioSpecificConfig says.
fn with_adts(mut tags: Vec<Tag>) -> Vec<Tag> {
    let config = tags.iter().find(|tag| is_audio(tag) && is_header(tag));
    let Some(&[first, second, ..]) = config.and_then(|tag| tag.body.get(2..)) else {
        return tags;
    };
    let (profile, rate) = ((first >> 3) - 1, (first & 7) << 1 | second >> 7);
    let channels = second >> 3 & 15;
    for tag in tags
        .iter_mut()
        .filter(|tag| is_audio(tag) && !is_header(tag))
    {
        let frame = tag.body.split_off(2.min(tag.body.len()));
        if frame.is_empty() {
            continue;
        }
        let length = frame.len() + 7;
        let mut body = BytesMut::from(&tag.body[..]);
        body.put_slice(&[
            0xff,
            0xf1,
            profile << 6 | rate << 2 | channels >> 2,
            (channels & 3) << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            ((length & 7) << 5) as u8 | 0x1f,
            0xfc,
        ]);
        body.put_slice(&frame);
        tag.body = body.freeze();
    }
    tags
}

/// AVCProfileIndication, profile_compatibility and AVCLevelIndication of the header are zero.
fn zero_profile(mut tags: Vec<Tag>) -> Vec<Tag> {
    for tag in tags
        .iter_mut()
        .filter(|tag| is_video(tag) && is_header(tag))
    {
        let mut body = BytesMut::from(&tag.body[..]);
        if let Some(profile) = body.get_mut(6..9) {
            profile.fill(0);
        }
        tag.body = body.freeze();
    }
    tags
}

fn repeat_headers(tags: Vec<Tag>) -> Vec<Tag> {
    let headers: Vec<Tag> = tags.iter().filter(|tag| is_header(tag)).cloned().collect();
    let first = tags.iter().position(is_key).unwrap_or(0);
    let mut out = Vec::with_capacity(tags.len());
    for (index, tag) in tags.into_iter().enumerate() {
        if is_key(&tag) && index > first {
            out.extend(
                headers
                    .iter()
                    .filter(|header| is_video(header))
                    .map(|header| Tag {
                        timestamp_ms: tag.timestamp_ms,
                        ..header.clone()
                    }),
            );
        }
        out.push(tag);
    }
    out
}

/// The header's sets before each keyframe's slices.
fn with_sets(tags: Vec<Tag>) -> Vec<Tag> {
    let header = tags.iter().find(|tag| is_video(tag) && is_header(tag));
    let record = header.map(|tag| tag.body.slice(VIDEO_HEADER_BYTES.min(tag.body.len())..));
    let sets = record.and_then(|record| sets(&record)).unwrap_or_default();
    each_picture(tags, |tag| match is_key(&tag) {
        true => sets.iter().rev().fold(tag, |tag, set| prefixed(&tag, set)),
        false => tag,
    })
}

/// The first SPS and PPS of an AVCDecoderConfigurationRecord.
fn sets(record: &Bytes) -> Option<[Bytes; 2]> {
    let length = |at: usize| {
        let bytes = record.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes(bytes.try_into().ok()?)))
    };
    let sps = 8..8 + length(6)?;
    let at = sps.end + 1;
    let pps = at + 2..at + 2 + length(at)?;
    (pps.end <= record.len()).then(|| [record.slice(sps), record.slice(pps)])
}

/// The other flag: a keyframe that looks like none, or the other way round.
fn flagged(tag: Tag) -> Tag {
    let mut body = BytesMut::from(&tag.body[..]);
    body[0] = (if is_key(&tag) { 0x20 } else { 0x10 }) | (body[0] & 15);
    Tag {
        body: body.freeze(),
        ..tag
    }
}

fn unknown_tags(tags: Vec<Tag>, dice: &mut Dice) -> Vec<Tag> {
    let kinds: [(TagKind, &[u8]); 6] = [
        // A data message of no AMF type, and one that ends early.
        (TagKind::Script, b"\x55nothing known"),
        (TagKind::Script, b"\x02\x00\x0aonTex"),
        // Screen video, and a FourCC nobody has registered.
        (TagKind::Video, b"\x13\x00\x00\x00\x00"),
        (TagKind::Video, b"\x91zzzz\x00\x00\x00"),
        // Metadata of a codec that is not sent.
        (TagKind::Video, b"\x94hvc1\x02\x00\x09colorInfo"),
        // Not a byte.
        (TagKind::Video, b""),
    ];
    let mut out = Vec::with_capacity(tags.len());
    for tag in tags {
        if !is_header(&tag) && dice.below(20) == 0 {
            let (kind, body) = kinds[dice.below(6) as usize];
            out.push(Tag {
                kind,
                body: Bytes::from_static(body),
                ..tag.clone()
            });
        }
        out.push(tag);
    }
    out
}
