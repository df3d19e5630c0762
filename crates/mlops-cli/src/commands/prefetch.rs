//! `mlops prefetch`: fill the caches for work without a network.

use std::path::Path;

use mlops::session::Network;
use mlops_core::Result;
use serde::Serialize;

use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::{plain_line, table};

/// Fetches everything that `up` would fetch.
pub(crate) async fn prefetch(cx: &Cx) -> Result<Exit> {
    #[derive(Serialize)]
    struct Fetched<'a> {
        what: &'a str,
        path: &'a Path,
    }
    let session = cx.session(Network::Use)?;
    let fetched = session
        .prefetch(&|news| cx.printer.say(&plain_line(news)))
        .await?;
    let document: Vec<Fetched<'_>> = fetched
        .iter()
        .map(|(what, path)| Fetched { what, path })
        .collect();
    cx.printer.show(&document, |paint| {
        let rows: Vec<[String; 2]> = fetched
            .iter()
            .map(|(what, path)| [what.clone(), path.display().to_string()])
            .collect();
        table(paint, ["CACHED", "WHERE"], &rows)
    })?;
    cx.printer.say("`mlops up --offline` needs no network now.");
    Ok(Exit::Done)
}
