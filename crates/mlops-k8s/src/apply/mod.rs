//! Making it so: server-side apply of a whole set, ordered by need.

mod causes;
mod guards;
mod lock;
mod needs;
mod parent;
mod prune;
mod report;
mod run;
mod window;
mod write;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join;
use mlops_core::{Error, ErrorKind, Result};

pub use lock::SetLock;
pub(crate) use parent::Parent;
pub use parent::{PART_OF, SetName};
pub(crate) use prune::{Doomed, delete_rank};
pub use report::{ApplyEvent, ApplyReport, Outcome};
pub(crate) use write::Writer;

use crate::discovery::{Kinds, KnownKinds, brings_kinds};
use crate::lease::LeaseGuard;
use crate::objects::{ObjectSet, Wanted};
use crate::observe::{Observation, observe};
use crate::plan::{Action, ObjectPlan, PlanOptions, decide};
use crate::wait::{Target, WaitEvent, WaitOptions};

/// How an apply behaves.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// What the plan may do.
    pub plan: PlanOptions,
    /// How long to wait for what others must be ready for: a definition that is established, the workload behind a
    /// webhook, an object that goes before it is made again. Default: 5 minutes.
    pub needs_within: Duration,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            plan: PlanOptions::default(),
            needs_within: Duration::from_mins(5),
        }
    }
}

/// Brings objects to a cluster.
///
/// ```no_run
/// # async fn example(client: kube::Client) -> mlops_core::Result<()> {
/// use mlops_k8s::{Applier, ApplyOptions, ObjectSet};
///
/// let set = ObjectSet::read_folder("manifests".as_ref())?;
/// let applier = Applier::new(client).with_set("demo", "models");
/// println!("{}", applier.plan(&set, &Default::default()).await?);
/// let report = applier.apply(&set, &ApplyOptions::default(), &|event| println!("{event:?}")).await?;
/// assert!(report.is_complete());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Applier {
    pub(crate) client: kube::Client,
    pub(crate) set: Option<SetName>,
    namespace: String,
    confined: Option<BTreeSet<String>>,
    guard: Option<LeaseGuard>,
    known: Option<KnownKinds>,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier")
            .field("set", &self.set)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A look at the cluster and what follows from it, ready to be applied.
#[derive(Clone)]
pub struct Prepared {
    wanted: Vec<Wanted>,
    observation: Observation,
    plan: ObjectPlan,
    kinds: Kinds,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// What will be done.
    pub fn plan(&self) -> &ObjectPlan {
        &self.plan
    }

    /// The kinds of the server and of the set.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// What was found.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }
}

