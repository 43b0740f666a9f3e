use bytes::Bytes;
use media::{AccessUnit, IngestUnit, Projection, StereoLayout, VIDEO_TIMESCALE};
use proptest::prelude::*;

use super::*;
use crate::{amf0, amf0::Value, mux};

/// x264, High, level 3.0, 640x320, 30 fps; the last byte of the PPS varies.
fn record(last: u8) -> Bytes {
    let sps: &[u8] = &[
        0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x29, 0xb0, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2d, 0x96,
    ];
    let pps = [0x68, 0xeb, 0xe3, 0xcb, 0x22, last];
    let mut record = vec![1, 0x64, 0, 0x1e, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend(sps);
    record.extend([1, 0, pps.len() as u8]);
    record.extend(pps);
    Bytes::from(record)
}

fn avc(last: u8) -> avc::Config {
    avc::Config::parse(record(last)).unwrap()
}

fn tag(kind: TagKind, parts: &[&[u8]]) -> Tag {
    Tag {
        kind,
        timestamp_ms: 1000,
        body: parts.concat().into(),
    }
}

fn video(parts: &[&[u8]]) -> Tag {
    tag(TagKind::Video, parts)
}

fn audio(parts: &[&[u8]]) -> Tag {
    tag(TagKind::Audio, parts)
}

/// Both configurations known.
fn ready() -> Demuxer {
    let mut demuxer = Demuxer::new();
    demuxer.push(mux::video_config(&avc(0xc0), 0)).unwrap();
    demuxer
        .push(mux::audio_config(&aac::Config::lc(48_000, 2).unwrap(), 0))
        .unwrap();
    demuxer
}

fn unit(demuxer: &mut Demuxer, tag: Tag) -> IngestUnit {
    match demuxer.push(tag) {
        Ok(Some(Event::AccessUnit(unit))) => unit,
        other => panic!("expected an access unit, got {other:?}"),
    }
}

/// Access unit delimiter, SEI, in-band parameter set, IDR slice.
const IDR: &[u8] = &[
    0, 0, 0, 2, 9, 0x10, 0, 0, 0, 3, 6, 1, 0x80, 0, 0, 0, 2, 0x67, 0x64, 0, 0, 0, 3, 0x65, 1, 2,
];
const SLICE: &[u8] = &[0, 0, 0, 3, 0x41, 1, 2];

#[test]
fn classic_video_passes_through_bit_exact() {
    let mut demuxer = ready();
    let key = unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 67], IDR]));
    assert_eq!(
        (key.kind, key.timestamp_ms, key.composition_ms),
        (MediaKind::Video, 1000, 67)
    );
    assert!(key.is_sync);
    assert_eq!(key.payload, IDR);
    let inter = unit(&mut demuxer, video(&[&[0x27, 1, 0xff, 0xff, 0xfe], SLICE]));
    assert_eq!((inter.composition_ms, inter.is_sync), (-2, false));
}

#[test]
fn sync_needs_both_the_flag_and_an_idr() {
    let mut demuxer = ready();
    // x264 with intra refresh flags recovery points as keyframes.
    assert!(!unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 0], SLICE])).is_sync);
    assert!(!unit(&mut demuxer, video(&[&[0x27, 1, 0, 0, 0], IDR])).is_sync);
}

#[test]
fn a_repeated_configuration_is_no_event_and_a_changed_one_is() {
    let mut demuxer = ready();
    assert_eq!(demuxer.push(mux::video_config(&avc(0xc0), 40)), Ok(None));
    let aac = aac::Config::lc(48_000, 2).unwrap();
    assert_eq!(demuxer.push(mux::audio_config(&aac, 40)), Ok(None));
    let changed = avc(0xc4);
    let event = demuxer.push(mux::video_config(&changed, 80));
    assert_eq!(event, Ok(Some(Event::VideoConfig(changed))));
    let aac = aac::Config::lc(44_100, 2).unwrap();
    let event = demuxer.push(mux::audio_config(&aac, 80));
    assert_eq!(event, Ok(Some(Event::AudioConfig(aac))));
}

