//! Writes the slim schemas of Kubernetes that `mlops-k8s` checks objects against.
//!
//! The OpenAPI of each version comes from the Go module `k8s.io/kubernetes`
//! (`api/openapi-spec/swagger.json`). It names no allowed values, so these come from the types marked `+enum` in the
//! sources of `k8s.io/api` of the same version. All versions go into one file: what is the same is written once, and
//! what is not carries the versions it is in as bits.

mod allowed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::shell::{root, say};
use allowed::Allowed;

/// The versions of Kubernetes, oldest first, each with the version of its module `k8s.io/api`.
const VERSIONS: [(&str, &str); 3] = [
    ("v1.33.13", "v0.33.13"),
    ("v1.34.4", "v0.34.4"),
    ("v1.35.4", "v0.35.4"),
];

/// The largest file that may be committed, in bytes.
const MAX_BYTES: usize = 500_000;

/// One field of a definition: its schema, the versions it is in, and those in which it must be given.
type Field = (Value, u8, u8);

#[derive(Default)]
struct Merged {
    /// The numbers of the definitions by name.
    numbers: BTreeMap<String, usize>,
    /// By name: each field with its forms, newest last.
    objects: BTreeMap<String, BTreeMap<String, Vec<Field>>>,
    /// By group, version and kind: resource, whether namespaced, versions, definition.
    kinds: BTreeMap<(String, String, String), (String, bool, u8, String)>,
}

/// Fetches the modules, and writes `crates/mlops-k8s/schemas/kubernetes.json.gz`.
pub(crate) fn schemas() -> Result<()> {
    let mut merged = Merged::default();
    for (index, (version, api)) in VERSIONS.iter().enumerate() {
        let bit = 1_u8 << index;
        let openapi = module("k8s.io/kubernetes", version)?.join("api/openapi-spec/swagger.json");
        let text =
            fs::read(&openapi).with_context(|| format!("failed to read {}", openapi.display()))?;
        let openapi: Value = serde_json::from_slice(&text)?;
        let allowed = Allowed::read(&module("k8s.io/api", api)?)?;
        merged.add(&openapi, &allowed, bit)?;
    }
    let text = serde_json::to_vec(&merged.into_json()?)?;
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    encoder.write_all(&text)?;
    let packed = encoder.finish()?;
    if packed.len() > MAX_BYTES {
        bail!("{} bytes are more than {MAX_BYTES}", packed.len());
    }
    let path = root().join("crates/mlops-k8s/schemas/kubernetes.json.gz");
    fs::write(&path, &packed)?;
    say(format!(
        "wrote {}: {} bytes, {} unpacked",
        path.display(),
        packed.len(),
        text.len()
    ));
    Ok(())
}

/// The folder of a Go module, fetched when it is not there.
fn module(name: &str, version: &str) -> Result<PathBuf> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", &format!("{name}@{version}")])
        .current_dir(std::env::temp_dir())
        .output()
        .context("failed to start `go`, which fetches the sources of Kubernetes")?;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let Some(folder) = answer.get("Dir").and_then(Value::as_str) else {
        bail!("failed to fetch {name}@{version}: {answer}");
    };
    Ok(folder.into())
}

