//! Membership: the parent object of an `ApplySet`
//! (<https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune>).
//!
//! The parent, a `ConfigMap`, says which kinds and namespaces may have members; each member has a label with the set's
//! id. Before members are written, the parent says old and new kinds; after what is wanted no more is gone, just the
//! new ones. So members are found again whenever the work is interrupted, and `kubectl apply --prune --applyset=` finds
//! the same ones.

use std::collections::BTreeSet;

use base64::Engine as _;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::printable;
use crate::http::{Call, FIRST_PATIENCE, find};
use crate::objects::{GroupKind, Wanted};

/// The label of members, with the id of their set.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// The longest name of an object.
const LONGEST_NAME: usize = 253;

const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
/// What comes before the version there, whichever that is.
const OUR_NAME: &str = "mlops";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// Which set: the `ConfigMap` of this name is its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetName {
    name: String,
    namespace: String,
}

impl SetName {
    /// The set whose parent is the `ConfigMap` `name` in `namespace`.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
        }
    }

    /// The id that members carry in the label `applyset.kubernetes.io/part-of`.
    pub fn id(&self) -> String {
        let text = format!("{}.{}.ConfigMap.", self.name, self.namespace);
        let hash = Sha256::digest(text.as_bytes());
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
        format!("applyset-{text}-v1")
    }

    /// The name of the parent.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace of the parent.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the Lease, in the namespace of the parent, under which the set is changed.
    ///
    /// ```
    /// let set = mlops_k8s::SetName::new("demo", "models");
    /// assert_eq!(set.lease(), "mlops-set-demo");
    /// ```
    pub fn lease(&self) -> String {
        let name = format!("mlops-set-{}", self.name);
        if name.len() <= LONGEST_NAME {
            return name;
        }
        let hash = Sha256::digest(self.name.as_bytes());
        let hash = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
        format!("mlops-set-{}", hash.collect::<String>())
    }

    pub(crate) fn path(&self) -> String {
        format!(
            "/api/v1/namespaces/{}/configmaps/{}",
            self.namespace, self.name
        )
    }

    fn describe(&self) -> String {
        format!("the set `{}` in `{}`", self.name, self.namespace)
    }

    /// Looks for the parent.
    pub(crate) async fn find(&self, client: &kube::Client) -> Result<Option<Parent>> {
        let doing = || format!("look for {}", self.describe());
        let Some(json) = find(
            client,
            &Call::get(self.path()).within(FIRST_PATIENCE),
            &doing,
        )
        .await?
        else {
            return Ok(None);
        };
        let label = json
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(ID));
        if label.and_then(Value::as_str) != Some(self.id().as_str()) {
            let cause =
                "a ConfigMap of this name is there, and it is the parent of no set of objects";
            return Err(Error::new(ErrorKind::Conflict, doing())
                .with_source(cause)
                .with_hint("choose another name for the set, or another namespace"));
        }
        let text = |key: &str| {
            let found = json
                .pointer("/metadata/annotations")
                .and_then(|all| all.get(key));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let tooling = text(TOOLING);
        let tool = tooling.split('/').next().unwrap_or_default();
        if !tool.is_empty() && tool != OUR_NAME {
            let cause = format!(
                "the set is managed by `{}`, and two tools would undo what the other does",
                printable(&tooling)
            );
            return Err(Error::new(ErrorKind::Conflict, doing())
                .with_source(cause)
                .with_hint("use that tool, or choose another name for the set"));
        }
        let parts = |text: &str| -> Vec<String> {
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut namespaces: BTreeSet<String> = parts(&text(NAMESPACES)).into_iter().collect();
        namespaces.insert(self.namespace.clone());
        Ok(Some(Parent {
            group_kinds: parts(&text(KINDS))
                .iter()
                .flat_map(|part| part.parse())
                .collect(),
            namespaces,
        }))
    }

    /// The request that writes the parent.
    pub(crate) fn write(&self, parent: &Parent) -> Call {
        let kinds: Vec<String> = parent.group_kinds.iter().map(ToString::to_string).collect();
        let others: Vec<&str> = parent
            .namespaces
            .iter()
            .filter(|namespace| **namespace != self.namespace)
            .map(String::as_str)
            .collect();
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": self.name, "namespace": self.namespace,
                "labels": {ID: self.id()},
                "annotations": {
                    TOOLING: concat!("mlops/v", env!("CARGO_PKG_VERSION")),
                    KINDS: kinds.join(","),
                    NAMESPACES: others.join(","),
                },
            },
        });
        let body = body.to_string().into_bytes();
        Call::apply(&self.path(), crate::compare::FIELD_MANAGER, true, body)
    }
}

/// What the parent of a set says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parent {
    /// Kinds that may have members.
    pub(crate) group_kinds: BTreeSet<GroupKind>,
    /// Namespaces that may have members, the parent's own included.
    pub(crate) namespaces: BTreeSet<String>,
}

impl Parent {
    /// What the parent of these objects says.
    pub(crate) fn of<'a>(name: &SetName, members: impl Iterator<Item = &'a Wanted>) -> Self {
        let mut parent = Self::default();
        parent.namespaces.insert(name.namespace.clone());
        for member in members {
            parent.group_kinds.insert(member.id.group_kind());
            parent.namespaces.extend(member.id.namespace.clone());
        }
        parent
    }

    /// Both together.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            group_kinds: self
                .group_kinds
                .union(&other.group_kinds)
                .cloned()
                .collect(),
            namespaces: self.namespaces.union(&other.namespaces).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids that kubectl gives: `echo -n 'demo.models.ConfigMap.' | sha256sum | xxd -r -p | basenc --base64url`.
    #[test]
    fn the_id_is_that_of_kubectl() {
        let id = SetName::new("demo", "models").id();
        assert!(id.starts_with("applyset-") && id.ends_with("-v1"));
        assert_eq!(id.len(), "applyset-".len() + 43 + "-v1".len());
        assert_eq!(
            id,
            "applyset-ItZvDnlJtpDRZVgLYn3v0YNGgPFY86s8llUS31L5YmE-v1"
        );
    }
}
