//! What differs between an object that is wanted and the one that is there, without asking the server again.
//!
//! What we applied last is known by the digest in the annotation [`crate::APPLIED`]. When it is the digest of what is
//! wanted, every field that our entry of `managedFields` still owns has the value that we sent, as the server writes
//! it: a change by anybody else takes the field out of our entry
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts>). So quantities that the server
//! writes in another way, and defaults that it fills in, are no differences. Only fields that we lost are compared.

mod quantity;

use serde_json::Value;

use crate::apply::PART_OF;
use crate::managed::{Manager, Owned, Step, managers, path_text};
use crate::objects::{APPLIED, Wanted};
use crate::plan::{FieldChange, Owner, Shown};

/// Who applies: the name of our entry in `managedFields`.
pub const FIELD_MANAGER: &str = "mlops";

/// What was found of an object that is wanted.
pub(crate) struct Comparison {
    /// Whether what we applied last is what is wanted now.
    pub(crate) is_same_digest: bool,
    /// Whether we applied it at all.
    pub(crate) is_applied: bool,
    pub(crate) fields: Vec<FieldChange>,
}

/// Compares.
pub(crate) fn compare(wanted: &Wanted, live: &Value, part_of: Option<&str>) -> Comparison {
    let annotation = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(APPLIED))
        .and_then(Value::as_str);
    let ours = managers(live).find(|manager| manager.name == FIELD_MANAGER && manager.is_apply);
    let is_same_digest = annotation == Some(wanted.digest.as_str()) && ours.is_some();
    let is_secret = wanted.object.is_secret();
    let mut walk = Walk {
        live,
        trusts_owned: is_same_digest,
        hides: is_secret,
        has_quantities: !is_secret && !wanted.id.is("", "ConfigMap"),
        fields: Vec::new(),
    };
    let owned = Owned::root(ours);
    if let Some(map) = wanted.json.as_object() {
        for (key, value) in map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind"))
        {
            walk.step(value, live.get(key), owned.field(key), &[Step::Field(key)]);
        }
    }
    if let (Some(ours), false) = (ours, is_same_digest) {
        walk.removals(&wanted.json, ours);
    }
    let mut fields = walk.fields;
    let label = live
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(PART_OF));
    if let Some(part_of) = part_of
        && label.and_then(Value::as_str) != Some(part_of)
    {
        fields.push(FieldChange {
            path: format!(".metadata.labels[{PART_OF:?}]"),
            from: label.cloned().map_or(Shown::Absent, Shown::Value),
            to: Shown::Value(Value::from(part_of)),
            owner: None,
        });
    }
    Comparison {
        is_same_digest,
        is_applied: annotation.is_some() && ours.is_some(),
        fields,
    }
}

struct Walk<'a> {
    live: &'a Value,
    trusts_owned: bool,
    hides: bool,
    has_quantities: bool,
    fields: Vec<FieldChange>,
}

