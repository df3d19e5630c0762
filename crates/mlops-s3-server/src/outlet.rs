//! Sending the data of an object: the next chunk is read while the last one is
//! on its way.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at once. A download holds at most two chunks and what the socket
/// has taken.
pub(crate) const CHUNK: u64 = 256 << 10;

/// Bytes of an open file.
pub(crate) struct Outlet {
    /// Not yet asked for.
    left: u64,
    /// Not yet handed out.
    unsent: u64,
    file: Option<File>,
    reading: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    first: Option<Bytes>,
}

/// Reads up to a chunk, in one go and without clearing the buffer first.
fn read_chunk(file: &mut File, length: u64) -> io::Result<Bytes> {
    let capacity = usize::try_from(length).map_err(io::Error::other)?;
    let mut buffer = Vec::with_capacity(capacity);
    file.take(length).read_to_end(&mut buffer)?;
    if buffer.len() == capacity {
        Ok(Bytes::from(buffer))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Outlet {
    /// Reads the first chunk, so a small object takes one trip to the disk.
    /// Blocks.
    pub(crate) fn open(mut file: File, range: Range<u64>) -> io::Result<Self> {
        let total = range.end.saturating_sub(range.start);
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start))?;
        }
        let length = total.min(CHUNK);
        let first = read_chunk(&mut file, length)?;
        Ok(Self {
            left: total - length,
            unsent: total,
            file: Some(file),
            reading: None,
            first: Some(first),
        })
    }

    fn read_ahead(&mut self) {
        if self.left == 0 {
            self.file = None;
        } else if let Some(mut file) = self.file.take() {
            let length = self.left.min(CHUNK);
            self.left -= length;
            self.reading = Some(spawn_blocking(move || {
                let chunk = read_chunk(&mut file, length)?;
                Ok((file, chunk))
            }));
        }
    }
}

impl Stream for Outlet {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = if let Some(first) = self.first.take() {
            first
        } else if let Some(job) = &mut self.reading {
            let done = ready!(Pin::new(job).poll(cx));
            self.reading = None;
            match done.map_err(io::Error::other).flatten() {
                Ok((file, chunk)) => {
                    self.file = Some(file);
                    chunk
                }
                Err(error) => {
                    self.left = 0;
                    return Poll::Ready(Some(Err(Box::new(error))));
                }
            }
        } else {
            return Poll::Ready(None);
        };
        self.read_ahead();
        self.unsent -= chunk.len() as u64;
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl ByteStream for Outlet {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.unsent)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}
