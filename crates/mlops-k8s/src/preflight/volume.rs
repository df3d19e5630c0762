//! Whether a volume really binds: a claim is made, and removed again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams, ResourceExt};
use serde_json::json;

use super::admission::pod_with;
use super::cluster::{is_default, refused};
use super::{Check, State, VolumeTrial};
use crate::explain::failure::is_status;
use crate::explain::{ObjectRef, explain, explain_until};

/// What marks the objects of a trial, so that a later one finds what an earlier one left when it was killed.
pub(super) const LABEL: &str = "mlops-k8s.preflight";

/// After how many seconds an object of a trial belongs to nobody any more.
const ABANDONED: i64 = 900;

/// Two checks: the class, and that a claim of it binds.
pub(super) async fn check(client: &Client, trial: &VolumeTrial) -> Vec<Check> {
    let namespace = &trial.namespace;
    let (name, binds) = match &trial.class {
        Some(class) => (
            format!("storage class {class}"),
            format!("a volume of {class} binds in {namespace}"),
        ),
        None => (
            "default storage class".to_owned(),
            format!("a volume binds in {namespace}"),
        ),
    };
    let classes = match Api::<StorageClass>::all(client.clone())
        .list(&ListParams::default())
        .await
    {
        Ok(classes) => classes.items,
        Err(error) => {
            // Whether the claim binds can still be tried.
            let unknown = Check::unknown(name, &error);
            return vec![
                unknown,
                try_claim(client, trial, &binds, Binding::Unknown).await,
            ];
        }
    };
    match choose(&classes, trial.class.as_deref()) {
        Ok(class) => {
            let found = Check::passed(
                name,
                format!("{}, made by {}", class.name_any(), class.provisioner),
            );
            let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
            let binding = if waits {
                Binding::WaitsForPod
            } else {
                Binding::AtOnce
            };
            vec![found, try_claim(client, trial, &binds, binding).await]
        }
        Err(reason) => {
            let remedy =
                "create a StorageClass and mark it as the default, or name one that is there";
            let skipped = Check::new(binds, State::Skipped, "there is no storage class to try");
            vec![Check::failed(name, reason, remedy), skipped]
        }
    }
}

