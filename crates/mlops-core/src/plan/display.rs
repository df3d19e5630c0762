//! A plan as text for people.

use std::fmt;

use super::{Action, Change, FieldDifference, Plan};

impl Action {
    /// The sign before a change: `+`, `~`, `±`, `-` …
    pub fn sign(&self) -> char {
        match self {
            Self::Create => '+',
            Self::Update { .. } => '~',
            Self::Replace { .. } => '±',
            Self::Adopt { .. } => '=',
            Self::Remove => '-',
            Self::Wait => '.',
            Self::Later { .. } => '?',
            Self::Keep => '!',
            Self::Nothing => ' ',
        }
    }
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<serde_json::Value>| {
            value
                .as_ref()
                .map_or_else(|| "not set".to_owned(), ToString::to_string)
        };
        write!(
            f,
            "{}: {} -> {}",
            self.field,
            show(&self.found),
            show(&self.wanted)
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.action.sign(),
            self.action.verb(),
            self.id
        )?;
        match &self.action {
            Action::Adopt { from, .. } => write!(f, " (was: {from})")?,
            Action::Later { behind } => write!(f, " (when {behind} is ready)")?,
            Action::Keep => f.write_str(" (data that stays)")?,
            _ => {}
        }
        for difference in self.action.differences() {
            write!(f, "\n    {difference}")?;
        }
        Ok(())
    }
}

/// One line a change, those with nothing to do left out, and a count at the end.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            if change.action != Action::Nothing {
                writeln!(f, "{change}")?;
            }
        }
        let counts = self.counts();
        if counts.is_empty() {
            return write!(
                f,
                "Nothing to do: all {} resources of `{}` are as described",
                self.changes.len(),
                self.platform
            );
        }
        let parts: Vec<String> = counts
            .iter()
            .map(|(verb, count)| format!("{count} to {verb}"))
            .collect();
        let rest = self.changes.len() - counts.values().sum::<usize>();
        write!(f, "Plan for `{}`: {}", self.platform, parts.join(", "))?;
        if rest > 0 {
            write!(f, ", {rest} as described")?;
        }
        Ok(())
    }
}
