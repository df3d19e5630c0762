//! A tree against a JSON Schema made by `schemars`: every error with its place, and the value without what is wrong.
//!
//! This knows the few forms that our own types produce, not all of JSON Schema.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use super::problems::did_you_mean;
use super::tree::{Key, Node, Place, Tree};
use super::words;

/// Something wrong at a place.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The text at the place may be a secret.
    pub(super) is_secret: bool,
}

/// Everything that is wrong, and the value without it (`None` when nothing is left).
pub(super) fn check(tree: &Node, schema: &Value) -> (Option<Value>, Vec<Wrong>) {
    let mut checker = Checker {
        definitions: schema.get("$defs").and_then(Value::as_object),
        wrong: Vec::new(),
    };
    let value = checker.node(tree, schema, None);
    (value, checker.wrong)
}

struct Checker<'a> {
    definitions: Option<&'a Map<String, Value>>,
    wrong: Vec<Wrong>,
}

impl<'a> Checker<'a> {
    fn add(&mut self, place: Place, message: String, hint: Option<String>) {
        self.wrong.push(Wrong {
            place,
            message,
            hint,
            is_secret: false,
        });
    }

    fn expected(&mut self, node: &Node, what: &str, definition: Option<&str>) {
        let hint = match (&node.tree, what) {
            (Tree::Number(_) | Tree::Bool(_), "a text") => Some("put it in quotes".to_owned()),
            _ => definition.and_then(words::hint).map(str::to_owned),
        };
        self.wrong.push(Wrong {
            place: node.place,
            message: format!("expected {what}, found {}", node.tree.describe()),
            hint,
            is_secret: definition.is_some_and(words::is_secret),
        });
    }

