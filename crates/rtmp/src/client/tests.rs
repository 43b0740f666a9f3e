//! Client and server, joined in memory.

use flv::TagKind;
use proptest::prelude::*;

use super::*;
use crate::{
    Secret,
    server::{self, Limits, Rejection},
};

/// Two sessions and the network between them, which delivers in pieces of one size.
struct Loop {
    client: Session,
    server: server::Session,
    piece: usize,
    key: Option<Secret>,
    received: Vec<Tag>,
    ended: bool,
}

impl Loop {
    fn new(url: &str, key: Option<&str>) -> Self {
        Self {
            client: Session::publish_to(&url.parse().unwrap()).unwrap(),
            server: server::Session::new(Limits::default()),
            piece: 1000,
            key: key.map(Secret::new),
            received: Vec::new(),
            ended: false,
        }
    }

    /// Delivers until both ends are silent; gives the client's events.
    fn drive(&mut self) -> Vec<Event> {
        let now = Duration::from_secs(1);
        loop {
            let mut is_silent = true;
            while let Some(bytes) = self.client.next_output() {
                is_silent = false;
                for piece in bytes.chunks(self.piece) {
                    self.server.push(piece, now).unwrap();
                    self.serve();
                }
            }
            while let Some(bytes) = self.server.next_output() {
                is_silent = false;
                for piece in bytes.chunks(self.piece) {
                    self.client.push(piece, now).unwrap();
                }
            }
            if is_silent {
                return std::iter::from_fn(|| self.client.next_event()).collect();
            }
        }
    }

    fn serve(&mut self) {
        while let Some(event) = self.server.next_event() {
            match event {
                server::Event::PublishRequested(request) if request.key == self.key => {
                    self.server.accept(request.id).unwrap();
                }
                server::Event::PublishRequested(request) => {
                    self.server
                        .reject(request.id, Rejection::bad_name("wrong key"));
                }
                server::Event::Media(tag) => self.received.push(tag),
                server::Event::PublishEnded => self.ended = true,
            }
        }
    }
}

const URL: &str = "rtmp://origin:1936/live/test?key=a%26b";

fn tag(kind: TagKind, timestamp_ms: u32, bytes: usize) -> Tag {
    let body: Vec<u8> = (0..bytes).map(|i| (i % 255) as u8).collect();
    Tag {
        kind,
        timestamp_ms,
        body: body.into(),
    }
}

#[test]
fn publishes_and_ends_in_good_order() {
    let mut ends = Loop::new(URL, Some("a&b"));
    assert!(matches!(
        ends.client.send(&tag(TagKind::Audio, 0, 1)),
        Err(Error::NotPublishing(_))
    ));
    assert_eq!(ends.drive(), [Event::Ready]);
    assert!(ends.client.is_ready());
    let sent = [
        tag(TagKind::Script, 0, 100),
        tag(TagKind::Video, 0, 300_000),
        tag(TagKind::Audio, 21, 400),
        tag(TagKind::Audio, 42, 400),
        tag(TagKind::Audio, 63, 400),
        tag(TagKind::Video, 33, 0),
        tag(TagKind::Video, 0x0100_0000, 70_000),
        tag(TagKind::Video, 12, 70_000),
        tag(TagKind::Video, 0xffff_fff0, 8 << 20),
    ];
    for tag in &sent {
        ends.client.send(tag).unwrap();
    }
    assert_eq!(ends.drive(), []);
    assert_eq!(ends.received, sent);
    ends.client.close();
    ends.client.close();
    assert_eq!(ends.drive(), [Event::Closed]);
    assert!(ends.ended);
    assert!(matches!(
        ends.client.send(&sent[0]),
        Err(Error::NotPublishing("over"))
    ));
}

#[test]
fn a_rejection_carries_code_and_reason() {
    let rejected = |ends: &mut Loop| match &ends.drive()[..] {
        [Event::Rejected { code, description }] => (code.clone(), description.clone()),
        other => panic!("expected a rejection, got {other:?}"),
    };
    let mut ends = Loop::new(URL, Some("other"));
    let expected = (
        "NetStream.Publish.BadName".to_owned(),
        "wrong key".to_owned(),
    );
    assert_eq!(rejected(&mut ends), expected);
    assert!(ends.server.is_closing() && !ends.client.is_ready());
    let mut ends = Loop::new("rtmp://origin/vod/test", None);
    assert_eq!(rejected(&mut ends).0, "NetConnection.Connect.InvalidApp");
    let mut ends = Loop::new(URL, Some("a&b"));
    ends.drive();
    ends.server
        .close(Rejection::new(server::Code::Rejected, "draining"));
    assert_eq!(rejected(&mut ends).1, "draining");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut client = Session::publish_to(&URL.parse().unwrap()).unwrap();
    assert_eq!(client.next_timeout(), Some(Duration::ZERO));
    let start = Duration::from_secs(7);
    client.handle_timeout(start).unwrap();
    assert_eq!(client.next_timeout(), Some(start + ANSWER_WITHIN));
    let error = client.handle_timeout(start + ANSWER_WITHIN).unwrap_err();
    assert_eq!(error, Error::NoAnswer(ANSWER_WITHIN));
    let mut ends = Loop::new(URL, Some("a&b"));
    ends.drive();
    assert_eq!(ends.client.next_timeout(), None);
}

#[test]
fn what_the_network_does_not_take_is_bounded() {
    let mut ends = Loop::new(URL, Some("a&b"));
    ends.drive();
    let tag = tag(TagKind::Video, 0, 1 << 20);
    let error = (0..64).find_map(|_| ends.client.send(&tag).err()).unwrap();
    assert!(matches!(
        error,
        Error::Backlog {
            bytes: 1_048_576,
            max: BACKLOG_BYTES_MAX,
            ..
        }
    ));
    assert!(ends.client.output_bytes() <= BACKLOG_BYTES_MAX);
    assert_eq!(ends.drive(), []);
    ends.client.send(&tag).unwrap();
}

#[test]
fn secrets_do_not_show() {
    let mut ends = Loop::new("rtmp://o/live/test?key=hunter2", Some("hunter2"));
    let events = ends.drive();
    assert!(!format!("{:?} {events:?}", ends.client).contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn every_tag_arrives_whatever_the_pieces(
        tags in proptest::collection::vec((0usize..3, any::<u32>(), 0usize..70_000), 1..8),
        piece in 1usize..5000,
    ) {
        let mut ends = Loop::new(URL, Some("a&b"));
        ends.piece = piece;
        prop_assert_eq!(ends.drive(), [Event::Ready]);
        let kinds = [TagKind::Audio, TagKind::Video, TagKind::Script];
        let tag_of = |(kind, at, bytes)| tag(kinds[kind], at, bytes);
        let sent: Vec<Tag> = tags.into_iter().map(tag_of).collect();
        for tag in &sent {
            ends.client.send(tag).unwrap();
        }
        ends.drive();
        prop_assert_eq!(&ends.received, &sent);
    }

    #[test]
    fn a_hostile_server_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let mut client = Session::publish_to(&URL.parse().unwrap()).unwrap();
        let _ = client.push(&[vec![3; 3073], bytes].concat(), Duration::ZERO);
    }
}
