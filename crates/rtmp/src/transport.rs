//! What both ends of a connection have in common: handshake, chunk layer, acknowledgements, pings,
//! output queue.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};

use crate::{
    Error,
    chunk::{Reader, Writer},
    message::{Message, kind, user_control},
};

/// Bytes of a whole handshake in one direction: version, 1536 bytes of our own, 1536 bytes of echo.
pub const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;

/// Bytes of answers that may wait for a peer: a session's answers are a few KiB, so a peer with 64
/// KiB waiting asks and does not read.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// What we ask the peer to acknowledge by, and the window assumed before it says one: 2.5 MB is
/// what servers use.
pub const WINDOW_BYTES: u32 = 2_500_000;

/// The chunk stream of control messages (RTMP 1.0 §5.4).
const CONTROL_CHUNK_STREAM: u8 = 2;

/// One end of a connection below the commands.
pub struct Transport {
    handshake: Option<Handshake>,
    handshake_left: usize,
    reader: Reader,
    writer: Writer,
    output: VecDeque<Bytes>,
    output_bytes: usize,
    received: u64,
    acknowledged: u64,
    window: u32,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("handshake_left", &self.handshake_left)
            .field("received", &self.received)
            .field("output_bytes", &self.output_bytes)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// The server's end: it speaks when spoken to.
    pub fn server() -> Self {
        Self::new(PeerType::Server)
    }

    /// The client's end: its first bytes are queued.
    pub fn client() -> Result<Self, Error> {
        let mut transport = Self::new(PeerType::Client);
        if let Some(handshake) = &mut transport.handshake {
            let first = handshake.generate_outbound_p0_and_p1();
            let first = first.map_err(|e| Error::Handshake(e.to_string()))?;
            transport.queue(Bytes::from(first));
        }
        Ok(transport)
    }

