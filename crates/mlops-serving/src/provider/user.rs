//! Users of MLflow.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    Context, Error, ErrorKind, Found, Kind, Observed, Owner, PlatformName, Provider, Resource,
    ResourceId, Result, SecretName, ServiceName, to_spec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Credentials, again_once, connect, no_such_action, unknown};
use crate::mlflow::{Grant, User};
use crate::registry::{ConnectRegistry, Registry};

/// What a resource of kind `mlflow-user` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlflowUserSpec {
    /// The MLflow server.
    pub server: ServiceName,
    /// An administrator there.
    pub admin: Credentials,
    /// The user.
    pub user: String,
    /// The secret that is its password, of 12 characters or more.
    pub password: SecretName,
    /// What it may do beyond the server's default permission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// Makes users of MLflow. A user is ours when it has the role `mlops:PLATFORM:USER`, which also carries its grants, or
/// when our password is its password.
pub struct MlflowUserProvider {
    connect: Arc<dyn ConnectRegistry>,
}

impl std::fmt::Debug for MlflowUserProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MlflowUserProvider")
    }
}

/// The role that marks a user and carries its grants.
fn role_name(platform: &PlatformName, user: &str) -> String {
    format!("mlops:{platform}:{user}")
}

impl MlflowUserProvider {
    /// Makes users through `connect`.
    pub fn new(connect: Arc<dyn ConnectRegistry>) -> Self {
        Self { connect }
    }

    /// Whether the user signs in with the password that the platform has for it; `None` when it has none yet.
    async fn signs_in(&self, spec: &MlflowUserSpec, cx: &Context) -> Result<Option<bool>> {
        let Some(password) = cx.secrets.find(&spec.password).await? else {
            return Ok(None);
        };
        let endpoint = cx.endpoint(&spec.server).await?;
        let user = self.connect.connect(&endpoint, &spec.user, &password)?;
        match user.current_user().await {
            Ok(_) => Ok(Some(true)),
            Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    async fn look(&self, spec: &MlflowUserSpec, users: &[User], cx: &Context) -> Result<Observed> {
        let Some(user) = users.iter().find(|user| user.username == spec.user) else {
            return Ok(Observed::Absent);
        };
        let name = role_name(&cx.platform, &spec.user);
        let role = user.roles.iter().find(|role| role.name == name);
        let signs_in = self.signs_in(spec, cx).await?;
        let mut fields = to_spec(spec)?;
        // Without the role it was cut off between the user and its mark: making sure of it once more completes it.
        if signs_in != Some(true) || role.is_none() {
            fields.insert("password".to_owned(), Value::Null);
        }
        let granted = role.map(|role| role.grants.as_slice()).unwrap_or_default();
        if !spec.grants.iter().all(|grant| granted.contains(grant)) {
            let granted = to_spec(&std::collections::BTreeMap::from([("grants", granted)]))?;
            fields.extend(granted);
        }
        let owner = if role.is_some() || signs_in == Some(true) {
            Owner::Ours
        } else {
            Owner::Other(format!(
                "user `{}` has neither our role nor our password",
                spec.user
            ))
        };
        Ok(Observed::Found(Found {
            fields,
            owner,
            ready: true,
        }))
    }

    async fn ensure(
        &self,
        admin: &dyn Registry,
        spec: &MlflowUserSpec,
        cx: &Context,
    ) -> Result<()> {
        let name = role_name(&cx.platform, &spec.user);
        let password = cx.secret(&spec.password).await?;
        let roles = admin.list_roles().await?;
        let known = roles.into_iter().find(|role| role.name == name);
        let (role, granted) = match known {
            Some(role) => (role.id, role.grants),
            None => (admin.create_role(&name).await?, Vec::new()),
        };
        for grant in spec.grants.iter().filter(|grant| !granted.contains(grant)) {
            admin.add_grant(role, grant).await?;
        }
        let users = admin.list_users().await?;
        let user = users.iter().find(|user| user.username == spec.user);
        if user.is_none() {
            admin.create_user(&spec.user, &password).await?;
        } else if self.signs_in(spec, cx).await? != Some(true) {
            admin.set_password(&spec.user, &password).await?;
        }
        if !user.is_some_and(|user| user.roles.iter().any(|known| known.id == role)) {
            admin.assign_role(&spec.user, role).await?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        admin: &dyn Registry,
        spec: &MlflowUserSpec,
        cx: &Context,
    ) -> Result<()> {
        let name = role_name(&cx.platform, &spec.user);
        for role in admin.list_roles().await? {
            if role.name == name {
                admin.remove_role(role.id).await?;
            }
        }
        // Last, because a user that is gone is not looked at again; its password still says that it is ours.
        admin.remove_user(&spec.user).await
    }

    /// Refuses to touch a user that is not ours, also when the world changed since the plan.
    async fn check_owner(
        &self,
        admin: &dyn Registry,
        spec: &MlflowUserSpec,
        cx: &Context,
    ) -> Result<()> {
        let users = admin.list_users().await?;
        match self.look(spec, &users, cx).await? {
            Observed::Found(Found {
                owner: Owner::Other(whose),
                ..
            }) => Err(Error::new(
                ErrorKind::Conflict,
                format!("change MLflow user `{}`", spec.user),
            )
            .with_source(whose)
            .with_hint("choose another name, or say `adopt: true` to take it over")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Provider for MlflowUserProvider {
    fn rules(&self) -> Rules {
        let rules = KindRules {
            immutable: BTreeSet::from(["user".to_owned()]),
            ..KindRules::default()
        };
        [(Kind::new("mlflow-user"), rules)].into()
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let mut found = Vec::with_capacity(wanted.len());
        // One list of users for each server and administrator.
        let mut asked: Vec<((ServiceName, Credentials), Result<Vec<User>>)> = Vec::new();
        for resource in wanted {
            let observed = async {
                let spec: MlflowUserSpec = resource.typed()?;
                let key = (spec.server.clone(), spec.admin.clone());
                let known = asked.iter().position(|(known, _)| *known == key);
                let index = if let Some(index) = known {
                    index
                } else {
                    let users = match connect(&*self.connect, &key.0, &key.1, cx).await {
                        Ok(admin) => admin.list_users().await,
                        Err(error) => Err(error),
                    };
                    asked.push((key, users));
                    asked.len() - 1
                };
                match asked.get(index).map(|(_, users)| users) {
                    Some(Ok(users)) => self.look(&spec, users, cx).await,
                    Some(Err(error)) => Ok(unknown(error)),
                    None => Ok(Observed::Absent),
                }
            };
            let observed: Result<Observed> = observed.await;
            let observed = observed.unwrap_or_else(|error| unknown(&error));
            found.push((resource.id.clone(), observed));
        }
        found
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: MlflowUserSpec = resource.typed()?;
        let admin = connect(&*self.connect, &spec.server, &spec.admin, cx).await?;
        match action {
            Action::Create | Action::Update { .. } | Action::Wait => {
                self.check_owner(&*admin, &spec, cx).await?;
                again_once(|| self.ensure(&*admin, &spec, cx)).await
            }
            Action::Adopt { .. } => again_once(|| self.ensure(&*admin, &spec, cx)).await,
            Action::Remove => {
                self.check_owner(&*admin, &spec, cx).await?;
                self.remove(&*admin, &spec, cx).await
            }
            other => Err(no_such_action(resource, other.verb())),
        }
    }
}
