//! `mlops serve`: serve what the aliases name now.

use mlops::session::Network;
use mlops_core::Result;
use tokio_util::sync::CancellationToken;

use crate::args::ServeArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::outcome;
use crate::progress::{Json, Progress};

/// Serves one model or all, once or until it is interrupted.
pub(crate) async fn serve(cx: &Cx, args: &ServeArgs, cancel: &CancellationToken) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    if args.follow && !cx.printer.is_json() {
        cx.printer.say(
            "Following the aliases until Ctrl-C: a new version is served as soon as one moves.",
        );
    }
    let progress = Progress::new(&cx.printer, Json::Lines, "looking");
    let report = session
        .serve(
            args.model.as_deref(),
            args.follow,
            progress.sink(),
            cancel.clone(),
        )
        .await;
    progress.end();
    let report = report?;
    outcome::explain(
        &cx.printer,
        &report,
        "the version that was served before is still served; `mlops serve` tries again",
    );
    let exit = match outcome::exit_of(&report) {
        Exit::Done if cancel.is_cancelled() => Exit::Interrupted,
        exit => exit,
    };
    if exit == Exit::Done && !cx.printer.is_json() {
        cx.printer.say(&match report.changed() {
            0 => "Every model is served as its alias says.".to_owned(),
            1 => "1 model is served anew.".to_owned(),
            changed => format!("{changed} models are served anew."),
        });
    }
    Ok(exit)
}
