//! What checks from inside the cluster left behind: looked for, and taken away.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use mlops_core::kubernetes::PLATFORM_LABEL;
use mlops_core::{ErrorKind, Result};
use serde::de::DeserializeOwned;

use super::ClusterTarget;
use super::check_objects::LABEL;
use crate::error::wrap;
use crate::objects::ObjectId;
use crate::wait::{WaitOptions, Waiter};

/// How long what a check made may take to go.
const GOING: Duration = Duration::from_mins(1);

impl ClusterTarget {
    /// Whether checks of the platform have anything in the cluster: one that runs, or one that was killed.
    ///
    /// # Errors
    ///
    /// When something cannot be looked for.
    pub async fn has_checks(&self) -> Result<bool> {
        let all = self.made_by_checks().await?;
        let found = tokio::try_join!(
            all.names::<Job>(),
            all.names::<Secret>(),
            all.names::<ConfigMap>(),
            all.names::<NetworkPolicy>(),
            all.names::<ServiceAccount>(),
            all.names::<RoleBinding>(),
            all.names::<Role>(),
        )?;
        let (jobs, secrets, maps, policies, accounts, bindings, roles) = found;
        let found = [jobs, secrets, maps, policies, accounts, bindings, roles];
        Ok(found.iter().any(|names| !names.is_empty()))
    }

    /// Removes what checks of the platform made, and waits until it is gone. The caller must hold the platform's
    /// [lock](ClusterTarget::lock): a check that runs has it.
    ///
    /// # Errors
    ///
    /// When something cannot be looked for, or does not go.
    pub async fn remove_checks(&self) -> Result<()> {
        let all = self.made_by_checks().await?;
        // A Job that is removed so goes after its pods; the rest has nothing to wait for and is gone at once.
        let jobs = all.remove::<Job>(&DeleteParams::foreground()).await?;
        let at_once = DeleteParams::background();
        tokio::try_join!(
            all.remove::<Secret>(&at_once),
            all.remove::<ConfigMap>(&at_once),
            all.remove::<NetworkPolicy>(&at_once),
            all.remove::<ServiceAccount>(&at_once),
            all.remove::<RoleBinding>(&at_once),
            all.remove::<Role>(&at_once),
        )?;
        if jobs.is_empty() {
            return Ok(());
        }
        let gone = jobs.iter();
        let gone: Vec<ObjectId> = gone
            .map(|name| ObjectId::new("batch", "Job", Some(self.namespace()), name))
            .collect();
        let waiter = Waiter::new(all.client);
        let options = WaitOptions::new(GOING);
        waiter.wait_until_gone(&gone, &options, &|_| {}).await?;
        Ok(())
    }

    async fn made_by_checks(&self) -> Result<Made> {
        Ok(Made {
            client: self.client().await?,
            namespace: self.namespace().to_owned(),
            labels: format!("{PLATFORM_LABEL}={},{LABEL}", self.platform),
        })
    }
}

/// The kinds of objects that a check makes.
trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
{
}

/// Where to look, and for which labels.
struct Made {
    client: Client,
    namespace: String,
    labels: String,
}

impl Made {
    fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// None where one may not look: what cannot be looked for for want of rights was not made with them.
    async fn names<K: Namespaced>(&self) -> Result<Vec<String>> {
        let wanted = ListParams::default().labels(&self.labels);
        let doing = || format!("look for what a check made ({})", K::kind(&()));
        let found = self.api::<K>().list_metadata(&wanted).await;
        match found.map_err(|error| wrap(error, doing())) {
            Ok(found) => Ok(found.items.iter().map(ResourceExt::name_any).collect()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                tracing::debug!(%error, "not looked for");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The names of what was there.
    async fn remove<K: Namespaced>(&self, how: &DeleteParams) -> Result<Vec<String>> {
        let (api, names) = (self.api::<K>(), self.names::<K>().await?);
        for name in &names {
            let doing = || format!("remove what a check made ({} {name})", K::kind(&()));
            let removed = api.delete(name, how).await;
            if let Err(error) = removed.map_err(|error| wrap(error, doing()))
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(names)
    }
}
