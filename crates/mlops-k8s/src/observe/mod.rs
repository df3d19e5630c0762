//! What is there: one paged LIST for each kind, all at once.

mod list;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use mlops_core::{Failure, Result};
use serde_json::Value;

use list::{Query, list, list_members};

use crate::apply::{PART_OF, Parent};
use crate::discovery::{Kind, Kinds, Lookup, Scope};
use crate::http::{Call, find};
use crate::managed::{Step, managers};
use crate::objects::{GroupKind, ObjectId, Wanted};

/// Requests in flight.
const AT_ONCE: usize = 16;
/// Up to this many objects are asked for by name; more by a list of names of their namespace.
const BY_NAME: usize = 4;
/// Up to this many namespaces are listed one by one; more by a list of the whole cluster.
const NAMESPACES_ALONE: usize = 4;

/// An object that was found. `Debug` shows no content.
#[derive(Clone, PartialEq)]
pub struct Live(Value);

impl Live {
    /// The object. It may be a Secret.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The set that it says it belongs to.
    pub fn part_of(&self) -> Option<&str> {
        self.0.pointer("/metadata/labels")?.get(PART_OF)?.as_str()
    }

    /// Whether its removal was asked for, and has not happened yet.
    pub fn is_leaving(&self) -> bool {
        self.0.pointer("/metadata/deletionTimestamp").is_some()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live(…)")
    }
}

/// What is known of an object that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It is there.
    Found(Box<Live>),
    /// The server says that it is not there.
    Absent,
    /// The server has no such kind yet; a `CustomResourceDefinition` of the set will make it.
    NoSuchKind,
    /// The server could not be asked.
    Unknown(Failure),
}

/// A member of the set that was found.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) kind: Kind,
    pub(crate) json: Value,
}

/// What was found of a set of objects, and its members that are wanted no more.
#[derive(Clone, Default)]
pub struct Observation {
    found: HashMap<ObjectId, Finding>,
    unwanted: BTreeMap<ObjectId, Member>,
    pub(crate) parent: Option<Parent>,
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation")
            .field("found", &self.found.len())
            .field("unwanted", &self.unwanted.keys())
            .finish_non_exhaustive()
    }
}

impl Observation {
    /// What is known of an object: absent, when nothing else was found.
    pub fn find(&self, id: &ObjectId) -> &Finding {
        self.found.get(id).unwrap_or(&Finding::Absent)
    }

    pub(crate) fn unwanted(&self) -> impl Iterator<Item = (&ObjectId, &Member)> {
        self.unwanted.iter()
    }

    pub(crate) fn member(&self, id: &ObjectId) -> Option<&Member> {
        self.unwanted.get(id)
    }
}

/// Looks for the objects that are wanted, and for all members of a set.
pub(crate) async fn observe(
    client: &kube::Client,
    kinds: &Kinds,
    wanted: &[Wanted],
    parent: Option<Parent>,
    part_of: Option<&str>,
) -> Result<Observation> {
    let mut observation = Observation {
        parent,
        ..Observation::default()
    };
    if let Some(part_of) = part_of {
        find_members(client, kinds, wanted, part_of, &mut observation).await?;
    }
    find_others(client, wanted, &mut observation).await;
    Ok(observation)
}

/// Lists the members of each kind that is wanted or that the parent names.
async fn find_members(
    client: &kube::Client,
    kinds: &Kinds,
    wanted: &[Wanted],
    part_of: &str,
    observation: &mut Observation,
) -> Result<()> {
    let queries = queries(kinds, wanted, part_of, observation)?;
    let by_id: HashMap<&ObjectId, &Wanted> =
        wanted.iter().map(|wanted| (&wanted.id, wanted)).collect();
    let asked: Vec<BoxFuture<'_, _>> = queries
        .iter()
        .map(|query| async move { (query, list_members(client, query).await) }.boxed())
        .collect();
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((query, answer)) = answers.next().await {
        for json in answer? {
            let Some(id) = id_of(&query.kind, &json) else {
                continue;
            };
            if let Some(wanted) = by_id.get(&id) {
                if wanted.kind.version != query.kind.version {
                    continue;
                }
                observation
                    .found
                    .insert(id, Finding::Found(Box::new(Live(json))));
            } else if is_applied_member(&json) {
                let kind = query.kind.clone();
                observation.unwanted.insert(id, Member { kind, json });
            }
        }
    }
    Ok(())
}

/// One LIST for each kind that is wanted or that the parent names, in each of its namespaces.
fn queries(
    kinds: &Kinds,
    wanted: &[Wanted],
    part_of: &str,
    observation: &Observation,
) -> Result<Vec<Query>> {
    // An object is compared in the version that it is written in: kinds of two versions are listed in both.
    let mut places: BTreeMap<(GroupKind, String), (Kind, BTreeSet<String>)> = BTreeMap::new();
    for object in wanted.iter().filter(|object| !object.kind.is_of_set) {
        let key = (object.kind.group_kind(), object.kind.version.clone());
        let entry = places.entry(key);
        let (_, namespaces) = entry.or_insert_with(|| (object.kind.clone(), BTreeSet::new()));
        namespaces.extend(object.id.namespace.clone());
    }
    let mut unwanted: Vec<(Kind, BTreeSet<String>)> = Vec::new();
    let parent = observation.parent.iter();
    for (parent, group_kind) in
        parent.flat_map(|parent| parent.group_kinds.iter().map(move |kind| (parent, kind)))
    {
        let same = places
            .iter_mut()
            .find(|((found, _), _)| found == group_kind);
        if let Some((_, (_, namespaces))) = same {
            namespaces.extend(parent.namespaces.iter().cloned());
            continue;
        }
        match kinds.find_any_version(group_kind) {
            Lookup::Known(kind) if !kind.is_of_set => {
                unwanted.push((kind.clone(), parent.namespaces.clone()));
            }
            // Its objects went with it.
            Lookup::Known(_) | Lookup::NoSuchKind => {}
            Lookup::Unknown(failure) => return Err(failure.to_error()),
        }
    }
    let wanted = places
        .into_values()
        .map(|(kind, namespaces)| (kind, namespaces, true));
    let unwanted = unwanted
        .into_iter()
        .map(|(kind, namespaces)| (kind, namespaces, false));
    let places = wanted.chain(unwanted);
    Ok(places
        .flat_map(|(kind, namespaces, is_wanted)| of_kind(&kind, &namespaces, is_wanted, part_of))
        .collect())
}

