//! One small HTTP transport for the clients of this crate.
//!
//! Plain `http://` goes over kept connections of our own, because only there can `TCP_QUICKACK` be set before each
//! read: a server whose socket lacks `TCP_NODELAY` (uvicorn with several workers,
//! <https://github.com/Kludex/uvicorn/issues/3149>) otherwise makes every request on a kept connection wait for the
//! client's delayed acknowledgement, 40 ms on Linux. `https://` goes through `reqwest`.

mod answer;
mod error;
mod payload;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use mlops_core::{Endpoint, Error, ErrorKind, Result, SecretText};

pub use answer::Answer;
pub(crate) use answer::MOST_RESERVED;
pub use error::HttpError;
pub use payload::Payload;
use pool::Pool;

/// What a path segment may hold unescaped.
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A text as one segment of a path or one value of a query.
pub(crate) fn escape(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, SEGMENT)
}

/// An HTTP client for one server, with kept connections and optional basic authentication.
///
/// Cloning is cheap and shares the connections. Calls are never repeated, except when a kept connection turned out
/// to be closed before anything of the request was written.
#[derive(Debug, Clone)]
pub struct HttpClient {
    wire: Wire,
    prefix: Arc<str>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Wire {
    Plain(Arc<Pool>),
    Tls {
        client: reqwest::Client,
        base: Arc<str>,
    },
}

impl HttpClient {
    /// A client for the server at `endpoint` (`http` or `https`; a path in it is put before every path). Nothing is
    /// connected yet. Answers are waited for 30 s, up to 8 idle connections are kept.
    ///
    /// # Errors
    ///
    /// When the scheme is another one, or TLS cannot be set up.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("use `{}` as the address of a server", endpoint.url()),
            )
        };
        let host =
            HeaderValue::from_str(&endpoint.authority()).map_err(|e| wrong().with_source(e))?;
        let wire = match endpoint.url().scheme() {
            "http" => Wire::Plain(Arc::new(Pool::new(endpoint.host(), endpoint.port()))),
            "https" => Wire::Tls {
                client: reqwest::Client::builder()
                    .connect_timeout(pool::CONNECT_TIMEOUT)
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
                    .map_err(|e| wrong().with_source(e))?,
                base: format!("https://{}", endpoint.authority()).into(),
            },
            _ => return Err(wrong().with_hint("its scheme must be `http` or `https`")),
        };
        Ok(Self {
            wire,
            prefix: endpoint.url().path().trim_end_matches('/').into(),
            host,
            authorization: None,
            timeout: Duration::from_secs(30),
        })
    }

    /// Sends the user and password with every request.
    ///
    /// # Errors
    ///
    /// When the user name holds a colon, which basic authentication cannot carry.
    pub fn with_basic_auth(mut self, user: &str, password: &SecretText) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::InvalidInput, format!("sign in as `{user}`"));
        if user.contains(':') {
            return Err(wrong().with_source("a user name must not hold a colon"));
        }
        let token = base64::engine::general_purpose::STANDARD
            .encode(format!("{user}:{}", password.expose()));
        let mut value = HeaderValue::from_str(&format!("Basic {token}"))
            .map_err(|error| wrong().with_source(error))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Waits that long for the head of an answer, and again for each piece of its body.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Keeps up to that many idle connections instead of 8.
    #[must_use]
    pub fn with_idle_connections(self, most: usize) -> Self {
        if let Wire::Plain(pool) = &self.wire {
            pool.set_most_idle(most);
        }
        self
    }

    /// A request for `path` (with its query, everything escaped already), with the headers that all requests have.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
    ) -> Result<Request<Payload>, HttpError> {
        let uri: Uri = format!("{}{path}", self.prefix)
            .parse()
            .map_err(HttpError::request)?;
        let mut request = Request::new(payload);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("mlops-serving"));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        Ok(request)
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, request: Request<Payload>) -> Result<Answer, HttpError> {
        self.send_within(request, self.timeout).await
    }

    /// As [`Self::send`], with a limit of its own.
    pub(crate) async fn send_within(
        &self,
        request: Request<Payload>,
        limit: Duration,
    ) -> Result<Answer, HttpError> {
        let sending = async {
            match &self.wire {
                Wire::Plain(pool) => pool.send(request).await,
                Wire::Tls { client, base } => {
                    let (parts, payload) = request.into_parts();
                    let url = format!("{base}{}", parts.uri);
                    let mut call = client.request(parts.method, url).headers(parts.headers);
                    if !hyper::body::Body::is_end_stream(&payload) {
                        call = call.body(reqwest::Body::wrap(payload));
                    }
                    call.send()
                        .await
                        .map(Answer::from_reqwest)
                        .map_err(HttpError::from)
                }
            }
        };
        match tokio::time::timeout(limit, sending).await {
            Ok(answer) => answer.map(|answer| answer.with_timeout(limit)),
            Err(_) => Err(HttpError::Timeout(limit)),
        }
    }
}
