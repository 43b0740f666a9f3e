//! Recordings: reading, slicing, posters.

use std::{
    io::Cursor,
    sync::{Mutex, atomic::AtomicBool},
};

use media::{AccessUnit, Codec, Kind, Track};

use super::blocks::picture;
use crate::{
    audio, jpeg,
    ladder::{RungConfig, plan},
    slice,
    stored::Recording,
    video,
};

/// A recording of `pictures` at 25 per second, a keyframe each 10, with a tone, as an FLV file.
fn flv(pictures: u32, b_pictures: u8) -> (Vec<u8>, Vec<AccessUnit>) {
    let mut config = video::Config::new(128, 64, (25, 1), 400_000);
    config.b_pictures = b_pictures;
    config.threads = 1;
    let mut encoder = video::Encoder::new(config).unwrap();
    let mut sound = audio::Encoder::new(
        audio::Config {
            sample_rate: 48_000,
            channels: 1,
            bitrate: 64_000,
        },
        4096,
    )
    .unwrap();
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    tag(&mut file, 0, encoder.track(), None);
    tag(&mut file, 0, sound.track(), None);
    let (video_track, audio_track) = (encoder.track().clone(), sound.track().clone());
    let mut units = Vec::new();
    for step in 0..pictures {
        units.extend(
            encoder
                .encode(&picture(128, 64, step), step % 10 == 0)
                .unwrap(),
        );
        units.extend(sound.encode(&[&[0.25; 1920]]).unwrap());
    }
    units.extend(encoder.finish().unwrap());
    units.sort_by_key(milliseconds);
    for unit in &units {
        let track = if unit.kind == Kind::Video {
            &video_track
        } else {
            &audio_track
        };
        tag(&mut file, milliseconds(unit), track, Some(unit));
    }
    units.retain(|unit| unit.kind == Kind::Video);
    (file, units)
}

fn milliseconds(unit: &AccessUnit) -> u32 {
    let rate = if unit.kind == Kind::Video {
        360_000
    } else {
        48_000
    };
    (unit.dts * 1000 / rate) as u32
}

fn tag(file: &mut Vec<u8>, at: u32, track: &Track, unit: Option<&AccessUnit>) {
    let offset = unit.map_or(0, |unit| (unit.pts - unit.dts) / 360) as u32;
    let is_sync = unit.is_none_or(|unit| unit.is_sync);
    let (kind, mut body) = match &track.codec {
        Codec::Avc(_) => {
            let [_, b0, b1, b2] = offset.to_be_bytes();
            let frame = if is_sync { 0x17 } else { 0x27 };
            (9, vec![frame, u8::from(unit.is_some()), b0, b1, b2])
        }
        Codec::Aac(_) => (8, vec![0xaf, u8::from(unit.is_some())]),
    };
    match (unit, &track.codec) {
        (Some(unit), _) => body.extend(&unit.payload),
        (None, Codec::Avc(config)) => body.extend(config.record()),
        (None, Codec::Aac(config)) => body.extend(config.bytes()),
    }
    let size = (body.len() as u32).to_be_bytes();
    let [t3, t0, t1, t2] = at.to_be_bytes();
    file.extend([kind, size[1], size[2], size[3], t0, t1, t2, t3, 0, 0, 0]);
    file.extend(&body);
    file.extend((body.len() as u32 + 11).to_be_bytes());
}

#[test]
fn a_recording_gives_back_what_was_recorded() {
    let (file, units) = flv(40, 2);
    let mut recording = Recording::open(Cursor::new(file)).unwrap();
    assert!(recording.video().is_some() && recording.audio().is_some());
    let (keyframes, end) = recording.keyframes().unwrap();
    let times: Vec<_> = keyframes.iter().map(|keyframe| keyframe.dts).collect();
    assert_eq!(times, [0, 144_000, 288_000, 432_000]);
    assert_eq!(end, 40 * 14_400);
    let mut read = Vec::new();
    while let Some(unit) = recording.read().unwrap() {
        if unit.kind == Kind::Video {
            read.push(unit);
        }
    }
    assert_eq!(read, units);
}

