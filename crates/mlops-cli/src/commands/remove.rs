//! `mlops remove`: take the platform away, data only by naming it.

use std::collections::{BTreeMap, BTreeSet};

use mlops::Prepared;
use mlops::session::Network;
use mlops_core::{Action, Error, ErrorKind, Graph, Observed, Owner, ResourceId, Result, nearest};
use tokio_util::sync::CancellationToken;

use crate::args::RemoveArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::interrupt;
use crate::outcome;
use crate::progress::{Json, Progress};
use crate::text::{Paint, seconds_of, table};

/// Shows what goes and what stays, asks, and removes.
pub(crate) async fn remove(cx: &Cx, args: &RemoveArgs, cancel: &CancellationToken) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let data = named_data(session.graph(), args)?;
    let (prepared, holdings) = interrupt::until(cancel, session.plan_removal(&data)).await?;
    let plan = &prepared.plan;
    if !cx.printer.is_json() {
        let paint = cx.printer.err_paint();
        cx.printer.say(&describe(paint, &prepared, &holdings));
    }
    // An empty plan is carried out as well: it leaves no folder behind.
    if !plan.is_empty() && !args.yes {
        let name = session.graph().platform.to_string();
        if !confirm(cx, cancel, &name, !data.is_empty()).await? {
            cx.printer.say("Nothing was removed.");
            return Ok(Exit::Done);
        }
    }
    let progress = Progress::new(&cx.printer, Json::Lines, "looking");
    let report = session.remove(&data, progress.sink(), cancel.clone()).await;
    progress.end();
    let report = report?;
    outcome::explain(
        &cx.printer,
        &report,
        "the next `mlops remove` goes on from here",
    );
    let exit = outcome::exit_of(&report);
    if exit == Exit::Done && !cx.printer.is_json() {
        cx.printer.say(&match report.changed() {
            0 => format!("Platform `{}` has nothing to remove.", report.platform),
            changed => format!(
                "Removed {changed} of platform `{}` in {}.",
                report.platform,
                seconds_of(report.took_ms)
            ),
        });
    }
    Ok(exit)
}

/// The resources whose data was named: by a component, with what lives in it, or by a resource's own name.
fn named_data(graph: &Graph, args: &RemoveArgs) -> Result<BTreeSet<ResourceId>> {
    let holding = || graph.resources().filter(|resource| resource.holds_data);
    if args.all_data {
        return Ok(holding().map(|resource| resource.id.clone()).collect());
    }
    let mut data = BTreeSet::new();
    for name in &args.data {
        if name.contains('/') {
            // One that the platform file no longer describes may be meant; the plan knows.
            data.insert(name.parse()?);
            continue;
        }
        let before = data.len();
        for resource in holding() {
            let host = resource.within.as_ref().and_then(|host| graph.find(host));
            let belongs = resource.component.as_str() == name
                || host.is_some_and(|host| host.component.as_str() == name);
            if belongs {
                data.insert(resource.id.clone());
            }
        }
        let known = || graph.resources().any(|one| one.component.as_str() == name);
        if data.len() == before && !(args.data.len() > 1 && known()) {
            return Err(no_data(graph, name));
        }
    }
    Ok(data)
}

fn no_data(graph: &Graph, name: &str) -> Error {
    let components: BTreeSet<&str> = graph
        .resources()
        .filter(|resource| resource.holds_data)
        .map(|resource| resource.component.as_str())
        .collect();
    let near = nearest(name, components.iter().copied())
        .map(|near| format!("did you mean `{near}`? "))
        .unwrap_or_default();
    let names: Vec<String> = components.iter().map(|name| format!("`{name}`")).collect();
    Error::new(
        ErrorKind::InvalidInput,
        format!("remove the data of `{}`", name.escape_debug()),
    )
    .with_source("no component of that name holds data")
    .with_hint(format!("{near}data is held by {}", names.join(", ")))
}

/// The plan, and what every resource that holds data holds.
fn describe(paint: Paint, prepared: &Prepared, holdings: &BTreeMap<ResourceId, String>) -> String {
    let mut text = super::plan::describe(paint, &prepared.plan);
    let rows: Vec<[String; 3]> = holdings
        .iter()
        .map(|(id, holds)| {
            let fate = fate(prepared, id).to_owned();
            [id.to_string(), fate, holds.clone()]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(paint, ["DATA", "", "HOLDS"], &rows));
    }
    text
}

/// What becomes of data. What the plan does nothing about goes with the folder that it lies in.
fn fate(prepared: &Prepared, id: &ResourceId) -> &'static str {
    let is_foreign = matches!(
        prepared.observation.get(id),
        Observed::Found(found) if matches!(found.owner, Owner::Other(_))
    );
    let change = prepared.plan.changes.iter().find(|change| change.id == *id);
    match change.map(|change| &change.action) {
        _ if is_foreign => "is not ours",
        None | Some(Action::Keep) => "stays",
        Some(_) => "goes",
    }
}

