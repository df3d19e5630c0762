//! Waiting for objects by watches: one for each kind and namespace, whoever waits.

mod builtin;
mod pauses;
mod rules;
mod status;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::stream::{SelectAll, StreamExt as _};
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use mlops_core::{Error, ErrorKind, Result};

pub(crate) use pauses::Pauses;
pub use rules::{Check, ReadyRule, ReadyRules};
pub use status::{Status, status_of};

use crate::discovery::{Kind, KnownKinds, Lookup};
use crate::error::wrap;
use crate::objects::ObjectId;

/// How to wait.
#[derive(Debug, Clone)]
pub struct WaitOptions {
    /// For how long.
    pub within: Duration,
    /// Rules for kinds that need their own.
    pub rules: ReadyRules,
}

impl WaitOptions {
    /// Waits for this long, by the rules that are built in.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            rules: ReadyRules::default(),
        }
    }

    /// Adds rules.
    #[must_use]
    pub fn with_rules(self, rules: ReadyRules) -> Self {
        Self { rules, ..self }
    }
}

/// The state of an object has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitEvent {
    /// Which object.
    pub id: ObjectId,
    /// Its state now.
    pub status: Status,
}

/// An object to wait for, with its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which object. One of a namespaced kind must have its namespace.
    pub id: ObjectId,
    /// Its kind on the server.
    pub kind: Kind,
}

/// Waits for objects, whoever made them.
///
/// ```no_run
/// # async fn example(client: kube::Client) -> mlops_core::Result<()> {
/// use std::time::Duration;
/// use mlops_k8s::{ObjectId, WaitOptions, Waiter};
///
/// let id = ObjectId::new("apps", "Deployment", Some("models"), "mlflow");
/// let options = WaitOptions::new(Duration::from_secs(120));
/// Waiter::new(client).wait_until_ready(&[id], &options, &|event| println!("{event:?}")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Waiter {
    client: kube::Client,
    known: KnownKinds,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl Waiter {
    /// Waits through a client.
    pub fn new(client: kube::Client) -> Self {
        Self {
            client,
            known: KnownKinds::new(),
        }
    }

    /// Shares the kinds of the server with others, instead of asking for them.
    #[must_use]
    pub fn with_known_kinds(self, known: KnownKinds) -> Self {
        Self { known, ..self }
    }

    /// Waits until all are ready. Objects that are not there are waited for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] at once when one of them says that it has failed, [`ErrorKind::Timeout`] when time is up;
    /// both say what was seen last. [`ErrorKind::Unsupported`] when the server has no such kind, and others when it
    /// cannot be asked.
    pub async fn wait_until_ready(
        &self,
        ids: &[ObjectId],
        options: &WaitOptions,
        on_event: &(dyn Fn(WaitEvent) + Send + Sync),
    ) -> Result<()> {
        let targets = self.targets(ids).await?;
        until_ready(&self.client, &targets, options, on_event).await
    }

    /// Waits until all are gone, finalizers and all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when time is up, with the finalizers that hold what is left.
    pub async fn wait_until_gone(
        &self,
        ids: &[ObjectId],
        options: &WaitOptions,
        on_event: &(dyn Fn(WaitEvent) + Send + Sync),
    ) -> Result<()> {
        let targets = self.targets(ids).await?;
        until_gone(&self.client, &targets, options, on_event).await
    }

    async fn targets(&self, ids: &[ObjectId]) -> Result<Vec<Target>> {
        let wanted = ids.iter().map(ObjectId::group_kind);
        let kinds = self.known.get_with(&self.client, wanted).await?;
        let find = |id: &ObjectId| match kinds.find_any_version(&id.group_kind()) {
            Lookup::Known(kind) => Ok(Target {
                id: id.clone(),
                kind: kind.clone(),
            }),
            Lookup::NoSuchKind => Err(Error::new(ErrorKind::Unsupported, format!("wait for {id}"))
                .with_source("the server has no such kind")),
            Lookup::Unknown(failure) => {
                Err(Error::new(failure.kind, format!("wait for {id}"))
                    .with_source(failure.to_error()))
            }
        };
        ids.iter().map(find).collect()
    }
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq)]
enum Goal {
    Ready,
    Gone,
}

