//! From the text of files to objects: each document is read alone, so that a broken one does not hide the others.

use mlops_core::platform::tree::{Key, Node, Place, Tree};
use serde_json::Value;
use serde_saphyr::{
    DuplicateKeyPolicy, Error as YamlError, MessageFormatter as _, Options, UserMessageFormatter,
};

use super::finds::Look as _;
use super::problem::{Problem, Severity};
use super::snippet;
use super::{Input, MAX_BYTES};

/// The deepest nesting that is read: that of a large CRD is below 50.
const MAX_DEPTH: usize = 100;

/// An object with the number of the input that it came from.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) input: Option<usize>,
    pub(super) node: Node,
}

/// All objects of the inputs, with the items of lists instead of the lists, and what could not be read.
pub(super) fn read(inputs: &[Input<'_>]) -> (Vec<Document>, Vec<Problem>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (number, input) in inputs.iter().enumerate() {
        if input.text.len() > MAX_BYTES {
            let length = input.text.len();
            let message = format!("the file has {length} bytes, and at most {MAX_BYTES} are read");
            problems.push(problem(input, None, "", message, None));
            continue;
        }
        for (first_line, text) in split(input.text) {
            match serde_saphyr::from_str_with_options::<Node>(text, options()) {
                Ok(mut node) => {
                    shift(&mut node, first_line);
                    add(&mut documents, Some(number), node);
                }
                Err(error) => problems.push(syntax(input, first_line, text, &error)),
            }
        }
    }
    (documents, problems)
}

/// Values as objects without places.
pub(super) fn of_values(values: &[Value]) -> Vec<Document> {
    let mut documents = Vec::new();
    for value in values {
        add(&mut documents, None, node(value));
    }
    documents
}

/// Takes an object, or the items of a list such as `kubectl get -o yaml` writes.
fn add(documents: &mut Vec<Document>, input: Option<usize>, node: Node) {
    if matches!(node.tree, Tree::Null) {
        return;
    }
    let is_list = node
        .text_of("kind")
        .is_some_and(|kind| kind.ends_with("List"))
        && matches!(
            node.get("items").map(|items| &items.tree),
            Some(Tree::List(_))
        );
    if !is_list {
        documents.push(Document { input, node });
        return;
    }
    let Tree::Map(entries) = node.tree else {
        return;
    };
    for (key, value) in entries {
        if let (Tree::List(items), "items") = (value.tree, key.text.as_str()) {
            documents.extend(items.into_iter().map(|node| Document { input, node }));
        }
    }
}

/// The documents of a text, each with the number of lines before it. A line that begins with `---` begins one, wherever
/// it stands: nothing in YAML may have such a line inside. What holds only comments is left out.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 0, 0);
    for (number, line) in (0_u64..).zip(text.split_inclusive('\n')) {
        let marker = line.strip_prefix("---");
        if at > start
            && marker.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            parts.push((first_line, text.get(start..at).unwrap_or_default()));
            (start, first_line) = (at, number);
        }
        at += line.len();
    }
    parts.push((first_line, text.get(start..).unwrap_or_default()));
    parts.retain(|(_, part)| part.lines().any(is_content));
    parts
}

fn is_content(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}');
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    !line.is_empty() && !line.starts_with(['#', '%']) && line != "..."
}

/// How YAML is read: as the usual tools for Kubernetes read it, where `0400` is octal, within limits.
fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_anchors: 1_000,
            max_aliases: 10_000,
            max_documents: 2,
            max_total_scalar_bytes: MAX_BYTES,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

fn syntax(input: &Input<'_>, first_line: u64, text: &str, error: &YamlError) -> Problem {
    let error = error.without_snippet();
    let place = error
        .location()
        .filter(|location| location.line() > 0)
        .map(|location| Place {
            line: location.line() + first_line,
            column: location.column(),
            length: 1,
        });
    let message = UserMessageFormatter.format_message(error);
    let is_template = text.contains("{{");
    let hint = if message.contains("tab") {
        Some("indent with spaces")
    } else if is_template {
        Some("this looks like a template: render it first")
    } else {
        None
    };
    let message: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    problem(input, place, text, message, hint)
}

fn problem(
    input: &Input<'_>,
    place: Option<Place>,
    document: &str,
    message: String,
    hint: Option<&str>,
) -> Problem {
    Problem {
        severity: Severity::Error,
        source: input.source.to_owned(),
        line: place.map(|place| place.line),
        column: place.map(|place| place.column),
        object: String::new(),
        path: String::new(),
        message,
        hint: hint.map(str::to_owned),
        snippet: place.and_then(|place| snippet::of_broken(input.text, place, document)),
    }
}

fn shift(node: &mut Node, lines: u64) {
    if lines == 0 {
        return;
    }
    node.place.line += lines;
    match &mut node.tree {
        Tree::List(items) => items.iter_mut().for_each(|item| shift(item, lines)),
        Tree::Map(entries) => {
            for (key, value) in entries {
                key.place.line += lines;
                shift(value, lines);
            }
        }
        _ => {}
    }
}

/// A tree without places.
fn node(value: &Value) -> Node {
    const NOWHERE: Place = Place {
        line: 0,
        column: 0,
        length: 0,
    };
    let tree = match value {
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(*value),
        Value::Number(number) => Tree::Number(number.clone()),
        Value::String(text) => Tree::Text(text.clone()),
        Value::Array(items) => Tree::List(items.iter().map(node).collect()),
        Value::Object(entries) => Tree::Map(
            entries
                .iter()
                .map(|(key, value)| {
                    let key = Key {
                        place: NOWHERE,
                        text: key.clone(),
                    };
                    (key, node(value))
                })
                .collect(),
        ),
    };
    Node {
        place: NOWHERE,
        tree,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_lines() {
        let text =
            "# first\n---\na: 1\n--- # second\nb: |\n  ---\n  x\n---\n# nothing\n---\nc: 1\n";
        let lines: Vec<u64> = split(text).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 9]);
        assert_eq!(split("").len(), 0);
        assert_eq!(split("---").len(), 0);
        assert_eq!(split("a: 1\r\n---\r\nb: 1\r\n").len(), 2);
        assert_eq!(split("--- {a: 1}\n---x: 1\n").len(), 1);
    }

    #[test]
    fn lists_are_their_items() {
        let text = "kind: List\napiVersion: v1\nitems:\n- a: 1\n- b: 1\n---\n---\nkind: PodList\n";
        let (documents, problems) = read(&[Input { source: "x", text }]);
        assert_eq!((documents.len(), problems.len()), (3, 0));
    }
}
