//! Rules as data, for kinds that need their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;
use crate::objects::GroupKind;

/// When objects of a kind are ready, and when they have failed.
///
/// ```
/// use mlops_k8s::{Check, GroupKind, ReadyRule, ReadyRules, Status, status_of};
/// use serde_json::json;
///
/// let kind = GroupKind::new("example.io", "Thing");
/// let rule = ReadyRule {
///     ready: vec![Check::equals("status.phase", "Running")],
///     failed: vec![Check::equals("status.phase", "Broken")],
/// };
/// let rules = ReadyRules::default().with(kind.clone(), rule);
/// assert_eq!(status_of(&kind, &json!({"status": {"phase": "Running"}}), &rules), Status::Ready);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyRule {
    /// Ready when all of these hold.
    pub ready: Vec<Check>,
    /// Failed when one of these holds.
    #[serde(default)]
    pub failed: Vec<Check>,
}

/// A field and its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The path to the field, such as `status.phase`. A part `[type=Ready]` chooses the item of a list whose field has
    /// that value: `status.conditions[type=Ready].status`.
    pub path: String,
    /// The value that it must have.
    pub equals: Value,
}

impl Check {
    /// Checks that a field has a value.
    pub fn equals(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            path: path.into(),
            equals: value.into(),
        }
    }

    /// Whether it holds.
    pub fn holds(&self, json: &Value) -> bool {
        self.find(json) == Some(&self.equals)
    }

    fn find<'a>(&self, json: &'a Value) -> Option<&'a Value> {
        let mut value = json;
        for part in self.path.split('.') {
            let (name, filter) = part.split_once('[').unwrap_or((part, ""));
            if !name.is_empty() {
                value = value.get(name)?;
            }
            if let Some((key, wanted)) = filter.trim_end_matches(']').split_once('=') {
                let items = value.as_array()?;
                value = items
                    .iter()
                    .find(|item| item.get(key).and_then(Value::as_str) == Some(wanted))?;
            } else if let Ok(index) = filter.trim_end_matches(']').parse::<usize>() {
                value = value.get(index)?;
            }
        }
        Some(value)
    }
}

/// Rules by kind; they go before those that are built in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadyRules(BTreeMap<GroupKind, ReadyRule>);

impl ReadyRules {
    /// Adds a rule for a kind.
    #[must_use]
    pub fn with(mut self, kind: GroupKind, rule: ReadyRule) -> Self {
        self.0.insert(kind, rule);
        self
    }

    /// The status by the rule of a kind, if it has one.
    pub(super) fn status(&self, kind: &GroupKind, json: &Value) -> Option<Status> {
        let rule = self.0.get(kind)?;
        if let Some(failed) = rule.failed.iter().find(|check| check.holds(json)) {
            return Some(Status::Failed(format!(
                "{} is {}",
                failed.path, failed.equals
            )));
        }
        let missing = rule.ready.iter().find(|check| !check.holds(json));
        Some(match missing {
            None => Status::Ready,
            Some(check) => Status::InProgress(match check.find(json) {
                Some(found) => format!("{} is {found} and not {}", check.path, check.equals),
                None => format!("{} is not there", check.path),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_go_through_lists() {
        let json = json!({"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        assert!(Check::equals("status.conditions[type=Ready].status", "True").holds(&json));
        assert!(Check::equals("status.conditions[0].type", "A").holds(&json));
        assert!(!Check::equals("status.conditions[type=B].status", "True").holds(&json));
        assert!(!Check::equals("status.none.deep", "True").holds(&json));
    }

    #[test]
    fn what_is_missing_is_said() {
        let kind = GroupKind::new("x.io", "X");
        let rule = ReadyRule {
            ready: vec![Check::equals("status.n", 3)],
            failed: vec![],
        };
        let rules = ReadyRules::default().with(kind.clone(), rule);
        let status = |json: Value| rules.status(&kind, &json).unwrap().to_string();
        assert_eq!(
            status(json!({"status": {"n": 2}})),
            "in progress: status.n is 2 and not 3"
        );
        assert_eq!(status(json!({})), "in progress: status.n is not there");
        assert_eq!(status(json!({"status": {"n": 3}})), "ready");
    }
}
