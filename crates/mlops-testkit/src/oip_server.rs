//! An inference server that costs nearly nothing: it answers what it is told to, over REST and gRPC.
//!
//! For measuring clients, and for answers that no server should give.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An answer over REST.
#[derive(Debug, Clone)]
pub struct RestAnswer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl RestAnswer {
    /// That status with that body and no header at all.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer over gRPC: a message, or a status code with its text.
pub type GrpcAnswer = Result<Bytes, (u8, &'static str)>;

type OnRest = Arc<dyn Fn(&http::request::Parts, Bytes) -> RestAnswer + Send + Sync>;
type OnGrpc = Arc<dyn Fn(&str, Bytes) -> GrpcAnswer + Send + Sync>;

/// The running server; it ends when it is dropped.
#[derive(Debug)]
pub struct OipServer {
    rest: u16,
    grpc: u16,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for OipServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl OipServer {
    /// Listens at two free ports. `rest` is asked with the head and body of every request, `grpc` with the path and
    /// the message, without its frame.
    pub async fn start(
        rest: impl Fn(&http::request::Parts, Bytes) -> RestAnswer + Send + Sync + 'static,
        grpc: impl Fn(&str, Bytes) -> GrpcAnswer + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(0, 0, rest, grpc).await
    }

    /// As [`Self::start`], at these ports.
    pub async fn start_at(
        rest_port: u16,
        grpc_port: u16,
        rest: impl Fn(&http::request::Parts, Bytes) -> RestAnswer + Send + Sync + 'static,
        grpc: impl Fn(&str, Bytes) -> GrpcAnswer + Send + Sync + 'static,
    ) -> Self {
        let (on_rest, on_grpc): (OnRest, OnGrpc) = (Arc::new(rest), Arc::new(grpc));
        let (rest, rest_port) = listen(rest_port).await;
        let (grpc, grpc_port) = listen(grpc_port).await;
        let tasks = vec![
            tokio::spawn(accept(rest, move |stream| {
                tokio::spawn(serve_rest(stream, Arc::clone(&on_rest)));
            })),
            tokio::spawn(accept(grpc, move |stream| {
                tokio::spawn(serve_grpc(stream, Arc::clone(&on_grpc)));
            })),
        ];
        Self {
            rest: rest_port,
            grpc: grpc_port,
            tasks,
        }
    }

    /// The address for REST.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// The address for gRPC.
    pub fn grpc_url(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.grpc)
    }
}

async fn listen(port: u16) -> (TcpListener, u16) {
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    match bound.and_then(|listener| Ok((listener.local_addr()?.port(), listener))) {
        Ok((port, listener)) => (listener, port),
        Err(error) => panic!("cannot listen at 127.0.0.1:{port}: {error}"),
    }
}

async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) {
    while let Ok((stream, _)) = listener.accept().await {
        // Without it small answers wait for acknowledgements; a socket that refuses is slow, and right.
        let _ = stream.set_nodelay(true);
        serve(stream);
    }
}

async fn serve_rest(stream: TcpStream, answer: OnRest) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let said = answer(&parts, body);
            let mut response = Response::new(Full::new(said.body));
            *response.status_mut() =
                StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            for (name, value) in said.headers {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    response
                        .headers_mut()
                        .insert(HeaderName::from_static(name), value);
                }
            }
            hyper::Result::Ok(response)
        }
    });
    // A client that leaves is no trouble of ours.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Speaks HTTP/2 without the layers of a web server: an answer costs three frames.
async fn serve_grpc(stream: TcpStream, answer: OnGrpc) {
    let accepted = h2::server::Builder::new()
        .initial_window_size(16 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await;
    // A client that leaves is no trouble of ours, here and below.
    let Ok(mut connection) = accepted else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer_call(request, respond, Arc::clone(&answer)));
    }
}

async fn answer_call(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    answer: OnGrpc,
) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let body = whole(request.into_body()).await?;
    let said = answer(&path, body.slice(5.min(body.len())..));
    let mut head = Response::new(());
    let value = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", value);
    let mut stream = respond.send_response(head, false)?;
    let mut trailers = HeaderMap::new();
    let code = match said {
        Ok(message) => {
            for part in framed(message) {
                stream.send_data(part, false)?;
            }
            0
        }
        Err((code, text)) => {
            trailers.insert("grpc-message", HeaderValue::from_static(text));
            code
        }
    };
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    stream.send_trailers(trailers)
}

/// All that a client sends; what came in one piece is not copied.
async fn whole(mut body: h2::RecvStream) -> Result<Bytes, h2::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        if first.is_empty() {
            first = part;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&part);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// A message with its frame: a short one in one piece, a long one without a copy.
fn framed(message: Bytes) -> Vec<Bytes> {
    const SHORT: usize = 16 << 10;
    let is_short = message.len() <= SHORT;
    let mut prefix = BytesMut::with_capacity(if is_short { 5 + message.len() } else { 5 });
    prefix.put_u8(0);
    prefix.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    if is_short {
        prefix.extend_from_slice(&message);
        return vec![prefix.freeze()];
    }
    vec![prefix.freeze(), message]
}