/// The lists of a kind.
fn of_kind(
    kind: &Kind,
    namespaces: &BTreeSet<String>,
    is_wanted: bool,
    part_of: &str,
) -> Vec<Query> {
    let all = || Query {
        kind: kind.clone(),
        namespace: None,
        namespaces: BTreeSet::new(),
        selector: Some(format!("{PART_OF}={part_of}")),
        // A StatefulSet says in its spec what its removal takes along.
        is_metadata: !is_wanted && kind.kind != "StatefulSet",
    };
    if kind.scope == Scope::Cluster || namespaces.len() > NAMESPACES_ALONE {
        return vec![Query {
            namespaces: namespaces.clone(),
            ..all()
        }];
    }
    let alone = namespaces.iter().map(|namespace| Query {
        namespace: Some(namespace.clone()),
        ..all()
    });
    alone.collect()
}

/// Whether the label was applied, by whichever tool. Controllers copy labels of an object to what they make for it, such
/// as the slices of a Service: those are no members.
fn is_applied_member(json: &Value) -> bool {
    let label = [
        Step::Field("metadata"),
        Step::Field("labels"),
        Step::Field(PART_OF),
    ];
    managers(json).any(|manager| manager.is_apply && manager.owns(&label))
}

/// Looks for wanted objects that are no members.
async fn find_others(client: &kube::Client, wanted: &[Wanted], observation: &mut Observation) {
    let mut missing: BTreeMap<(GroupKind, Option<String>), Vec<&Wanted>> = BTreeMap::new();
    for object in wanted {
        if object.kind.is_of_set {
            observation
                .found
                .insert(object.id.clone(), Finding::NoSuchKind);
        } else if !observation.found.contains_key(&object.id) {
            let key = (object.kind.group_kind(), object.id.namespace.clone());
            missing.entry(key).or_default().push(object);
        }
    }
    let narrowed: Vec<BoxFuture<'_, _>> = missing
        .into_values()
        .map(|objects| narrow(client, objects).boxed())
        .collect();
    let narrowed: Vec<_> = stream::iter(narrowed)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut asked = Vec::new();
    for answer in narrowed {
        match answer {
            Ok((objects, names)) => asked.extend(objects.into_iter().filter(|object| {
                names
                    .as_ref()
                    .is_none_or(|names| names.contains(&object.id.name))
            })),
            Err((objects, failure)) => {
                let unknown = objects.into_iter().map(|object| object.id.clone());
                observation
                    .found
                    .extend(unknown.map(|id| (id, Finding::Unknown(failure.clone()))));
            }
        }
    }
    let asked: Vec<BoxFuture<'_, _>> = asked
        .into_iter()
        .map(|object| async move { (object.id.clone(), get(client, object).await) }.boxed())
        .collect();
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((id, answer)) = answers.next().await {
        observation.found.insert(id, answer);
    }
}

/// Many of one place, with the names of all that is there; or why nobody knows.
type Narrowed<'a> = Result<(Vec<&'a Wanted>, Option<BTreeSet<String>>), (Vec<&'a Wanted>, Failure)>;

async fn narrow<'a>(client: &kube::Client, objects: Vec<&'a Wanted>) -> Narrowed<'a> {
    if objects.len() <= BY_NAME {
        return Ok((objects, None));
    }
    match names_beside(client, &objects).await {
        Ok(names) => Ok((objects, Some(names))),
        Err(error) => Err((objects, Failure::from(&error))),
    }
}

async fn get(client: &kube::Client, object: &Wanted) -> Finding {
    let doing = || format!("look for {}", object.id);
    match find(client, &Call::get(object.path()), &doing).await {
        Ok(Some(json)) => Finding::Found(Box::new(Live(json))),
        Ok(None) => Finding::Absent,
        Err(error) => Finding::Unknown(Failure::from(&error)),
    }
}

/// The names of all objects where these are wanted.
async fn names_beside(client: &kube::Client, objects: &[&Wanted]) -> Result<BTreeSet<String>> {
    let Some(first) = objects.first() else {
        return Ok(BTreeSet::new());
    };
    let query = Query {
        kind: first.kind.clone(),
        namespace: first.id.namespace.clone(),
        namespaces: BTreeSet::new(),
        selector: None,
        is_metadata: true,
    };
    let found = list(client, &query).await?;
    let names = found
        .iter()
        .filter_map(|json| Some(id_of(&query.kind, json)?.name));
    Ok(names.collect())
}

fn id_of(kind: &Kind, json: &Value) -> Option<ObjectId> {
    let text = |key: &str| json.pointer(key).and_then(Value::as_str);
    let namespace = text("/metadata/namespace");
    Some(ObjectId::new(
        &kind.group,
        &kind.kind,
        namespace,
        text("/metadata/name")?,
    ))
}
