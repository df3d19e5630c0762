//! What the providers of both systems share.

use std::collections::BTreeMap;

use mlops_core::{
    Error, ErrorKind, Failure, Graph, Kind, Observed, Resource, ResourceId, Result, SecretText,
    ServiceName,
};
use rand::RngExt;

/// Random lower-case letters and digits, for names that nobody else uses and passwords that nobody knows.
pub(crate) fn random_text(length: usize) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    (0..length)
        .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
        .map(|byte| char::from(*byte))
        .collect()
}

/// After so many seconds a thing of a probe is one that a kill left behind.
#[cfg(feature = "s3")]
pub(crate) const LEFT_BEHIND: u64 = 600;

/// Seconds since 1970.
#[cfg(feature = "s3")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A password that is not the right one.
pub(crate) fn wrong_secret() -> SecretText {
    SecretText::new(random_text(40))
}

/// Resources with their specs.
pub(crate) type Members<'a, S> = Vec<(&'a Resource, S)>;

/// What was found of resources.
pub(crate) type Answers = Vec<(ResourceId, Observed)>;

/// Takes the wanted resources apart by what one connection can answer for. A spec that is not understood becomes an
/// answer of its own.
pub(crate) fn group<'a, S, K: Ord>(
    wanted: &[&'a Resource],
    key: impl Fn(&S) -> K,
) -> (BTreeMap<K, Members<'a, S>>, Answers)
where
    S: serde::de::DeserializeOwned,
{
    let mut groups: BTreeMap<K, Members<'_, S>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for resource in wanted {
        match resource.typed::<S>() {
            Ok(spec) => groups.entry(key(&spec)).or_default().push((resource, spec)),
            Err(error) => wrong.push((resource.id.clone(), unknown(&error))),
        }
    }
    (groups, wrong)
}

/// "Could not ask", with the reason.
pub(crate) fn unknown(error: &Error) -> Observed {
    Observed::Unknown(Failure::from(error))
}

/// What a thing on `server` lives in: what its neighbours in the graph live in, or the server's process.
pub(crate) fn host_of(graph: &Graph, server: &ServiceName, kinds: &[&str]) -> Option<ResourceId> {
    let process = ResourceId::new("process", server.as_str());
    graph
        .resources()
        .find(|resource| {
            kinds.contains(&resource.id.kind().as_str())
                && resource.spec.get("server").and_then(|value| value.as_str())
                    == Some(server.as_str())
        })
        .and_then(|resource| resource.within.clone())
        .or_else(|| graph.find(&process).map(|resource| resource.id.clone()))
}

/// The refusal to touch somebody else's thing.
pub(crate) fn not_ours(what: &str, whose: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("change {what}"))
        .with_source(format!("it exists already and is not ours: {whose}"))
        .with_hint("choose another name, or say `adopt: true` to take it over")
}

/// The refusal to carry out an action that makes no sense for a kind.
pub(crate) fn no_such_action(resource: &Resource, verb: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{verb} `{}`", resource.id))
        .with_source("this kind of resource is made and corrected in place only")
}

/// A kind by its name.
pub(crate) fn kind(name: &str) -> Kind {
    Kind::new(name)
}

/// A field that is as wanted repeats the wanted value; one that is not is null.
pub(crate) fn set_null(fields: &mut mlops_core::Spec, name: &str) {
    fields.insert(name.to_owned(), serde_json::Value::Null);
}

/// Passes errors of one kind as `None`.
pub(crate) fn absent_as_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether something came to be between looking and making: a killed run's last call may still have been under way at
/// the server. Looking once more tells what it is.
pub(crate) fn came_between(error: &Error) -> bool {
    error.kind() == ErrorKind::AlreadyExists
}
