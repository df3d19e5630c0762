//! The subject itself: whether the server knows its kind, whether it is there, whether its API answers.

use super::super::codes::CauseCode;
use super::super::facts::{Facts, Found, text};
use super::{Evidence, Finding, Rule, Scene};

pub(super) const RULES: &[Rule] = &[
    Rule::fault(CauseCode::ApiServerDown, &["APIService"], api_service),
    Rule::fault(
        CauseCode::ApiServerDown,
        &["Namespace"],
        discovery_of_namespace,
    ),
];

/// What is wrong before there is an object to look at.
pub(super) fn judge_subject(facts: &Facts) -> Option<(CauseCode, Finding)> {
    let subject = &facts.subject;
    let kind = format!("{} {}", subject.api_version(), subject.kind);
    match &facts.found {
        Found::Present => None,
        Found::Absent => {
            let missing = Evidence::Missing {
                object: subject.clone(),
            };
            Some((
                CauseCode::ObjectMissing,
                Finding::new(format!("{subject} is not there")).with([missing]),
            ))
        }
        Found::NoKind(served) => Some(no_kind(facts, &kind, served)),
        Found::GroupDown(message) => {
            let code = certificate(message).unwrap_or(CauseCode::ApiServerDown);
            let finding = Finding::new(format!(
                "the server behind {} does not answer",
                subject.api_version()
            ));
            Some((
                code,
                finding.with([Evidence::Answer {
                    message: super::clean(message),
                }]),
            ))
        }
        Found::Forbidden(message) => {
            let finding = super::judge_refusal(message)
                .map_or_else(|| Finding::new(message), |(_, found)| found);
            Some((
                CauseCode::Forbidden,
                finding.with([Evidence::Answer {
                    message: super::clean(message),
                }]),
            ))
        }
    }
}

fn no_kind(facts: &Facts, kind: &str, served: &[String]) -> (CauseCode, Finding) {
    let answer = Evidence::Answer {
        message: format!("no kind {kind} is served"),
    };
    if served.is_empty() {
        let finding = Finding::new(format!("the server does not know {kind}")).with([answer]);
        return (CauseCode::KindUnknown, finding);
    }
    let now = served.join(", ");
    let finding = Finding::new(format!(
        "{kind} is no longer served; {} is served as {now}",
        facts.subject.kind
    ))
    .with_remedy(format!("write the object as {now}"))
    .with([answer]);
    (CauseCode::ApiVersionGone, finding)
}

/// An aggregated API whose server does not answer.
fn api_service(scene: &Scene<'_>) -> Option<Finding> {
    let condition = scene
        .object
        .condition("Available")
        .filter(|c| text(c, "/status") == "False")?;
    let message = text(condition, "/message");
    let code = certificate(message).unwrap_or(CauseCode::ApiServerDown);
    Some(
        Finding::new(message)
            .with_code(code)
            .with([scene.object.condition_evidence(condition)]),
    )
}

/// A namespace cannot be emptied while the server cannot tell which kinds there are.
fn discovery_of_namespace(scene: &Scene<'_>) -> Option<Finding> {
    let failed = "NamespaceDeletionDiscoveryFailure";
    let condition = scene
        .object
        .condition(failed)
        .filter(|c| text(c, "/status") == "True")?;
    Some(
        Finding::new(text(condition, "/message"))
            .with([scene.object.condition_evidence(condition)]),
    )
}

fn certificate(message: &str) -> Option<CauseCode> {
    let wrong = message.contains("x509: ") || message.contains("failed to verify certificate");
    wrong.then_some(CauseCode::CertificateWrong)
}
