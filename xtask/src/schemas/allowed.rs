//! The allowed values of fields, read from the Go sources of the types.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// By definition and field, what may be there.
#[derive(Debug, Default)]
pub(super) struct Allowed(BTreeMap<(String, String), BTreeSet<String>>);

/// Closed lists of values that the sources name, and do not mark. The API server refuses others:
/// `pkg/apis/autoscaling/validation/validation.go` in `k8s.io/kubernetes`, and
/// `pkg/apis/apiextensions/validation/validation.go` in `k8s.io/apiextensions-apiserver`.
const UNMARKED: [(&str, &str, &[&str]); 6] = [
    (
        "api.autoscaling.v2.MetricSpec",
        "type",
        &[
            "ContainerResource",
            "External",
            "Object",
            "Pods",
            "Resource",
        ],
    ),
    (
        "api.autoscaling.v2.MetricTarget",
        "type",
        &["AverageValue", "Utilization", "Value"],
    ),
    (
        "api.autoscaling.v2.HPAScalingPolicy",
        "type",
        &["Percent", "Pods"],
    ),
    (
        "api.autoscaling.v2.HPAScalingRules",
        "selectPolicy",
        &["Disabled", "Max", "Min"],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec",
        "scope",
        &["Cluster", "Namespaced"],
    ),
    (
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceConversion",
        "strategy",
        &["None", "Webhook"],
    ),
];

/// What one package says: the values of its types marked `+enum`, and the types of the fields of its structs.
#[derive(Debug, Default)]
struct Package {
    values: BTreeMap<String, BTreeSet<String>>,
    marked: BTreeSet<String>,
    /// Struct, name of the field in JSON, type.
    fields: Vec<(String, String, String)>,
}

impl Allowed {
    /// Reads `GROUP/VERSION/types*.go` below a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut packages: BTreeMap<String, Package> = BTreeMap::new();
        for group in subfolders(folder)? {
            for version in subfolders(&folder.join(&group))? {
                let here = folder.join(&group).join(&version);
                let mut package = Package::default();
                for file in fs::read_dir(&here)? {
                    let path = file?.path();
                    let name = path.file_name().and_then(|name| name.to_str());
                    if name.is_some_and(|name| name.starts_with("types") && name.ends_with(".go")) {
                        let text = fs::read_to_string(&path)
                            .with_context(|| format!("failed to read {}", path.display()))?;
                        package.add(&text);
                    }
                }
                packages.insert(format!("{group}.{version}"), package);
            }
        }
        let core = packages.get("core.v1");
        let mut allowed = Self::default();
        for (name, package) in &packages {
            for (object, field, kind) in &package.fields {
                let values = match kind.strip_prefix("v1.").or(kind.strip_prefix("corev1.")) {
                    Some(kind) => core.and_then(|core| core.values_of(kind)),
                    None => package.values_of(kind),
                };
                if let Some(values) = values {
                    let key = (format!("io.k8s.api.{name}.{object}"), field.clone());
                    allowed.0.insert(key, values.clone());
                }
            }
        }
        for (definition, field, values) in UNMARKED {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let key = (format!("io.k8s.{definition}"), (*field).to_owned());
            allowed.0.insert(key, values);
        }
        Ok(allowed)
    }

    /// What a field may hold, when the sources name it.
    pub(super) fn of(&self, definition: &str, field: &str) -> Option<&BTreeSet<String>> {
        self.0.get(&(definition.to_owned(), field.to_owned()))
    }
}

impl Package {
    fn values_of(&self, kind: &str) -> Option<&BTreeSet<String>> {
        if !self.marked.contains(kind) {
            return None;
        }
        self.values.get(kind)
    }

    fn add(&mut self, text: &str) {
        let mut is_marked = false;
        let mut object: Option<String> = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["//", rest @ ..] => is_marked |= rest.first() == Some(&"+enum"),
                ["type", name, "string", ..] => {
                    if is_marked {
                        self.marked.insert((*name).to_owned());
                    }
                    is_marked = false;
                }
                ["type", name, "struct", "{"] => object = Some((*name).to_owned()),
                ["}"] if line == "}" => object = None,
                [_, kind, "=", value, ..] if value.starts_with('"') => {
                    // A value may have blanks in it, such as `digital signature`.
                    if let Some(value) = line.split('"').nth(1) {
                        let values = self.values.entry((*kind).to_owned()).or_default();
                        values.insert(value.to_owned());
                    }
                }
                [_, kind, tag, ..] if tag.starts_with("`json:\"") => {
                    let name = tag.trim_start_matches("`json:\"").split(['"', ',']).next();
                    if let (Some(object), Some(name)) = (&object, name) {
                        let kind = kind.trim_start_matches(['*', '[', ']']);
                        self.fields
                            .push((object.clone(), name.to_owned(), kind.to_owned()));
                    }
                }
                _ => {
                    if !line.trim_start().starts_with("//") {
                        is_marked = false;
                    }
                }
            }
        }
    }
}

fn subfolders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}
