//! One request to the API server, made again where that is safe. What calls of the kube crate need of that is in
//! [`crate::steady`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request};
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
        // A pause that is longer than all of our patience is an answer: nobody waits for an hour.
        let is_over = waited > call.patience || failed.retry_after > Some(call.patience);
        if is_over || !may_pass(call, &failed, attempt, waited) {
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
        let retry_after = wished(response.headers());
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

/// How long the server asks to wait before the next attempt: whole seconds, as API servers send them. A date, which HTTP
/// knows as well (<https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after>), and anything else counts as no wish:
/// then the pauses are our own.
pub(crate) fn wished(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Between a half and all of a pause, by the clock's last digits: enough to part clients.
fn scattered(pause: Duration) -> Duration {
    let digits = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos() % 1000);
    pause / 2 + (pause / 2) * digits / 1000
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use http::Response;
    use serde_json::json;

    use super::*;

    /// When each request came.
    pub(crate) type Asked = Arc<Mutex<Vec<tokio::time::Instant>>>;

    /// A client whose first request is answered with 429, this header and this body, and the next with `{}`.
    pub(crate) fn busy(retry_after: Option<&'static str>, body: Value) -> (kube::Client, Asked) {
        let asked = Asked::default();
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            let mut seen = seen.lock().unwrap();
            seen.push(tokio::time::Instant::now());
            let mut answer = Response::builder();
            let mut text = "{}".to_owned();
            if seen.len() == 1 {
                answer = answer.status(429);
                text = body.to_string();
                if let Some(value) = retry_after {
                    answer = answer.header(RETRY_AFTER, value);
                }
            }
            let answer = answer.body(Body::from(text.into_bytes()));
            async move { answer }
        });
        (kube::Client::new(service, "default"), asked)
    }

    /// The pause between the two requests, in milliseconds: by a clock that moves only when everybody waits.
    pub(crate) fn pause(asked: &Asked) -> u128 {
        let asked = asked.lock().unwrap();
        let [first, second] = asked[..] else {
            panic!("asked {} times", asked.len())
        };
        (second - first).as_millis()
    }

    async fn pause_of(retry_after: Option<&'static str>, body: Value) -> u128 {
        let (client, asked) = busy(retry_after, body);
        let call = Call::post("/api/v1/namespaces", &json!({}));
        ask(&client, &call, &|| "make it".to_owned()).await.unwrap();
        pause(&asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_asked_again_when_it_says() {
        for (seconds, millis) in [("7", 7000), ("1", 1000), ("0", 0)] {
            let found = pause_of(Some(seconds), Value::Null).await;
            assert!((millis..millis + 20).contains(&found), "{seconds}: {found}");
        }
        let wish = json!({"kind": "Status", "details": {"retryAfterSeconds": 3}});
        let found = pause_of(None, wish.clone()).await;
        assert!((3000..3020).contains(&found), "{found}");
        // The header is the word of who answered last.
        let found = pause_of(Some("2"), wish).await;
        assert!((2000..2020).contains(&found), "{found}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_number_of_seconds_is_no_wish() {
        for value in ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-1", "1.5", ""] {
            let found = pause_of(Some(value), Value::Null).await;
            assert!((50..120).contains(&found), "{value}: {found}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_longer_than_a_call_is_worth() {
        let (client, asked) = busy(Some("100000"), Value::Null);
        let error = ask(&client, &Call::get("/api"), &|| "look".to_owned()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        let wish = Refusal::of(&error).unwrap().retry_after;
        assert_eq!(wish, Some(Duration::from_secs(100_000)));
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}
