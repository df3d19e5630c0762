//! What the calls of the kube crate lack: reads that are made again, and credentials that are renewed.
//!
//! Calls of [`crate::http`] are repeated there, where it is known what they do; they pass here as they are. Watches are
//! begun again by whoever watches.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use tower::Service;

use crate::error::may_pass;
use crate::http::{ATTEMPTS_AT_500, FIRST_PATIENCE, FIRST_PAUSE, LONGEST_PAUSE, Mended, wished};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes a client with the credentials as they are now.
pub(crate) type Make = Arc<dyn Fn() -> BoxFuture<'static, kube::Result<Client>> + Send + Sync>;

/// A client that repeats what is safe to repeat, and asks once for new credentials when the server refuses the old.
pub(crate) fn steady(client: Client, make: Make) -> Client {
    let namespace = client.default_namespace().to_owned();
    let inner = Inner {
        make,
        renewing: tokio::sync::Mutex::new(()),
        current: RwLock::new((0, client)),
    };
    Client::new(
        Steady {
            inner: Arc::new(inner),
        },
        namespace,
    )
}

#[derive(Clone)]
struct Steady {
    inner: Arc<Inner>,
}

struct Inner {
    make: Make,
    renewing: tokio::sync::Mutex<()>,
    /// The client, and how many there were before.
    current: RwLock<(u64, Client)>,
}

impl Service<Request<Body>> for Steady {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.send(request).await.map_err(BoxError::from) })
    }
}

/// What may be done for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// It is repeated as a whole: the answer is read to its end first.
    Whole,
    /// It is repeated until the answer begins: a log, or a connection to a pod.
    Beginning,
    /// It is repeated only when the server asks for that.
    Asked,
    /// Its caller does that.
    None,
}

impl Care {
    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let is_json_patch = || {
            let content = parts.headers.get(CONTENT_TYPE);
            content.is_some_and(|content| content.as_bytes().starts_with(b"application/json-patch"))
        };
        if parts.extensions.get::<Mended>().is_some() || query.contains("watch=") {
            return Self::None;
        }
        if parts.headers.contains_key(UPGRADE) || parts.uri.path().ends_with("/log") {
            return Self::Beginning;
        }
        match parts.method {
            Method::GET | Method::HEAD | Method::DELETE => Self::Whole,
            Method::PATCH if !is_json_patch() => Self::Whole,
            _ => Self::Asked,
        }
    }

    /// Whether another attempt may end better.
    fn repeats(self, answer: &kube::Result<Response<Body>>, attempt: u32) -> bool {
        match answer {
            Ok(answer) => match answer.status() {
                StatusCode::TOO_MANY_REQUESTS => self != Self::None,
                StatusCode::INTERNAL_SERVER_ERROR => {
                    matches!(self, Self::Whole | Self::Beginning) && attempt < ATTEMPTS_AT_500
                }
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => matches!(self, Self::Whole | Self::Beginning),
                _ => false,
            },
            Err(error) => matches!(self, Self::Whole | Self::Beginning) && may_pass(error),
        }
    }
}

