//! The line of a problem, with whatever may be a secret taken out.

use std::ops::Range;

use mlops_core::platform::Snippet;
use mlops_core::platform::tree::{Node, Place, Tree};

use super::finds::{Look as _, is_invisible};

/// The longest line that is shown, in characters.
const MAX_SHOWN: usize = 120;

/// Words in the name of a key or variable that speak of a secret.
const SECRET_WORDS: [&str; 7] = [
    "password", "passwd", "secret", "token", "apikey", "api_key", "private",
];

/// Whether the value under a key may be a secret by the key's name. Names and references of secrets are none.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    let is_reference = ["name", "ref", "names", "refs", "class", "namespace", "path"]
        .iter()
        .any(|end| lower.ends_with(end))
        || lower.starts_with("automount");
    !is_reference && SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// The line of a place in a document that was read.
pub(super) fn of(text: &str, place: Place, object: &Node) -> Option<Snippet> {
    let mut hidden = Vec::new();
    let is_secret = object.text_of("kind") == Some("Secret");
    collect(object, None, is_secret, false, place.line, &mut hidden);
    let line = line_of(text, place.line)?;
    show(line, place, &hidden)
}

/// The line of a place in a document that cannot be read: everything behind the key is taken out when the line, or the
/// document, speaks of a secret.
pub(super) fn of_broken(text: &str, place: Place, document: &str) -> Option<Snippet> {
    let line = line_of(text, place.line)?;
    let may_be_secret = document.contains("Secret")
        || is_secret_name(line)
        || SECRET_WORDS
            .iter()
            .any(|word| line.to_ascii_lowercase().contains(word))
        || line
            .trim_start()
            .trim_start_matches("- ")
            .starts_with("value");
    let total = line.chars().count();
    let hidden = may_be_secret.then(|| {
        let start = line.find(':').map_or(0, |colon| colon + 1);
        let start = line.get(..start).map_or(0, |before| before.chars().count());
        start..total
    });
    show(line, place, hidden.as_slice())
}

fn line_of(text: &str, line: u64) -> Option<&str> {
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    text.lines().nth(index)
}

/// The parts of a line, in characters, that hold values which may be secret.
fn collect(
    node: &Node,
    key: Option<&str>,
    is_secret_object: bool,
    is_secret: bool,
    line: u64,
    hidden: &mut Vec<Range<usize>>,
) {
    match &node.tree {
        Tree::Map(entries) => {
            let names_a_secret = node.text_of("name").is_some_and(is_secret_name);
            for (key, value) in entries {
                let inner = is_secret
                    || (is_secret_object && matches!(key.text.as_str(), "data" | "stringData"))
                    || (names_a_secret && key.text == "value")
                    || (key.text == "kubectl.kubernetes.io/last-applied-configuration");
                collect(
                    value,
                    Some(&key.text),
                    is_secret_object,
                    inner,
                    line,
                    hidden,
                );
            }
        }
        Tree::List(items) => {
            for item in items {
                collect(item, key, is_secret_object, is_secret, line, hidden);
            }
        }
        Tree::Null | Tree::Bool(_) => {}
        Tree::Text(_) | Tree::Number(_) => {
            if node.place.line == line && (is_secret || key.is_some_and(is_secret_name)) {
                let start = usize::try_from(node.place.column)
                    .unwrap_or(1)
                    .saturating_sub(1);
                let length = usize::try_from(node.place.length).unwrap_or(usize::MAX);
                hidden.push(start..start.saturating_add(length));
            }
        }
    }
}

fn show(line: &str, place: Place, hidden: &[Range<usize>]) -> Option<Snippet> {
    let column = usize::try_from(place.column).ok()?.saturating_sub(1);
    let total = line.chars().count();
    let skip = if total > MAX_SHOWN {
        column.saturating_sub(MAX_SHOWN / 2).min(total)
    } else {
        0
    };
    let mut text = String::new();
    let mut start = column - skip;
    for (index, c) in line.chars().enumerate().skip(skip).take(MAX_SHOWN) {
        if let Some(range) = hidden.iter().find(|range| range.contains(&index)) {
            // One mark for the whole value, so that not even its length is told.
            if index == range.start.max(skip) {
                text.push('…');
            } else if index <= column {
                start = start.saturating_sub(1);
            }
            continue;
        }
        // A tab or another control character would move the marks below.
        text.push(if c.is_control() || is_invisible(c) {
            ' '
        } else {
            c
        });
    }
    let text = text.trim_end().to_owned();
    let left = text.chars().count().saturating_sub(start);
    let is_hidden = hidden.iter().any(|range| range.contains(&column));
    let width = usize::try_from(place.length).unwrap_or(usize::MAX);
    let width = if is_hidden {
        1
    } else {
        width.clamp(1, left.max(1))
    };
    Some(Snippet { text, start, width })
}
