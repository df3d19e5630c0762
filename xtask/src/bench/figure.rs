//! What was measured, as numbers and as lines of a table.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// The median of several measurements, and the range they lay in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) rounds: usize,
}

impl Figure {
    /// `None` without a measurement.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rounds = sorted.len();
        let at = |index: usize| sorted.get(index).copied();
        Some(Self {
            median: f64::midpoint(at(rounds.checked_sub(1)? / 2)?, at(rounds / 2)?),
            least: at(0)?,
            most: at(rounds - 1)?,
            rounds,
        })
    }
}

/// What a row is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Goal {
    /// Ours is at most this, in the row's unit.
    AtMost(f64),
    /// Ours divided by the peer's is at most this.
    RatioAtMost(f64),
    /// Ours divided by the peer's is at least this.
    RatioAtLeast(f64),
    /// Measured to be known.
    None,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: String,
    pub(super) ours: Figure,
    /// The peer's name and figure.
    pub(super) peer: Option<(String, Figure)>,
    pub(super) goal: Goal,
}

impl Row {
    /// A row whose values are all of ours.
    pub(super) fn new(
        what: impl Into<String>,
        unit: &str,
        values: &[f64],
        goal: Goal,
    ) -> Result<Self> {
        let what = what.into();
        let ours = Figure::of(values).with_context(|| format!("`{what}` was never measured"))?;
        Ok(Self {
            what,
            unit: unit.to_owned(),
            ours,
            peer: None,
            goal,
        })
    }

    /// The same beside a peer.
    pub(super) fn beside(mut self, peer: &str, values: &[f64]) -> Result<Self> {
        let figure = Figure::of(values).with_context(|| format!("`{peer}` was never measured"))?;
        self.peer = Some((peer.to_owned(), figure));
        Ok(self)
    }

    /// Ours divided by the peer's.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.peer
            .as_ref()
            .map(|(_, peer)| self.ours.median / peer.median)
    }

    /// `None` when there is no goal. A goal against a peer that is not there is missed.
    pub(super) fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtMost(limit) => Some(self.ours.median <= limit),
            Goal::RatioAtMost(limit) => Some(self.ratio().is_some_and(|ratio| ratio <= limit)),
            Goal::RatioAtLeast(limit) => Some(self.ratio().is_some_and(|ratio| ratio >= limit)),
            Goal::None => None,
        }
    }

    /// The goal in words.
    pub(super) fn goal_text(&self) -> String {
        match self.goal {
            Goal::AtMost(limit) => format!("at most {} {}", number(limit), self.unit),
            Goal::RatioAtMost(limit) => format!("at most {limit} x"),
            Goal::RatioAtLeast(limit) => format!("at least {limit} x"),
            Goal::None => "-".to_owned(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {}: {} {}",
            self.what,
            number(self.ours.median),
            self.unit
        )?;
        if let (Some((name, peer)), Some(ratio)) = (&self.peer, self.ratio()) {
            write!(f, ", {name} {}, ratio {ratio:.2}", number(peer.median))?;
        }
        match self.met() {
            Some(true) => f.write_str(", goal met"),
            Some(false) => write!(f, ", goal MISSED ({})", self.goal_text()),
            None => Ok(()),
        }
    }
}

/// Three digits that count, more only before the point.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How long one run of a whole process takes, in milliseconds; it must end well.
pub(super) fn process_millis(command: &mut Command) -> Result<f64> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let output = command
        .spawn()
        .and_then(std::process::Child::wait_with_output);
    let took = start.elapsed().as_secs_f64() * 1000.0;
    let program = command.get_program().display();
    let output = output.with_context(|| format!("failed to run `{program}`"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{program}` ended with {}: {}",
            output.status,
            errors.trim()
        );
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_odd_and_even_numbers() {
        let odd = Figure {
            median: 2.0,
            least: 1.0,
            most: 3.0,
            rounds: 3,
        };
        assert_eq!(Figure::of(&[3.0, 1.0, 2.0]), Some(odd));
        let even = Figure {
            median: 2.5,
            least: 1.0,
            most: 4.0,
            rounds: 2,
        };
        assert_eq!(Figure::of(&[4.0, 1.0]), Some(even));
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn goals_are_judged() {
        let row = |goal| {
            Row::new("x", "ms", &[10.0], goal)
                .unwrap()
                .beside("peer", &[20.0])
                .unwrap()
                .met()
        };
        assert_eq!(row(Goal::AtMost(10.0)), Some(true));
        assert_eq!(row(Goal::AtMost(9.9)), Some(false));
        assert_eq!(row(Goal::RatioAtMost(0.5)), Some(true));
        assert_eq!(row(Goal::RatioAtLeast(1.0)), Some(false));
        assert_eq!(row(Goal::None), None);
        let alone = Row::new("x", "ms", &[10.0], Goal::RatioAtMost(9.0)).unwrap();
        assert_eq!(alone.met(), Some(false));
    }

    #[test]
    fn a_process_that_fails_has_no_time() {
        assert!(process_millis(Command::new("sh").args(["-c", "exit 0"])).unwrap() > 0.0);
        let error = process_millis(Command::new("sh").args(["-c", "echo no >&2; exit 3"]));
        assert!(error.unwrap_err().to_string().ends_with(": no"));
    }
}
