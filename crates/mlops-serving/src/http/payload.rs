//! Bodies of requests that are never copied together.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use hyper::body::{Body, Frame, SizeHint};

/// The body of a request: nothing, pieces that are in memory, or a stream.
#[derive(Default)]
pub enum Payload {
    /// No body.
    #[default]
    Empty,
    /// One piece.
    One(Bytes),
    /// Several pieces, written one after another without being joined.
    Many(VecDeque<Bytes>),
    /// Pieces as they come. With a known length it is sent with `content-length`, otherwise in chunks.
    Stream {
        /// The pieces. The lock is never taken; it makes the payload shareable, as `reqwest` asks.
        pieces: Mutex<BoxStream<'static, io::Result<Bytes>>>,
        /// How many bytes will come.
        length: Option<u64>,
    },
}

impl Payload {
    /// Pieces as they come.
    pub fn stream(
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        Self::Stream {
            pieces: Mutex::new(Box::pin(pieces)),
            length,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?})", self.size_hint().exact())
    }
}

impl From<Bytes> for Payload {
    fn from(piece: Bytes) -> Self {
        Self::One(piece)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(piece: Vec<u8>) -> Self {
        Self::One(piece.into())
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        match this {
            Self::Empty => Poll::Ready(None),
            Self::One(piece) => {
                let piece = std::mem::take(piece);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Many(pieces) => Poll::Ready(pieces.pop_front().map(|p| Ok(Frame::data(p)))),
            Self::Stream { pieces, .. } => {
                let pieces = pieces
                    .get_mut()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                pieces.as_mut().poll_next(cx).map_ok(Frame::data)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Many(pieces) => pieces.is_empty(),
            Self::One(_) | Self::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::One(piece) => SizeHint::with_exact(piece.len() as u64),
            Self::Many(pieces) => SizeHint::with_exact(pieces.iter().map(|p| p.len() as u64).sum()),
            Self::Stream { length, .. } => length.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}
