//! `mlops logs`: what the components wrote.

use std::pin::pin;

use futures::StreamExt;
use futures::stream::{Stream, select_all, unfold};
use mlops::session::{Network, Session};
use mlops_core::kubernetes::OBJECT;
use mlops_core::{Error, ErrorKind, Result, nearest};
use mlops_k8s::LogOptions;
use mlops_k8s::target::ClusterTarget;
use mlops_local::{Follow, Tail};
use serde::Serialize;

use crate::args::LogsArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::plain_line;

#[derive(Serialize)]
struct Line<'a> {
    component: &'a str,
    line: &'a str,
}

/// Prints the log of a component, or of all of them with their names before each line.
pub(crate) async fn logs(cx: &Cx, args: &LogsArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let known = running(&session);
    let chosen: Vec<&str> = match &args.component {
        Some(name) if known.contains(&name.as_str()) => vec![name],
        Some(name) => return Err(unknown(name, &known)),
        None => known,
    };
    let width = if args.component.is_some() {
        0
    } else {
        chosen.iter().map(|name| name.len()).max().unwrap_or(0)
    };
    let (follow, count) = (
        if args.follow { Follow::Yes } else { Follow::No },
        args.lines.unwrap_or(usize::MAX),
    );
    if let Some(cluster) = session.cluster() {
        return logs_there(cx, args, cluster, &chosen, width).await;
    }
    let mut open = Vec::new();
    for component in chosen {
        match session.target().logs(component, follow, count) {
            Ok(tail) => open.push((component, tail)),
            // Of all components, those that never ran have nothing to say.
            Err(error) if args.component.is_none() && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if args.follow {
        let all = open
            .into_iter()
            .map(|(component, tail)| Box::pin(lines(component, tail)));
        return print_all(cx, select_all(all), width).await;
    }
    // Without following, one log comes after the other.
    for (component, tail) in open {
        print_all(cx, lines(component, tail), width).await?;
    }
    Ok(Exit::Done)
}

/// The components that run something.
fn running(session: &Session) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for resource in session.graph().ordered() {
        let runs = match resource.id.kind().as_str() {
            "process" => true,
            OBJECT => {
                resource.id.name().starts_with("deployment.")
                    || resource.id.name().starts_with("statefulset.")
            }
            _ => false,
        };
        let name = resource.component.as_str();
        if runs && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The same for pods of a cluster.
async fn logs_there(
    cx: &Cx,
    args: &LogsArgs,
    cluster: &ClusterTarget,
    chosen: &[&str],
    width: usize,
) -> Result<Exit> {
    let options = LogOptions {
        lines: args
            .lines
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        follow: args.follow,
        ..LogOptions::default()
    };
    let mut open = Vec::new();
    for component in chosen {
        match cluster.logs(component, options).await {
            Ok(lines) => {
                let name: &str = component;
                open.push(
                    lines
                        .map(move |line| (name, line.map(|line| line.text)))
                        .boxed(),
                );
            }
            Err(error) if args.component.is_none() && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if args.follow {
        return print_all(cx, select_all(open), width).await;
    }
    for lines in open {
        print_all(cx, lines, width).await?;
    }
    Ok(Exit::Done)
}

/// The lines of a log as a stream, which ends after an error.
fn lines(component: &str, tail: Tail) -> impl Stream<Item = (&str, Result<String>)> {
    unfold(Some(tail), move |tail| async move {
        let mut tail = tail?;
        match tail.next().await {
            Ok(Some(line)) => Some(((component, Ok(line)), Some(tail))),
            Ok(None) => None,
            Err(error) => Some(((component, Err(error)), None)),
        }
    })
}

async fn print_all<'a>(
    cx: &Cx,
    lines: impl Stream<Item = (&'a str, Result<String>)>,
    width: usize,
) -> Result<Exit> {
    let mut lines = pin!(lines);
    while let Some((component, line)) = lines.next().await {
        if !print(cx, component, &line?, width)? {
            break;
        }
    }
    Ok(Exit::Done)
}

/// Prints one line; false when nobody reads any more. On a terminal a log cannot do anything but be read.
fn print(cx: &Cx, component: &str, line: &str, width: usize) -> Result<bool> {
    let printer = &cx.printer;
    if printer.is_json() {
        printer.json_line(&Line { component, line })?;
        return Ok(!printer.is_closed());
    }
    let line = if printer.out_is_terminal() {
        plain_line(line)
    } else {
        line.to_owned()
    };
    if width == 0 {
        printer.text(&line)?;
    } else {
        let name = printer.out_paint().cyan(&format!("{component:<width$}"));
        printer.text(&format!("{name} | {line}"))?;
    }
    Ok(!printer.is_closed())
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let near = nearest(name, known.iter().copied())
        .map(|near| format!("did you mean `{near}`? "))
        .unwrap_or_default();
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    Error::new(
        ErrorKind::InvalidInput,
        format!("find the log of `{}`", name.escape_debug()),
    )
    .with_source("the platform has no such component")
    .with_hint(format!("{near}there are {}", names.join(", ")))
}
