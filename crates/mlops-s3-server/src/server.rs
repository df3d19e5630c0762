use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse, S3Error, s3_error};
use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::access::Guard;
use crate::accounts::Accounts;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ops::Handler;
use crate::store::Store;

/// How long requests under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes read from a socket at once, at most.
const READ_BUFFER: usize = 256 << 10;

/// An S3 server that listens on an address. See the [crate](crate) for an
/// example.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    service: S3Service,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the root folder and starts to listen. Requests are answered once
    /// [`run`](Self::run) is called. Port 0 takes any free port.
    ///
    /// # Errors
    ///
    /// When the root folder holds files of something else, is used by another
    /// server or cannot be written, when the admin's keys are empty, or when the
    /// address is taken.
    pub async fn bind(config: Config, addr: SocketAddr) -> Result<Self> {
        if config.admin.access_key.is_empty() || config.admin.secret_key.expose_secret().is_empty()
        {
            return Err(Error::refused(
                "start the S3 server",
                "the admin's access key or secret is empty",
            ));
        }
        let listening = |e| Error::new(format!("listen on {addr}"), e);
        let listener = TcpListener::bind(addr).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let opened = tokio::task::spawn_blocking(move || {
            let store = Arc::new(Store::open(&config.root, config.sync)?);
            let accounts = Arc::new(Accounts::load(config.admin, Arc::clone(&store))?);
            Ok(Guard {
                accounts,
                store,
                region: config.region.into(),
            })
        });
        let guard = opened
            .await
            .map_err(|e| Error::new("open the S3 folder", std::io::Error::other(e)))??;
        let mut builder = S3ServiceBuilder::new(Handler {
            guard: guard.clone(),
        });
        builder.set_auth(guard.clone());
        builder.set_access(guard.clone());
        builder.set_route(guard);
        Ok(Self {
            listener,
            address,
            service: builder.build(),
        })
    }

    /// The address that clients connect to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown` is ready, then lets requests under way
    /// finish for up to five seconds.
    ///
    /// # Errors
    ///
    /// None at present: failing connections are logged and do not end the
    /// server.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let graceful = GracefulShutdown::new();
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).max_buf_size(READ_BUFFER);
        let mut shutdown = std::pin::pin!(shutdown);
        // Dropping it at the end closes connections that did not finish.
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.as_mut() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or the client is gone already.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            connections.spawn(self.connection(&http, &graceful, stream));
        }
        drop(self.listener);
        if tokio::time::timeout(GRACE, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests under way were cut off");
        }
        Ok(())
    }

    fn connection(
        &self,
        http: &hyper::server::conn::http1::Builder,
        graceful: &GracefulShutdown,
        stream: TcpStream,
    ) -> impl Future<Output = ()> + Send + use<> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        let service = self.service.clone();
        let answer = service_fn(move |request| answer(service.clone(), request));
        let connection = http.serve_connection(TokioIo::new(stream), answer);
        let watched = graceful.watch(connection);
        async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "connection ended");
            }
        }
    }
}

/// What the library would let through and we do not offer.
fn refuse(request: &http::Request<Incoming>) -> Option<S3Error> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .map_or(&b""[..], http::HeaderValue::as_bytes)
    };
    let query = request.uri().query().unwrap_or_default();
    let is_v2 = header(http::header::AUTHORIZATION).starts_with(b"AWS ")
        || query.split('&').any(|pair| pair.starts_with("Signature="));
    if is_v2 {
        return Some(s3_error!(
            InvalidRequest,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        ));
    }
    let is_form = request.method() == http::Method::POST
        && header(http::header::CONTENT_TYPE)
            .to_ascii_lowercase()
            .starts_with(b"multipart/form-data");
    is_form.then(|| s3_error!(NotImplemented, "Uploads by HTML forms are not offered."))
}

async fn answer(
    service: S3Service,
    request: http::Request<Incoming>,
) -> std::result::Result<HttpResponse, HttpError> {
    if let Some(error) = refuse(&request) {
        return error
            .to_http_response()
            .map_err(|e| HttpError::new(Box::new(e)));
    }
    service.call(request.map(Body::from)).await
}
