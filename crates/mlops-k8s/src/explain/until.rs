//! Explains again whenever something happens, until the answer is there.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use kube::Client;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use mlops_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep_until};

use super::gather::gather;
use super::judge::judge;
use super::kinds::{self, Place, Scope};
use super::model::{Explanation, ObjectRef};

/// How long to let changes gather that come together.
const TOGETHER: Duration = Duration::from_millis(30);

/// How long it looks no further when nothing happens: time alone can make a cause (a provisioner that stays silent).
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// What comes after an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It was the last one.
    Done,
    /// Another follows: with the next change, and after this time at the latest.
    Within(Duration),
}

/// How often one explains, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long nothing is looked at after an explanation, however much happens.
    pub(super) pause: Duration,
    /// When to give up.
    pub(super) end: Instant,
}

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
    let pace = Pace {
        pause: Duration::ZERO,
        end: Instant::now() + deadline,
    };
    let look = move |explanation: &Explanation| {
        if done(explanation) {
            Next::Done
        } else {
            Next::Within(QUIET)
        }
    };
    follow(client, subject, pace, look).await
}

/// Explains a subject, and waits for a cause when it is not ready and has none yet: the last explanation, whether there is
/// one in it by then or not.
///
/// ```no_run
/// # async fn example(client: kube::Client) -> mlops_core::Result<()> {
/// use std::time::Duration;
/// use mlops_k8s::explain::{ObjectRef, explain_within};
///
/// let pod = ObjectRef::new("v1", "Pod", Some("models"), "web");
/// println!("{}", explain_within(&client, &pod, Duration::from_secs(30)).await?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`super::explain`].
pub async fn explain_within(
    client: &Client,
    subject: &ObjectRef,
    within: Duration,
) -> Result<Explanation> {
    let end = Instant::now() + within;
    let is_clear = |explanation: &Explanation| explanation.ready || explanation.cause.is_some();
    let explanation = judge(&gather(client, subject).await?);
    if is_clear(&explanation) || within.is_zero() {
        return Ok(explanation);
    }
    let pace = Pace {
        pause: Duration::ZERO,
        end,
    };
    let look = |explanation: &Explanation| {
        if is_clear(explanation) {
            Next::Done
        } else {
            Next::Within(QUIET)
        }
    };
    Ok(follow_on(client, subject, pace, look).await?.0)
}

/// The same for who remembers from one explanation to the next.
pub(super) async fn follow(
    client: &Client,
    subject: &ObjectRef,
    pace: Pace,
    look: impl FnMut(&Explanation) -> Next,
) -> Result<Explanation> {
    match follow_on(client, subject, pace, look).await? {
        (explanation, Ended::Done) => Ok(explanation),
        (explanation, Ended::Late) => {
            Err(Error::new(ErrorKind::Timeout, format!("explain {subject}"))
                .with_source(format!("seen last: {explanation}")))
        }
    }
}

/// How following ended.
enum Ended {
    /// An explanation was the last one by what it says.
    Done,
    /// Time was up.
    Late,
}

/// The last explanation.
async fn follow_on(
    client: &Client,
    subject: &ObjectRef,
    pace: Pace,
    mut look: impl FnMut(&Explanation) -> Next,
) -> Result<(Explanation, Ended)> {
    let mut changes = changes(client, subject).await?;
    loop {
        let explanation = judge(&gather(client, subject).await?);
        let looked = Instant::now();
        let next = match look(&explanation) {
            Next::Done => return Ok((explanation, Ended::Done)),
            Next::Within(within) => looked + within,
        };
        tokio::select! {
            _ = changes.next() => {}
            () = sleep_until(next.min(pace.end)) => {}
        }
        if Instant::now() >= pace.end {
            return Ok((explanation, Ended::Late));
        }
        tokio::time::sleep(TOGETHER).await;
        sleep_until(pace.end.min(looked + pace.pause)).await;
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
