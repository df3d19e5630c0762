//! A file's text, and the way from it to a typed value or to everything that is wrong with it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{
    DuplicateKeyPolicy, Error as YamlError, MergeKeyPolicy, MessageFormatter as _, Options,
    UserMessageFormatter,
};

use super::diagnostic::{Diagnostic, Diagnostics, Snippet};
use super::tree::{Node, Place};
use super::validate;

/// The largest file that is read, in bytes. Ten thousand components with settings fit.
pub const MAX_BYTES: usize = 4 << 20;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 24;

/// The most anchors (`&NAME`) that are read.
const MAX_ANCHORS: usize = 64;

/// The most aliases (`*NAME`) that are read.
const MAX_ALIASES: usize = 256;

/// The longest line that a snippet shows, in characters.
const MAX_SNIPPET: usize = 120;

/// A YAML file as it was read, with the name that messages give it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    path: String,
    text: String,
}

impl Source {
    /// Takes the text of the file `path`; the name is for messages only.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            path: path.into(),
            text: text.into(),
        }))
    }

    /// The file, as the user named it.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Reads a value: unknown and duplicate keys are errors, and anchors, nesting and size are bounded.
    ///
    /// A file that is right is read once, straight into the type. Only one that is wrong is looked at again, as a
    /// tree, against the type's JSON Schema, so that all errors are found and each knows its place.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Diagnostics> {
        match self.read_partly() {
            (Some(value), wrong) if wrong.is_empty() => Ok(value),
            (_, wrong) => Err(wrong),
        }
    }

    /// Reads what can be read: the value without its wrong parts, if that is still one, and what is wrong.
    ///
    /// With this, checks that come later can be made as well and reported together with these.
    pub fn read_partly<T: DeserializeOwned + JsonSchema>(&self) -> (Option<T>, Diagnostics) {
        if let Err(wrong) = self.check_size() {
            return (None, wrong);
        }
        let strict = options(DuplicateKeyPolicy::Error);
        let error = match serde_saphyr::from_str_with_options::<T>(self.text(), strict) {
            Ok(value) => return (Some(value), Diagnostics::default()),
            Err(error) => error,
        };
        let tree = match self.tree() {
            Ok(tree) => tree,
            Err(error) => return (None, Diagnostics::new([self.syntax(&error)])),
        };
        let schema = schemars::schema_for!(T).to_value();
        let (pruned, mut wrong) = validate::check(&tree, &schema);
        if wrong.is_empty() {
            // A rule of the type that the schema does not tell.
            return (None, Diagnostics::new([self.syntax(&error)]));
        }
        wrong.truncate(MAX_DIAGNOSTICS);
        let value = pruned.and_then(|value| T::deserialize(value).ok());
        let list = wrong.into_iter().map(|wrong| {
            self.diagnostic(
                Some(wrong.place),
                wrong.message,
                wrong.hint,
                wrong.is_secret,
            )
        });
        (value, Diagnostics::new(list))
    }

    fn check_size(&self) -> Result<(), Diagnostics> {
        if self.text().len() <= MAX_BYTES {
            return Ok(());
        }
        let message = format!(
            "the file has {} bytes, and at most {MAX_BYTES} are read",
            self.text().len()
        );
        Err(Diagnostics::new([Diagnostic {
            path: self.path().to_owned(),
            line: None,
            column: None,
            message,
            hint: None,
            snippet: None,
        }]))
    }

    pub(super) fn tree(&self) -> Result<Node, YamlError> {
        serde_saphyr::from_str_with_options(self.text(), options(DuplicateKeyPolicy::LastWins))
    }

    fn syntax(&self, error: &YamlError) -> Diagnostic {
        let error = error.without_snippet();
        let (message, hint) = explain(error);
        let place = error
            .location()
            .filter(|location| location.line() > 0)
            .map(|location| Place {
                length: 1,
                ..Place::from(location)
            });
        self.diagnostic(place, message, hint, false)
    }

    pub(super) fn diagnostic(
        &self,
        place: Option<Place>,
        message: String,
        hint: Option<String>,
        is_secret: bool,
    ) -> Diagnostic {
        Diagnostic {
            path: self.path().to_owned(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            message,
            hint,
            snippet: place.and_then(|place| self.snippet(place, is_secret)),
        }
    }

    fn snippet(&self, place: Place, is_secret: bool) -> Option<Snippet> {
        let index = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let line = self.text().lines().nth(index)?;
        let column = usize::try_from(place.column).ok()?.saturating_sub(1);
        let text = conceal(line, if is_secret { Some(column) } else { None });
        let total = text.chars().count();
        let skip = if total > MAX_SNIPPET {
            column.saturating_sub(MAX_SNIPPET / 2)
        } else {
            0
        };
        let shown: String = text
            .chars()
            .skip(skip)
            .take(MAX_SNIPPET)
            // A tab or another control character would move the marks below.
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let start = column - skip;
        let left = shown.trim_end().chars().count().saturating_sub(start);
        let width = usize::try_from(place.length).unwrap_or(usize::MAX);
        Some(Snippet {
            text: shown.trim_end().to_owned(),
            start,
            width: width.clamp(1, left.max(1)),
        })
    }
}

