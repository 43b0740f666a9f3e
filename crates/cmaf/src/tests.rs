//! Box-level tests: what is written is read back, and damage is an error.

use bytes::Bytes;
use media::{
    AccessUnit, Immersive, MediaKind, Orientation, Projection, RandomAccess, StereoLayout, Track,
    aac, avc,
};
use proptest::prelude::*;

use crate::{
    Error, Scanner, TopLevel, chunk, chunk_of, init_segment, init_segment_multi, read_chunk,
    read_init, read_segment,
};

/// x264, High, level 3.1, 1280x640, 30 fps; the high-profile tail (chroma, bit depth) as x264
/// writes it.
fn record() -> Bytes {
    let sps: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0x1b, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    let pps: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1];
    record.extend((sps.len() as u16).to_be_bytes());
    record.extend(sps);
    record.push(1);
    record.extend((pps.len() as u16).to_be_bytes());
    record.extend(pps);
    record.extend([0xfd, 0xf8, 0xf8, 0x00]);
    Bytes::from(record)
}

fn video() -> Track {
    Track::video(avc::Config::parse(record()).unwrap())
}

fn audio() -> Track {
    Track::audio(aac::Config::lc(48_000, 2).unwrap())
}

fn unit(kind: MediaKind, dts: i64, offset: i64, duration: u32, is_sync: bool) -> AccessUnit {
    AccessUnit {
        kind,
        dts,
        pts: dts + offset,
        duration,
        random_access: RandomAccess::idr_if(is_sync),
        payload: Bytes::from(format!("payload at {dts}")),
    }
}

fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    let at = bytes.windows(4).position(|w| w == kind).unwrap() - 4;
    let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    &bytes[at..at + size]
}

fn contains(bytes: &[u8], kind: &[u8; 4]) -> bool {
    bytes.windows(4).any(|w| w == kind)
}

#[test]
fn init_keeps_configuration_records_to_the_byte() {
    let init = init_segment(&video(), &Immersive::default()).unwrap();
    assert_eq!(&find(&init, b"avcC")[8..], &record()[..]);
    let init = init_segment(&audio(), &Immersive::default()).unwrap();
    let esds = find(&init, b"esds");
    assert!(esds.windows(4).any(|w| w == [0x05, 2, 0x11, 0x90]));
}

#[test]
fn init_has_no_duration_and_promises_fragments() {
    let init = init_segment(&video(), &Immersive::default()).unwrap();
    assert_eq!(&init[4..12], b"ftypiso6");
    assert!(contains(&init, b"cmfc") && contains(&init, b"mvex") && contains(&init, b"trex"));
    let mvhd = find(&init, b"mvhd");
    let long = mvhd[8] == 1;
    let duration = if long { &mvhd[32..40] } else { &mvhd[24..28] };
    assert!(duration.iter().all(|byte| *byte == 0));
}

#[test]
fn mono_equirectangular_boxes_have_the_published_sizes() {
    let init = init_segment(&video(), &Immersive::default()).unwrap();
    assert_eq!(find(&init, b"st3d").len(), 13);
    assert_eq!(find(&init, b"sv3d").len(), 81);
    assert_eq!(find(&init, b"prhd").len(), 24);
    assert_eq!(find(&init, b"equi").len(), 28);
    assert_eq!(&find(&init, b"prji")[12..], b"equi");
    assert_eq!(find(&init, b"hfov")[8..], 360_000u32.to_be_bytes());
    assert!(!contains(&init, b"eyes") && !contains(&init, b"pack"));
}

#[test]
fn flat_mono_video_gets_no_projection_boxes() {
    let flat = Immersive {
        projection: Projection::Rectilinear,
        ..Immersive::default()
    };
    let init = init_segment(&video(), &flat).unwrap();
    for kind in [b"st3d", b"sv3d", b"vexu", b"hfov", b"uuid"] {
        assert!(!contains(&init, kind));
    }
}

