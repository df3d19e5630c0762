//! The provider of buckets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use mlops_core::plan::{Action, KindRules, Rules};
use mlops_core::{
    BucketName, ComponentName, Context, Error, Found, Graph, Observed, Owner, Provider, Resource,
    ResourceId, Result, ServiceName,
};
use serde_json::Value;

use super::ensure::{
    BucketWish, Content, State, Store, bucket_state, ensure_bucket, holdings, is_marked,
    remove_bucket,
};
use super::model::{BucketFacts, Connect, Credentials, Owners, S3Admin};
use super::spec::{AdminSpec, BUCKET, BucketSpec, KEY, KeySpec};
use crate::mark::Mark;
use crate::outcome::Foreign;
use crate::support::{absent_as_none, group, host_of, kind, no_such_action, set_null, unknown};

/// How many buckets are asked for their tags at once.
const AT_ONCE: usize = 8;

/// Observes and changes `s3-bucket`: one list of buckets for each server, and one question for each bucket's tags.
///
/// Removing empties the bucket first when the resource is one that holds data: such a resource is only removed when
/// somebody named it.
#[derive(Clone)]
pub struct BucketProvider {
    connect: Arc<dyn Connect>,
}

impl fmt::Debug for BucketProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketProvider")
    }
}

/// The server of a spec, with the administrator's secret taken from the secrets.
pub(super) async fn store_of(
    connect: &Arc<dyn Connect>,
    server: &ServiceName,
    region: &str,
    admin: &AdminSpec,
    cx: &Context,
) -> Result<Store> {
    let endpoint = cx.endpoint(server).await?;
    let secret = cx.secret(&admin.secret_key).await?;
    let key = Credentials::new(&admin.access_key, secret);
    Ok(Store::new(Arc::clone(connect), endpoint, region, key))
}

/// The servers that a graph's keys and buckets name. For keys only those are asked that keys or owners are made on.
pub(super) fn servers(graph: &Graph, kind: &str) -> BTreeSet<(ServiceName, String, AdminSpec)> {
    graph
        .resources()
        .filter_map(|resource| match resource.id.kind().as_str() {
            KEY => {
                let spec: KeySpec = resource.typed().ok().filter(|spec: &KeySpec| !spec.given)?;
                Some((spec.server, spec.region, spec.admin?))
            }
            BUCKET => {
                let spec: BucketSpec = resource.typed().ok()?;
                (kind == BUCKET || spec.owner.is_some()).then_some((
                    spec.server,
                    spec.region,
                    spec.admin,
                ))
            }
            _ => None,
        })
        .collect()
}

impl BucketProvider {
    /// A provider that connects so.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self { connect }
    }

    async fn observe_server(
        &self,
        wanted: Vec<(&Resource, BucketSpec)>,
        cx: &Context,
    ) -> Vec<(ResourceId, Observed)> {
        let Some((_, first)) = wanted.first() else {
            return Vec::new();
        };
        let owners = if wanted.iter().any(|(_, spec)| spec.owner.is_some()) {
            Owners::Needed
        } else {
            Owners::Skip
        };
        let read = async {
            let store = store_of(
                &self.connect,
                &first.server,
                &first.region,
                &first.admin,
                cx,
            )
            .await?;
            let admin = store.admin().await?;
            let buckets = admin.list_buckets(owners).await?;
            Ok::<_, Error>((admin, buckets))
        };
        match read.await {
            Ok((admin, buckets)) => {
                let mark = Mark::of(&cx.platform);
                let mut answers = Vec::with_capacity(wanted.len());
                for some in wanted.chunks(AT_ONCE) {
                    let asked = some.iter().map(|(resource, spec)| async {
                        let observed = observe_one(&*admin, &buckets, resource, spec, &mark).await;
                        let observed = observed.unwrap_or_else(|error| unknown(&error));
                        (resource.id.clone(), observed)
                    });
                    answers.extend(join_all(asked).await);
                }
                answers
            }
            Err(error) => wanted
                .iter()
                .map(|(resource, _)| (resource.id.clone(), unknown(&error)))
                .collect(),
        }
    }
}

fn wish(spec: BucketSpec) -> BucketWish {
    BucketWish {
        bucket: spec.bucket,
        owner: spec.owner,
    }
}

