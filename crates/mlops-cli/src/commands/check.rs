//! `mlops check`: prove every binding with the credentials of its consumer.

use std::path::Path;

use mlops::session::{InsideCheck, Network};
use mlops_core::platform::MAX_BYTES;
use mlops_core::{Error, ErrorKind, EventSink, Report, Result};
use mlops_k8s::target::{FILES_AT, HANDED_AT};
use tokio_util::sync::CancellationToken;

use crate::args::CheckArgs;
use crate::catalog;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file::{self, Existing};
use crate::outcome;
use crate::progress::{Json, Progress};
use crate::text::Paint;

/// Makes all probes, shows what they found, and saves the report where that is wanted.
pub(crate) async fn check(cx: &Cx, args: &CheckArgs) -> Result<Exit> {
    let session = match &args.inside {
        Some(handed) => cx.session_inside(handed)?,
        None => cx.session(Network::Avoid)?,
    };
    // The report says the same at the end, so news are for those who ask for them.
    let report = if cx.printer.is_verbose() {
        let progress = Progress::new(&cx.printer, Json::Nothing, "checking");
        session.check(progress.sink()).await?
    } else {
        session.check(EventSink::none()).await?
    };
    show(cx, args, &report)
}

/// The same from a pod of the cluster.
pub(crate) async fn inside(cx: &Cx, args: &CheckArgs, cancel: &CancellationToken) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    // A platform of this machine is refused, whatever its files are.
    let taken = match session.cluster() {
        Some(_) => take_along(cx)?,
        None => InsideCheck::default(),
    };
    let progress = Progress::new(
        &cx.printer,
        Json::Nothing,
        "checking from inside the cluster",
    );
    let report = session.check_inside(taken, progress.sink(), cancel).await;
    progress.end();
    show(cx, args, &report?)
}

/// The platform as the pod reads it: its file, and the folders of components.
fn take_along(cx: &Cx) -> Result<InsideCheck> {
    let mut taken = InsideCheck::default();
    let mut arg = |text: &str| taken.args.push(text.to_owned());
    for text in [
        "check", "--inside", HANDED_AT, "--output", "json", "--quiet",
    ] {
        arg(text);
    }
    for text in ["--data-dir", "/tmp/data", "--cache-dir", "/tmp/cache"] {
        arg(text);
    }
    arg("--file");
    arg(&format!("{FILES_AT}/{}", file::PLATFORM_FILE));
    if let Some(name) = &cx.global.name {
        arg("--name");
        arg(name.as_str());
    }
    let described = cx.file.as_deref().unwrap_or(Path::new(file::PLATFORM_FILE));
    let text = file::read_input(described, MAX_BYTES as u64)?;
    taken.files.insert(file::PLATFORM_FILE.to_owned(), text);
    for (index, folder) in cx.global.catalog.iter().enumerate() {
        let name = format!("catalog-{index}");
        for (path, text) in catalog::read_folder(folder)? {
            let below = path.strip_prefix(folder).unwrap_or(&path);
            let below = below.to_str().ok_or_else(|| {
                let doing = format!("bring `{}` into the cluster", path.display());
                Error::new(ErrorKind::InvalidInput, doing).with_source("its name is not UTF-8")
            })?;
            taken.files.insert(format!("{name}/{below}"), text);
        }
        taken.args.push("--catalog".to_owned());
        taken.args.push(format!("{FILES_AT}/{name}"));
    }
    Ok(taken)
}

fn show(cx: &Cx, args: &CheckArgs, report: &Report) -> Result<Exit> {
    for path in &args.save {
        file::write(path, &saved(path, report)?, Existing::Replace)?;
    }
    cx.printer
        .show(report, |paint| outcome::describe_probes(paint, report))?;
    Ok(outcome::exit_of(report))
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
