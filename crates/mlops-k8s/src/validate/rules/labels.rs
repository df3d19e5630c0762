//! Labels, annotations and selectors.

use mlops_core::platform::tree::{Key, Node};

use super::super::finds::{Finds, Look as _, quoted};
use super::super::forms::names::{is_label_value, is_qualified};

/// All keys and values of annotations together: `TotalAnnotationSizeLimitB` in `apimachinery/pkg/api/validation`.
const MAX_ANNOTATIONS: usize = 256 << 10;

pub(super) const KEY_HINT: &str = "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends, after an optional domain and `/`";
const VALUE_HINT: &str =
    "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";

/// Labels and annotations of `metadata`.
pub(super) fn metadata<'a>(node: &'a Node, finds: &mut Finds<'a>) {
    map(node.map("labels"), finds);
    let annotations = node.map("annotations");
    let mut size = 0;
    for (key, value) in annotations {
        size += key.text.len() + value.text().map_or(0, str::len);
        if !is_qualified(&key.text.to_ascii_lowercase()) {
            let message = format!("{} cannot be the key of an annotation", quoted(&key.text));
            finds.error(key, message).hint(KEY_HINT);
        }
    }
    if size > MAX_ANNOTATIONS
        && let Some(annotations) = node.get("annotations")
    {
        let message =
            format!("the annotations have {size} bytes, and at most {MAX_ANNOTATIONS} are allowed");
        finds.error(annotations, message);
    }
}

/// A map of labels.
pub(super) fn map<'a>(entries: &'a [(Key, Node)], finds: &mut Finds<'a>) {
    for (key, value) in entries {
        if !is_qualified(&key.text) {
            let message = format!("{} cannot be the key of a label", quoted(&key.text));
            finds.error(key, message).hint(KEY_HINT);
        }
        if let Some(text) = value.text()
            && !is_label_value(text)
        {
            let message = format!("{} cannot be the value of a label", quoted(text));
            finds.error(value, message).hint(VALUE_HINT);
        }
    }
}

/// `matchLabels` and `matchExpressions`.
pub(super) fn selector<'a>(node: &'a Node, finds: &mut Finds<'a>) {
    map(node.map("matchLabels"), finds);
    for expression in node.list("matchExpressions") {
        let values = expression.list("values");
        let Some(operator) = expression.get("operator") else {
            continue;
        };
        match operator.text() {
            Some("In" | "NotIn") if values.is_empty() => {
                let message = format!(
                    "{} needs `values`",
                    quoted(operator.text().unwrap_or_default())
                );
                finds.error(operator, message);
            }
            Some("Exists" | "DoesNotExist") if !values.is_empty() => {
                let message = format!(
                    "{} takes no `values`",
                    quoted(operator.text().unwrap_or_default())
                );
                finds.error(operator, message);
            }
            Some("In" | "NotIn" | "Exists" | "DoesNotExist") | None => {}
            Some(other) => {
                let message = format!("{} is not one of the allowed values", quoted(other));
                finds
                    .error(operator, message)
                    .nearest(other, ["In", "NotIn", "Exists", "DoesNotExist"]);
            }
        }
    }
}

fn label<'a>(labels: &'a [(Key, Node)], key: &str) -> Option<&'a str> {
    labels
        .iter()
        .find(|(label, _)| label.text == key)
        .and_then(|(_, value)| value.text())
}

/// Whether a map of labels selects what has these labels. An empty one selects nothing here.
pub(in crate::validate) fn selects_by_map(
    selector: &[(Key, Node)],
    labels: &[(Key, Node)],
) -> bool {
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| label(labels, &key.text) == value.text())
}

/// Whether every expression of a `LabelSelector` has an operator and the values for it; another has been told.
pub(super) fn is_understood(selector: &Node) -> bool {
    selector.list("matchExpressions").iter().all(|expression| {
        let has_values = !expression.list("values").is_empty();
        match expression.text_of("operator") {
            Some("In" | "NotIn") => has_values,
            Some("Exists" | "DoesNotExist") => !has_values,
            _ => false,
        }
    })
}

/// Whether a `LabelSelector` selects what has these labels; an empty one selects everything.
pub(in crate::validate) fn selects(selector: &Node, labels: &[(Key, Node)]) -> bool {
    let by_labels = selector
        .map("matchLabels")
        .iter()
        .all(|(key, value)| label(labels, &key.text) == value.text());
    by_labels
        && selector.list("matchExpressions").iter().all(|expression| {
            let found = label(labels, expression.text_of("key").unwrap_or_default());
            let is_in = found.is_some_and(|found| {
                let mut values = expression.list("values").iter();
                values.any(|value| value.text() == Some(found))
            });
            match expression.text_of("operator") {
                Some("In") => is_in,
                Some("NotIn") => !is_in,
                Some("Exists") => found.is_some(),
                Some("DoesNotExist") => found.is_none(),
                _ => false,
            }
        })
}
