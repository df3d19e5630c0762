//! A little engine: observes, plans, applies in order, and can be killed at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use mlops_core::hook::WriteHook;
use mlops_core::plan::{Action, Rules, plan, plan_removal};
use mlops_core::{
    Context, Endpoint, Endpoints, Error, ErrorKind, EventSink, Graph, Observation, Observed, Plan,
    Provider, Resource, ResourceId, Result, SecretName, SecretStore, SecretText, ServiceName,
};

/// Secrets in memory.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<BTreeMap<SecretName, SecretText>>);

impl Secrets {
    pub(crate) fn put(&self, name: &str, text: &str) {
        let name = name.parse().unwrap();
        self.0.lock().unwrap().insert(name, SecretText::new(text));
    }
}

#[async_trait]
impl SecretStore for Secrets {
    async fn find(&self, name: &SecretName) -> Result<Option<SecretText>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    async fn create(&self, name: &SecretName, text: SecretText) -> Result<SecretText> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .entry(name.clone())
            .or_insert(text)
            .clone())
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SecretName>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
}

/// Every service is at one address.
struct OneAddress(Endpoint);

#[async_trait]
impl Endpoints for OneAddress {
    async fn get(&self, _name: &ServiceName) -> Result<Endpoint> {
        Ok(self.0.clone())
    }
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url.parse().unwrap()).unwrap()
}

pub(crate) fn context(platform: &str, url: &str, secrets: Arc<Secrets>) -> Context {
    Context {
        platform: platform.parse().unwrap(),
        secrets,
        endpoints: Arc::new(OneAddress(endpoint(url))),
        events: EventSink::none(),
    }
}

/// A hook that gives the runtime its turn, so that a kill can come between any two writes.
pub(crate) struct Pause;

#[async_trait]
impl WriteHook for Pause {
    async fn before(&self, _what: &str) -> Result<()> {
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn after(&self, _what: &str) -> Result<()> {
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Drives a run until it has been woken `times`, and drops it on the spot; `None` when that came before its end.
pub(crate) async fn cut<T>(times: usize, run: impl Future<Output = T>) -> Option<T> {
    let mut run = pin!(run);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        run.as_mut().poll(cx).map(Some)
    })
    .await
}

pub(crate) struct Engine {
    pub(crate) providers: Vec<Arc<dyn Provider>>,
    pub(crate) graph: Graph,
    pub(crate) cx: Context,
}

impl Engine {
    fn rules(&self) -> Rules {
        self.providers
            .iter()
            .flat_map(|provider| provider.rules())
            .collect()
    }

    pub(crate) async fn observe(&self) -> Result<Observation> {
        let mut observation = Observation::default();
        for provider in &self.providers {
            let rules = provider.rules();
            let wanted: Vec<&Resource> = self
                .graph
                .resources()
                .filter(|resource| rules.contains_key(resource.id.kind()))
                .collect();
            let found = provider.observe(&wanted, &self.cx).await;
            observation.entries.extend(found);
            let strays = provider.find_strays(&self.graph, &self.cx).await?;
            observation.strays.extend(strays);
        }
        Ok(observation)
    }

    pub(crate) async fn plan(&self) -> Result<Plan> {
        plan(&self.graph, &self.observe().await?, &self.rules())
    }

    /// Observes, plans and applies once.
    pub(crate) async fn up(&self) -> Result<Plan> {
        let observation = self.observe().await?;
        let plan = plan(&self.graph, &observation, &self.rules())?;
        self.apply(&plan, &observation).await?;
        Ok(plan)
    }

    /// Takes everything away, with the data of `data`.
    pub(crate) async fn remove(&self, data: &[ResourceId]) -> Result<Plan> {
        let observation = self.observe().await?;
        let data: BTreeSet<ResourceId> = data.iter().cloned().collect();
        let plan = plan_removal(&self.graph, &observation, &self.rules(), &data)?;
        self.apply(&plan, &observation).await?;
        Ok(plan)
    }

    async fn apply(&self, plan: &Plan, observation: &Observation) -> Result<()> {
        for change in &plan.changes {
            if change.action.is_change() {
                let stray = observation
                    .strays
                    .iter()
                    .find(|stray| stray.id == change.id);
                let resource = self.graph.find(&change.id).or(stray).unwrap();
                self.provider(resource)
                    .apply(resource, &change.action, &self.cx)
                    .await?;
            }
        }
        Ok(())
    }

    pub(crate) fn provider(&self, resource: &Resource) -> &Arc<dyn Provider> {
        self.providers
            .iter()
            .find(|provider| provider.rules().contains_key(resource.id.kind()))
            .unwrap()
    }

    pub(crate) async fn found(&self, id: &ResourceId) -> Observed {
        self.observe().await.unwrap().get(id).clone()
    }
}

/// The verbs of a plan's changes, by resource, without those that do nothing.
pub(crate) fn verbs(plan: &Plan) -> Vec<String> {
    plan.changes
        .iter()
        .filter(|change| change.action != Action::Nothing)
        .map(|change| format!("{} {}", change.action.verb(), change.id))
        .collect()
}

/// Letters and digits that no other test uses.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{}x{number}x", std::process::id())
}

#[track_caller]
pub(crate) fn assert_kind<T>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(_) => panic!("it should have failed: {kind}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error}: {:?}", error.causes());
            error
        }
    }
}
