//! `mlops man`: manual pages.

use std::path::PathBuf;

use clap_mangen::Man;
use mlops_core::{Error, ErrorKind, Result};

use crate::args::{ManArgs, command};
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file::{self, Existing};

/// Prints the page of the command, or writes one page for each verb.
pub(crate) fn man(cx: &Cx, args: &ManArgs) -> Result<Exit> {
    let Some(folder) = &args.dir else {
        let page = render(&Man::new(command()))?;
        if cx.printer.is_json() {
            cx.printer.json(&serde_json::json!({ "page": page }))?;
        } else {
            cx.printer.raw(page.as_bytes())?;
        }
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::new(
            file::kind_of(&error),
            format!("make folder `{}`", folder.display()),
        )
        .with_source(error)
    })?;
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    let mut written: Vec<PathBuf> = Vec::new();
    let verbs: Vec<clap::Command> = whole.get_subcommands().cloned().collect();
    for page in std::iter::once(whole).chain(verbs) {
        let page = Man::new(page);
        let path = folder.join(page.get_filename());
        file::write(&path, &render(&page)?, Existing::Replace)?;
        written.push(path);
    }
    cx.printer.show(&written, |_| {
        let lines: Vec<String> = written
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}

fn render(page: &Man) -> Result<String> {
    let failed = |error: &dyn std::error::Error| {
        Error::new(ErrorKind::Failed, "write a manual page").with_source(error.to_string())
    };
    let mut text = Vec::new();
    page.render(&mut text).map_err(|error| failed(&error))?;
    String::from_utf8(text).map_err(|error| failed(&error))
}
