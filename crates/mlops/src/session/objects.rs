//! What is wrong with the objects of a graph, before any of them is sent.

use mlops_core::kubernetes::{OBJECT, ObjectSpec, SECRET};
use mlops_core::{Error, ErrorKind, Graph, Resource, Result};
use mlops_k8s::validate::{Presence, Problem, Reference, Validator, Version};
use serde_json::Value;

/// Checks every object against the published schemas of Kubernetes, the rules that no schema has, and the other objects.
/// Secrets whose text is made later are taken to be there.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] with all that is wrong for sure: component, object, field.
pub(super) fn check(graph: &Graph, namespace: &str) -> Result<()> {
    let of_kind = |kind: &'static str| {
        graph
            .ordered()
            .filter(move |resource| resource.id.kind().as_str() == kind)
    };
    let mut components = Vec::new();
    let mut values = Vec::new();
    for resource in of_kind(OBJECT) {
        components.push(resource);
        values.push(resource.typed::<ObjectSpec>()?.object);
    }
    let is_ours = |name: &str| of_kind(SECRET).any(|secret| secret.id.name() == name);
    let presence = |reference: &Reference| match reference {
        Reference::Object { kind, name, .. } | Reference::Key { kind, name, .. }
            if kind == "Secret" && is_ours(name) =>
        {
            Presence::Here
        }
        _ => Presence::Unknown,
    };
    let validator = Validator::new(Version::LATEST).with_namespace(namespace);
    let problems = validator.check_values(&values, presence);
    let wrong: Vec<String> = problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| told(problem, &components, &values))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let doing = format!("check the objects of platform `{}`", graph.platform);
    Err(Error::new(ErrorKind::InvalidInput, doing)
        .with_source(wrong.join("\n\n"))
        .with_hint("mend the objects of the component in the catalogue that the platform uses"))
}

/// A problem with the component whose object it is about.
fn told(problem: &Problem, resources: &[&Resource], values: &[Value]) -> String {
    let mut all = resources.iter().zip(values);
    let found = all.find(|(_, value)| is_about(problem, value));
    match found {
        Some((resource, _)) => format!("component `{}`: {problem}", resource.component),
        None => problem.to_string(),
    }
}

/// Whether a problem is about an object: it names it as `KIND NAMESPACE/NAME` or `KIND NAME`.
fn is_about(problem: &Problem, value: &Value) -> bool {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    let Some((kind, name)) = problem.object.split_once(' ') else {
        return false;
    };
    let name = name.split_once('/').map_or(name, |(_, name)| name);
    text("/kind") == Some(kind) && text("/metadata/name") == Some(name)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mlops_catalog::{Catalog, load};
    use serde_json::json;

    use super::*;

    const TEXT: &str =
        "name: demo\ntarget: cluster\nmodels:\n  - { name: iris, uri: models:/iris@champion }\n";

    fn graph() -> Graph {
        load("platform.yaml", TEXT, &Catalog::embedded()).unwrap().1
    }

    /// The same graph with the object of a resource changed.
    fn with_change(name: &str, pointer: &str, field: &str, value: &Value) -> Graph {
        let graph = graph();
        let resources = graph.resources().map(|resource| {
            let mut resource = resource.clone();
            if resource.id.name() == name {
                let object = resource.spec.get_mut("object").unwrap();
                object.pointer_mut(pointer).unwrap()[field] = value.clone();
            }
            resource
        });
        Graph::new(graph.platform.clone(), resources.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_catalogue_is_right_and_checked_in_no_time() {
        let graph = graph();
        check(&graph, "demo").unwrap();
        // The schemas are read once; from then on a check is all there is.
        let started = Instant::now();
        check(&graph, "demo").unwrap();
        println!("{} resources: {:?}", graph.len(), started.elapsed());
        // Without optimisation, on a busy machine.
        assert!(started.elapsed() < Duration::from_millis(500));
    }

    #[test]
    fn what_is_wrong_is_told_with_component_and_field() {
        let graph = with_change("deployment.mlflow", "/spec", "replica", &json!(2));
        let error = check(&graph, "demo").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let causes = error.causes().join("\n");
        for part in [
            "component `mlflow`: error: unknown field `replica`",
            "Deployment demo/mlflow, spec.replica",
            "did you mean `replicas`?",
        ] {
            assert!(causes.contains(part), "{part}: {causes}");
        }
        let port = "/spec/ports/0";
        let graph = with_change("service.mlflow", port, "targetPort", &json!("nowhere"));
        let causes = check(&graph, "demo").unwrap_err().causes().join("\n");
        assert!(
            causes.contains("component `mlflow`") && causes.contains("nowhere"),
            "{causes}"
        );
    }
}
