//! The one response body: nothing, a run of shared chunks that is never copied, or a stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Why a streamed body ended early; the connection is then cut so that nobody takes it for
/// complete.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A response body.
pub struct Body {
    kind: Kind,
    /// Dropped with the body: whoever must know that the response has been sent puts a token here.
    _token: Option<Box<dyn Send + Sync>>,
}

enum Kind {
    Empty,
    One(Bytes),
    Chunks {
        chunks: Arc<[Bytes]>,
        index: usize,
        offset: usize,
        remaining: usize,
    },
    /// Nothing is sent, but `Content-Length` speaks of this many bytes (HEAD).
    HeadOnly(u64),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    /// One run of bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::One(bytes)
        })
    }

    /// All of `chunks`, one after the other; each is shared, none is copied.
    pub fn chunks(chunks: Arc<[Bytes]>) -> Self {
        let length = chunks.iter().map(Bytes::len).sum();
        Self::slice(chunks, 0, length)
    }

    /// `length` bytes of the concatenated `chunks`, from `start`; shorter when they end before.
    pub fn slice(chunks: Arc<[Bytes]>, start: usize, length: usize) -> Self {
        let total: usize = chunks.iter().map(Bytes::len).sum();
        let remaining = length.min(total.saturating_sub(start));
        let (mut index, mut offset) = (0, start);
        while let Some(chunk) = chunks.get(index) {
            if offset < chunk.len() {
                break;
            }
            offset -= chunk.len();
            index += 1;
        }
        if remaining == 0 {
            return Self::empty();
        }
        Self::of(Kind::Chunks {
            chunks,
            index,
            offset,
            remaining,
        })
    }

    /// Announces `length` bytes and sends none: the answer to HEAD.
    pub fn head_only(length: u64) -> Self {
        Self::of(Kind::HeadOnly(length))
    }

    /// A body that comes as it comes.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::of(Kind::Stream(Box::pin(body)))
    }

    /// Keeps `token` until the body has been sent or dropped.
    pub fn holding(mut self, token: impl Send + Sync + 'static) -> Self {
        self._token = Some(Box::new(token));
        self
    }

    /// The number of bytes that will be sent, when known.
    pub fn exact_length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    fn of(kind: Kind) -> Self {
        Self { kind, _token: None }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("length", &self.exact_length())
            .finish_non_exhaustive()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::full(bytes)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty | Kind::HeadOnly(_) => Poll::Ready(None),
            Kind::One(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Chunks {
                chunks,
                index,
                offset,
                remaining,
            } => {
                let Some(chunk) = chunks.get(*index) else {
                    self.kind = Kind::Empty;
                    return Poll::Ready(None);
                };
                let end = chunk.len().min(offset.saturating_add(*remaining));
                let piece = chunk.slice(*offset..end);
                *remaining -= piece.len();
                *index += 1;
                *offset = 0;
                if *remaining == 0 {
                    self.kind = Kind::Empty;
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Kind::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::HeadOnly(_) => true,
            Kind::One(_) | Kind::Chunks { .. } => false,
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Chunks { remaining, .. } => SizeHint::with_exact(*remaining as u64),
            Kind::HeadOnly(length) => SizeHint::with_exact(*length),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}
