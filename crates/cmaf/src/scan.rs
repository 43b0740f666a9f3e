//! A file read piece by piece to its top-level boxes: for recordings that are long, still growing
//! or cut short.

use bytes::{Bytes, BytesMut};

use crate::{Error, boxes::header};

/// A top-level box longer than this is not ours: a chunk holds at most one part of a segment, far
/// below.
pub const BOX_BYTES_MAX: usize = 64 << 20;

/// What a [`Scanner`] finds.
#[derive(Clone, Debug, PartialEq)]
pub enum TopLevel {
    /// Everything up to and including `moov`.
    Init(Bytes),
    /// `moof` + `mdat`.
    Chunk(Bytes),
}

/// Splits a byte stream into the init segment and its chunks, holding back only what is incomplete.
///
/// What a crash left half-written at the end of a recording simply never comes out;
/// [`Scanner::pending`] counts it.
#[derive(Debug, Default)]
pub struct Scanner {
    buffer: BytesMut,
    /// Bytes at the start of `buffer` that are whole boxes waiting for the box that completes them.
    whole: usize,
}

impl Scanner {
    /// A scanner at the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that do not make a whole init segment or chunk yet.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next complete item, `None` while more bytes are needed.
    pub fn pull(&mut self) -> Result<Option<TopLevel>, Error> {
        loop {
            let rest = self.buffer.get(self.whole..).unwrap_or(&[]);
            let Some((kind, size, _)) = header(rest) else {
                // 16 bytes always hold a header, so what fails to parse then is damage.
                return match rest.get(4..8) {
                    Some(kind) if rest.len() >= 16 => {
                        Err(Error::damaged(kind, "impossible box size"))
                    }
                    _ => Ok(None),
                };
            };
            if size.saturating_add(self.whole) > BOX_BYTES_MAX {
                return Err(Error::TooMany {
                    what: "bytes in a box",
                    count: size,
                    limit: BOX_BYTES_MAX,
                });
            }
            if size > rest.len() {
                return Ok(None);
            }
            self.whole += size;
            let take = |scanner: &mut Self| {
                scanner
                    .buffer
                    .split_to(std::mem::take(&mut scanner.whole))
                    .freeze()
            };
            match &kind {
                b"moov" => return Ok(Some(TopLevel::Init(take(self)))),
                b"mdat" => return Ok(Some(TopLevel::Chunk(take(self)))),
                _ => {}
            }
        }
    }
}