impl Merged {
    fn add(&mut self, openapi: &Value, allowed: &Allowed, bit: u8) -> Result<()> {
        let definitions = object(openapi, "definitions")?;
        let kinds = kinds(object(openapi, "paths")?);
        let mut wanted: Vec<String> = Vec::new();
        for (name, definition) in definitions {
            let Some([only]) = definition
                .get("x-kubernetes-group-version-kind")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
            else {
                continue;
            };
            let key = (
                text(only, "group"),
                text(only, "version"),
                text(only, "kind"),
            );
            if let Some((plural, is_namespaced)) = kinds.get(&key) {
                let entry = (plural.clone(), *is_namespaced, 0, name.clone());
                self.kinds.entry(key).or_insert(entry).2 |= bit;
                wanted.push(name.clone());
            }
        }
        let mut done = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if !done.insert(name.clone()) {
                continue;
            }
            let definition = definitions
                .get(&name)
                .with_context(|| format!("no definition of {name}"))?;
            self.definition(&name, definition, allowed, bit, &mut wanted);
        }
        Ok(())
    }

    fn definition(
        &mut self,
        name: &str,
        definition: &Value,
        allowed: &Allowed,
        bit: u8,
        wanted: &mut Vec<String>,
    ) {
        let required: Vec<&str> = definition
            .get("required")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let fields = self.objects.entry(name.to_owned()).or_default();
        let none = Map::new();
        let properties = definition.get("properties").and_then(Value::as_object);
        for (field, schema) in properties.unwrap_or(&none) {
            let schema = slim(schema, allowed.of(name, field), wanted);
            let must = if required.contains(&field.as_str()) {
                bit
            } else {
                0
            };
            let forms = fields.entry(field.clone()).or_default();
            match forms.iter_mut().find(|form| form.0 == schema) {
                Some(form) => {
                    form.1 |= bit;
                    form.2 |= must;
                }
                None => forms.push((schema, bit, must)),
            }
        }
    }

    fn into_json(mut self) -> Result<Value> {
        let names: Vec<String> = self.objects.keys().cloned().collect();
        self.numbers = names
            .iter()
            .enumerate()
            .map(|(number, name)| (name.clone(), number))
            .collect();
        let objects = self
            .objects
            .iter()
            .map(|(name, fields)| {
                let fields: Vec<Value> = fields
                    .iter()
                    .flat_map(|(field, forms)| forms.iter().map(move |form| (field, form)))
                    .map(|(field, (schema, versions, must))| {
                        json!([field, self.numbered(schema), versions, must])
                    })
                    .collect();
                json!([short(name), fields])
            })
            .collect::<Vec<Value>>();
        let kinds = self
            .kinds
            .iter()
            .map(
                |((group, version, kind), (plural, is_namespaced, versions, name))| {
                    let number = self
                        .numbers
                        .get(name)
                        .context("a kind without definition")?;
                    Ok(json!([
                        group,
                        version,
                        kind,
                        plural,
                        is_namespaced,
                        versions,
                        number
                    ]))
                },
            )
            .collect::<Result<Vec<Value>>>()?;
        let versions: Vec<&str> = VERSIONS.iter().map(|(version, _)| *version).collect();
        Ok(json!({ "versions": versions, "objects": objects, "kinds": kinds }))
    }

    /// Names of definitions replaced by their numbers.
    fn numbered(&self, schema: &Value) -> Value {
        match schema {
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| {
                    let value = match (key.as_str(), value) {
                        ("r", Value::String(name)) => json!(self.numbers.get(name)),
                        ("e", _) => value.clone(),
                        _ => self.numbered(value),
                    };
                    (key.clone(), value)
                })
                .collect::<Map<String, Value>>()
                .into(),
            Value::Array(list) => list.iter().map(|one| self.numbered(one)).collect(),
            other => other.clone(),
        }
    }
}

/// What can be created: by group, version and kind the name of the resource and whether it is in namespaces.
fn kinds(paths: &Map<String, Value>) -> BTreeMap<(String, String, String), (String, bool)> {
    let mut kinds = BTreeMap::new();
    for (path, item) in paths {
        let Some(post) = item.get("post") else {
            continue;
        };
        let Some(kind) = post.get("x-kubernetes-group-version-kind") else {
            continue;
        };
        let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
        // After `api/VERSION` or `apis/GROUP/VERSION`.
        let rest = steps.get(if steps.first() == Some(&"api") { 2 } else { 3 }..);
        let (plural, is_namespaced) = match rest.unwrap_or_default() {
            [plural] => (*plural, false),
            ["namespaces", "{namespace}", plural] => (*plural, true),
            _ => continue,
        };
        let key = (
            text(kind, "group"),
            text(kind, "version"),
            text(kind, "kind"),
        );
        kinds.insert(key, (plural.to_owned(), is_namespaced));
    }
    kinds
}

/// The short form that the crate reads; `wanted` collects the definitions that it refers to.
fn slim(schema: &Value, allowed: Option<&BTreeSet<String>>, wanted: &mut Vec<String>) -> Value {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.trim_start_matches("#/definitions/");
        return match name.rsplit('.').next() {
            Some("Quantity") => json!("q"),
            Some("IntOrString") => json!("x"),
            Some("Time" | "MicroTime") => json!("t"),
            Some(
                "JSON"
                | "JSONSchemaPropsOrArray"
                | "JSONSchemaPropsOrBool"
                | "JSONSchemaPropsOrStringArray",
            ) => json!("a"),
            Some("RawExtension" | "FieldsV1" | "CustomResourceSubresourceStatus" | "Patch") => {
                json!("o")
            }
            _ => {
                wanted.push(name.to_owned());
                json!({ "r": name })
            }
        };
    }
    let format = schema.get("format").and_then(Value::as_str);
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => match (format, allowed) {
            (Some("byte"), _) => json!("y"),
            (Some("date-time"), _) => json!("t"),
            (_, Some(allowed)) => json!({ "e": allowed }),
            _ => json!("s"),
        },
        Some("boolean") => json!("b"),
        Some("integer") if format == Some("int64") => json!("l"),
        Some("integer") => json!("i"),
        Some("number") => json!("n"),
        Some("array") => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            let keys = schema.get("x-kubernetes-list-map-keys");
            let is_map = schema.get("x-kubernetes-list-type") == Some(&json!("map"));
            let keys = keys.filter(|_| is_map).cloned().unwrap_or(json!([]));
            json!({ "v": [slim(items, allowed, wanted), keys] })
        }
        Some("object") => match schema.get("additionalProperties") {
            Some(values) => json!({ "m": slim(values, allowed, wanted) }),
            None => json!("o"),
        },
        _ => json!("a"),
    }
}

/// `Container` of `io.k8s.api.core.v1.Container`: for messages.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn object<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>> {
    value
        .get(key)
        .and_then(Value::as_object)
        .with_context(|| format!("the OpenAPI has no `{key}`"))
}

fn text(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