#[test]
fn slices_join_exactly_whatever_their_order() {
    let (file, units) = flv(40, 2);
    let rungs = plan(128, 64, Some((25, 1)), &[RungConfig::new(64, 200_000)]).unwrap();
    let mut parts: Vec<(Vec<AccessUnit>, Vec<AccessUnit>, Option<Track>)> = Vec::new();
    for range in [288_000..i64::MAX, 0..288_000] {
        let mut recording = Recording::open(Cursor::new(file.clone())).unwrap();
        let found = Mutex::new((Vec::new(), Vec::new(), None));
        let cancel = AtomicBool::new(false);
        let output = |output| {
            let mut found = found.lock().unwrap();
            match output {
                slice::Output::AccessUnit { unit, .. } => found.0.push(unit),
                slice::Output::Source(unit) => found.1.push(unit),
                slice::Output::Track { track, .. } => found.2 = Some(track),
            }
        };
        let rungs = rungs.clone();
        let summary =
            slice::encode(&mut recording, range, rungs, |_| true, &cancel, output).unwrap();
        assert!(!summary.is_cancelled && summary.damaged == 0);
        parts.push(found.into_inner().unwrap());
    }
    assert!(parts[0].2.is_some() && parts[0].2 == parts[1].2);
    let joined: Vec<_> = parts[1].0.iter().chain(&parts[0].0).collect();
    let grid = |unit: &AccessUnit| (unit.dts, unit.duration, unit.is_sync);
    assert!(
        joined
            .iter()
            .map(|unit| grid(unit))
            .eq(units.iter().map(grid))
    );
    assert!(parts[1].1.iter().chain(&parts[0].1).eq(&units));
}

#[test]
fn sound_of_ranges_laid_end_to_end_is_complete() {
    let (file, _) = flv(60, 0);
    let mut recording = Recording::open(Cursor::new(file)).unwrap();
    let mut all = Vec::new();
    while let Some(unit) = recording.read().unwrap() {
        if unit.kind == Kind::Audio {
            all.push(unit);
        }
    }
    let mut joined = slice::sound(&mut recording, i64::MIN / 4..144_000).unwrap();
    joined.extend(slice::sound(&mut recording, 144_000..432_000).unwrap());
    joined.extend(slice::sound(&mut recording, 432_000..i64::MAX).unwrap());
    assert!(all.len() > 50);
    assert_eq!(joined, all);
}

#[test]
fn a_cancelled_slice_says_so() {
    let (file, _) = flv(20, 0);
    let mut recording = Recording::open(Cursor::new(file)).unwrap();
    let rungs = plan(128, 64, None, &[RungConfig::new(64, 200_000)]).unwrap();
    let cancel = AtomicBool::new(true);
    let summary = slice::encode(
        &mut recording,
        0..i64::MAX,
        rungs,
        |_| true,
        &cancel,
        |_| {},
    );
    assert!(summary.unwrap().is_cancelled);
}

#[test]
fn a_poster_is_a_jpeg_of_the_size_asked() {
    let (file, _) = flv(30, 2);
    let mut recording = Recording::open(Cursor::new(file)).unwrap();
    let picture = slice::picture(&mut recording, 200_000).unwrap();
    assert_eq!((picture.width(), picture.height()), (128, 64));
    let poster = jpeg::encode(&picture, 64).unwrap();
    assert_eq!(poster[..2], [0xff, 0xd8]);
    assert!(poster.ends_with(&[0xff, 0xd9]));
    // Past the end the last picture will do.
    assert!(slice::picture(&mut recording, i64::MAX / 8).is_ok());
}

#[test]
fn what_is_no_recording_is_refused() {
    for bytes in [
        Vec::new(),
        vec![0x55; 5000],
        b"#EXTM3U\nhttp://a/b.ts".to_vec(),
    ] {
        let error = Recording::open(Cursor::new(bytes)).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot open a recording"),
            "{error}"
        );
    }
    let (file, _) = flv(20, 0);
    for cut in (0..file.len()).step_by(97) {
        if let Ok(mut recording) = Recording::open(Cursor::new(file[..cut].to_vec())) {
            while let Ok(Some(_)) = recording.read() {}
        }
    }
}