/// Waits until all are ready.
pub(crate) async fn until_ready(
    client: &kube::Client,
    targets: &[Target],
    options: &WaitOptions,
    on_event: &(dyn Fn(WaitEvent) + Send + Sync),
) -> Result<()> {
    wait(client, targets, Goal::Ready, options, on_event).await
}

/// Waits until all are gone.
pub(crate) async fn until_gone(
    client: &kube::Client,
    targets: &[Target],
    options: &WaitOptions,
    on_event: &(dyn Fn(WaitEvent) + Send + Sync),
) -> Result<()> {
    wait(client, targets, Goal::Gone, options, on_event).await
}

/// The key of a watch: a kind in a namespace.
type Place = (ObjectPlace, Option<String>);
type ObjectPlace = (String, String);

struct Watched<'a> {
    kind: &'a Kind,
    namespace: Option<String>,
    names: HashSet<&'a str>,
}

async fn wait(
    client: &kube::Client,
    targets: &[Target],
    goal: Goal,
    options: &WaitOptions,
    on_event: &(dyn Fn(WaitEvent) + Send + Sync),
) -> Result<()> {
    let mut board = Board {
        seen: BTreeMap::new(),
        open: targets.len(),
        goal,
        on_event,
    };
    for target in targets {
        board.seen.insert(target.id.clone(), None);
    }
    board.open = board.seen.len();
    if board.open == 0 {
        return Ok(());
    }
    let watches = watches(targets);
    let watching = watch(client, &watches, &options.rules, &mut board);
    match tokio::time::timeout(options.within, watching).await {
        Ok(done) => done,
        Err(_) => Err(board.late(options.within)),
    }
}

fn watches(targets: &[Target]) -> Vec<Watched<'_>> {
    let mut all: BTreeMap<Place, Watched<'_>> = BTreeMap::new();
    for target in targets {
        let kind = (target.kind.api_version(), target.kind.kind.clone());
        let watched = all
            .entry((kind, target.id.namespace.clone()))
            .or_insert_with(|| Watched {
                kind: &target.kind,
                namespace: target.id.namespace.clone(),
                names: HashSet::new(),
            });
        watched.names.insert(&target.id.name);
    }
    all.into_values().collect()
}

/// Follows all watches until the board is done. The watcher begins again by itself when a watch is closed or answers
/// 410 Gone, with a pause after errors.
async fn watch(
    client: &kube::Client,
    all: &[Watched<'_>],
    rules: &ReadyRules,
    board: &mut Board<'_>,
) -> Result<()> {
    let mut events = SelectAll::new();
    for (at, watched) in all.iter().enumerate() {
        let resource = watched.kind.api_resource();
        let api: Api<DynamicObject> = match &watched.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let mut config = watcher::Config::default();
        let mut names = watched.names.iter();
        if let (Some(only), None) = (names.next(), names.next()) {
            config = config.fields(&format!("metadata.name={only}"));
        }
        let stream = watcher(api, config).backoff(Pauses::default());
        events.push(stream.map(move |event| (at, event)).boxed());
    }
    // Which objects of a watch were in its first list: those that were not are absent.
    let mut listed: Vec<HashSet<String>> = vec![HashSet::new(); all.len()];
    while let Some((at, event)) = events.next().await {
        let (Some(watched), Some(listed)) = (all.get(at), listed.get_mut(at)) else {
            continue;
        };
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                listed.extend(object.metadata.name.clone());
                board.object(watched, &object, rules)?;
            }
            Ok(Event::InitDone) => {
                for name in watched.names.iter().filter(|name| !listed.contains(**name)) {
                    board.update(watched, name, Status::Absent)?;
                }
            }
            Ok(Event::Apply(object)) => board.object(watched, &object, rules)?,
            Ok(Event::Delete(object)) => {
                let name = object.metadata.name.unwrap_or_default();
                board.update(watched, &name, Status::Absent)?;
            }
            Err(error) => hopeless(error, watched)?,
        }
        if board.open == 0 {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Failed, "watch objects").with_source("the watches ended"))
}

