//! Cached bodies that go from memory to a plain connection without passing through user space.
//!
//! ```text
//! Slabs::store → memfd pages, mapped read-only → Bytes → hyper → ZeroCopy::poll_write_vectored
//!                                                                └─► sendfile(memfd) → socket
//! ```
//!
//! A large body lies in an anonymous file (memfd) that is also mapped, so that it is an ordinary
//! `Bytes` to everything above. [`ZeroCopy`], the transport under hyper, recognises by its address
//! a slice that lies in a slab and has the kernel send those pages by reference; TLS and HTTP/2
//! read the same bytes through the mapping. Each byte of a slab is written once, before anybody can
//! see it, and never again: freed ranges are punched out, which gives the memory back while pages
//! that a socket still holds stay as they are.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::OwnedFd,
    pin::Pin,
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use rustix::{
    fs::{FallocateFlags, MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
    net::{SendAncillaryBuffer, SendFlags},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// Address space of one slab. Large, so that few are open; it costs nothing until written.
const SLAB_BYTES: usize = 256 << 20;

/// Bodies start on page boundaries, so that punching one out touches no other.
const PAGE_BYTES: usize = 4 << 10;

/// One `sendfile` sends at most this much, so that one fast connection does not keep the thread.
const SEND_BYTES_MAX: usize = 1 << 20;

/// One anonymous file and its mapping.
#[derive(Debug)]
struct Slab {
    file: File,
    base: NonNull<u8>,
}

/// A body's place in a slab; dropping the last reference gives its memory back.
struct Extent {
    slab: Arc<Slab>,
    offset: usize,
    length: usize,
    resident: Arc<AtomicU64>,
}

/// All slabs of one edge.
#[derive(Debug, Default)]
pub struct Slabs {
    open: Mutex<Option<(Arc<Slab>, usize)>>,
    /// By base address; weak, because a slab ends with its last body.
    all: RwLock<Vec<std::sync::Weak<Slab>>>,
    resident: Arc<AtomicU64>,
}

impl Slabs {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Bytes of all bodies that somebody still holds.
    pub fn resident(&self) -> u64 {
        self.resident.load(Relaxed)
    }

    /// Copies `pieces` (`total` bytes) into a slab; none when that is impossible, and the heap must
    /// do.
    pub fn store(&self, pieces: &[Bytes], total: usize) -> Option<Bytes> {
        match self.try_store(pieces, total) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                static FAILED: service::log::RateLimited = service::log::RateLimited::new();
                if let Some(count) = FAILED.note(service::Clock::real().now()) {
                    tracing::warn!(%error, count, "cannot keep a body in a memfd; using the heap");
                }
                None
            }
        }
    }

    fn try_store(&self, pieces: &[Bytes], total: usize) -> io::Result<Bytes> {
        let (slab, offset) = self.reserve(total)?;
        // From here on the extent gives back whatever was written.
        self.resident.fetch_add(total as u64, Relaxed);
        let resident = Arc::clone(&self.resident);
        let extent = Extent {
            slab,
            offset,
            length: total,
            resident,
        };
        let mut at = offset as u64;
        for piece in pieces {
            std::os::unix::fs::FileExt::write_all_at(&extent.slab.file, piece, at)?;
            at += piece.len() as u64;
        }
        Ok(Bytes::from_owner(extent))
    }

    /// `total` bytes that nobody has had yet.
    fn reserve(&self, total: usize) -> io::Result<(Arc<Slab>, usize)> {
        let span = total
            .checked_next_multiple_of(PAGE_BYTES)
            .filter(|span| *span <= SLAB_BYTES)
            .ok_or_else(|| io::Error::other("larger than a slab"))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((slab, used)) = open.as_mut()
            && SLAB_BYTES - *used >= span
        {
            let offset = *used;
            *used += span;
            return Ok((Arc::clone(slab), offset));
        }
        let slab = Arc::new(Slab::new()?);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|slab| slab.strong_count() > 0);
        all.push(Arc::downgrade(&slab));
        *open = Some((Arc::clone(&slab), span));
        Ok((slab, 0))
    }

    /// The slab that `slice` lies in, and where.
    fn find(&self, slice: &[u8]) -> Option<(Arc<Slab>, usize)> {
        let address = slice.as_ptr() as usize;
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter_map(std::sync::Weak::upgrade)
            .find_map(|slab| {
                let offset = address.checked_sub(slab.base.as_ptr() as usize)?;
                (offset < SLAB_BYTES).then_some((slab, offset))
            })
    }
}

