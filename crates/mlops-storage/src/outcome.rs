//! What came of making sure of something.

use std::fmt;

/// What an `ensure_…` function did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there, or only half made, and is there now.
    Created,
    /// It was there and differed; it is as wanted now.
    Updated,
    /// It was there as wanted; nothing was written.
    Unchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        })
    }
}

/// What to do with a thing of the wanted name that bears another mark or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Foreign {
    /// Leave it alone and fail.
    #[default]
    Refuse,
    /// Take it over.
    TakeOver,
}

/// A number of bytes for people, in powers of 1000: `12 MB`.
#[cfg(any(feature = "postgres", feature = "s3"))]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 10_000 && unit + 1 < UNITS.len() {
        value = value / 1000 + u64::from(value % 1000 >= 500);
        unit += 1;
    }
    format!("{value} {}", UNITS.get(unit).unwrap_or(&"B"))
}

/// A number with its noun: `1 table`, `3 tables`.
#[cfg(any(feature = "postgres", feature = "s3"))]
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(all(test, any(feature = "postgres", feature = "s3")))]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(9_999), "9999 B");
        assert_eq!(bytes(12_345_678), "12 MB");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
        assert_eq!(count(1, "table"), "1 table");
        assert_eq!(count(0, "table"), "0 tables");
    }
}
