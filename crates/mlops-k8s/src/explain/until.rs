//! Explains again whenever something happens, until the answer is there.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use mlops_core::{Error, ErrorKind, Result};

use super::gather::gather;
use super::judge::judge;
use super::kinds::{self, Place, Scope};
use super::model::{Explanation, ObjectRef};

/// How long to let changes gather that come together.
const TOGETHER: Duration = Duration::from_millis(30);

/// Explains a subject again at each event and each change around it, until `done` says so of the explanation.
///
/// Nothing is polled: the events, pods and claims of the namespace, and the subject's own kind, are watched. Between two
/// changes it looks again after 5 seconds, since time alone can make a cause (a provisioner that stays silent).
///
/// # Errors
///
/// [`ErrorKind::Timeout`] with what was seen last when `deadline` passes; otherwise as [`super::explain`].
pub async fn explain_until(
    client: &Client,
    subject: &ObjectRef,
    deadline: Duration,
    done: impl Fn(&Explanation) -> bool,
) -> Result<Explanation> {
    let end = tokio::time::Instant::now() + deadline;
    let mut changes = changes(client, subject).await?;
    loop {
        let explanation = judge(&gather(client, subject).await?);
        if done(&explanation) {
            return Ok(explanation);
        }
        let next = tokio::time::Instant::now() + Duration::from_secs(5);
        tokio::select! {
            _ = changes.next() => {}
            () = tokio::time::sleep_until(next.min(end)) => {}
        }
        if tokio::time::Instant::now() >= end {
            return Err(Error::new(ErrorKind::Timeout, format!("explain {subject}"))
                .with_source(format!("seen last: {explanation}")));
        }
        tokio::time::sleep(TOGETHER).await;
        while changes.next().now_or_never().flatten().is_some() {}
    }
}

/// One item for each change around a subject.
async fn changes(client: &Client, subject: &ObjectRef) -> Result<BoxStream<'static, ()>> {
    let namespace = if subject.kind == "Namespace" {
        Some(subject.name.clone())
    } else {
        subject.namespace.clone()
    };
    let around = [
        ("Event", "events"),
        ("Pod", "pods"),
        ("PersistentVolumeClaim", "persistentvolumeclaims"),
    ];
    let mut streams = Vec::new();
    if let Some(namespace) = &namespace {
        for (kind, plural) in around {
            let api = kinds::metadata_api(
                client,
                &kinds::resource("v1", kind, plural),
                Some(namespace),
            );
            streams.push(watch(api, watcher::Config::default()));
        }
    }
    if let Place::Served(resource, scope) = kinds::place(client, subject).await? {
        let within = subject
            .namespace
            .as_deref()
            .filter(|_| scope == Scope::Namespaced);
        let only = watcher::Config::default().fields(&format!("metadata.name={}", subject.name));
        streams.push(watch(kinds::metadata_api(client, &resource, within), only));
    }
    // A watch that ends or fails is started again with growing pauses; without any the stream waits for good.
    streams.push(stream::pending().boxed());
    Ok(stream::select_all(streams).boxed())
}

fn watch(api: kube::Api<PartialObjectMeta>, config: watcher::Config) -> BoxStream<'static, ()> {
    watcher(api, config)
        .default_backoff()
        .filter_map(|change| async move { change.is_ok().then_some(()) })
        .boxed()
}