/// More than this nobody reads at once.
const MAX_DIAGNOSTICS: usize = 100;

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            // Above the depth, whose message is clearer.
            flow_nesting_limit: 2 * MAX_DEPTH,
            max_events: 1_000_000,
            max_nodes: 500_000,
            max_anchors: MAX_ANCHORS,
            max_aliases: MAX_ALIASES,
            // One more than is read, so that the message is of documents and not of limits.
            max_documents: 2,
            max_total_scalar_bytes: MAX_BYTES,
        },
        duplicate_keys: duplicate_keys,
        merge_keys: MergeKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        strict_booleans: true,
        no_schema: true,
        with_snippet: false,
    }
}

/// The parser's errors in our words, with what to do.
fn explain(error: &YamlError) -> (String, Option<String>) {
    let (message, hint) = match error {
        YamlError::Eof { .. } => ("the file is empty", "one line is enough: `name: demo`"),
        YamlError::MultipleDocuments { .. } => (
            "the file holds more than one document",
            "take the line `---` out",
        ),
        YamlError::QuotingRequired { .. } => (
            "expected a text, and this can be taken for something else",
            "put it in quotes",
        ),
        YamlError::MergeKeyNotAllowed { .. } => {
            ("merge keys (`<<`) are not read", "write the entries out")
        }
        YamlError::UnknownAnchor { .. } => (
            "nothing of that name was defined before",
            "define it with `&NAME` before it is used with `*NAME`",
        ),
        YamlError::RecursiveReferencesRequireWeakTypes { .. } => (
            "an anchor cannot be part of itself",
            "write the entries out",
        ),
        YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => (
            "the aliases stand for too much",
            "write the entries out, or use fewer of them",
        ),
        YamlError::AliasError { error, .. } => return explain(error),
        YamlError::Budget { breach, .. } => return (explain_breach(breach), None),
        _ => {
            let text = UserMessageFormatter.format_message(error);
            let hint = text
                .contains("tabs disallowed")
                .then(|| "indent with spaces".to_owned());
            return (text.into_owned(), hint);
        }
    };
    (message.to_owned(), Some(hint.to_owned()))
}

fn explain_breach(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => {
            format!("the file is nested more than {MAX_DEPTH} levels deep")
        }
        BudgetBreach::Anchors { .. } => format!("the file has more than {MAX_ANCHORS} anchors"),
        BudgetBreach::Aliases { .. } => format!("the file has more than {MAX_ALIASES} aliases"),
        _ => "the file holds too much".to_owned(),
    }
}

/// Replaces what may be a secret: everything from `column` on if given, the value after a key that names a secret,
/// and the user part of a URL.
fn conceal(line: &str, column: Option<usize>) -> String {
    if let Some(column) = column {
        return line.chars().take(column).chain(['…']).collect();
    }
    if let Some(start) = secret_value(line) {
        return line.get(..start).unwrap_or_default().to_owned() + "…";
    }
    if let Some((before, rest)) = line.split_once("://")
        && let Some((_, after)) = rest.split_once('@')
        && !before.ends_with("models")
    {
        return format!("{before}://…@{after}");
    }
    line.to_owned()
}

/// Where the value of the first key begins whose name speaks of a secret, unless it is a reference.
fn secret_value(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    ["password", "passwd", "secret", "token"]
        .iter()
        .flat_map(|word| lower.match_indices(word))
        .filter_map(|(at, _)| {
            // Those are names of Secrets.
            if lower.get(..at)?.ends_with("image_pull_") {
                return None;
            }
            let rest = lower.get(at..)?;
            let colon = at + rest.find(|c: char| !(c.is_alphanumeric() || "_-\"'".contains(c)))?;
            let value = lower.get(colon..)?.strip_prefix(':')?;
            let start = line.len() - value.trim_start().len();
            let is_written_out =
                !value.trim().is_empty() && !value.trim_start().starts_with(['{', '#']);
            is_written_out.then_some(start)
        })
        .min()
}
