//! Checks from inside the cluster: which secrets the probes need, which services they reach, and what the pod said.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::{
    Digest, Error, ErrorKind, Event, EventSink, Failure, Report, ResourceId, Result, SecretName,
    SecretSource, Service,
};
use mlops_k8s::target::{CheckJob, ClusterTarget};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::secrets::SECRET;

/// What a check from inside the cluster takes along.
#[derive(Debug, Clone, Default)]
pub struct InsideCheck {
    /// The arguments of `mlops` that make the check in the pod, and print the report as JSON.
    pub args: Vec<String>,
    /// Text by path below [`mlops_k8s::target::FILES_AT`]: the platform file, components of the user's own.
    pub files: BTreeMap<String, String>,
}

/// The name of the file below [`mlops_k8s::target::HANDED_AT`] with the text behind a reference.
pub fn handed_name(source: &SecretSource) -> String {
    Digest::of(source).as_str().to_owned()
}

impl Session {
    /// Makes every probe in a pod of the cluster, which reaches services by their names and secrets with rights of its
    /// own. Nothing of it stays. Other runs on the same platform are waited for.
    ///
    /// # Errors
    ///
    /// When the platform is not in a cluster or does not run, the pod cannot start or says no report, or `cancel` was.
    pub async fn check_inside(
        &self,
        check: InsideCheck,
        events: EventSink,
        cancel: &CancellationToken,
    ) -> Result<Report> {
        let cluster = self.cluster.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "check from inside the cluster")
                .with_source("the platform is on this machine")
                .with_hint(
                    "leave out `--in-cluster`, or write `target: cluster` in the platform file",
                )
        })?;
        let prepare = async {
            self.require_running("check the platform").await?;
            let job = self.check_job(check).await?;
            let lock = self.lock(&events).await?;
            Ok::<_, Error>((job, lock))
        };
        let (job, lock) = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                return Err(Error::new(ErrorKind::Interrupted, "check from inside the cluster")
                    .with_source("it was interrupted before it began"));
            }
            prepared = prepare => prepared?,
        };
        let id = ResourceId::new(mlops_core::kubernetes::OBJECT, "job.mlops-check");
        let news = format!("a pod of `{}` makes the probes", job.image);
        events.progress(&id, news);
        let ended = cluster.check(&job, cancel).await;
        lock.give_back().await;
        let ended = ended?;
        let report = report_in(&ended.log, ended.code)?;
        for probe in &report.probes {
            events.emit(Event::Probed {
                name: probe.name.clone(),
                findings: probe.findings.clone(),
                took_ms: probe.took_ms,
            });
        }
        Ok(report)
    }

    /// Takes away what a check from inside the cluster left when it was killed.
    pub(super) async fn forget_checks(&self) -> Result<()> {
        match &self.cluster {
            Some(cluster) => cluster.remove_checks().await,
            None => Ok(()),
        }
    }

    /// Whether this is the pod of such a check: it was started because the platform runs, and may not look again.
    pub(super) fn is_inside(&self) -> bool {
        self.cluster.as_ref().is_some_and(ClusterTarget::is_within)
    }

    async fn check_job(&self, check: InsideCheck) -> Result<CheckJob> {
        let words = self.words_of_probes();
        let (mut reads, mut handed) = (BTreeSet::new(), BTreeMap::new());
        for name in words
            .iter()
            .filter_map(|word| word.parse::<SecretName>().ok())
        {
            if let Some(source) = self.graph.secret_sources.get(&name) {
                let text = self.secret(&name).await?;
                handed.insert(handed_name(source), text);
            } else if self
                .graph
                .find(&ResourceId::new(SECRET, name.as_str()))
                .is_some()
            {
                reads.insert(name);
            }
        }
        let services = self.graph.services.values();
        let reaches: Vec<Service> = services
            .filter(|service| words.contains(service.name.as_str()))
            .cloned()
            .collect();
        let tools = self
            .tools
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "find the image of `mlops`"))?;
        Ok(CheckJob {
            image: tools.used.to_string(),
            pull_secrets: self.pull_secrets.clone(),
            args: check.args,
            files: check.files,
            reads,
            handed,
            reaches,
        })
    }

    /// Every text in the probes: the names of secrets and services are among them. One that is called like a service by
    /// chance lets the pod reach one more component of the platform.
    fn words_of_probes(&self) -> BTreeSet<&str> {
        let mut words = BTreeSet::new();
        let specs = self
            .graph
            .probes
            .iter()
            .flat_map(|probe| probe.spec.values());
        let mut open: Vec<&Value> = specs.collect();
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => drop(words.insert(text.as_str())),
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => open.extend(fields.values()),
                _ => {}
            }
        }
        words
    }
}

