//! Chunks to messages: several chunk streams interleaved, split anywhere by the network.
//!
//! Each byte of a payload is copied once, from the network's buffer into the message it belongs to.
//! A message's buffer starts small, doubles as bytes arrive and ends exactly as long as the
//! message, so that it becomes `Bytes` without another copy and no slack stays in memory while
//! players fetch it.
//!
//! Habits of encoders that are tolerated: a fresh chunk stream that begins with a short header
//! (librtmp's ping), a type 3 chunk that starts a message (OBS, FMLE: the delta applies again),
//! extended timestamps left out of type 3 chunks (the bytes are compared with the value expected),
//! and a new header in the middle of a message (the unfinished one is dropped).

use bytes::Bytes;

use super::{
    CHUNK_BYTES_INITIAL, CHUNK_STREAMS_MAX, COMMAND_BYTES_MAX, CONTROL_BYTES_MAX, EXTENDED_FROM,
    MEDIA_BYTES_MAX, PARTIAL_BYTES_MAX, PARTIAL_MESSAGES_MAX,
};
use crate::{
    Error,
    message::{Message, kind},
};

/// Basic header (3), message header (11), extended timestamp (4).
const HEADER_BYTES_MAX: usize = 18;

/// The first buffer of a message: most audio and video messages of a 16 Mb/s stream fit without
/// growing.
const FIRST_BUFFER_BYTES: usize = 64 << 10;

/// Turns bytes into messages.
#[derive(Debug)]
pub struct Reader {
    chunk_bytes: u32,
    streams: Vec<ChunkStream>,
    /// The start of a header whose rest has not arrived.
    carry: [u8; HEADER_BYTES_MAX],
    carried: usize,
    /// The chunk whose payload is arriving: index into `streams` and bytes left.
    open: Option<(usize, usize)>,
    partial_messages: usize,
    partial_bytes: usize,
    media_bytes: u64,
}

/// What the last headers of a chunk stream said, and the message in progress.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// The last timestamp field sent: a time after type 0, a delta after types 1 and 2.
    field: u32,
    is_extended: bool,
    length: u32,
    kind: u8,
    stream_id: u32,
    /// The message in progress; `None` between messages.
    partial: Option<Vec<u8>>,
}

/// A header read from the start of some bytes.
struct Header {
    bytes: usize,
    format: u8,
    stream: u32,
    /// Timestamp field with its extension; `None` for type 3.
    field: Option<u32>,
    is_extended: bool,
    length_and_kind: Option<(u32, u8)>,
    stream_id: Option<u32>,
}

