//! `docs/commands.md` is made from the command itself.

use std::fmt::Write;
use std::path::Path;

const WIDTH: usize = 100;

/// The page: the help of the command and of every verb.
fn page() -> String {
    let mut whole = mlops_cli::command()
        .term_width(WIDTH)
        .disable_help_subcommand(true);
    whole.build();
    let mut text = String::from(
        "# Commands\n\nWhat `mlops` prints as help. This page is made from the command: \
         `MLOPS_BLESS=1 cargo test -p mlops-bin documents`.\n",
    );
    let verbs: Vec<clap::Command> = whole.get_subcommands().cloned().collect();
    for mut command in std::iter::once(whole).chain(verbs) {
        let name = command
            .get_bin_name()
            .unwrap_or_else(|| command.get_name())
            .to_owned();
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(
            text,
            "\n## {name}\n\n```text\n{}\n```\n",
            help.join("\n").trim_end()
        )
        .unwrap();
    }
    text
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let page = page();
    if std::env::var_os("MLOPS_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/commands.md is not what the command says: run this test with MLOPS_BLESS=1"
    );
}
