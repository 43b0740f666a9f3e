//! The rules between requests and answers.

use std::time::Duration;

use bytes::BytesMut;
use flv::{Tag, TagKind, amf0::Value, file};

use super::wire::*;
use crate::{
    Error,
    command::{Command, object},
    message::kind,
    server::{Code, Event, Limits, Rejection, RequestId},
};

fn requested(events: &[Event]) -> RequestId {
    match events {
        [Event::PublishRequested(request)] => request.id,
        other => panic!("expected one publish request, got {other:?}"),
    }
}

fn code(command: &Command) -> (&str, &str) {
    (
        command.field("level").unwrap_or_default(),
        command.field("code").unwrap_or_default(),
    )
}

#[test]
fn a_refused_publisher_gets_on_status_with_the_reason_and_is_closed() {
    let mut peer = Peer::new();
    peer.accepts = false;
    let id = requested(&peer.send(&publish_bytes("live", "rtmp://h/live", "test?key=wrong")));
    peer.answers();
    assert!(!peer.session.is_closing());
    peer.session
        .reject(RequestId(id.0 + 1), Rejection::bad_name("not this one"));
    assert!(!peer.session.is_closing());
    peer.session
        .reject(id, Rejection::bad_name("wrong publish key"));
    assert!(peer.session.is_closing());
    let [status] = &peer.answers()[..] else {
        panic!("one answer")
    };
    assert_eq!(
        (status.name.as_str(), status.transaction),
        ("onStatus", 0.0)
    );
    assert_eq!(code(status), ("error", "NetStream.Publish.BadName"));
    assert_eq!(status.field("description"), Some("wrong publish key"));
    // What still arrives is ignored, whatever it is.
    assert_eq!(peer.try_send(&[0xff; 500]), Ok(vec![]));
    assert_eq!(peer.session.accept(id), Ok(()));
    assert!(peer.session.is_closing() && peer.session.next_output().is_none());
}

#[test]
fn an_unknown_application_is_refused_in_both_forms_that_encoders_read() {
    let mut peer = Peer::new();
    peer.send(&publish_bytes("vod?key=hunter2", "rtmp://h/vod", "test"));
    assert!(peer.session.is_closing());
    let answers = peer.answers();
    let names: Vec<_> = answers
        .iter()
        .map(|c| (c.name.as_str(), c.transaction))
        .collect();
    assert_eq!(names, [("onStatus", 0.0), ("_error", 1.0)]);
    for answer in &answers {
        assert_eq!(code(answer), ("error", "NetConnection.Connect.InvalidApp"));
        let words = answer.field("description").unwrap();
        assert_eq!(
            words,
            "unknown application: publish to rtmp://host/live/<stream>"
        );
    }
}

#[test]
fn bad_stream_names_are_refused_without_repeating_them() {
    for name in ["", "../etc", "a b", "test&key=hunter2", &"x".repeat(65)] {
        let mut peer = Peer::new();
        assert_eq!(peer.send(&publish_bytes("live", "rtmp://h/live", name)), []);
        assert!(peer.session.is_closing(), "{name}");
        let answers = peer.answers();
        let status = answers.last().unwrap();
        assert_eq!(code(status).1, "NetStream.Publish.BadName");
        assert!(!status.field("description").unwrap().contains("hunter2"));
    }
}

#[test]
fn play_is_refused_with_a_reason() {
    let mut peer = Peer::new();
    let play = command("play", 0.0, &[Value::Null, "test".into()]);
    let bytes = [
        handshake(),
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
            kind::COMMAND,
            0,
            128,
            &command("getStreamLength", 3.0, &[Value::Null]),
        ),
        chunk0(8, 0, kind::COMMAND, 1, 128, &play),
    ]
    .concat();
    peer.send(&bytes);
    assert!(peer.session.is_closing());
    let answers = peer.answers();
    assert_eq!(answers[1].argument(1), Some(&Value::Number(0.0)));
    assert_eq!(code(&answers[2]), ("error", "NetStream.Play.Failed"));
}

