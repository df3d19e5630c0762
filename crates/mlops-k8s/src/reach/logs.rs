//! What the containers behind a workload print.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _, select_all};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt as _};
use mlops_core::{Error, ErrorKind, Result};

use crate::error::wrap;

/// What is read of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// How many of the last lines of each container; all by default.
    pub lines: Option<u32>,
    /// Whether it goes on with what is printed from then on.
    pub follow: bool,
    /// Whether the container that ran before, and ended, is meant.
    pub previous: bool,
    /// Only what was printed in the time before now.
    pub since: Option<Duration>,
}

impl Default for LogOptions {
    /// The last 100 lines of the running containers.
    fn default() -> Self {
        Self {
            lines: Some(100),
            follow: false,
            previous: false,
            since: None,
        }
    }
}

/// A line of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The pod.
    pub pod: String,
    /// The container in it.
    pub container: String,
    /// The line, as it was printed: it may hold control characters.
    pub text: String,
}

/// The lines of all containers of the pods that `labels` select, such as `app=mlflow`. Lines of one container are in
/// their order; those of several come as they arrive. A container that has printed nothing yet has no lines.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] when no pod has those labels; others when the server cannot be asked. What breaks later is
/// an item of the stream.
pub async fn logs(
    client: &Client,
    namespace: &str,
    labels: &str,
    options: LogOptions,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    let doing = || format!("read the logs of `{labels}` in namespace `{namespace}`");
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods
        .list(&ListParams::default().labels(labels))
        .await
        .map_err(|error| wrap(error, doing()))?;
    if found.items.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, doing()).with_source("no pod has those labels"));
    }
    let mut streams = Vec::new();
    for pod in &found.items {
        for container in started(pod, options.previous) {
            let lines = container_lines(&pods, &pod.name_any(), &container, options).await;
            streams.push(lines.map_err(|error| wrap(error, doing()))?);
        }
    }
    Ok(select_all(streams).boxed())
}

/// The containers of a pod that have a log to read: the server refuses to read that of one that never started.
fn started(pod: &Pod, previous: bool) -> Vec<String> {
    let status = pod.status.as_ref();
    let lists = status.map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    let mut names = BTreeMap::new();
    for (index, container) in lists.into_iter().flatten().enumerate() {
        let state = if previous {
            container.last_state.as_ref()
        } else {
            container.state.as_ref()
        };
        let has_log =
            state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        if has_log {
            names.insert(index, container.name.clone());
        }
    }
    names.into_values().collect()
}

async fn container_lines(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    options: LogOptions,
) -> kube::Result<BoxStream<'static, Result<LogLine>>> {
    let seconds = options
        .since
        .map(|since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let params = LogParams {
        container: Some(container.to_owned()),
        follow: options.follow,
        previous: options.previous,
        // The server takes nothing below one second.
        since_seconds: seconds.map(|seconds| seconds.max(1)),
        tail_lines: options.lines.map(i64::from),
        ..LogParams::default()
    };
    let (pod, container) = (pod.to_owned(), container.to_owned());
    let lines = pods.log_stream(&pod, &params).await?.lines();
    let name = pod.clone();
    Ok(lines
        .map_ok(move |text| LogLine {
            pod: pod.clone(),
            container: container.clone(),
            text,
        })
        .map_err(move |error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("read the log of pod `{name}`"),
            )
            .with_source(error)
        })
        .boxed())
}
