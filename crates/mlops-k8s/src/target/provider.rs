//! Objects and Secrets as resources of a graph.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt as _};
use mlops_core::kubernetes::{OBJECT, ObjectSpec, PLATFORM_LABEL, SECRET};
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, Failure, Found, Graph, Kind as ResourceKind, Observed,
    Owner, PlatformName, Provider, Resource, ResourceId, Result,
};
use serde_json::{Value, json};

use super::object::{found_spec, object_of, stranger};
use super::{Connection, pods, store};
use crate::apply::{Applier, ApplyOptions, Outcome};
use crate::discovery::{Kind, Kinds, Lookup, Scope};
use crate::error::wrap;
use crate::explain::{Cause, CauseCode, Explanation, ObjectRef, explain};
use crate::objects::{GroupKind, ObjectId, ObjectSet};
use crate::observe::Finding;
use crate::plan::{self, Contested, Existing, PlanOptions};
use crate::wait::{ReadyRules, Status, WaitOptions, Waiter, status_of};

/// How long an object may take to become ready, or to go.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);

/// The kinds that a platform's objects have, and in which strays are looked for.
pub(super) const KINDS: [(&str, &str); 12] = [
    ("", "ConfigMap"),
    ("", "PersistentVolumeClaim"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "Job"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
];

/// Makes the resources of the kinds `kubernetes-object` and `kubernetes-secret` so.
#[derive(Clone)]
pub struct ObjectProvider {
    connection: Connection,
    platform: PlatformName,
    namespace: String,
}

impl std::fmt::Debug for ObjectProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectProvider")
            .field("platform", &self.platform)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What is ours is changed; fields that another manager applies, such as an autoscaler, are left to it.
fn options(contested: Contested) -> PlanOptions {
    PlanOptions {
        existing: Existing::Adopt,
        contested,
        may_remove: BTreeSet::new(),
    }
}

impl ObjectProvider {
    pub(super) fn new(connection: Connection, platform: &PlatformName, namespace: &str) -> Self {
        Self {
            connection,
            platform: platform.clone(),
            namespace: namespace.to_owned(),
        }
    }

    async fn look(
        &self,
        wanted: &[&Resource],
        cx: &Context,
    ) -> Result<Vec<(ResourceId, Observed)>> {
        let client = self.connection.client().await?;
        let mut set = ObjectSet::new();
        let mut known = Vec::new();
        let mut observed = Vec::new();
        for resource in wanted {
            match object_of(resource, cx).await? {
                Some(object) => {
                    set.push(object)?;
                    known.push(*resource);
                }
                // Its text is made later; until then it can only be written anew.
                None => observed.push((resource.id.clone(), Observed::Absent)),
            }
        }
        let applier = Applier::new(client).with_namespace(&self.namespace);
        let prepared = applier.prepare(&set, &options(Contested::Leave)).await?;
        for (resource, change) in known.iter().zip(&prepared.plan().changes) {
            let finding = prepared.observation().find(&change.id);
            let seen = self.judge(resource, &change.id, &change.action, finding);
            observed.push((resource.id.clone(), seen));
        }
        Ok(observed)
    }

    fn judge(
        &self,
        resource: &Resource,
        id: &ObjectId,
        action: &plan::Action,
        finding: &Finding,
    ) -> Observed {
        let live = match (finding, action) {
            (Finding::Unknown(failure), _) | (_, plan::Action::Unknown { failure }) => {
                return Observed::Unknown(failure.clone());
            }
            (Finding::Found(live), _) => live.json(),
            _ => return Observed::Absent,
        };
        if let plan::Action::Conflict { reason, .. } = action {
            let error = Error::new(ErrorKind::Conflict, format!("plan `{}`", resource.id))
                .with_source(reason.clone());
            return Observed::Unknown(Failure::from(&error));
        }
        let changes = match action {
            plan::Action::Update { fields }
            | plan::Action::Adopt { fields }
            | plan::Action::Replace { fields } => Some(fields.as_slice()),
            _ => None,
        };
        let fields = match changes {
            // Everything of ours is in no set, so what merely would be taken into one is as wanted.
            None => resource.spec.clone(),
            Some([]) if matches!(action, plan::Action::Adopt { .. }) => resource.spec.clone(),
            Some(changes) => found_spec(resource, changes, live),
        };
        Observed::Found(Found {
            fields,
            owner: stranger(live, &self.platform).map_or(Owner::Ours, Owner::Other),
            ready: !waits(id)
                || (!is_down(live)
                    && status_of(&id.group_kind(), live, &ReadyRules::default()) == Status::Ready),
        })
    }

    async fn write(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let client = self.connection.client().await?;
        let doing = || format!("write `{}`", resource.id);
        let object = object_of(resource, cx).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, doing())
                .with_source("a secret that it mentions is not there")
        })?;
        let mut set = ObjectSet::new();
        set.push(object)?;
        let contested = match action {
            Action::Adopt { .. } => Contested::Take,
            _ => Contested::Leave,
        };
        let applier = Applier::new(client.clone()).with_namespace(&self.namespace);
        let options = ApplyOptions {
            plan: options(contested),
            needs_within: PATIENCE,
        };
        let prepared = applier.prepare(&set, &options.plan).await?;
        let id = match prepared.plan().changes.first() {
            Some(change) => change.id.clone(),
            None => return Ok(()),
        };
        if *action != Action::Wait {
            let report = applier.apply_prepared(&prepared, &options, &|_| {}).await?;
            if let Some((_, outcome)) = report.problems().next() {
                return Err(match outcome {
                    Outcome::Failed(failure) => {
                        Error::new(failure.kind, doing()).with_source(failure.to_error())
                    }
                    other => {
                        Error::new(ErrorKind::Failed, doing()).with_source(format!("{other:?}"))
                    }
                });
            }
        }
        if !waits(&id) {
            return Ok(());
        }
        if let Finding::Found(live) = prepared.observation().find(&id)
            && is_down(live.json())
        {
            scale_up(&client, resource, &self.namespace).await?;
        }
        pods::until_old_are_gone(&client, &self.namespace, resource).await?;
        let progress = |event: crate::wait::WaitEvent| {
            cx.events.progress(&resource.id, event.status.to_string());
        };
        let waiter = Waiter::new(client.clone());
        let patience = WaitOptions::new(PATIENCE);
        let ready = waiter.wait_until_ready(std::slice::from_ref(&id), &patience, &progress);
        tokio::select! {
            ended = ready => match ended {
                Ok(()) => Ok(()),
                Err(error) => Err(explained(&client, resource, error).await),
            },
            error = hopeless(&client, resource) => Err(error),
        }
    }

    async fn remove(&self, resource: &Resource) -> Result<()> {
        let client = self.connection.client().await?;
        let kinds = Kinds::of_server(&client).await?;
        let Some((kind, name)) = kind_of(resource, &kinds)? else {
            return Ok(());
        };
        if kind.kind == "Namespace" && self.is_kept(&client).await? {
            return Ok(());
        }
        let api = api(&client, &kind, &self.namespace);
        let doing = || format!("remove `{}`", resource.id);
        let found = api.get_opt(&name).await;
        let Some(found) = found.map_err(|error| wrap(error, doing()))? else {
            return Ok(());
        };
        let json = serde_json::to_value(&found).unwrap_or_default();
        if let Some(whose) = stranger(&json, &self.platform) {
            return Err(Error::new(ErrorKind::Conflict, doing()).with_source(whose));
        }
        let how = DeleteParams {
            // What it made goes before it does.
            propagation_policy: Some(PropagationPolicy::Foreground),
            ..DeleteParams::default()
        };
        let removed = api.delete(&name, &how).await;
        if let Err(error) = removed.map_err(|error| wrap(error, doing()))
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let namespace = (kind.scope == Scope::Namespaced).then_some(self.namespace.as_str());
        let id = ObjectId::new(&kind.group, &kind.kind, namespace, name);
        Waiter::new(client)
            .wait_until_gone(&[id], &WaitOptions::new(PATIENCE), &|_| {})
            .await
    }

    /// Whether something is left in the namespace that goes only by its name: volumes, and the secrets that open them.
    async fn is_kept(&self, client: &Client) -> Result<bool> {
        let labels = ListParams::default().labels(&format!("{PLATFORM_LABEL}={}", self.platform));
        let kinds = Kinds::built_in();
        for kind in ["PersistentVolumeClaim", "Secret"] {
            let Lookup::Known(kind) = kinds.find("", "v1", kind) else {
                continue;
            };
            let found = api(client, kind, &self.namespace)
                .list_metadata(&labels)
                .await;
            let found = found.map_err(|error| wrap(error, "look for what the namespace keeps"))?;
            if !found.items.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether an object of that kind takes time until it can be used. A claim binds when its pod comes.
fn waits(id: &ObjectId) -> bool {
    matches!(
        id.kind.as_str(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "Namespace"
    )
}

fn api(client: &Client, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
    match kind.scope {
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &kind.api_resource()),
        Scope::Cluster => Api::all_with(client.clone(), &kind.api_resource()),
    }
}

/// The kind and name of what a resource stands for; by its id alone when it has no description.
fn kind_of(resource: &Resource, kinds: &Kinds) -> Result<Option<(Kind, String)>> {
    let (word, name) = if resource.id.kind().as_str() == SECRET {
        ("secret".to_owned(), resource.id.name().to_owned())
    } else if let Ok(spec) = resource.typed::<ObjectSpec>() {
        let text = |path: &str| spec.object.pointer(path).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or_default().to_lowercase();
        (kind, text("/metadata/name").unwrap_or_default().to_owned())
    } else {
        let (word, name) = resource.id.name().split_once('.').ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("find `{}`", resource.id))
        })?;
        (word.to_owned(), name.to_owned())
    };
    let known = KINDS.iter().chain(&[("", "Namespace")]);
    let kind = known
        .filter(|(_, kind)| kind.to_lowercase() == word)
        .find_map(
            |(group, kind)| match kinds.find_any_version(&GroupKind::new(*group, *kind)) {
                Lookup::Known(kind) => Some(kind.clone()),
                _ => None,
            },
        );
    let other = || {
        kinds
            .iter()
            .find(|kind| kind.kind.to_lowercase() == word)
            .cloned()
    };
    Ok(kind.or_else(other).map(|kind| (kind, name)))
}

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
async fn explained(client: &Client, resource: &Resource, error: Error) -> Error {
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
const HOPELESS: [CauseCode; 14] = [
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
async fn hopeless(client: &Client, resource: &Resource) -> Error {
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

#[async_trait]
impl Provider for ObjectProvider {
    fn rules(&self) -> Rules {
        Rules::from([
            (ResourceKind::new(OBJECT), KindRules::default()),
            (ResourceKind::new(SECRET), KindRules::default()),
        ])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        match self.look(wanted, cx).await {
            Ok(observed) => observed,
            Err(error) => {
                let failure = Failure::from(&error);
                let unknown = |resource: &&Resource| {
                    (resource.id.clone(), Observed::Unknown(failure.clone()))
                };
                wanted.iter().map(unknown).collect()
            }
        }
    }

    async fn find_strays(&self, graph: &Graph, _cx: &Context) -> Result<Vec<Resource>> {
        let client = self.connection.client().await?;
        let kinds = Kinds::of_server(&client).await?;
        let labels = ListParams::default().labels(&format!("{PLATFORM_LABEL}={}", self.platform));
        let lists = KINDS.iter().filter_map(|(group, kind)| {
            match kinds.find_any_version(&GroupKind::new(*group, *kind)) {
                Lookup::Known(kind) => Some(kind.clone()),
                _ => None,
            }
        });
        let lists = lists.map(|kind| {
            let (api, labels) = (api(&client, &kind, &self.namespace), labels.clone());
            async move { api.list(&labels).await.map(|found| (kind, found)) }
        });
        let lists = futures::future::try_join_all(lists)
            .await
            .map_err(|error| wrap(error, "look for objects of the platform"))?;
        let mut strays = Vec::new();
        for (kind, found) in lists {
            for object in found.items {
                let (name, is_secret) = (object.name_any(), kind.kind == "Secret");
                // The platform's own secrets are resources of another kind.
                if is_secret && object.data.get("type").and_then(Value::as_str) == Some(store::TYPE)
                {
                    continue;
                }
                let id = if is_secret {
                    ResourceId::new(SECRET, &name)
                } else {
                    ResourceId::new(OBJECT, format!("{}.{name}", kind.kind.to_lowercase()))
                };
                if graph.find(&id).is_some() {
                    continue;
                }
                let owner = object
                    .labels()
                    .get("app.kubernetes.io/name")
                    .and_then(|name| name.parse().ok())
                    .or_else(|| self.platform.as_str().parse().ok());
                let Some(owner) = owner else { continue };
                let mut stray = Resource::new(id, owner);
                stray.holds_data = kind.kind == "PersistentVolumeClaim";
                strays.push(stray);
            }
        }
        Ok(strays)
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        match action {
            Action::Remove => self.remove(resource).await,
            action => self.write(resource, action, cx).await,
        }
    }

    async fn holdings(&self, resource: &Resource, _cx: &Context) -> Result<Option<String>> {
        if !resource.holds_data {
            return Ok(None);
        }
        let client = self.connection.client().await?;
        let kinds = Kinds::of_server(&client).await?;
        let Some((kind, name)) = kind_of(resource, &kinds)? else {
            return Ok(None);
        };
        let found = api(&client, &kind, &self.namespace).get_opt(&name).await;
        let found = found.map_err(|error| wrap(error, format!("look at `{}`", resource.id)))?;
        Ok(found.map(|claim| {
            let size = claim
                .data
                .pointer("/status/capacity/storage")
                .and_then(Value::as_str);
            format!("a volume of {}", size.unwrap_or("unknown size"))
        }))
    }
}

/// The namespace; one that is on its way out is waited for, since nothing can be made in it.
///
/// # Errors
///
/// [`ErrorKind::Timeout`] when it does not go, with what holds it.
pub(super) async fn settled(client: &Client, namespace: &str) -> Result<Option<Namespace>> {
    let spaces: Api<Namespace> = Api::all(client.clone());
    let found = spaces.get_opt(namespace).await;
    let found = found.map_err(|error| wrap(error, format!("look for namespace `{namespace}`")))?;
    match found {
        Some(found) if found.metadata.deletion_timestamp.is_some() => {
            let id = ObjectId::new("", "Namespace", None, namespace);
            Waiter::new(client.clone())
                .wait_until_gone(&[id], &WaitOptions::new(PATIENCE), &|_| {})
                .await?;
            Ok(None)
        }
        found => Ok(found),
    }
}

/// Makes the platform's namespace when it is not there.
pub(super) async fn make_namespace(
    client: &Client,
    graph: &Graph,
    platform: &PlatformName,
    namespace: &str,
) -> Result<()> {
    let doing = || format!("make namespace `{namespace}`");
    let found = settled(client, namespace)
        .await
        .map_err(|error| Error::new(error.kind(), doing()).with_source(error))?;
    if let Some(found) = found {
        let json = serde_json::to_value(&found).unwrap_or_default();
        return match stranger(&json, platform) {
            // Who was told to adopt it may; the plan says so.
            Some(whose) if !is_adopted(graph, namespace) => {
                Err(Error::new(ErrorKind::Conflict, doing())
                    .with_source(format!("it exists already and is not ours: {whose}"))
                    .with_hint(format!(
                        "choose another in `cluster.namespace`, or say `adopt: [{OBJECT}/namespace.{namespace}]`"
                    )))
            }
            _ => Ok(()),
        };
    }
    let id = ResourceId::new(OBJECT, format!("namespace.{namespace}"));
    let Some(resource) = graph.find(&id) else {
        return Err(
            Error::new(ErrorKind::NotFound, doing()).with_source("it is no part of the platform")
        );
    };
    let mut set = ObjectSet::new();
    set.add_value(resource.typed::<ObjectSpec>()?.object)?;
    let report = Applier::new(client.clone())
        .apply(&set, &ApplyOptions::default(), &|_| {})
        .await?;
    match report.problems().next() {
        Some((_, Outcome::Failed(failure))) => {
            Err(Error::new(failure.kind, doing()).with_source(failure.to_error()))
        }
        _ => Ok(()),
    }
}

fn is_adopted(graph: &Graph, namespace: &str) -> bool {
    let id = ResourceId::new(OBJECT, format!("namespace.{namespace}"));
    graph.find(&id).is_some_and(|resource| resource.adopt)
}

/// How workloads are, by component.
pub(super) async fn status<'r>(
    client: &Client,
    workloads: impl Iterator<Item = &'r Resource>,
    namespace: &str,
) -> Result<BTreeMap<String, Status>> {
    let kinds = Kinds::of_server(client).await?;
    let mut statuses = BTreeMap::new();
    for resource in workloads {
        let Some((kind, name)) = kind_of(resource, &kinds)? else {
            continue;
        };
        let found = api(client, &kind, namespace).get_opt(&name).await;
        let found = found.map_err(|error| wrap(error, format!("look at `{}`", resource.id)))?;
        let status = match found {
            None => Status::Absent,
            Some(object) if replicas(&object) == Some(0) => Status::Absent,
            Some(object) => {
                let json = serde_json::to_value(&object).unwrap_or_default();
                status_of(&kind.group_kind(), &json, &ReadyRules::default())
            }
        };
        statuses.insert(resource.component.to_string(), status);
    }
    Ok(statuses)
}

/// Whether a workload was told to run no pods, which is never wanted.
fn is_down(json: &Value) -> bool {
    json.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0)
}

/// Has a workload run a pod again whose number is not ours to say; an autoscaler leaves one without pods alone.
async fn scale_up(client: &Client, resource: &Resource, namespace: &str) -> Result<()> {
    let kinds = Kinds::of_server(client).await?;
    let Some((kind, name)) = kind_of(resource, &kinds)? else {
        return Ok(());
    };
    let api = api(client, &kind, namespace);
    let doing = || format!("start `{}`", resource.id);
    let now = api.get(&name).await.map_err(|error| wrap(error, doing()))?;
    if replicas(&now) != Some(0) {
        return Ok(());
    }
    let one = json!({ "spec": { "replicas": 1 } });
    let patched = api
        .patch(&name, &PatchParams::default(), &Patch::Merge(&one))
        .await;
    patched.map(drop).map_err(|error| wrap(error, doing()))
}

fn replicas(object: &DynamicObject) -> Option<u64> {
    object
        .data
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
}

/// Has a workload run no pods; whether it did before.
pub(super) async fn scale_down(
    client: &Client,
    resource: &Resource,
    namespace: &str,
) -> Result<bool> {
    let doing = || format!("stop `{}`", resource.id);
    let kinds = Kinds::of_server(client).await?;
    let Some((kind, name)) = kind_of(resource, &kinds)? else {
        return Ok(false);
    };
    let api = api(client, &kind, namespace);
    let found = api
        .get_opt(&name)
        .await
        .map_err(|error| wrap(error, doing()))?;
    if found
        .as_ref()
        .is_none_or(|object| replicas(object) == Some(0))
    {
        return Ok(false);
    }
    let none = json!({ "spec": { "replicas": 0 } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&none))
        .await
        .map_err(|error| wrap(error, doing()))?;
    Ok(true)
}
