//! `mlops up`: make the platform as described.

use std::path::Path;

use mlops::ProbeChoice;
use mlops::session::Network;
use mlops::session::{Credential, Session, Status, UpOptions};
use mlops_core::{Error, Plan, Report, Result};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::UpArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file;
use crate::outcome;
use crate::progress::{Json, Progress};
use crate::shell::quote_sh;
use crate::text::{Paint, seconds_of, table};

/// The largest saved plan that is read, in bytes.
const MAX_PLAN: u64 = 64 << 20;

/// Applies the plan, or the saved one, and says where everything is.
pub(crate) async fn up(cx: &Cx, args: &UpArgs, cancel: &CancellationToken) -> Result<Exit> {
    let saved = match &args.plan {
        Some(path) => Some(read_plan(path)?),
        None => None,
    };
    let network = if args.offline {
        Network::Avoid
    } else {
        Network::Use
    };
    let session = cx.session(network)?;
    let progress = Progress::new(&cx.printer, Json::Lines, "looking");
    let options = UpOptions {
        saved,
        probes: if args.no_check {
            ProbeChoice::None
        } else {
            ProbeChoice::Changed
        },
        events: progress.sink(),
        cancel: cancel.clone(),
    };
    let report = session.up(options).await;
    progress.end();
    let report = report?;
    let exit = outcome::exit_of(&report);
    outcome::explain(
        &cx.printer,
        &report,
        "what was done stays done, and the next `mlops up` goes on from here",
    );
    let shows = !cx.printer.is_json() && cx.printer.shows_progress();
    if shows && matches!(exit, Exit::Done | Exit::CheckFailed) {
        let (status, credentials) = (session.status().await?, session.credentials().await?);
        let paint = cx.printer.out_paint();
        let where_all_is = Where {
            report: &report,
            status: &status,
            credentials: &credentials,
            example: example(&session, &status),
            command: cx.command(),
        };
        cx.printer.text(&where_all_is.describe(paint))?;
    }
    Ok(exit)
}

fn read_plan(path: &Path) -> Result<Plan> {
    Plan::from_json(&file::read_input(path, MAX_PLAN)?).map_err(|error| {
        Error::new(
            error.kind(),
            format!("use `{}` as a saved plan", path.display()),
        )
        .with_source(error)
    })
}

/// What is said at the end.
struct Where<'a> {
    report: &'a Report,
    status: &'a Status,
    credentials: &'a [Credential],
    example: Option<Example>,
    /// `mlops` with the options that lead to this platform.
    command: String,
}

/// An inference to try.
struct Example {
    model: String,
    url: String,
    body: Value,
    row: Option<String>,
}

impl Where<'_> {
    fn describe(&self, paint: Paint) -> String {
        let mut parts = vec![self.head(paint)];
        let rows: Vec<[String; 3]> = self
            .status
            .components
            .iter()
            .map(|component| {
                let url = component.url.clone().unwrap_or_else(|| "-".to_owned());
                [
                    component.component.clone(),
                    url,
                    self.sign_in(&component.component),
                ]
            })
            .collect();
        if !rows.is_empty() {
            parts.push(table(paint, ["COMPONENT", "URL", "SIGN IN"], &rows));
        }
        if !self.status.models.is_empty() {
            parts.push(crate::commands::status::models(paint, self.status));
        }
        parts.push(self.next(paint));
        parts.join("\n\n")
    }

    fn head(&self, paint: Paint) -> String {
        let (name, took) = (&self.report.platform, seconds_of(self.report.took_ms));
        let changed = self.report.changed();
        if changed == 0 {
            return paint.bold(&format!(
                "Platform `{name}` is up: there was nothing to do ({took})."
            ));
        }
        let rest = self.report.entries.len() - changed;
        let mut head = paint.bold(&format!(
            "Platform `{name}` is up: {changed} done, {rest} as described, in {took}."
        ));
        if let Some(path) = outcome::longest_path(self.report) {
            head.push_str("\nLongest path: ");
            head.push_str(&path);
        }
        head
    }

    /// The user to sign in as, and how to see the password.
    fn sign_in(&self, component: &str) -> String {
        let login = format!("{component}/login");
        let Some(credential) = self.credentials.iter().find(|one| one.name == login) else {
            return "-".to_owned();
        };
        let user = credential.facts.get("user").and_then(Value::as_str);
        let secret = credential.secrets.values().next();
        match (user, secret) {
            (Some(user), Some(secret)) => {
                format!("{user}, `{} credentials {secret} --show`", self.command)
            }
            (Some(user), None) => user.to_owned(),
            (None, Some(secret)) => format!("`{} credentials {secret} --show`", self.command),
            (None, None) => "-".to_owned(),
        }
    }

    fn next(&self, paint: Paint) -> String {
        let mut lines = vec![paint.bold("Try it:")];
        if let Some(example) = &self.example {
            if let Some(row) = &example.row {
                lines.push(format!(
                    "  {} predict {} --row {row}",
                    self.command, example.model
                ));
            }
            lines.push(format!(
                "  curl -s {} -H 'Content-Type: application/json' -d {}",
                example.url,
                quote_sh(&example.body.to_string())
            ));
        }
        lines.push(format!(
            "  eval \"$({} env)\"    # for MLflow clients in this shell",
            self.command
        ));
        lines.join("\n")
    }
}

