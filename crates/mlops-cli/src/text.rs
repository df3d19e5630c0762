//! Text for terminals: foreign text made harmless, colours, tables, durations.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{Cell, Table};

/// Foreign text without what a terminal would obey: control characters and marks that turn the direction of text
/// are shown as `\u{…}`. Line ends and tabs stay.
///
/// ```
/// assert_eq!(mlops_cli::text::plain("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\n");
/// ```
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut harmless = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) {
            harmless.extend(c.escape_unicode());
        } else {
            harmless.push(c);
        }
    }
    Cow::Owned(harmless)
}

/// The same for one line: line ends are shown as well.
pub fn plain_line(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

fn is_obeyed(c: char) -> bool {
    let turns_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    turns_direction || (c.is_control() && c != '\n' && c != '\t')
}

/// Colours, when they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours text when `on`, else leaves it as it is.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether it colours.
    pub fn is_on(self) -> bool {
        self.on
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// What matters most.
    pub fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What matters least.
    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    /// What failed or goes away.
    pub fn red(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default(), text)
    }

    /// An error's first word.
    pub fn error(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    /// What is good or comes.
    pub fn green(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default(), text)
    }

    /// What changes or deserves a look.
    pub fn yellow(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    /// Hints and addresses.
    pub fn cyan(self, text: &str) -> String {
        self.with(AnsiColor::Cyan.on_default(), text)
    }

    /// The text coloured by the sign of a change: `+`, `-`, `~` …
    pub fn by_sign(self, sign: char, text: &str) -> String {
        match sign {
            '+' => self.green(text),
            '-' => self.red(text),
            '~' | '±' | '=' => self.yellow(text),
            _ => self.dim(text),
        }
    }
}

/// A duration for people: `0.4s`, `12.0s`, `2m05s`.
pub fn seconds(duration: Duration) -> String {
    if duration < Duration::from_millis(59_950) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let whole = duration.as_secs_f64().round().max(60.0);
    let whole = Duration::from_secs_f64(whole).as_secs();
    match whole {
        ..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// The same from milliseconds.
pub fn seconds_of(millis: u64) -> String {
    seconds(Duration::from_millis(millis))
}

/// Rows as columns with two spaces between them, without borders; foreign text in them is made harmless.
pub fn table<const N: usize>(paint: Paint, header: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.map(Cell::new));
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(plain_line(cell))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.trim_fmt();
    match text.split_once('\n') {
        Some((header, rest)) => format!("{}\n{rest}", paint.bold(header)),
        None => paint.bold(&text),
    }
}

/// Every line of a text with `margin` before it.
pub fn indent(text: &str, margin: &str) -> String {
    let mut indented = String::with_capacity(text.len() + margin.len());
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            indented.push('\n');
        }
        if !line.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(indented, "{margin}{line}");
        }
    }
    indented
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_short() {
        for (millis, text) in [
            (0, "0.0s"),
            (1_249, "1.2s"),
            (59_940, "59.9s"),
            (59_960, "1m00s"),
            (125_400, "2m05s"),
            (3_725_000, "1h02m"),
        ] {
            assert_eq!(seconds_of(millis), text);
        }
    }

    #[test]
    fn tables_have_two_spaces() {
        let rows = [
            ["mlflow".to_owned(), "http://127.0.0.1:5000".to_owned()],
            ["s3\u{1b}[2J".to_owned(), "-".to_owned()],
        ];
        assert_eq!(
            table(Paint::new(false), ["COMPONENT", "URL"], &rows),
            "COMPONENT    URL\n\
             mlflow       http://127.0.0.1:5000\n\
             s3\\u{1b}[2J  -"
        );
    }

    #[test]
    fn colours_only_when_wanted() {
        assert_eq!(Paint::new(false).red("x"), "x");
        assert_eq!(Paint::new(true).red("x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Paint::new(true).red(""), "");
    }

    #[test]
    fn lines_are_indented() {
        assert_eq!(indent("a\n\nb", "  "), "  a\n\n  b");
    }

    proptest! {
        #[test]
        fn nothing_is_obeyed(text in any::<String>()) {
            let harmless = plain(&text).into_owned();
            prop_assert!(!harmless.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert_eq!(plain(&harmless).into_owned(), harmless);
            prop_assert!(!plain_line(&text).contains('\n'));
        }
    }
}
