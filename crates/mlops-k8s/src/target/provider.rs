//! Objects and Secrets as resources of a graph.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use kube::{Client, ResourceExt as _};
use mlops_core::kubernetes::{OBJECT, PLATFORM_LABEL, SECRET};
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, Failure, Found, Graph, Kind as ResourceKind, Observed,
    Owner, PlatformName, Provider, Resource, ResourceId, Result,
};
use serde_json::Value;

use super::kinds::{KINDS, api, kind_of, waits};
use super::object::{found_spec, object_of, stranger};
use super::trouble::{explained, hopeless_resource};
use super::workload::{is_down, scale_up};
use super::{Connection, pods, store};
use crate::apply::{Applier, ApplyOptions, Outcome, Prepared};
use crate::discovery::{Kinds, Lookup, Scope, brings_kinds};
use crate::error::wrap;
use crate::objects::{GroupKind, ObjectId, ObjectSet};
use crate::observe::Finding;
use crate::plan::{self, Contested, Existing, PlanOptions};
use crate::wait::{ReadyRules, Status, WaitOptions, Waiter, status_of};

/// How long an object may take to become ready, or to go.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);

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

    fn applier(&self, client: Client) -> Applier {
        Applier::new(client)
            .with_namespace(&self.namespace)
            .with_known_kinds(self.connection.known().clone())
    }

    fn waiter(&self, client: Client) -> Waiter {
        Waiter::new(client).with_known_kinds(self.connection.known().clone())
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
        let applier = self.applier(client);
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
            // What is on its way out is there no more; who writes it waits until it is gone.
            (Finding::Found(live), _) if live.is_leaving() => return Observed::Absent,
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

    /// A plan for one object; while it is on its way out, nothing can be planned for it.
    async fn prepare(
        &self,
        applier: &Applier,
        set: &ObjectSet,
        options: &ApplyOptions,
        client: &Client,
    ) -> Result<Prepared> {
        let prepared = applier.prepare(set, &options.plan).await?;
        let going: Vec<ObjectId> = { prepared.plan().changes.iter() }
            .map(|change| change.id.clone())
            .filter(|id| match prepared.observation().find(id) {
                Finding::Found(live) => live.is_leaving(),
                _ => false,
            })
            .collect();
        if going.is_empty() {
            return Ok(prepared);
        }
        self.waiter(client.clone())
            .wait_until_gone(&going, &WaitOptions::new(PATIENCE), &|_| {})
            .await?;
        applier.prepare(set, &options.plan).await
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
        let applier = self.applier(client.clone());
        let options = ApplyOptions {
            plan: options(contested),
            needs_within: PATIENCE,
        };
        let prepared = self.prepare(&applier, &set, &options, &client).await?;
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
            scale_up(&self.connection, resource, &self.namespace).await?;
        }
        pods::until_old_are_gone(&client, &self.namespace, resource).await?;
        let progress = |event: crate::wait::WaitEvent| {
            cx.events.progress(&resource.id, event.status.to_string());
        };
        let waiter = self.waiter(client.clone());
        let patience = WaitOptions::new(PATIENCE);
        let ready = waiter.wait_until_ready(std::slice::from_ref(&id), &patience, &progress);
        tokio::select! {
            ended = ready => match ended {
                Ok(()) => Ok(()),
                Err(error) => Err(explained(&client, resource, error).await),
            },
            error = hopeless_resource(&client, resource, &cx.events) => Err(error),
        }
    }

    async fn remove(&self, resource: &Resource, cx: &Context) -> Result<()> {
        let client = self.connection.client().await?;
        let Some((kind, name)) = kind_of(resource, &self.connection).await? else {
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
        // What makes pods goes after them; others have made nothing that one would wait for.
        let has_pods = matches!(kind.group.as_str(), "apps" | "batch");
        let how = DeleteParams {
            propagation_policy: Some(if has_pods {
                PropagationPolicy::Foreground
            } else {
                PropagationPolicy::Background
            }),
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
        if brings_kinds(&kind.group) {
            self.connection.known().forget().await;
        }
        // Such as the finalizer that holds it.
        let progress = |event: crate::wait::WaitEvent| {
            cx.events.progress(&resource.id, event.status.to_string());
        };
        self.waiter(client)
            .wait_until_gone(&[id], &WaitOptions::new(PATIENCE), &progress)
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
        let kinds = self.connection.kinds().await?;
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
            Action::Remove => self.remove(resource, cx).await,
            action => self.write(resource, action, cx).await,
        }
    }

    async fn holdings(&self, resource: &Resource, _cx: &Context) -> Result<Option<String>> {
        if !resource.holds_data {
            return Ok(None);
        }
        let client = self.connection.client().await?;
        let Some((kind, name)) = kind_of(resource, &self.connection).await? else {
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