impl Reader {
    /// A reader at the first byte after the handshake.
    pub fn new() -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES_INITIAL,
            streams: Vec::new(),
            carry: [0; HEADER_BYTES_MAX],
            carried: 0,
            open: None,
            partial_messages: 0,
            partial_bytes: 0,
            media_bytes: 0,
        }
    }

    /// Applies the peer's Set Chunk Size: to every chunk from the next one on, also within a
    /// message.
    pub fn set_chunk_bytes(&mut self, size: u32) -> Result<(), Error> {
        if size == 0 || size > 0x7fff_ffff {
            return Err(Error::ChunkSize(size));
        }
        self.chunk_bytes = size;
        Ok(())
    }

    /// Applies the peer's Abort: forgets the unfinished message of a chunk stream.
    pub fn abort(&mut self, stream: u32) {
        if let Some(index) = self.streams.iter().position(|s| s.id == stream) {
            self.drop_partial(index);
        }
    }

    /// Bytes of audio and video payload seen so far, finished or not: the sign of life of a
    /// publisher.
    pub fn media_bytes(&self) -> u64 {
        self.media_bytes
    }

    /// Reads from the front of `input` up to the end of one message and shortens `input` by what it
    /// used.
    ///
    /// `None` means that all of `input` is used and more is needed.
    pub fn next_message(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            if self.open.is_none() {
                match self.read_header(input)? {
                    Some(index) => self.open_chunk(index)?,
                    None => return Ok(None),
                }
            }
            let Some((index, left)) = self.open else {
                continue;
            };
            let message = if self.carried > 0 {
                self.copy_carried(index, left)?
            } else if left > 0 && input.is_empty() {
                return Ok(None);
            } else {
                self.copy_payload(index, left, input)?
            };
            if message.is_some() {
                return Ok(message);
            }
        }
    }

    /// Unfinished messages, their bytes, and the memory they hold.
    #[cfg(test)]
    pub(super) fn unfinished(&self) -> (usize, usize, usize) {
        let buffers = self.streams.iter().filter_map(|s| s.partial.as_ref());
        (
            self.partial_messages,
            self.partial_bytes,
            buffers.map(Vec::capacity).sum(),
        )
    }

    // === headers ===

    /// Reads one whole header, also where it lies across calls; gives the index of its chunk
    /// stream.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<usize>, Error> {
        if self.carried == 0
            && let Some(header) = self.parse_header(input)
        {
            *input = input.get(header.bytes..).unwrap_or_default();
            return self.apply(header).map(Some);
        }
        let held = self.carried;
        let taken = input.len().min(HEADER_BYTES_MAX - held);
        let mut bytes = self.carry;
        for (to, from) in bytes.iter_mut().skip(held).zip(input.iter()) {
            *to = *from;
        }
        match self.parse_header(bytes.get(..held + taken).unwrap_or_default()) {
            Some(header) => {
                // Usually the header ends in `input`. It ends before where bytes were carried
                // because they looked like the start of an extended timestamp and now turn out to
                // be payload.
                let used = header.bytes.saturating_sub(held);
                *input = input.get(used..).unwrap_or_default();
                self.carry(bytes.get(header.bytes..held).unwrap_or_default());
                self.apply(header).map(Some)
            }
            None => {
                self.carry = bytes;
                self.carried = held + taken;
                *input = &[];
                Ok(None)
            }
        }
    }

    /// Keeps bytes for later; there are never more than one header's.
    fn carry(&mut self, bytes: &[u8]) {
        self.carried = bytes.len().min(HEADER_BYTES_MAX);
        for (to, from) in self.carry.iter_mut().zip(bytes) {
            *to = *from;
        }
    }

    /// Reads a header at the start of `bytes`; `None` where more bytes are needed to know it.
    fn parse_header(&self, bytes: &[u8]) -> Option<Header> {
        let first = *bytes.first()?;
        let (stream, mut at) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => (
                64 + u32::from(*bytes.get(1)?) + (u32::from(*bytes.get(2)?) << 8),
                3,
            ),
            id => (u32::from(id), 1),
        };
        let format = first >> 6;
        let mut header = Header {
            bytes: at,
            format,
            stream,
            field: None,
            is_extended: false,
            length_and_kind: None,
            stream_id: None,
        };
        if format == 3 {
            let known = self.streams.iter().find(|s| s.id == stream);
            header.bytes += match known {
                Some(known) if known.is_extended => extension_bytes(known, bytes.get(at..)?)?,
                _ => 0,
            };
            return Some(header);
        }
        let mut field = u24(bytes.get(at..)?)?;
        at += 3;
        if format <= 1 {
            header.length_and_kind = Some((u24(bytes.get(at..)?)?, *bytes.get(at + 3)?));
            at += 4;
        }
        if format == 0 {
            // The only little-endian field of the protocol.
            let id = bytes.get(at..)?.first_chunk::<4>()?;
            header.stream_id = Some(u32::from_le_bytes(*id));
            at += 4;
        }
        if field == EXTENDED_FROM {
            header.is_extended = true;
            field = u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?);
            at += 4;
        }
        header.field = Some(field);
        header.bytes = at;
        Some(header)
    }

    /// Makes the header the state of its chunk stream and starts a message where one starts.
    fn apply(&mut self, header: Header) -> Result<usize, Error> {
        let index = self.stream_index(header.stream)?;
        if header.format < 3 {
            // A new header means a new message; an encoder that restarts leaves the old one
            // unfinished.
            self.drop_partial(index);
        }
        let Some(stream) = self.streams.get_mut(index) else {
            return Err(Error::ChunkStreams);
        };
        if stream.partial.is_some() {
            return Ok(index);
        }
        if let Some(field) = header.field {
            stream.field = field;
            stream.is_extended = header.is_extended;
        }
        if let Some((length, kind)) = header.length_and_kind {
            (stream.length, stream.kind) = (length, kind);
        }
        if let Some(stream_id) = header.stream_id {
            stream.stream_id = stream_id;
        }
        stream.timestamp = match header.format {
            0 => stream.field,
            // Type 3 applies the last field again, also the time of a type 0 header (§5.3.1.2.4).
            _ => stream.timestamp.wrapping_add(stream.field),
        };
        Ok(index)
    }

    fn stream_index(&mut self, id: u32) -> Result<usize, Error> {
        if let Some(index) = self.streams.iter().position(|s| s.id == id) {
            return Ok(index);
        }
        if self.streams.len() >= CHUNK_STREAMS_MAX {
            return Err(Error::ChunkStreams);
        }
        self.streams.push(ChunkStream {
            id,
            ..ChunkStream::default()
        });
        Ok(self.streams.len() - 1)
    }

    // === payloads ===

    fn open_chunk(&mut self, index: usize) -> Result<(), Error> {
        let Some(stream) = self.streams.get_mut(index) else {
            return Err(Error::ChunkStreams);
        };
        if stream.partial.is_none() {
            let (bytes, max) = (stream.length, bytes_max(stream.kind));
            if bytes > max {
                return Err(Error::MessageTooLong {
                    kind: stream.kind,
                    bytes,
                    max,
                });
            }
            if self.partial_messages >= PARTIAL_MESSAGES_MAX {
                return Err(Error::PartialMessages);
            }
            self.partial_messages += 1;
            stream.partial = Some(Vec::new());
        }
        let have = stream.partial.as_ref().map_or(0, Vec::len);
        let left = (stream.length as usize)
            .saturating_sub(have)
            .min(self.chunk_bytes as usize);
        self.open = Some((index, left));
        Ok(())
    }

    /// Copies what is there of the open chunk; gives the message where it is complete.
    fn copy_payload(
        &mut self,
        index: usize,
        left: usize,
        input: &mut &[u8],
    ) -> Result<Option<Message>, Error> {
        let (now, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        if self.partial_bytes + now.len() > PARTIAL_BYTES_MAX {
            return Err(Error::PartialBytes);
        }
        let Some(stream) = self.streams.get_mut(index) else {
            return Err(Error::ChunkStreams);
        };
        let length = stream.length as usize;
        let partial = stream.partial.get_or_insert_default();
        grow(partial, now.len(), length);
        partial.extend_from_slice(now);
        self.partial_bytes += now.len();
        if matches!(stream.kind, kind::AUDIO | kind::VIDEO | kind::AGGREGATE) {
            self.media_bytes += now.len() as u64;
        }
        self.open = (now.len() < left).then_some((index, left - now.len()));
        if self.open.is_some() || partial.len() < length {
            return Ok(None);
        }
        let payload = stream.partial.take().unwrap_or_default();
        self.partial_messages -= 1;
        self.partial_bytes -= payload.len();
        Ok(Some(Message {
            kind: stream.kind,
            timestamp: stream.timestamp,
            stream_id: stream.stream_id,
            payload: Bytes::from(payload),
        }))
    }

    /// Carried bytes that turned out to be payload come before the input.
    fn copy_carried(&mut self, index: usize, left: usize) -> Result<Option<Message>, Error> {
        let carry = self.carry;
        let mut held = carry.get(..self.carried).unwrap_or_default();
        let message = self.copy_payload(index, left, &mut held)?;
        self.carry(held);
        Ok(message)
    }

    fn drop_partial(&mut self, index: usize) {
        if let Some(partial) = self.streams.get_mut(index).and_then(|s| s.partial.take()) {
            self.partial_messages -= 1;
            self.partial_bytes -= partial.len();
        }
    }
}