    /// The schema behind a reference, with the name of its definition.
    fn resolve<'s>(&self, schema: &'s Value, name: Option<&'s str>) -> (&'s Value, Option<&'s str>)
    where
        'a: 's,
    {
        let target = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| target.strip_prefix("#/$defs/"));
        match (target, self.definitions) {
            (Some(target), Some(definitions)) => match definitions.get(target) {
                Some(found) => (found, Some(target)),
                None => (schema, name),
            },
            _ => (schema, name),
        }
    }

    fn node(&mut self, node: &Node, schema: &'a Value, name: Option<&'a str>) -> Option<Value> {
        let (schema, name) = self.resolve(schema, name);
        if let Some(several) = schema.get("anyOf").or_else(|| schema.get("oneOf"))
            && let Some(several) = several.as_array()
        {
            return self.one_of(node, several, name);
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            return self.choice(node, choices.iter(), name);
        }
        if let Some(only) = schema.get("const") {
            return self.choice(node, [only].into_iter(), name);
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return Some(self.anything(node)),
        };
        if types.contains(&"null") && matches!(node.tree, Tree::Null) {
            return Some(Value::Null);
        }
        match types.iter().find(|one| **one != "null") {
            Some(&"object") => self.map(node, schema, name),
            Some(&"array") => self.list(node, schema, name),
            Some(&"string") => self.text(node, name),
            Some(&"integer") => self.integer(node, schema),
            Some(&"number") => self.number(node, name),
            Some(&"boolean") => self.boolean(node, name),
            _ => Some(self.anything(node)),
        }
    }

    fn one_of(
        &mut self,
        node: &Node,
        several: &'a [Value],
        name: Option<&'a str>,
    ) -> Option<Value> {
        let is_null = |schema: &&Value| schema.get("type").and_then(Value::as_str) == Some("null");
        if matches!(node.tree, Tree::Null) && several.iter().any(|schema| is_null(&schema)) {
            return Some(Value::Null);
        }
        let rest: Vec<&Value> = several.iter().filter(|schema| !is_null(schema)).collect();
        if let [only] = rest.as_slice() {
            return self.node(node, only, name);
        }
        let words = rest.iter().flat_map(|schema| {
            let list = schema.get("enum").and_then(Value::as_array);
            list.into_iter().flatten().chain(schema.get("const"))
        });
        let forms: BTreeMap<&str, &'a Value> = rest
            .iter()
            .filter_map(|schema| {
                let properties = schema.get("properties")?.as_object()?;
                Some((properties.keys().next()?.as_str(), *schema))
            })
            .collect();
        match &node.tree {
            Tree::Map(entries) if !forms.is_empty() => self.form(node, entries, &forms, name),
            _ if words.clone().next().is_some() => self.choice(node, words, name),
            _ => {
                let keys: Vec<String> = forms.keys().map(|key| format!("`{key}`")).collect();
                self.expected(node, &format!("a map with {}", keys.join(" or ")), name);
                None
            }
        }
    }

    /// A map whose one key says which form it has.
    fn form(
        &mut self,
        node: &Node,
        entries: &[(Key, Node)],
        forms: &BTreeMap<&str, &'a Value>,
        name: Option<&'a str>,
    ) -> Option<Value> {
        let known: Vec<&str> = forms.keys().copied().collect();
        let [(key, _)] = entries else {
            let keys: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            let message = format!("expected exactly one of {}", keys.join(", "));
            self.add(node.place, message, None);
            return None;
        };
        let Some(schema) = forms.get(key.text.as_str()) else {
            let message = format!("unknown key `{}`", key.text.escape_debug());
            self.add(key.place, message, did_you_mean(&key.text, &known));
            return None;
        };
        self.map(node, schema, name)
    }

    fn choice<'v>(
        &mut self,
        node: &Node,
        choices: impl Iterator<Item = &'v Value>,
        name: Option<&str>,
    ) -> Option<Value> {
        let known: Vec<&str> = choices.filter_map(Value::as_str).collect();
        let names: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        match &node.tree {
            Tree::Text(text) if known.contains(&text.as_str()) => Some(Value::String(text.clone())),
            Tree::Text(text) => {
                let (message, hint) = match name.and_then(|name| words::not_yet(name, text)) {
                    Some(message) => (message, None),
                    None => (
                        format!("unknown value `{}`", text.escape_debug()),
                        did_you_mean(text, &known),
                    ),
                };
                let hint = hint.or_else(|| Some(format!("known: {}", names.join(", "))));
                self.add(node.place, message, hint);
                None
            }
            _ => {
                self.expected(node, &format!("one of {}", names.join(", ")), name);
                None
            }
        }
    }

    fn text(&mut self, node: &Node, name: Option<&str>) -> Option<Value> {
        let Tree::Text(text) = &node.tree else {
            self.expected(node, "a text", name);
            return None;
        };
        if let Some((message, hint)) = name.and_then(|name| words::check(name, text)) {
            self.add(node.place, message, hint);
            return None;
        }
        Some(Value::String(text.clone()))
    }

    fn number(&mut self, node: &Node, name: Option<&str>) -> Option<Value> {
        let number = as_number(node);
        if number.is_none() {
            self.expected(node, "a number", name);
        }
        number.map(Value::Number)
    }

    fn boolean(&mut self, node: &Node, name: Option<&str>) -> Option<Value> {
        match &node.tree {
            Tree::Bool(value) => Some(Value::Bool(*value)),
            Tree::Text(text) if text == "true" || text == "false" => {
                Some(Value::Bool(text == "true"))
            }
            _ => {
                self.expected(node, "true or false", name);
                None
            }
        }
    }

    fn integer(&mut self, node: &Node, schema: &Value) -> Option<Value> {
        let Some(number) = as_number(node) else {
            self.expected(node, "a whole number", None);
            return None;
        };
        if number.is_f64() {
            self.add(node.place, "expected a whole number".to_owned(), None);
            return None;
        }
        let value = number.as_i128().unwrap_or_default();
        let bound = |key: &str| schema.get(key).and_then(Value::as_number)?.as_i128();
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("of {least} or more"),
                (None, Some(most)) => format!("of {most} or less"),
                (None, None) => String::new(),
            };
            let message = format!("expected a whole number {range}, found {value}");
            self.add(node.place, message, None);
            return None;
        }
        Some(Value::Number(number))
    }

    fn list(&mut self, node: &Node, schema: &'a Value, name: Option<&str>) -> Option<Value> {
        match &node.tree {
            Tree::Null => Some(Value::Array(Vec::new())),
            Tree::List(items) => {
                let values = items.iter().filter_map(|item| match schema.get("items") {
                    Some(schema) => self.node(item, schema, None),
                    None => Some(self.anything(item)),
                });
                Some(Value::Array(values.collect()))
            }
            _ => {
                self.expected(node, "a list", name);
                None
            }
        }
    }

    fn map(&mut self, node: &Node, schema: &'a Value, name: Option<&str>) -> Option<Value> {
        let entries: &[(Key, Node)] = match &node.tree {
            Tree::Map(entries) => entries,
            Tree::Null => &[],
            _ => {
                self.expected(node, "a map", name);
                return None;
            }
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        let others = schema.get("additionalProperties");
        let keys = schema.get("x-keys").and_then(Value::as_str);
        let mut seen = BTreeSet::new();
        let mut values = Map::new();
        for (key, child) in entries {
            if !seen.insert(key.text.as_str()) {
                let message = format!("the key `{}` is there twice", key.text.escape_debug());
                self.add(
                    key.place,
                    message,
                    Some("take one of the two out".to_owned()),
                );
                continue;
            }
            let own = properties.and_then(|properties| properties.get(&key.text));
            let value = match (own, others) {
                (Some(schema), _) => self.node(child, schema, None),
                (None, Some(Value::Bool(false))) => {
                    let message = format!("unknown key `{}`", key.text.escape_debug());
                    self.add(key.place, message, did_you_mean(&key.text, &known));
                    None
                }
                (None, others) => {
                    self.free_entry(key, child, keys, others.unwrap_or(&Value::Bool(true)))
                }
            };
            if let Some(value) = value {
                values.insert(key.text.clone(), value);
            }
        }
        self.required(node, schema, &seen);
        Some(Value::Object(values))
    }

    /// An entry of a map whose keys are names.
    fn free_entry(
        &mut self,
        key: &Key,
        child: &Node,
        keys: Option<&str>,
        schema: &'a Value,
    ) -> Option<Value> {
        let value = self.node(child, schema, None);
        if let Some((message, hint)) = keys.and_then(|name| words::check(name, &key.text)) {
            self.add(key.place, message, hint);
            return None;
        }
        value
    }

    fn required(&mut self, node: &Node, schema: &Value, seen: &BTreeSet<&str>) {
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !seen.contains(key) {
                let place = Place {
                    length: 1,
                    ..node.place
                };
                self.add(place, format!("the key `{key}` is missing"), None);
            }
        }
    }

    /// A value of which nothing is asked but that no key is there twice.
    fn anything(&mut self, node: &Node) -> Value {
        match &node.tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(value) => Value::Number(value.clone()),
            Tree::Text(value) => Value::String(value.clone()),
            Tree::List(items) => items.iter().map(|item| self.anything(item)).collect(),
            Tree::Map(_) => self
                .map(node, &ANYTHING, None)
                .unwrap_or_else(|| Value::Object(Map::new())),
        }
    }
}

/// A number; in quotes it is one as well, as it is for the parser.
fn as_number(node: &Node) -> Option<Number> {
    match &node.tree {
        Tree::Number(number) => Some(number.clone()),
        Tree::Text(text) => text.parse().ok(),
        _ => None,
    }
}

static ANYTHING: Value = Value::Bool(true);
