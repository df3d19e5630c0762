//! What is wrong with a file, for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The line of a file that a [`Diagnostic`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snippet {
    /// The line, shortened when it is long, with whatever may be a secret replaced by `…`.
    pub text: String,
    /// How many characters stand before the marked part.
    pub start: usize,
    /// How many characters are marked, at least one.
    pub width: usize,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// The file, as the user named it.
    pub path: String,
    /// The line, from 1; `None` when it is not about one place of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let line = self.line.map(|line| line.to_string()).unwrap_or_default();
        let margin = " ".repeat(line.len());
        write!(f, "\n{margin}--> {}", self.path)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{margin} |")?;
            write!(f, "\n{line} | {}", snippet.text)?;
            let (before, marks) = (" ".repeat(snippet.start), "^".repeat(snippet.width.max(1)));
            write!(f, "\n{margin} | {before}{marks}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{margin} = hint: {hint}")?;
        }
        Ok(())
    }
}

/// All that is wrong with a file, in the order of its lines. Never empty when it is an error.
///
/// ```
/// use mlops_core::Platform;
///
/// let wrong = Platform::parse("platform.yaml", "name: demo\nsizes: small\n").unwrap_err();
/// assert_eq!(wrong.to_string(), "\
/// error: unknown key `sizes`
///  --> platform.yaml:2:1
///   |
/// 2 | sizes: small
///   | ^^^^^
///   = hint: did you mean `size`?");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Takes them and puts them in the order of the file, each once. Messages and hints may name what stands in a file;
    /// control characters in them, which a terminal would obey, become spaces.
    pub fn new(list: impl IntoIterator<Item = Diagnostic>) -> Self {
        let plain = |text: String| text.replace(char::is_control, " ");
        let mut all: Vec<Diagnostic> = list
            .into_iter()
            .map(|one| Diagnostic {
                message: plain(one.message),
                hint: one.hint.map(plain),
                ..one
            })
            .collect();
        // A stable sort: what concerns the same place stays in the order of the checks.
        all.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
        all.dedup();
        Self(all)
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These and others together.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self::new(self.0.into_iter().chain(others.0))
    }

    /// `Ok` with the value when nothing is wrong.
    ///
    /// # Errors
    ///
    /// These diagnostics, when there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostics> for Error {
    /// The diagnostics become the cause, where a program finds them again by `downcast_ref`.
    fn from(diagnostics: Diagnostics) -> Self {
        let mut files: Vec<&str> = diagnostics.iter().map(|one| one.path.as_str()).collect();
        files.dedup();
        let files: Vec<String> = files.iter().map(|file| format!("`{file}`")).collect();
        Self::new(
            ErrorKind::InvalidInput,
            format!("understand {}", files.join(", ")),
        )
        .with_source(diagnostics)
    }
}
