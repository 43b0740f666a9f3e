//! Peers that mean harm, or mean nothing: each costs its own connection and little memory.

use flv::amf0::Value;
use proptest::prelude::*;

use super::wire::*;
use crate::{
    Error,
    chunk::{COMMAND_BYTES_MAX, MEDIA_BYTES_MAX},
    message::kind,
    server::HELD_BYTES_MAX,
};

#[test]
fn nested_amf0_is_an_error() {
    let nested = [3, 0, 1, b'a'].repeat(40_000 / 4);
    let payload = [command("connect", 1.0, &[]), nested].concat();
    let bytes = [handshake(), chunk0(3, 0, kind::COMMAND, 0, 128, &payload)].concat();
    assert!(matches!(
        Peer::new().try_send(&bytes),
        Err(Error::Command(_))
    ));
}

#[test]
fn commands_without_arguments_are_harmless() {
    for name in [
        "connect",
        "publish",
        "createStream",
        "releaseStream",
        "deleteStream",
        "play",
    ] {
        let only_name = chunk0(
            3,
            0,
            kind::COMMAND,
            0,
            128,
            &flv::amf0::write_all(&[name.into()]),
        );
        let _ = Peer::new().try_send(&[handshake(), only_name.clone()].concat());
        let _ = Peer::publishing().try_send(&only_name);
    }
    let lone = flv::amf0::write_all(&["@setDataFrame".into()]);
    assert_eq!(
        Peer::publishing()
            .send(&chunk0(4, 0, kind::DATA, 1, 128, &lone))
            .len(),
        1
    );
}

#[test]
fn claims_beyond_the_limits_are_errors_at_the_header() {
    for (kind, max) in [
        (kind::VIDEO, MEDIA_BYTES_MAX),
        (kind::COMMAND, COMMAND_BYTES_MAX),
    ] {
        let mut header = chunk0(3, 0, kind, 0, 128, &[]);
        header[4..7].copy_from_slice(&(max + 1).to_be_bytes()[1..]);
        let error = Peer::publishing().try_send(&header).unwrap_err();
        assert_eq!(
            error,
            Error::MessageTooLong {
                kind,
                bytes: max + 1,
                max
            }
        );
    }
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_dropped() {
    let mut peer = Peer::publishing();
    let ping = chunk0(2, 0, kind::USER_CONTROL, 0, 128, &[0, 6, 0, 0, 0, 1]);
    let error = (0..10_000).find_map(|_| peer.try_send(&ping).err());
    assert_eq!(error, Some(Error::PeerDoesNotRead));
    // Also within one call.
    let error = Peer::publishing()
        .try_send(&ping.repeat(10_000))
        .unwrap_err();
    assert_eq!(error, Error::PeerDoesNotRead);
}

#[test]
fn a_peer_that_floods_before_the_answer_is_dropped() {
    let mut peer = Peer::new();
    peer.accepts = false;
    peer.send(&publish_bytes("live", "rtmp://h/live", "test"));
    assert_eq!(peer.try_send(&vec![0; HELD_BYTES_MAX]), Ok(vec![]));
    assert_eq!(peer.try_send(&[0]), Err(Error::Impatient));
}

#[test]
fn what_is_no_rtmp_is_an_error_at_its_first_byte() {
    for first in [0x16, b'G', 0, 6] {
        assert!(matches!(
            Peer::new().try_send(&[first]),
            Err(Error::Handshake(_))
        ));
    }
}

#[test]
fn long_texts_are_cut() {
    let mut peer = Peer::new();
    let long = format!("rtmp://h/live/{}\n", "x".repeat(10_000));
    let events = peer.send(&publish_bytes("live", &long, "test"));
    let [super::super::Event::PublishRequested(request)] = &events[..] else {
        panic!()
    };
    assert_eq!(request.tc_url.len(), 256);
}

proptest! {
    #[test]
    fn garbage_never_panics(
        garbage in proptest::collection::vec(any::<u8>(), 0..2000),
        connected: bool,
    ) {
        let mut peer = if connected { Peer::publishing() } else { Peer::new() };
        if !connected {
            peer.send(&handshake());
        }
        let _ = peer.try_send(&garbage);
        let _ = peer.messages();
    }

    #[test]
    fn a_changed_byte_never_panics(at: usize, byte: u8) {
        let publish = command("publish", 5.0, &[Value::Null, "test".into(), "live".into()]);
        let mut bytes = [
            chunk0(3, 0, kind::COMMAND, 0, 128, &connect("live", "rtmp://h/live")),
            chunk0(3, 0, kind::COMMAND, 0, 128, &command("createStream", 4.0, &[Value::Null])),
            chunk0(4, 0, kind::COMMAND, 1, 128, &publish),
            chunk0(4, 0, kind::VIDEO, 1, 128, &[0x17; 300]),
        ]
        .concat();
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = Peer::new().try_send(&[handshake(), bytes].concat());
    }
}
