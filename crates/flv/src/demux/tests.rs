use bytes::Bytes;
use media::{
    AccessUnit, AudioConfig, ForeignCodec, IngestUnit, Projection, RandomAccess, Repair,
    StereoLayout, VIDEO_TIMESCALE, VideoConfig, aac, avc,
};
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

fn avc(last: u8) -> VideoConfig {
    avc::Config::parse(record(last)).unwrap().into()
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

fn aac_config(rate: u32) -> AudioConfig {
    aac::Config::lc(rate, 2).unwrap().into()
}

/// What a tag makes of it.
fn events(demuxer: &mut Demuxer, tag: Tag) -> Vec<IngestEvent> {
    demuxer.push(tag);
    std::iter::from_fn(|| demuxer.next_event()).collect()
}

/// Both configurations known.
fn ready() -> Demuxer {
    let mut demuxer = Demuxer::new();
    let video = events(&mut demuxer, mux::video_config(&avc(0xc0), 0));
    assert_eq!(video, [IngestEvent::VideoConfig(avc(0xc0))]);
    let audio = events(&mut demuxer, mux::audio_config(&aac_config(48_000), 0));
    assert_eq!(audio, [IngestEvent::AudioConfig(aac_config(48_000))]);
    demuxer
}

/// The one event of a tag without fault.
fn unit(demuxer: &mut Demuxer, tag: Tag) -> IngestUnit {
    match events(demuxer, tag).as_slice() {
        [IngestEvent::Unit(unit)] => unit.clone(),
        other => panic!("expected an access unit, got {other:?}"),
    }
}

/// The reason and the words of a tag left out.
fn skipped(demuxer: &mut Demuxer, tag: Tag) -> (SkipReason, String) {
    match events(demuxer, tag).as_slice() {
        [IngestEvent::Skipped(skipped)] => (skipped.reason, skipped.detail.clone()),
        other => panic!("expected it to be left out, got {other:?}"),
    }
}

/// Access unit delimiter, SEI, IDR slice.
const IDR: &[u8] = &[
    0, 0, 0, 2, 9, 0x10, 0, 0, 0, 3, 6, 1, 0x80, 0, 0, 0, 3, 0x65, 1, 2,
];
const SLICE: &[u8] = &[0, 0, 0, 3, 0x41, 1, 2];

#[test]
fn classic_video_passes_through_bit_exact() {
    let mut demuxer = ready();
    let key = unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 67], IDR]));
    assert_eq!(
        (key.kind, key.dts, key.composition),
        (MediaKind::Video, 1000, 67)
    );
    assert!(key.is_sync());
    assert_eq!(key.payload, IDR);
    let inter = unit(&mut demuxer, video(&[&[0x27, 1, 0xff, 0xff, 0xfe], SLICE]));
    assert_eq!((inter.composition, inter.is_sync()), (-2, false));
}

#[test]
fn the_picture_decides_what_the_flag_claims() {
    let mut demuxer = ready();
    // Flagged, and a P slice (first macroblock 0, slice type 5).
    let flagged = video(&[&[0x17, 1, 0, 0, 0], &[0, 0, 0, 3, 0x41, 0x9a, 0x80]]);
    // Not flagged, and an IDR picture.
    let silent = video(&[&[0x27, 1, 0, 0, 0], IDR]);
    for (tag, expected) in [(flagged, RandomAccess::No), (silent, RandomAccess::Idr)] {
        let found = events(&mut demuxer, tag);
        let [
            IngestEvent::Repaired(Repair::KeyframeFlag),
            IngestEvent::Unit(unit),
        ] = &found[..]
        else {
            panic!("{found:?}");
        };
        assert_eq!(unit.random_access, expected);
    }
    // x264 with open groups of pictures: a recovery point and an I slice.
    let open: &[u8] = &[
        0, 0, 0, 5, 6, 6, 1, 0xc4, 0x80, 0, 0, 0, 3, 0x61, 0x88, 0x80,
    ];
    let open = unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 0], open]));
    assert_eq!(
        open.random_access,
        RandomAccess::RecoveryPoint { frames: 0 }
    );
    assert!(!open.is_sync());
}

