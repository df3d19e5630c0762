//! `mlops down`: stop everything, keep all data.

use mlops::session::Network;
use mlops_core::Result;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cx::Cx;
use crate::exit::Exit;
use crate::progress::{Json, Progress};
use crate::text::plain_line;

/// Stops every process in order.
pub(crate) async fn down(cx: &Cx, cancel: &CancellationToken) -> Result<Exit> {
    #[derive(Serialize)]
    struct Stopped<'a> {
        platform: &'a str,
        stopped: &'a [String],
    }
    let session = cx.session(Network::Avoid)?;
    let progress = Progress::new(&cx.printer, Json::Nothing, "stopping");
    let stopped = session.down(progress.sink(), cancel.clone()).await;
    progress.end();
    let stopped = stopped?;
    let platform = session.graph().platform.as_str();
    let document = Stopped {
        platform,
        stopped: &stopped,
    };
    if cx.printer.is_json() {
        cx.printer.json(&document)?;
    } else if stopped.is_empty() {
        cx.printer
            .say(&format!("Platform `{platform}` did not run."));
    } else {
        cx.printer.say(&format!(
            "Stopped {}. The data of `{platform}` stays; `mlops up` goes on with it.",
            plain_line(&stopped.join(", "))
        ));
    }
    Ok(Exit::Done)
}
