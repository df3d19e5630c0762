//! Work that blocks, done in order beside the task that hands it out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use s3s::{S3Error, S3Result, s3_error};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::store::lock;

/// Batches that may wait or be worked on; then the sender has to wait.
const DEPTH: u32 = 3;

/// Bytes that several pipes share.
pub(crate) type Batch = Arc<Vec<Bytes>>;

/// Does one piece of work.
type Work<S> = fn(&mut S, &[Bytes]) -> S3Result<()>;

struct Inner<S> {
    queue: VecDeque<Batch>,
    /// Here while no thread works.
    idle: Option<S>,
    failed: Option<S3Error>,
}

struct Shared<S> {
    inner: Mutex<Inner<S>>,
    room: Semaphore,
    work: Work<S>,
}

/// Feeds batches to a state. A thread is taken only while there is work, so
/// slow clients do not use up the threads.
pub(crate) struct Pipe<S>(Arc<Shared<S>>);

/// Makes room for one batch.
struct Room<'a>(&'a Semaphore);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The state is lost; who waits for room must not wait for ever.
            self.0.close();
        }
        self.0.add_permits(1);
    }
}

fn lost() -> S3Error {
    s3_error!(InternalError, "The server failed on this request.")
}

impl<S: Send + 'static> Pipe<S> {
    pub(crate) fn new(state: S, work: Work<S>) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            idle: Some(state),
            failed: None,
        };
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            room: Semaphore::new(DEPTH as usize),
            work,
        }))
    }

    /// Hands over a batch. Fails with the error of an earlier one.
    pub(crate) async fn push(&self, batch: Batch) -> S3Result<()> {
        self.0.room.acquire().await.map_err(|_| lost())?.forget();
        let mut inner = lock(&self.0.inner);
        if let Some(error) = inner.failed.take() {
            return Err(error);
        }
        inner.queue.push_back(batch);
        if let Some(state) = inner.idle.take() {
            let shared = Arc::clone(&self.0);
            spawn_blocking(move || shared.run(state));
        }
        Ok(())
    }

    /// Waits for all batches and gives the state back.
    pub(crate) async fn finish(self) -> S3Result<S> {
        let _all = self.0.room.acquire_many(DEPTH).await.map_err(|_| lost())?;
        let mut inner = lock(&self.0.inner);
        match inner.failed.take() {
            Some(error) => Err(error),
            None => inner.idle.take().ok_or_else(lost),
        }
    }
}

impl<S> Shared<S> {
    fn run(&self, mut state: S) {
        let mut next = lock(&self.inner).queue.pop_front();
        while let Some(batch) = next {
            let room = Room(&self.room);
            let result = (self.work)(&mut state, &batch);
            // Memory goes before somebody fills it again.
            drop(batch);
            let mut inner = lock(&self.inner);
            if let Err(error) = result {
                inner.failed = Some(error);
                let waiting = inner.queue.drain(..).count();
                self.room.add_permits(waiting);
                return;
            }
            next = inner.queue.pop_front();
            if next.is_none() {
                // Before there is room: that is what `finish` waits for.
                inner.idle = Some(state);
                drop(inner);
                drop(room);
                return;
            }
        }
        lock(&self.inner).idle = Some(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn batch(text: &'static str) -> Batch {
        Arc::new(vec![Bytes::from_static(text.as_bytes())])
    }

    #[tokio::test]
    async fn batches_are_worked_on_in_order() {
        let pipe = Pipe::new(String::new(), |all, batch| {
            for bytes in batch {
                all.push_str(std::str::from_utf8(bytes).unwrap());
            }
            Ok(())
        });
        for _ in 0..100 {
            pipe.push(batch("a")).await.unwrap();
            pipe.push(batch("b")).await.unwrap();
        }
        assert_eq!(pipe.finish().await.unwrap(), "ab".repeat(100));
    }

    #[tokio::test]
    async fn an_error_reaches_the_sender_and_nothing_hangs() {
        for pushes in 1..8 {
            let pipe = Pipe::new(0, |_, _| Err(s3_error!(InternalError, "no")));
            let mut error = None;
            for _ in 0..pushes {
                error = pipe.push(batch("x")).await.err();
                if error.is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let error = match error {
                Some(error) => error,
                None => pipe.finish().await.unwrap_err(),
            };
            assert_eq!(error.message(), Some("no"));
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_too() {
        let pipe = Pipe::new(0, |_, _| panic!("on purpose"));
        for _ in 0..10 {
            if pipe.push(batch("x")).await.is_err() {
                return;
            }
        }
        pipe.finish().await.unwrap_err();
    }

    #[tokio::test]
    async fn a_pipe_without_batches_gives_its_state_back() {
        let pipe = Pipe::new(7, |_, _| Ok(()));
        assert_eq!(pipe.finish().await.unwrap(), 7);
    }
}
