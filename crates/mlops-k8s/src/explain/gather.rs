//! Reads the facts: few requests, side by side, in two rounds.

use std::time::Duration;

use futures::future::{join, join_all};
use jiff::Timestamp;
use kube::Client;
use kube::api::{ApiResource, DynamicObject, ListParams};
use mlops_core::Result;
use serde_json::Value;

use super::facts::{Event, Facts, Found, Object, at, number, text};
use super::failure::is_status;
use super::kinds::{self, Part, Place, Scope};
use super::logs;
use super::model::ObjectRef;
use super::text::bounded;
use crate::error::wrap;

/// How long one question may take before it counts as not answered.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many objects one page of a list has.
const PAGE: u32 = 500;

/// Reads a subject and what is around it.
///
/// What cannot be read beside the subject is named in [`Facts::unknown`]; it is never taken for absent.
///
/// # Errors
///
/// When the server cannot be asked for the subject itself.
pub async fn gather(client: &Client, subject: &ObjectRef) -> Result<Facts> {
    let now = Timestamp::now();
    let (resource, scope) = match kinds::place(client, subject).await? {
        Place::Served(resource, scope) => (resource, scope),
        Place::Not(found) => return Ok(Facts::new(subject.clone(), found, now)),
    };
    let mut subject = subject.clone();
    if scope == Scope::Cluster {
        subject.namespace = None;
    }
    let mut facts = Facts::new(subject.clone(), Found::Present, now);
    let namespace = match subject.kind.as_str() {
        "Namespace" => Some(subject.name.as_str()),
        _ => subject.namespace.as_deref(),
    };
    let (found, around) = join(
        find(client, &resource, &subject),
        around(client, &subject, namespace),
    )
    .await;
    for answer in around {
        take(&mut facts, answer);
    }
    match found? {
        Ok(value) => {
            facts.objects.retain(|object| object.id != subject);
            facts.objects.push(Object { id: subject, value });
        }
        Err(found) => facts.found = found,
    }
    let wider = wider(&facts);
    let lists = wider
        .iter()
        .map(|kind| read(client, *kind, None, ListParams::default()));
    let (wide, logs) = join(join_all(lists), logs::read(client, &facts)).await;
    for answer in wide {
        take(&mut facts, answer);
    }
    facts.logs = logs;
    facts.events.sort_by_key(|event| event.last);
    Ok(facts)
}

/// What one list gave: objects of a kind, or why it could not be asked.
struct Answer {
    kind: String,
    objects: std::result::Result<Vec<Object>, Option<String>>,
}

fn take(facts: &mut Facts, answer: Answer) {
    match answer.objects {
        Ok(objects) if answer.kind == "Event" => {
            facts.events.extend(objects.iter().map(event));
        }
        Ok(objects) => {
            facts.known.insert(answer.kind);
            facts.objects.extend(objects);
        }
        Err(Some(why)) => facts.unknown.push(why),
        // The server has no such kind: there is nothing to know.
        Err(None) => {}
    }
}

/// The subject, or which other of the answers it is.
async fn find(
    client: &Client,
    resource: &ApiResource,
    id: &ObjectRef,
) -> Result<std::result::Result<Value, Found>> {
    let api = kinds::api(client, resource, id.namespace.as_deref());
    // Of what holds secret values only the metadata is read.
    let found = if matches!(id.kind.as_str(), "Secret" | "ConfigMap") {
        api.get_metadata(&id.name)
            .await
            .map(|found| serde_json::to_value(found).unwrap_or_default())
    } else {
        api.get(&id.name).await.map(value_of)
    };
    match found {
        Ok(value) => Ok(Ok(value)),
        Err(error) if is_status(&error, 404) => Ok(Err(Found::Absent)),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(Err(Found::Forbidden(status.message)))
        }
        Err(error) => Err(wrap(error, format!("read {id}"))),
    }
}

/// The lists of the subject's namespace; for one of the whole cluster only its events.
async fn around(client: &Client, subject: &ObjectRef, namespace: Option<&str>) -> Vec<Answer> {
    let events = ("v1", "Event", "events", Part::Whole);
    let Some(namespace) = namespace else {
        let about = format!(
            "involvedObject.kind={},involvedObject.name={}",
            subject.kind, subject.name
        );
        return vec![read(client, events, None, ListParams::default().fields(&about)).await];
    };
    let kinds = kinds::IN_NAMESPACE.iter().copied().chain([events]);
    join_all(kinds.map(|kind| read(client, kind, Some(namespace), ListParams::default()))).await
}