/// Asks on the terminal: for data the platform's name must be typed, else `y` is enough.
async fn confirm(
    cx: &Cx,
    cancel: &CancellationToken,
    platform: &str,
    removes_data: bool,
) -> Result<bool> {
    if !cx.input.is_terminal() || !cx.printer.err_is_terminal() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("remove platform `{platform}`"),
        )
        .with_source("there is no terminal to ask on")
        .with_hint("`--yes` removes unasked"));
    }
    let question = if removes_data {
        format!("\nThe data named above is lost for ever. Type `{platform}` to remove it: ")
    } else {
        format!("\nRemove platform `{platform}`, and keep its data? [y/N] ")
    };
    cx.printer.error_raw(question.as_bytes());
    let input = std::sync::Arc::clone(&cx.input);
    let answer = tokio::task::spawn_blocking(move || input.line());
    let answer = interrupt::until(cancel, async {
        answer
            .await
            .map_err(|error| Error::new(ErrorKind::Failed, "ask").with_source(error))?
    })
    .await?;
    Ok(agrees(answer.as_deref(), platform, removes_data))
}

fn agrees(answer: Option<&str>, platform: &str, removes_data: bool) -> bool {
    match answer {
        None => false,
        Some(answer) if removes_data => answer == platform,
        Some(answer) => matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::Resource;

    fn id(text: &str) -> ResourceId {
        text.parse().unwrap()
    }

    fn graph() -> Graph {
        let resource = |id: &str, component: &str| {
            Resource::new(id.parse().unwrap(), component.parse().unwrap())
        };
        let folder = resource("data-folder/postgres", "postgres").with_data();
        let server = resource("process/postgres", "postgres").with_need(folder.id.clone());
        let database = resource("postgres-database/mlflow", "mlflow")
            .with_within(server.id.clone())
            .with_data();
        let files = resource("data-folder/s3", "s3").with_data();
        let tracking = resource("process/mlflow", "mlflow").with_need(database.id.clone());
        Graph::new(
            "demo".parse().unwrap(),
            [folder, server, database, files, tracking],
        )
        .unwrap()
    }

    fn named(names: &[&str], all_data: bool) -> Result<Vec<String>> {
        let args = RemoveArgs {
            platform: crate::args::FileArg::default(),
            data: names.iter().map(|name| (*name).to_owned()).collect(),
            all_data,
            yes: false,
        };
        let data = named_data(&graph(), &args)?;
        Ok(data.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn data_goes_by_name_only() {
        assert_eq!(named(&[], false).unwrap(), Vec::<String>::new());
        assert_eq!(
            named(&["postgres"], false).unwrap(),
            ["data-folder/postgres", "postgres-database/mlflow"]
        );
        assert_eq!(
            named(&["mlflow"], false).unwrap(),
            ["postgres-database/mlflow"]
        );
        assert_eq!(
            named(&["data-folder/s3"], false).unwrap(),
            ["data-folder/s3"]
        );
        assert_eq!(named(&[], true).unwrap().len(), 3);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = named(&["postgers"], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.hint(),
            Some("did you mean `postgres`? data is held by `mlflow`, `postgres`, `s3`")
        );
        assert!(named(&["s3/"], false).is_err());
    }

    #[test]
    fn what_is_held_is_shown() {
        let change = |name: &str, action: Action| mlops_core::Change {
            id: id(name),
            component: "s3".parse().unwrap(),
            action,
            after: BTreeSet::new(),
        };
        let plan = mlops_core::Plan {
            format: 1,
            platform: "demo".parse().unwrap(),
            direction: mlops_core::plan::Direction::Remove,
            graph: mlops_core::Digest::of_bytes(b""),
            observation: mlops_core::Digest::of_bytes(b""),
            changes: vec![
                change("data-folder/s3", Action::Remove),
                change("s3-bucket/mlflow", Action::Nothing),
                change("s3-bucket/theirs", Action::Nothing),
                change("postgres-database/mlflow", Action::Keep),
            ],
        };
        let mut observation = mlops_core::Observation::default();
        let mut theirs = mlops_core::Found::ours(mlops_core::Spec::new());
        theirs.owner = Owner::Other("somebody".to_owned());
        observation
            .entries
            .insert(id("s3-bucket/theirs"), Observed::Found(theirs));
        let holdings = [
            ("data-folder/s3", "3 files"),
            ("s3-bucket/mlflow", "2 objects"),
            ("s3-bucket/theirs", "1 object"),
            ("postgres-database/mlflow", "2 tables"),
        ]
        .map(|(name, holds)| (id(name), holds.to_owned()))
        .into();
        let text = describe(
            Paint::new(false),
            &Prepared { plan, observation },
            &holdings,
        );
        let table = text.split_once("\n\n").map(|(_, table)| table);
        assert_eq!(
            table,
            Some(
                "DATA                                   HOLDS\n\
                 data-folder/s3            goes         3 files\n\
                 postgres-database/mlflow  stays        2 tables\n\
                 s3-bucket/mlflow          goes         2 objects\n\
                 s3-bucket/theirs          is not ours  1 object"
            )
        );
    }

    #[test]
    fn only_the_name_agrees_to_lose_data() {
        assert!(agrees(Some("demo"), "demo", true));
        assert!(!agrees(Some("y"), "demo", true));
        assert!(agrees(Some("Y"), "demo", false));
        assert!(!agrees(Some(""), "demo", false));
        assert!(!agrees(None, "demo", false));
    }
}