/// Errors after which no other attempt will help.
fn hopeless(error: watcher::Error, watched: &Watched<'_>) -> Result<()> {
    let doing = format!("watch `{}`", watched.kind.group_kind());
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => wrap(error, doing),
        watcher::Error::WatchError(status) => wrap(kube::Error::Api(status), doing),
        other @ watcher::Error::NoResourceVersion => {
            Error::new(ErrorKind::Protocol, doing).with_source(other)
        }
    };
    tracing::debug!(error = %error, causes = ?error.causes(), "a watch failed");
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::Unsupported => {
            Err(error)
        }
        ErrorKind::NotFound if !watched.kind.is_of_set => Err(error),
        _ => Ok(()),
    }
}

/// What was seen last of each object.
struct Board<'a> {
    seen: BTreeMap<ObjectId, Option<Status>>,
    open: usize,
    goal: Goal,
    on_event: &'a (dyn Fn(WaitEvent) + Send + Sync),
}

impl Board<'_> {
    fn object(
        &mut self,
        watched: &Watched<'_>,
        object: &DynamicObject,
        rules: &ReadyRules,
    ) -> Result<()> {
        let name = object.metadata.name.clone().unwrap_or_default();
        if !watched.names.contains(name.as_str()) {
            return Ok(());
        }
        let json = serde_json::to_value(object).map_err(|error| {
            Error::new(ErrorKind::Protocol, "read a watched object").with_source(error)
        })?;
        let status = status_of(&watched.kind.group_kind(), &json, rules);
        self.update(watched, &name, status)
    }

    fn update(&mut self, watched: &Watched<'_>, name: &str, status: Status) -> Result<()> {
        let namespace = watched.namespace.as_deref();
        let id = ObjectId::new(&watched.kind.group, &watched.kind.kind, namespace, name);
        let Some(seen) = self.seen.get_mut(&id) else {
            return Ok(());
        };
        if seen.as_ref() == Some(&status) {
            return Ok(());
        }
        let failure = match (&status, self.goal) {
            (Status::Failed(why), Goal::Ready) => Some(why.clone()),
            _ => None,
        };
        let was_reached = reached(self.goal, seen.as_ref());
        let is_reached = reached(self.goal, Some(&status));
        *seen = Some(status.clone());
        match (was_reached, is_reached) {
            (false, true) => self.open = self.open.saturating_sub(1),
            (true, false) => self.open += 1,
            _ => {}
        }
        (self.on_event)(WaitEvent {
            id: id.clone(),
            status,
        });
        match failure {
            Some(why) => Err(
                Error::new(ErrorKind::Failed, format!("see {id} become ready")).with_source(why),
            ),
            None => Ok(()),
        }
    }

    fn late(&self, within: Duration) -> Error {
        let left = self
            .seen
            .iter()
            .filter(|(_, seen)| !reached(self.goal, seen.as_ref()));
        let texts: Vec<String> = left
            .map(|(id, seen)| match seen {
                Some(status) => format!("{id}: {status}"),
                None => format!("{id}: the server has told nothing of it"),
            })
            .collect();
        let goal = if self.goal == Goal::Ready {
            "ready"
        } else {
            "gone"
        };
        let doing = format!(
            "see {} objects become {goal} within {} s",
            texts.len(),
            within.as_secs_f32()
        );
        Error::new(ErrorKind::Timeout, doing).with_source(texts.join("\n"))
    }
}

fn reached(goal: Goal, seen: Option<&Status>) -> bool {
    match goal {
        Goal::Ready => seen == Some(&Status::Ready),
        Goal::Gone => seen == Some(&Status::Absent),
    }
}
