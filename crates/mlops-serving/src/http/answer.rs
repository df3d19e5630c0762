//! Answers: a head that is there, and a body that comes.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::{Body as _, Incoming};

use super::error::HttpError;
use super::pool::Lease;

/// Never reserve more than this on a server's word alone.
pub(crate) const MOST_RESERVED: usize = 64 << 20;

/// The answer of a server: status and headers, and the body piece by piece.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Source,
    timeout: Duration,
}

#[derive(Debug)]
enum Source {
    Plain(Incoming, Option<Lease>),
    Tls(reqwest::Response),
}

impl Answer {
    pub(super) fn from_hyper(response: Response<Incoming>, lease: Lease) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: Source::Plain(body, Some(lease)),
            timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn from_reqwest(mut response: reqwest::Response) -> Self {
        Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Source::Tls(response),
            timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece of the body; `None` at its end, which gives the connection back, but after an answer of 5xx.
    ///
    /// # Errors
    ///
    /// When the connection breaks or nothing comes in time.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let timeout = self.timeout;
        // After the 500 of a program that failed, uvicorn closes the connection without saying so
        // (uvicorn/protocols/http/httptools_impl.py, `run_asgi`): a request sent meanwhile would be lost.
        let stays = !self.status.is_server_error();
        let next = async {
            match &mut self.body {
                Source::Plain(body, lease) => loop {
                    let frame =
                        std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
                    let Some(frame) = frame else {
                        if let Some(lease) = lease.take().filter(|_| stays) {
                            lease.give_back();
                        }
                        return Ok(None);
                    };
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                },
                Source::Tls(response) => Ok(response.chunk().await?),
            }
        };
        match tokio::time::timeout(timeout, next).await {
            Ok(piece) => piece,
            Err(_) => Err(HttpError::Timeout(timeout)),
        }
    }

    /// The whole body, at most `limit` bytes. A body of one piece is not copied.
    ///
    /// # Errors
    ///
    /// As [`Self::chunk`], and when the body is longer.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes, HttpError> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let promised = self
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if promised.is_some_and(|length| length > limit) || first.len() > limit {
            return Err(HttpError::TooLong { limit });
        }
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::with_capacity(
            promised
                .unwrap_or(first.len() + second.len())
                .min(MOST_RESERVED),
        );
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > limit {
                return Err(HttpError::TooLong { limit });
            }
            whole.extend_from_slice(&piece);
            next = self.chunk().await?;
        }
        Ok(whole.freeze())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use mlops_core::Endpoint;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::http::{HttpClient, Payload};

    /// How many connections two requests take, the first of which is answered with this status.
    async fn connections(status: &'static str) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, mut connected) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                seen.send(()).unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nab");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        let endpoint = Endpoint::new(url.parse().unwrap()).unwrap();
        let client = HttpClient::new(&endpoint).unwrap();
        for _ in 0..2 {
            let request = client.request(Method::GET, "/", Payload::Empty).unwrap();
            let mut answer = client.send(request).await.unwrap();
            assert_eq!(answer.bytes(10).await.unwrap(), "ab");
        }
        let mut count = 0;
        while connected.try_recv().is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn a_connection_is_kept_unless_the_server_failed() {
        assert_eq!(connections("200 OK").await, 1);
        assert_eq!(connections("404 Not Found").await, 1);
        assert_eq!(connections("500 Internal Server Error").await, 2);
    }
}
