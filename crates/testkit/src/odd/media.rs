//! Oddities of what is sent when: tracks that stop, stand still, come late, jump.

use flv::{Tag, TagKind};

use super::Oddity;

pub(super) fn is_audio(tag: &Tag) -> bool {
    tag.kind == TagKind::Audio
}

pub(super) fn is_video(tag: &Tag) -> bool {
    tag.kind == TagKind::Video
}

/// A sequence header of either kind.
pub(super) fn is_header(tag: &Tag) -> bool {
    tag.kind != TagKind::Script && tag.body.get(1) == Some(&0)
}

/// A video tag that is flagged as a keyframe.
pub(super) fn is_key(tag: &Tag) -> bool {
    is_video(tag) && !is_header(tag) && tag.body.first().is_some_and(|byte| byte >> 4 == 1)
}

/// The tags with the oddity, or as they were where it is of another kind.
pub(super) fn apply(oddity: Oddity, mut tags: Vec<Tag>) -> Result<Vec<Tag>, Vec<Tag>> {
    let lasts = |from: u32, to: u32| move |tag: &Tag| (from..to).contains(&tag.timestamp_ms);
    match oddity {
        Oddity::Mute(from, to) => {
            let lasts = lasts(from, to);
            tags.retain(|tag| !is_audio(tag) || is_header(tag) || !lasts(tag));
        }
        Oddity::Mutes(ms) => {
            let mute = |tag: &Tag| tag.timestamp_ms % 5_000 >= 5_000 - ms;
            tags.retain(|tag| !is_audio(tag) || is_header(tag) || !mute(tag));
        }
        Oddity::EmptyAudio(from, to) => {
            let lasts = lasts(from, to);
            for tag in tags
                .iter_mut()
                .filter(|tag| is_audio(tag) && !is_header(tag))
            {
                if lasts(tag) {
                    tag.body.truncate(2);
                }
            }
        }
        Oddity::SilentTrack => tags.retain(|tag| !is_audio(tag) || is_header(tag)),
        Oddity::NoAudio => tags.retain(|tag| !is_audio(tag)),
        Oddity::LateAudio(from) => late_audio(&mut tags, from),
        Oddity::Freeze(from, to) => {
            let to = key_after(&tags, to);
            tags.retain(|tag| !is_video(tag) || is_header(tag) || !lasts(from, to)(tag));
        }
        Oddity::LateVideo(to) => {
            let to = key_after(&tags, to);
            tags.retain(|tag| !is_video(tag) || is_header(tag) || !lasts(0, to)(tag));
        }
        Oddity::Pause(from, to) => {
            let to = key_after(&tags, to);
            tags.retain(|tag| is_header(tag) || !lasts(from, to)(tag));
        }
        _ => return Err(tags),
    }
    Ok(tags)
}

/// Changes what the publisher's clock says, and nothing else.
pub(super) fn stamp(oddity: Oddity, tags: &mut [Tag]) {
    match oddity {
        Oddity::ApartAudio(by) => move_stamps(tags, |tag| is_audio(tag) && !is_header(tag), by),
        Oddity::StillAudio(from, to) => stand_still(tags, is_audio, from, to),
        Oddity::StillVideo(from, to) => stand_still(tags, is_video, from, to),
        Oddity::Jump(at, by) => {
            let moved = |tag: &Tag| tag.timestamp_ms >= at && !is_header(tag);
            move_stamps(tags, moved, by);
        }
        _ => {}
    }
}

/// Audio and its header begin at `from`.
fn late_audio(tags: &mut Vec<Tag>, from: u32) {
    let header = tags.iter().position(|tag| is_audio(tag) && is_header(tag));
    let header = header.map(|index| tags.remove(index));
    tags.retain(|tag| !is_audio(tag) || tag.timestamp_ms >= from);
    if let (Some(mut header), Some(first)) = (header, tags.iter().position(is_audio)) {
        header.timestamp_ms = tags[first].timestamp_ms;
        tags.insert(first, header);
    }
}

fn move_stamps(tags: &mut [Tag], which: impl Fn(&Tag) -> bool, by: i32) {
    for tag in tags.iter_mut().filter(|tag| which(tag)) {
        // RTMP's clock goes round; before zero is its end.
        tag.timestamp_ms = tag.timestamp_ms.wrapping_add_signed(by);
    }
}

fn stand_still(tags: &mut [Tag], which: impl Fn(&Tag) -> bool, from: u32, to: u32) {
    for tag in tags.iter_mut().filter(|tag| which(tag)) {
        if (from..to).contains(&tag.timestamp_ms) {
            tag.timestamp_ms = from;
        }
    }
}

/// The time of the first keyframe at or after `from`.
fn key_after(tags: &[Tag], from: u32) -> u32 {
    let mut keys = tags.iter().filter(|tag| is_key(tag));
    let key = keys.find(|tag| tag.timestamp_ms >= from);
    key.map_or(u32::MAX, |tag| tag.timestamp_ms)
}