#[test]
fn avc1_and_mp4a_by_fourcc_are_taken() {
    let mut demuxer = Demuxer::new();
    let config = demuxer
        .push(video(&[&[0x90], b"avc1", &record(0xc0)]))
        .unwrap();
    assert_eq!(config, Some(Event::VideoConfig(avc(0xc0))));
    let frames = unit(&mut demuxer, video(&[&[0x91], b"avc1", &[0, 0, 33], IDR]));
    assert_eq!((frames.composition_ms, frames.is_sync), (33, true));
    let frames_x = unit(&mut demuxer, video(&[&[0xa3], b"avc1", SLICE]));
    assert_eq!((frames_x.composition_ms, frames_x.is_sync), (0, false));
    assert_eq!(frames_x.payload, SLICE);
    let end = demuxer.push(video(&[&[0x92], b"avc1"]));
    assert_eq!(end, Ok(Some(Event::EndOfSequence(MediaKind::Video))));
    assert_eq!(
        demuxer.push(video(&[&[0x94], b"avc1", &[2, 0, 0]])),
        Ok(None)
    );

    let config = demuxer
        .push(audio(&[&[0x90], b"mp4a", &[0x11, 0x90]]))
        .unwrap();
    assert!(matches!(config, Some(Event::AudioConfig(c)) if c.sample_rate() == 48_000));
    let frame = unit(&mut demuxer, audio(&[&[0x91], b"mp4a", &[1, 2, 3]]));
    assert_eq!(
        (frame.kind, frame.payload.as_ref()),
        (MediaKind::Audio, &[1, 2, 3][..])
    );
    let end = demuxer.push(audio(&[&[0x92], b"mp4a"]));
    assert_eq!(end, Ok(Some(Event::EndOfSequence(MediaKind::Audio))));
}

#[test]
fn mod_ex_is_skipped_short_and_long() {
    let mut demuxer = ready();
    // 3 bytes of nanosecond offset, then coded frames.
    let short = [0x97, 2, 0, 0, 9, 0x01];
    assert!(unit(&mut demuxer, video(&[&short, b"avc1", &[0, 0, 0], IDR])).is_sync);
    // 256 or more bytes: the size is in two more bytes. Twice.
    let long = [&[0x97, 255, 1, 0][..], &[0; 257], &[0x07, 0, 0, 0x03]].concat();
    assert!(unit(&mut demuxer, video(&[&long, b"avc1", IDR])).is_sync);
    let audio = unit(&mut demuxer, audio(&[&[0x97, 0, 0, 0x01], b"mp4a", &[7]]));
    assert_eq!(audio.payload.as_ref(), [7]);
    assert!(demuxer.push(video(&[&[0x97, 200, 0]])).is_err());
}

#[test]
fn of_multitrack_only_track_zero_is_taken() {
    let mut demuxer = ready();
    // One track, number 1, HEVC: ignored although its codec is not served.
    assert_eq!(
        demuxer.push(video(&[&[0xa6, 0x01], b"hvc1", &[1], SLICE])),
        Ok(None)
    );
    assert_eq!(
        demuxer.push(audio(&[&[0x95, 0x01], b"mp4a", &[3, 9]])),
        Ok(None)
    );
    assert_eq!(demuxer.other_track_tags(), 2);
    // One track, number 0.
    let first = unit(&mut demuxer, video(&[&[0x96, 0x03], b"avc1", &[0], IDR]));
    assert_eq!((first.payload.as_ref(), first.is_sync), (IDR, true));
    // Many tracks of one codec, track 0 last.
    let size = SLICE.len() as u8;
    let many = [&[2, 0, 0, 4], &b"skip"[..], &[0, 0, 0, size], SLICE].concat();
    let second = unit(&mut demuxer, video(&[&[0xa6, 0x13], b"avc1", &many]));
    assert_eq!(second.payload, SLICE);
    // Many tracks of many codecs, AAC as track 0.
    let mixed = [&b"Opus"[..], &[1, 0, 0, 2, 5, 5], b"mp4a", &[0, 0, 0, 1, 6]].concat();
    assert_eq!(
        unit(&mut demuxer, audio(&[&[0x95, 0x21], &mixed]))
            .payload
            .as_ref(),
        [6]
    );
    // Track 0 in a codec that is not served.
    let error = demuxer
        .push(video(&[&[0x96, 0x01], b"av01", &[0], SLICE]))
        .unwrap_err();
    assert!(error.is_fatal());
    // A size beyond the body, and a multitrack type that does not exist.
    assert!(
        demuxer
            .push(video(&[&[0xa6, 0x13], b"avc1", &[0, 0, 0, 9, 1]]))
            .is_err()
    );
    assert!(
        demuxer
            .push(video(&[&[0xa6, 0x31], b"avc1", &[0]]))
            .is_err()
    );
}