#[test]
fn every_projection_and_layout_is_read_back() {
    let orientation = Orientation {
        yaw: -90.5,
        pitch: 12.25,
        roll: 0.0,
    };
    for &projection in Projection::ALL {
        for &stereo in StereoLayout::ALL {
            let flat = projection == Projection::Rectilinear;
            let immersive = Immersive {
                fov: None,
                projection,
                stereo,
                orientation: if flat {
                    Orientation::default()
                } else {
                    orientation
                },
            };
            let init = read_init(&init_segment(&video(), &immersive).unwrap()).unwrap();
            assert_eq!(init.immersive, immersive);
            assert_eq!(init.tracks[0].track, video());
        }
    }
}

#[test]
fn stereo_says_so_in_both_families() {
    let immersive = Immersive {
        stereo: StereoLayout::TopBottom,
        ..Immersive::default()
    };
    let init = init_segment(&video(), &immersive).unwrap();
    assert_eq!(find(&init, b"st3d")[12], 1);
    assert_eq!(&find(&init, b"pkin")[12..], b"over");
    assert_eq!(find(&init, b"stri")[12], 0b0011);
}

#[test]
fn first_sample_flags_tell_sync_from_dependent() {
    let units = |sync| {
        [
            unit(MediaKind::Video, 0, 24_000, 12_000, sync),
            unit(MediaKind::Video, 12_000, 0, 12_000, false),
        ]
    };
    let independent = chunk(&video(), 1, &units(true)).unwrap();
    let trun = find(&independent, b"trun");
    assert_eq!(trun[8], 1, "signed composition offsets");
    let flags = u32::from_be_bytes([0, trun[9], trun[10], trun[11]]);
    assert_eq!(
        flags, 0x000_a05,
        "offset, first flags, sizes, composition offsets"
    );
    assert_eq!(&trun[20..24], &0x0200_0000u32.to_be_bytes());
    let dependent = chunk(&video(), 1, &units(false)).unwrap();
    assert_eq!(find(&dependent, b"trun")[11] & 0x04, 0);
    let tfhd = find(&dependent, b"tfhd");
    assert_eq!(tfhd[9] & 0x02, 0x02, "default-base-is-moof");
    assert_eq!(&tfhd[20..24], &0x0101_0000u32.to_be_bytes());
}

#[test]
fn decode_time_is_64_bit_and_negative_offsets_are_kept() {
    let far = 360_000 * 3600 * 24 * 365;
    let units = [unit(MediaKind::Video, far, -6_000, 6_000, true)];
    let bytes = chunk(&video(), 9, &units).unwrap();
    assert_eq!(find(&bytes, b"tfdt")[8], 1);
    let init = read_init(&init_segment(&video(), &Immersive::default()).unwrap()).unwrap();
    let samples = read_chunk(&init, &bytes).unwrap();
    assert_eq!(samples[0].unit, units[0]);
}