impl Inner {
    async fn send(&self, request: Request<Body>) -> kube::Result<Response<Body>> {
        let (parts, mut body) = request.into_parts();
        let care = Care::of(&parts);
        let begun = Instant::now();
        let (mut pause, mut attempt, mut is_renewed) = (FIRST_PAUSE, 0, false);
        loop {
            attempt += 1;
            let again = body.try_clone();
            let (number, client) = self.client();
            let request = Request::from_parts(parts.clone(), body);
            let answer = once(&client, request, care).await;
            // A body that comes piece by piece cannot be sent twice.
            let Some(again) = again else { return answer };
            body = again;
            let is_refused =
                matches!(&answer, Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED);
            if is_refused && !is_renewed && self.renew(number).await {
                is_renewed = true;
                continue;
            }
            let wish = answer.as_ref().ok().and_then(|it| wished(it.headers()));
            let is_over = begun.elapsed() > FIRST_PATIENCE || wish > Some(FIRST_PATIENCE);
            if is_over || !care.repeats(&answer, attempt) {
                return answer;
            }
            tokio::time::sleep(wish.unwrap_or(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn client(&self) -> (u64, Client) {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the credentials as they are now, unless somebody did since that client was taken.
    async fn renew(&self, number: u64) -> bool {
        let _turn = self.renewing.lock().await;
        if self.client().0 != number {
            return true;
        }
        match (self.make)().await {
            Ok(client) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = (number + 1, client);
                true
            }
            // The refusal itself says enough.
            Err(error) => {
                tracing::debug!(%error, "the credentials could not be renewed");
                false
            }
        }
    }
}

async fn once(client: &Client, request: Request<Body>, care: Care) -> kube::Result<Response<Body>> {
    let answer = client.send(request).await?;
    if care != Care::Whole {
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let bytes = body.collect_bytes().await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn care(method: &str, uri: &str, header: Option<(&str, &str)>) -> Care {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        Care::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_what_may_be_made_twice_is() {
        assert_eq!(care("GET", "/api/v1/pods?limit=5", None), Care::Whole);
        assert_eq!(care("GET", "/api/v1/pods?watch=true", None), Care::None);
        assert_eq!(
            care("GET", "/pods/a/log?follow=true", None),
            Care::Beginning
        );
        let upgrade = Some(("upgrade", "websocket"));
        assert_eq!(care("GET", "/pods/a/portforward", upgrade), Care::Beginning);
        assert_eq!(care("POST", "/api/v1/secrets", None), Care::Asked);
        let merge = Some(("content-type", "application/merge-patch+json"));
        assert_eq!(care("PATCH", "/apis/apps/v1/a", merge), Care::Whole);
        let steps = Some(("content-type", "application/json-patch+json"));
        assert_eq!(care("PATCH", "/apis/apps/v1/a", steps), Care::Asked);
    }

    #[tokio::test]
    async fn refused_credentials_are_renewed_once_and_what_breaks_is_repeated() {
        use std::sync::atomic::{AtomicU32, Ordering};

        // The old client is always refused; the new one breaks once, and then answers.
        let old = Client::new(
            tower::service_fn(|_: Request<Body>| async {
                Response::builder().status(401).body(Body::empty())
            }),
            "default",
        );
        let renewals = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&renewals);
        let make: Make = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                let calls = Arc::new(AtomicU32::new(0));
                let service = tower::service_fn(move |_: Request<Body>| {
                    let call = calls.fetch_add(1, Ordering::Relaxed);
                    async move {
                        if call == 0 {
                            let kind = std::io::ErrorKind::ConnectionReset;
                            return Err(BoxError::from(std::io::Error::from(kind)));
                        }
                        Ok(Response::new(Body::from(b"{}".to_vec())))
                    }
                });
                Ok(Client::new(service, "default"))
            })
        });
        let client = steady(old, make);
        let request = |method: &str| {
            Request::builder()
                .method(method)
                .uri("/a")
                .body(Body::empty())
        };
        let answer = client.send(request("GET").unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer = client.send(request("POST").unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(renewals.load(Ordering::Relaxed), 1);
    }

    fn never() -> Make {
        Arc::new(|| -> BoxFuture<'static, _> { panic!("the credentials are good") })
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_asked_again_when_it_says() {
        use crate::http::tests::{busy, pause};

        for (value, least) in [("7", 7000), ("Wed, 21 Oct 2026 07:28:00 GMT", 100)] {
            // Also what must not be made twice: with 429 nothing was done.
            for method in ["GET", "POST"] {
                let (client, asked) = busy(Some(value), serde_json::Value::Null);
                let client = steady(client, never());
                let request = Request::builder().method(method).uri("/a");
                let request = request.body(Body::empty()).unwrap();
                let answer = client.send(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                let found = pause(&asked);
                assert!((least..least + 20).contains(&found), "{value}: {found}");
            }
        }
        let (client, asked) = busy(Some("86400"), serde_json::Value::Null);
        let client = steady(client, never());
        let request = Request::get("/a").body(Body::empty()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status(), 429);
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}
