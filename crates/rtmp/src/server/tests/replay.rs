//! Encoders as they behave on the wire.

use flv::{Tag, TagKind, amf0, amf0::Value};
use proptest::prelude::*;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};

use super::wire::*;
use crate::{
    Secret,
    message::kind,
    server::{Event, PublishRequest},
};

fn media(events: Vec<Event>) -> Vec<Tag> {
    let tag = |event| match event {
        Event::Media(tag) => Some(tag),
        _ => None,
    };
    events.into_iter().filter_map(tag).collect()
}

fn request(events: &[Event]) -> &PublishRequest {
    match events {
        [Event::PublishRequested(request), ..] => request,
        other => panic!("no publish request in {other:?}"),
    }
}

const OBS_CHUNK: usize = 4096;

/// OBS: chunk size first, audio, video and metadata all on chunk stream 4, short headers wherever
/// they fit.
fn obs(key: &str, keyframe: &[u8]) -> Vec<u8> {
    let url = "rtmp://origin.example/live";
    let name = || Value::String(format!("stage-left?key={key}"));
    let metadata = Value::EcmaArray(vec![("duration".into(), 0.0.into())]);
    let metadata = amf0::write_all(&["@setDataFrame".into(), "onMetaData".into(), metadata]);
    let publish = command("publish", 5.0, &[Value::Null, name(), "live".into()]);
    let fc_publish = command("FCPublish", 3.0, &[Value::Null, name()]);
    let create = command("createStream", 4.0, &[Value::Null]);
    let n = OBS_CHUNK;
    [
        handshake(),
        chunk0(2, 0, kind::SET_CHUNK_SIZE, 0, 128, &4096u32.to_be_bytes()),
        chunk0(3, 0, kind::COMMAND, 0, n, &connect("live", url)),
        chunk1(
            3,
            0,
            kind::COMMAND,
            n,
            &command("releaseStream", 2.0, &[Value::Null, name()]),
        ),
        chunk1(3, 0, kind::COMMAND, n, &fc_publish),
        chunk1(3, 0, kind::COMMAND, n, &create),
        chunk0(4, 0, kind::COMMAND, 1, n, &publish),
        chunk0(4, 0, kind::DATA, 1, n, &metadata),
        chunk0(4, 0, kind::AUDIO, 1, n, &[0xaf, 0, 0x11, 0x90]),
        chunk0(4, 0, kind::VIDEO, 1, n, &[0x17, 0, 0, 0, 0, 1]),
        chunk0(4, 0, kind::VIDEO, 1, n, keyframe),
        chunk1(4, 21, kind::AUDIO, n, &[0xaf, 1, 1, 2, 3]),
        chunk2(4, 12, n, &[0xaf, 1, 4, 5, 6]),
        // Same delta, length and type: the message starts with a type 3 chunk.
        chunk3(4, n, &[0xaf, 1, 7, 8, 9]),
        chunk1(4, 0, kind::VIDEO, n, &[0x27, 1, 0, 0, 0, 9]),
        chunk1(
            3,
            0,
            kind::COMMAND,
            n,
            &command("FCUnpublish", 6.0, &[Value::Null, name()]),
        ),
        chunk1(
            3,
            0,
            kind::COMMAND,
            n,
            &command("deleteStream", 7.0, &[Value::Null, 1.0.into()]),
        ),
    ]
    .concat()
}

#[test]
fn obs_publishes() {
    let keyframe: Vec<u8> = (0..20_000).map(|i| (i % 253) as u8).collect();
    let mut peer = Peer::new();
    let events = peer.send(&obs("s%2Fcret", &keyframe));
    let asked = request(&events);
    assert_eq!(
        (asked.app.as_str(), asked.stream.as_str()),
        ("live", "stage-left")
    );
    assert_eq!(asked.key, Some(Secret::new("s/cret")));
    assert_eq!(asked.tc_url, "rtmp://origin.example/live");
    assert_eq!(asked.flash_ver, "FMLE/3.0 (compatible; FMSc/1.0)");
    assert_eq!(events.last(), Some(&Event::PublishEnded));
    let tags = media(events);
    let shape: Vec<_> = tags
        .iter()
        .map(|tag| (tag.kind, tag.timestamp_ms))
        .collect();
    use TagKind::{Audio, Script, Video};
    let expected = [
        (Script, 0),
        (Audio, 0),
        (Video, 0),
        (Video, 0),
        (Audio, 21),
        (Audio, 33),
        (Audio, 45),
        (Video, 45),
    ];
    assert_eq!(shape, expected);
    assert_eq!(tags[3].body, keyframe);
    assert_eq!(tags[6].body.as_ref(), [0xaf, 1, 7, 8, 9]);
    let names: Vec<_> = peer
        .answers()
        .into_iter()
        .map(|command| command.name)
        .collect();
    let expected = [
        "_result", "_result", "_result", "_result", "onStatus", "onStatus",
    ];
    assert_eq!(names, expected);
}

#[test]
fn obs_after_a_day_repeats_extended_timestamps() {
    // 31 bits of milliseconds wrap after 24.8 days; the chunk layer hands on what was sent.
    let mut peer = Peer::publishing();
    let payload: Vec<u8> = (0..300).map(|i| i as u8).collect();
    for time in [0x0100_0000, 0x7fff_fffe, 0] {
        let tags = media(peer.send(&chunk0(4, time, kind::VIDEO, 1, 128, &payload)));
        assert_eq!(
            (tags[0].timestamp_ms, tags[0].body.as_ref()),
            (time, &payload[..])
        );
    }
    let tags = media(peer.send(&chunk1(4, 33, kind::VIDEO, 128, &payload)));
    assert_eq!(tags[0].timestamp_ms, 33);
}

