//! Problems that are found after a file was read, by the path of the field, and located only when there are any.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::Source;
use super::tree::{Node, Place, Tree};

/// One problem, by the path of the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    path: Vec<String>,
    message: String,
    hint: Option<String>,
    is_of_key: bool,
}

impl Problem {
    /// A problem at a path of keys (and indices, from 0), outermost first.
    pub fn at<I: Into<String>>(
        path: impl IntoIterator<Item = I>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into_iter().map(Into::into).collect(),
            message: message.into(),
            hint: None,
            is_of_key: false,
        }
    }

    /// A problem of the whole file.
    pub fn of_file(message: impl Into<String>) -> Self {
        Self::at(std::iter::empty::<String>(), message)
    }

    /// Says that the last key of the path is wrong, not its value.
    #[must_use]
    pub fn of_key(mut self) -> Self {
        self.is_of_key = true;
        self
    }

    /// Adds what the user may do, as one sentence without a full stop.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean", when one of the known names is near.
    #[must_use]
    pub fn with_nearest<'a>(
        mut self,
        given: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        self.hint = did_you_mean(given, &known);
        self
    }
}

/// "did you mean" with the nearest name, or the list of a few known ones.
pub(super) fn did_you_mean(given: &str, known: &[&str]) -> Option<String> {
    if let Some(near) = crate::nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => None,
        1..=12 => Some(format!("known: {}", names.join(", "))),
        more => Some(format!(
            "known: {} and {} more",
            names.get(..12).unwrap_or_default().join(", "),
            more - 12
        )),
    }
}

/// The problems of one file, gathered by the checks of a program.
#[derive(Debug, Clone, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Finds the places in the file, or in none when the value did not come from one: then `instead` names it.
    pub fn locate(self, source: Option<&Source>, instead: &str) -> Diagnostics {
        if self.0.is_empty() {
            return Diagnostics::default();
        }
        let tree = source.and_then(|source| source.tree().ok());
        Diagnostics::new(self.0.into_iter().map(|problem| {
            let Some(source) = source else {
                return Diagnostic {
                    path: instead.to_owned(),
                    line: None,
                    column: None,
                    message: problem.message,
                    hint: problem.hint,
                    snippet: None,
                };
            };
            let place = tree.as_ref();
            let place = place.and_then(|tree| find(tree, &problem.path, problem.is_of_key));
            source.diagnostic(place, problem.message, problem.hint, false)
        }))
    }
}

/// The place of the last step of a path that is in the file: a scalar's own, otherwise (or when it is asked
/// for) that of its key.
fn find(tree: &Node, path: &[String], is_of_key: bool) -> Option<Place> {
    let mut node = tree;
    let mut place = None;
    for (index, step) in path.iter().enumerate() {
        let Some((key, child)) = node.child(step) else {
            break;
        };
        let is_last = index + 1 == path.len();
        let is_scalar = !matches!(child.tree, Tree::Map(_) | Tree::List(_) | Tree::Null);
        place = Some(if is_last && is_scalar && !is_of_key {
            child.place
        } else {
            key
        });
        node = child;
    }
    place
}