#[test]
fn the_connect_answer_tells_enhanced_peers_the_codecs() {
    let result = |properties: Value| {
        let mut peer = Peer::new();
        let connect = command("connect", 1.0, &[properties]);
        peer.send(&[handshake(), chunk0(3, 0, kind::COMMAND, 0, 128, &connect)].concat());
        let kinds: Vec<_> = peer.messages().iter().map(|m| m.kind).collect();
        assert_eq!(kinds, [5, 6, 1, 20]);
        let mut peer = Peer::new();
        peer.send(&[handshake(), chunk0(3, 0, kind::COMMAND, 0, 128, &connect)].concat());
        peer.answers().remove(0)
    };
    let plain = result(object([
        ("app", "live".into()),
        ("objectEncoding", 3.0.into()),
    ]));
    assert_eq!(plain.argument(0).unwrap().get("fourCcList"), None);
    assert_eq!(code(&plain), ("status", "NetConnection.Connect.Success"));
    let encoding = plain.argument(1).unwrap().get("objectEncoding");
    assert_eq!(encoding, Some(&Value::Number(0.0)));
    let list = Value::StrictArray(vec!["hvc1".into(), "av01".into()]);
    let enhanced = result(object([("app", "live".into()), ("fourCcList", list)]));
    let codecs = Value::StrictArray(vec!["avc1".into(), "mp4a".into()]);
    assert_eq!(
        enhanced.argument(0).unwrap().get("fourCcList"),
        Some(&codecs)
    );
}

#[test]
fn media_sent_before_the_answer_waits_for_it() {
    let mut peer = Peer::new();
    peer.accepts = false;
    let early = chunk0(4, 5, kind::AUDIO, 1, 128, &[0xaf, 0, 1, 2]);
    let bytes = publish_bytes("live", "rtmp://h/live", "test");
    let id = requested(&peer.send(&[&bytes[..], &early[..5]].concat()));
    assert_eq!(peer.send(&early[5..]), []);
    assert_eq!(peer.session.next_timeout(), None);
    peer.session.accept(id).unwrap();
    let tag = Tag {
        kind: TagKind::Audio,
        timestamp_ms: 5,
        body: vec![0xaf, 0, 1, 2].into(),
    };
    assert_eq!(peer.send(&[]), [Event::Media(tag)]);
}

#[test]
fn one_connection_publishes_one_stream_at_a_time() {
    let mut peer = Peer::publishing();
    let publish = command("publish", 6.0, &[Value::Null, "other".into()]);
    let publish = chunk0(8, 0, kind::COMMAND, 1, 128, &publish);
    assert_eq!(peer.send(&publish), []);
    assert_eq!(
        code(&peer.answers()[0]),
        ("error", "NetStream.Publish.BadName")
    );
    let close = chunk0(
        3,
        0,
        kind::COMMAND,
        1,
        128,
        &command("closeStream", 0.0, &[Value::Null]),
    );
    assert_eq!(peer.send(&close), [Event::PublishEnded]);
    assert_eq!(peer.send(&close), []);
    // Media after the end belongs to nobody; another publish may begin.
    assert_eq!(
        peer.send(&chunk0(4, 0, kind::AUDIO, 1, 128, &[0xaf, 1, 2])),
        []
    );
    assert!(matches!(
        peer.send(&publish)[..],
        [Event::PublishRequested(_)]
    ));
}

#[test]
fn the_owner_may_end_a_publish_with_a_reason() {
    let mut peer = Peer::publishing();
    peer.session.close(Rejection::new(
        Code::Rejected,
        "another publisher took over",
    ));
    assert!(peer.session.is_closing());
    assert_eq!(
        code(&peer.answers()[0]),
        ("error", "NetStream.Publish.Rejected")
    );
    peer.session.close(Rejection::bad_name("twice"));
    assert_eq!(peer.answers(), []);
}

#[test]
fn unknown_commands_and_messages_are_ignored() {
    let mut peer = Peer::publishing();
    for name in ["onBWDone", "", "pause"] {
        let bytes = chunk0(3, 0, kind::COMMAND, 0, 128, &command(name, 9.0, &[]));
        assert_eq!(peer.send(&bytes), []);
    }
    // No command name at all, shared objects, an empty command.
    assert_eq!(peer.send(&chunk0(3, 0, kind::COMMAND, 0, 128, &[5, 5])), []);
    assert_eq!(peer.send(&chunk0(3, 0, 19, 0, 128, &[1, 2, 3])), []);
    assert_eq!(peer.send(&chunk0(3, 0, kind::COMMAND, 0, 128, &[])), []);
    assert_eq!(peer.answers(), []);
}

