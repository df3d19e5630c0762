//! The provider of databases.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    Context, Error, Found, Graph, Observed, Owner, Provider, Resource, ResourceId, Result,
};
use serde_json::Value;

use super::ensure::{
    DatabaseWish, State, database_state, ensure_database, holdings, remove_database,
};
use super::model::{Catalogue, Connect, DatabaseFacts, PostgresAdmin};
use super::provider::server_of;
use super::spec::{DATABASE, DatabaseSpec};
use super::strays;
use crate::mark::Mark;
use crate::outcome::Foreign;
use crate::support::{group, kind, no_such_action, set_null, unknown};

/// Observes and changes `postgres-database`: one catalogue read for each server, and a look inside where extensions
/// are wanted.
#[derive(Clone)]
pub struct DatabaseProvider {
    connect: Arc<dyn Connect>,
}

impl fmt::Debug for DatabaseProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseProvider")
    }
}

impl DatabaseProvider {
    /// A provider that connects so.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    async fn observe_server(
        &self,
        wanted: Vec<(&Resource, DatabaseSpec)>,
        cx: &Context,
    ) -> Vec<(ResourceId, Observed)> {
        let Some((_, first)) = wanted.first() else {
            return Vec::new();
        };
        let read = async {
            let server = server_of(&self.connect, &first.server, &first.admin, cx).await?;
            let admin = server.admin().await?;
            let catalogue = admin.catalogue().await?;
            Ok::<_, Error>((admin, catalogue))
        };
        match read.await {
            Ok((admin, catalogue)) => {
                let mark = Mark::of(&cx.platform);
                join_all(wanted.iter().map(|(resource, spec)| async {
                    let observed = observe_one(&*admin, &catalogue, resource, spec, &mark).await;
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

async fn observe_one(
    admin: &dyn PostgresAdmin,
    catalogue: &Catalogue,
    resource: &Resource,
    spec: &DatabaseSpec,
    mark: &Mark,
) -> Result<Observed> {
    let mut finished = true;
    let (facts, owner) = match database_state(admin, catalogue, &spec.database, mark).await? {
        State::Absent => return Ok(Observed::Absent),
        State::Ours(facts) => (facts, Owner::Ours),
        State::Unfinished(facts) => {
            finished = false;
            (facts, Owner::Ours)
        }
        State::Foreign(facts, whose) => (facts, Owner::Other(whose)),
    };
    let mut fields = resource.spec.clone();
    if !finished || facts.public_connect {
        set_null(&mut fields, "database");
    }
    set_facts(&mut fields, facts, spec);
    // Somebody else's database is not entered.
    if owner == Owner::Ours && !spec.extensions.is_empty() {
        let inside = admin.inside(spec.database.as_str()).await?;
        let there: Vec<Value> = spec
            .extensions
            .iter()
            .filter(|name| inside.extensions.contains(*name))
            .map(|name| Value::from(name.as_str()))
            .collect();
        fields.insert("extensions".to_owned(), Value::from(there));
    }
    Ok(Observed::Found(Found {
        fields,
        owner,
        ready: true,
    }))
}

fn set_facts(fields: &mut mlops_core::Spec, facts: &DatabaseFacts, spec: &DatabaseSpec) {
    fields.insert("owner".to_owned(), Value::from(facts.owner.as_str()));
    // `utf8` and `UTF8` are one encoding; the wanted spelling stays.
    if !facts.encoding.eq_ignore_ascii_case(&spec.encoding) {
        fields.insert("encoding".to_owned(), Value::from(facts.encoding.as_str()));
    }
}

#[async_trait]
impl Provider for DatabaseProvider {
    fn rules(&self) -> Rules {
        let rules = KindRules {
            immutable: ["encoding".to_owned()].into(),
            shared: false,
        };
        Rules::from([(kind(DATABASE), rules)])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let (groups, mut answers) = group(wanted, |spec: &DatabaseSpec| {
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
        strays::databases(&self.connect, graph, cx).await
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: DatabaseSpec = resource.typed()?;
        let server = server_of(&self.connect, &spec.server, &spec.admin, cx).await?;
        let mark = Mark::of(&cx.platform);
        let foreign = match action {
            Action::Remove => return remove_database(&server, &spec.database, &mark).await,
            Action::Adopt { .. } => Foreign::TakeOver,
            Action::Create | Action::Update { .. } => Foreign::Refuse,
            Action::Wait | Action::Nothing | Action::Keep => return Ok(()),
            Action::Replace { .. } | Action::Later { .. } => {
                return Err(no_such_action(resource, action.verb()));
            }
        };
        let wish = DatabaseWish {
            database: spec.database,
            owner: spec.owner,
            encoding: spec.encoding,
            extensions: spec.extensions,
        };
        ensure_database(&server, &wish, &mark, foreign).await?;
        Ok(())
    }

    async fn holdings(&self, resource: &Resource, cx: &Context) -> Result<Option<String>> {
        let spec: DatabaseSpec = resource.typed()?;
        let server = server_of(&self.connect, &spec.server, &spec.admin, cx).await?;
        let holdings = holdings(&server, spec.database.as_str()).await?;
        Ok(holdings.map(|holdings| holdings.to_string()))
    }
}