/// The probe of the first model that has one and an address, as a request for `curl`.
fn example(session: &Session, status: &Status) -> Option<Example> {
    status.models.iter().find_map(|model| {
        let resource = session.graph().resources().find(|resource| {
            resource.id.kind().as_str() == "served-model" && resource.id.name() == model.name
        })?;
        let probe = resource.spec.get("probe")?;
        let inputs = probe.get("inputs")?;
        let mut body = json!({ "inputs": first_only(inputs) });
        if let (Some(parameters), Some(fields)) = (probe.get("parameters"), body.as_object_mut()) {
            fields.insert("parameters".to_owned(), parameters.clone());
        }
        Some(Example {
            model: model.name.clone(),
            url: model.url.clone()?,
            row: first_row(inputs),
            body,
        })
    })
}

/// The inputs with their first row only, where that is told by their shapes; an example should be short.
fn first_only(inputs: &Value) -> Value {
    let shorten = |input: &Value| -> Option<Value> {
        let shape = input.get("shape")?.as_array()?;
        let (_, rest) = shape.split_first()?;
        let count = rest
            .iter()
            .map(Value::as_u64)
            .try_fold(1, |count: u64, size| count.checked_mul(size?))?;
        let data = input.get("data")?.as_array()?;
        let data = data.get(..usize::try_from(count).ok()?)?;
        let mut input = input.clone();
        let shape: Vec<Value> = [json!(1)].iter().chain(rest).cloned().collect();
        let fields = input.as_object_mut()?;
        fields.insert("shape".to_owned(), shape.into());
        fields.insert("data".to_owned(), data.into());
        Some(input)
    };
    inputs
        .as_array()
        .and_then(|inputs| inputs.iter().map(shorten).collect::<Option<Vec<_>>>())
        .map_or_else(|| inputs.clone(), Value::Array)
}

/// The inputs as one row of numbers: the only one when that is a table, else an element of each column. `None` when
/// they are not numbers.
fn first_row(inputs: &Value) -> Option<String> {
    let inputs = first_only(inputs);
    let inputs = inputs.as_array()?;
    let mut row = Vec::new();
    for input in inputs {
        let shape = input.get("shape")?.as_array()?.as_slice();
        let width = match shape {
            [_, width] if inputs.len() == 1 => width.as_u64()?,
            [_] if inputs.len() > 1 => 1,
            [_, one] if *one == json!(1) => 1,
            _ => return None,
        };
        let data = input.get("data")?.as_array()?;
        if data.len() as u64 != width {
            return None;
        }
        row.extend(data);
    }
    let is_row = !row.is_empty() && row.iter().all(|value| value.is_number());
    is_row.then(|| {
        let numbers: Vec<String> = row.iter().map(ToString::to_string).collect();
        numbers.join(",")
    })
}

#[cfg(test)]
mod tests;
