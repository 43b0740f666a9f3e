//! What encoders put on the wire, byte by byte, and a publisher that puts it there.

use std::time::Duration;

use flv::amf0::{self, Value};

use crate::{
    Error,
    chunk::Reader,
    command::{Command, object},
    message::{Message, kind},
    server::{Event, Limits, Session},
    transport::HANDSHAKE_BYTES,
};

/// C0, C1 and C2 of the simple handshake.
pub fn handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 8]);
    bytes.extend((0..1528 + 1536).map(|i| (i % 251) as u8));
    bytes
}

/// A type 0 chunk header with its payload cut into chunks of `size`; the rest in type 3 chunks.
pub fn chunk0(id: u8, time: u32, kind: u8, stream: u32, size: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(&time.min(0xff_ffff).to_be_bytes()[1..]);
    bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend(stream.to_le_bytes());
    let extension = if time >= 0xff_ffff {
        time.to_be_bytes().to_vec()
    } else {
        vec![]
    };
    bytes.extend(&extension);
    rest(&mut bytes, id, &extension, size, payload);
    bytes
}

/// A type 1 chunk: delta, length and type.
pub fn chunk1(id: u8, delta: u32, kind: u8, size: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x40 | id];
    bytes.extend(&delta.to_be_bytes()[1..]);
    bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.push(kind);
    rest(&mut bytes, id, &[], size, payload);
    bytes
}

/// A type 2 chunk: delta only.
pub fn chunk2(id: u8, delta: u32, size: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | id];
    bytes.extend(&delta.to_be_bytes()[1..]);
    rest(&mut bytes, id, &[], size, payload);
    bytes
}

/// A type 3 chunk that starts a message.
pub fn chunk3(id: u8, size: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0 | id];
    rest(&mut bytes, id, &[], size, payload);
    bytes
}

fn rest(bytes: &mut Vec<u8>, id: u8, extension: &[u8], size: usize, payload: &[u8]) {
    for (index, part) in payload.chunks(size).enumerate() {
        if index > 0 {
            bytes.push(0xc0 | id);
            bytes.extend(extension);
        }
        bytes.extend(part);
    }
}

/// A command's payload.
pub fn command(name: &str, number: f64, values: &[Value]) -> Vec<u8> {
    let head = [name.into(), Value::Number(number)];
    amf0::write_all(head.iter().chain(values))
}

/// `connect` with the properties of OBS.
pub fn connect(app: &str, tc_url: &str) -> Vec<u8> {
    let properties = object([
        ("app", app.into()),
        ("type", "nonprivate".into()),
        ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)".into()),
        ("swfUrl", tc_url.into()),
        ("tcUrl", tc_url.into()),
    ]);
    command("connect", 1.0, &[properties])
}

/// Everything up to and including `publish`, in full chunks of the initial size.
pub fn publish_bytes(app: &str, tc_url: &str, name: &str) -> Vec<u8> {
    let publish = command("publish", 5.0, &[Value::Null, name.into(), "live".into()]);
    [
        handshake(),
        chunk0(3, 0, kind::COMMAND, 0, 128, &connect(app, tc_url)),
        chunk0(
            3,
            0,
            kind::COMMAND,
            0,
            128,
            &command("createStream", 4.0, &[Value::Null]),
        ),
        chunk0(4, 0, kind::COMMAND, 1, 128, &publish),
    ]
    .concat()
}

/// A session with the publisher's and the owner's part around it.
pub struct Peer {
    pub session: Session,
    pub now: Duration,
    reader: Reader,
    handshake_left: usize,
    /// Whether publish requests are accepted as they come.
    pub accepts: bool,
}

impl Peer {
    pub fn new() -> Self {
        Self {
            session: Session::new(Limits::default()),
            now: Duration::from_secs(1000),
            reader: Reader::new(),
            handshake_left: HANDSHAKE_BYTES,
            accepts: true,
        }
    }

    /// A peer that is connected and publishing.
    pub fn publishing() -> Self {
        let mut peer = Self::new();
        let events = peer.send(&publish_bytes("live", "rtmp://host/live", "test"));
        assert!(
            matches!(events[..], [Event::PublishRequested(_)]),
            "{events:?}"
        );
        peer.answers();
        peer
    }

    /// Sends bytes and gives the events they raise.
    pub fn send(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.try_send(bytes).expect("legal bytes")
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        let mut result = self.session.push(bytes, self.now);
        let mut events = Vec::new();
        while let Some(event) = self.session.next_event() {
            if let (Event::PublishRequested(request), true) = (&event, self.accepts) {
                result = result.and(self.session.accept(request.id));
            }
            events.push(event);
        }
        result.map(|()| events)
    }

    /// What the session has answered since the last call, without control messages.
    pub fn answers(&mut self) -> Vec<Command> {
        let messages = self.messages();
        let commands = messages
            .iter()
            .filter(|message| message.kind == kind::COMMAND);
        commands
            .filter_map(|message| Command::parse(message).expect("AMF0"))
            .collect()
    }

    /// What the session has sent since the last call.
    pub fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(bytes) = self.session.next_output() {
            let (own, mut rest) = bytes.split_at(bytes.len().min(self.handshake_left));
            self.handshake_left -= own.len();
            while let Some(message) = self.reader.next_message(&mut rest).expect("legal chunks") {
                if message.kind == kind::SET_CHUNK_SIZE {
                    let size = message.payload.first_chunk().copied().expect("four bytes");
                    self.reader
                        .set_chunk_bytes(u32::from_be_bytes(size))
                        .expect("legal size");
                }
                messages.push(message);
            }
        }
        messages
    }
}