impl Walk<'_> {
    fn step(&mut self, wanted: &Value, live: Option<&Value>, owned: Owned<'_>, path: &[Step<'_>]) {
        if self.trusts_owned && owned.is_whole() {
            return;
        }
        // The name and the namespace are the identity; nobody owns them.
        if let [Step::Field("metadata"), Step::Field("name" | "namespace")] = path {
            return;
        }
        match (wanted, live) {
            (Value::Object(map), Some(Value::Object(found))) if !map.is_empty() => {
                for (key, value) in map {
                    let path = extend(path, Step::Field(key));
                    self.step(value, found.get(key), owned.field(key), &path);
                }
            }
            // What is owned is there as we sent it, even if the server has left out what was empty in it.
            (Value::Object(map), None) if self.trusts_owned && !owned.is_missing() => {
                for (key, value) in map {
                    self.step(
                        value,
                        None,
                        owned.field(key),
                        &extend(path, Step::Field(key)),
                    );
                }
            }
            (Value::Array(items), Some(Value::Array(found))) if !items.is_empty() => {
                self.list(items, found, owned, path);
            }
            _ if self.covers(live, wanted) => {}
            _ => self.differs(path, live, Some(wanted)),
        }
    }

    fn list(&mut self, items: &[Value], found: &[Value], owned: Owned<'_>, path: &[Step<'_>]) {
        let is_plain = items.iter().any(|item| !item.is_object());
        if is_plain || owned.is_whole() {
            let is_set = is_plain && !owned.is_whole() && !owned.is_missing();
            if is_set {
                for (index, item) in items.iter().enumerate() {
                    if !owned.element(item).is_whole() && !found.contains(item) {
                        let path = extend(path, Step::Element(item, index));
                        self.differs(&path, None, Some(item));
                    }
                }
            } else if items.len() != found.len() || !self.covers_all(items, found) {
                let (from, to) = (Value::from(found.to_vec()), Value::from(items.to_vec()));
                self.differs(path, Some(&from), Some(&to));
            }
            return;
        }
        for (index, item) in items.iter().enumerate() {
            let (keys, owned) = match owned.item(item) {
                Some((keys, owned)) => (keys, owned),
                None => (guessed_keys(item, found), Owned::root(None)),
            };
            let same = found.iter().find(|candidate| has_keys(candidate, &keys));
            let same = if keys.is_null() {
                found.get(index)
            } else {
                same
            };
            let path = extend(path, Step::Item(&keys, index));
            match same {
                Some(same) => self.step(item, Some(same), owned, &path),
                None => self.differs(&path, None, Some(item)),
            }
        }
    }

    /// Fields that we own and want no more: the server will take them away, or leave them to another owner.
    fn removals(&mut self, wanted: &Value, ours: Manager<'_>) {
        let mut path = Vec::new();
        let live = self.live;
        let wanted = with_marks(wanted);
        gone(
            live,
            Some(&wanted),
            Owned::root(Some(ours)),
            &mut path,
            &mut |path, found| {
                self.differs(path, Some(found), None);
            },
        );
    }

    fn differs(&mut self, path: &[Step<'_>], from: Option<&Value>, to: Option<&Value>) {
        let others = managers(self.live)
            .filter(|manager| !(manager.name == FIELD_MANAGER && manager.is_apply));
        let mut owners = others.filter(|manager| manager.owns(path)).peekable();
        // What changed on its way in, by a webhook, is written down as an update of ours: it is not for us to undo.
        if let Some(first) = owners.peek()
            && first.name == FIELD_MANAGER
            && self.trusts_owned
        {
            return;
        }
        let owner = owners.next().map(|manager| Owner {
            manager: crate::error::printable(manager.name),
            applies: manager.is_apply,
            subresource: manager.subresource.to_owned(),
        });
        let is_hidden =
            self.hides && matches!(path.first(), Some(Step::Field("data" | "stringData")));
        // An annotation such as kubectl's last-applied holds a whole Secret.
        let is_hidden = is_hidden
            || (self.hides
                && matches!(
                    path,
                    [Step::Field("metadata"), Step::Field("annotations"), ..]
                ));
        let show = |value: Option<&Value>| match value {
            None => Shown::Absent,
            Some(_) if is_hidden => Shown::Hidden,
            Some(value) => Shown::Value(value.clone()),
        };
        self.fields.push(FieldChange {
            path: path_text(path),
            from: show(from),
            to: show(to),
            owner,
        });
    }

    fn covers_all(&self, items: &[Value], found: &[Value]) -> bool {
        items
            .iter()
            .zip(found)
            .all(|(item, found)| self.covers(Some(found), item))
    }

    /// Whether a found value has all of a wanted one; more is there by default.
    fn covers(&self, live: Option<&Value>, wanted: &Value) -> bool {
        match (live, wanted) {
            (None, wanted) => is_empty(wanted),
            (Some(Value::Object(found)), Value::Object(map)) => map
                .iter()
                .all(|(key, value)| self.covers(found.get(key), value)),
            (Some(Value::Array(found)), Value::Array(items)) => {
                found.len() == items.len() && self.covers_all(items, found)
            }
            (Some(found), wanted) => {
                found == wanted || (self.has_quantities && quantity::is_same(found, wanted))
            }
        }
    }
}

