//! What is there: one paged LIST for each kind, all at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use mlops_core::{Error, ErrorKind, Failure, Result};
use serde_json::Value;

use crate::apply::{PART_OF, Parent};
use crate::discovery::{Kind, Kinds, Lookup, Scope};
use crate::http::{Call, METADATA_OF_LIST, ask, find};
use crate::objects::{GroupKind, ObjectId, Wanted};

/// Objects in one page of a LIST.
const PAGE: usize = 500;
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
    /// The server has no such kind yet; a CustomResourceDefinition of the set will make it.
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

/// One LIST to make.
struct Query {
    kind: Kind,
    namespace: Option<String>,
    selector: Option<String>,
    is_metadata: bool,
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
    let mut places: BTreeMap<GroupKind, (Kind, BTreeSet<String>, bool)> = BTreeMap::new();
    for object in wanted.iter().filter(|object| !object.kind.is_of_set) {
        let entry = places.entry(object.kind.group_kind());
        let (_, namespaces, _) =
            entry.or_insert_with(|| (object.kind.clone(), BTreeSet::new(), true));
        namespaces.extend(object.id.namespace.clone());
    }
    if let Some(parent) = &observation.parent {
        for group_kind in &parent.group_kinds {
            let kind = match kinds.find_any_version(group_kind) {
                Lookup::Known(kind) if !kind.is_of_set => kind.clone(),
                // Its objects went with it.
                Lookup::Known(_) | Lookup::NoSuchKind => continue,
                Lookup::Unknown(failure) => return Err(failure.to_error()),
            };
            let entry = places.entry(group_kind.clone());
            let (_, namespaces, _) = entry.or_insert_with(|| (kind, BTreeSet::new(), false));
            namespaces.extend(parent.namespaces.iter().cloned());
        }
    }
    let queries = places
        .into_values()
        .flat_map(|(kind, namespaces, is_wanted)| {
            let namespaces: Vec<Option<String>> =
                if kind.scope == Scope::Cluster || namespaces.len() > NAMESPACES_ALONE {
                    vec![None]
                } else {
                    namespaces.into_iter().map(Some).collect()
                };
            namespaces.into_iter().map(move |namespace| Query {
                kind: kind.clone(),
                namespace,
                selector: Some(format!("{PART_OF}={part_of}")),
                // A StatefulSet says in its spec what its removal takes along.
                is_metadata: !is_wanted && kind.kind != "StatefulSet",
            })
        });
    let queries: Vec<Query> = queries.collect();
    let by_id: HashMap<&ObjectId, &Wanted> =
        wanted.iter().map(|wanted| (&wanted.id, wanted)).collect();
    let asked: Vec<BoxFuture<'_, _>> = queries
        .iter()
        .map(|query| async move { (query, list(client, query).await) }.boxed())
        .collect();
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((query, answer)) = answers.next().await {
        for json in answer? {
            let Some(id) = id_of(&query.kind, &json) else {
                continue;
            };
            if by_id.contains_key(&id) {
                observation
                    .found
                    .insert(id, Finding::Found(Box::new(Live(json))));
            } else {
                let kind = query.kind.clone();
                observation.unwanted.insert(id, Member { kind, json });
            }
        }
    }
    Ok(())
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

/// All pages of a LIST. When a page's place in the list has expired, the list is begun again, once.
async fn list(client: &kube::Client, query: &Query) -> Result<Vec<Value>> {
    match list_pages(client, query).await {
        Err(error) if error.kind() == ErrorKind::Changed => list_pages(client, query).await,
        answer => answer,
    }
}

async fn list_pages(client: &kube::Client, query: &Query) -> Result<Vec<Value>> {
    let doing = || {
        let place = query
            .namespace
            .as_deref()
            .map_or(String::new(), |name| format!(" in {name}"));
        format!("list `{}`{place}", query.kind.group_kind())
    };
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let mut path = format!(
            "{}?limit={PAGE}",
            query.kind.path(query.namespace.as_deref(), None)
        );
        if let Some(selector) = &query.selector {
            path = format!("{path}&labelSelector={}", escape(selector));
        }
        if !token.is_empty() {
            path = format!("{path}&continue={}", escape(&token));
        }
        let mut call = Call::get(path);
        if query.is_metadata {
            call = call.accepting(METADATA_OF_LIST);
        }
        let mut answer = ask(client, &call, &doing).await?;
        match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(page)) => items.extend(page),
            Some(Value::Null) => {}
            _ => {
                return Err(
                    Error::new(ErrorKind::Protocol, doing()).with_source("the answer is no list")
                );
            }
        }
        let next = answer.pointer("/metadata/continue").and_then(Value::as_str);
        match next.filter(|next| !next.is_empty()) {
            Some(next) => next.clone_into(&mut token),
            None => return Ok(items),
        }
    }
}

/// A value in a query. Tokens and selectors are of few characters.
pub(crate) fn escape(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}
