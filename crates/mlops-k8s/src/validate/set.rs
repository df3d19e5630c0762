//! The objects of a set: what each of them is, and how to find one by its name.

use std::collections::HashMap;

use mlops_core::platform::tree::Node;

use super::documents::Document;
use super::finds::{Look as _, quoted};
use super::schema::{BuiltIn, Schemas};

/// What the kind of an object is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning<'a> {
    /// Kubernetes has it, in some version.
    BuiltIn(&'static BuiltIn),
    /// A definition of this set has it: the `spec` of that, and the entry of the version.
    Custom { spec: &'a Node, version: &'a Node },
    /// A definition of this set has it, and not in this version.
    OtherVersion { spec: &'a Node },
    /// Nothing of this set has it, and by its group it can be a custom resource.
    Foreign,
    /// Nothing has it.
    Unknown,
}

/// An object with its identity as far as it has one.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) input: Option<usize>,
    pub(super) node: &'a Node,
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    /// The namespace that it is in; `None` for objects of the cluster.
    pub(super) namespace: Option<&'a str>,
    pub(super) meaning: Meaning<'a>,
}

impl<'a> Object<'a> {
    /// Whether it is of a kind of Kubernetes itself.
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// `Service demo/web`, for people.
    pub(super) fn title(&self) -> String {
        let shown = |text: &str| quoted(text).trim_matches('`').to_owned();
        let mut title = shown(self.kind);
        if title.is_empty() {
            "object".clone_into(&mut title);
        }
        match (self.namespace, self.name) {
            (_, "") => title,
            (Some(namespace), name) => format!("{title} {}/{}", shown(namespace), shown(name)),
            (None, name) => format!("{title} {}", shown(name)),
        }
    }

    /// The template of the pods that it makes, or the pod itself: with `metadata` and `spec`.
    pub(super) fn pod(&self) -> Option<&'a Node> {
        match (self.group, self.kind) {
            ("", "Pod") => Some(self.node),
            ("", "ReplicationController")
            | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job") => self.node.at(&["spec", "template"]),
            ("batch", "CronJob") => self.node.at(&["spec", "jobTemplate", "spec", "template"]),
            ("", "PodTemplate") => self.node.get("template"),
            _ => None,
        }
    }
}

/// All objects of the set.
#[derive(Debug)]
pub(super) struct Set<'a> {
    pub(super) objects: Vec<Object<'a>>,
    /// By group, kind and name, the numbers of the objects, of any namespace.
    index: HashMap<(&'a str, &'a str, &'a str), Vec<usize>>,
}

impl<'a> Set<'a> {
    pub(super) fn new(documents: &'a [Document], namespace: &'a str) -> Self {
        let definitions: Vec<&Node> = documents
            .iter()
            .map(|document| &document.node)
            .filter(|node| node.text_of("kind") == Some("CustomResourceDefinition"))
            .filter_map(|node| node.get("spec"))
            .collect();
        let objects: Vec<Object<'a>> = documents
            .iter()
            .map(|document| object(document, &definitions, namespace))
            .collect();
        let mut index: HashMap<_, Vec<usize>> = HashMap::with_capacity(objects.len());
        for (number, object) in objects.iter().enumerate() {
            let key = (object.group, object.kind, object.name);
            index.entry(key).or_default().push(number);
        }
        Self { objects, index }
    }

    /// All of one name, in any namespace.
    pub(super) fn named<'s>(
        &'s self,
        group: &'s str,
        kind: &'s str,
        name: &'s str,
    ) -> impl Iterator<Item = (usize, &'s Object<'a>)> {
        let numbers = self.index.get(&(group, kind, name));
        numbers
            .into_iter()
            .flatten()
            .filter_map(|number| Some((*number, self.objects.get(*number)?)))
    }

    /// The first of one name in a namespace, or in none.
    pub(super) fn find<'s>(
        &'s self,
        group: &'s str,
        kind: &'s str,
        namespace: Option<&str>,
        name: &'s str,
    ) -> Option<&'s Object<'a>> {
        self.named(group, kind, name)
            .map(|(_, object)| object)
            .find(|object| object.namespace == namespace)
    }
}

fn object<'a>(
    document: &'a Document,
    definitions: &[&'a Node],
    default_namespace: &'a str,
) -> Object<'a> {
    let node = &document.node;
    let api_version = node.text_of("apiVersion").unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = node.text_of("kind").unwrap_or_default();
    let meaning = meaning(group, version, kind, definitions);
    let given = node.at(&["metadata", "namespace"]).and_then(Node::text);
    let is_namespaced = match meaning {
        Meaning::BuiltIn(known) => known.is_namespaced,
        Meaning::Custom { spec, .. } | Meaning::OtherVersion { spec } => {
            spec.text_of("scope") == Some("Namespaced")
        }
        Meaning::Foreign | Meaning::Unknown => given.is_some(),
    };
    Object {
        input: document.input,
        node,
        group,
        version,
        kind,
        name: node
            .at(&["metadata", "name"])
            .and_then(Node::text)
            .unwrap_or_default(),
        namespace: is_namespaced.then(|| given.unwrap_or(default_namespace)),
        meaning,
    }
}

fn meaning<'a>(group: &str, version: &str, kind: &str, definitions: &[&'a Node]) -> Meaning<'a> {
    if let Some(known) = Schemas::get().find(group, version, kind) {
        return Meaning::BuiltIn(known);
    }
    let defining = definitions.iter().find(|spec| {
        spec.text_of("group") == Some(group)
            && spec.at(&["names", "kind"]).and_then(|kind| kind.text()) == Some(kind)
    });
    if let Some(spec) = defining {
        let entry = spec
            .list("versions")
            .iter()
            .find(|entry| entry.text_of("name") == Some(version));
        return match entry {
            Some(version) => Meaning::Custom { spec, version },
            None => Meaning::OtherVersion { spec },
        };
    }
    if group.contains('.') && !Schemas::get().has_group(group) {
        return Meaning::Foreign;
    }
    Meaning::Unknown
}
