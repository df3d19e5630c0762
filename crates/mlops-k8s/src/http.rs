//! One request to the API server, made again where that is safe. What calls of the kube crate need of that is in
//! [`crate::steady`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use kube::client::Body;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::error::{Refusal, wrap};

/// Asks for metadata only: lists of what is there, and answers to writes, whose content we sent ourselves.
pub(crate) const METADATA_OF_ONE: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
pub(crate) const METADATA_OF_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const JSON: &str = "application/json";
/// JSON is YAML; the server knows server-side apply by this type.
const APPLY: &str = "application/apply-patch+yaml";

/// The longest wait for one answer. Webhooks may take 30 seconds, and several can stand behind one write.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(90);
/// For how long a call that fails is made again.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same for the first calls of all: a server that is not there at all is told sooner.
pub(crate) const FIRST_PATIENCE: Duration = Duration::from_secs(20);
/// The server answers 500 for what may pass and for what will not, such as a webhook that is not there.
pub(crate) const ATTEMPTS_AT_500: u32 = 6;
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Marks a request that is repeated by whoever sends it, so that two levels do not multiply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mended;

/// A request as data.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) content: &'static str,
    pub(crate) body: Bytes,
    /// Whether making it twice has the effect of making it once.
    pub(crate) is_repeatable: bool,
    /// For how long it is made again.
    pub(crate) patience: Duration,
    /// How long an answer of 404 is not believed: an API that was just defined needs a moment.
    pub(crate) not_found_for: Duration,
}

impl Call {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            accept: JSON,
            content: JSON,
            body: Bytes::new(),
            is_repeatable: true,
            patience: PATIENCE,
            not_found_for: Duration::ZERO,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn apply(path: &str, manager: &str, is_forced: bool, body: Vec<u8>) -> Self {
        let path =
            format!("{path}?fieldManager={manager}&fieldValidation=Strict&force={is_forced}");
        Self {
            accept: METADATA_OF_ONE,
            content: APPLY,
            body: Bytes::from(body),
            ..Self::new(Method::PATCH, path)
        }
    }

    /// A create: made again after a lost answer, it would answer that the thing exists, so the caller decides.
    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self {
            body: Bytes::from(body.to_string()),
            is_repeatable: false,
            ..Self::new(Method::POST, path)
        }
    }

    /// A replacement, which carries the `resourceVersion` that it is meant for.
    pub(crate) fn put(path: impl Into<String>, body: &Value) -> Self {
        Self {
            body: Bytes::from(body.to_string()),
            is_repeatable: false,
            ..Self::new(Method::PUT, path)
        }
    }

    pub(crate) fn delete(path: impl Into<String>, options: &Value) -> Self {
        Self {
            body: Bytes::from(options.to_string()),
            ..Self::new(Method::DELETE, path)
        }
    }

    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

/// What came of one attempt that failed.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) code: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
}

/// Stands beside the attempts of a call.
pub(crate) trait Attend: Sync {
    /// Asked before each attempt; an error ends the call.
    fn may_send(&self) -> Result<()> {
        Ok(())
    }

    /// The longest wait for the answer of one attempt.
    fn attempt_within(&self) -> Duration {
        ATTEMPT
    }

    /// Told of each attempt that failed and will be made again after a pause.
    fn retries(&self, _failed: &Failed, _pause: Duration) {}
}

/// Nobody.
pub(crate) struct Unattended;

impl Attend for Unattended {}

/// Sends a call, and again while that is safe and may help.
pub(crate) async fn send(
    client: &kube::Client,
    call: &Call,
    doing: &(dyn Fn() -> String + Sync),
    attend: &dyn Attend,
) -> Result<Value> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        attend.may_send()?;
        let failed = match attempt_once(client, call, doing, attend.attempt_within()).await {
            Ok(value) => return Ok(value),
            Err(failed) => failed,
        };
        let waited = started.elapsed();
        if !may_pass(call, &failed, attempt, waited) || waited > call.patience {
            return Err(failed.error);
        }
        // Clients that failed together must not come back together.
        let chosen = failed.retry_after.unwrap_or_else(|| scattered(pause));
        attend.retries(&failed, chosen);
        tokio::time::sleep(chosen).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Sends a call without telling anybody of retries.
pub(crate) async fn ask(
    client: &kube::Client,
    call: &Call,
    doing: &(dyn Fn() -> String + Sync),
) -> Result<Value> {
    send(client, call, doing, &Unattended).await
}

/// As [`ask`], where "not found" is an answer.
pub(crate) async fn find(
    client: &kube::Client,
    call: &Call,
    doing: &(dyn Fn() -> String + Sync),
) -> Result<Option<Value>> {
    match ask(client, call, doing).await {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn may_pass(call: &Call, failed: &Failed, attempt: u32, waited: Duration) -> bool {
    match failed.code {
        Some(404) => waited < call.not_found_for,
        // The server itself asks for another attempt; nothing has happened.
        Some(429) => true,
        _ if !call.is_repeatable => false,
        Some(500) => attempt < ATTEMPTS_AT_500,
        // The server gave up after it lost races against other writers: not a conflict of fields.
        Some(409) => {
            call.content == APPLY
                && attempt < ATTEMPTS_AT_500
                && !Refusal::of(&failed.error).is_some_and(Refusal::is_field_conflict)
        }
        // An answer that is cut off, or of something that stands between.
        None if failed.error.kind() == ErrorKind::Protocol => attempt < ATTEMPTS_AT_500,
        _ => failed.error.is_retryable(),
    }
}

async fn attempt_once(
    client: &kube::Client,
    call: &Call,
    doing: &(dyn Fn() -> String + Sync),
    within: Duration,
) -> Result<Value, Failed> {
    let plain = |error: Error| Failed {
        error,
        code: None,
        retry_after: None,
    };
    let request = Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(ACCEPT, call.accept)
        .header(CONTENT_TYPE, call.content)
        .extension(Mended)
        .body(Body::from(call.body.clone()))
        .map_err(|error| plain(Error::new(ErrorKind::InvalidInput, doing()).with_source(error)))?;
    let exchange = async {
        let response = client
            .send(request)
            .await
            .map_err(|error| plain(wrap(error, doing())))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = response.into_body().collect_bytes().await;
        let body = body.map_err(|error| {
            let error = Error::new(ErrorKind::Unavailable, doing()).with_source(error);
            plain(error.with_hint("the connection broke in the middle of an answer"))
        })?;
        if !status.is_success() {
            let code = status.as_u16();
            let refusal = Refusal::read(code, retry_after, &body);
            let retry_after = refusal.retry_after;
            let error = refusal.into_error(doing());
            return Err(Failed {
                error,
                code: Some(code),
                retry_after,
            });
        }
        serde_json::from_slice(&body)
            .map_err(|error| plain(Error::new(ErrorKind::Protocol, doing()).with_source(error)))
    };
    match tokio::time::timeout(within, exchange).await {
        Ok(done) => done,
        Err(late) => Err(plain(
            Error::new(ErrorKind::Timeout, doing()).with_source(late),
        )),
    }
}

/// Between a half and all of a pause, by the clock's last digits: enough to part clients.
fn scattered(pause: Duration) -> Duration {
    let digits = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos() % 1000);
    pause / 2 + (pause / 2) * digits / 1000
}
