use std::collections::BTreeSet;

use bytes::Bytes;
use flv::TagKind;

use super::*;

fn tag(kind: TagKind, timestamp_ms: u32, body: &'static [u8]) -> Tag {
    Tag {
        kind,
        timestamp_ms,
        body: Bytes::from_static(body),
    }
}

/// Twenty seconds of 10 fps with a keyframe each second, and of audio at 10 units a second.
fn clip() -> Vec<Tag> {
    const RECORD: &[u8] =
        b"\x17\0\0\0\0\x01\x42\xc0\x1f\xff\xe1\0\x04\x67\x42\xc0\x1f\x01\0\x02\x68\xce";
    let mut tags = vec![
        tag(TagKind::Video, 0, RECORD),
        tag(TagKind::Audio, 0, b"\xaf\0\x11\x90"),
    ];
    for k in 0..200 {
        let picture: &[u8] = match k % 10 {
            0 => b"\x17\x01\0\0\0\0\0\0\x02\x65\x88",
            _ => b"\x27\x01\0\0\0\0\0\0\x02\x41\x9a",
        };
        tags.push(tag(TagKind::Video, k * 100, picture));
        tags.push(tag(TagKind::Audio, k * 100 + 50, b"\xaf\x01\x21\x10"));
    }
    tags
}

fn applied(oddity: Oddity) -> Vec<Tag> {
    let oddities = vec![oddity];
    let sent = Recipe { seed: 1, oddities }.apply(&clip());
    sent.into_iter().map(|sent| sent.tag).collect()
}

fn count(tags: &[Tag], kind: TagKind) -> usize {
    tags.iter().filter(|tag| tag.kind == kind).count()
}

#[test]
fn seeds_reach_every_oddity_and_give_the_same_each_time() {
    let mut names = BTreeSet::new();
    for seed in 0..500 {
        let recipe = Recipe::from_seed(seed, 20_000);
        assert_eq!(recipe, Recipe::from_seed(seed, 20_000));
        assert_eq!(recipe.apply(&clip()), recipe.apply(&clip()));
        for oddity in &recipe.oddities {
            let name = format!("{oddity:?}");
            names.insert(name.split('(').next().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(names.len(), 23, "{names:?}");
}

#[test]
fn tracks_stop_where_they_are_asked_to() {
    let mute = applied(Oddity::Mute(5_000, 8_000));
    assert_eq!(count(&mute, TagKind::Audio), 1 + 200 - 30);
    let freeze = applied(Oddity::Freeze(5_200, 8_100));
    // Back with the keyframe at 9 s.
    assert_eq!(count(&freeze, TagKind::Video), 1 + 200 - 38);
    let late = applied(Oddity::LateAudio(5_000));
    let header = late.iter().find(|tag| tag.kind == TagKind::Audio);
    assert_eq!(
        header.map(|tag| (tag.timestamp_ms, tag.body.len())),
        Some((5_050, 4))
    );
}

#[test]
fn clocks_stand_still_and_jump() {
    let still = applied(Oddity::StillVideo(5_000, 8_000));
    let stamps = still
        .iter()
        .filter(|tag| tag.kind == TagKind::Video && tag.timestamp_ms == 5_000);
    assert_eq!(stamps.count(), 30);
    let jump = applied(Oddity::Jump(5_000, -6_000));
    let first = jump.iter().find(|tag| tag.timestamp_ms > 1 << 31);
    assert_eq!(first.map(|tag| tag.timestamp_ms), Some(u32::MAX - 999));
}

#[test]
fn access_units_are_dressed_otherwise() {
    let key = |tags: &[Tag]| tags.iter().filter(|tag| media::is_key(tag)).nth(1).cloned();
    let body = |oddity| {
        key(&applied(oddity))
            .map(|tag| tag.body)
            .unwrap_or_default()
    };
    assert_eq!(&body(Oddity::AnnexB)[5..], b"\0\0\0\x01\x65\x88");
    let sets = b"\0\0\0\x04\x67\x42\xc0\x1f\0\0\0\x02\x68\xce\0\0\0\x02\x65\x88";
    assert_eq!(&body(Oddity::InBandSets)[5..], sets);
    assert!(body(Oddity::StrayBytes)[5..].starts_with(b"\0\0\0\0\0\0\0\x02\x65\x88"));
    let adts = applied(Oddity::Adts);
    let frame = adts.iter().rfind(|tag| tag.kind == TagKind::Audio).unwrap();
    // LC, 48 kHz, two channels, nine bytes in all.
    assert_eq!(frame.body[2..], b"\xff\xf1\x4c\x80\x01\x3f\xfc\x21\x10"[..]);
    let headers = applied(Oddity::RepeatedHeaders);
    assert_eq!(
        headers.iter().filter(|tag| media::is_header(tag)).count(),
        2 + 19
    );
}
