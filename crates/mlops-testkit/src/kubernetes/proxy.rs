//! A proxy before an API server that lets trouble in.
#![expect(
    clippy::panic,
    reason = "a test without its server must fail, and say why"
)]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::Credentials;

type Answer = Response<UnsyncBoxBody<Bytes, Error>>;

/// What a request can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection breaks before the server hears of it.
    Reset,
    /// The server has done it, and the connection breaks before the answer.
    Lost,
    /// 429 with `Retry-After: 1`.
    TooMany,
    /// 500.
    Internal,
    /// 503.
    Unavailable,
    /// It comes a second late.
    Late,
    /// The connection breaks in the middle of the answer.
    Half,
    /// A watch ends soon.
    WatchClosed,
    /// A watch is answered by 410 Gone.
    Gone,
}

const OF_REQUESTS: [Fault; 7] = [
    Fault::Reset,
    Fault::Lost,
    Fault::TooMany,
    Fault::Internal,
    Fault::Unavailable,
    Fault::Late,
    Fault::Half,
];
const OF_WATCHES: [Fault; 5] = [
    Fault::Reset,
    Fault::WatchClosed,
    Fault::WatchClosed,
    Fault::Gone,
    Fault::Gone,
];
/// A connection to a pod is refused, or works.
const OF_UPGRADES: [Fault; 4] = [
    Fault::Reset,
    Fault::TooMany,
    Fault::Unavailable,
    Fault::Late,
];

/// Stands before an API server, on a port of 127.0.0.1, without TLS and with the rights of whoever it was started for.
/// It ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    way: Arc<Way>,
    runtime: Option<Runtime>,
}

struct Way {
    server: String,
    name: ServerName<'static>,
    tls: TlsConnector,
    percent: u64,
    chance: Mutex<StdRng>,
    met: Mutex<BTreeMap<Fault, usize>>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("cannot start a proxy: {error}"),
    }
}

impl FaultProxy {
    /// Starts one before the server at `url`, signing in there with `credentials`; so many of a hundred requests meet
    /// trouble, and twice as many watches.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(
        url: &str,
        credentials: &Credentials,
        authority: &str,
        percent: u64,
        seed: u64,
    ) -> Self {
        let server = url.trim_start_matches("https://").to_owned();
        let host = server.split(':').next().unwrap_or_default().to_owned();
        let way = Arc::new(Way {
            name: sure(ServerName::try_from(host)),
            server,
            tls: connector(credentials, authority),
            percent,
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            met: Mutex::default(),
        });
        let runtime = sure(Runtime::new());
        let listener = sure(runtime.block_on(TcpListener::bind("127.0.0.1:0")));
        let address = sure(listener.local_addr());
        runtime.spawn(accept(listener, Arc::clone(&way)));
        Self {
            address,
            way,
            runtime: Some(runtime),
        }
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"test",
"clusters":[{{"name":"test","cluster":{{"server":"http://{}"}}}}],
"contexts":[{{"name":"test","context":{{"cluster":"test","user":"test","namespace":"default"}}}}],
"users":[{{"name":"test","user":{{}}}}]}}
"#,
            self.address
        )
    }

    /// How often each kind of trouble came.
    pub fn met(&self) -> BTreeMap<Fault, usize> {
        let met = self.way.met.lock();
        met.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn connector(credentials: &Credentials, authority: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        sure(roots.add(sure(certificate)));
    }
    let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes());
    let chain: Result<Vec<_>, _> = chain.collect();
    let key = sure(PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = sure(config.with_safe_default_protocol_versions());
    let config = config.with_root_certificates(roots);
    let config = sure(config.with_client_auth_cert(sure(chain), key));
    TlsConnector::from(Arc::new(config))
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    while let Ok((stream, _)) = listener.accept().await {
        // One that refuses is slow, and right.
        let _ = stream.set_nodelay(true);
        let way = Arc::clone(&way);
        let service = hyper::service::service_fn(move |request| {
            let way = Arc::clone(&way);
            async move { way.answer(request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // An error is the trouble that was let in.
        tokio::spawn(async move { drop(connection.await) });
    }
}

impl Way {
    /// What a request meets now, so many times out of a hundred.
    fn choose(&self, percent: u64, from: &[Fault]) -> Option<Fault> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        if chance.random_range(0..100) >= percent {
            return None;
        }
        let fault = from.get(chance.random_range(0..from.len())).copied()?;
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        *met.entry(fault).or_default() += 1;
        Some(fault)
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Answer, Error> {
        let query = request.uri().query().unwrap_or_default();
        let is_upgrade = request.headers().contains_key(UPGRADE);
        let fault = if query.contains("watch=true") {
            // They are few.
            self.choose((self.percent * 2).min(90), &OF_WATCHES)
        } else if is_upgrade {
            self.choose(self.percent, &OF_UPGRADES)
        } else {
            self.choose(self.percent, &OF_REQUESTS)
        };
        let refused = |code, reason| Ok(refusal(code, reason));
        match fault {
            Some(Fault::Reset) => return Err(broken()),
            Some(Fault::TooMany) => return refused(429, "TooManyRequests"),
            Some(Fault::Internal) => return refused(500, "InternalError"),
            Some(Fault::Unavailable) => return refused(503, "ServiceUnavailable"),
            Some(Fault::Gone) => return refused(410, "Expired"),
            Some(Fault::Late) => tokio::time::sleep(Duration::from_secs(1)).await,
            _ => {}
        }
        let here = is_upgrade.then(|| hyper::upgrade::on(&mut request));
        let mut answer = self.forward(request).await?;
        if let (Some(here), StatusCode::SWITCHING_PROTOCOLS) = (here, answer.status()) {
            let there = hyper::upgrade::on(&mut answer);
            tokio::spawn(async move {
                let (Ok(here), Ok(there)) = tokio::join!(here, there) else {
                    return;
                };
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(
                    &mut TokioIo::new(here),
                    &mut TokioIo::new(there),
                )
                .await;
            });
        }
        match fault {
            Some(Fault::Lost) => Err(broken()),
            Some(Fault::Half) => half(answer).await,
            Some(Fault::WatchClosed) => {
                let until = tokio::time::sleep(Duration::from_millis(300));
                let (parts, body) = answer.into_parts();
                let frames = BodyStream::new(body).take_until(until);
                let frames = frames.map(|frame| frame.map_err(Error::other));
                let body = StreamBody::new(frames).boxed_unsync();
                Ok(Response::from_parts(parts, body))
            }
            _ => Ok(answer.map(|body| body.map_err(Error::other).boxed_unsync())),
        }
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Error> {
        let stream = TcpStream::connect(&self.server).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Error::other)?;
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        let answer = sender.send_request(request).await;
        answer.map_err(Error::other)
    }
}

fn broken() -> Error {
    ErrorKind::ConnectionReset.into()
}

/// The first half of an answer, under the length of the whole.
async fn half(answer: Response<Incoming>) -> Result<Answer, Error> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(Error::other)?.to_bytes();
    let first = bytes.slice(..bytes.len() / 2);
    let frames = [Ok(Frame::data(first)), Err(broken())];
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

/// An answer as the API server itself gives it.
fn refusal(code: u16, reason: &str) -> Answer {
    let text = format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","reason":"{reason}","message":"a fault of the test","code":{code}}}"#
    );
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    if code == 429 {
        headers.insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    answer
}