#[test]
fn a_repeated_configuration_is_no_event_and_a_changed_one_is() {
    let mut demuxer = ready();
    assert_eq!(events(&mut demuxer, mux::video_config(&avc(0xc0), 40)), []);
    let audio = mux::audio_config(&aac_config(48_000), 40);
    assert_eq!(events(&mut demuxer, audio), []);
    let changed = events(&mut demuxer, mux::video_config(&avc(0xc4), 80));
    assert_eq!(changed, [IngestEvent::VideoConfig(avc(0xc4))]);
    let changed = events(&mut demuxer, mux::audio_config(&aac_config(44_100), 80));
    assert_eq!(changed, [IngestEvent::AudioConfig(aac_config(44_100))]);
}

#[test]
fn avc1_and_mp4a_by_fourcc_are_taken() {
    let mut demuxer = Demuxer::new();
    let config = events(&mut demuxer, video(&[&[0x90], b"avc1", &record(0xc0)]));
    assert_eq!(config, [IngestEvent::VideoConfig(avc(0xc0))]);
    let frames = unit(&mut demuxer, video(&[&[0x91], b"avc1", &[0, 0, 33], IDR]));
    assert_eq!((frames.composition, frames.is_sync()), (33, true));
    let frames_x = unit(&mut demuxer, video(&[&[0xa3], b"avc1", SLICE]));
    assert_eq!((frames_x.composition, frames_x.is_sync()), (0, false));
    assert_eq!(frames_x.payload, SLICE);
    let end = events(&mut demuxer, video(&[&[0x92], b"avc1"]));
    assert_eq!(end, [IngestEvent::EndOfTrack(MediaKind::Video)]);
    // Colours, of a second track too, whatever its codec.
    for fourcc in [b"avc1", b"hvc1"] {
        let colours = video(&[&[0xd4], fourcc, &[2, 0, 0]]);
        assert_eq!(events(&mut demuxer, colours), []);
    }

    let config = events(&mut demuxer, audio(&[&[0x90], b"mp4a", &[0x11, 0x90]]));
    assert_eq!(config, [IngestEvent::AudioConfig(aac_config(48_000))]);
    let frame = unit(&mut demuxer, audio(&[&[0x91], b"mp4a", &[1, 2, 3]]));
    assert_eq!(
        (frame.kind, frame.payload.as_ref()),
        (MediaKind::Audio, &[1, 2, 3][..])
    );
    let end = events(&mut demuxer, audio(&[&[0x92], b"mp4a"]));
    assert_eq!(end, [IngestEvent::EndOfTrack(MediaKind::Audio)]);
}

#[test]
fn mod_ex_is_skipped_short_and_long() {
    let mut demuxer = ready();
    // 3 bytes of nanosecond offset, then coded frames.
    let short = [0x97, 2, 0, 0, 9, 0x01];
    assert!(unit(&mut demuxer, video(&[&short, b"avc1", &[0, 0, 0], IDR])).is_sync());
    // 256 or more bytes: the size is in two more bytes. Twice.
    let long = [&[0x97, 255, 1, 0][..], &[0; 257], &[0x07, 0, 0, 0x03]].concat();
    assert!(unit(&mut demuxer, video(&[&long, b"avc1", IDR])).is_sync());
    let audio = unit(&mut demuxer, audio(&[&[0x97, 0, 0, 0x01], b"mp4a", &[7]]));
    assert_eq!(audio.payload.as_ref(), [7]);
    let (reason, _) = skipped(&mut demuxer, video(&[&[0x97, 200, 0]]));
    assert_eq!(reason, SkipReason::Damaged);
}

