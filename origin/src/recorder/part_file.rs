//! The file of an open part, written past the page cache where the file system lets us.
//!
//! What is recorded is read once or never by this machine, so caching it would push out what
//! viewers need, and filling and cleaning the cache costs several times what the write itself does.
//! Direct writes want whole blocks from aligned memory: the file's last block is padded with zeros,
//! and written again when more comes. Zeros are no box, so a reader that meets them after a crash
//! is at the end; [`PartFile::seal`] cuts them off.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_setfl};

/// Direct writes begin and end at multiples of this, in the file and in memory: no disk in use has
/// larger sectors.
const BLOCK: usize = 4096;

/// Bytes of one write: more hardly cost less, and each recording has a buffer of this size.
const WRITE_BYTES: usize = 1 << 20;

/// Memory that direct writes can take bytes from; reused from part to part.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    /// Where the aligned bytes begin.
    start: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        let memory = vec![0; WRITE_BYTES + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Self { memory, start }
    }

    /// Room for one write.
    fn room(&mut self) -> &mut [u8] {
        let end = self.start + WRITE_BYTES;
        self.memory.get_mut(self.start..end).unwrap_or_default()
    }
}

/// An open part.
#[derive(Debug)]
pub(super) struct PartFile {
    file: File,
    /// Bytes written, without padding.
    size: u64,
    /// The bytes after the last whole block; what the next write begins with.
    tail: Vec<u8>,
}

impl PartFile {
    /// Makes an empty file at `path`.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let open = |flags: OFlags| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true);
            options.custom_flags(flags.bits() as i32).open(path)
        };
        // A file system that always caches says that the argument is invalid.
        let file = open(OFlags::DIRECT).or_else(|_| open(OFlags::empty()))?;
        Ok(Self {
            file,
            size: 0,
            tail: Vec::with_capacity(BLOCK),
        })
    }

    /// Bytes written.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Writes all pieces or none.
    pub(super) fn append(&mut self, pieces: &[Bytes], buffer: &mut Buffer) -> io::Result<()> {
        let written = self.append_now(pieces, buffer);
        if written.is_err() {
            // If not, the next bytes are written over it, or the seal cuts it off.
            let _ = self.file.set_len(self.size);
        }
        written
    }

    fn append_now(&mut self, pieces: &[Bytes], buffer: &mut Buffer) -> io::Result<()> {
        let mut at = self.size - self.tail.len() as u64;
        let mut filled = self.tail.len();
        let room = buffer.room();
        copy(room, 0, &self.tail);
        for piece in pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(WRITE_BYTES - filled));
                copy(room, filled, now);
                (filled, rest) = (filled + now.len(), later);
                if filled == WRITE_BYTES {
                    self.write(room, at)?;
                    (at, filled) = (at + WRITE_BYTES as u64, 0);
                }
            }
        }
        let (whole, padded) = (filled / BLOCK * BLOCK, filled.next_multiple_of(BLOCK));
        if let Some(padding) = room.get_mut(filled..padded) {
            padding.fill(0);
        }
        self.write(room.get(..padded).unwrap_or_default(), at)?;
        self.tail.clear();
        self.tail
            .extend_from_slice(room.get(whole..filled).unwrap_or_default());
        self.size = at + filled as u64;
        Ok(())
    }
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.file.write_all_at(bytes, at) {
            // Some file systems say so only now, or want larger blocks.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                fcntl_setfl(&self.file, OFlags::empty())?;
                self.file.write_all_at(bytes, at)
            }
            written => written,
        }
    }

    /// Ends it with its last byte, on the disk.
    pub(super) fn seal(&self) -> io::Result<()> {
        self.file.set_len(self.size)?;
        self.file.sync_data()
    }
}

fn copy(room: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = room.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of all sizes around blocks and buffers.
    #[test]
    fn what_was_appended_is_in_the_file_at_once_and_alone_when_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00001.part");
        let (mut file, mut buffer) = (PartFile::create(&path).unwrap(), Buffer::new());
        let mut expected = Vec::new();
        let sizes = [
            1,
            BLOCK - 1,
            BLOCK,
            1,
            2 * BLOCK + 7,
            WRITE_BYTES - 9,
            9,
            0,
            3 * WRITE_BYTES + 5,
        ];
        for (turn, size) in (0..).zip(sizes) {
            let pieces = [size / 3, size - size / 3].map(|size| Bytes::from(vec![turn + 1; size]));
            file.append(&pieces, &mut buffer).unwrap();
            expected.extend(pieces.concat());
            assert_eq!(file.size(), expected.len() as u64);
            let found = std::fs::read(&path).unwrap();
            let (data, padding) = found.split_at(expected.len());
            assert!(data == expected, "turn {turn}");
            assert!(padding.len() < BLOCK && padding.iter().all(|byte| *byte == 0));
        }
        file.seal().unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }

    /// The disk fills up while a piece is written: it is not there at all, and what comes later is
    /// whole.
    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00001.part");
        let (mut file, mut buffer) = (PartFile::create(&path).unwrap(), Buffer::new());
        let piece = |byte| [Bytes::from(vec![byte; BLOCK + 5])];
        file.append(&piece(1), &mut buffer).unwrap();
        let writable = std::mem::replace(&mut file.file, File::open(&path).unwrap());
        file.append(&piece(2), &mut buffer).unwrap_err();
        file.file = writable;
        file.append(&piece(3), &mut buffer).unwrap();
        file.seal().unwrap();
        let expected = [piece(1), piece(3)].concat().concat();
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
