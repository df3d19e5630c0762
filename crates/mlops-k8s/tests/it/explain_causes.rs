//! Faults, each brought about for real and explained; `docs/causes.md` is written from what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use mlops_k8s::explain::{Cause, CauseCode, Explanation, ObjectRef, explain_until, gather, judge};
use mlops_testkit::kubernetes::{TestCluster, TestNode};

use crate::explain_page::{self, Seen};
use crate::explain_recorded;
use crate::explain_stage::{Case, PATIENCE, Stage, client_of};

/// Faults that need pods which run.
pub(crate) const ON_NODE: &str = include_str!("explain_on_node.yaml");

/// Faults that an API server shows alone.
pub(crate) const ON_SERVER: &str = include_str!("explain_on_server.yaml");

pub(crate) fn cases(text: &str) -> Vec<Case> {
    serde_saphyr::from_str(text).unwrap()
}

fn code_of(name: &str) -> CauseCode {
    serde_json::from_value(name.into()).unwrap()
}

fn all(explanation: &Explanation) -> impl Iterator<Item = &Cause> {
    explanation.cause.iter().chain(&explanation.others)
}

/// The cause of the case, if the explanation is complete.
pub(crate) fn wanted<'a>(case: &Case, explanation: &'a Explanation) -> Option<&'a Cause> {
    let first = case.first.as_deref().unwrap_or(&case.code);
    let starts = explanation
        .cause
        .as_ref()
        .is_some_and(|cause| cause.code.as_str() == first);
    let found = all(explanation).find(|cause| cause.code.as_str() == case.code)?;
    let text = found.to_string();
    let complete = case.shows.iter().all(|part| text.contains(part));
    (starts && complete).then_some(found)
}

/// Explains one case as soon as its fault shows, by watching.
async fn explained(
    stage: &Stage,
    kubeconfig: &std::path::Path,
    case: &Case,
) -> Result<Seen, String> {
    let subject = stage.subject(case);
    let client = match &case.who {
        Some(who) => client_of(kubeconfig, Some(who)).await,
        None => stage.client.clone(),
    };
    let explanation = explain_until(&client, &subject, PATIENCE, |found| {
        wanted(case, found).is_some()
    })
    .await
    .map_err(|error| format!("{}: {error}: {}", case.code, error.causes().join(": ")))?;
    let found = wanted(case, &explanation)
        .ok_or("it was there a moment ago")?
        .clone();
    if explain_page::updates() {
        record(&client, case, &subject, &stage.namespace(case)).await;
    }
    if explanation.ready {
        return Err(format!("{}: called ready: {explanation}", case.code));
    }
    Ok(Seen {
        subject: explanation.subject,
        cause: found,
        namespace: stage.namespace(case),
    })
}

/// Keeps the facts of a case for `explain_recorded`, as soon as they show the cause again.
async fn record(client: &kube::Client, case: &Case, subject: &ObjectRef, namespace: &str) {
    for _ in 0..200 {
        let facts = gather(client, subject).await.unwrap();
        if wanted(case, &judge(&facts)).is_some() {
            explain_recorded::keep(case, facts, namespace);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{} does not show again", case.code);
}

/// Sets all cases, explains them side by side, and clears away whatever came of it.
#[expect(
    clippy::print_stdout,
    reason = "a test that fails shows what it saw, before it clears away"
)]
async fn play(
    kubeconfig: &std::path::Path,
    node: Option<&TestNode>,
    text: &str,
) -> BTreeMap<CauseCode, Seen> {
    let cases = cases(text);
    let stage = Arc::new(Stage::on(kubeconfig).await);
    let set = cases.iter().take(1).map(|case| stage.set(case));
    let work = async {
        // The first case holds what others need.
        join_all(set).await;
        stage.wait_until_nodes_count().await;
        join_all(cases.iter().skip(1).map(|case| stage.set(case))).await;
        join_all(cases.iter().map(|case| explained(&stage, kubeconfig, case))).await
    };
    let results = std::panic::AssertUnwindSafe(work).catch_unwind().await;
    let failed = |results: &Vec<Result<Seen, String>>| results.iter().any(Result::is_err);
    if let Some(node) = node.filter(|_| results.as_ref().map_or(true, failed)) {
        println!("{}", node.state());
    }
    stage.clear(&cases).await;
    let results = results.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let wrong: Vec<&String> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:#?}",
        wrong.len(),
        results.len()
    );
    let seen = results.into_iter().flatten();
    cases
        .iter()
        .zip(seen)
        .map(|(case, seen)| (code_of(&case.code), seen))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_is_provoked_and_explained_and_the_page_tells_of_it() {
    let node = tokio::task::spawn_blocking(TestNode::shared).await.unwrap();
    let server = tokio::task::spawn_blocking(|| TestCluster::shared().kubeconfig())
        .await
        .unwrap();
    let mut seen = play(&node.kubeconfig(), Some(node), ON_NODE).await;
    assert!(seen.len() >= 40, "only {} causes on the node", seen.len());
    seen.extend(play(&server, None, ON_SERVER).await);
    explain_page::check(&seen);
    if explain_page::updates() {
        explain_recorded::forget_others(&seen);
    }
}
