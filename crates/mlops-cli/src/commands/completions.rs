//! `mlops completions`: what a shell needs to complete the command.

use mlops_core::Result;
use serde::Serialize;

use crate::args::{CompletionsArgs, command};
use crate::cx::Cx;
use crate::exit::Exit;

/// Prints the completions of a shell.
pub(crate) fn completions(cx: &Cx, args: &CompletionsArgs) -> Result<Exit> {
    #[derive(Serialize)]
    struct Script {
        shell: String,
        script: String,
    }
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "mlops", &mut text);
    if cx.printer.is_json() {
        cx.printer.json(&Script {
            shell: args.shell.to_string(),
            script: String::from_utf8_lossy(&text).into_owned(),
        })?;
    } else {
        cx.printer.raw(&text)?;
    }
    Ok(Exit::Done)
}
