//! Decodes source and rungs and compares the pictures that share a presentation time.

use std::collections::BTreeMap;

use super::*;
use ffmpeg_next::color;

use crate::{
    color::ColorInfo,
    decode::{Decoder, Sent},
};

const WIDTH: u32 = 128;
const HEIGHT: u32 = 64;

/// Binary digits of a picture's number, painted as vertical bars.
const BARS: u32 = 8;

/// A picture that shows its number.
fn numbered(number: u32) -> Picture {
    let mut picture = Picture::new(WIDTH, HEIGHT).unwrap();
    for index in 0..3 {
        let plane = picture.plane_mut(index).unwrap();
        let bar = plane.width / BARS as usize;
        for row in plane.data.chunks_mut(plane.stride) {
            for (x, sample) in row.iter_mut().take(plane.width).enumerate() {
                let is_set = number >> (x / bar) & 1 == 1;
                *sample = match (index, is_set) {
                    (0, true) => 200,
                    (0, false) => 50,
                    _ => 128,
                };
            }
        }
    }
    picture
}

/// The number that a picture of any size shows.
fn number(picture: &Picture) -> u32 {
    let (data, stride) = picture.plane(0).unwrap();
    let bar = picture.width() / BARS;
    let row = picture.height() as usize / 2 * stride;
    (0..BARS).fold(0, |number, index| {
        let sample = data[row + (index * bar + bar / 2) as usize];
        number | u32::from(sample > 125) << index
    })
}

/// What is seen when: presentation times and the numbers on the pictures.
fn seen(track: &Track, units: &[AccessUnit]) -> BTreeMap<i64, u32> {
    let mut decoder = Decoder::open(&track.as_video().unwrap().config, 1).unwrap();
    let mut seen = BTreeMap::new();
    let mut take = |decoder: &mut Decoder| {
        while let Some((picture, at)) = decoder.receive().unwrap() {
            let double = seen.insert(units[at as usize].pts, number(&picture));
            assert_eq!(double, None, "two pictures at one time");
        }
    };
    for (at, unit) in units.iter().enumerate() {
        assert_eq!(decoder.send(&unit.payload, at as i64).unwrap(), Sent::Taken);
        take(&mut decoder);
    }
    decoder.send_end().unwrap();
    take(&mut decoder);
    seen
}

fn numbered_source(pictures: u32, every: u32, rate: (u32, u32), b_pictures: u8) -> Source {
    let mut config = video::Config::new(WIDTH, HEIGHT, rate, 400_000);
    config.b_pictures = b_pictures;
    config.threads = 1;
    let mut encoder = video::Encoder::new(config).unwrap();
    let track = encoder.track().clone();
    let mut units = Vec::new();
    for step in 0..pictures {
        units.extend(encoder.encode(&numbered(step), step % every == 0).unwrap());
    }
    units.extend(encoder.finish().unwrap());
    Source {
        track,
        units,
        every: every as usize,
        rate,
    }
}

/// Gives the source's pictures uneven times, like a phone's or those of slides.
fn uneven(source: &mut Source) {
    let frame = i64::from(source.units[0].duration);
    let time = |ticks: i64| ticks + (ticks / frame % 7) * frame / 9 + ticks / frame / 11 * frame;
    for unit in &mut source.units {
        let end = time(unit.dts + i64::from(unit.duration));
        (unit.dts, unit.pts) = (time(unit.dts), time(unit.pts));
        unit.duration = u32::try_from(end - unit.dts).unwrap();
    }
}

fn encoded(source: &Source, preset: &str, max_fps: Option<f64>) -> Output {
    let config = RungConfig {
        preset: Some(preset.to_owned()),
        max_fps,
        ..RungConfig::new(WIDTH / 2, 200_000)
    };
    let rungs = plan(WIDTH, HEIGHT, Some(source.rate), &[config]).unwrap();
    transcode(source, rungs, STORED)
}

#[test]
fn each_picture_is_presented_at_the_sources_own_time_on_every_rung() {
    let rates = [(25, 1), (30_000, 1001), (50, 1), (60_000, 1001), (60, 1)];
    // Reordered by none and by two pictures.
    let presets = ["ultrafast", PRESET_DEFAULT];
    for rate in rates {
        for b_pictures in [0, 1, 3] {
            for is_even in [true, false] {
                let mut source = numbered_source(50, 17, rate, b_pictures);
                if !is_even {
                    uneven(&mut source);
                }
                let wanted = seen(&source.track, &source.units);
                assert!(wanted.values().copied().eq(0..50), "{wanted:?}");
                for preset in presets {
                    let output = encoded(&source, preset, None);
                    let track = output.tracks[0].as_ref().unwrap();
                    assert_eq!(
                        seen(track, &output.units[0]),
                        wanted,
                        "{rate:?}, {b_pictures} B-pictures, {preset}, even: {is_even}"
                    );
                    assert_times(&source, &output.units[0]);
                }
            }
        }
    }
}

#[test]
fn a_slower_rung_shows_every_second_picture_at_its_own_time() {
    for b_pictures in [0, 3] {
        let source = numbered_source(48, 16, (60_000, 1001), b_pictures);
        let wanted = seen(&source.track, &source.units);
        let output = encoded(&source, PRESET_DEFAULT, Some(30.0));
        let found = seen(output.tracks[0].as_ref().unwrap(), &output.units[0]);
        assert!(found.iter().eq(wanted.iter().step_by(2)), "{found:?}");
        let units = &output.units[0];
        assert!(units.iter().all(|unit| unit.dts <= unit.pts));
    }
}

/// A source that names no colours, of one keyframe.
fn untagged(width: u32, height: u32) -> Source {
    let rung = Rung {
        width,
        height,
        ..rungs(&source(1, 1, (30, 1), 0), &[64], None).remove(0)
    };
    let mut encoder = H264Encoder::open(&rung.settings(ColorInfo::default(), 1)).unwrap();
    let picture = Picture::new(width, height).unwrap();
    encoder.send(&picture, 0, true).unwrap();
    encoder.send_end().unwrap();
    let coded = encoder.receive().unwrap().unwrap();
    Source {
        track: Track::video(encoder.config().clone()),
        units: vec![AccessUnit {
            kind: media::MediaKind::Video,
            dts: 0,
            pts: 0,
            duration: 12_000,
            random_access: media::RandomAccess::Idr,
            payload: coded.payload,
        }],
        every: 1,
        rate: (30, 1),
    }
}

#[test]
fn rungs_of_an_untagged_source_name_the_colours_players_assume_of_the_source() {
    for (width, height, wanted) in [
        (1440, 720, color::Space::BT709),
        (1280, 640, color::Space::SMPTE170M),
    ] {
        let source = untagged(width, height);
        let config = RungConfig::new(128, 200_000);
        let rungs = plan(width, height, Some(source.rate), &[config]).unwrap();
        let output = transcode(&source, rungs, STORED);
        let track = output.tracks[0].as_ref().unwrap();
        let mut decoder = Decoder::open(&track.as_video().unwrap().config, 1).unwrap();
        decoder.send(&output.units[0][0].payload, 0).unwrap();
        decoder.send_end().unwrap();
        let (picture, _) = decoder.receive().unwrap().unwrap();
        assert_eq!(picture.color().space, wanted);
        assert_eq!(picture.color().range, color::Range::MPEG);
    }
}
