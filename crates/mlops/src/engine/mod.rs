//! Observe, plan, apply, check: the same for every system, which the providers know and the engine does not.

mod apply;
mod check;
mod observe;
mod run;
mod step;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::{BoxFuture, FutureExt};
use mlops_core::plan::{self, Rules};
use mlops_core::{
    Context, Error, ErrorKind, Graph, Kind, Observation, Plan, Prober, Provider, ResourceId, Result,
};

pub use apply::{ApplyOptions, ProbeChoice};

/// How often and how patiently a step that may be repeated is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Further attempts after the first.
    pub retries: usize,
    /// The pause before the first of them; it doubles each time, with jitter.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    /// Five further attempts, from 100 ms to 5 s apart.
    fn default() -> Self {
        Self {
            retries: 5,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
        }
    }
}

impl Patience {
    /// The pauses between attempts, with jitter.
    fn pauses(self) -> impl Iterator<Item = Duration> {
        ExponentialBuilder::default()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(self.retries)
            .with_jitter()
            .build()
    }
}

/// A plan with the observation it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What is to be done.
    pub plan: Plan,
    /// What was found.
    pub observation: Observation,
}

/// The engine over a set of providers and probers.
///
/// It keeps no state between calls: what is ours is found again by looking.
#[derive(Clone, Default)]
pub struct Engine {
    providers: Vec<Arc<dyn Provider>>,
    responsible: BTreeMap<Kind, usize>,
    rules: Rules,
    probers: BTreeMap<String, Arc<dyn Prober>>,
    patience: Patience,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("kinds", &self.responsible.keys().collect::<Vec<_>>())
            .field("probes", &self.probers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that knows no kind yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a provider.
    ///
    /// # Errors
    ///
    /// When one of its kinds has a provider already.
    pub fn with_provider(mut self, provider: Arc<dyn Provider>) -> Result<Self> {
        for (kind, rules) in provider.rules() {
            if self.responsible.contains_key(&kind) {
                return Err(Error::new(ErrorKind::AlreadyExists, "add a provider")
                    .with_source(format!("the kind `{kind}` has a provider already")));
            }
            self.responsible.insert(kind.clone(), self.providers.len());
            self.rules.insert(kind, rules);
        }
        self.providers.push(provider);
        Ok(self)
    }

    /// Adds a prober.
    ///
    /// # Errors
    ///
    /// When one of its kinds of probe has a prober already.
    pub fn with_prober(mut self, prober: &Arc<dyn Prober>) -> Result<Self> {
        for kind in prober.kinds() {
            if self
                .probers
                .insert(kind.clone(), Arc::clone(prober))
                .is_some()
            {
                return Err(Error::new(ErrorKind::AlreadyExists, "add a prober")
                    .with_source(format!("probes of the kind `{kind}` have a prober already")));
            }
        }
        Ok(self)
    }

    /// Sets how failed steps are repeated.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Looks at the world and says what is to be done. Writes nothing.
    ///
    /// # Errors
    ///
    /// When something could not be asked for, is somebody else's, or would lose data.
    pub async fn plan(&self, graph: &Graph, cx: &Context) -> Result<Prepared> {
        self.patiently(|| self.plan_once(graph, cx).boxed()).await
    }

    /// As [`Self::plan`], where what does not answer is not asked again.
    pub(crate) async fn plan_once(&self, graph: &Graph, cx: &Context) -> Result<Prepared> {
        let observation = self.observe(graph, cx).await?;
        let plan = plan::plan(graph, &observation, &self.rules)?;
        Ok(Prepared { plan, observation })
    }

    /// The plan for an empty world: what would be done where nothing is. Asks nobody.
    ///
    /// # Errors
    ///
    /// When the graph holds a kind without a provider.
    pub fn plan_from_nothing(&self, graph: &Graph) -> Result<Plan> {
        self.check_kinds(graph)?;
        plan::plan(graph, &Observation::default(), &self.rules)
    }

    /// Looks at the world and says what is to be taken away; data only of the resources named in `data`.
    ///
    /// # Errors
    ///
    /// When something could not be asked for, or `data` names something that holds none.
    pub async fn plan_removal(
        &self,
        graph: &Graph,
        data: &std::collections::BTreeSet<ResourceId>,
        cx: &Context,
    ) -> Result<Prepared> {
        self.patiently(|| {
            async {
                let observation = self.observe(graph, cx).await?;
                let plan = plan::plan_removal(graph, &observation, &self.rules, data)?;
                Ok(Prepared { plan, observation })
            }
            .boxed()
        })
        .await
    }

    /// Repeats a look at the world that a server did not answer: one that died a moment ago is said to be dead soon.
    async fn patiently<'a, T>(&self, look: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        // A database server that was killed needs a while to recover; the servers over it answer 503 until then.
        let longest = self.patience.longest_pause.min(Duration::from_secs(2));
        let mut pauses = self
            .patience
            .pauses()
            .chain(std::iter::repeat_n(longest, 8));
        loop {
            match look().await {
                Err(error) if error.is_retryable() => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
                result => return result,
            }
        }
    }

    /// What data each resource holds, as one line each; only of those that say so.
    ///
    /// # Errors
    ///
    /// When a provider could not ask.
    pub async fn holdings(
        &self,
        graph: &Graph,
        observation: &Observation,
        cx: &Context,
    ) -> Result<BTreeMap<ResourceId, String>> {
        let mut holdings = BTreeMap::new();
        for resource in graph.ordered().chain(&observation.strays) {
            let there = matches!(
                observation.entries.get(&resource.id),
                Some(mlops_core::Observed::Found(_))
            );
            if there
                && resource.holds_data
                && let Some(text) = self
                    .provider(resource.id.kind())?
                    .holdings(resource, cx)
                    .await?
            {
                holdings.insert(resource.id.clone(), text);
            }
        }
        Ok(holdings)
    }

    fn provider(&self, kind: &Kind) -> Result<&Arc<dyn Provider>> {
        self.responsible
            .get(kind)
            .and_then(|index| self.providers.get(*index))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!("find the provider of `{kind}`"),
                )
                .with_source("no provider knows this kind")
            })
    }

    fn check_kinds(&self, graph: &Graph) -> Result<()> {
        for resource in graph.resources() {
            self.provider(resource.id.kind())?;
        }
        Ok(())
    }
}
