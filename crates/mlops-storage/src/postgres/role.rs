//! The provider of roles.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    Context, Error, ErrorKind, Found, Graph, Observed, Owner, Provider, Resource, ResourceId,
    Result,
};

use super::ensure::{RoleWish, Server, State, ensure_role, remove_role, role_state};
use super::model::{Catalogue, Connect};
use super::provider::server_of;
use super::spec::{ROLE, RoleSpec};
use super::strays;
use crate::mark::Mark;
use crate::outcome::Foreign;
use crate::support::{group, kind, no_such_action, set_null, unknown};

/// Observes and changes `postgres-role`: one catalogue read for each server, and one sign-in for each role.
#[derive(Clone)]
pub struct RoleProvider {
    connect: Arc<dyn Connect>,
}

impl fmt::Debug for RoleProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleProvider")
    }
}

impl RoleProvider {
    /// A provider that connects so.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    async fn observe_server(
        &self,
        wanted: Vec<(&Resource, RoleSpec)>,
        cx: &Context,
    ) -> Vec<(ResourceId, Observed)> {
        let Some((_, first)) = wanted.first() else {
            return Vec::new();
        };
        let read = async {
            let server = server_of(&self.connect, &first.server, &first.admin, cx).await?;
            let catalogue = server.admin().await?.catalogue().await?;
            Ok::<_, Error>((server, catalogue))
        };
        match read.await {
            Ok((server, catalogue)) => {
                join_all(wanted.iter().map(|(resource, spec)| async {
                    let observed = observe_role(&server, &catalogue, resource, spec, cx).await;
                    let observed = observed.unwrap_or_else(|error| unknown(&error));
                    (resource.id.clone(), observed)
                }))
                .await
            }
            Err(error) => wanted
                .iter()
                .map(|(resource, _)| (resource.id.clone(), unknown(&error)))
                .collect(),
        }
    }
}

async fn observe_role(
    server: &Server,
    catalogue: &Catalogue,
    resource: &Resource,
    spec: &RoleSpec,
    cx: &Context,
) -> Result<Observed> {
    let mark = Mark::of(&cx.platform);
    let (facts, owner) = match role_state(catalogue, &spec.role, &mark) {
        State::Absent => return Ok(Observed::Absent),
        State::Ours(facts) | State::Unfinished(facts) => (facts, Owner::Ours),
        State::Foreign(facts, whose) => (facts, Owner::Other(whose)),
    };
    let mut fields = resource.spec.clone();
    if !facts.is_plain_login() {
        set_null(&mut fields, "role");
    }
    // Somebody else's role is not knocked at with our password.
    if owner == Owner::Ours
        && let Some(name) = &spec.password
    {
        let works = match cx.secrets.find(name).await? {
            Some(password) if facts.login => server.signs_in(&spec.role, &password).await?,
            _ => false,
        };
        if !works {
            set_null(&mut fields, "password");
        }
    }
    Ok(Observed::Found(Found {
        fields,
        owner,
        ready: true,
    }))
}

#[async_trait]
impl Provider for RoleProvider {
    fn rules(&self) -> Rules {
        Rules::from([(kind(ROLE), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let (groups, mut answers) = group(wanted, |spec: &RoleSpec| {
            (spec.server.clone(), spec.admin.clone())
        });
        let found = join_all(
            groups
                .into_values()
                .map(|members| self.observe_server(members, cx)),
        )
        .await;
        answers.extend(found.into_iter().flatten());
        answers
    }

    async fn find_strays(&self, graph: &Graph, cx: &Context) -> Result<Vec<Resource>> {
        strays::roles(&self.connect, graph, cx).await
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: RoleSpec = resource.typed()?;
        let server = server_of(&self.connect, &spec.server, &spec.admin, cx).await?;
        let mark = Mark::of(&cx.platform);
        let foreign = match action {
            Action::Remove => return remove_role(&server, &spec.role, &mark).await,
            Action::Adopt { .. } => Foreign::TakeOver,
            Action::Create | Action::Update { .. } => Foreign::Refuse,
            Action::Wait | Action::Nothing | Action::Keep => return Ok(()),
            Action::Replace { .. } | Action::Later { .. } => {
                return Err(no_such_action(resource, action.verb()));
            }
        };
        let Some(password) = &spec.password else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("make role `{}`", spec.role),
            )
            .with_source("its description names no password"));
        };
        let wish = RoleWish {
            password: cx.secret(password).await?,
            role: spec.role,
        };
        ensure_role(&server, &wish, &mark, foreign).await?;
        Ok(())
    }
}
