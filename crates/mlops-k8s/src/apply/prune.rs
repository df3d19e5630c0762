//! Removing, in reverse order, and only what is still what we saw.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use mlops_core::{ErrorKind, Failure, Result};
use serde_json::{Value, json};

use super::write::Writer;
use super::{ApplyEvent, Outcome, PART_OF};
use crate::discovery::Kind;
use crate::http::{Call, find};
use crate::objects::ObjectId;

/// How often an object that changes all the time is looked at again before it is left.
const LOOKS: usize = 8;
const AT_ONCE: usize = 16;

/// An object to remove, as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Doomed {
    pub(crate) id: ObjectId,
    pub(crate) kind: Kind,
    uid: String,
    resource_version: String,
}

impl Doomed {
    pub(crate) fn new(id: ObjectId, kind: Kind, json: &Value) -> Self {
        let text = |path: &str| {
            json.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            id,
            kind,
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
        }
    }

    /// Its place in the order of removing: what answers for others first, so that nothing asks it when it is gone; then
    /// custom objects, while their controllers still run; namespaces last.
    pub(crate) fn rank(&self) -> u8 {
        match (self.id.group.as_str(), self.id.kind.as_str()) {
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => 0,
            ("networking.k8s.io" | "autoscaling" | "policy", _) => 2,
            ("apps" | "batch", _) | ("", "Pod" | "ReplicationController") => 3,
            ("", "Service" | "Endpoints") | ("discovery.k8s.io", _) => 4,
            ("", "PersistentVolumeClaim") => 6,
            ("", "PersistentVolume") | ("storage.k8s.io", _) => 7,
            ("apiextensions.k8s.io", _) => 8,
            ("", "Namespace") => 9,
            ("" | "rbac.authorization.k8s.io" | "scheduling.k8s.io" | "coordination.k8s.io", _) => {
                5
            }
            _ => 1,
        }
    }
}

/// Asks for the removal of all, rank by rank, without waiting until they are gone.
pub(crate) async fn delete_all(
    writer: &Writer<'_>,
    mut doomed: Vec<Doomed>,
) -> Vec<(ObjectId, Outcome)> {
    doomed.sort_by_key(Doomed::rank);
    let mut outcomes = Vec::with_capacity(doomed.len());
    for rank in doomed.chunk_by(|one, other| one.rank() == other.rank()) {
        outcomes.extend(delete_rank(writer, rank).await);
    }
    outcomes
}

/// Asks for the removal of objects of one rank.
pub(crate) async fn delete_rank(writer: &Writer<'_>, rank: &[Doomed]) -> Vec<(ObjectId, Outcome)> {
    let removals: Vec<BoxFuture<'_, _>> = rank
        .iter()
        .map(|doomed| delete_one(writer, doomed).boxed())
        .collect();
    stream::iter(removals)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn delete_one(writer: &Writer<'_>, doomed: &Doomed) -> (ObjectId, Outcome) {
    let outcome = match delete(writer, doomed).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(Failure::from(&error)),
    };
    let id = doomed.id.clone();
    (writer.on_event)(ApplyEvent::Done {
        id: id.clone(),
        outcome: outcome.clone(),
    });
    (id, outcome)
}

/// Removes one, if it is still the one that we saw. One that only changed, as by its controller, is looked at again.
async fn delete(writer: &Writer<'_>, doomed: &Doomed) -> Result<Outcome> {
    let path = doomed
        .kind
        .path(doomed.id.namespace.as_deref(), Some(&doomed.id.name));
    let mut version = doomed.resource_version.clone();
    let mut looks = 0;
    loop {
        let options = json!({
            "preconditions": {"uid": doomed.uid, "resourceVersion": version},
            "propagationPolicy": "Background",
        });
        let call = Call::delete(&path, &options);
        let Err(error) = writer.send(&doomed.id, &call, "remove").await else {
            return Ok(Outcome::Removed);
        };
        looks += 1;
        match error.kind() {
            ErrorKind::NotFound => return Ok(Outcome::Removed),
            ErrorKind::Conflict if looks < LOOKS => {}
            _ => return Err(error),
        }
        let doing = || format!("look for {}", doomed.id);
        let Some(found) = find(writer.client, &Call::get(&path), &doing).await? else {
            return Ok(Outcome::Removed);
        };
        let text = |pointer: &str| {
            found
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let label = found
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(PART_OF));
        if text("/metadata/uid") != doomed.uid
            || label.and_then(Value::as_str) != writer.part_of.as_deref()
        {
            return Ok(Outcome::Left(
                "somebody else made or took it since the plan was made".to_owned(),
            ));
        }
        text("/metadata/resourceVersion").clone_into(&mut version);
    }
}