async fn observe_one(
    admin: &dyn S3Admin,
    buckets: &[BucketFacts],
    resource: &Resource,
    spec: &BucketSpec,
    mark: &Mark,
) -> Result<Observed> {
    let mut finished = true;
    let ((facts, _), owner) = match bucket_state(admin, buckets, &wish(spec.clone()), mark).await? {
        State::Absent => return Ok(Observed::Absent),
        State::Ours(found) => (found, Owner::Ours),
        State::Unfinished(found) => {
            finished = false;
            (found, Owner::Ours)
        }
        State::Foreign(found, whose) => (found, Owner::Other(whose)),
    };
    let mut fields = resource.spec.clone();
    if !finished {
        set_null(&mut fields, "bucket");
    }
    if spec.owner.is_some() {
        fields.insert("owner".to_owned(), Value::from(facts.owner.clone()));
    }
    Ok(Observed::Found(Found {
        fields,
        owner,
        ready: true,
    }))
}

/// The buckets with our mark, by name, with their owners.
async fn marked(
    admin: &dyn S3Admin,
    owners: Owners,
    mark: &Mark,
) -> Result<BTreeMap<String, Option<String>>> {
    let buckets = admin.list_buckets(owners).await?;
    let mut found = BTreeMap::new();
    for some in buckets.chunks(AT_ONCE) {
        let asked = some
            .iter()
            .map(|facts| async { absent_as_none(admin.tags(&facts.name).await) });
        for (facts, tags) in some.iter().zip(join_all(asked).await) {
            if tags?.is_some_and(|tags| is_marked(&tags, mark)) {
                found.insert(facts.name.clone(), facts.owner.clone());
            }
        }
    }
    Ok(found)
}

#[async_trait]
impl Provider for BucketProvider {
    fn rules(&self) -> Rules {
        Rules::from([(kind(BUCKET), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let (groups, mut answers) = group(wanted, |spec: &BucketSpec| {
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
        let with_owners = servers(graph, KEY);
        let mut strays = Vec::new();
        for key in servers(graph, BUCKET) {
            let owners = if with_owners.contains(&key) {
                Owners::Needed
            } else {
                Owners::Skip
            };
            let (server, region, admin) = key;
            let store = store_of(&self.connect, &server, &region, &admin, cx).await?;
            for (name, owner) in marked(&*store.admin().await?, owners, &mark).await? {
                let id = ResourceId::new(BUCKET, &name);
                let Ok(bucket) = name.parse::<BucketName>() else {
                    continue;
                };
                if graph.find(&id).is_some() {
                    continue;
                }
                let component: ComponentName = server.as_str().parse()?;
                let mut resource = Resource::new(id, component).with_data();
                if let Some(host) = host_of(graph, &server, &[KEY, BUCKET]) {
                    resource = resource.with_within(host);
                }
                // Its key may be a stray as well, and goes after it.
                if let Some(owner) = owner.as_ref().filter(|owner| **owner != admin.access_key) {
                    resource = resource.with_need(ResourceId::new(KEY, owner));
                }
                let spec = BucketSpec {
                    server: server.clone(),
                    region: region.clone(),
                    admin: admin.clone(),
                    bucket,
                    owner,
                };
                strays.push(resource.with_spec(&spec)?);
            }
        }
        Ok(strays)
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let spec: BucketSpec = resource.typed()?;
        let store = store_of(&self.connect, &spec.server, &spec.region, &spec.admin, cx).await?;
        let mark = Mark::of(&cx.platform);
        let wish = wish(spec);
        let foreign = match action {
            Action::Remove => {
                let content = if resource.holds_data {
                    Content::Remove
                } else {
                    Content::Keep
                };
                return remove_bucket(&store, &wish, &mark, content).await;
            }
            Action::Adopt { .. } => Foreign::TakeOver,
            Action::Create | Action::Update { .. } => Foreign::Refuse,
            Action::Wait | Action::Nothing | Action::Keep => return Ok(()),
            Action::Replace { .. } | Action::Later { .. } => {
                return Err(no_such_action(resource, action.verb()));
            }
        };
        ensure_bucket(&store, &wish, &mark, foreign).await?;
        Ok(())
    }

    async fn holdings(&self, resource: &Resource, cx: &Context) -> Result<Option<String>> {
        let spec: BucketSpec = resource.typed()?;
        let store = store_of(&self.connect, &spec.server, &spec.region, &spec.admin, cx).await?;
        let holdings = holdings(&store, spec.bucket.as_str()).await?;
        Ok(holdings.map(|holdings| holdings.to_string()))
    }
}
