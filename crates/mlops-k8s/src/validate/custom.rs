//! A custom resource against the `openAPIV3Schema` of its definition.
//!
//! What is checked: types, unknown and missing fields, `nullable`, `enum`, limits, `pattern`, `format` (`date-time`,
//! `duration`, `byte`), `allOf`, `anyOf`, `oneOf` and `not`. Rules in CEL (`x-kubernetes-validations`) are left to the
//! server.

use mlops_core::platform::tree::{Node, Tree};

use super::check::{self, Visit, shown};
use super::finds::{Finds, Look as _, quoted};
use super::forms::{duration::is_spoken_duration, is_base64};
use super::schema::{Schemas, Version};

/// Whether fields that the schema does not name are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Wrong,
    /// Inside of `anyOf` and its like, whose schemas name only what they judge.
    Ignored,
}

/// Checks an object against a schema; its metadata is judged as that of any other object.
pub(super) fn check<'a>(
    node: &'a Node,
    schema: &'a Node,
    version: Version,
    finds: &mut Finds<'a>,
) -> Vec<Visit<'a>> {
    let visits = metadata(node, version, finds);
    for (key, value) in node.entries() {
        if matches!(
            key.text.as_str(),
            "apiVersion" | "kind" | "metadata" | "status"
        ) {
            continue;
        }
        match schema.at(&["properties", &key.text]) {
            Some(inner) => Walk(finds).value(value, inner, &key.text, Unknown::Wrong),
            None if keeps_unknown(schema) => {}
            None => {
                let known = schema
                    .map("properties")
                    .iter()
                    .map(|(key, _)| key.text.as_str());
                let message = format!("unknown field {}", quoted(&key.text));
                finds.error(key, message).nearest(&key.text, known);
            }
        }
    }
    let mut walk = Walk(finds);
    walk.missing(node, schema);
    walk.combined(node, schema, "");
    visits
}

/// Checks the metadata only: of an object whose definition is not in the set.
pub(super) fn metadata<'a>(
    node: &'a Node,
    version: Version,
    finds: &mut Finds<'a>,
) -> Vec<Visit<'a>> {
    let number = Schemas::get().metadata();
    match (node.get("metadata"), number) {
        (Some(metadata), Some(number)) => check::check(metadata, number, version, finds),
        _ => Vec::new(),
    }
}

fn keeps_unknown(schema: &Node) -> bool {
    schema.is_true("x-kubernetes-preserve-unknown-fields")
}

struct Walk<'a, 'f>(&'f mut Finds<'a>);

