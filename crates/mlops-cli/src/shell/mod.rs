//! Environment variables in the syntax of shells, correctly quoted.

use mlops_core::{Error, ErrorKind, Result};

use crate::args::ShellSyntax;

/// Variables as the lines that set them in a shell, each with a line end.
///
/// Values may hold secrets, and so may what comes back.
///
/// ```
/// use mlops_cli::{ShellSyntax, shell};
///
/// let text = shell::assignments(ShellSyntax::Sh, [("USER_NAME", "it's me")])?;
/// assert_eq!(text, "export USER_NAME='it'\\''s me'\n");
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
///
/// When a name is not one of letters, digits and underscores, or a value cannot be written in the syntax.
pub fn assignments<'a>(
    syntax: ShellSyntax,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String> {
    let mut text = String::new();
    for (name, value) in variables {
        check(syntax, name, value)?;
        let (before, between, quoted) = match syntax {
            ShellSyntax::Sh => ("export ", "=", quote_sh(value)),
            ShellSyntax::Fish => ("set -gx ", " ", quote_fish(value)),
            ShellSyntax::Powershell => ("$env:", " = ", quote_powershell(value)),
            ShellSyntax::Dotenv => ("", "=", quote_dotenv(value)),
        };
        for part in [before, name, between, &quoted, "\n"] {
            text.push_str(part);
        }
    }
    Ok(text)
}

fn check(syntax: ShellSyntax, name: &str, value: &str) -> Result<()> {
    let wrong = |cause: &str| {
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("set the variable `{}`", name.escape_debug()),
        )
        .with_source(cause.to_owned()))
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return wrong("a name has letters, digits and underscores only");
    }
    if value.contains('\0') {
        return wrong("no environment can hold a zero byte");
    }
    // Readers of such files disagree on line ends and on what `${` means.
    if syntax == ShellSyntax::Dotenv && (value.contains(['\n', '\r']) || value.contains("${")) {
        return wrong(
            "a `.env` file cannot hold line ends or `${` in a way that all readers understand",
        );
    }
    Ok(())
}

/// In single quotes nothing is special but the single quote itself
/// (<https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02_02>).
pub fn quote_sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The text as a word of a command line: quoted for `sh` only when something in it is special.
pub fn quote_if_needed(text: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b"_-.,:/@%+=".contains(&b);
    if !text.is_empty() && text.bytes().all(is_bare) {
        text.to_owned()
    } else {
        quote_sh(text)
    }
}

/// In single quotes only `\\` and `\'` are special (<https://fishshell.com/docs/current/language.html#quotes>).
pub fn quote_fish(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// In single quotes only the quote is special, and PowerShell takes typographic quotes for it as well
/// (`IsSingleQuote` in <https://github.com/PowerShell/PowerShell/blob/master/src/System.Management.Automation/engine/parser/CharTraits.cs>).
pub fn quote_powershell(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// Bare when nothing in it is special anywhere, else in the quotes in which readers and shells agree most.
fn quote_dotenv(text: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b"_-.,:/@%+=".contains(&b);
    if !text.is_empty() && text.bytes().all(is_bare) {
        return text.to_owned();
    }
    if !text.contains(['\'', '\\']) {
        return format!("'{text}'");
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