#[test]
fn other_codecs_are_refused_by_name_with_the_remedy() {
    let text = |tag| {
        let error = Demuxer::new().push(tag).unwrap_err();
        assert!(error.is_fatal());
        error.to_string()
    };
    let refused = "cannot take HEVC (hvc1) video: set the encoder to H.264";
    assert_eq!(text(video(&[&[0x90], b"hvc1"])), refused);
    assert!(text(video(&[&[0x90], b"av01"])).contains("AV1"));
    assert!(text(video(&[&[0x95], b"av01"])).contains("AV1"));
    assert!(text(video(&[&[0x91], b"vp09", &[0]])).contains("VP9"));
    assert!(text(video(&[&[0x91], b"\x00\xff\"x"])).contains("FourCC \"\\x00\\xff\\\"x\""));
    assert!(text(video(&[&[0x1c, 0, 0, 0, 0]])).contains("HEVC"));
    assert!(text(video(&[&[0x22, 0]])).contains("H.263"));
    assert_eq!(
        text(audio(&[&[0x90], b"Opus"])),
        "cannot take Opus audio: set the encoder to AAC"
    );
    assert!(text(audio(&[&[0x2f, 0xff]])).contains("MP3"));
    assert!(text(audio(&[&[0xb2, 0]])).contains("Speex"));
    assert!(text(audio(&[&[0xaf, 0, 0x17, 0]])).contains("sampling frequency"));
    assert!(text(video(&[&[0x17, 0, 0, 0, 0], &[1, 2, 3]])).contains("video configuration"));
}

#[test]
fn damaged_tags_cost_only_themselves() {
    let mut demuxer = ready();
    let bad = video(&[&[0x17, 1, 0, 0, 0], &[0, 0, 0, 200, 0x65, 1]]);
    let error = demuxer.push(bad).unwrap_err();
    assert!(!error.is_fatal());
    assert_eq!(
        error,
        Error::NalLength {
            bytes: 6,
            rest: 6,
            start_code: false
        }
    );
    let annex_b = video(&[&[0x17, 1, 0, 0, 0], &[0, 0, 0, 1, 0x65, 1, 2, 3]]);
    assert!(
        demuxer
            .push(annex_b)
            .unwrap_err()
            .to_string()
            .ends_with("instead of lengths")
    );
    for body in [
        &[0x17u8][..],
        &[0x17, 1, 0],
        &[0x17, 9, 0, 0, 0],
        &[0x9f],
        &[0x91, b'a'],
    ] {
        assert!(!demuxer.push(video(&[body])).unwrap_err().is_fatal());
    }
    assert!(!demuxer.push(audio(&[&[0xaf]])).unwrap_err().is_fatal());
    assert!(
        !demuxer
            .push(video(&[&[0x17, 0, 0, 0, 0]]))
            .unwrap_err()
            .is_fatal()
    );
    assert!(unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 0], IDR])).is_sync);
}

#[test]
fn empty_messages_and_commands_are_nothing() {
    let mut demuxer = ready();
    assert_eq!(demuxer.push(audio(&[])), Ok(None));
    assert_eq!(demuxer.push(audio(&[&[0xaf, 1]])), Ok(None));
    assert_eq!(demuxer.push(video(&[])), Ok(None));
    assert_eq!(demuxer.push(video(&[&[0x57, 0]])), Ok(None));
    assert_eq!(demuxer.push(video(&[&[0xd1, 0]])), Ok(None));
    assert_eq!(demuxer.push(video(&[&[0x27, 1, 0, 0, 0]])), Ok(None));
    let end = demuxer.push(mux::end_of_video(9));
    assert_eq!(end, Ok(Some(Event::EndOfSequence(MediaKind::Video))));
}

#[test]
fn media_before_its_configuration_is_skipped() {
    let mut demuxer = Demuxer::new();
    let error = demuxer
        .push(video(&[&[0x17, 1, 0, 0, 0], IDR]))
        .unwrap_err();
    assert_eq!(error, Error::NoConfig(MediaKind::Video));
    let error = demuxer.push(audio(&[&[0xaf, 1, 5]])).unwrap_err();
    assert_eq!(
        (error.is_fatal(), error),
        (false, Error::NoConfig(MediaKind::Audio))
    );
}

fn script(values: &[Value]) -> Tag {
    tag(TagKind::Script, &[&amf0::write_all(values)])
}

