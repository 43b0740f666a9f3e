//! A body that is still arriving and is read by any number of viewers meanwhile, each at its own
//! pace.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use service::http::BodyError;

/// Bytes of all bodies that are arriving, and how many they may be.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    /// At most `limit` bytes at once.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit,
        })
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let fits = self.used.fetch_add(bytes, Relaxed).saturating_add(bytes) <= self.limit;
        if !fits {
            self.used.fetch_sub(bytes, Relaxed);
        }
        fits
    }
}

/// A body that is arriving.
#[derive(Debug)]
pub struct PartialBody {
    /// What to say with it.
    pub headers: HeaderMap,
    /// Its length, when it is known.
    pub length: Option<u64>,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: Vec<Bytes>,
    total: u64,
    end: Option<End>,
    wakers: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

impl PartialBody {
    /// Nothing has arrived yet.
    pub fn new(headers: HeaderMap, length: Option<u64>, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            headers,
            length,
            budget,
            state: Mutex::default(),
        })
    }

    /// Bytes so far.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// Adds bytes; false when they do not fit into the budget of all arriving bodies.
    pub fn push(&self, chunk: Bytes) -> bool {
        if chunk.is_empty() {
            return true;
        }
        if !self.budget.take(chunk.len() as u64) {
            return false;
        }
        let mut state = self.lock();
        state.total += chunk.len() as u64;
        state.chunks.push(chunk);
        wake(state);
        true
    }

    /// It is whole: gives its pieces.
    pub fn finish(&self) -> Vec<Bytes> {
        let mut state = self.lock();
        state.end = Some(End::Whole);
        let chunks = state.chunks.clone();
        wake(state);
        chunks
    }

    /// It will never be whole (no effect after [`PartialBody::finish`]): readers end with an error,
    /// so that nobody takes what came for all.
    pub fn break_off(&self) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(End::Broken);
            wake(state);
        }
    }

    /// Reads `length` bytes from `start`, or to the end.
    pub fn read(self: &Arc<Self>, start: u64, length: Option<u64>) -> Reader {
        let known = length.or(self.length.map(|all| all.saturating_sub(start)));
        Reader {
            partial: Arc::clone(self),
            index: 0,
            skip: start,
            left: known,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let wakers = std::mem::take(&mut state.wakers);
    drop(state);
    for waker in wakers {
        waker.wake();
    }
}

impl Drop for PartialBody {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.total(), Relaxed);
    }
}

/// One viewer's way through a [`PartialBody`].
#[derive(Debug)]
pub struct Reader {
    partial: Arc<PartialBody>,
    index: usize,
    /// Bytes still to pass over.
    skip: u64,
    /// Bytes still to give, when it is known how many.
    left: Option<u64>,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let reader = self.get_mut();
        if reader.left == Some(0) {
            return Poll::Ready(None);
        }
        let partial = Arc::clone(&reader.partial);
        let mut state = partial.lock();
        while let Some(chunk) = state.chunks.get(reader.index) {
            reader.index += 1;
            let length = chunk.len() as u64;
            if reader.skip >= length {
                reader.skip -= length;
                continue;
            }
            let end = reader
                .left
                .map_or(length, |left| length.min(reader.skip.saturating_add(left)));
            // Both are within a chunk's length, which is a usize.
            let piece = chunk.slice(reader.skip as usize..end as usize);
            reader.skip = 0;
            reader.left = reader.left.map(|left| left - piece.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match state.end {
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Broken) => Poll::Ready(Some(Err("the origin broke off".into()))),
            None => {
                if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn readers_get_every_byte_at_their_own_pace() {
        let budget = Budget::new(100);
        let partial = PartialBody::new(HeaderMap::new(), Some(10), Arc::clone(&budget));
        let early = tokio::spawn(partial.read(0, None).collect());
        let ranged = tokio::spawn(partial.read(3, Some(4)).collect());
        assert!(partial.push(Bytes::from_static(b"01234")));
        assert!(partial.push(Bytes::from_static(b"56789")));
        assert!(!partial.push(Bytes::from(vec![0; 91])), "past the budget");
        partial.finish();
        partial.break_off();
        let late = partial.read(8, None).collect().await.unwrap().to_bytes();
        assert_eq!(late, "89");
        assert_eq!(early.await.unwrap().unwrap().to_bytes(), "0123456789");
        assert_eq!(ranged.await.unwrap().unwrap().to_bytes(), "3456");
        drop(partial);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_broken_body_is_an_error_for_all_readers() {
        let partial = PartialBody::new(HeaderMap::new(), None, Budget::new(100));
        partial.push(Bytes::from_static(b"01"));
        partial.break_off();
        assert!(partial.read(0, None).collect().await.is_err());
    }
}
