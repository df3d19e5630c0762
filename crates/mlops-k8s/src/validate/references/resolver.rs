//! Looks for what is referred to: in the set, among what every cluster has, and then where the caller looks.

use std::collections::{HashMap, HashSet};

use mlops_core::platform::tree::{Key, Node};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::problem::Severity;
use super::super::set::{Meaning, Object, Set};
use super::{Presence, Reference};

/// Pods that an object of the set makes, or one that it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pods<'a> {
    pub(super) namespace: &'a str,
    pub(super) labels: &'a [(Key, Node)],
    pub(super) spec: &'a Node,
}

/// Answers whether things are there.
pub(in crate::validate) struct Resolver<'r, 'a> {
    pub(super) set: &'r Set<'a>,
    pub(super) pods: Vec<Pods<'a>>,
    /// Secrets that custom resources of the set speak of, by namespace and name.
    made_secrets: HashSet<(&'a str, &'a str)>,
    elsewhere: &'r dyn Fn(&Reference) -> Presence,
    answers: HashMap<Reference, Presence>,
    told: HashSet<Reference>,
}

impl<'r, 'a> Resolver<'r, 'a> {
    pub(in crate::validate) fn new(
        set: &'r Set<'a>,
        elsewhere: &'r dyn Fn(&Reference) -> Presence,
    ) -> Self {
        let pods = set
            .objects
            .iter()
            .filter_map(|object| {
                let pod = object.pod()?;
                Some(Pods {
                    namespace: object.namespace?,
                    labels: pod
                        .at(&["metadata", "labels"])
                        .map(Node::entries)
                        .unwrap_or_default(),
                    spec: pod.get("spec")?,
                })
            })
            .collect();
        let made_secrets = set.objects.iter().flat_map(made_secrets).collect();
        Self {
            set,
            pods,
            made_secrets,
            elsewhere,
            answers: HashMap::new(),
            told: HashSet::new(),
        }
    }

