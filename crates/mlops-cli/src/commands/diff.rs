//! `mlops diff`: only what differs, field by field.

use mlops::session::Network;
use mlops_core::plan::{Action, Change, FieldDifference};
use mlops_core::{Graph, Plan, Result, Spec};
use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::args::DiffArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::{Paint, plain, plain_line};

/// Looks at the world and shows what differs.
pub(crate) async fn diff(cx: &Cx, args: &DiffArgs) -> Result<Exit> {
    #[derive(Serialize)]
    struct Document<'a> {
        platform: &'a str,
        changes: Vec<&'a Change>,
    }
    let session = cx.session(Network::Avoid)?;
    let plan = session.plan().await?.plan;
    let document = Document {
        platform: plan.platform.as_str(),
        changes: differing(&plan).collect(),
    };
    cx.printer
        .show(&document, |paint| describe(paint, session.graph(), &plan))?;
    let differs = !document.changes.is_empty();
    Ok(if args.exit_code && differs {
        Exit::Changes
    } else {
        Exit::Done
    })
}

fn differing(plan: &Plan) -> impl Iterator<Item = &Change> {
    plan.changes
        .iter()
        .filter(|change| change.action.is_change())
}

fn describe(paint: Paint, graph: &Graph, plan: &Plan) -> String {
    let mut lines = Vec::new();
    for change in differing(plan) {
        let head = format!(
            "{} {} {}",
            change.action.sign(),
            change.action.verb(),
            change.id
        );
        lines.push(paint.by_sign(change.action.sign(), &plain(&head)));
        match &change.action {
            Action::Create => {
                if let Some(resource) = graph.find(&change.id) {
                    fields(paint, &resource.spec, &mut lines);
                }
            }
            Action::Adopt { from, .. } => lines.push(format!("    was: {}", plain_line(from))),
            Action::Later { behind } => lines.push(format!("    when {behind} is ready")),
            _ => {}
        }
        for difference in change.action.differences() {
            field(paint, difference, &mut lines);
        }
    }
    if lines.is_empty() {
        return format!(
            "Nothing differs: all {} resources of `{}` are as described.",
            plan.changes.len(),
            plan.platform
        );
    }
    lines.join("\n")
}

/// The fields of what is not there yet.
fn fields(paint: Paint, spec: &Spec, lines: &mut Vec<String>) {
    for (name, value) in spec {
        if !value.is_null() {
            let text = format!("    {}: {}", plain_line(name), one_line(value));
            lines.push(paint.green(&text));
        }
    }
}

/// One field that differs; texts of several lines are compared line by line.
fn field(paint: Paint, difference: &FieldDifference, lines: &mut Vec<String>) {
    lines.push(format!("    {}:", plain_line(&difference.field)));
    if let (Some(Value::String(found)), Some(Value::String(wanted))) =
        (&difference.found, &difference.wanted)
        && (found.contains('\n') || wanted.contains('\n'))
    {
        for change in TextDiff::from_lines(found.as_str(), wanted.as_str()).iter_all_changes() {
            let line = plain_line(change.value().trim_end_matches('\n'));
            lines.push(match change.tag() {
                ChangeTag::Equal => format!("        {line}"),
                ChangeTag::Delete => paint.red(&format!("      - {line}")),
                ChangeTag::Insert => paint.green(&format!("      + {line}")),
            });
        }
        return;
    }
    if let Some(found) = &difference.found {
        lines.push(paint.red(&format!("      - {}", one_line(found))));
    }
    match &difference.wanted {
        Some(wanted) => lines.push(paint.green(&format!("      + {}", one_line(wanted)))),
        None => lines.push(paint.green("      + not set")),
    }
}

fn one_line(value: &Value) -> String {
    plain_line(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::{Digest, Resource, ResourceId};
    use serde_json::json;

    fn plan(changes: Vec<Change>) -> Plan {
        Plan {
            format: 1,
            platform: "demo".parse().unwrap(),
            direction: mlops_core::plan::Direction::Apply,
            graph: Digest::of_bytes(b""),
            observation: Digest::of_bytes(b""),
            changes,
        }
    }

    fn change(name: &str, action: Action) -> Change {
        Change {
            id: ResourceId::new("thing", name),
            component: "test".parse().unwrap(),
            action,
            after: std::collections::BTreeSet::default(),
        }
    }

    fn difference(field: &str, found: Value, wanted: Value) -> FieldDifference {
        FieldDifference {
            field: field.to_owned(),
            found: (!found.is_null()).then_some(found),
            wanted: (!wanted.is_null()).then_some(wanted),
        }
    }

    #[test]
    fn fields_are_shown_one_by_one() {
        let mut resource = Resource::new(ResourceId::new("thing", "new"), "test".parse().unwrap());
        resource.spec = [
            ("size".to_owned(), json!(3)),
            ("port".to_owned(), Value::Null),
        ]
        .into_iter()
        .collect();
        let graph = Graph::new("demo".parse().unwrap(), [resource]).unwrap();
        let differences = vec![
            difference("env.A", json!("\u{1b}[31m"), json!("b")),
            difference("text", json!("a\nb\n"), json!("a\nc\n")),
            difference("gone", json!(1), Value::Null),
        ];
        let plan = plan(vec![
            change("new", Action::Create),
            change("same", Action::Nothing),
            change("other", Action::Update { differences }),
        ]);
        assert_eq!(
            describe(Paint::new(false), &graph, &plan),
            "+ create thing/new\n    size: 3\n~ update thing/other\n    env.A:\n      - \"\\u001b[31m\"\n      \
             + \"b\"\n    text:\n        a\n      - b\n      + c\n    gone:\n      - 1\n      + not set"
        );
    }

    #[test]
    fn nothing_differs() {
        let graph = Graph::new("demo".parse().unwrap(), []).unwrap();
        let plan = plan(vec![change("same", Action::Nothing)]);
        assert_eq!(
            describe(Paint::new(false), &graph, &plan),
            "Nothing differs: all 1 resources of `demo` are as described."
        );
    }
}
