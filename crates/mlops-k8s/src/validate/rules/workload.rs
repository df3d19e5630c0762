//! What makes pods, and what counts them.

use mlops_core::platform::tree::{Node, Tree};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::cron;
use super::super::set::Object;
use super::labels;

/// The selector of a workload selects the pods that it makes.
pub(super) fn check<'a>(object: &Object<'a>, finds: &mut Finds<'a>) {
    let spec = match (object.group, object.kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            object.node.get("spec")
        }
        ("batch", "Job") => object
            .node
            .get("spec")
            .filter(|spec| spec.is_true("manualSelector")),
        _ => None,
    };
    if let Some(replicas) = object.node.at(&["spec", "replicas"])
        && object.group == "apps"
        && replicas.integer().is_some_and(|replicas| replicas < 0)
    {
        finds.error(replicas, "`replicas` cannot be below zero");
    }
    let (Some(spec), Some(template)) = (spec, object.pod()) else {
        return;
    };
    let Some(selector) = spec.get("selector") else {
        return;
    };
    let is_empty =
        selector.map("matchLabels").is_empty() && selector.list("matchExpressions").is_empty();
    if is_empty && matches!(selector.tree, Tree::Map(_)) {
        finds
            .error(
                selector,
                "an empty selector would take every pod of the namespace",
            )
            .hint("write `matchLabels` with labels of the template");
        return;
    }
    let given = template
        .at(&["metadata", "labels"])
        .map(Node::entries)
        .unwrap_or_default();
    if labels::selects(selector, given) || !labels::is_understood(selector) {
        return;
    }
    let differing = selector.map("matchLabels").iter().find(|(key, value)| {
        let found = given.iter().find(|(label, _)| label.text == key.text);
        found.and_then(|(_, found)| found.text()) != value.text()
    });
    let message = "the selector does not select the pods of its own template";
    match differing {
        Some((key, value)) => {
            finds.error(value, message).hint(format!(
                "give the template the label {}",
                quoted(&format!(
                    "{}: {}",
                    key.text,
                    value.text().unwrap_or_default()
                ))
            ));
        }
        None => {
            finds.error(selector, message);
        }
    }
}

pub(super) fn schedule<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    if let Some(schedule) = spec.get("schedule")
        && let Some(text) = schedule.text()
        && let Some(wrong) = cron::wrong(text)
    {
        finds
            .error(schedule, wrong)
            .hint("such as `30 2 * * 1-5`: minute, hour, day, month, day of the week");
    }
    if let Some(zone) = spec.get("timeZone")
        && let Some(text) = zone.text()
        && (text.is_empty() || text.eq_ignore_ascii_case("local"))
    {
        finds
            .error(zone, format!("{} is no time zone", quoted(text)))
            .hint("such as `Europe/Vienna` or `Etc/UTC`");
    }
}

pub(super) fn autoscaler<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    let least = spec.get("minReplicas").and_then(Node::integer).unwrap_or(1);
    if let Some(most) = spec.get("maxReplicas")
        && let Some(number) = most.integer()
    {
        if number < 1 {
            finds.error(most, "`maxReplicas` is at least 1");
        } else if number < least {
            let message = format!("`maxReplicas` is below `minReplicas`, which is {least}");
            finds.error(most, message);
        }
    }
}

/// `pkg/apis/policy/validation`.
pub(super) fn budget<'a>(spec: &'a Node, finds: &mut Finds<'a>) {
    if let (Some(_), Some(most)) = (spec.get("minAvailable"), spec.get("maxUnavailable")) {
        finds.error(
            most,
            "a budget has `minAvailable` or `maxUnavailable`, and this has both",
        );
    }
    for key in ["minAvailable", "maxUnavailable"] {
        let Some(node) = spec.get(key) else {
            continue;
        };
        let is_percent = |text: &str| {
            text.strip_suffix('%')
                .and_then(|number| number.parse::<u8>().ok())
                .is_some_and(|number| number <= 100)
        };
        let is_right = match &node.tree {
            Tree::Text(text) => is_percent(text),
            _ => node.integer().is_none_or(|number| number >= 0),
        };
        if !is_right {
            finds
                .error(
                    node,
                    format!("`{key}` is a number from 0 on, or a percentage"),
                )
                .hint("such as `1` or `50%`");
        }
    }
}