/// What is wanted with the marks that are added when it is sent: they are never gone, nor is the map that they are in.
fn with_marks(wanted: &Value) -> Value {
    let mut wanted = wanted.clone();
    let metadata = wanted.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        for (map, key) in [("annotations", APPLIED), ("labels", PART_OF)] {
            let marks = metadata
                .entry(map)
                .or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(marks) = marks.as_object_mut() {
                marks.insert(key.to_owned(), Value::Null);
            }
        }
    }
    wanted
}

fn extend<'a>(path: &[Step<'a>], step: Step<'a>) -> Vec<Step<'a>> {
    let mut longer = Vec::with_capacity(path.len() + 1);
    longer.extend_from_slice(path);
    longer.push(step);
    longer
}

/// Whether the server drops a value like this on its way in.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

/// The fields that tell items of the usual lists apart, for objects of which we own nothing yet.
const KEYS: [&str; 9] = [
    "name",
    "mountPath",
    "devicePath",
    "containerPort",
    "port",
    "topologyKey",
    "ip",
    "type",
    "uid",
];

fn guessed_keys(item: &Value, found: &[Value]) -> Value {
    for key in KEYS {
        if let Some(value) = item.get(key)
            && found.iter().all(|candidate| candidate.get(key).is_some())
        {
            return serde_json::json!({ key: value });
        }
    }
    Value::Null
}

fn has_keys(candidate: &Value, keys: &Value) -> bool {
    keys.as_object().is_some_and(|keys| {
        keys.iter()
            .all(|(key, value)| candidate.get(key).is_some_and(|found| found == value))
    })
}

/// Walks what is owned, and tells of each part that is there and not wanted.
fn gone<'a>(
    live: &'a Value,
    wanted: Option<&Value>,
    owned: Owned<'_>,
    path: &mut Vec<Step<'a>>,
    tell: &mut dyn FnMut(&[Step<'a>], &Value),
) {
    if wanted.is_none() {
        return tell(path, live);
    }
    if owned.is_missing() || owned.is_whole() {
        return;
    }
    match live {
        Value::Object(map) => {
            for (key, value) in map {
                let owned = owned.field(key);
                if !owned.is_missing() {
                    path.push(Step::Field(key));
                    gone(
                        value,
                        wanted.and_then(|wanted| wanted.get(key)),
                        owned,
                        path,
                        tell,
                    );
                    path.pop();
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let found = owned.item(item);
                if let Some((keys, owned)) = found {
                    let wanted = wanted.and_then(Value::as_array).into_iter().flatten();
                    let mut same = wanted.filter(|candidate| agrees(candidate, &keys));
                    path.push(Step::Item(item, index));
                    gone(item, same.next(), owned, path, tell);
                    path.pop();
                } else if !item.is_object() && owned.element(item).is_whole() {
                    let is_wanted = wanted
                        .and_then(Value::as_array)
                        .is_some_and(|all| all.contains(item));
                    if !is_wanted {
                        path.push(Step::Element(item, index));
                        tell(path, item);
                        path.pop();
                    }
                }
            }
        }
        _ => {}
    }
}

/// As [`has_keys`], where a key with a default may be left out.
fn agrees(candidate: &Value, keys: &Value) -> bool {
    let Some(keys) = keys.as_object() else {
        return false;
    };
    keys.keys().any(|key| candidate.get(key).is_some())
        && keys
            .iter()
            .all(|(key, value)| candidate.get(key).is_none_or(|found| found == value))
}

#[cfg(test)]
mod tests;