#[test]
fn of_multitrack_only_track_zero_is_taken() {
    let mut demuxer = ready();
    // One track, number 1, HEVC: ignored although its codec is not served.
    let (reason, detail) = skipped(&mut demuxer, video(&[&[0xa6, 0x01], b"hvc1", &[1], SLICE]));
    assert_eq!(reason, SkipReason::OtherTrack);
    assert_eq!(detail, "a further video track is not served");
    let other = audio(&[&[0x95, 0x01], b"mp4a", &[3, 9]]);
    assert_eq!(skipped(&mut demuxer, other).0, SkipReason::OtherTrack);
    // One track, number 0.
    let first = unit(&mut demuxer, video(&[&[0x96, 0x03], b"avc1", &[0], IDR]));
    assert_eq!((first.payload.as_ref(), first.is_sync()), (IDR, true));
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
    // Track 0 in a codec that is not carried.
    let other = video(&[&[0x96, 0x01], b"av01", &[0], SLICE]);
    assert_eq!(skipped(&mut demuxer, other).0, SkipReason::Codec);
    // A size beyond the body, and a multitrack type that does not exist.
    for body in [
        &[0xa6, 0x13, b'a', b'v', b'c', b'1', 0, 0, 0, 9, 1][..],
        &[0xa6, 0x31, 0],
    ] {
        assert_eq!(skipped(&mut demuxer, video(&[body])).0, SkipReason::Damaged);
    }
}

#[test]
fn other_video_codecs_are_skipped_by_name_with_the_remedy() {
    let text = |tag| {
        let (reason, detail) = skipped(&mut Demuxer::new(), tag);
        assert_eq!(reason, SkipReason::Codec, "{detail}");
        detail
    };
    let refused = "cannot take HEVC (hvc1) video: set the encoder to H.264";
    assert_eq!(text(video(&[&[0x90], b"hvc1"])), refused);
    assert!(text(video(&[&[0x90], b"av01"])).contains("AV1"));
    assert!(text(video(&[&[0x95], b"av01"])).contains("AV1"));
    assert!(text(video(&[&[0x91], b"vp09", &[0]])).contains("VP9"));
    assert!(text(video(&[&[0x91], b"\x00\xff\"x"])).contains("FourCC \"\\x00\\xff\\\"x\""));
    assert!(text(video(&[&[0x1c, 0, 0, 0, 0]])).contains("HEVC"));
    assert!(text(video(&[&[0x22, 0]])).contains("H.263"));
    // GStreamer's eflvmux means HEVC by the number of H.263.
    assert!(text(video(&[&[0x18, 0]])).contains("HEVC from GStreamer"));
}

#[test]
fn an_odd_tag_amid_good_ones_costs_itself_alone() {
    let mut demuxer = ready();
    for body in [
        &[0x90, 0xff, 0xfe, 0xf7, 0x17, 0, 0][..],
        &[0x24, 1, 0, 0, 0, 0],
        &[0x22, 1, 0, 0, 0, 0],
    ] {
        assert_eq!(skipped(&mut demuxer, video(&[body])).0, SkipReason::Codec);
    }
    for body in [&[0xf0, 0][..], &[0x2f, 0xff, 0xfb]] {
        let (reason, detail) = skipped(&mut demuxer, audio(&[body]));
        assert_eq!(reason, SkipReason::Codec);
        assert!(detail.ends_with("amid AAC"), "{detail}");
    }
    assert!(unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 0], IDR])).is_sync());
    let frame = unit(&mut demuxer, audio(&[&[0xaf, 1, 0x21, 7]]));
    assert_eq!(frame.payload.as_ref(), [0x21, 7]);
}

