//! RTMP messages and the fixed-size control messages (RTMP 1.0 §5.4, §7.1).

use bytes::{BufMut, Bytes, BytesMut};

/// Message types.
pub mod kind {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA: u8 = 18;
    pub const COMMAND: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// User control events (RTMP 1.0 §7.1.7).
pub mod user_control {
    pub const STREAM_BEGIN: u16 = 0;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
}

/// One whole message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type.
    pub kind: u8,
    /// Milliseconds modulo 2^32.
    pub timestamp: u32,
    /// Message stream.
    pub stream_id: u32,
    /// Body.
    pub payload: Bytes,
}

impl std::fmt::Debug for Message {
    /// Without the payload: it may hold a key, or megabytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, at, stream) = (self.kind, self.timestamp, self.stream_id);
        write!(
            f,
            "Message({kind} at {at} on {stream}, {} bytes)",
            self.payload.len()
        )
    }
}

impl Message {
    /// A message on stream 0 at time 0, as all control messages and most commands are.
    pub fn control(kind: u8, payload: impl Into<Bytes>) -> Self {
        Self {
            kind,
            timestamp: 0,
            stream_id: 0,
            payload: payload.into(),
        }
    }

    /// A control message of one 32-bit field.
    pub fn control_u32(kind: u8, value: u32) -> Self {
        Self::control(kind, Bytes::copy_from_slice(&value.to_be_bytes()))
    }

    /// Asks the peer to send at most `window` bytes unacknowledged; limit type 2, dynamic.
    pub fn set_peer_bandwidth(window: u32) -> Self {
        let mut payload = BytesMut::with_capacity(5);
        payload.put_u32(window);
        payload.put_u8(2);
        Self::control(kind::SET_PEER_BANDWIDTH, payload)
    }

    /// A user control event with one 32-bit field.
    pub fn user_control(event: u16, value: u32) -> Self {
        let mut payload = BytesMut::with_capacity(6);
        payload.put_u16(event);
        payload.put_u32(value);
        Self::control(kind::USER_CONTROL, payload)
    }
}