#[test]
fn librtmp_pings_on_a_fresh_chunk_stream_with_a_short_header() {
    let mut peer = Peer::publishing();
    peer.send(&chunk1(2, 0, kind::USER_CONTROL, 128, &[0, 6, 0, 0, 0, 99]));
    let messages = peer.messages();
    assert_eq!(messages[0].payload.as_ref(), [0, 7, 0, 0, 0, 99]);
}

/// FFmpeg: connect in chunks of 128 bytes, no chunk size of its own before it, audio on 4, video on
/// 6, data on 5.
#[test]
fn ffmpeg_publishes_and_its_time_codes_pass_as_script_tags() {
    let mut peer = Peer::publishing();
    let size = 128;
    let bytes = [
        chunk0(
            2,
            0,
            kind::SET_CHUNK_SIZE,
            0,
            size,
            &60_000u32.to_be_bytes(),
        ),
        chunk0(
            5,
            0,
            kind::DATA,
            1,
            60_000,
            &amf0::write_all(&["onMetaData".into()]),
        ),
        chunk0(6, 0, kind::VIDEO, 1, 60_000, &[0x17, 0, 0, 0, 0]),
        chunk0(4, 0, kind::AUDIO, 1, 60_000, &[]),
        chunk1(6, 40, kind::VIDEO, 60_000, &[7; 70_000]),
        chunk0(5, 40, kind::DATA, 1, 60_000, &[0, 0, 0, 0]),
    ]
    .concat();
    let tags = media(peer.send(&bytes));
    let sizes: Vec<_> = tags.iter().map(|tag| tag.body.len()).collect();
    assert_eq!(sizes, [13, 5, 0, 70_000, 4]);
    assert_eq!(tags[3].timestamp_ms, 40);
}

#[test]
fn fmle_shakes_hands_with_a_digest_and_publishes_with_amf3_types() {
    let mut client = Handshake::new(PeerType::Client);
    let mut peer = Peer::new();
    let first = client.generate_outbound_p0_and_p1().unwrap();
    peer.send(&first);
    let mut answer = Vec::new();
    while let Some(bytes) = peer.session.next_output() {
        answer.extend(bytes);
    }
    assert_eq!(answer.len(), 1 + 1536 + 1536);
    assert_ne!(
        &answer[1537..],
        &first[1..],
        "a digest is answered, not an echo"
    );
    let second = match client.process_bytes(&answer).unwrap() {
        HandshakeProcessResult::Completed { response_bytes, .. } => response_bytes,
        HandshakeProcessResult::InProgress { response_bytes } => response_bytes,
    };
    let amf3 = |payload: Vec<u8>| [vec![0], payload].concat();
    let publish = command("publish", 0.0, &[Value::Null, "test".into()]);
    let bytes = [
        second,
        chunk0(
            3,
            0,
            kind::COMMAND,
            0,
            128,
            &connect("live", "rtmp://h/live"),
        ),
        chunk0(
            3,
            0,
            kind::COMMAND_AMF3,
            0,
            128,
            &amf3(command("createStream", 2.0, &[])),
        ),
        chunk0(8, 0, kind::COMMAND_AMF3, 1, 128, &amf3(publish)),
        chunk0(
            4,
            0,
            kind::DATA_AMF3,
            1,
            128,
            &amf3(amf0::write_all(&["onMetaData".into()])),
        ),
    ]
    .concat();
    let events = peer.send(&bytes);
    assert_eq!(request(&events).key, None);
    assert_eq!(
        media(events)[0].body,
        amf0::write_all(&["onMetaData".into()])
    );
}

#[test]
fn keys_travel_in_the_name_the_app_or_the_url() {
    let key = |app: &str, url: &str, name: &str| {
        let events = Peer::new().send(&publish_bytes(app, url, name));
        request(&events)
            .key
            .as_ref()
            .map(|key| key.expose().to_owned())
    };
    let url = "rtmp://h/live";
    assert_eq!(key("live", url, "s?key=a%20b"), Some("a b".into()));
    assert_eq!(
        key("live?key=app", "rtmp://h/live?key=url", "s"),
        Some("app".into())
    );
    assert_eq!(
        key("live/", "rtmp://h/live?key=url", "s"),
        Some("url".into())
    );
    assert_eq!(key("live?key=app", url, "s?key=name"), Some("name".into()));
    assert_eq!(key("live", url, "s?token=x"), None);
}

#[test]
fn secrets_never_show() {
    let mut peer = Peer::new();
    let bytes = publish_bytes(
        "live?key=hunter2",
        "rtmp://h/live?key=hunter2",
        "s?key=hunter2",
    );
    let events = peer.send(&bytes);
    let messages = peer.messages();
    let shown = format!("{events:?} {:?} {messages:?}", peer.session);
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_events(
        cuts in proptest::collection::vec(1usize..3000, 1..60),
    ) {
        let keyframe = vec![5; 9000];
        let bytes = obs("k", &keyframe);
        let whole = Peer::new().send(&bytes);
        let (mut peer, mut events, mut rest) = (Peer::new(), Vec::new(), &bytes[..]);
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            events.extend(peer.send(now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(events, whole);
    }
}
