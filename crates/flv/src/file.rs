//! The framing of `.flv` files: for captures and tests, and for RTMP aggregate messages, which use
//! the same tag header.
//!
//! Spec: Adobe Flash Video File Format 10.1, annex E.2 to E.4. It reads forward only and never
//! seeks; the size of the previous tag is written as the specification says and skipped on reading.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Tag, TagKind};

/// Bytes of a tag header.
pub const TAG_HEADER_BYTES: usize = 11;

/// A tag beyond this is damage: it is above any access unit that an RTMP message may carry.
pub const TAG_BYTES_MAX: usize = 8 << 20;

/// A file header beyond this is damage: version 1 has 9 bytes.
const FILE_HEADER_BYTES_MAX: usize = 1024;

/// Why bytes are no FLV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Does not start with `FLV`, or the header length is absurd.
    #[error("not an FLV file: it does not start with an FLV header")]
    NotFlv,
    /// A tag beyond [`TAG_BYTES_MAX`].
    #[error("FLV tag of {0} bytes exceeds {TAG_BYTES_MAX}")]
    TagTooLong(usize),
}

/// The header of a file, with the zero that stands before the first tag.
pub fn header(has_audio: bool, has_video: bool) -> [u8; 13] {
    let flags = u8::from(has_audio) << 2 | u8::from(has_video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Appends one tag with its header and the size that follows it.
///
/// A body beyond 16 MiB - 1 cannot be written: nothing of ours makes one, and it is cut there.
pub fn write_tag(out: &mut BytesMut, tag: &Tag) {
    let size = tag.body.len().min(0xff_ffff);
    out.reserve(TAG_HEADER_BYTES + size + 4);
    out.put_u8(tag.kind.id());
    out.put_uint(size as u64, 3);
    out.put_uint(u64::from(tag.timestamp_ms & 0xff_ffff), 3);
    out.put_u8((tag.timestamp_ms >> 24) as u8);
    out.put_uint(0, 3);
    out.put_slice(tag.body.get(..size).unwrap_or_default());
    out.put_u32((TAG_HEADER_BYTES + size) as u32);
}

/// A tag's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagHeader {
    /// What it carries; `None` for types other than audio, video and script data.
    pub kind: Option<TagKind>,
    /// Bytes of the body.
    pub size: usize,
    /// Milliseconds: three bytes and the extension byte.
    pub timestamp_ms: u32,
}

impl TagHeader {
    /// Reads the header at the start of `bytes`; `None` where it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<TAG_HEADER_BYTES>()?;
        let [kind, s0, s1, s2, t0, t1, t2, extension, _, _, _] = *header;
        Some(Self {
            kind: TagKind::from_id(kind & 0x1f),
            size: u32::from_be_bytes([0, s0, s1, s2]) as usize,
            timestamp_ms: u32::from_be_bytes([extension, t0, t1, t2]),
        })
    }
}

/// Reads tags from the bytes of a file, in pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    has_header: bool,
}

impl Reader {
    /// Awaits the first byte of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes. Call [`Reader::next_tag`] until it gives `None` before adding more, so that the
    /// buffer stays small.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag; `None` until more bytes come. Tags of other types are skipped.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, Error> {
        if !self.has_header && !self.skip_header()? {
            return Ok(None);
        }
        while let Some(header) = TagHeader::parse(&self.buffer) {
            if header.size > TAG_BYTES_MAX {
                return Err(Error::TagTooLong(header.size));
            }
            if self.buffer.len() < TAG_HEADER_BYTES + header.size + 4 {
                return Ok(None);
            }
            self.buffer.advance(TAG_HEADER_BYTES);
            let body: Bytes = self.buffer.split_to(header.size).freeze();
            self.buffer.advance(4);
            if let Some(kind) = header.kind {
                return Ok(Some(Tag {
                    kind,
                    timestamp_ms: header.timestamp_ms,
                    body,
                }));
            }
        }
        Ok(None)
    }

    fn skip_header(&mut self) -> Result<bool, Error> {
        let known = self.buffer.len().min(3);
        if self.buffer.get(..known) != b"FLV".get(..known) {
            return Err(Error::NotFlv);
        }
        let Some(length) = self
            .buffer
            .get(5..9)
            .and_then(|bytes| bytes.first_chunk::<4>())
        else {
            return Ok(false);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if !(9..=FILE_HEADER_BYTES_MAX).contains(&length) {
            return Err(Error::NotFlv);
        }
        // The size of the tag before the first one.
        let whole = length + 4;
        if self.buffer.len() < whole {
            return Ok(false);
        }
        self.buffer.advance(whole);
        self.has_header = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_tag() -> impl Strategy<Value = Tag> {
        let kind = prop_oneof![
            Just(TagKind::Audio),
            Just(TagKind::Video),
            Just(TagKind::Script)
        ];
        (
            kind,
            any::<u32>(),
            proptest::collection::vec(any::<u8>(), 0..50),
        )
            .prop_map(|(kind, timestamp_ms, body)| Tag {
                kind,
                timestamp_ms,
                body: body.into(),
            })
    }

    #[test]
    fn what_is_no_flv_is_refused() {
        let refused = |bytes: &[u8]| {
            let mut reader = Reader::new();
            reader.push(bytes);
            reader.next_tag().unwrap_err()
        };
        assert_eq!(refused(b"MP4"), Error::NotFlv);
        assert_eq!(refused(b"FLV\x01\x05\xff\0\0\0"), Error::NotFlv);
        let long = [
            &header(true, true)[..],
            &[9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(refused(&long), Error::TagTooLong(0xff_ffff));
    }

    #[test]
    fn unknown_tag_types_are_skipped() {
        let mut out = BytesMut::from(&header(false, true)[..]);
        let tag = Tag {
            kind: TagKind::Video,
            timestamp_ms: 0xfedc_ba98,
            body: vec![1].into(),
        };
        write_tag(&mut out, &tag);
        if let Some(kind) = out.get_mut(13) {
            *kind = 15;
        }
        write_tag(&mut out, &tag);
        let mut reader = Reader::new();
        reader.push(&out);
        assert_eq!(reader.next_tag(), Ok(Some(tag)));
        assert_eq!(reader.next_tag(), Ok(None));
    }

    proptest! {
        #[test]
        fn tags_read_back_from_any_pieces(
            tags in proptest::collection::vec(any_tag(), 0..5),
            piece in 1usize..40,
        ) {
            let mut out = BytesMut::from(&header(true, true)[..]);
            tags.iter().for_each(|tag| write_tag(&mut out, tag));
            let (mut reader, mut read) = (Reader::new(), Vec::new());
            for piece in out.chunks(piece) {
                reader.push(piece);
                while let Some(tag) = reader.next_tag().unwrap() {
                    read.push(tag);
                }
            }
            prop_assert_eq!(read, tags);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new();
            reader.push(&header(true, true));
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_tag() {}
        }
    }
}
