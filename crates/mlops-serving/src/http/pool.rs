//! Kept connections to one server.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Request;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::answer::Answer;
use super::error::HttpError;
use super::payload::Payload;

/// How long making a connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is used again. uvicorn closes after 5 s
/// (<https://www.uvicorn.org/settings/#timeouts>); a request sent at that moment would be lost.
const IDLE: Duration = Duration::from_secs(4);

/// Connections that are not in use, the latest used last.
#[derive(Debug)]
pub(super) struct Pool {
    host: String,
    port: u16,
    idle: Mutex<Vec<Idle>>,
    most_idle: AtomicUsize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Payload>,
    since: Instant,
}

/// A connection in use, to be given back when its answer was read to the end.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    sender: SendRequest<Payload>,
}

impl Lease {
    pub(super) fn give_back(self) {
        self.pool.put(self.sender);
    }
}

impl Pool {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            idle: Mutex::default(),
            most_idle: AtomicUsize::new(8),
        }
    }

    pub(super) fn set_most_idle(&self, most: usize) {
        self.most_idle.store(most, Ordering::Relaxed);
    }

    fn put(&self, sender: SendRequest<Payload>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && idle.len() < self.most_idle.load(Ordering::Relaxed) {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    fn take(&self) -> Option<SendRequest<Payload>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(kept) = idle.pop() {
            if kept.since.elapsed() > IDLE {
                // Everything below it is older still.
                idle.clear();
            } else if !kept.sender.is_closed() {
                return Some(kept.sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<SendRequest<Payload>, HttpError> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| HttpError::Timeout(CONNECT_TIMEOUT))?
            .map_err(HttpError::Connect)?;
        stream.set_nodelay(true).map_err(HttpError::Connect)?;
        let (sender, connection) = Builder::new()
            .handshake(TokioIo::new(Prompt(stream)))
            .await?;
        // It ends when the sender is dropped or the server closes; the sender is told of any error.
        tokio::spawn(connection);
        Ok(sender)
    }

    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<Payload>,
    ) -> Result<Answer, HttpError> {
        loop {
            let mut sender = match self.take() {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            // A connection given back a moment ago may still be finishing its last answer.
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Lease {
                        pool: Arc::clone(self),
                        sender,
                    };
                    return Ok(Answer::from_hyper(response, lease));
                }
                // The message comes back only when nothing of it was written: safe to send on another connection.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
    }
}

/// A stream that acknowledges what it receives at once.
#[derive(Debug)]
struct Prompt(TcpStream);

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Asking the kernel only when there is something to read saves four calls in five.
        std::task::ready!(self.0.poll_read_ready(cx))?;
        // The kernel forgets the flag as it likes, so it is set again for each read, which also sends an
        // acknowledgement that is held back now; failing to only costs time.
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::net::sockopt::set_tcp_quickack(&self.0, true) {
            tracing::trace!(%error, "cannot ask for prompt acknowledgement");
        }
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