impl Slab {
    fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd: OwnedFd = rustix::fs::memfd_create("panocast-edge", flags)?;
        rustix::fs::ftruncate(&fd, SLAB_BYTES as u64)?;
        // A file that can no longer shrink cannot pull pages from under its mapping.
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let base = unsafe_memory::map(&fd, SLAB_BYTES)?;
        Ok(Self {
            file: File::from(fd),
            base,
        })
    }
}

impl AsRef<[u8]> for Extent {
    fn as_ref(&self) -> &[u8] {
        unsafe_memory::view(&self.slab, self.offset, self.length)
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let length = self.length.next_multiple_of(PAGE_BYTES) as u64;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(error) =
            rustix::fs::fallocate(&self.slab.file, flags, self.offset as u64, length)
        {
            tracing::error!(%error, "cannot give a cached body's memory back");
        }
        self.resident.fetch_sub(self.length as u64, Relaxed);
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        unsafe_memory::unmap(self.base, SLAB_BYTES);
    }
}

/// The only unsafe code of this crate: a mapping's life.
mod unsafe_memory {
    #![allow(unsafe_code)]

    use super::*;

    /// Maps all of `fd` for reading, at an address the kernel chooses.
    pub(super) fn map(fd: &OwnedFd, length: usize) -> io::Result<NonNull<u8>> {
        // SAFETY: a fresh mapping at no fixed address replaces nothing that exists.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::SHARED | MapFlags::NORESERVE,
                fd,
                0,
            )
        }?;
        NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at null"))
    }

    /// The bytes of one extent.
    pub(super) fn view(slab: &Slab, offset: usize, length: usize) -> &[u8] {
        debug_assert!(offset + length <= SLAB_BYTES);
        // SAFETY: the range lies within the mapping, which lives as long as `slab`; the file is
        // sealed against shrinking, so every page of it can be read. Nobody writes to the range
        // while a reference to it exists: it is reserved once, written before its extent is handed
        // out, and punched out only when the extent is dropped.
        unsafe { std::slice::from_raw_parts(slab.base.as_ptr().add(offset), length) }
    }

    /// Ends a mapping made by [`map`].
    pub(super) fn unmap(base: NonNull<u8>, length: usize) {
        // SAFETY: called once, by the owner's drop; extents hold the owner, so no view is left.
        let ended = unsafe { rustix::mm::munmap(base.as_ptr().cast(), length) };
        if let Err(error) = ended {
            tracing::error!(%error, "cannot unmap a slab");
        }
    }

    // SAFETY: the pointer is only the address of a read-only mapping, valid on every thread; all
    // access goes through `view`, whose rules do not depend on the thread.
    unsafe impl Send for Slab {}
    // SAFETY: as above; shared access only ever reads.
    unsafe impl Sync for Slab {}
}

/// A plain connection that sends slices of slabs by reference.
#[derive(Debug)]
pub struct ZeroCopy {
    stream: TcpStream,
    slabs: Arc<Slabs>,
    /// The slab last sent from: the next write is almost always from it too.
    last: Option<Arc<Slab>>,
}

impl ZeroCopy {
    /// Wraps `stream`.
    pub fn new(stream: TcpStream, slabs: Arc<Slabs>) -> Self {
        Self {
            stream,
            slabs,
            last: None,
        }
    }

    fn locate(&mut self, slice: &[u8]) -> Option<(Arc<Slab>, usize)> {
        // Small slices (headers, playlists) are never in a slab, and copying them is cheaper
        // anyway.
        if slice.len() < PAGE_BYTES {
            return None;
        }
        if let Some(slab) = &self.last {
            let offset = (slice.as_ptr() as usize).wrapping_sub(slab.base.as_ptr() as usize);
            if offset < SLAB_BYTES {
                return Some((Arc::clone(slab), offset));
            }
        }
        let found = self.slabs.find(slice)?;
        self.last = Some(Arc::clone(&found.0));
        Some(found)
    }

