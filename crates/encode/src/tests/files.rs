//! Recordings: reading and refusing.

use std::io::Cursor;

use media::{AccessUnit, AudioConfig, MediaKind, Track, VideoConfig};

use super::blocks::picture;
use crate::{
    audio,
    file_demuxer::{self, FileDemuxer},
    video,
};

/// A recording of `pictures` at 25 per second, a keyframe each 10, with a tone, as an FLV file.
fn flv(pictures: u32, b_pictures: u8) -> (Vec<u8>, Vec<AccessUnit>) {
    let mut config = video::Config::new(128, 64, (25, 1), 400_000);
    config.b_pictures = b_pictures;
    config.threads = 1;
    let mut encoder = video::Encoder::new(config).unwrap();
    let mut audio = audio::Encoder::new(
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
    tag(&mut file, 0, audio.track(), None);
    let (video_track, audio_track) = (encoder.track().clone(), audio.track().clone());
    let mut units = Vec::new();
    for step in 0..pictures {
        units.extend(
            encoder
                .encode(&picture(128, 64, step), step % 10 == 0)
                .unwrap(),
        );
        units.extend(audio.encode(&[&[0.25; 1920]]).unwrap());
    }
    units.extend(encoder.finish().unwrap());
    units.sort_by_key(milliseconds);
    for unit in &units {
        let track = if unit.kind == MediaKind::Video {
            &video_track
        } else {
            &audio_track
        };
        tag(&mut file, milliseconds(unit), track, Some(unit));
    }
    units.retain(|unit| unit.kind == MediaKind::Video);
    (file, units)
}

fn milliseconds(unit: &AccessUnit) -> u32 {
    let rate = if unit.kind == MediaKind::Video {
        360_000
    } else {
        48_000
    };
    (unit.dts * 1000 / rate) as u32
}

fn tag(file: &mut Vec<u8>, at: u32, track: &Track, unit: Option<&AccessUnit>) {
    let offset = unit.map_or(0, |unit| (unit.pts - unit.dts) / 360) as u32;
    let is_sync = unit.is_none_or(|unit| unit.is_sync());
    let (kind, mut body) = match track {
        Track::Video(_) => {
            let [_, b0, b1, b2] = offset.to_be_bytes();
            let frame = if is_sync { 0x17 } else { 0x27 };
            (9, vec![frame, u8::from(unit.is_some()), b0, b1, b2])
        }
        Track::Audio(_) => (8, vec![0xaf, u8::from(unit.is_some())]),
    };
    let header = match track {
        Track::Video(track) => match &track.config {
            VideoConfig::Avc(config) => config.record(),
        },
        Track::Audio(track) => match &track.config {
            AudioConfig::Aac(config) => config.bytes(),
        },
    };
    body.extend(unit.map_or(header, |unit| &unit.payload));
    let size = (body.len() as u32).to_be_bytes();
    let [t3, t0, t1, t2] = at.to_be_bytes();
    file.extend([kind, size[1], size[2], size[3], t0, t1, t2, t3, 0, 0, 0]);
    file.extend(&body);
    file.extend((body.len() as u32 + 11).to_be_bytes());
}

#[test]
fn a_file_gives_back_what_was_written() {
    let (file, units) = flv(40, 2);
    let mut demuxer = FileDemuxer::open(Cursor::new(file)).unwrap();
    assert!(demuxer.video_track().is_some());
    assert_eq!(demuxer.audio().len(), 1);
    let (mut keyframes, mut end) = (Vec::new(), 0);
    while let Some(packet) = demuxer.next_packet().unwrap() {
        if packet.stream == file_demuxer::Stream::Video {
            let dts = packet.dts.unwrap();
            end = dts + packet.duration;
            keyframes.extend((packet.access == file_demuxer::Access::Clean).then_some(dts));
        }
    }
    assert_eq!(keyframes, [0, 144_000, 288_000, 432_000]);
    assert_eq!(end, 40 * 14_400);
    demuxer.seek(i64::MIN / 4).unwrap();
    let mut read = Vec::new();
    while let Some(unit) = demuxer.read().unwrap() {
        if unit.kind == MediaKind::Video {
            read.push(unit);
        }
    }
    assert_eq!(read, units);
}

#[test]
fn files_without_media_are_refused() {
    for bytes in [
        Vec::new(),
        vec![0x55; 5000],
        b"#EXTM3U\nhttp://a/b.ts".to_vec(),
    ] {
        let error = FileDemuxer::open(Cursor::new(bytes)).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot open a recording"),
            "{error}"
        );
    }
    let (file, _) = flv(20, 0);
    for cut in (0..file.len()).step_by(97) {
        if let Ok(mut demuxer) = FileDemuxer::open(Cursor::new(file[..cut].to_vec())) {
            while let Ok(Some(_)) = demuxer.read() {}
        }
    }
}
