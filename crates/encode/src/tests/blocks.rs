//! The single encoders.

use crate::{Error, Picture, audio, video};

/// A picture with a gradient that moves with `step`.
pub(crate) fn picture(width: u32, height: u32, step: u32) -> Picture {
    let mut picture = Picture::new(width, height).unwrap();
    for index in 0..3 {
        let plane = picture.plane_mut(index).unwrap();
        for (y, row) in plane.data.chunks_mut(plane.stride).enumerate() {
            for (x, sample) in row.iter_mut().take(plane.width).enumerate() {
                *sample = (x * 3 + y * 2 + step as usize * 5) as u8;
            }
        }
    }
    picture
}

fn encode(config: video::Config, pictures: u32, every: u32) -> Vec<media::AccessUnit> {
    let mut encoder = video::Encoder::new(config.clone()).unwrap();
    let mut units = Vec::new();
    for step in 0..pictures {
        let picture = picture(config.width, config.height, step);
        units.extend(encoder.encode(&picture, step % every == 0).unwrap());
    }
    units.extend(encoder.finish().unwrap());
    units
}

#[test]
fn video_keyframes_are_exactly_where_asked_and_times_are_exact() {
    for b_pictures in [0, 2] {
        let mut config = video::Config::new(64, 32, (30_000, 1001), 200_000);
        config.b_pictures = b_pictures;
        let units = encode(config, 50, 20);
        assert_eq!(units.len(), 50);
        for (index, unit) in units.iter().enumerate() {
            assert_eq!(unit.dts, index as i64 * 12_012);
            assert_eq!(unit.duration, 12_012);
            assert!(unit.pts >= unit.dts);
            assert_eq!(unit.is_sync(), index % 20 == 0, "picture {index}");
        }
    }
}

#[test]
fn video_samples_hold_no_parameter_sets_and_the_record_has_them() {
    let config = video::Config::new(64, 32, (25, 1), 200_000);
    let encoder = video::Encoder::new(config.clone()).unwrap();
    let media::VideoConfig::Avc(avc) = encoder.track().as_video().unwrap().config.clone();
    assert_eq!((avc.width(), avc.height()), (64, 32));
    assert!(avc.rfc6381().starts_with("avc1.6400"), "High profile");
    for unit in encode(config, 5, 2) {
        let mut nals = avc.nal_units(&unit.payload);
        assert!(nals.by_ref().all(|nal| matches!(nal[0] & 31, 1 | 5)));
        assert!(nals.rest().is_empty());
    }
}

#[test]
fn video_says_what_is_wrong() {
    let mut config = video::Config::new(64, 32, (25, 1), 200_000);
    config.encoder = "h265".to_owned();
    let error = video::Encoder::new(config.clone()).unwrap_err();
    assert!(matches!(error, Error::NoEncoder { .. }));
    assert!(error.to_string().contains("libx264"), "{error}");
    config.encoder = "libx264".to_owned();
    config.preset = "quickest".to_owned();
    let error = video::Encoder::new(config.clone()).unwrap_err();
    assert!(error.to_string().contains("quickest"), "{error}");
    config.width = 63;
    let error = video::Encoder::new(config).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot use width = 63"),
        "{error}"
    );
}

#[test]
fn audio_is_aac_lc_and_starts_its_priming_early() {
    let config = audio::Config {
        sample_rate: 48_000,
        channels: 2,
        bitrate: 128_000,
    };
    let mut encoder = audio::Encoder::new(config, 10_000).unwrap();
    let priming = i64::from(encoder.priming_samples());
    let aac = &encoder.track().as_audio().unwrap().config;
    assert_eq!((aac.sample_rate(), aac.channels()), (48_000, 2));
    assert_eq!(aac.rfc6381(), "mp4a.40.2");
    let tone: Vec<f32> = (0..1500).map(|n| (n as f32 * 0.05).sin() * 0.5).collect();
    let mut units = Vec::new();
    for _ in 0..10 {
        units.extend(encoder.encode(&[&tone, &tone]).unwrap());
    }
    units.extend(encoder.finish().unwrap());
    assert!(
        units
            .iter()
            .all(|unit| unit.is_sync() && unit.duration == 1024)
    );
    assert!(
        units
            .iter()
            .enumerate()
            .all(|(n, u)| u.dts == 10_000 - priming + n as i64 * 1024)
    );
    assert!(units.len() as i64 * 1024 >= 15_000 + priming);
}

#[test]
fn audio_refuses_uneven_channels() {
    let config = audio::Config {
        sample_rate: 48_000,
        channels: 2,
        bitrate: 128_000,
    };
    let mut encoder = audio::Encoder::new(config, 0).unwrap();
    assert!(encoder.encode(&[&[0.0; 4], &[0.0; 3]]).is_err());
    assert!(encoder.encode(&[&[0.0; 4]]).is_err());
}