#[test]
fn commands_out_of_order_end_the_connection() {
    for name in ["createStream", "publish"] {
        let bytes = chunk0(
            3,
            0,
            kind::COMMAND,
            0,
            128,
            &command(name, 2.0, &[Value::Null]),
        );
        let error = Peer::new()
            .try_send(&[handshake(), bytes].concat())
            .unwrap_err();
        assert!(matches!(
            error,
            Error::Order {
                expected: "connect",
                ..
            }
        ));
    }
    let connect = chunk0(
        3,
        0,
        kind::COMMAND,
        0,
        128,
        &connect("live", "rtmp://h/live"),
    );
    assert!(matches!(
        Peer::publishing().try_send(&connect),
        Err(Error::Order { .. })
    ));
}

#[test]
fn aggregates_are_taken_apart_and_rebased() {
    let tag = |kind, timestamp_ms, body: &[u8]| Tag {
        kind,
        timestamp_ms,
        body: body.to_vec().into(),
    };
    let mut payload = BytesMut::new();
    for (kind, time) in [
        (TagKind::Video, 500),
        (TagKind::Audio, 510),
        (TagKind::Video, 533),
    ] {
        file::write_tag(&mut payload, &tag(kind, time, &[time as u8]));
    }
    let expected = |base: u32| {
        [
            (TagKind::Video, 0, 500),
            (TagKind::Audio, 10, 510),
            (TagKind::Video, 33, 533),
        ]
        .map(|(kind, offset, body)| Event::Media(tag(kind, base + offset, &[body as u8])))
    };
    let mut peer = Peer::publishing();
    let bytes = chunk0(4, 9000, kind::AGGREGATE, 1, 128, &payload);
    assert_eq!(peer.send(&bytes), expected(9000));
    // The last size may be missing; damage ends the row.
    let bytes = chunk0(
        4,
        70,
        kind::AGGREGATE,
        1,
        128,
        &payload[..payload.len() - 4],
    );
    assert_eq!(peer.send(&bytes), expected(70));
    let bytes = chunk0(
        4,
        70,
        kind::AGGREGATE,
        1,
        128,
        &payload[..payload.len() - 5],
    );
    assert_eq!(peer.send(&bytes), expected(70)[..2]);
}

// === time ===

#[test]
fn a_silent_peer_is_dropped_in_every_state() {
    let limits = Limits::default();
    let tick = Duration::from_millis(1);
    let mut peer = Peer::new();
    assert_eq!(
        peer.session.next_timeout(),
        Some(Duration::ZERO),
        "due at once to learn the time"
    );
    peer.session.handle_timeout(peer.now).unwrap();
    let deadline = peer.now + limits.publish_within;
    assert_eq!(peer.session.next_timeout(), Some(deadline));
    // The handshake and connect do not prolong it.
    peer.now += Duration::from_secs(4);
    peer.send(&handshake());
    assert_eq!(peer.session.next_timeout(), Some(deadline));
    peer.session.handle_timeout(deadline - tick).unwrap();
    let error = peer.session.handle_timeout(deadline).unwrap_err();
    assert_eq!(error, Error::NoPublish(limits.publish_within));

    let mut peer = Peer::publishing();
    let deadline = peer.now + limits.idle;
    assert_eq!(peer.session.next_timeout(), Some(deadline));
    // Script data and commands are no media.
    peer.now += Duration::from_secs(5);
    peer.send(&chunk0(4, 0, kind::DATA, 1, 128, &[5]));
    assert_eq!(peer.session.next_timeout(), Some(deadline));
    // One byte of a large keyframe is.
    peer.send(&chunk0(6, 0, kind::VIDEO, 1, 128, &[7; 1000])[..13]);
    let deadline = peer.now + limits.idle;
    assert_eq!(peer.session.next_timeout(), Some(deadline));
    assert_eq!(
        peer.session.handle_timeout(deadline),
        Err(Error::Idle(limits.idle))
    );
}

#[test]
fn after_a_publish_the_connection_gets_its_time_again() {
    let mut peer = Peer::publishing();
    peer.now += Duration::from_secs(3);
    let close = command("deleteStream", 0.0, &[Value::Null, 1.0.into()]);
    peer.send(&chunk0(3, 0, kind::COMMAND, 0, 128, &close));
    let deadline = peer.now + Limits::default().publish_within;
    assert_eq!(peer.session.next_timeout(), Some(deadline));
    assert!(matches!(
        peer.session.handle_timeout(deadline),
        Err(Error::NoPublish(_))
    ));
}
