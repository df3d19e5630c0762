//! Sending the data of an object. What the system has in memory is copied at
//! once; only what has to come from the disk is read on another thread.

use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::store::lock;

/// Bytes read at once. A download holds one chunk and what the socket has
/// taken.
const CHUNK: usize = 256 << 10;
/// Buffers kept for the next chunk: taking fresh memory for each costs as much
/// as reading.
const SPARE: usize = 16;

static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer that goes back to the pool.
struct Buffer {
    /// Always [`CHUNK`] long.
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    fn take() -> Self {
        let bytes = lock(&POOL).pop().unwrap_or_else(|| vec![0; CHUNK]);
        Self { bytes, filled: 0 }
    }

    /// The first `length` bytes, or all.
    fn room(&mut self, length: u64) -> &mut [u8] {
        let length = usize::try_from(length).map_or(CHUNK, |l| l.min(CHUNK));
        self.bytes.get_mut(..length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = lock(&POOL);
        if pool.len() < SPARE {
            pool.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes of an open file.
pub(crate) struct Outlet {
    file: Arc<File>,
    left: Range<u64>,
    /// A small object, read when it was opened.
    whole: Option<Bytes>,
    reading: Option<JoinHandle<io::Result<Buffer>>>,
}

impl Outlet {
    /// Reads small objects right away, so they take one trip to the disk.
    /// Blocks.
    pub(crate) fn open(file: File, range: Range<u64>) -> io::Result<Self> {
        let length = range.end.saturating_sub(range.start);
        let whole = match usize::try_from(length) {
            Ok(length) if length <= CHUNK => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, range.start)?;
                Some(Bytes::from(bytes))
            }
            _ => None,
        };
        Ok(Self {
            file: Arc::new(file),
            left: range,
            whole,
            reading: None,
        })
    }

    fn length(&self) -> u64 {
        self.left.end.saturating_sub(self.left.start)
    }

    /// Takes what is in memory, as far as the system tells. Not every file
    /// system does, and of the systems only Linux.
    #[cfg(target_os = "linux")]
    fn read_at_once(&self, buffer: &mut Buffer) -> usize {
        let mut room = [IoSliceMut::new(buffer.room(self.length()))];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        // Whatever is wrong, the thread finds out and says.
        rustix::io::preadv2(&*self.file, &mut room, self.left.start, flags).unwrap_or_default()
    }

    #[cfg(not(target_os = "linux"))]
    fn read_at_once(&self, _: &mut Buffer) -> usize {
        0
    }

    fn read_on_thread(&self, mut buffer: Buffer) -> JoinHandle<io::Result<Buffer>> {
        let (file, at, length) = (Arc::clone(&self.file), self.left.start, self.length());
        spawn_blocking(move || {
            let room = buffer.room(length);
            file.read_exact_at(room, at)?;
            buffer.filled = room.len();
            Ok(buffer)
        })
    }
}

impl Stream for Outlet {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(whole) = self.whole.take() {
            self.left.start = self.left.end;
            return Poll::Ready(Some(Ok(whole)));
        }
        if self.length() == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            let mut buffer = Buffer::take();
            buffer.filled = self.read_at_once(&mut buffer);
            if buffer.filled > 0 {
                self.left.start += buffer.filled as u64;
                return Poll::Ready(Some(Ok(Bytes::from_owner(buffer))));
            }
            self.reading = Some(self.read_on_thread(buffer));
        }
        let Some(job) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let done = ready!(Pin::new(job).poll(cx));
        self.reading = None;
        match done.map_err(io::Error::other).flatten() {
            Ok(buffer) => {
                self.left.start += buffer.filled as u64;
                Poll::Ready(Some(Ok(Bytes::from_owner(buffer))))
            }
            Err(error) => {
                self.left.start = self.left.end;
                Poll::Ready(Some(Err(Box::new(error))))
            }
        }
    }
}

impl ByteStream for Outlet {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.length())
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    #[tokio::test]
    async fn every_way_of_reading_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let data: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        for range in [
            0..0,
            5..6,
            0..data.len(),
            7..CHUNK + 7,
            7..CHUNK + 8,
            1_000_000..3_000_001,
        ] {
            let wanted = range.start as u64..range.end as u64;
            let outlet = Outlet::open(File::open(&path).unwrap(), wanted.clone()).unwrap();
            assert_eq!(outlet.remaining_length().exact(), Some(range.len()));
            let sent: Vec<_> = outlet.map(Result::unwrap).collect().await;
            assert!(sent.concat() == data[range.clone()], "{range:?}");

            let outlet = Outlet {
                file: Arc::new(File::open(&path).unwrap()),
                left: wanted,
                whole: None,
                reading: None,
            };
            let buffer = outlet
                .read_on_thread(Buffer::take())
                .await
                .unwrap()
                .unwrap();
            let start = range.start;
            assert!(buffer.as_ref() == &data[start..start + range.len().min(CHUNK)]);
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_too_early_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![0; 1_000_000]).unwrap();
        let file = || File::open(&path).unwrap();
        assert!(Outlet::open(file(), 999_999..1_000_001).is_err());
        let sent: Vec<_> = Outlet::open(file(), 0..2_000_000).unwrap().collect().await;
        assert!(sent.last().unwrap().is_err());
    }
}
