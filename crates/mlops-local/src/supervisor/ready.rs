//! Asking a server whether it answers.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use mlops_core::Endpoint;
use mlops_core::process::Ready;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(25);
/// How long one question may take; the next one is asked on a new connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// What PostgreSQL answers while it starts, stops or recovers: `cannot_connect_now`
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const CANNOT_CONNECT_NOW: &str = "57P03";

/// Asks again and again until the server answers.
pub(super) async fn wait_until_answers(ready: &Ready, place: &Endpoint) {
    loop {
        let answered = tokio::time::timeout(PATIENCE, ask(ready, place)).await;
        if matches!(answered, Ok(Ok(true))) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(ready: &Ready, place: &Endpoint) -> io::Result<bool> {
    let stream = TcpStream::connect((place.host(), place.port())).await?;
    match ready {
        Ready::Tcp { .. } => Ok(true),
        Ready::Http { path, .. } => ask_http(stream, place, path).await,
        Ready::Postgres { .. } => ask_postgres(stream).await,
    }
}

async fn ask_http(stream: TcpStream, place: &Endpoint, path: &str) -> io::Result<bool> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, place.authority())
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request);
    // The connection is worked on here as well, and closed when the answer's head is there.
    tokio::select! {
        answer = answer => Ok(answer.map_err(io::Error::other)?.status().is_success()),
        ended = connection => Err(ended.map_or_else(io::Error::other, |()| io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Says who we are and looks at the answer: a question about a password means that the server is there.
async fn ask_postgres(mut stream: TcpStream) -> io::Result<bool> {
    let mut hello = BytesMut::new();
    frontend::startup_message([("user", "postgres"), ("database", "postgres")], &mut hello)?;
    stream.write_all(&hello).await?;
    let mut answer = BytesMut::with_capacity(1024);
    loop {
        if let Some(message) = Message::parse(&mut answer)? {
            return match message {
                Message::ErrorResponse(body) => Ok(!body.fields().any(|field| {
                    Ok(field.type_() == b'C'
                        && field.value_bytes() == CANNOT_CONNECT_NOW.as_bytes())
                })?),
                _ => Ok(true),
            };
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
