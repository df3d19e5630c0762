//! `mlops check`: prove every binding with the credentials of its consumer.

use std::path::Path;

use mlops::session::Network;
use mlops_core::{Error, ErrorKind, EventSink, Report, Result};

use crate::args::CheckArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file::{self, Existing};
use crate::outcome;
use crate::progress::{Json, Progress};
use crate::text::Paint;

/// Makes all probes, shows what they found, and saves the report where that is wanted.
pub(crate) async fn check(cx: &Cx, args: &CheckArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    // The report says the same at the end, so news are for those who ask for them.
    let report = if cx.printer.is_verbose() {
        let progress = Progress::new(&cx.printer, Json::Nothing, "checking");
        session.check(progress.sink()).await?
    } else {
        session.check(EventSink::none()).await?
    };
    for path in &args.save {
        file::write(path, &saved(path, &report)?, Existing::Replace)?;
    }
    cx.printer
        .show(&report, |paint| outcome::describe_probes(paint, &report))?;
    Ok(outcome::exit_of(&report))
}

/// The report as the file's name asks for it.
fn saved(path: &Path, report: &Report) -> Result<String> {
    let mut text = if path.extension().is_some_and(|extension| extension == "txt") {
        outcome::describe_probes(Paint::new(false), report)
    } else {
        serde_json::to_string_pretty(report)
            .map_err(|error| Error::new(ErrorKind::Failed, "save the report").with_source(error))?
    };
    text.push('\n');
    Ok(text)
}
