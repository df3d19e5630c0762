//! What objects say about one another.

mod control;
mod data;
mod resolver;
mod traffic;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::Visit;
use super::finds::{Finds, quoted};
use super::forms::names::is_label;
use super::set::{Meaning, Object};
pub(super) use resolver::Resolver;

/// Something that an object needs, and that is not in its set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Reference {
    /// An object.
    Object {
        /// Its group; empty for the first one of Kubernetes.
        group: String,
        /// Its kind.
        kind: String,
        /// Its namespace; `None` for objects of the cluster.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// A key of a `Secret` or `ConfigMap`.
    Key {
        /// `Secret` or `ConfigMap`.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A port of a `Service`.
    Port {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The port's name or number.
        port: String,
    },
    /// Any pod.
    Pods {
        /// Its namespace.
        namespace: String,
        /// The labels, as `kubectl get --selector` takes them.
        selector: String,
    },
    /// A custom kind.
    Kind {
        /// Its group.
        group: String,
        /// Its version.
        version: String,
        /// The kind.
        kind: String,
    },
}

impl fmt::Display for Reference {
    /// Such as ``Secret `demo/database` ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |namespace: &str, name: &str| quoted(&format!("{namespace}/{name}"));
        match self {
            Self::Object {
                kind,
                namespace,
                name,
                ..
            } => {
                // A kind comes from a file as well.
                let kind = quoted(kind);
                let kind = kind.trim_matches('`');
                match namespace {
                    Some(namespace) => write!(f, "{kind} {}", at(namespace, name)),
                    None => write!(f, "{kind} {}", quoted(name)),
                }
            }
            Self::Key {
                kind,
                namespace,
                name,
                key,
            } => write!(f, "key {} of {kind} {}", quoted(key), at(namespace, name)),
            Self::Port {
                namespace,
                name,
                port,
            } => write!(
                f,
                "port {} of Service {}",
                quoted(port),
                at(namespace, name)
            ),
            Self::Pods {
                namespace,
                selector,
            } => write!(f, "pod with {} in {}", quoted(selector), quoted(namespace)),
            Self::Kind {
                group,
                version,
                kind,
            } => write!(
                f,
                "definition of {}",
                quoted(&format!("{kind}.{version}.{group}"))
            ),
        }
    }
}

/// Whether something is where the objects go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is there.
    Here,
    /// It was looked for, and is not there.
    Absent,
    /// Nobody has looked, or could not ask.
    Unknown,
}

/// Checks everything that an object refers to.
pub(super) fn check<'a>(
    resolver: &mut Resolver<'_, 'a>,
    object: &Object<'a>,
    visits: &[Visit<'a>],
    finds: &mut Finds<'a>,
) {
    whereabouts(resolver, object, finds);
    for visit in visits {
        data::check(resolver, object, visit, finds);
        control::check(resolver, object, visit, finds);
        traffic::visit(resolver, object, visit, finds);
    }
    control::object(resolver, object, finds);
    traffic::check(resolver, object, finds);
}

/// The namespace of an object and the definition of its kind; each is told once.
fn whereabouts<'a>(resolver: &mut Resolver<'_, 'a>, object: &Object<'a>, finds: &mut Finds<'a>) {
    use super::finds::Look as _;
    let node = object.node;
    if matches!(object.meaning, Meaning::Foreign) {
        let reference = Reference::Kind {
            group: object.group.to_owned(),
            version: object.version.to_owned(),
            kind: object.kind.to_owned(),
        };
        let spot = node.get("kind").unwrap_or(node);
        if resolver.is_first(&reference) {
            resolver.need(reference, spot, &[], finds);
        }
    }
    if let Some(namespace) = object.namespace
        && is_label(namespace)
    {
        let reference = resolver.reference("", "Namespace", None, namespace);
        let spot = node
            .at(&["metadata", "namespace"])
            .or_else(|| node.at(&["metadata", "name"]))
            .unwrap_or(node);
        if resolver.is_first(&reference) {
            resolver.need_object(reference, spot, finds);
        }
    }
}