    fn new(peer: PeerType) -> Self {
        Self {
            handshake: Some(Handshake::new(peer)),
            handshake_left: HANDSHAKE_BYTES,
            reader: Reader::new(),
            writer: Writer::new(),
            output: VecDeque::new(),
            output_bytes: 0,
            received: 0,
            acknowledged: 0,
            window: WINDOW_BYTES,
        }
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    /// Bytes of audio and video payload received so far.
    pub fn media_bytes(&self) -> u64 {
        self.reader.media_bytes()
    }

    /// Bytes waiting for the network.
    pub fn output_bytes(&self) -> usize {
        self.output_bytes
    }

    /// The next bytes for the peer.
    pub fn next_output(&mut self) -> Option<Bytes> {
        let bytes = self.output.pop_front()?;
        self.output_bytes -= bytes.len();
        Some(bytes)
    }

    /// Queues one message on a chunk stream.
    pub fn send(&mut self, chunk_stream: u8, message: &Message) {
        let mut out = BytesMut::new();
        self.writer.write(chunk_stream, message, &mut out);
        self.queue(out.freeze());
    }

    /// Queues one message on the control chunk stream.
    pub fn send_control(&mut self, message: &Message) {
        self.send(CONTROL_CHUNK_STREAM, message);
    }

    /// Tells the peer how long our chunks are from now on.
    pub fn send_chunk_bytes(&mut self, size: u32) {
        self.send_control(&Message::control_u32(kind::SET_CHUNK_SIZE, size));
        self.writer.set_chunk_bytes(size);
    }

    /// Fails where the peer lets answers pile up.
    pub fn check_output(&self, max: usize) -> Result<(), Error> {
        match self.output_bytes > max {
            true => Err(Error::PeerDoesNotRead),
            false => Ok(()),
        }
    }

    /// Reads up to the end of one message that is not the transport's own business. `None`: `input`
    /// is used up.
    pub fn next_message(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        let before = input.len();
        let result = self.read(input);
        self.received += (before - input.len()) as u64;
        if result.is_ok() {
            self.acknowledge();
        }
        result
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        self.shake_hands(input)?;
        if !self.is_open() {
            return Ok(None);
        }
        while let Some(message) = self.reader.next_message(input)? {
            if !self.handle_control(&message)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Feeds the handshake exactly its own bytes, so that it never sees what follows.
    fn shake_hands(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        let Some(handshake) = &mut self.handshake else {
            return Ok(());
        };
        let (own, rest) = input.split_at(input.len().min(self.handshake_left));
        if own.is_empty() {
            return Ok(());
        }
        *input = rest;
        self.handshake_left -= own.len();
        let result = handshake
            .process_bytes(own)
            .map_err(|e| Error::Handshake(e.to_string()))?;
        let response = match result {
            HandshakeProcessResult::InProgress { response_bytes } => response_bytes,
            HandshakeProcessResult::Completed { response_bytes, .. } => {
                self.handshake = None;
                response_bytes
            }
        };
        if !response.is_empty() {
            self.queue(Bytes::from(response));
        }
        Ok(())
    }

    /// Handles protocol control and user control; whether the message was one.
    fn handle_control(&mut self, message: &Message) -> Result<bool, Error> {
        let short = || Error::ControlTooShort {
            kind: message.kind,
            bytes: message.payload.len(),
        };
        let value = || {
            let field = message.payload.first_chunk::<4>().ok_or_else(short)?;
            Ok::<u32, Error>(u32::from_be_bytes(*field))
        };
        match message.kind {
            kind::SET_CHUNK_SIZE => self.reader.set_chunk_bytes(value()?)?,
            kind::ABORT => self.reader.abort(value()?),
            kind::ACKNOWLEDGEMENT => {}
            kind::WINDOW_ACK_SIZE => self.window = value()?,
            kind::SET_PEER_BANDWIDTH => {
                let window = Message::control_u32(kind::WINDOW_ACK_SIZE, value()?);
                self.send_control(&window);
            }
            kind::USER_CONTROL => self.handle_user_control(&message.payload),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn handle_user_control(&mut self, payload: &[u8]) {
        let Some(&[a, b, c, d, e, f]) = payload.first_chunk::<6>() else {
            return;
        };
        if u16::from_be_bytes([a, b]) == user_control::PING_REQUEST {
            let time = u32::from_be_bytes([c, d, e, f]);
            self.send_control(&Message::user_control(user_control::PING_RESPONSE, time));
        }
    }

    /// Acknowledges once per window: the count of all bytes received, modulo 2^32 (§5.4.3).
    fn acknowledge(&mut self) {
        // At least a chunk apart, so that a peer with a tiny window is not answered byte by byte.
        let window = u64::from(self.window).max(4096);
        if self.is_open() && self.received - self.acknowledged >= window {
            self.acknowledged = self.received;
            let count = Message::control_u32(kind::ACKNOWLEDGEMENT, self.received as u32);
            self.send_control(&count);
        }
    }

    fn queue(&mut self, bytes: Bytes) {
        self.output_bytes += bytes.len();
        self.output.push_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transport whose handshake is over.
    fn open() -> Transport {
        Transport {
            handshake: None,
            ..Transport::server()
        }
    }

    fn written(messages: &[Message]) -> BytesMut {
        let (mut writer, mut out) = (Writer::new(), BytesMut::new());
        messages
            .iter()
            .for_each(|message| writer.write(2, message, &mut out));
        out
    }

    fn answers(transport: &mut Transport) -> Vec<Message> {
        let (mut reader, mut messages) = (Reader::new(), Vec::new());
        while let Some(bytes) = transport.next_output() {
            let mut bytes = &bytes[..];
            while let Ok(Some(message)) = reader.next_message(&mut bytes) {
                messages.push(message);
            }
        }
        assert_eq!(transport.output_bytes(), 0);
        messages
    }

    #[test]
    fn acknowledges_the_count_of_all_bytes_modulo_2_to_the_32() {
        let mut transport = open();
        let window = written(&[Message::control_u32(kind::WINDOW_ACK_SIZE, 10_000)]);
        transport.next_message(&mut &window[..]).unwrap();
        let media = Message {
            kind: kind::AUDIO,
            ..Message::control(kind::AUDIO, vec![0; 9_000])
        };
        let media = written(&[media]);
        transport.next_message(&mut &media[..]).unwrap();
        assert!(answers(&mut transport).is_empty());
        transport.received = u64::from(u32::MAX) - 100;
        transport.next_message(&mut &media[..]).unwrap();
        let count = (u64::from(u32::MAX) - 100 + media.len() as u64) as u32;
        assert_eq!(
            answers(&mut transport),
            [Message::control_u32(kind::ACKNOWLEDGEMENT, count)]
        );
        transport.next_message(&mut &media[..]).unwrap();
        assert!(answers(&mut transport).is_empty());
    }

    #[test]
    fn answers_pings_and_peer_bandwidth() {
        let mut transport = open();
        let ping = Message::user_control(user_control::PING_REQUEST, 0xdead_beef);
        let input = written(&[ping, Message::set_peer_bandwidth(77)]);
        assert_eq!(transport.next_message(&mut &input[..]), Ok(None));
        let pong = Message::user_control(user_control::PING_RESPONSE, 0xdead_beef);
        let window = Message::control_u32(kind::WINDOW_ACK_SIZE, 77);
        assert_eq!(answers(&mut transport), [pong, window]);
    }

    #[test]
    fn control_messages_without_their_field_are_refused() {
        let short =
            |kind| open().next_message(&mut &written(&[Message::control(kind, vec![1])])[..]);
        for kind in [1, 2, 5, 6] {
            assert_eq!(short(kind), Err(Error::ControlTooShort { kind, bytes: 1 }));
        }
        // Nothing to answer: an acknowledgement or user control event of any length.
        assert_eq!(short(3), Ok(None));
        assert_eq!(short(4), Ok(None));
    }

    #[test]
    fn what_is_no_rtmp_fails_in_the_handshake() {
        let error = Transport::server()
            .next_message(&mut &b"GET / HTTP/1.1"[..])
            .unwrap_err();
        assert!(matches!(error, Error::Handshake(_)));
    }
}
