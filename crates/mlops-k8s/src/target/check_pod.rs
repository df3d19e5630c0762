//! The pod of a check: its end, why it does not come, and what it printed.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt as _};
use mlops_core::{Error, ErrorKind, Result};

use super::check::Ended;
use super::check_objects::NAME;
use crate::error::wrap;
use crate::explain::{Cause, CauseCode, ObjectRef, explain, told};

/// How long a check may take, the start of its pod and the pull of its image included.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);

/// A log that is longer is no report.
const MOST_LOG: i64 = 16 << 20;

/// The pod of the check, as soon as it has ended.
pub(super) async fn ended_pod(client: &Client, namespace: &str) -> Result<Pod> {
    let doing = "watch the pod of the check";
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = watcher::Config::default().labels(&format!("batch.kubernetes.io/job-name={NAME}"));
    let mut seen = watcher(pods, ours)
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(pod) = seen.next().await {
        match pod {
            Ok(pod) => {
                let phase = pod
                    .status
                    .as_ref()
                    .and_then(|status| status.phase.as_deref());
                if matches!(phase, Some("Succeeded" | "Failed")) {
                    return Ok(pod);
                }
            }
            // It begins again by itself; only what no other attempt mends ends it.
            Err(
                watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error),
            ) => {
                let error = wrap(error, doing);
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::NotFound
                ) {
                    return Err(error);
                }
            }
            Err(error) => tracing::debug!(%error, "the watch of the check's pod failed"),
        }
    }
    Err(Error::new(ErrorKind::Failed, doing).with_source("the watch ended"))
}

/// The error of a check that cannot start.
pub(super) fn failed(cause: &Cause) -> Error {
    let error = told(ErrorKind::Failed, "start the check in the cluster", cause);
    let code = cause.code;
    if code.as_str().starts_with("image-") || code == CauseCode::RegistryUnreachable {
        return error.with_hint(format!(
            "{}; `images` in the platform file names another image that has `mlops`",
            cause.remedy
        ));
    }
    error
}

/// The error of a check that took too long, with the first cause that can be found.
pub(super) async fn late(client: &Client, subject: &ObjectRef) -> Error {
    let doing = "check from inside the cluster";
    let within = format!("it did not end within {} s", PATIENCE.as_secs());
    let cause = explain(client, subject).await.ok();
    let cause = cause.and_then(|explanation| explanation.cause);
    let error = Error::new(ErrorKind::Timeout, doing);
    match cause {
        Some(cause) => error
            .with_source(format!("{within}: {}", cause.line()))
            .with_hint(cause.remedy),
        None => error.with_source(within),
    }
}

/// What the pod printed; an error with its cause when it did not end by itself.
pub(super) async fn read(
    client: &Client,
    namespace: &str,
    subject: &ObjectRef,
    pod: &Pod,
) -> Result<Ended> {
    let statuses = pod.status.iter();
    let mut statuses = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    let ended = statuses.find_map(|status| status.state.as_ref()?.terminated.clone());
    let ended = ended.filter(|ended| {
        let reason = ended.reason.as_deref().unwrap_or_default();
        matches!(reason, "Completed" | "Error")
    });
    let Some(ended) = ended else {
        let explanation = explain(client, subject).await?;
        return Err(match explanation.cause {
            Some(cause) => failed(&cause),
            None => Error::new(ErrorKind::Failed, "check from inside the cluster")
                .with_source(format!("the pod {} was ended", pod.name_any())),
        });
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let options = LogParams {
        limit_bytes: Some(MOST_LOG),
        ..LogParams::default()
    };
    let log = pods.logs(&pod.name_any(), &options).await;
    let log = log.map_err(|error| wrap(error, "read what the check printed"))?;
    Ok(Ended {
        log,
        code: ended.exit_code,
    })
}