#[test]
fn other_audio_codecs_leave_as_they_are_with_what_their_header_says() {
    let foreign =
        |demuxer: &mut Demuxer, body: &[u8]| match events(demuxer, audio(&[body])).as_slice() {
            [IngestEvent::ForeignAudio(frame)] => frame.clone(),
            other => panic!("{other:?}"),
        };
    let mut demuxer = Demuxer::new();
    for (body, codec, rate, channels) in [
        (&[0x2f, 0xff, 0xfb][..], ForeignCodec::Mp3, 44_100, 2),
        (&[0xe2, 0xff, 0xf3], ForeignCodec::Mp3, 8_000, 1),
        (&[0x72, 0xd5], ForeignCodec::ALaw, 8_000, 1),
        (&[0x83, 0x7f], ForeignCodec::MuLaw, 8_000, 2),
        (&[0xb2, 0x1d], ForeignCodec::Speex, 16_000, 1),
        (&[0x3e, 0, 1], ForeignCodec::Pcm { bits: 16 }, 44_100, 1),
        (&[0x52, 0, 1], ForeignCodec::Nellymoser, 8_000, 1),
    ] {
        let frame = foreign(&mut demuxer, body);
        assert_eq!((&frame.codec, frame.dts), (&codec, 1000));
        assert_eq!(
            (frame.sample_rate, frame.channels),
            (Some(rate), Some(channels))
        );
        assert_eq!(frame.payload, body[1..]);
    }
    // By FourCC, with the codec's own header.
    assert_eq!(
        events(&mut demuxer, audio(&[&[0x90], b"Opus", b"OpusHead"])),
        []
    );
    let frame = foreign(&mut demuxer, b"\x91Opus\xfc\xff");
    assert_eq!(frame.codec, ForeignCodec::Opus);
    assert_eq!(frame.header.as_deref(), Some(&b"OpusHead"[..]));
    // AAC that browsers do not decode: Main profile, 48 kHz, stereo.
    assert_eq!(events(&mut demuxer, audio(&[&[0xaf, 0, 0x09, 0x90]])), []);
    let frame = foreign(&mut demuxer, &[0xaf, 1, 0x21, 7]);
    assert_eq!(frame.codec.to_string(), "AAC with object type 1 (Main)");
    assert_eq!(frame.header.as_deref(), Some(&[0x09, 0x90][..]));
}

#[test]
fn damaged_tags_cost_only_themselves() {
    let mut demuxer = ready();
    let bad = video(&[&[0x17, 1, 0, 0, 0], &[0, 0, 0, 200, 0x65, 1]]);
    let (reason, detail) = skipped(&mut demuxer, bad);
    assert_eq!(reason, SkipReason::Damaged);
    assert!(
        detail.ends_with("past its end, with 6 bytes left"),
        "{detail}"
    );
    for body in [
        &[0x17u8][..],
        &[0x17, 1, 0],
        &[0x17, 9, 0, 0, 0],
        &[0x9f],
        &[0x91, b'a'],
    ] {
        assert_eq!(skipped(&mut demuxer, video(&[body])).0, SkipReason::Damaged);
    }
    assert_eq!(
        skipped(&mut demuxer, audio(&[&[0xaf]])).0,
        SkipReason::Damaged
    );
    for header in [&[][..], &[1, 2, 3]] {
        let (reason, detail) = skipped(&mut demuxer, video(&[&[0x17, 0, 0, 0, 0], header]));
        assert_eq!(reason, SkipReason::Config);
        assert!(
            detail.starts_with("AVC configuration is damaged"),
            "{detail}"
        );
    }
    let (reason, detail) = skipped(&mut demuxer, audio(&[&[0xaf, 0, 0x17, 0]]));
    assert_eq!(reason, SkipReason::Config);
    assert!(detail.contains("sampling frequency"), "{detail}");
    assert!(unit(&mut demuxer, video(&[&[0x17, 1, 0, 0, 0], IDR])).is_sync());
}

