//! A small world for the tests of the engine itself: named things with fields, some living in others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mlops::surroundings::FixedEndpoints;
use mlops_core::hook::Hook;
use mlops_core::observation::{Found, Owner};
use mlops_core::plan::{KindRules, Rules};
use mlops_core::{
    Action, Context, Error, ErrorKind, EventSink, Finding, Graph, Kind, Observed, Probe, Prober,
    Provider, Resource, ResourceId, Result, Spec,
};

/// One thing of the world. It is written in two steps: body, then mark.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thing {
    pub(crate) fields: Spec,
    pub(crate) owner: Option<String>,
}

/// The world and its log.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) things: BTreeMap<ResourceId, Thing>,
    pub(crate) log: Vec<String>,
    /// Things whose observation fails.
    pub(crate) silent: Vec<ResourceId>,
    /// Things whose creation fails for good.
    pub(crate) cursed: Vec<ResourceId>,
    /// Things whose creation never ends.
    pub(crate) endless: Vec<ResourceId>,
}

#[derive(Clone)]
pub(crate) struct WorldProvider {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) hook: Hook,
}

impl WorldProvider {
    async fn write(&self, what: String, write: impl FnOnce(&mut World) + Send) -> Result<()> {
        self.hook.before(&what).await?;
        {
            let mut world = self.world.lock().unwrap();
            write(&mut world);
            world.log.push(what.clone());
        }
        tokio::task::yield_now().await;
        self.hook.after(&what).await
    }
}

#[async_trait]
impl Provider for WorldProvider {
    fn rules(&self) -> Rules {
        Rules::from([(Kind::new("thing"), KindRules::default())])
    }

    async fn observe(&self, wanted: &[&Resource], cx: &Context) -> Vec<(ResourceId, Observed)> {
        let world = self.world.lock().unwrap();
        wanted
            .iter()
            .map(|resource| {
                let observed = if world.silent.contains(&resource.id) {
                    let error = Error::new(ErrorKind::Unavailable, "ask the world");
                    Observed::Unknown((&error).into())
                } else {
                    match world.things.get(&resource.id) {
                        None => Observed::Absent,
                        // Ours by its mark; without one it is a half-made thing of ours when it says so.
                        Some(thing) => Observed::Found(Found {
                            fields: thing.fields.clone(),
                            owner: match &thing.owner {
                                Some(owner) if *owner == cx.platform.to_string() => Owner::Ours,
                                Some(owner) => Owner::Other(owner.clone()),
                                None => Owner::Ours,
                            },
                            ready: thing.owner.is_some(),
                        }),
                    }
                };
                (resource.id.clone(), observed)
            })
            .collect()
    }

    async fn find_strays(&self, graph: &Graph, cx: &Context) -> Result<Vec<Resource>> {
        let world = self.world.lock().unwrap();
        Ok(world
            .things
            .iter()
            .filter(|(id, thing)| {
                graph.find(id).is_none() && thing.owner.as_deref() == Some(cx.platform.as_str())
            })
            .map(|(id, _)| Resource::new(id.clone(), "stray".parse().unwrap()))
            .collect())
    }

    async fn apply(&self, resource: &Resource, action: &Action, cx: &Context) -> Result<()> {
        let id = resource.id.clone();
        if self.world.lock().unwrap().cursed.contains(&id) {
            return Err(Error::new(ErrorKind::Failed, format!("make `{id}`")));
        }
        let endless = self.world.lock().unwrap().endless.contains(&id);
        if endless {
            std::future::pending::<()>().await;
        }
        if *action == Action::Remove {
            return self
                .write(format!("remove {id}"), |world| {
                    world.things.remove(&id);
                })
                .await;
        }
        let fields = resource.spec.clone();
        let body_id = id.clone();
        self.write(format!("body {id}"), move |world| {
            let owner = world
                .things
                .get(&body_id)
                .and_then(|thing| thing.owner.clone());
            world.things.insert(body_id, Thing { fields, owner });
        })
        .await?;
        let owner = cx.platform.to_string();
        self.write(format!("mark {id}"), move |world| {
            if let Some(thing) = world.things.get_mut(&id) {
                thing.owner = Some(owner);
            }
        })
        .await
    }

    async fn holdings(&self, resource: &Resource, _cx: &Context) -> Result<Option<String>> {
        Ok(Some(format!("the life's work in {}", resource.id.name())))
    }
}

pub(crate) struct WorldProber(pub(crate) Arc<Mutex<World>>);

#[async_trait]
impl Prober for WorldProber {
    fn kinds(&self) -> Vec<String> {
        vec!["there".to_owned()]
    }

    async fn probe(&self, probe: &Probe, _cx: &Context) -> Result<Vec<Finding>> {
        let world = self.0.lock().unwrap();
        Ok(probe
            .needs
            .iter()
            .map(|id| {
                let there = world
                    .things
                    .get(id)
                    .map(|_| ())
                    .ok_or_else(|| Error::new(ErrorKind::NotFound, "see it"));
                Finding::expect_done(format!("{id} is there"), &there)
            })
            .collect())
    }
}

pub(crate) fn context(events: EventSink) -> Context {
    mlops::surroundings::context("test".parse().unwrap(), FixedEndpoints::default(), events)
}

pub(crate) fn id(name: &str) -> ResourceId {
    ResourceId::new("thing", name)
}

/// A thing with one field that needs others.
pub(crate) fn thing(name: &str, needs: &[&str]) -> Resource {
    needs.iter().fold(
        Resource::new(id(name), "test".parse().unwrap())
            .with_spec(&serde_json::json!({"value": name}))
            .unwrap(),
        |resource, need| resource.with_need(id(need)),
    )
}
