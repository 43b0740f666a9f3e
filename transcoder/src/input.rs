//! An object or a file as something that can be read and sought, without ever being whole in memory
//! or on the disk.
//!
//! Blocking, for the threads of demuxers and codecs. It keeps a few blocks, because demuxers of MP4
//! go back and forth between two places of a file.

use std::{
    collections::VecDeque,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::retrying_store::RetryingStore;

/// Bytes asked for at a time: one request per second or two of a recording.
pub const BLOCK_BYTES: u64 = 4 << 20;

/// Blocks kept: video, audio and the index lie apart in a badly interleaved file.
const BLOCKS_MAX: usize = 4;

type Fetch = Box<dyn FnMut(Range<u64>) -> io::Result<Bytes> + Send>;

/// A seekable source of bytes.
pub struct Input {
    fetch: Fetch,
    size: u64,
    position: u64,
    /// Newest last.
    blocks: VecDeque<(u64, Bytes)>,
    failure: Failure,
}

/// The last failure to read, for those whose reader is a library that swallows the reason.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    /// The failure, once.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("size", &self.size)
            .field("position", &self.position)
            .finish()
    }
}

impl Input {
    /// An object of a store. To be read on a thread that may block.
    pub fn object(store: RetryingStore, key: String, size: u64, runtime: Handle) -> Self {
        let fetch = move |range: Range<u64>| {
            let read = store.read_range(&key, range);
            runtime.block_on(read).map_err(io::Error::other)
        };
        Self::new(size, Box::new(fetch))
    }

    /// A local file.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        let fetch = move |range: Range<u64>| {
            let length = usize::try_from(range.end - range.start).unwrap_or(0);
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        };
        Ok(Self::new(size, Box::new(fetch)))
    }

    fn new(size: u64, fetch: Fetch) -> Self {
        Self {
            fetch,
            size,
            position: 0,
            blocks: VecDeque::new(),
            failure: Failure::default(),
        }
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Tells of failures to read from now on.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }

    fn block(&mut self, number: u64) -> io::Result<Bytes> {
        if let Some(at) = self.blocks.iter().position(|(other, _)| *other == number)
            && let Some(found) = self.blocks.remove(at)
        {
            let bytes = found.1.clone();
            self.blocks.push_back(found);
            return Ok(bytes);
        }
        let start = number * BLOCK_BYTES;
        let range = start..(start + BLOCK_BYTES).min(self.size);
        let bytes = (self.fetch)(range).inspect_err(|error| self.failure.set(error.to_string()))?;
        if self.blocks.len() == BLOCKS_MAX {
            self.blocks.pop_front();
        }
        self.blocks.push_back((number, bytes.clone()));
        Ok(bytes)
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let block = self.block(self.position / BLOCK_BYTES)?;
        let start = usize::try_from(self.position % BLOCK_BYTES).unwrap_or(0);
        let there = block.get(start..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => i128::from(position),
            SeekFrom::End(offset) => i128::from(self.size) + i128::from(offset),
            SeekFrom::Current(offset) => i128::from(self.position) + i128::from(offset),
        };
        let bad = || io::Error::from(io::ErrorKind::InvalidInput);
        self.position = u64::try_from(position).map_err(|_| bad())?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_file_and_asks_for_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let bytes = (0..3 * BLOCK_BYTES + 5)
            .map(|n| (n % 253) as u8)
            .collect::<Vec<_>>();
        std::fs::write(&path, &bytes).unwrap();
        let mut input = Input::file(&path).unwrap();
        assert_eq!(input.size(), bytes.len() as u64);
        let mut read = Vec::new();
        input.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        for at in [0, 7, BLOCK_BYTES - 2, 3 * BLOCK_BYTES + 1] {
            input.seek(SeekFrom::Start(at)).unwrap();
            let mut four = [0; 4];
            input.read_exact(&mut four).unwrap();
            assert_eq!(four, bytes[at as usize..][..4]);
        }
        assert_eq!(input.seek(SeekFrom::End(3)).unwrap(), input.size() + 3);
        assert_eq!(input.read(&mut [0]).unwrap(), 0);
        assert!(input.seek(SeekFrom::Current(-i64::MAX)).is_err());
    }
}
