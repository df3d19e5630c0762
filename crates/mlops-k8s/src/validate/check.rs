//! A tree against a schema of Kubernetes itself.

use std::collections::HashMap;

use mlops_core::platform::tree::{Key, Node, Tree};

use super::finds::{Finds, Look as _, Spot, quoted};
use super::forms::is_base64;
use super::forms::quantity::Quantity;
use super::schema::{Definition, Field, Schema, Schemas, Version};
use super::snippet::is_secret_name;

/// An object of a known definition that was met on the way, such as each `Container`: the rules go over these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) name: &'static str,
    pub(super) node: &'a Node,
}

/// Whether what must be given is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Full,
    /// Below `status`, which the server takes from nobody who writes the object.
    Status,
}

/// Checks an object, and collects what the rules go over.
pub(super) fn check<'a>(
    node: &'a Node,
    definition: usize,
    version: Version,
    finds: &mut Finds<'a>,
) -> Vec<Visit<'a>> {
    let mut walk = Walk {
        schemas: Schemas::get(),
        version,
        finds,
        visits: Vec::new(),
        strictness: Strictness::Full,
    };
    walk.object(node, definition);
    walk.visits
}

struct Walk<'a, 'f> {
    schemas: &'static Schemas,
    version: Version,
    finds: &'f mut Finds<'a>,
    visits: Vec<Visit<'a>>,
    strictness: Strictness,
}

