//! YAML with several documents, as objects with their places.

use std::fmt;
use std::sync::Arc;

use mlops_core::{Error, ErrorKind, Result};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, Location, Options, Spanned};

use super::id::Place;
use super::object::Object;

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// A document, with the places of its `items` should it be a list of objects.
struct Document {
    value: Map<String, Value>,
    items: Vec<Location>,
}

/// What stands under `items`: only a `List` needs to know the place of each.
struct Items {
    value: Value,
    places: Vec<Location>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Kubernetes, which is a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut value = Map::new();
        let mut items = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let part = if key == "items" {
                let found: Items = map.next_value()?;
                items = found.places;
                found.value
            } else {
                map.next_value()?
            };
            value.insert(key, part);
        }
        Ok(Document { value, items })
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Items, A::Error> {
        let items = Vec::<Spanned<Value>>::deserialize(SeqAccessDeserializer::new(seq))?;
        Ok(Items {
            places: items.iter().map(|item| item.referenced).collect(),
            value: items.into_iter().map(|item| item.value).collect(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Items, A::Error> {
        let value = Value::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Items {
            value,
            places: Vec::new(),
        })
    }

    fn visit_unit<E>(self) -> Result<Items, E> {
        Ok(Items {
            value: Value::Null,
            places: Vec::new(),
        })
    }
}

/// Bounds for what a file may make of our memory; a platform's objects are far below.
fn options() -> Options {
    serde_saphyr::options! {
        // File modes are written `0400`, as YAML 1.1 has them and as everybody else reads them.
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: 128,
            flow_nesting_limit: 128,
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_anchors: 1_000,
            max_aliases: 10_000,
            max_documents: 100_000,
            max_total_scalar_bytes: MAX_BYTES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 1_000_000,
            max_replay_stack_depth: 32,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The objects of a text. Documents that hold nothing are skipped; a `List` is taken apart.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Object>> {
    let wrong = |message: String| {
        Error::new(ErrorKind::InvalidInput, format!("read `{file}`")).with_source(message)
    };
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(wrong(format!(
            "the file has {bytes} bytes, and at most {MAX_BYTES} are read"
        )));
    }
    let documents: Vec<Spanned<Option<Document>>> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
            let error = error.without_snippet();
            match error.location().filter(|location| location.line() > 0) {
                Some(at) => wrong(format!("{file}:{}:{}: {error}", at.line(), at.column())),
                None => wrong(error.to_string()),
            }
        })?;
    let file: Arc<str> = Arc::from(file);
    let mut objects = Vec::new();
    let with_content = documents
        .into_iter()
        .filter_map(|document| Some((document.referenced, document.value?)));
    for (index, (location, document)) in with_content.enumerate() {
        let place = |location: Location| Place {
            file: Arc::clone(&file),
            document: index + 1,
            line: location.line(),
            column: location.column(),
        };
        if is_list(&document.value) {
            let items = document
                .value
                .get("items")
                .and_then(Value::as_array)
                .cloned();
            let places = document.items.into_iter();
            for (item, location) in items.unwrap_or_default().into_iter().zip(places) {
                objects.push(Object::placed(item, Some(place(location)))?);
            }
        } else {
            let value = Value::Object(document.value);
            objects.push(Object::placed(value, Some(place(location)))?);
        }
    }
    Ok(objects)
}

/// Whether an object only holds others: `v1` `List`, or `ConfigMapList` and the like, which has no name of its own.
pub(super) fn is_list(value: &Map<String, Value>) -> bool {
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let has_name = value
        .get("metadata")
        .is_some_and(|metadata| metadata.get("name").is_some());
    kind.ends_with("List") && !has_name && value.get("items").is_some_and(Value::is_array)
}