impl<'a> Walk<'a, '_> {
    fn value(&mut self, node: &'a Node, schema: &'a Node, name: &str, unknown: Unknown) {
        if matches!(node.tree, Tree::Null) {
            let is_typed = schema.get("type").is_some() && !schema.is_true("nullable");
            // The server drops such a field when it has a default, and refuses it otherwise.
            if is_typed && schema.get("default").is_none() {
                self.expected(node, schema.text_of("type").unwrap_or_default());
            }
            return;
        }
        if schema.is_true("x-kubernetes-int-or-string") {
            let is_right = matches!(&node.tree, Tree::Text(_)) || node.integer().is_some();
            if !is_right {
                let message = format!(
                    "expected a whole number or a text, found {}",
                    node.tree.describe()
                );
                self.0.error(node, message);
                return;
            }
        } else if let Some(kind) = schema.text_of("type")
            && !self.is_of(node, kind)
        {
            return;
        }
        match &node.tree {
            Tree::Map(_) => self.map(node, schema, unknown),
            Tree::List(items) => {
                if let Some(inner) = schema.get("items") {
                    for item in items {
                        self.value(item, inner, name, unknown);
                    }
                }
                self.count(node, items.len(), schema, ("minItems", "maxItems"), "items");
            }
            Tree::Text(text) => self.text(node, text, schema, name),
            Tree::Number(_) => self.number(node, schema),
            Tree::Null | Tree::Bool(_) => {}
        }
        self.allowed(node, schema, name);
        self.combined(node, schema, name);
    }

    fn is_of(&mut self, node: &'a Node, kind: &str) -> bool {
        let is_right = match (kind, &node.tree) {
            ("object", Tree::Map(_))
            | ("array", Tree::List(_))
            | ("string", Tree::Text(_))
            | ("boolean", Tree::Bool(_))
            | ("number", Tree::Number(_)) => true,
            ("integer", Tree::Number(number)) => {
                !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            _ => false,
        };
        if !is_right {
            self.expected(node, kind);
        }
        is_right
    }

    fn expected(&mut self, node: &'a Node, kind: &str) {
        let what = match kind {
            "object" => "a map",
            "array" => "a list",
            "string" => "a text",
            "boolean" => "true or false",
            "integer" => "a whole number",
            _ => "a number",
        };
        let message = format!("expected {what}, found {}", node.tree.describe());
        let find = self.0.error(node, message);
        if matches!(node.tree, Tree::Number(_) | Tree::Bool(_)) && kind == "string" {
            find.hint("put it in quotes");
        }
    }

    fn map(&mut self, node: &'a Node, schema: &'a Node, unknown: Unknown) {
        let additional = schema.get("additionalProperties");
        for (key, value) in node.entries() {
            if let Some(inner) = schema.at(&["properties", &key.text]) {
                self.value(value, inner, &key.text, unknown);
            } else if let Some(
                inner @ Node {
                    tree: Tree::Map(_), ..
                },
            ) = additional
            {
                self.value(value, inner, &key.text, unknown);
            } else {
                let is_open = additional.is_some_and(|one| matches!(one.tree, Tree::Bool(true)))
                    || keeps_unknown(schema)
                    || schema.is_true("x-kubernetes-embedded-resource")
                        && matches!(key.text.as_str(), "apiVersion" | "kind" | "metadata");
                if !is_open && unknown == Unknown::Wrong {
                    let known = schema
                        .map("properties")
                        .iter()
                        .map(|(key, _)| key.text.as_str());
                    let message = format!("unknown field {}", quoted(&key.text));
                    self.0.error(key, message).nearest(&key.text, known);
                }
            }
        }
        self.missing(node, schema);
        let count = node.entries().len();
        self.count(
            node,
            count,
            schema,
            ("minProperties", "maxProperties"),
            "entries",
        );
    }

    fn missing(&mut self, node: &'a Node, schema: &'a Node) {
        for name in schema.list("required").iter().filter_map(Node::text) {
            let has_default = schema.at(&["properties", name, "default"]).is_some();
            let is_given = node.entries().iter().any(|(key, _)| key.text == name);
            if !is_given && !has_default {
                self.0
                    .error(node, format!("the field {} is missing", quoted(name)));
            }
        }
    }

    fn count(
        &mut self,
        node: &'a Node,
        count: usize,
        schema: &'a Node,
        limits: (&str, &str),
        what: &str,
    ) {
        let limit = |key: &str| {
            schema
                .get(key)
                .and_then(Node::integer)
                .and_then(|limit| usize::try_from(limit).ok())
        };
        if let Some(least) = limit(limits.0).filter(|least| count < *least) {
            self.0.error(
                node,
                format!("at least {least} {what} are needed, and there are {count}"),
            );
        }
        if let Some(most) = limit(limits.1).filter(|most| count > *most) {
            self.0.error(
                node,
                format!("at most {most} {what} are allowed, and there are {count}"),
            );
        }
    }

    fn text(&mut self, node: &'a Node, text: &str, schema: &'a Node, name: &str) {
        let length = text.chars().count();
        self.count(
            node,
            length,
            schema,
            ("minLength", "maxLength"),
            "characters",
        );
        if let Some(pattern) = schema.text_of("pattern")
            && let Ok(regex) = regex_lite::Regex::new(pattern)
            && !regex.is_match(text)
        {
            let find = self.0.error(
                node,
                format!(
                    "{} does not have the form that is asked for",
                    shown(name, text)
                ),
            );
            find.hint(format!("the pattern is {}", quoted(pattern)));
        }
        let (is_right, what) = match schema.text_of("format") {
            Some("date-time") => (
                text.parse::<jiff::Timestamp>().is_ok(),
                "time such as `2026-01-31T12:00:00Z`",
            ),
            Some("duration") => (is_spoken_duration(text), "duration such as `1h30m`"),
            Some("byte") => (is_base64(text), "base64"),
            _ => return,
        };
        if !is_right {
            self.0
                .error(node, format!("{} is no {what}", shown(name, text)));
        }
    }

    fn number(&mut self, node: &'a Node, schema: &'a Node) {
        let Tree::Number(number) = &node.tree else {
            return;
        };
        let limit = |key: &str| match schema.get(key).map(|limit| &limit.tree) {
            Some(Tree::Number(limit)) => limit.as_f64().map(|value| (value, limit.to_string())),
            _ => None,
        };
        let value = number.as_f64().unwrap_or_default();
        if let Some((least, shown)) = limit("minimum") {
            let is_exclusive = schema.is_true("exclusiveMinimum");
            if value < least || (is_exclusive && value <= least) {
                let word = if is_exclusive {
                    "more than"
                } else {
                    "at least"
                };
                self.0.error(
                    node,
                    format!("{number} is too small: {word} {shown} is needed"),
                );
            }
        }
        if let Some((most, shown)) = limit("maximum") {
            let is_exclusive = schema.is_true("exclusiveMaximum");
            if value > most || (is_exclusive && value >= most) {
                let word = if is_exclusive { "less than" } else { "at most" };
                self.0.error(
                    node,
                    format!("{number} is too large: {word} {shown} is allowed"),
                );
            }
        }
        let is_small = number
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok());
        if schema.text_of("format") == Some("int32") && !number.is_f64() && !is_small {
            self.0
                .error(node, format!("the number is beyond {}", i32::MAX));
        }
    }

    fn allowed(&mut self, node: &'a Node, schema: &'a Node, name: &str) {
        let allowed = schema.list("enum");
        if allowed.is_empty() || allowed.iter().any(|one| is_same(one, node)) {
            return;
        }
        let text = match &node.tree {
            Tree::Text(text) => text.clone(),
            Tree::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let message = format!("{} is not one of the allowed values", shown(name, &text));
        let known: Vec<&str> = allowed.iter().filter_map(Node::text).collect();
        let find = self.0.error(node, message);
        if known.len() == allowed.len() {
            find.nearest(&text, known);
        }
    }

    fn combined(&mut self, node: &'a Node, schema: &'a Node, name: &str) {
        for inner in schema.list("allOf") {
            self.value(node, inner, name, Unknown::Ignored);
        }
        let passes = |inner: &'a Node| {
            let mut finds = Finds::new();
            Walk(&mut finds).value(node, inner, name, Unknown::Ignored);
            finds.is_empty()
        };
        let any = schema.list("anyOf");
        if !any.is_empty() && !any.iter().any(passes) {
            self.0
                .error(node, "none of the forms that are allowed here fits")
                .hint("look at `anyOf` in the definition of the kind");
        }
        let one = schema.list("oneOf");
        if !one.is_empty() {
            let count = one.iter().filter(|inner| passes(inner)).count();
            if count != 1 {
                let message =
                    format!("exactly one of the allowed forms must fit here, and {count} do");
                self.0
                    .error(node, message)
                    .hint("look at `oneOf` in the definition of the kind");
            }
        }
        if schema.get("not").is_some_and(passes) {
            self.0.error(node, "this form is not allowed here");
        }
    }
}

fn is_same(a: &Node, b: &Node) -> bool {
    match (&a.tree, &b.tree) {
        (Tree::Null, Tree::Null) => true,
        (Tree::Bool(a), Tree::Bool(b)) => a == b,
        (Tree::Number(a), Tree::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Tree::Text(a), Tree::Text(b)) => a == b,
        (Tree::List(a), Tree::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Tree::Map(a), Tree::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| {
                    b.iter()
                        .any(|(other, b)| other.text == key.text && is_same(a, b))
                })
        }
        _ => false,
    }
}