#[test]
fn metadata_comes_bare_or_framed_as_object_or_array_and_once() {
    let fields = || {
        vec![
            ("width".to_owned(), Value::Number(3840.0)),
            ("height".to_owned(), Value::Number(f64::NAN)),
            ("framerate".to_owned(), Value::Number(29.97)),
            ("stereo".to_owned(), Value::Boolean(true)),
            ("videodatarate".to_owned(), "fast".into()),
            ("encoder".to_owned(), "x".repeat(500).as_str().into()),
        ]
    };
    let framed = [
        "@setDataFrame".into(),
        "onMetaData".into(),
        Value::EcmaArray(fields()),
    ];
    let bare = ["onMetaData".into(), Value::Object(fields())];
    for values in [&framed[..], &bare[..]] {
        let mut demuxer = Demuxer::new();
        let Ok(Some(Event::Metadata(metadata))) = demuxer.push(script(values)) else {
            panic!("no metadata");
        };
        assert_eq!((metadata.width, metadata.height), (Some(3840), None));
        assert_eq!(
            (metadata.frame_rate, metadata.audio_channels),
            (Some(29.97), Some(2))
        );
        assert_eq!(metadata.video_bitrate_kbps, None);
        assert_eq!(metadata.encoder.map(|encoder| encoder.len()), Some(128));
        assert_eq!(demuxer.push(script(values)), Ok(None));
    }
}

#[test]
fn other_script_data_is_ignored_and_damage_is_skippable() {
    let mut demuxer = Demuxer::new();
    assert_eq!(demuxer.push(tag(TagKind::Script, &[])), Ok(None));
    // FFmpeg's time codes.
    assert_eq!(
        demuxer.push(tag(TagKind::Script, &[&[0, 1, 2, 3]])),
        Ok(None)
    );
    assert_eq!(
        demuxer.push(script(&["onFI".into(), Value::Null])),
        Ok(None)
    );
    assert_eq!(demuxer.push(script(&["@setDataFrame".into()])), Ok(None));
    assert_eq!(
        demuxer.push(script(&["@setDataFrame".into(), "onMetaData".into()])),
        Ok(None)
    );
    let mut cut = script(&["onMetaData".into(), 1.0.into()]);
    cut.body.truncate(cut.body.len() - 1);
    assert!(!demuxer.push(cut).unwrap_err().is_fatal());
    let huge = tag(TagKind::Script, &[&vec![2; crate::SCRIPT_BYTES_MAX + 1]]);
    assert!(matches!(demuxer.push(huge), Err(Error::ScriptTooLong(_))));
}

#[test]
fn written_metadata_reads_back() {
    let metadata = Metadata {
        width: Some(3840),
        height: Some(1920),
        frame_rate: Some(30.0),
        video_bitrate_kbps: Some(16_000),
        audio_bitrate_kbps: Some(128),
        audio_sample_rate: Some(48_000),
        audio_channels: Some(2),
        encoder: Some("panocast".to_owned()),
        projection: Some(Projection::Equirectangular),
        stereo: Some(StereoLayout::TopBottom),
    };
    let event = Demuxer::new().push(mux::metadata(&metadata, 0));
    assert_eq!(event, Ok(Some(Event::Metadata(metadata))));
}

#[test]
fn composition_offsets_go_through_as_sent() {
    let mut demuxer = ready();
    for offset_ms in [0, 33, -7, 8_388_607, -8_388_608] {
        let dts = 1_000_000;
        let unit_sent = AccessUnit {
            kind: MediaKind::Video,
            dts,
            pts: dts + VIDEO_TIMESCALE.from_millis(offset_ms),
            duration: 12_000,
            is_sync: true,
            payload: Bytes::from_static(IDR),
        };
        let received = unit(&mut demuxer, mux::access_unit(&unit_sent, 77));
        assert_eq!(i64::from(received.composition_ms), offset_ms);
        assert_eq!(
            mux::ingest_unit(&received),
            mux::access_unit(&unit_sent, 77)
        );
    }
}

fn any_kind() -> impl Strategy<Value = TagKind> {
    prop_oneof![
        Just(TagKind::Audio),
        Just(TagKind::Video),
        Just(TagKind::Script)
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(
        tags in proptest::collection::vec(
            (any_kind(), proptest::collection::vec(any::<u8>(), 0..60)), 1..8,
        ),
    ) {
        let mut demuxer = ready();
        for (kind, body) in tags {
            let _ = demuxer.push(Tag { kind, timestamp_ms: 0, body: body.into() });
        }
    }

    #[test]
    fn no_fourcc_header_panics(
        first in 0x80u8..=0xff,
        fourcc in prop_oneof![Just(*b"avc1"), Just(*b"mp4a"), any::<[u8; 4]>()],
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut demuxer = ready();
        let _ = demuxer.push(video(&[&[first], &fourcc, &rest]));
        let _ = demuxer.push(video(&[&[first], &rest[..rest.len().min(2)], &fourcc, &rest]));
        let _ = demuxer.push(audio(&[&[0x90 | first & 15], &fourcc, &rest]));
    }
}
