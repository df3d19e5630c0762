//! Why a resource does not become ready, and whether waiting for it is of any use.

use std::time::Duration;

use kube::Client;
use mlops_core::kubernetes::ObjectSpec;
use mlops_core::{Error, ErrorKind, Resource};
use serde_json::Value;

use crate::explain::{Cause, CauseCode, Explanation, ObjectRef, explain};

/// The object of a resource, for explanations.
fn subject_of(resource: &Resource) -> Option<ObjectRef> {
    let spec: ObjectSpec = resource.typed().ok()?;
    let text = |path: &str| spec.object.pointer(path).and_then(Value::as_str);
    Some(ObjectRef::new(
        text("/apiVersion")?,
        text("/kind")?,
        text("/metadata/namespace"),
        text("/metadata/name")?,
    ))
}

/// The error of waiting, with the first cause that can be found.
pub(super) async fn explained(client: &Client, resource: &Resource, error: Error) -> Error {
    let Some(subject) = subject_of(resource) else {
        return error;
    };
    match explain(client, &subject).await {
        Ok(Explanation {
            cause: Some(cause), ..
        }) => told(resource, error.kind(), &cause),
        _ => error,
    }
}

fn told(resource: &Resource, kind: ErrorKind, cause: &Cause) -> Error {
    let (subject, message, code) = (&cause.subject, &cause.message, cause.code);
    Error::new(kind, format!("bring up `{}`", resource.id))
        .with_source(format!("{subject}: {message} ({code})"))
        .with_hint(cause.remedy.clone())
}

/// Causes that no waiting heals: somebody must change something.
pub(super) const HOPELESS: [CauseCode; 14] = [
    CauseCode::ImageNotFound,
    CauseCode::ImageNameInvalid,
    CauseCode::ImageNeverPull,
    CauseCode::ImagePullDenied,
    CauseCode::CommandNotFound,
    CauseCode::RunAsNonRootRefused,
    CauseCode::NoStorageClass,
    CauseCode::StorageClassMissing,
    CauseCode::QuotaExceeded,
    CauseCode::LimitRangeViolated,
    CauseCode::PodSecurityViolated,
    CauseCode::WebhookDenied,
    CauseCode::Forbidden,
    // It was written before it is waited for: somebody else has removed it, or its namespace.
    CauseCode::ObjectMissing,
];

/// Ends when a cause that no waiting heals was seen twice: once may be a moment between two writes of a controller.
pub(super) async fn hopeless(client: &Client, resource: &Resource) -> Error {
    let Some(subject) = subject_of(resource) else {
        return std::future::pending().await;
    };
    let mut seen = None;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let Ok(explanation) = explain(client, &subject).await else {
            continue;
        };
        let cause = explanation.cause;
        let cause = cause.filter(|cause| HOPELESS.contains(&cause.code));
        if let Some(cause) = &cause
            && seen == Some(cause.code)
        {
            return told(resource, ErrorKind::Failed, cause);
        }
        seen = cause.map(|cause| cause.code);
    }
}
