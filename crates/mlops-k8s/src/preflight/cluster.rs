//! Version, namespaces, ingress class, DNS and cert-manager.

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use serde_json::json;

use super::rights::{Right, may};
use super::{Check, State};
use crate::explain::failure::is_status;
use crate::explain::{ObjectRef, explain_refusal};

pub(super) async fn version(client: &Client, lowest: (u32, u32), highest: (u32, u32)) -> Check {
    let name = "server version";
    let info = match client.apiserver_version().await {
        Ok(info) => info,
        Err(error) => return Check::unknown(name, &error),
    };
    judge_version(&info.major, &info.minor, &info.git_version, lowest, highest)
}

fn judge_version(
    major: &str,
    minor: &str,
    full: &str,
    lowest: (u32, u32),
    highest: (u32, u32),
) -> Check {
    let name = "server version";
    // Some providers write `35+`.
    let number = |text: &str| {
        text.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<u32>()
    };
    let (Ok(major), Ok(minor)) = (number(major), number(minor)) else {
        return Check::new(
            name,
            State::Unknown,
            format!("the server calls its version {full}"),
        );
    };
    let range = format!("{}.{} to {}.{}", lowest.0, lowest.1, highest.0, highest.1);
    if (lowest..=highest).contains(&(major, minor)) {
        return Check::passed(name, format!("{full} is within {range}"));
    }
    let remedy = if (major, minor) < lowest {
        "upgrade the cluster"
    } else {
        "take a newer version of this tool"
    };
    Check::failed(name, format!("{full} is not within {range}"), remedy)
}

pub(super) async fn namespace(client: &Client, namespace: &str) -> Check {
    let name = format!("namespace {namespace}");
    let found = Api::<Namespace>::all(client.clone())
        .get_opt(namespace)
        .await;
    match found {
        Ok(Some(found)) if found.metadata.deletion_timestamp.is_some() => Check::failed(
            name,
            "it is being removed",
            "wait until it is gone; if it does not go, ask what holds it",
        ),
        Ok(Some(_)) => Check::passed(name, "it is there"),
        Ok(None) => match may(client, &Right::new("create", "", "namespaces")).await {
            Ok((true, _)) => Check::passed(name, "it is not there and can be created"),
            Ok((false, _)) => Check::failed(
                name,
                "it is not there, and we may not create it",
                "have it created, or bind a role that may create namespaces",
            ),
            Err(error) => Check::unknown(name, &error),
        },
        Err(error) => Check::unknown(name, &error),
    }
}

pub(super) async fn ingress_class(client: &Client, wanted: Option<&str>) -> Check {
    let name = match wanted {
        Some(wanted) => format!("ingress class {wanted}"),
        None => "default ingress class".to_owned(),
    };
    let listed = Api::<IngressClass>::all(client.clone())
        .list(&ListParams::default())
        .await;
    let classes = match listed {
        Ok(classes) => classes.items,
        Err(error) => return Check::unknown(name, &error),
    };
    let is_it = |class: &&IngressClass| match wanted {
        Some(wanted) => class.metadata.name.as_deref() == Some(wanted),
        None => is_default(
            class.metadata.annotations.as_ref(),
            "ingressclass.kubernetes.io/is-default-class",
        ),
    };
    if let Some(class) = classes.iter().find(is_it) {
        let controller = class
            .spec
            .as_ref()
            .and_then(|spec| spec.controller.as_deref())
            .unwrap_or("nobody");
        let found = class.metadata.name.as_deref().unwrap_or_default();
        return Check::passed(name, format!("{found}, served by {controller}"));
    }
    let names: Vec<&str> = classes
        .iter()
        .filter_map(|class| class.metadata.name.as_deref())
        .collect();
    let there = if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    Check::failed(
        name,
        there,
        "install an ingress controller, or name one of the classes that there are",
    )
}

pub(super) fn is_default(
    annotations: Option<&std::collections::BTreeMap<String, String>>,
    key: &str,
) -> bool {
    annotations
        .and_then(|all| all.get(key))
        .is_some_and(|value| value == "true")
}

