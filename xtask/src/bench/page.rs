//! The page of all figures.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::figure::{Figure, Row, number};

/// One benchmark's figures with all that is needed to judge them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) machine: String,
    pub(super) day: String,
    pub(super) versions: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// All figures: `benchmarks.json` holds them, `benchmarks.md` shows them.
#[derive(Debug)]
pub(super) struct Page {
    folder: PathBuf,
    measured: Vec<Measured>,
}

impl Page {
    /// The figures so far; none when the folder has none.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("benchmarks.json");
        let doing = || format!("failed to read `{}`", path.display());
        let measured = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(doing)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(doing),
        };
        Ok(Self {
            folder: folder.to_owned(),
            measured,
        })
    }

    /// Takes the place of what was measured earlier under the same name.
    pub(super) fn keep(&mut self, measured: Measured) {
        self.measured.retain(|old| old.name != measured.name);
        self.measured.push(measured);
    }

    /// Writes both files, the benchmarks in this order; what is not in it is dropped.
    pub(super) fn write(&mut self, order: &[&str]) -> Result<()> {
        let place = |name: &str| order.iter().position(|other| *other == name);
        self.measured
            .retain(|measured| place(&measured.name).is_some());
        self.measured.sort_by_key(|measured| place(&measured.name));
        fs::create_dir_all(&self.folder).context("failed to create the folder `docs`")?;
        let mut json = serde_json::to_string_pretty(&self.measured)?;
        json.push('\n');
        for (name, text) in [("benchmarks.json", json), ("benchmarks.md", self.text())] {
            fs::write(self.folder.join(name), text)
                .with_context(|| format!("failed to write `docs/{name}`"))?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\n\
             Written by `cargo xtask bench`; do not edit. Ours and the peer's were measured in turns, in one run on one\n\
             machine. Figures are medians, the range of all rounds in brackets; the ratio is ours divided by the peer's.\n",
        );
        for measured in &self.measured {
            section(&mut text, measured);
        }
        text
    }
}

fn section(text: &mut String, measured: &Measured) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "\n## {}\n", measured.title);
    text.push_str("| what | ours | peer | ratio | goal | met |\n|---|---|---|---|---|---|\n");
    for row in &measured.rows {
        let peer = match &row.peer {
            Some((name, figure)) => format!("{} ({name})", cell(figure, &row.unit)),
            None => "-".to_owned(),
        };
        let ratio = row
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let met = match row.met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "-",
        };
        let ours = cell(&row.ours, &row.unit);
        let _ = writeln!(
            text,
            "| {} | {ours} | {peer} | {ratio} | {} | {met} |",
            row.what,
            row.goal_text()
        );
    }
    text.push('\n');
    for note in &measured.notes {
        let _ = writeln!(text, "- {note}");
    }
    let versions: Vec<String> = measured
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let _ = writeln!(
        text,
        "- {}; {}; {}.",
        measured.day,
        measured.machine,
        versions.join(", ")
    );
}

fn cell(figure: &Figure, unit: &str) -> String {
    let median = number(figure.median);
    if figure.rounds == 1 {
        return format!("{median} {unit}");
    }
    format!(
        "{median} {unit} [{}-{}]",
        number(figure.least),
        number(figure.most)
    )
}

#[cfg(test)]
mod tests {
    use super::super::figure::Goal;
    use super::*;

    fn measured(name: &str, value: f64) -> Measured {
        let row = Row::new(
            "PUT",
            "MB/s",
            &[value, value + 2.0, value + 1.0],
            Goal::RatioAtLeast(1.0),
        );
        Measured {
            name: name.to_owned(),
            title: format!("The {name}"),
            machine: "one machine".to_owned(),
            day: "2026-01-02".to_owned(),
            versions: vec![("peer".to_owned(), "1.0".to_owned())],
            notes: vec!["How it was done.".to_owned()],
            rows: vec![row.unwrap().beside("peer", &[4.0]).unwrap()],
        }
    }

    #[test]
    fn one_benchmark_is_measured_again_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut page = Page::open(folder.path()).unwrap();
        page.keep(measured("two", 1.0));
        page.keep(measured("one", 7.0));
        page.write(&["one", "two"]).unwrap();

        let mut page = Page::open(folder.path()).unwrap();
        page.keep(measured("two", 3.0));
        page.write(&["one", "two"]).unwrap();

        let text = fs::read_to_string(folder.path().join("benchmarks.md")).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("| PUT"))
            .collect();
        assert_eq!(
            lines,
            [
                "| PUT | 8.00 MB/s [7.00-9.00] | 4.00 MB/s (peer) | 2.00 | at least 1 x | yes |",
                "| PUT | 4.00 MB/s [3.00-5.00] | 4.00 MB/s (peer) | 1.00 | at least 1 x | yes |",
            ]
        );
        assert!(text.contains("- 2026-01-02; one machine; peer 1.0.\n"));
    }
}
