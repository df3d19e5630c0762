//! What a Deployment says of a model that its pods serve, and how it comes to say another version.

use futures::StreamExt as _;
use mlops_core::{Error, ErrorKind, Result};
use mlops_k8s::kube::api::{Api, DynamicObject, Patch, PatchParams};
use mlops_k8s::kube::runtime::WatchStreamExt as _;
use mlops_k8s::kube::runtime::watcher::{Config, Event, watcher};
use serde_json::{Value, json};

/// One Deployment on its way to pods of another version.
pub(super) struct Roll {
    pub(super) deployments: (Api<DynamicObject>, String),
    pub(super) pods: Api<DynamicObject>,
    /// The annotation of the pods that says which version they serve, as an address that does not move.
    pub(super) annotation: String,
    /// The annotation of the Deployment that says what they served before, empty for what its own description says. It
    /// is there from the first write of a roll to the last, so what a kill leaves is known by it.
    pub(super) before: String,
    pub(super) manager: PatchParams,
}

/// What a Deployment's description says of a model.
pub(super) struct Described {
    /// The version of the pods.
    pub(super) pods: Option<String>,
    /// What is to be put back when nobody ends the roll.
    pub(super) before: Option<String>,
}

impl Roll {
    fn doing(&self) -> String {
        format!("roll deployment `{}`", self.deployments.1)
    }

    pub(super) async fn find(&self) -> Result<Described> {
        let (api, name) = &self.deployments;
        let now = api.get(name).await;
        let now = now.map_err(|error| mlops_k8s::wrap(error, self.doing()))?;
        let annotations = now.data.pointer("/spec/template/metadata/annotations");
        let said = annotations.and_then(|all| all.get(&self.annotation)?.as_str());
        let own = now.metadata.annotations.unwrap_or_default();
        Ok(Described {
            pods: said.map(str::to_owned),
            before: own.get(&self.before).cloned(),
        })
    }

    pub(super) async fn write(&self, uri: Option<&str>, before: Option<&str>) -> Result<()> {
        let (api, name) = &self.deployments;
        let annotations = |name: &str, text: Option<&str>| -> serde_json::Map<String, Value> {
            text.map(|text| (name.to_owned(), text.into()))
                .into_iter()
                .collect()
        };
        let patch = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": name, "annotations": annotations(&self.before, before) },
            "spec": { "template": { "metadata": { "annotations": annotations(&self.annotation, uri) } } },
        });
        let written = api.patch(name, &self.manager, &Patch::Apply(&patch)).await;
        written
            .map(drop)
            .map_err(|error| mlops_k8s::wrap(error, self.doing()))
    }

    /// Why a pod of that version has ended; waits for good when none does.
    pub(super) async fn refusal(&self, uri: &str) -> Error {
        let mut seen = watcher(self.pods.clone(), Config::default())
            .default_backoff()
            .boxed();
        // A watch that fails begins again; who may not watch only waits longer.
        while let Some(event) = seen.next().await {
            let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else {
                continue;
            };
            let annotations = pod.metadata.annotations.as_ref();
            let said = annotations.and_then(|all| all.get(&self.annotation));
            if said.map(String::as_str) == Some(uri)
                && pod.metadata.deletion_timestamp.is_none()
                && let Some(reason) = ended(&pod.data)
            {
                return Error::new(ErrorKind::Failed, self.doing()).with_source(reason);
            }
        }
        std::future::pending().await
    }
}

/// What a container said when it ended, if one has.
fn ended(pod: &Value) -> Option<String> {
    let containers = pod.pointer("/status/containerStatuses")?.as_array()?;
    containers.iter().find_map(|container| {
        let states = ["state", "lastState"].map(|state| container.get(state)?.get("terminated"));
        let end = states.into_iter().flatten().next()?;
        let text = |name: &str| end.get(name).and_then(Value::as_str).unwrap_or_default();
        let said = match text("message").trim() {
            "" => format!("a new pod ended: {}", text("reason")),
            message => message.to_owned(),
        };
        Some(said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_ended_tells_why() {
        let pod = |container: Value| json!({ "status": { "containerStatuses": [container] } });
        let running = json!({ "state": { "running": {} }, "lastState": {} });
        assert_eq!(ended(&pod(running)), None);
        assert_eq!(ended(&json!({ "status": {} })), None);
        let said = json!({ "exitCode": 1, "reason": "Error", "message": "wrong\n" });
        let again = json!({ "state": { "running": {} }, "lastState": { "terminated": said } });
        assert_eq!(ended(&pod(again)).as_deref(), Some("wrong"));
        let killed =
            json!({ "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } });
        assert_eq!(
            ended(&pod(killed)).as_deref(),
            Some("a new pod ended: OOMKilled")
        );
    }
}