/// The report among what the pod printed: results and errors come as one text, each document at the begin of a line.
fn report_in(log: &str, code: i32) -> Result<Report> {
    let doing = "check from inside the cluster";
    let mut failure = None;
    let mut at = 0;
    for line in log.split_inclusive('\n') {
        let rest = log.get(at..).unwrap_or_default();
        at += line.len();
        if !line.starts_with('{') {
            continue;
        }
        let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(document)) = documents.next() else {
            continue;
        };
        if let Some(error) = document.get("error") {
            failure = serde_json::from_value::<Failure>(error.clone()).ok();
        } else if let Ok(report) = serde_json::from_value(document) {
            return Ok(report);
        }
    }
    if let Some(failure) = failure {
        let error = Error::new(failure.kind, doing);
        let hint = failure.hint.clone();
        let error = error.with_source(failure.to_error());
        return Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }
    Err(Error::new(ErrorKind::Protocol, doing)
        .with_source(format!(
            "its pod ended with {code} and no report; it said last: {}",
            last_words(log)
        ))
        .with_hint("the image must have this version of `mlops`"))
}

/// The last lines of a log as one.
fn last_words(log: &str) -> String {
    const LINES: usize = 5;
    const LONGEST: usize = 300;
    let lines = log.lines().filter(|line| !line.trim().is_empty());
    let mut last: Vec<String> = lines
        .rev()
        .take(LINES)
        .map(|line| line.escape_debug().take(LONGEST).collect())
        .collect();
    last.reverse();
    if last.is_empty() {
        "nothing".to_owned()
    } else {
        last.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_found_among_other_lines() {
        let report = Report::new("demo".parse().unwrap());
        let text = serde_json::to_string_pretty(&report).unwrap();
        let log = format!("warning: {{ }}\n{{not json\n{text}\nmore\n");
        assert_eq!(report_in(&log, 0).unwrap(), report);
    }

    #[test]
    fn an_error_of_the_pod_is_told_with_its_cause_and_hint() {
        let inner = Error::new(ErrorKind::PermissionDenied, "read secret `a/b`").with_hint("ask");
        let line = serde_json::json!({ "error": Failure::from(&inner) });
        let error = report_in(&format!("{line}\n"), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.causes(), ["failed to read secret `a/b`"]);
        assert_eq!(error.hint(), Some("ask"));
    }

    #[test]
    fn no_report_is_an_error_with_the_last_words() {
        let error = report_in("first\nexec format\u{1b}[2J error\n\n", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.causes()[0].ends_with("first; exec format\\u{1b}[2J error"));
        assert!(report_in("", 137).is_err());
    }

    #[test]
    fn a_reference_has_one_name_that_says_nothing() {
        let env = SecretSource::Env("PASSWORD".to_owned());
        assert_eq!(handed_name(&env), handed_name(&env.clone()));
        assert_ne!(
            handed_name(&env),
            handed_name(&SecretSource::File("PASSWORD".into()))
        );
        assert_eq!(handed_name(&env).len(), 64);
    }
}
