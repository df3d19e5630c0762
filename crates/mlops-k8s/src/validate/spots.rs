//! From what was found at a node to its place and its path.

use std::fmt::Write as _;

use mlops_core::platform::tree::{Key, Node, Place, Tree};

use super::Input;
use super::finds::{Find, Finds, Spot};
use super::problem::Problem;
use super::set::Object;
use super::snippet;

/// The problems of one object. Their places are looked up here, so that an object without any costs nothing.
pub(super) fn problems(
    object: &Object<'_>,
    input: Option<&Input<'_>>,
    finds: Finds<'_>,
) -> Vec<Problem> {
    let problem = |find: Find<'_>| {
        let mut path = String::new();
        let place = find_spot(object.node, None, find.spot, &mut path);
        let place = place.filter(|place| place.line > 0);
        Problem {
            severity: find.severity,
            source: input
                .map(|input| input.source.to_owned())
                .unwrap_or_default(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            object: object.title(),
            path,
            message: find.message,
            hint: find.hint,
            snippet: input
                .zip(place)
                .and_then(|(input, place)| snippet::of(input.text, place, object.node)),
        }
    };
    finds.into_list().into_iter().map(problem).collect()
}

/// The place of a spot below a node, with its path appended. A map or list is shown by the key that holds it, and an
/// item of a list by its first key.
fn find_spot(node: &Node, key: Option<&Key>, spot: Spot<'_>, path: &mut String) -> Option<Place> {
    if let Spot::Node(wanted) = spot
        && std::ptr::eq(node, wanted)
    {
        return Some(place_of(node, key));
    }
    let length = path.len();
    match &node.tree {
        Tree::Map(entries) => {
            for (key, value) in entries {
                step(path, &key.text);
                if let Spot::Key(wanted) = spot
                    && std::ptr::eq(key, wanted)
                {
                    return Some(key.place);
                }
                if let Some(place) = find_spot(value, Some(key), spot, path) {
                    return Some(place);
                }
                path.truncate(length);
            }
        }
        Tree::List(items) => {
            for (index, item) in items.iter().enumerate() {
                // Writing to a text cannot fail.
                let _ = write!(path, "[{index}]");
                if let Some(place) = find_spot(item, None, spot, path) {
                    return Some(place);
                }
                path.truncate(length);
            }
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
    }
    None
}

fn place_of(node: &Node, key: Option<&Key>) -> Place {
    match (&node.tree, key) {
        (Tree::Map(_) | Tree::List(_) | Tree::Null, Some(key)) => key.place,
        (Tree::Map(entries), None) => entries.first().map_or(node.place, |(key, _)| key.place),
        _ => node.place,
    }
}

/// `.name`, or `["a.b/c"]` when the key has other characters.
fn step(path: &mut String, key: &str) {
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_$".contains(&byte));
    if is_plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
        let _ = write!(path, "[\"{shown}\"]");
    }
}