/// Bytes of the extended timestamp in a type 3 chunk: 4, or 0 where the encoder leaves it out.
/// `None`: not known yet.
///
/// Encoders repeat the field, or send the message's own time, some of them without the top bit.
/// Anything else there is payload. The bytes are compared as far as they are known, so that few
/// must wait for the next packet.
fn extension_bytes(stream: &ChunkStream, bytes: &[u8]) -> Option<usize> {
    let known = bytes.get(..bytes.len().min(4))?;
    let is_start = |value: u32| value.to_be_bytes().starts_with(known);
    let candidates = [stream.field, stream.timestamp];
    let matches = candidates
        .into_iter()
        .any(|value| is_start(value) || is_start(value & 0x7fff_ffff));
    match (matches, known.len()) {
        (false, _) => Some(0),
        (true, 4) => Some(4),
        (true, _) => None,
    }
}

/// Makes room for `more` bytes of a message that will have `length`: doubling, but never beyond its
/// end.
fn grow(partial: &mut Vec<u8>, more: usize, length: usize) {
    let needed = partial.len() + more;
    if needed > partial.capacity() {
        let wanted = needed.max(partial.capacity() * 2).max(FIRST_BUFFER_BYTES);
        partial.reserve_exact(wanted.min(length).max(needed) - partial.len());
    }
}

fn bytes_max(kind: u8) -> u32 {
    match kind {
        kind::AUDIO | kind::VIDEO | kind::AGGREGATE => MEDIA_BYTES_MAX,
        kind::SET_CHUNK_SIZE..=kind::SET_PEER_BANDWIDTH => CONTROL_BYTES_MAX,
        _ => COMMAND_BYTES_MAX,
    }
}

fn u24(bytes: &[u8]) -> Option<u32> {
    let [a, b, c] = *bytes.first_chunk::<3>()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}
