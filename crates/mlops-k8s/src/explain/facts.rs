//! What was found of a subject and of all around it: plain data, as the server gave it, that can be kept and judged again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Evidence, ObjectRef};
use super::text::clean;

/// An object with what the server said of it. Of Secrets and `ConfigMap`s only the metadata is ever read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Which object.
    pub id: ObjectRef,
    /// Its fields.
    pub value: Value,
}

/// The answer to the question for the subject itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// The server does not know its kind in this version; these versions of the kind it does serve.
    NoKind(Vec<String>),
    /// The group of its kind is served by another server, which does not answer: what is said of that.
    GroupDown(String),
    /// We may not look.
    Forbidden(String),
}

/// An event, whichever of its two forms it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    pub about: ObjectRef,
    /// The uid of what it is about; empty if it is not said.
    #[serde(default)]
    pub uid: String,
    /// The part of the object, such as `spec.containers{web}`.
    #[serde(default)]
    pub part: String,
    /// Its reason.
    pub reason: String,
    /// Its text.
    pub message: String,
    /// Whether it warns.
    #[serde(default)]
    pub warning: bool,
    /// How often it happened.
    #[serde(default)]
    pub count: i64,
    /// When it happened first.
    #[serde(default)]
    pub first: Option<Timestamp>,
    /// When it happened last.
    #[serde(default)]
    pub last: Option<Timestamp>,
}

/// The last lines of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// At most 5 lines.
    pub lines: Vec<String>,
}

/// All that was gathered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// What was asked about.
    pub subject: ObjectRef,
    /// When.
    pub now: Timestamp,
    /// Whether it is there.
    pub found: Found,
    /// The subject and what is around it.
    pub objects: Vec<Object>,
    /// The kinds of which all objects are known, so that what is not among them is absent.
    #[serde(default)]
    pub known: BTreeSet<String>,
    /// The events, oldest first.
    #[serde(default)]
    pub events: Vec<Event>,
    /// The logs of containers that ended badly.
    #[serde(default)]
    pub logs: Vec<Log>,
    /// What could not be asked.
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// One of the three answers to the question for an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen<'a> {
    There(&'a Object),
    Absent,
    Unknown,
}

impl Facts {
    /// Facts of a subject of which nothing more is known.
    pub fn new(subject: ObjectRef, found: Found, now: Timestamp) -> Self {
        Self {
            subject,
            now,
            found,
            objects: Vec::new(),
            known: BTreeSet::new(),
            events: Vec::new(),
            logs: Vec::new(),
            unknown: Vec::new(),
        }
    }

    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects
            .iter()
            .filter(move |object| object.id.kind == kind)
    }

    pub(crate) fn see(&self, kind: &str, name: &str) -> Seen<'_> {
        match self
            .objects
            .iter()
            .find(|o| o.id.kind == kind && o.id.name == name)
        {
            Some(object) => Seen::There(object),
            None if self.known.contains(kind) => Seen::Absent,
            None => Seen::Unknown,
        }
    }

    pub(crate) fn is_absent(&self, kind: &str, name: &str) -> bool {
        matches!(self.see(kind, name), Seen::Absent)
    }

    /// The events about an object, newest first. Those of an earlier object with the same name are left out.
    pub(crate) fn events_of<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = &'a Event> {
        let uid = object.text("/metadata/uid");
        self.events.iter().rev().filter(move |event| {
            event.about.kind == object.id.kind
                && event.about.name == object.id.name
                && (event.uid.is_empty() || uid.is_empty() || event.uid == uid)
        })
    }

    pub(crate) fn event<'a>(
        &'a self,
        object: &'a Object,
        reason: &str,
        has: &str,
    ) -> Option<&'a Event> {
        self.events_of(object)
            .find(|event| event.reason == reason && event.message.contains(has))
    }

    pub(crate) fn log(&self, pod: &Object, container: &str) -> Option<Evidence> {
        let log = self
            .logs
            .iter()
            .find(|log| log.pod == pod.id.name && log.container == container)?;
        Some(Evidence::Log {
            about: pod.id.clone(),
            container: clean(container),
            lines: log.lines.clone(),
        })
    }
}

impl Event {
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence::Event {
            about: self.about.clone(),
            reason: clean(&self.reason),
            message: clean(&self.message),
            count: self.count,
            last: self.last,
        }
    }
}

/// A field by its JSON pointer, or null.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// A text, or an empty one.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_default()
}

/// The elements of a list, or none.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer)
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A whole number; one that is not there counts as 0, as everywhere in a status.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    at(value, pointer).as_i64().unwrap_or(0)
}

impl Object {
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        at(&self.value, pointer)
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.value, pointer)
    }

    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        list(&self.value, pointer)
    }

    pub(crate) fn number(&self, pointer: &str) -> i64 {
        number(&self.value, pointer)
    }

    pub(crate) fn has(&self, pointer: &str) -> bool {
        !self.at(pointer).is_null()
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<&Value> {
        self.list("/status/conditions")
            .iter()
            .find(|condition| text(condition, "/type") == kind)
    }

    pub(crate) fn is_condition(&self, kind: &str, status: &str) -> bool {
        self.condition(kind)
            .is_some_and(|condition| text(condition, "/status") == status)
    }

    pub(crate) fn condition_evidence(&self, condition: &Value) -> Evidence {
        let part = |pointer: &str| clean(text(condition, pointer));
        Evidence::Condition {
            about: self.id.clone(),
            condition: part("/type"),
            status: part("/status"),
            reason: part("/reason"),
            message: part("/message"),
        }
    }

    pub(crate) fn field(&self, path: &str, value: &str) -> Evidence {
        Evidence::Field {
            about: self.id.clone(),
            path: path.to_owned(),
            value: clean(value),
        }
    }

    pub(crate) fn is_owned_by(&self, uid: &str) -> bool {
        !uid.is_empty()
            && self
                .list("/metadata/ownerReferences")
                .iter()
                .any(|owner| text(owner, "/uid") == uid)
    }

    /// Whether its labels are those that a selector of plain pairs asks for; an empty selector asks for none.
    pub(crate) fn is_selected_by(&self, selector: &Value) -> bool {
        let Some(pairs) = selector.as_object() else {
            return false;
        };
        let labels = self.at("/metadata/labels");
        !pairs.is_empty()
            && pairs
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Another object of its namespace, in the core group. Its name may be cut out of somebody's text.
    pub(crate) fn neighbour(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef::new("v1", kind, self.id.namespace.as_deref(), &clean(name))
    }
}
