//! Whether an object is ready: the rules of kstatus
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>).

use std::fmt;

use serde_json::Value;

use super::builtin;
use super::rules::ReadyRules;
use crate::error::printable;
use crate::objects::GroupKind;

/// The state of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It does what it is for.
    Ready,
    /// It is on its way; the text says what is missing.
    InProgress(String),
    /// It says that it has failed, and will not get there by itself.
    Failed(String),
    /// It is being removed; the text says what holds it.
    Leaving(String),
    /// It is not there.
    Absent,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::InProgress(why) => write!(f, "in progress: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Leaving(why) => write!(f, "being removed: {why}"),
            Self::Absent => f.write_str("not there"),
        }
    }
}

/// The state of an object that was read from a server.
///
/// ```
/// use mlops_k8s::{GroupKind, Status, status_of};
/// use serde_json::json;
///
/// let job = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}});
/// let status = status_of(&GroupKind::new("batch", "Job"), &job, &Default::default());
/// assert_eq!(status, Status::Failed("BackoffLimitExceeded".to_owned()));
/// ```
pub fn status_of(kind: &GroupKind, json: &Value, rules: &ReadyRules) -> Status {
    if json.pointer("/metadata/deletionTimestamp").is_some() {
        return leaving(json);
    }
    if let Some(status) = rules.status(kind, json) {
        return status;
    }
    let seen = json
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64);
    let wanted = json.pointer("/metadata/generation").and_then(Value::as_i64);
    if let (Some(seen), Some(wanted)) = (seen, wanted)
        && seen < wanted
    {
        return Status::InProgress("its controller has not seen the last change".to_owned());
    }
    builtin::status(kind, json).unwrap_or_else(|| by_conditions(json))
}

fn leaving(json: &Value) -> Status {
    let finalizers = json
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    let names: Vec<String> = finalizers
        .into_iter()
        .flatten()
        .chain(
            json.pointer("/spec/finalizers")
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        )
        .filter_map(|name| name.as_str().map(printable))
        .collect();
    Status::Leaving(match names.as_slice() {
        [] => "it ends".to_owned(),
        names => format!("held by the finalizer {}", names.join(", ")),
    })
}

/// A condition of an object.
pub(super) struct Condition<'a> {
    pub(super) status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Its reason and message.
    pub(super) fn why(&self, otherwise: &str) -> String {
        printable(&match (self.reason, self.message) {
            ("", "") => otherwise.to_owned(),
            ("", text) | (text, "") => text.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        })
    }
}

pub(super) fn condition<'a>(json: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let all = json.pointer("/status/conditions")?.as_array()?;
    let text = |condition: &'a Value, key: &str| {
        condition
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let found = all
        .iter()
        .find(|condition| text(condition, "type") == kind)?;
    Some(Condition {
        status: text(found, "status"),
        reason: text(found, "reason"),
        message: text(found, "message"),
    })
}

/// The rules for kinds that nobody knows: the usual conditions, and an object without any is ready.
fn by_conditions(json: &Value) -> Status {
    if let Some(stalled) = condition(json, "Stalled").filter(Condition::is_true) {
        return Status::Failed(stalled.why("it says that it is stalled"));
    }
    if let Some(reconciling) = condition(json, "Reconciling").filter(Condition::is_true) {
        return Status::InProgress(reconciling.why("it says that it is being worked on"));
    }
    for kind in ["Ready", "Available", "Established"] {
        if let Some(found) = condition(json, kind) {
            if found.is_true() {
                return Status::Ready;
            }
            return Status::InProgress(found.why(&format!("its condition {kind} is not true")));
        }
    }
    Status::Ready
}
