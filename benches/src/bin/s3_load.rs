//! PUT and GET of many small objects and a large one, against any S3 server.
//!
//! Requests are signed before the clock starts (the payload is not part of the signature), and each connection is kept.
//!
//! Needs:  `S3_ACCESS_KEY` and `S3_SECRET_KEY`
//! Prints: `{"put_small":…,"get_small":…,"put_large":…,"get_large":…}`, seconds

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for the benchmarks: it prints its figures and is handed keys by environment"
)]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use clap::Parser;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use url::Url;

#[derive(Debug, Parser)]
struct Arguments {
    /// The server, as in <http://127.0.0.1:9000>.
    endpoint: Url,
    /// Made when it is not there.
    #[arg(long, default_value = "bench")]
    bucket: String,
    /// How many small objects.
    #[arg(long, default_value_t = 1000)]
    objects: u32,
    /// Bytes of a small object.
    #[arg(long, default_value_t = 100_000)]
    small: u64,
    /// Bytes of the large object.
    #[arg(long, default_value_t = 1_000_000_000)]
    large: u64,
    /// Connections for the small objects; the large one has one.
    #[arg(long, default_value_t = 8)]
    connections: usize,
}

#[derive(Debug, Default, Serialize)]
struct Seconds {
    put_small: f64,
    get_small: f64,
    put_large: f64,
    get_large: f64,
}

/// A body of one piece of memory, again and again.
struct Repeated {
    piece: Bytes,
    left: u64,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(self.piece.len());
        let next = self.piece.slice(..size);
        self.left -= size as u64;
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// One request that is ready to go, the answers it may have and the bytes that must come back.
struct Step {
    request: Request<Repeated>,
    expected: &'static [StatusCode],
    answer: Option<u64>,
}

/// The server, the keys and the bytes that are sent.
struct Client {
    endpoint: Url,
    bucket: String,
    credentials: Credentials,
    piece: Bytes,
}

impl Client {
    fn put(&self, key: &str, size: u64) -> Result<Step> {
        Ok(Step {
            request: self.signed(Method::PUT, key, size)?,
            expected: &[StatusCode::OK],
            answer: None,
        })
    }

    fn get(&self, key: &str, size: u64) -> Result<Step> {
        Ok(Step {
            request: self.signed(Method::GET, key, 0)?,
            expected: &[StatusCode::OK],
            answer: Some(size),
        })
    }

    fn delete(&self, key: &str) -> Result<Step> {
        Ok(Step {
            request: self.signed(Method::DELETE, key, 0)?,
            expected: &[StatusCode::NO_CONTENT, StatusCode::OK],
            answer: None,
        })
    }

    fn signed(&self, method: Method, key: &str, size: u64) -> Result<Request<Repeated>> {
        let path = format!("{}/{key}", self.bucket);
        let url = self.endpoint.join(path.trim_end_matches('/'))?;
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let signable = SignableRequest::new(
            method.as_str(),
            url.as_str(),
            std::iter::empty(),
            SignableBody::UnsignedPayload,
        )?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::builder()
            .method(method)
            .uri(url.path())
            .header("host", url.authority());
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        Ok(request.body(Repeated {
            piece: self.piece.clone(),
            left: size,
        })?)
    }

    async fn connect(&self) -> Result<SendRequest<Repeated>> {
        let address = self.endpoint.socket_addrs(|| None)?;
        let stream = TcpStream::connect(address.as_slice()).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Sends all steps over so many kept connections and hands back the seconds it took.
    async fn all(&self, connections: usize, steps: Vec<Step>) -> Result<f64> {
        let mut senders = Vec::new();
        for _ in 0..connections {
            senders.push(self.connect().await?);
        }
        let steps = Arc::new(Mutex::new(steps.into_iter()));
        let start = Instant::now();
        let workers: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                let steps = Arc::clone(&steps);
                tokio::spawn(async move {
                    // The lock is let go before the request is sent.
                    while let Some(step) = next(&steps) {
                        one(&mut sender, step).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker.await??;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn next(steps: &Mutex<std::vec::IntoIter<Step>>) -> Option<Step> {
    steps.lock().ok()?.next()
}

async fn one(sender: &mut SendRequest<Repeated>, step: Step) -> Result<()> {
    let what = format!("{} {}", step.request.method(), step.request.uri());
    sender.ready().await?;
    let mut response = sender.send_request(step.request).await?;
    let mut size = 0;
    let mut start = Vec::new();
    while let Some(frame) = response.frame().await {
        if let Some(data) = frame?.data_ref() {
            size += data.len() as u64;
            if start.len() < 500 && !response.status().is_success() {
                start.extend_from_slice(data);
            }
        }
    }
    if !step.expected.contains(&response.status()) {
        bail!(
            "{what} was answered with {}: {}",
            response.status(),
            String::from_utf8_lossy(&start)
        );
    }
    if let Some(expected) = step.answer {
        ensure!(
            size == expected,
            "{what} was answered with {size} bytes, not {expected}"
        );
    }
    Ok(())
}

async fn measure(arguments: &Arguments, client: &Client) -> Result<Seconds> {
    let mut bucket = client.put("", 0)?;
    bucket.expected = &[StatusCode::OK, StatusCode::CONFLICT];
    client.all(1, vec![bucket]).await?;

    let keys: Vec<String> = (0..arguments.objects)
        .map(|n| format!("small-{n:06}"))
        .collect();
    let many = |step: &dyn Fn(&str) -> Result<Step>| keys.iter().map(|key| step(key)).collect();
    let Arguments {
        small,
        large,
        connections,
        ..
    } = *arguments;

    let mut seconds = Seconds::default();
    let steps: Result<Vec<Step>> = many(&|key| client.put(key, small));
    seconds.put_small = client.all(connections, steps?).await?;
    let steps: Result<Vec<Step>> = many(&|key| client.get(key, small));
    seconds.get_small = client.all(connections, steps?).await?;
    seconds.put_large = client.all(1, vec![client.put("large", large)?]).await?;
    seconds.get_large = client.all(1, vec![client.get("large", large)?]).await?;

    let steps: Result<Vec<Step>> = many(&|key| client.delete(key));
    client.all(connections, steps?).await?;
    client.all(1, vec![client.delete("large")?]).await?;
    Ok(seconds)
}

/// A mebibyte that does not compress, the same in every run.
fn piece() -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..1 << 17)
        .flat_map(|_| {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect::<Vec<u8>>()
        .into()
}

/// One thread: the client shall leave the cores to the server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let key = |name| std::env::var(name).with_context(|| format!("`{name}` is not set"));
    let client = Client {
        endpoint: arguments.endpoint.clone(),
        bucket: arguments.bucket.clone(),
        credentials: Credentials::new(
            key("S3_ACCESS_KEY")?,
            key("S3_SECRET_KEY")?,
            None,
            None,
            "environment",
        ),
        piece: piece(),
    };
    let seconds = measure(&arguments, &client).await?;
    println!("{}", serde_json::to_string(&seconds)?);
    Ok(())
}
