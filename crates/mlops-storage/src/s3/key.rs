//! The provider of keys.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    ComponentName, Context, Error, ErrorKind, Found, Graph, Observed, Owner, Provider, Resource,
    ResourceId, Result, SecretText,
};

use super::bucket::{servers, store_of};
use super::ensure::{KeyWish, State, Store, ensure_key, key_state, opens, remove_key};
use super::model::{Connect, Credentials, KeyFacts};
use super::spec::{BUCKET, KEY, KeySpec};
use crate::mark::Mark;
use crate::outcome::Foreign;
use crate::support::{group, host_of, kind, no_such_action, set_null, unknown, wrong_secret};

/// Observes and changes `s3-key`: one list of keys for each server, and one call with each key.
#[derive(Clone)]
pub struct KeyProvider {
    connect: Arc<dyn Connect>,
}

impl fmt::Debug for KeyProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyProvider")
    }
}

fn no_admin(spec: &KeySpec) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("manage key `{}`", spec.access_key),
    )
    .with_source("its description names no administrator, and does not say that it is given")
}

/// The key with its secret, when that is there; else with one that opens nothing.
async fn credentials(spec: &KeySpec, cx: &Context) -> Result<(Credentials, bool)> {
    let secret: Option<SecretText> = match &spec.secret_key {
        Some(name) => cx.secrets.find(name).await?,
        None => None,
    };
    let known = secret.is_some();
    let secret = secret.unwrap_or_else(wrong_secret);
    Ok((Credentials::new(&spec.access_key, secret), known))
}

impl KeyProvider {
    /// A provider that connects so.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    async fn store(&self, spec: &KeySpec, cx: &Context) -> Result<Store> {
        let admin = spec.admin.as_ref().ok_or_else(|| no_admin(spec))?;
        store_of(&self.connect, &spec.server, &spec.region, admin, cx).await
    }

    /// A given key is there when it opens the server.
    async fn observe_given(
        &self,
        resource: &Resource,
        spec: &KeySpec,
        cx: &Context,
    ) -> Result<Observed> {
        let endpoint = cx.endpoint(&spec.server).await?;
        let (key, known) = credentials(spec, cx).await?;
        let works = known && opens(&self.connect, &endpoint, &spec.region, &key).await?;
        Ok(if works {
            Observed::Found(Found::ours(resource.spec.clone()))
        } else {
            Observed::Absent
        })
    }

    async fn observe_server(
        &self,
        wanted: Vec<(&Resource, KeySpec)>,
        cx: &Context,
    ) -> Vec<(ResourceId, Observed)> {
        let managed = wanted.iter().find(|(_, spec)| !spec.given);
        let read = async {
            let Some((_, first)) = managed else {
                return Ok(None);
            };
            let store = self.store(first, cx).await?;
            let keys = store.admin().await?.list_keys().await?;
            Ok::<_, Error>(Some((store, keys)))
        };
        let read = read.await;
        join_all(wanted.iter().map(|(resource, spec)| async {
            let observed = match &read {
                _ if spec.given => self.observe_given(resource, spec, cx).await,
                Ok(Some((store, keys))) => observe_one(store, keys, resource, spec, cx).await,
                Ok(None) => Err(no_admin(spec)),
                Err(error) => return (resource.id.clone(), unknown(error)),
            };
            let observed = observed.unwrap_or_else(|error| unknown(&error));
            (resource.id.clone(), observed)
        }))
        .await
    }
}

async fn observe_one(
    store: &Store,
    keys: &[KeyFacts],
    resource: &Resource,
    spec: &KeySpec,
    cx: &Context,
) -> Result<Observed> {
    let mark = Mark::of(&cx.platform);
    let (key, known) = credentials(spec, cx).await?;
    let owner = match key_state(store, keys, &key, &mark).await? {
        State::Absent => return Ok(Observed::Absent),
        State::Ours(()) | State::Unfinished(()) => Owner::Ours,
        State::Foreign((), whose) => Owner::Other(whose),
    };
    let mut fields = resource.spec.clone();
    let asked = owner == Owner::Ours && spec.secret_key.is_some();
    if asked && !(known && store.opens(&key).await?) {
        set_null(&mut fields, "secret_key");
    }
    Ok(Observed::Found(Found {
        fields,
        owner,
        ready: true,
    }))
}

#[async_trait]
impl Provider for KeyProvider {
    fn rules(&self) -> Rules {
        Rules::from([(kind(KEY), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let (groups, mut answers) = group(wanted, |spec: &KeySpec| {
            (spec.server.clone(), spec.region.clone(), spec.admin.clone())
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
        let mark = Mark::of(&cx.platform);
        let mut strays = Vec::new();
        for (server, region, admin) in servers(graph, KEY) {
            let store = store_of(&self.connect, &server, &region, &admin, cx).await?;
            for facts in store.admin().await?.list_keys().await? {
                let id = ResourceId::new(KEY, &facts.access_key);
                if facts.project != mark.project() || graph.find(&id).is_some() {
                    continue;
                }
                let component: ComponentName = server.as_str().parse()?;
                let spec = KeySpec {
                    server: server.clone(),
                    region: region.clone(),
                    admin: Some(admin.clone()),
                    access_key: facts.access_key,
                    secret_key: None,
                    given: false,
                };
                let mut resource = Resource::new(id, component).with_spec(&spec)?;
                if let Some(host) = host_of(graph, &server, &[KEY, BUCKET]) {
                    resource = resource.with_within(host);
                }
                strays.push(resource);
            }
        }
        Ok(strays)
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: KeySpec = resource.typed()?;
        if spec.given {
            return self.check_given(&spec, action, cx).await;
        }
        let store = self.store(&spec, cx).await?;
        let mark = Mark::of(&cx.platform);
        let (key, known) = credentials(&spec, cx).await?;
        let foreign = match action {
            Action::Remove => return remove_key(&store, &key, &mark).await,
            Action::Adopt { .. } => Foreign::TakeOver,
            Action::Create | Action::Update { .. } => Foreign::Refuse,
            Action::Wait | Action::Nothing | Action::Keep => return Ok(()),
            Action::Replace { .. } | Action::Later { .. } => {
                return Err(no_such_action(resource, action.verb()));
            }
        };
        if !known {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("find the secret of key `{}`", spec.access_key),
            )
            .with_source("there is no such secret"));
        }
        ensure_key(&store, &KeyWish { key }, &mark, foreign).await?;
        Ok(())
    }
}

impl KeyProvider {
    async fn check_given(&self, spec: &KeySpec, action: &Action, cx: &Context) -> Result<()> {
        if matches!(action, Action::Remove | Action::Keep | Action::Nothing) {
            return Ok(());
        }
        let endpoint = cx.endpoint(&spec.server).await?;
        let (key, known) = credentials(spec, cx).await?;
        if known && opens(&self.connect, &endpoint, &spec.region, &key).await? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unauthenticated,
            format!("use the given key `{}`", spec.access_key),
        )
        .with_source(format!(
            "the server at {} does not take it",
            endpoint.authority()
        ))
        .with_hint("check the access key and the secret that the platform file refers to"))
    }
}
