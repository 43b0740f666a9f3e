//! Messages to chunks, with the shortest header that says it.

use bytes::{BufMut, BytesMut};

use super::{CHUNK_BYTES_INITIAL, EXTENDED_FROM};
use crate::message::Message;

/// Turns messages into bytes. One writer per connection: headers lean on those before them.
#[derive(Debug)]
pub struct Writer {
    chunk_bytes: usize,
    /// What was last sent per chunk stream. We use four of them.
    last: Vec<Last>,
}

#[derive(Debug)]
struct Last {
    id: u8,
    timestamp: u32,
    field: u32,
    length: usize,
    kind: u8,
    stream_id: u32,
}

impl Writer {
    /// A writer right after the handshake.
    pub fn new() -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES_INITIAL as usize,
            last: Vec::new(),
        }
    }

    /// Applies our own Set Chunk Size, once that message is written.
    pub fn set_chunk_bytes(&mut self, size: u32) {
        self.chunk_bytes = (size as usize).max(1);
    }

    /// Appends one message on chunk stream `id` (2 to 63).
    pub fn write(&mut self, id: u8, message: &Message, out: &mut BytesMut) {
        let payload = &message.payload[..];
        out.reserve(payload.len() + 18 + payload.len() / self.chunk_bytes * 5);
        let field = self.write_header(id, message, out);
        let mut chunks = payload.chunks(self.chunk_bytes);
        out.put_slice(chunks.next().unwrap_or_default());
        for chunk in chunks {
            out.put_u8(0xc0 | id);
            if field >= EXTENDED_FROM {
                out.put_u32(field);
            }
            out.put_slice(chunk);
        }
    }

    /// Writes the header of a message's first chunk and gives its timestamp field.
    fn write_header(&mut self, id: u8, message: &Message, out: &mut BytesMut) -> u32 {
        let now = Last {
            id,
            timestamp: message.timestamp,
            field: message.timestamp,
            length: message.payload.len(),
            kind: message.kind,
            stream_id: message.stream_id,
        };
        let place = self.last.iter().position(|last| last.id == id);
        let (format, field) = match place.and_then(|place| self.last.get(place)) {
            Some(last) => format_after(last, &now),
            None => (0, now.field),
        };
        out.put_u8(format << 6 | id);
        if format < 3 {
            out.put_uint(u64::from(field.min(EXTENDED_FROM)), 3);
        }
        if format < 2 {
            out.put_uint(now.length as u64, 3);
            out.put_u8(now.kind);
        }
        if format == 0 {
            out.put_u32_le(now.stream_id);
        }
        if field >= EXTENDED_FROM {
            out.put_u32(field);
        }
        let now = Last { field, ..now };
        match place.and_then(|place| self.last.get_mut(place)) {
            Some(last) => *last = now,
            None => self.last.push(now),
        }
        field
    }
}

/// The shortest header format, with its timestamp field. Time that goes back needs a full header.
fn format_after(last: &Last, now: &Last) -> (u8, u32) {
    let delta = now.timestamp.wrapping_sub(last.timestamp);
    if last.stream_id != now.stream_id || delta >= EXTENDED_FROM {
        return (0, now.timestamp);
    }
    match (
        last.length == now.length && last.kind == now.kind,
        last.field == delta,
    ) {
        (true, true) => (3, delta),
        (true, false) => (2, delta),
        (false, _) => (1, delta),
    }
}
