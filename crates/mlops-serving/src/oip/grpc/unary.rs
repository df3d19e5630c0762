//! One call: a message there and one back.
//!
//! `tonic`'s own codecs copy each message into a buffer of theirs. A tensor of 10 MB is sent here as the memory that it
//! is, and what comes is copied once, or not at all when it comes in one piece.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::Body as _;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::transport::Channel;

use crate::http::{MOST_RESERVED, Payload};

/// What stands before a message: a byte that says whether it is compressed, and four of its length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub(super) const PREFIX: usize = 5;

/// The prefix of a message so long.
pub(super) fn prefix(length: usize) -> [u8; PREFIX] {
    // A longer one cannot be said; the server refuses what follows.
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, a, b, c, d]
}

/// A short message with its prefix.
pub(super) fn framed(message: &[u8]) -> Payload {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_slice(&prefix(message.len()));
    frame.put_slice(message);
    Payload::One(frame.freeze())
}

/// Sends a message that has its prefix, and hands back the one that comes, without its own.
pub(super) async fn unary(
    mut channel: Channel,
    path: &'static str,
    message: Payload,
) -> Result<Bytes, Status> {
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .map_err(|error| Status::unavailable(super::chain(&error)))?;
    let mut request = Request::new(Body::new(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let response = channel
        .call(request)
        .await
        .map_err(|error| Status::from_error(Box::new(error)))?;
    let (head, mut body) = response.into_parts();
    judge(&head.headers)?;
    if head.status != StatusCode::OK {
        return Err(refused(head.status));
    }
    if head
        .headers
        .get(HeaderName::from_static("grpc-encoding"))
        .is_some_and(|value| value != "identity")
    {
        return Err(Status::unimplemented("the answer is compressed"));
    }
    let mut message = Incoming::default();
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        let frame = frame?;
        match frame.into_data() {
            Ok(data) => message.push(data)?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    judge(&trailers)?;
                }
            }
        }
    }
    message.finish()
}

/// The server's verdict, which stands in the trailers, or in the headers when there is nothing else.
fn judge(headers: &HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status),
        _ => Ok(()),
    }
}

/// An answer of something that does not speak gRPC
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
fn refused(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => tonic::Code::Internal,
        401 => tonic::Code::Unauthenticated,
        403 => tonic::Code::PermissionDenied,
        404 => tonic::Code::Unimplemented,
        429 | 502..=504 => tonic::Code::Unavailable,
        _ => tonic::Code::Unknown,
    };
    Status::new(code, format!("the HTTP status is {status}"))
}

/// A message as it comes.
#[derive(Debug, Default)]
struct Incoming {
    prefix: Vec<u8>,
    length: Option<usize>,
    /// The first piece, while it is the only one.
    only: Bytes,
    whole: BytesMut,
}

impl Incoming {
    fn push(&mut self, mut data: Bytes) -> Result<(), Status> {
        let length = if let Some(length) = self.length {
            length
        } else {
            let missing = PREFIX - self.prefix.len();
            self.prefix
                .extend_from_slice(&data.split_to(missing.min(data.len())));
            let [compressed, a, b, c, d] = *self.prefix.as_slice() else {
                return Ok(());
            };
            if compressed != 0 {
                return Err(Status::unimplemented("the answer is compressed"));
            }
            let length = u32::from_be_bytes([a, b, c, d]);
            *self
                .length
                .insert(usize::try_from(length).unwrap_or(usize::MAX))
        };
        if data.is_empty() {
            return Ok(());
        }
        if self.received() + data.len() > length {
            return Err(Status::internal("the answer is longer than it says"));
        }
        if self.received() == 0 {
            self.only = data;
            return Ok(());
        }
        if self.whole.is_empty() {
            self.whole.reserve(length.min(MOST_RESERVED));
            self.whole
                .extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.whole.extend_from_slice(&data);
        Ok(())
    }

    fn received(&self) -> usize {
        self.only.len() + self.whole.len()
    }

    fn finish(self) -> Result<Bytes, Status> {
        match self.length {
            None => Err(Status::internal("there is no answer")),
            Some(length) if self.received() < length => Err(Status::data_loss(format!(
                "the answer ends after {} of {length} bytes",
                self.received()
            ))),
            Some(_) if self.whole.is_empty() => Ok(self.only),
            Some(_) => Ok(self.whole.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&'static [u8]]) -> Result<Bytes, Status> {
        let mut message = Incoming::default();
        for piece in pieces {
            message.push(Bytes::from_static(piece))?;
        }
        message.finish()
    }

    #[test]
    fn a_message_comes_in_any_pieces() {
        let whole: &'static [u8] = b"\0\0\0\0\x04abcd";
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let pieces = [&whole[..first], &whole[first..second], &whole[second..]];
                assert_eq!(read(&pieces).unwrap(), "abcd", "{pieces:?}");
            }
        }
        assert_eq!(read(&[b"\0\0\0\0\0"]).unwrap(), "");
    }

    #[test]
    fn one_piece_is_not_copied() {
        let frame = Bytes::from_static(b"\0\0\0\0\x04abcd");
        let mut message = Incoming::default();
        message.push(frame.clone()).unwrap();
        assert_eq!(message.finish().unwrap().as_ptr(), frame[5..].as_ptr());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        use tonic::Code;
        for (pieces, code) in [
            (&[] as &[&'static [u8]], Code::Internal),
            (&[b"\0\0"], Code::Internal),
            (&[b"\0\0\0\0\x04abc"], Code::DataLoss),
            (&[b"\0\0\0\0\x04abcde"], Code::Internal),
            (&[b"\0\0\0\0\x01a\0\0\0\0\x01b"], Code::Internal),
            (&[b"\x01\0\0\0\x01a"], Code::Unimplemented),
            (&[b"\0\xff\xff\xff\xff", b"a", b"b"], Code::DataLoss),
        ] {
            assert_eq!(read(pieces).unwrap_err().code(), code, "{pieces:?}");
        }
    }
}
