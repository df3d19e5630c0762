//! Plans for people.

use std::fmt;

use super::{Action, FieldChange, ObjectChange, ObjectPlan, Shown};

/// The longest value that is shown, in characters.
const LONGEST: usize = 60;

impl fmt::Display for ObjectPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .changes
            .iter()
            .filter(|change| !matches!(change.action, Action::Nothing));
        for change in shown {
            writeln!(f, "{change}")?;
        }
        let (created, changed, removed) = self.counts();
        if self.is_empty() {
            return write!(f, "nothing to do for {} objects", self.changes.len());
        }
        write!(
            f,
            "{created} to create, {changed} to change, {removed} to remove"
        )
    }
}

impl fmt::Display for ObjectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, word, fields) = match &self.action {
            Action::Nothing => (' ', "is as wanted", None),
            Action::Create => ('+', "create", None),
            Action::Update { fields } => ('~', "update", Some(fields)),
            Action::Adopt { fields } => ('~', "adopt", Some(fields)),
            Action::Replace { fields } => ('!', "replace", Some(fields)),
            Action::Conflict { fields, .. } => ('x', "conflict", Some(fields)),
            Action::Remove => ('-', "remove", None),
            Action::Keep { .. } => (' ', "keep", None),
            Action::Unknown { .. } => ('?', "could not ask", None),
        };
        write!(f, "{mark} {word} {}", self.id)?;
        match &self.action {
            Action::Conflict { reason, .. } | Action::Keep { reason } => write!(f, ": {reason}")?,
            Action::Unknown { failure } => write!(f, ": {}", failure.message)?,
            _ => {}
        }
        for field in fields.into_iter().flatten() {
            write!(f, "\n    {field}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} -> {}",
            crate::error::printable(&self.path),
            self.from,
            self.to
        )?;
        match &self.owner {
            Some(owner) => write!(f, " (owned by {})", owner.manager),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("(none)"),
            Self::Hidden => f.write_str("(hidden)"),
            Self::Value(value) => {
                let text = value.to_string();
                if text.chars().count() <= LONGEST {
                    return f.write_str(&crate::error::printable(&text));
                }
                let start: String = text.chars().take(LONGEST).collect();
                write!(f, "{}…", crate::error::printable(&start))
            }
        }
    }
}