    /// Sends what it can of `slices`: those before the first slab slice by copying, that one by
    /// reference.
    fn send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let place = slices
            .iter()
            .enumerate()
            .find_map(|(index, slice)| Some((index, slice.len(), self.locate(slice)?)));
        let Some((index, length, (slab, offset))) = place else {
            return self.copy(slices, SendFlags::NOSIGNAL);
        };
        let mut sent = 0;
        if let Some(before) = slices.get(..index).filter(|before| !before.is_empty()) {
            // More follows at once: the header shares its packet with the body.
            sent = self.copy(before, SendFlags::NOSIGNAL | SendFlags::MORE)?;
            if sent < before.iter().map(|slice| slice.len()).sum() {
                return Ok(sent);
            }
        }
        let mut position = offset as u64;
        let count = length.min(SEND_BYTES_MAX);
        let by_reference = self.stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(
                &self.stream,
                &slab.file,
                Some(&mut position),
                count,
            )?)
        });
        match by_reference {
            Ok(more) => Ok(sent + more),
            Err(error) if sent > 0 && error.kind() == io::ErrorKind::WouldBlock => Ok(sent),
            Err(error) => Err(error),
        }
    }

    fn copy(&self, slices: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
        self.stream.try_io(Interest::WRITABLE, || {
            let mut control = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(
                &self.stream,
                slices,
                &mut control,
                flags,
            )?)
        })
    }
}

impl AsyncRead for ZeroCopy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ZeroCopy {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        loop {
            std::task::ready!(connection.stream.poll_write_ready(cx))?;
            match connection.send(slices) {
                // `try_io` has cleared the readiness: ask for the next.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn pattern(length: usize, seed: usize) -> Vec<u8> {
        (0..length)
            .map(|index| (index * 31 + seed * 7 + index / 4096) as u8)
            .collect()
    }

    #[test]
    fn bodies_read_back_and_their_memory_is_given_back() {
        let slabs = Slabs::new();
        let bodies: Vec<(Vec<u8>, Bytes)> = (0..40)
            .map(|seed| {
                let wanted = pattern(100_000 + seed * 1000, seed);
                let (a, b) = wanted.split_at(5_000);
                let pieces = [Bytes::copy_from_slice(a), Bytes::copy_from_slice(b)];
                (wanted.clone(), slabs.store(&pieces, wanted.len()).unwrap())
            })
            .collect();
        for (wanted, body) in &bodies {
            assert_eq!(wanted, body);
            assert!(slabs.find(&body[4096..]).is_some());
        }
        assert!(slabs.resident() > 4_000_000);
        let slab = slabs.find(&bodies[0].1).unwrap().0;
        drop(bodies);
        assert_eq!(slabs.resident(), 0);
        let blocks = rustix::fs::fstat(&slab.file).unwrap().st_blocks;
        assert_eq!(blocks, 0, "punched out");
    }

    #[test]
    fn a_slab_ends_with_its_last_body() {
        let slabs = Slabs::new();
        let size = 100 << 20;
        let piece = [Bytes::from(vec![1; size])];
        let first = slabs.store(&piece, size).unwrap();
        let _second = slabs.store(&piece, size).unwrap();
        let third = slabs.store(&piece, size).unwrap();
        let counts = |slabs: &Slabs| {
            let all = slabs.all.read().unwrap();
            all.iter().filter(|slab| slab.strong_count() > 0).count()
        };
        assert_eq!(counts(&slabs), 2);
        drop((first, _second));
        assert_eq!(counts(&slabs), 1);
        drop(third);
        assert!(
            slabs.store(&piece, SLAB_BYTES + 1).is_none(),
            "larger than a slab"
        );
    }

    #[tokio::test]
    async fn slab_and_heap_slices_arrive_in_order() {
        let slabs = Slabs::new();
        let body = pattern(3 << 20, 3);
        let stored = slabs
            .store(&[Bytes::from(body.clone())], body.len())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reader = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all
        });
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = ZeroCopy::new(stream, Arc::clone(&slabs));
        let parts = [
            Bytes::from_static(b"head"),
            stored.slice(..1_000_000),
            Bytes::from_static(b"middle"),
            stored.slice(1_000_000..),
            Bytes::from_static(b"tail"),
        ];
        let mut queue: Vec<Bytes> = parts.to_vec();
        while !queue.is_empty() {
            let slices: Vec<IoSlice<'_>> = queue.iter().map(|part| IoSlice::new(part)).collect();
            let mut sent = connection.write_vectored(&slices).await.unwrap();
            while let Some(first) = queue.first_mut() {
                let step = sent.min(first.len());
                let _ = first.split_to(step);
                sent -= step;
                if !first.is_empty() {
                    break;
                }
                queue.remove(0);
            }
        }
        connection.shutdown().await.unwrap();
        drop(stored);
        assert_eq!(reader.await.unwrap(), parts.concat());
    }
}
