//! A second packager that joins the first at one of its boundaries makes the same bytes under the
//! same names.

mod common;

use bytes::Bytes;
use common::{WALL, audio_track, config, video_track};
use hls::{Boundary, Lookup, Packager, PlaylistConstants, Start, Tracks};
use media::{AccessUnit, MediaKind, RandomAccess, Timescale, VIDEO_TIMESCALE};

const FRAME: i64 = 12_012;

/// Pictures with reordering and keyframes every `gop`, and the audio between them.
fn units(pictures: i64, gop: i64) -> Vec<AccessUnit> {
    let scale = Timescale::new(48_000).unwrap();
    let mut units = Vec::new();
    let mut audio = 0;
    for number in 0..pictures {
        let dts = number * FRAME;
        while scale.rescale(audio, VIDEO_TIMESCALE) <= dts {
            units.push(unit(MediaKind::Audio, audio, audio, 1024, true));
            audio += 1024;
        }
        let is_sync = number % gop == 0;
        let later = if is_sync { 2 } else { number % 3 };
        let pts = dts + later * FRAME;
        units.push(unit(MediaKind::Video, dts, pts, FRAME as u32, is_sync));
    }
    units
}

fn unit(kind: MediaKind, dts: i64, pts: i64, duration: u32, is_sync: bool) -> AccessUnit {
    let payload = Bytes::from(dts.to_be_bytes().repeat(5));
    AccessUnit {
        kind,
        dts,
        pts,
        duration,
        random_access: RandomAccess::idr_if(is_sync),
        payload,
    }
}

fn tracks() -> Tracks {
    Tracks {
        video: Some(video_track(0x1f)),
        audio: Some(audio_track(48_000)),
    }
}

fn started(constants: Option<PlaylistConstants>, boundary: Option<Boundary>) -> Packager {
    let start = match boundary {
        Some(boundary) => Start::JoinPeer {
            boundary,
            constants,
        },
        None => Start::Fresh {
            first_msn: 5,
            discontinuity_sequence: 0,
        },
    };
    let mut packager = Packager::new(config(), start).unwrap();
    packager.start(tracks(), Vec::new()).unwrap();
    packager
}

/// Feeds all units; where segments started.
fn feed(packager: &mut Packager, units: &[AccessUnit], wall: u64) -> Vec<Boundary> {
    let mut boundaries = Vec::new();
    for unit in units {
        let wall = (wall * 1_000_000) as i64;
        if packager
            .push_source(unit.clone(), wall)
            .unwrap()
            .opens_segment
        {
            boundaries.extend(packager.newest_boundary());
        }
    }
    boundaries
}

fn compare(leader: &mut Packager, joiner: &mut Packager, from: u64) -> usize {
    let (leader, joiner) = (leader.snapshot(), joiner.snapshot());
    let mut compared = 0;
    for media in joiner.renditions() {
        let same = leader.media(media.name()).unwrap();
        assert_eq!(same.constants(), media.constants());
        for segment in media.retained() {
            let Lookup::Found(other) = same.segment(segment.msn) else {
                panic!("{} {} is not there", media.name(), segment.msn);
            };
            assert!(segment.msn >= from);
            assert_eq!(segment.parts.len(), other.parts.len());
            for (own, other) in segment.parts.iter().zip(&other.parts) {
                assert_eq!(own, other, "{} {}", media.name(), segment.msn);
            }
            assert_eq!(segment.program_date_time, other.program_date_time);
            assert_eq!(segment.discontinuity_sequence, other.discontinuity_sequence);
            assert_eq!(segment.duration, other.duration);
            assert_eq!(segment.init, other.init);
            compared += 1;
        }
    }
    compared
}

#[test]
fn a_joiner_makes_the_same_bytes_from_any_boundary_on() {
    // 1.5 s between keyframes: whether one cuts depends on the interval before.
    for gop in [30, 45, 60] {
        let units = units(1800, gop);
        let mut leader = started(None, None);
        let boundaries = feed(&mut leader, &units, WALL);
        let constants = leader.constants();
        for boundary in boundaries.iter().skip(4).take(4) {
            let mut joiner = started(constants, Some(*boundary));
            let late = feed(&mut joiner, &units, WALL + 900);
            assert_eq!(late.first(), Some(boundary));
            let compared = compare(&mut leader, &mut joiner, boundary.msn);
            assert!(compared >= 8, "{compared}");
        }
    }
}

#[test]
fn a_joiner_without_constants_shows_nothing_until_it_has_them() {
    let units = units(1800, 60);
    let mut leader = started(None, None);
    let boundaries = feed(&mut leader, &units, WALL);
    let mut joiner = started(None, boundaries.get(1).copied());
    feed(&mut joiner, &units, WALL);
    assert!(joiner.awaits_constants() && joiner.snapshot().renditions().is_empty());
    joiner.fix_constants(leader.constants());
    assert!(compare(&mut leader, &mut joiner, 6) >= 8);
}

#[test]
fn what_is_cut_short_here_and_whole_there_is_a_gap() {
    let units = units(400, 60);
    let mut packager = started(None, None);
    feed(&mut packager, &units, WALL);
    packager.interrupt_incomplete();
    let last = packager.next_msn() - 1;
    for media in packager.snapshot().renditions() {
        assert_eq!(media.segment(last), Lookup::Missing, "{}", media.name());
    }
}
