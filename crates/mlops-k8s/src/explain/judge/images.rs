//! Images that cannot be had.

use super::super::codes::CauseCode;
use super::super::facts::text;
use super::readiness::containers;
use super::{Finding, Rule, Scene};

const POD: &[&str] = &["Pod"];

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::ImageNameInvalid, POD, |s| {
        waits(s, "InvalidImageName")
    }),
    Rule::fault(CauseCode::ImageNeverPull, POD, |s| {
        waits(s, "ErrImageNeverPull")
    }),
    Rule::fault(CauseCode::ImagePullFailed, POD, pull_failed),
];

fn waits(scene: &Scene<'_>, reason: &str) -> Option<Finding> {
    let container = containers(scene.object).find(|container| container.waits_for() == reason)?;
    Some(Finding::new(container.waiting_message()).with([container.evidence()]))
}

fn pull_failed(scene: &Scene<'_>) -> Option<Finding> {
    let container = containers(scene.object).find(|container| {
        matches!(
            container.waits_for(),
            "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError"
        )
    })?;
    let image = text(container.status, "/image");
    // The state says it in full since 1.32; before that only "Back-off pulling image", and an event says the rest.
    let event = scene.facts.events_of(scene.object).find(|event| {
        event.reason == "Failed"
            && event.message.contains("Failed to pull image")
            && event.message.contains(image)
    });
    let said = container.waiting_message();
    let message = match event {
        Some(event) if kind_of(said) == CauseCode::ImagePullFailed => event.message.as_str(),
        _ => said,
    };
    let code = kind_of(message);
    let mut told = message_for(code, image, message);
    if let Some(name) = missing_secret(scene, code) {
        told = format!("{told}, and its pull secret {name} is not there");
    }
    let finding = Finding::new(told)
        .with_code(code)
        .with([container.evidence()]);
    Some(
        finding
            .with(event.map(super::super::facts::Event::evidence))
            .with(secrets(scene, code)),
    )
}

fn message_for(code: CauseCode, image: &str, message: &str) -> String {
    match code {
        CauseCode::ImageNotFound => format!("the registry has no image {image}"),
        CauseCode::ImagePullDenied => {
            format!("the registry does not give image {image} to this pod")
        }
        CauseCode::RegistryUnreachable => {
            format!("the registry of image {image} cannot be reached")
        }
        CauseCode::CertificateWrong => {
            format!("the certificate of the registry of image {image} is not trusted")
        }
        _ => message.to_owned(),
    }
}

/// What the runtime's message means: containerd's and CRI-O's words. The most telling comes first.
fn kind_of(message: &str) -> CauseCode {
    const TABLE: &[(CauseCode, &[&str])] = &[
        (
            CauseCode::CertificateWrong,
            &["x509: ", "failed to verify certificate"],
        ),
        (
            CauseCode::RegistryUnreachable,
            &[
                "no such host",
                "connection refused",
                "i/o timeout",
                "network is unreachable",
                "no route to host",
                "Client.Timeout exceeded",
                "TLS handshake timeout",
                "server misbehaving",
                "connection reset",
            ],
        ),
        (
            CauseCode::ImagePullDenied,
            &[
                "401 Unauthorized",
                "403 Forbidden",
                "unauthorized",
                "pull access denied",
                "authorization failed",
                "denied: ",
                "failed to fetch oauth token",
                "failed to authorize",
                "authentication required",
            ],
        ),
        (
            CauseCode::ImageNotFound,
            &[
                "manifest unknown",
                "not found",
                "NotFound",
                "404",
                "name unknown",
            ],
        ),
    ];
    let found = TABLE
        .iter()
        .find(|(_, words)| words.iter().any(|word| message.contains(word)));
    found.map_or(CauseCode::ImagePullFailed, |(code, _)| *code)
}

/// The first pull secret that the pod names and that is not there, where that matters: many registries say of what they
/// do not give to strangers that it is not there.
fn missing_secret<'s>(scene: &'s Scene<'_>, code: CauseCode) -> Option<&'s str> {
    if !matches!(code, CauseCode::ImagePullDenied | CauseCode::ImageNotFound) {
        return None;
    }
    let named = scene.object.list("/spec/imagePullSecrets");
    let mut secrets = named.iter().map(|secret| text(secret, "/name"));
    secrets.find(|name| scene.facts.is_absent("Secret", name))
}

/// Pull secrets that the pod names, or that it names none.
fn secrets(scene: &Scene<'_>, code: CauseCode) -> Option<super::Evidence> {
    let missing = missing_secret(scene, code);
    if code != CauseCode::ImagePullDenied && missing.is_none() {
        return None;
    }
    let named = scene.object.list("/spec/imagePullSecrets");
    Some(match missing {
        Some(name) => super::Evidence::Missing {
            object: scene.object.neighbour("Secret", name),
        },
        None if named.is_empty() => scene.object.field("spec.imagePullSecrets", "not set"),
        None => {
            let all: Vec<&str> = named.iter().map(|secret| text(secret, "/name")).collect();
            scene.object.field("spec.imagePullSecrets", &all.join(", "))
        }
    })
}
