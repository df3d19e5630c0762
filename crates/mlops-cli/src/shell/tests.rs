use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

/// Runs a script in a real shell and returns what it printed.
fn run(program: &str, arguments: &[&str], script: &str) -> Vec<u8> {
    // Shells like to leave their files there.
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home.path())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} failed on:\n{script}");
    output.stdout
}

/// Values as a child of the shell sees them.
fn through(syntax: ShellSyntax, values: &[String]) -> Vec<String> {
    let names: Vec<String> = (0..values.len())
        .map(|index| format!("V_{index}"))
        .collect();
    let pairs = names
        .iter()
        .map(String::as_str)
        .zip(values.iter().map(String::as_str));
    let mut script = assignments(syntax, pairs).unwrap();
    let printed = match syntax {
        ShellSyntax::Sh => {
            script.push_str("exec env -0\n");
            run("sh", &["-s"], &script)
        }
        ShellSyntax::Dotenv => run("sh", &["-s"], &format!("set -a\n{script}exec env -0\n")),
        ShellSyntax::Fish => {
            script.push_str("env -0\n");
            run("fish", &["--no-config"], &script)
        }
        ShellSyntax::Powershell => {
            script.push_str("env -0\n");
            run(
                "pwsh",
                &["-NoProfile", "-NonInteractive", "-Command", "-"],
                &script,
            )
        }
    };
    let printed = String::from_utf8(printed).unwrap();
    names
        .iter()
        .map(|name| {
            let start = format!("{name}=");
            printed
                .split('\0')
                .find_map(|pair| pair.strip_prefix(&start))
                .unwrap_or_else(|| panic!("{name} is not set"))
                .to_owned()
        })
        .collect()
}

fn hostile() -> Vec<String> {
    [
        "",
        " ",
        "plain",
        "it's",
        "''",
        "a\\b\\\\",
        "\\'",
        "$HOME `id` $(id) !! #x",
        "\"double\"",
        "~",
        "*?[a]{b,c}",
        "line\nend\n",
        "tab\tand\rreturn",
        "\u{2018}curly\u{2019}\u{201a}\u{201b}",
        "ünïcödé 漢字 🦀",
        "-n",
        "a;b&c|d<e>f",
        "%PATH% ^x",
        "trailing\\",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn values() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[^\0]{0,40}", 1..40)
}

#[test]
fn sh_gets_hostile_values_unchanged() {
    assert_eq!(through(ShellSyntax::Sh, &hostile()), hostile());
}

#[test]
fn dotenv_is_understood_by_sh() {
    let values: Vec<String> = hostile()
        .into_iter()
        .filter(|value| !value.contains(['\n', '\r']))
        .collect();
    assert_eq!(through(ShellSyntax::Dotenv, &values), values);
}

#[test]
#[ignore = "needs fish"]
fn fish_gets_hostile_values_unchanged() {
    assert_eq!(through(ShellSyntax::Fish, &hostile()), hostile());
}

#[test]
#[ignore = "needs pwsh"]
fn powershell_gets_hostile_values_unchanged() {
    // Reading a script from standard input, PowerShell takes it line by line.
    let values: Vec<String> = hostile()
        .into_iter()
        .filter(|value| !value.is_empty() && !value.contains(['\n', '\r']))
        .collect();
    assert_eq!(through(ShellSyntax::Powershell, &values), values);
}

#[test]
fn a_word_is_quoted_only_when_needed() {
    assert_eq!(quote_if_needed("/srv/data"), "/srv/data");
    assert_eq!(quote_if_needed("my data"), "'my data'");
    assert_eq!(quote_if_needed(""), "''");
}

#[test]
fn wrong_names_and_values_are_refused() {
    for name in ["", "1a", "A B", "A=B", "A;id", "Ä"] {
        assert!(
            assignments(ShellSyntax::Sh, [(name, "x")]).is_err(),
            "{name}"
        );
    }
    assert!(assignments(ShellSyntax::Sh, [("A", "a\0b")]).is_err());
    for value in ["a\nb", "a\rb", "${HOME}"] {
        assert!(assignments(ShellSyntax::Dotenv, [("A", value)]).is_err());
    }
}

/// What PowerShell and fish make of their quotes, told from their documentation, where the shells themselves are not
/// at hand.
mod models {
    pub(super) fn read_fish(quoted: &str) -> String {
        let mut text = String::new();
        let mut rest = quoted.strip_prefix('\'').unwrap().chars();
        while let Some(c) = rest.next() {
            match c {
                '\'' => {
                    assert_eq!(rest.as_str(), "", "the quote ends early: {quoted}");
                    return text;
                }
                '\\' => {
                    let next = rest.next().unwrap();
                    if !matches!(next, '\\' | '\'') {
                        text.push('\\');
                    }
                    text.push(next);
                }
                c => text.push(c),
            }
        }
        panic!("the quote does not end: {quoted}")
    }

    pub(super) fn read_powershell(quoted: &str) -> String {
        let is_quote =
            |c: char| matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}');
        let mut text = String::new();
        let mut rest = quoted.strip_prefix('\'').unwrap().chars().peekable();
        while let Some(c) = rest.next() {
            if is_quote(c) {
                let Some(next) = rest.next_if(|next| is_quote(*next)) else {
                    assert_eq!(rest.next(), None, "the quote ends early: {quoted}");
                    return text;
                };
                text.push(next);
            } else {
                text.push(c);
            }
        }
        panic!("the quote does not end: {quoted}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sh_gets_any_value_unchanged(values in values()) {
        prop_assert_eq!(through(ShellSyntax::Sh, &values), values);
    }

    #[test]
    fn dotenv_values_are_understood_by_sh(values in values()) {
        let values: Vec<String> = values
            .into_iter()
            .map(|value| value.replace(['\n', '\r'], " ").replace("${", "$ {"))
            .collect();
        prop_assert_eq!(through(ShellSyntax::Dotenv, &values), values);
    }

    #[test]
    #[ignore = "needs fish"]
    fn fish_gets_any_value_unchanged(values in values()) {
        prop_assert_eq!(through(ShellSyntax::Fish, &values), values);
    }
}

proptest! {
    #[test]
    fn quotes_end_where_they_should(value in "[^\0]{0,60}") {
        prop_assert_eq!(models::read_fish(&quote_fish(&value)), value.clone());
        prop_assert_eq!(models::read_powershell(&quote_powershell(&value)), value);
    }

    #[test]
    fn powershell_quotes_are_doubled(value in "['\u{2018}\u{2019}\u{201a}\u{201b}a]{0,12}") {
        prop_assert_eq!(models::read_powershell(&quote_powershell(&value)), value);
    }
}