/// Which kinds of the whole cluster matter, after a look at the namespace.
fn wider(facts: &Facts) -> Vec<(&'static str, &'static str, &'static str, Part)> {
    let mut wanted = Vec::new();
    let unready = |object: &Object| {
        !object.is_condition("Ready", "True") && object.text("/status/phase") != "Succeeded"
    };
    if facts.of_kind("Pod").any(unready) {
        wanted.push(kinds::NODES);
    }
    if facts
        .of_kind("PersistentVolumeClaim")
        .any(|claim| claim.text("/status/phase") != "Bound")
    {
        wanted.extend([kinds::CLASSES, kinds::VOLUMES]);
    }
    if facts.of_kind("Ingress").next().is_some() {
        wanted.push(kinds::INGRESS_CLASSES);
    }
    wanted
}

async fn read(
    client: &Client,
    (api_version, kind, plural, part): (&str, &str, &str, Part),
    namespace: Option<&str>,
    params: ListParams,
) -> Answer {
    let resource = kinds::resource(api_version, kind, plural);
    let place = namespace.map_or_else(String::new, |namespace| {
        format!(" of namespace {namespace}")
    });
    let listed =
        tokio::time::timeout(PATIENCE, pages(client, &resource, part, namespace, params)).await;
    let objects = match listed {
        Ok(Ok(objects)) => Ok(objects),
        Ok(Err(error)) if is_status(&error, 404) => Err(None),
        Ok(Err(kube::Error::Api(status))) => {
            Err(Some(format!("{plural}{place}: {}", status.message)))
        }
        Ok(Err(error)) => Err(Some(format!("{plural}{place}: {error}"))),
        Err(_) => Err(Some(format!(
            "{plural}{place}: no answer within {} seconds",
            PATIENCE.as_secs()
        ))),
    };
    Answer {
        kind: kind.to_owned(),
        objects,
    }
}

async fn pages(
    client: &Client,
    resource: &ApiResource,
    part: Part,
    namespace: Option<&str>,
    params: ListParams,
) -> kube::Result<Vec<Object>> {
    let api = kinds::api(client, resource, namespace);
    let mut params = params.limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let (values, next): (Vec<Value>, _) = match part {
            Part::Whole => {
                let page = api.list(&params).await?;
                (
                    page.items.into_iter().map(value_of).collect(),
                    page.metadata.continue_,
                )
            }
            Part::Metadata => {
                let page = api.list_metadata(&params).await?;
                let values = page.items.into_iter();
                let values = values
                    .map(|item| serde_json::json!({ "metadata": item.metadata }))
                    .map(trimmed);
                (values.collect(), page.metadata.continue_)
            }
        };
        objects.extend(values.into_iter().map(|value| object(resource, value)));
        match next.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(objects),
        }
    }
}

fn object(resource: &ApiResource, value: Value) -> Object {
    let namespace = at(&value, "/metadata/namespace").as_str();
    let id = ObjectRef::new(
        &resource.api_version,
        &resource.kind,
        namespace,
        text(&value, "/metadata/name"),
    );
    Object { id, value }
}

fn value_of(found: DynamicObject) -> Value {
    trimmed(serde_json::to_value(found).unwrap_or_default())
}

/// Without what explains nothing and may be long, or hold a value: an annotation repeats what kubectl applied last.
fn trimmed(mut value: Value) -> Value {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    value
}

/// An event in the words of `v1` or of `events.k8s.io`, which fills other fields of the same object.
fn event(object: &Object) -> Event {
    let value = &object.value;
    let time = |pointers: &[&str]| -> Option<Timestamp> {
        pointers
            .iter()
            .find_map(|pointer| text(value, pointer).parse().ok())
    };
    let count = number(value, "/count")
        .max(number(value, "/series/count"))
        .max(1);
    let namespace = at(value, "/involvedObject/namespace").as_str();
    let version = text(value, "/involvedObject/apiVersion");
    Event {
        about: ObjectRef::new(
            if version.is_empty() { "v1" } else { version },
            text(value, "/involvedObject/kind"),
            namespace,
            text(value, "/involvedObject/name"),
        ),
        uid: text(value, "/involvedObject/uid").to_owned(),
        part: text(value, "/involvedObject/fieldPath").to_owned(),
        reason: bounded(text(value, "/reason"), 100),
        message: bounded(text(value, "/message"), 1_000),
        warning: text(value, "/type") == "Warning",
        count,
        first: time(&[
            "/firstTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
        last: time(&[
            "/lastTimestamp",
            "/series/lastObservedTime",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
    }
}