#[test]
fn a_recording_of_two_tracks_is_scanned_and_read_back_up_to_a_torn_end() {
    let tracks = [video(), audio()];
    let mut file = init_segment_multi(&tracks, &Immersive::default())
        .unwrap()
        .to_vec();
    let video = [unit(MediaKind::Video, 0, 0, 12_000, true)];
    let audio = [
        unit(MediaKind::Audio, 0, 0, 1024, true),
        unit(MediaKind::Audio, 1024, 0, 1024, true),
    ];
    file.extend(chunk_of(1, &tracks[0], 1, &video).unwrap());
    file.extend(chunk_of(2, &tracks[1], 2, &audio).unwrap());
    let torn = chunk_of(2, &tracks[1], 3, &audio).unwrap();
    file.extend(&torn[..torn.len() - 1]);

    let mut scanner = Scanner::new();
    let (mut init, mut found) = (None, Vec::new());
    for piece in file.chunks(7) {
        scanner.push(piece);
        while let Some(item) = scanner.pull().unwrap() {
            match item {
                TopLevel::Init(bytes) => init = Some(read_init(&bytes).unwrap()),
                TopLevel::Chunk(bytes) => {
                    found.extend(read_chunk(init.as_ref().unwrap(), &bytes).unwrap());
                }
            }
        }
    }
    assert_eq!(scanner.pending(), torn.len() - 1);
    let ids: Vec<u32> = found.iter().map(|sample| sample.track_id).collect();
    assert_eq!(ids, [1, 2, 2]);
    assert_eq!(found[0].unit, video[0]);
    assert_eq!(found[2].unit, audio[1]);
    let whole = read_segment(&init.unwrap(), &Bytes::from(file)).unwrap();
    assert_eq!(whole, found);
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let text = |result: Result<Bytes, Error>| result.unwrap_err().to_string();
    assert_eq!(
        text(chunk(&video(), 1, &[])),
        "cannot write a chunk: nothing to put in it"
    );
    let negative = [unit(MediaKind::Video, -1, 0, 1, true)];
    assert_eq!(
        text(chunk(&video(), 1, &negative)),
        "cannot write a decode time: -1 does not fit"
    );
    let audio = [unit(MediaKind::Audio, 0, 0, 1, true)];
    assert_eq!(
        text(chunk(&video(), 1, &audio)),
        "cannot write an access unit of audio into a track of video"
    );
    let offset = [unit(MediaKind::Video, 0, i64::from(i32::MAX) + 1, 1, true)];
    assert!(text(chunk(&video(), 1, &offset)).starts_with("cannot write a composition offset"));
}

fn units(kind: MediaKind) -> impl Strategy<Value = Vec<AccessUnit>> {
    let one = (
        1u32..100_000,
        -50_000i64..50_000,
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..40),
    );
    (0i64..1 << 40, prop::collection::vec(one, 1..40)).prop_map(move |(start, list)| {
        let mut dts = start;
        list.into_iter()
            .map(|(duration, offset, is_sync, payload)| {
                let offset = if kind == MediaKind::Audio { 0 } else { offset };
                let unit = AccessUnit {
                    kind,
                    dts,
                    pts: dts + offset,
                    duration,
                    random_access: RandomAccess::idr_if(is_sync || kind == MediaKind::Audio),
                    payload: Bytes::from(payload),
                };
                dts += i64::from(duration);
                unit
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn chunks_are_read_back(video_units in units(MediaKind::Video), audio_units in units(MediaKind::Audio)) {
        let tracks = [video(), audio()];
        let head = init_segment_multi(&tracks, &Immersive::default()).unwrap();
        let init = read_init(&head).unwrap();
        for (id, track, units) in [(1, &tracks[0], &video_units), (2, &tracks[1], &audio_units)] {
            let bytes = chunk_of(id, track, 7, units).unwrap();
            let samples = read_chunk(&init, &bytes).unwrap();
            prop_assert!(samples.iter().all(|sample| sample.track_id == id));
            let read: Vec<_> = samples.into_iter().map(|sample| sample.unit).collect();
            prop_assert_eq!(&read, units);
        }
    }

    #[test]
    fn damage_never_panics(
        at in 0usize..2000, value: u8, cut in 0usize..2000, which in 0usize..3,
    ) {
        let tracks = [video(), audio()];
        let head = init_segment_multi(&tracks, &Immersive::default()).unwrap();
        let init = read_init(&head).unwrap();
        let units = [unit(MediaKind::Video, 0, 5, 10, true), unit(MediaKind::Video, 10, 0, 11, false)];
        let mut bytes = match which {
            0 => head.to_vec(),
            _ => chunk(&tracks[0], 1, &units).unwrap().to_vec(),
        };
        let length = bytes.len();
        bytes[at % length] = value;
        if which == 2 {
            bytes.truncate(cut % length);
        }
        let mut scanner = Scanner::new();
        scanner.push(&bytes);
        while let Ok(Some(_)) = scanner.pull() {}
        let _ = read_init(&bytes);
        let bytes = Bytes::from(bytes);
        let _ = read_chunk(&init, &bytes);
        let _ = read_segment(&init, &bytes);
    }
}