    pub(super) fn reference(
        &self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Reference {
        Reference::Object {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// Whether this is asked for the first time, for what is told once and not at every object.
    pub(super) fn is_first(&mut self, reference: &Reference) -> bool {
        self.told.insert(reference.clone())
    }

    /// Looks for an object, and says when it is missing.
    pub(super) fn need_object(
        &mut self,
        reference: Reference,
        spot: &'a Node,
        finds: &mut Finds<'a>,
    ) {
        let Reference::Object {
            group,
            kind,
            namespace,
            name,
        } = &reference
        else {
            return;
        };
        let is_in_set = self
            .set
            .find(group, kind, namespace.as_deref(), name)
            .is_some();
        if is_in_set || is_everywhere(kind, namespace.as_deref(), name) || self.is_made(&reference)
        {
            return;
        }
        let near: Vec<&'a str> = self
            .set
            .objects
            .iter()
            .filter(|other| other.is(group, kind) && other.namespace == namespace.as_deref())
            .map(|other| other.name)
            .collect();
        self.need(reference, spot, &near, finds);
    }

    /// Asks for what is not in the set, and says when it is missing; `near` are names that may be meant.
    pub(super) fn need(
        &mut self,
        reference: Reference,
        spot: &'a Node,
        near: &[&str],
        finds: &mut Finds<'a>,
    ) {
        let presence = self.ask(&reference);
        let (severity, message, hint) = match presence {
            Presence::Here => return,
            Presence::Absent => (
                Severity::Error,
                format!("{reference} is neither in this set nor in the cluster"),
                "add it to the set",
            ),
            Presence::Unknown => (
                Severity::Warning,
                format!("{reference} is not in this set"),
                "add it to the set, or see that it is in the cluster",
            ),
        };
        let given = match &reference {
            Reference::Object { name, .. } => name,
            Reference::Key { key, .. } => key,
            Reference::Port { port, .. } => port,
            Reference::Pods { .. } | Reference::Kind { .. } => "",
        };
        let find = finds.add(spot.into(), severity, message);
        match mlops_core::nearest(given, near.iter().copied()) {
            Some(near) => find.hint(format!("did you mean {}?", quoted(near))),
            None => find.hint(hint),
        }
    }

    /// Whether the caller has it; asked once.
    fn ask(&mut self, reference: &Reference) -> Presence {
        if let Some(presence) = self.answers.get(reference) {
            return *presence;
        }
        let presence = (self.elsewhere)(reference);
        self.answers.insert(reference.clone(), presence);
        presence
    }

    /// Whether the caller is sure to have it.
    pub(super) fn is_elsewhere(&mut self, reference: &Reference) -> bool {
        self.ask(reference) == Presence::Here
    }

    /// Whether something of the set makes the object.
    fn is_made(&self, reference: &Reference) -> bool {
        let Reference::Object {
            kind,
            namespace: Some(namespace),
            name,
            ..
        } = reference
        else {
            return false;
        };
        match kind.as_str() {
            "Secret" => self
                .made_secrets
                .contains(&(namespace.as_str(), name.as_str())),
            "PersistentVolumeClaim" => self.set.objects.iter().any(|object| {
                object.is("apps", "StatefulSet")
                    && object.namespace == Some(namespace)
                    && is_claim_of(object, name)
            }),
            _ => false,
        }
    }
}

/// Whether a name is `TEMPLATE-SET-NUMBER` of a `StatefulSet`.
fn is_claim_of(object: &Object<'_>, name: &str) -> bool {
    let claims = object.node.at(&["spec", "volumeClaimTemplates"]);
    claims
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .any(|claim| {
            let template = claim.at(&["metadata", "name"]).and_then(Node::text);
            let number = template
                .and_then(|template| name.strip_prefix(template))
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|rest| rest.strip_prefix(object.name))
                .and_then(|rest| rest.strip_prefix('-'));
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        })
}

/// Secrets that an object speaks of as its result: a certificate of cert-manager (also by an annotation of an ingress),
/// an external or a sealed secret.
fn made_secrets<'a>(object: &Object<'a>) -> Vec<(&'a str, &'a str)> {
    let Some(namespace) = object.namespace else {
        return Vec::new();
    };
    let node = object.node;
    let mut names: Vec<&'a str> = Vec::new();
    if object.is("networking.k8s.io", "Ingress") {
        let annotations = node.at(&["metadata", "annotations"]);
        let is_issued = ["issuer", "cluster-issuer"].iter().any(|key| {
            let key = format!("cert-manager.io/{key}");
            annotations.is_some_and(|annotations| annotations.get(&key).is_some())
        });
        if is_issued {
            let tls = node
                .at(&["spec", "tls"])
                .map(Node::items)
                .unwrap_or_default();
            names.extend(tls.iter().filter_map(|tls| tls.text_of("secretName")));
        }
    } else if !matches!(object.meaning, Meaning::BuiltIn(_)) {
        names.extend(node.at(&["spec", "secretName"]).and_then(Node::text));
        names.extend(node.at(&["spec", "target", "name"]).and_then(Node::text));
        if matches!(object.kind, "SealedSecret" | "ExternalSecret") {
            names.push(object.name);
        }
    }
    names.into_iter().map(|name| (namespace, name)).collect()
}

/// What every cluster has, or every namespace.
fn is_everywhere(kind: &str, namespace: Option<&str>, name: &str) -> bool {
    match kind {
        "Namespace" => ["default", "kube-system", "kube-public", "kube-node-lease"].contains(&name),
        "ServiceAccount" => name == "default",
        "ConfigMap" => name == "kube-root-ca.crt",
        "Service" => namespace == Some("default") && name == "kubernetes",
        "PriorityClass" => name.starts_with("system-"),
        "ClusterRole" => {
            name.starts_with("system:")
                || ["cluster-admin", "admin", "edit", "view"].contains(&name)
        }
        _ => false,
    }
}
