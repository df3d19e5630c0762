//! What is wrong with an object, for people and for programs.

use std::fmt;

use mlops_core::platform::Snippet;
use serde::{Deserialize, Serialize};

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It may be meant so, and may be right in the cluster.
    Warning,
    /// The API server refuses it, or it can never work.
    Error,
}

/// One thing that is wrong with an object or with a file of objects.
///
/// `Display` shows it with its line, in several lines and without a line break at the end. Values that may be secret
/// are in no field: those of a `Secret`, of variables and of keys whose names speak of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the caller named it; empty for values that came from none.
    pub source: String,
    /// The line, from 1; `None` when it is not about one place of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The object, as `KIND NAMESPACE/NAME` or `KIND NAME`; empty when it is about a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// The path of the field in the object, such as `spec.ports[0].port`; empty when it is about all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
}

impl Problem {
    /// Whether it is more than a warning.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{word}: {}", self.message)?;
        let line = self.line.map(|line| line.to_string()).unwrap_or_default();
        let margin = " ".repeat(line.len());
        if !self.source.is_empty() {
            write!(f, "\n{margin}--> {}", self.source)?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, ":{line}:{column}")?;
            }
        }
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{margin} |")?;
            write!(f, "\n{line} | {}", snippet.text)?;
            let (before, marks) = (" ".repeat(snippet.start), "^".repeat(snippet.width.max(1)));
            write!(f, "\n{margin} | {before}{marks}")?;
        }
        match (self.object.as_str(), self.path.as_str()) {
            ("", _) => {}
            (object, "") => write!(f, "\n{margin} = in: {object}")?,
            (object, path) => write!(f, "\n{margin} = in: {object}, {path}")?,
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{margin} = hint: {hint}")?;
        }
        Ok(())
    }
}