/// The class that a claim will get; of several defaults the newest counts.
fn choose<'a>(
    classes: &'a [StorageClass],
    wanted: Option<&str>,
) -> Result<&'a StorageClass, String> {
    if let Some(wanted) = wanted {
        let found = classes.iter().find(|class| class.name_any() == wanted);
        return found.ok_or_else(|| format!("there is no StorageClass {wanted}"));
    }
    let key = "storageclass.kubernetes.io/is-default-class";
    let defaults = classes
        .iter()
        .filter(|class| is_default(class.metadata.annotations.as_ref(), key));
    let newest = defaults.max_by_key(|class| class.metadata.creation_timestamp.clone());
    newest.ok_or_else(|| {
        let names: Vec<String> = classes.iter().map(ResourceExt::name_any).collect();
        if names.is_empty() {
            "the cluster has no StorageClass".to_owned()
        } else {
            format!("none of the classes is the default: {}", names.join(", "))
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    AtOnce,
    WaitsForPod,
    /// We may not look at the class: a pod does no harm.
    Unknown,
}

async fn try_claim(client: &Client, trial: &VolumeTrial, name: &str, binding: Binding) -> Check {
    sweep(client, &trial.namespace).await;
    let id = format!("mlops-preflight-{:x}", Timestamp::now().as_nanosecond());
    let things = Things {
        client: client.clone(),
        namespace: trial.namespace.clone(),
        name: id,
        armed: Some(()),
    };
    let check = match things.make(trial, binding).await {
        Ok(()) => things.wait(trial.patience, name).await,
        Err(error) if is_status(&error, 404) => {
            return Check::new(
                name,
                State::Skipped,
                format!("namespace {} is not there yet", trial.namespace),
            );
        }
        Err(error) => refused(name, &error, &things.claim_ref()),
    };
    match things.remove().await {
        Ok(()) => check,
        // Whoever asked must know what is left over.
        Err(error) => Check::failed(
            name,
            format!(
                "{}; what was made for the trial could not be removed: {error}",
                check.reason
            ),
            "remove the pods and claims with the label mlops-k8s.preflight in the namespace",
        ),
    }
}

/// The claim and the pod of a trial. If the trial is given up in the middle, they are removed in the background.
struct Things {
    client: Client,
    namespace: String,
    name: String,
    armed: Option<()>,
}

impl Things {
    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn claim_ref(&self) -> ObjectRef {
        ObjectRef::new(
            "v1",
            "PersistentVolumeClaim",
            Some(&self.namespace),
            &self.name,
        )
    }

    async fn make(&self, trial: &VolumeTrial, binding: Binding) -> kube::Result<()> {
        let mut claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": self.name, "labels": { LABEL: "claim" } },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } },
        });
        if let (Some(class), Some(spec)) = (
            &trial.class,
            claim.get_mut("spec").and_then(|spec| spec.as_object_mut()),
        ) {
            spec.insert("storageClassName".to_owned(), json!(class));
        }
        let claim = serde_json::from_value(claim).map_err(kube::Error::SerdeError)?;
        self.claims().create(&PostParams::default(), &claim).await?;
        if binding == Binding::AtOnce {
            return Ok(());
        }
        let mut pod = pod_with(&self.name, &trial.image);
        let volume =
            json!([{ "name": "trial", "persistentVolumeClaim": { "claimName": self.name } }]);
        if let Some(spec) = pod.get_mut("spec").and_then(|spec| spec.as_object_mut()) {
            spec.insert("volumes".to_owned(), volume);
        }
        let pod: Pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
        Api::namespaced(self.client.clone(), &self.namespace)
            .create(&PostParams::default(), &pod)
            .await?;
        Ok(())
    }

    /// Waits for the claim to bind; if it does not, the explanation is the reason.
    async fn wait(&self, patience: Duration, name: &str) -> Check {
        let claim = self.claim_ref();
        let started = tokio::time::Instant::now();
        match explain_until(&self.client, &claim, patience, |explanation| {
            explanation.ready
        })
        .await
        {
            Ok(_) => Check::passed(
                name,
                format!(
                    "a claim was bound after {} ms",
                    started.elapsed().as_millis()
                ),
            ),
            Err(error) if error.kind() == mlops_core::ErrorKind::Timeout => {
                self.why(&claim, patience, name).await
            }
            Err(error) => {
                let why = error.causes().first().cloned().unwrap_or_default();
                Check::new(
                    name,
                    State::Unknown,
                    format!("could not ask: {error}: {why}"),
                )
            }
        }
    }

    async fn why(&self, claim: &ObjectRef, patience: Duration, name: &str) -> Check {
        let pod = ObjectRef::new("v1", "Pod", Some(&self.namespace), &self.name);
        let mut causes = Vec::new();
        for subject in [claim, &pod] {
            if let Ok(explanation) = explain(&self.client, subject).await {
                causes.extend(
                    explanation
                        .cause
                        .filter(|cause| cause.code != crate::explain::CauseCode::ObjectMissing),
                );
            }
        }
        let waited = format!("the claim was not bound after {} s", patience.as_secs());
        match causes.first() {
            Some(cause) => Check::failed(
                name,
                format!("{waited}: {}: {}", cause.code, cause.message),
                &cause.remedy,
            ),
            None => Check::failed(
                name,
                waited,
                "look after the provisioner of the storage class",
            ),
        }
    }

    /// The pod first: a claim that is in use is held.
    async fn remove(mut self) -> kube::Result<()> {
        self.armed = None;
        remove(&self.client, &self.namespace, &self.name).await
    }
}

impl Drop for Things {
    fn drop(&mut self) {
        if self.armed.take().is_none() {
            return;
        }
        let (client, namespace, name) = (
            self.client.clone(),
            self.namespace.clone(),
            self.name.clone(),
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = remove(&client, &namespace, &name).await {
                    tracing::warn!(%error, namespace, name, "what a trial made is left over");
                }
            });
        }
    }
}

async fn remove(client: &Client, namespace: &str, name: &str) -> kube::Result<()> {
    let now = DeleteParams::default().grace_period(0);
    let gone = |result: kube::Error| {
        if is_status(&result, 404) {
            Ok(())
        } else {
            Err(result)
        }
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let pod = pods.delete(name, &now).await.map(drop).or_else(gone);
    let claim = claims
        .delete(name, &DeleteParams::default())
        .await
        .map(drop)
        .or_else(gone);
    pod.and(claim)
}

/// Removes what a trial left that was killed in the middle.
async fn sweep(client: &Client, namespace: &str) {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let Ok(left) = claims
        .list_metadata(&ListParams::default().labels(LABEL))
        .await
    else {
        return;
    };
    let now = Timestamp::now().as_second();
    for claim in left.items {
        let made = claim
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(now, |time| time.0.as_second());
        let name = claim.metadata.name.unwrap_or_default();
        if now - made > ABANDONED
            && let Err(error) = remove(client, namespace, &name).await
        {
            tracing::warn!(%error, namespace, name, "what an earlier trial made is left over");
        }
    }
}