impl<'a> Walk<'a, '_> {
    fn expected(&mut self, node: &'a Node, what: &str) {
        let message = format!("expected {what}, found {}", node.tree.describe());
        let find = self.finds.error(node, message);
        if matches!(node.tree, Tree::Number(_) | Tree::Bool(_)) && what == "a text" {
            find.hint("put it in quotes");
        } else if matches!(node.tree, Tree::Text(_))
            && matches!(what, "a whole number" | "true or false" | "a number")
        {
            find.hint("take the quotes off, and write the value itself");
        }
    }

    fn value(&mut self, node: &'a Node, schema: &'static Schema) {
        // Everywhere but in a list, nothing is the same as not given.
        if matches!(node.tree, Tree::Null) {
            return;
        }
        match (schema, &node.tree) {
            (Schema::Anything, _)
            | (Schema::Free, Tree::Map(_))
            | (Schema::Text, Tree::Text(_))
            | (Schema::Boolean, Tree::Bool(_))
            | (Schema::Number, Tree::Number(_))
            | (Schema::IntegerOrText, Tree::Text(_)) => {}
            (Schema::Integer32 | Schema::IntegerOrText, Tree::Number(number)) => {
                let is_small = |number: i64| i32::try_from(number).is_ok();
                if !number.as_i64().is_some_and(is_small) {
                    self.integer(node, number.is_f64(), i32::MAX.into());
                }
            }
            (Schema::Integer64, Tree::Number(number)) => {
                if number.as_i64().is_none() {
                    self.integer(node, number.is_f64(), i64::MAX);
                }
            }
            (Schema::Quantity, Tree::Number(number)) => self.quantity(node, &number.to_string()),
            (Schema::Quantity, Tree::Text(text)) => self.quantity(node, text),
            (Schema::Time, Tree::Text(text)) => {
                if text.parse::<jiff::Timestamp>().is_err() {
                    let message = format!("{} is no time", quoted(text));
                    let find = self.finds.error(node, message);
                    find.hint("write it as `2026-01-31T12:00:00Z`");
                }
            }
            (Schema::Bytes, Tree::Text(text)) => {
                if !is_base64(text) {
                    let find = self.finds.error(node, "expected base64");
                    find.hint(
                        "write it as base64, or plainly under `stringData` if this is a Secret",
                    );
                }
            }
            (Schema::OneOf(allowed), Tree::Text(text)) => self.one_of(node, text, allowed),
            (Schema::List(items, keys), Tree::List(list)) => self.list(list, items, keys),
            (Schema::Map(values), Tree::Map(entries)) => {
                self.duplicates(entries);
                for (_, value) in entries {
                    self.value(value, values);
                }
            }
            (Schema::Object(number), Tree::Map(_)) => self.object(node, *number),
            (schema, _) => self.expected(node, describe(schema)),
        }
    }

    fn integer(&mut self, node: &'a Node, is_float: bool, highest: i64) {
        let message = if is_float {
            "expected a whole number, found one with a point or an exponent".to_owned()
        } else {
            format!("the number is beyond {highest}")
        };
        self.finds.error(node, message);
    }

    fn quantity(&mut self, node: &'a Node, text: &str) {
        if let Err(error) = text.parse::<Quantity>() {
            let message = format!("{} is no quantity", quoted(text));
            let find = self.finds.error(node, message);
            if let Some(hint) = error.hint() {
                find.hint(hint);
            }
        }
    }

    fn one_of(&mut self, node: &'a Node, text: &str, allowed: &[String]) {
        // An empty text counts as not given, as in Go.
        if text.is_empty() || allowed.iter().any(|one| one == text) {
            return;
        }
        let message = format!("{} is not one of the allowed values", quoted(text));
        let find = self.finds.error(node, message);
        find.nearest(text, allowed.iter().map(String::as_str));
    }

    fn list(&mut self, list: &'a [Node], items: &'static Schema, keys: &'static [String]) {
        for item in list {
            if matches!((&item.tree, items), (Tree::Null, Schema::Object(_))) {
                self.expected(item, "a map");
            }
            self.value(item, items);
        }
        if keys.is_empty() {
            return;
        }
        let mut seen: HashMap<Vec<String>, ()> = HashMap::with_capacity(list.len());
        for item in list {
            let values: Vec<String> = keys.iter().map(|key| key_of(item, key)).collect();
            if values.iter().all(String::is_empty) || seen.insert(values.clone(), ()).is_none() {
                continue;
            }
            let named: Vec<String> = keys
                .iter()
                .zip(&values)
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| format!("`{key}` {}", quoted(value)))
                .collect();
            let message = format!("a second item with {}", named.join(" and "));
            let key = keys.first().and_then(|key| item.get(key));
            self.finds.error(key.unwrap_or(item), message);
        }
    }

    fn duplicates(&mut self, entries: &'a [(Key, Node)]) {
        let mut seen: HashMap<&str, &Key> = HashMap::with_capacity(entries.len());
        for (key, _) in entries {
            if seen.insert(&key.text, key).is_some() {
                let message = format!("{} is given twice", quoted(&key.text));
                self.finds.error(key, message);
            }
        }
    }

    fn object(&mut self, node: &'a Node, number: usize) {
        let Some(Definition { name, fields }) = self.schemas.definition(number) else {
            return;
        };
        let Tree::Map(entries) = &node.tree else {
            return self.expected(node, "a map");
        };
        self.duplicates(entries);
        if self.strictness == Strictness::Full {
            self.visits.push(Visit { name, node });
            self.missing(node, fields);
        }
        for (key, value) in entries {
            let mut forms = fields.iter().filter(|field| field.name == key.text);
            let first = forms.clone().next();
            let Some(field) = forms
                .find(|field| field.versions.has(self.version))
                .or(first)
            else {
                self.unknown(key, fields);
                continue;
            };
            self.version(key, field);
            let outer = self.strictness;
            if key.text == "status" && std::ptr::eq(node, self.root()) {
                self.strictness = Strictness::Status;
            }
            self.value(value, &field.schema);
            self.strictness = outer;
        }
    }

    /// The object itself is the first that is visited.
    fn root(&self) -> *const Node {
        self.visits
            .first()
            .map_or(std::ptr::null(), |visit| std::ptr::from_ref(visit.node))
    }

    fn missing(&mut self, node: &'a Node, fields: &[Field]) {
        for field in fields {
            if field.required.has(self.version) && node.get(&field.name).is_none() {
                let message = format!("the field `{}` is missing", field.name);
                self.finds.error(Spot::Node(node), message);
            }
        }
    }

    fn version(&mut self, key: &'a Key, field: &Field) {
        let asked = self.version;
        if field.versions.has(asked) {
            return;
        }
        let message = match (field.versions.since(asked), field.versions.gone(asked)) {
            (Some(since), _) => format!(
                "the field `{}` is there since Kubernetes {since}, and not in {asked}",
                key.text
            ),
            (None, Some(gone)) => {
                format!("the field `{}` is gone since Kubernetes {gone}", key.text)
            }
            (None, None) => format!("the field `{}` is not in Kubernetes {asked}", key.text),
        };
        self.finds.error(key, message);
    }

    fn unknown(&mut self, key: &'a Key, fields: &[Field]) {
        let message = format!("unknown field {}", quoted(&key.text));
        let known = fields
            .iter()
            .filter(|field| field.versions.has(self.version))
            .map(|field| field.name.as_str());
        self.finds.error(key, message).nearest(&key.text, known);
    }
}

/// A field that tells items apart, as text. A port without protocol is one of TCP.
fn key_of(item: &Node, key: &str) -> String {
    match item.get(key).map(|node| &node.tree) {
        Some(Tree::Text(text)) => text.clone(),
        Some(Tree::Number(number)) => number.to_string(),
        None if key == "protocol" => "TCP".to_owned(),
        _ => String::new(),
    }
}

fn describe(schema: &Schema) -> &'static str {
    match schema {
        Schema::Anything => "anything",
        Schema::Free | Schema::Map(_) | Schema::Object(_) => "a map",
        Schema::Text | Schema::Bytes | Schema::OneOf(_) => "a text",
        Schema::Boolean => "true or false",
        Schema::Integer32 | Schema::Integer64 => "a whole number",
        Schema::Number => "a number",
        Schema::Quantity => "a quantity such as `500m` or `2Gi`",
        Schema::IntegerOrText => "a whole number or a text",
        Schema::Time => "a time such as `2026-01-31T12:00:00Z`",
        Schema::List(..) => "a list",
    }
}

/// A value for a message, unless its name says that it may be secret.
pub(super) fn shown(name: &str, text: &str) -> String {
    if is_secret_name(name) {
        "the value".to_owned()
    } else {
        quoted(text)
    }
}
