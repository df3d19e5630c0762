//! `mlops status`: what runs, where, and whether it is ready.

use mlops::session::Network;
use mlops::session::Status;
use mlops_core::Result;

use crate::cx::Cx;
use crate::exit::Exit;
use crate::text::{Paint, plain_line, seconds_of, table};

/// Shows how the platform is.
pub(crate) async fn status(cx: &Cx) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let status = session.status().await?;
    cx.printer.show(&status, |paint| describe(paint, &status))?;
    Ok(Exit::Done)
}

fn describe(paint: Paint, status: &Status) -> String {
    let mut parts = vec![if status.running {
        format!("Platform `{}` runs.", status.platform)
    } else {
        format!(
            "Platform `{}` does not run: `mlops up` starts it.",
            status.platform
        )
    }];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<[String; 6]> = status
        .components
        .iter()
        .map(|component| {
            [
                component.component.clone(),
                component.state.clone(),
                or_dash(component.since_ms.map(seconds_of)),
                component.restarts.to_string(),
                or_dash(component.pid.map(|pid| pid.to_string())),
                or_dash(component.url.clone()),
            ]
        })
        .collect();
    let header = ["COMPONENT", "STATE", "SINCE", "RESTARTS", "PID", "URL"];
    if !rows.is_empty() {
        parts.push(table(paint, header, &rows));
    }
    if !status.models.is_empty() {
        parts.push(models(paint, status));
    }
    let reasons: Vec<String> = status
        .components
        .iter()
        .filter_map(|component| {
            let detail = plain_line(component.detail.as_deref()?);
            Some(format!("{}: {detail}", component.component))
        })
        .collect();
    if !reasons.is_empty() {
        parts.push(reasons.join("\n"));
    }
    parts.join("\n\n")
}

/// The models as a table.
pub(super) fn models(paint: Paint, status: &Status) -> String {
    let rows: Vec<[String; 5]> = status
        .models
        .iter()
        .map(|model| {
            [
                model.name.clone(),
                if model.ready { "ready" } else { "not ready" }.to_owned(),
                model.uri.clone(),
                model.version.clone().unwrap_or_else(|| "-".to_owned()),
                model.url.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    table(paint, ["MODEL", "STATE", "FROM", "VERSION", "URL"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops::session::{ComponentStatus, ModelStatus};

    #[test]
    fn a_glance() {
        let mut status = Status {
            platform: "demo".to_owned(),
            running: true,
            components: vec![ComponentStatus {
                component: "mlflow".to_owned(),
                state: "failed".to_owned(),
                ready: false,
                pid: Some(77),
                url: Some("http://127.0.0.1:5000".to_owned()),
                restarts: 3,
                since_ms: Some(65_000),
                detail: Some("no memory\u{1b}[2J".to_owned()),
            }],
            models: vec![ModelStatus {
                name: "iris".to_owned(),
                uri: "models:/iris@champion".to_owned(),
                version: None,
                ready: false,
                url: None,
            }],
        };
        assert_eq!(
            describe(Paint::new(false), &status),
            "Platform `demo` runs.\n\n\
             COMPONENT  STATE   SINCE  RESTARTS  PID  URL\n\
             mlflow     failed  1m05s  3         77   http://127.0.0.1:5000\n\n\
             MODEL  STATE      FROM                   VERSION  URL\n\
             iris   not ready  models:/iris@champion  -        -\n\n\
             mlflow: no memory\\u{1b}[2J"
        );
        status.running = false;
        status.components.clear();
        status.models.clear();
        assert_eq!(
            describe(Paint::new(false), &status),
            "Platform `demo` does not run: `mlops up` starts it."
        );
    }
}