#[test]
fn empty_messages_and_commands_are_nothing() {
    let mut demuxer = ready();
    for body in [&[][..], &[0x57, 0], &[0xd1, 0], &[0x27, 1, 0, 0, 0]] {
        assert_eq!(events(&mut demuxer, video(&[body])), []);
    }
    // Muted microphones send audio without a byte: a place for silence, once it is known what of.
    for body in [&[][..], &[0xaf, 1]] {
        assert_eq!(unit(&mut demuxer, audio(&[body])).payload.len(), 0);
        assert_eq!(events(&mut Demuxer::new(), audio(&[body])), []);
    }
    assert_eq!(events(&mut Demuxer::new(), audio(&[&[0x2f]])), []);
    let end = events(&mut demuxer, mux::end_of_video(9));
    assert_eq!(end, [IngestEvent::EndOfTrack(MediaKind::Video)]);
}

#[test]
fn media_before_its_configuration_is_skipped() {
    let mut demuxer = Demuxer::new();
    let early = video(&[&[0x17, 1, 0, 0, 0], IDR]);
    assert_eq!(skipped(&mut demuxer, early).0, SkipReason::NoConfig);
    let early = audio(&[&[0xaf, 1, 5]]);
    assert_eq!(skipped(&mut demuxer, early).0, SkipReason::NoConfig);
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
        let found = events(&mut demuxer, script(values));
        let [IngestEvent::Metadata(metadata)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((metadata.width, metadata.height), (Some(3840), None));
        assert_eq!(
            (metadata.frame_rate, metadata.audio_channels),
            (Some(29.97), Some(2))
        );
        assert_eq!(metadata.video_bitrate_kbps, None);
        assert_eq!(metadata.encoder.as_ref().map(String::len), Some(128));
        assert_eq!(events(&mut demuxer, script(values)), []);
    }
}

#[test]
fn other_script_data_is_ignored_and_damage_is_skippable() {
    let mut demuxer = Demuxer::new();
    let frame = ["@setDataFrame".into(), "onMetaData".into()];
    for ignored in [
        tag(TagKind::Script, &[]),
        // FFmpeg's time codes.
        tag(TagKind::Script, &[&[0, 1, 2, 3]]),
        script(&["onFI".into(), Value::Null]),
        script(&frame[..1]),
        script(&frame),
    ] {
        assert_eq!(events(&mut demuxer, ignored), []);
    }
    let mut cut = script(&["onMetaData".into(), 1.0.into()]);
    cut.body.truncate(cut.body.len() - 1);
    let huge = tag(TagKind::Script, &[&vec![2; crate::SCRIPT_BYTES_MAX + 1]]);
    for damaged in [cut, huge] {
        assert_eq!(skipped(&mut demuxer, damaged).0, SkipReason::Metadata);
    }
}

#[test]
fn written_metadata_reads_back() {
    let metadata = SourceMetadata {
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
    let found = events(&mut Demuxer::new(), mux::metadata(&metadata, 0));
    assert_eq!(found, [IngestEvent::Metadata(metadata)]);
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
            random_access: RandomAccess::Idr,
            payload: Bytes::from_static(IDR),
        };
        let received = unit(&mut demuxer, mux::access_unit(&unit_sent, 77));
        assert_eq!(i64::from(received.composition), offset_ms);
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
            let _ = events(&mut demuxer, Tag { kind, timestamp_ms: 0, body: body.into() });
        }
    }

    #[test]
    fn no_fourcc_header_panics(
        first in 0x80u8..=0xff,
        fourcc in prop_oneof![Just(*b"avc1"), Just(*b"mp4a"), any::<[u8; 4]>()],
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut demuxer = ready();
        let _ = events(&mut demuxer, video(&[&[first], &fourcc, &rest]));
        let _ = events(&mut demuxer, video(&[&[first], &rest[..rest.len().min(2)], &fourcc, &rest]));
        let _ = events(&mut demuxer, audio(&[&[0x90 | first & 15], &fourcc, &rest]));
    }
}
