//! Why a resource does not become ready, and whether waiting for it is of any use.

use kube::Client;
use mlops_core::kubernetes::ObjectSpec;
use mlops_core::{Error, ErrorKind, EventSink, Resource};
use serde_json::Value;

use crate::explain::{Cause, Explanation, ObjectRef, Waits, explain, hopeless, told};

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
        }) => told(error.kind(), of(resource), &cause),
        _ => error,
    }
}

fn of(resource: &Resource) -> String {
    format!("bring up `{}`", resource.id)
}

/// Ends with the error of a resource for which waiting is of no use; what else keeps it from being ready is told as its
/// progress.
pub(super) async fn hopeless_resource(
    client: &Client,
    resource: &Resource,
    events: &EventSink,
) -> Error {
    let Some(subject) = subject_of(resource) else {
        return std::future::pending().await;
    };
    let tell = |cause: &Cause| events.progress(&resource.id, cause.line());
    let cause = hopeless(client, &subject, Waits::ForObject, &tell).await;
    told(ErrorKind::Failed, of(resource), &cause)
}