/// Without a pod: the Service that all clusters' DNS add-ons keep must have an endpoint that is ready.
pub(super) async fn dns(client: &Client) -> Check {
    let name = "cluster DNS";
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    let listed = services
        .list(&ListParams::default().labels("k8s-app=kube-dns"))
        .await;
    let services = match listed {
        Ok(services) => services.items,
        Err(error) => return Check::unknown(name, &error),
    };
    let Some(service) = services
        .first()
        .and_then(|service| service.metadata.name.clone())
    else {
        return Check::failed(
            name,
            "namespace kube-system has no Service labelled k8s-app=kube-dns",
            "install CoreDNS or what the cluster's provider offers for DNS",
        );
    };
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "kube-system");
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    match slices.list(&of_service).await {
        Ok(slices) => {
            let endpoints = slices
                .items
                .iter()
                .flat_map(|slice| slice.endpoints.iter().flatten());
            let ready = endpoints
                .filter(|one| {
                    one.conditions
                        .as_ref()
                        .is_none_or(|c| c.ready != Some(false))
                })
                .count();
            if ready > 0 {
                return Check::passed(name, format!("Service {service} has {ready} endpoints"));
            }
            Check::failed(
                name,
                format!("Service {service} has no endpoint that is ready"),
                "look why its pods are not ready",
            )
        }
        Err(error) => Check::unknown(name, &error),
    }
}

/// Served, and its webhook answers.
pub(super) async fn cert_manager(client: &Client, namespace: &str) -> Check {
    let name = "cert-manager";
    match client.list_api_group_resources("cert-manager.io/v1").await {
        Ok(_) => {}
        Err(error) if is_status(&error, 404) => {
            return Check::failed(
                name,
                "cert-manager.io/v1 is not served",
                "install cert-manager",
            );
        }
        Err(error) => return Check::unknown(name, &error),
    }
    let resource = ApiResource {
        group: "cert-manager.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "cert-manager.io/v1".to_owned(),
        kind: "Issuer".to_owned(),
        plural: "issuers".to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let mut issuer = DynamicObject::new("mlops-preflight", &resource);
    issuer.data = json!({ "spec": { "selfSigned": {} } });
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&dry_run, &issuer).await {
        Ok(_) => Check::passed(name, "it is served, and takes an Issuer"),
        Err(error) if is_status(&error, 409) => {
            Check::passed(name, "it is served, and has an Issuer of ours")
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Check::new(
            name,
            State::Skipped,
            format!("it is served; namespace {namespace} is not there yet for a try"),
        ),
        Err(error) => refused(
            name,
            &error,
            &ObjectRef::new(
                "cert-manager.io/v1",
                "Issuer",
                Some(namespace),
                "mlops-preflight",
            ),
        ),
    }
}

/// A dry run that the server did not take: a reason that a rule knows is an answer, but a right that we lack is none.
pub(super) fn refused(name: &str, error: &kube::Error, subject: &ObjectRef) -> Check {
    let cause = match error {
        kube::Error::Api(status) => explain_refusal(subject, &status.message),
        _ => None,
    };
    match cause.filter(|cause| cause.code != crate::explain::CauseCode::Forbidden) {
        Some(cause) => Check::failed(
            name,
            format!("{}: {}", cause.code, cause.message),
            cause.remedy,
        ),
        None => Check::unknown(name, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_within_and_without() {
        let judged = |major, minor| judge_version(major, minor, "v", (1, 33), (1, 35)).state;
        assert_eq!(judged("1", "33"), State::Passed);
        assert_eq!(judged("1", "35+"), State::Passed);
        assert_eq!(judged("1", "36"), State::Failed);
        assert_eq!(judged("1", "9"), State::Failed);
        assert_eq!(judged("2", "34"), State::Failed);
        assert_eq!(judged("", ""), State::Unknown);
    }
}