impl Applier {
    /// Applies through a client. Objects that name no namespace go to the client's own.
    ///
    /// The client must not retry by itself ([`crate::ClusterAccess`] makes such ones): two levels of retries multiply.
    pub fn new(client: kube::Client) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            client,
            set: None,
            namespace,
            confined: None,
            guard: None,
            known: None,
        }
    }

    /// Makes the objects members of a set, whose parent is the `ConfigMap` `name` in `namespace`. Members that are wanted
    /// no more are removed. Without a set nothing is ever removed.
    #[must_use]
    pub fn with_set(self, name: &str, namespace: &str) -> Self {
        Self {
            set: Some(SetName::new(name, namespace)),
            ..self
        }
    }

    /// Sends objects that name no namespace to this one.
    #[must_use]
    pub fn with_namespace(self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self
        }
    }

    /// Refuses objects of other namespaces than these, and objects that belong to the whole cluster: for files that
    /// somebody else wrote.
    #[must_use]
    pub fn confined_to<'a>(self, namespaces: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            confined: Some(namespaces.into_iter().map(str::to_owned).collect()),
            ..self
        }
    }

    /// Writes only while a lease is held.
    #[must_use]
    pub fn with_lease(self, guard: LeaseGuard) -> Self {
        Self {
            guard: Some(guard),
            ..self
        }
    }

    /// Gives a lease back that it wrote under, and waits until the server knows.
    pub async fn give_back(self) {
        if let Some(guard) = self.guard {
            guard.give_back().await;
        }
    }

    /// Keeps the kinds of the server here, instead of asking for them at each look.
    #[must_use]
    pub fn with_known_kinds(self, known: KnownKinds) -> Self {
        Self {
            known: Some(known),
            ..self
        }
    }

    /// Looks at the cluster and decides what is to be done.
    ///
    /// # Errors
    ///
    /// When an object cannot be sent to this server (an unknown kind, too large), or the members of the set could not
    /// be listed. A wanted object that could not be asked for is in the plan as such.
    pub async fn prepare(&self, set: &ObjectSet, options: &PlanOptions) -> Result<Prepared> {
        let parent = async {
            match &self.set {
                Some(name) => name.find(&self.client).await,
                None => Ok(None),
            }
        };
        let (kinds, parent) = try_join(self.kinds_for(set), parent).await?;
        let wanted = prepare_all(set, &kinds, &self.namespace)?;
        self.refuse_strangers(&wanted)?;
        let part_of = self.set.as_ref().map(SetName::id);
        let part_of = part_of.as_deref();
        let observation = observe(&self.client, &kinds, &wanted, parent, part_of).await?;
        let plan = decide(&wanted, &observation, part_of, options);
        Ok(Prepared {
            wanted,
            observation,
            plan,
            kinds,
        })
    }

    /// What an apply would do.
    ///
    /// # Errors
    ///
    /// As [`Applier::prepare`].
    pub async fn plan(&self, set: &ObjectSet, options: &PlanOptions) -> Result<ObjectPlan> {
        Ok(self.prepare(set, options).await?.plan)
    }

    /// Looks, plans and makes it so.
    ///
    /// A failure stops only what needs it; the report says what failed and what was left. Dropping the future ends the
    /// work between two writes at the latest, and another apply goes on from there.
    ///
    /// # Errors
    ///
    /// As [`Applier::prepare`] and [`Applier::apply_prepared`].
    pub async fn apply(
        &self,
        set: &ObjectSet,
        options: &ApplyOptions,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<ApplyReport> {
        let prepared = self.prepare(set, &options.plan).await?;
        self.apply_prepared(&prepared, options, on_event).await
    }

    /// Makes a plan so that was shown before. Objects that changed since then in a way that matters are refused by the
    /// server, and reported.
    ///
    /// # Errors
    ///
    /// When something stands in the way: a conflict, or an object that could not be asked for. Nothing is written then.
    pub async fn apply_prepared(
        &self,
        prepared: &Prepared,
        options: &ApplyOptions,
        on_event: &(dyn Fn(ApplyEvent) + Send + Sync),
    ) -> Result<ApplyReport> {
        refuse_obstacles(&prepared.plan)?;
        let report = run::run(self, prepared, options, on_event).await;
        let mut changed = prepared.plan.changes.iter();
        if let Some(known) = &self.known
            && changed.any(|change| !change.action.is_nothing() && brings_kinds(&change.id.group))
        {
            known.forget().await;
        }
        report
    }

    /// The kinds of the server and of a set.
    pub(crate) async fn kinds_for(&self, set: &ObjectSet) -> Result<Kinds> {
        let kinds = match &self.known {
            Some(known) => Kinds::clone(&*known.get_for(&self.client, set).await?),
            None => Kinds::of_server(&self.client).await?,
        };
        Ok(kinds.with_definitions_of(set))
    }

    /// Waits until all objects of a set are ready.
    ///
    /// # Errors
    ///
    /// As [`crate::Waiter::wait_until_ready`], and when a kind is unknown.
    pub async fn wait(
        &self,
        set: &ObjectSet,
        options: &WaitOptions,
        on_event: &(dyn Fn(WaitEvent) + Send + Sync),
    ) -> Result<()> {
        let targets = self.targets(set).await?;
        crate::wait::until_ready(&self.client, &targets, options, on_event).await
    }

    async fn targets(&self, set: &ObjectSet) -> Result<Vec<Target>> {
        let kinds = self.kinds_for(set).await?;
        let wanted = prepare_all(set, &kinds, &self.namespace)?;
        Ok(wanted.iter().map(Wanted::target).collect())
    }

    fn refuse_strangers(&self, wanted: &[Wanted]) -> Result<()> {
        let Some(confined) = &self.confined else {
            return Ok(());
        };
        let is_inside = |wanted: &Wanted| {
            wanted
                .id
                .namespace
                .as_ref()
                .is_some_and(|namespace| confined.contains(namespace))
        };
        let strangers: Vec<String> = wanted
            .iter()
            .filter(|wanted| !is_inside(wanted))
            .map(|wanted| wanted.object.describe())
            .collect();
        if strangers.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = confined.iter().map(String::as_str).collect();
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("keep objects inside {}", names.join(", ")),
        )
        .with_source(format!("outside are {}", strangers.join(", "))))
    }

    pub(crate) fn guard(&self) -> Option<&LeaseGuard> {
        self.guard.as_ref()
    }
}

impl Wanted {
    pub(crate) fn target(&self) -> Target {
        Target {
            id: self.id.clone(),
            kind: self.kind.clone(),
        }
    }
}

/// The plan for an empty cluster, without one: everything is a create. Kinds are those of Kubernetes and those that the
/// set defines.
///
/// ```
/// use mlops_k8s::{ObjectSet, plan_without_cluster};
///
/// let set = ObjectSet::from_yaml("a.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")?;
/// let plan = plan_without_cluster(&set, "models")?;
/// assert_eq!(plan.to_string(), "+ create ConfigMap/a in models\n1 to create, 0 to change, 0 to remove");
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
///
/// When an object has a kind that neither knows, or is too large.
pub fn plan_without_cluster(set: &ObjectSet, namespace: &str) -> Result<ObjectPlan> {
    let kinds = Kinds::built_in().with_definitions_of(set);
    let wanted = prepare_all(set, &kinds, namespace)?;
    Ok(decide(
        &wanted,
        &Observation::default(),
        None,
        &PlanOptions::default(),
    ))
}

fn prepare_all(set: &ObjectSet, kinds: &Kinds, namespace: &str) -> Result<Vec<Wanted>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(set.len());
    for object in set {
        let wanted = Wanted::new(object, kinds, namespace)?;
        if !seen.insert(wanted.id.clone()) {
            let cause = "it is in the set twice, once with its namespace and once without";
            let doing = format!("prepare {}", object.describe());
            return Err(Error::new(ErrorKind::InvalidInput, doing).with_source(cause));
        }
        all.push(wanted);
    }
    Ok(all)
}

fn refuse_obstacles(plan: &ObjectPlan) -> Result<()> {
    let texts: Vec<String> = plan.obstacles().map(ToString::to_string).collect();
    if texts.is_empty() {
        return Ok(());
    }
    let unknown = plan.obstacles().find_map(|change| match &change.action {
        Action::Unknown { failure } => Some(failure),
        _ => None,
    });
    let kind = unknown.map_or(ErrorKind::Conflict, |failure| failure.kind);
    let doing = format!(
        "apply {} objects, of which {} are in the way",
        plan.changes.len(),
        texts.len()
    );
    Err(Error::new(kind, doing).with_source(texts.join("\n")))
}
