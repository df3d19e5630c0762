//! `mlops events`: what happened to the platform.

use std::time::Duration;

use mlops::session::Network;
use mlops_core::{Event, Result};
use mlops_local::Follow;
use mlops_local::supervisor::Recorded;

use crate::args::EventsArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::progress::describe;
use crate::text::{Paint, seconds_of};

/// Prints recorded events, and new ones as they come when that is wanted.
pub(crate) async fn events(cx: &Cx, args: &EventsArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let follow = if args.follow { Follow::Yes } else { Follow::No };
    let mut events = session.target().events(follow, usize::MAX)?;
    while let Some(line) = events.next().await? {
        // A line that a kill cut off, or one of a newer version, is left out.
        let Ok(recorded) = serde_json::from_str::<Recorded>(&line) else {
            continue;
        };
        if cx.printer.is_json() {
            cx.printer.json_line(&recorded)?;
        } else {
            // Milliseconds, always as many digits.
            let at = format!("{:.3}", recorded.at);
            for line in lines(cx.printer.out_paint(), &recorded.event) {
                cx.printer.text(&format!("{at}  {line}"))?;
            }
        }
        if cx.printer.is_closed() {
            break;
        }
    }
    Ok(Exit::Done)
}

/// An event as lines without the time since the begin of its run, which a record does not know.
fn lines(paint: Paint, event: &Event) -> Vec<String> {
    if let Event::Done { report } = event {
        let failed = usize::from(!report.succeeded());
        let word = if failed == 0 {
            "done"
        } else {
            "ended with failures"
        };
        return vec![format!(
            "run {word}: {} changed in {}",
            report.changed(),
            seconds_of(report.took_ms)
        )];
    }
    describe(event, Duration::ZERO, None, paint)
        .into_iter()
        .map(|line| match line.strip_prefix("   0.0s  ") {
            Some(rest) => rest.to_owned(),
            None => line.trim_start().to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::{Report, ResourceId};

    #[test]
    fn lines_have_no_time_of_their_own() {
        let event = Event::Process {
            name: "mlflow".to_owned(),
            what: "exited".to_owned(),
            detail: Some("code 1".to_owned()),
        };
        assert_eq!(
            lines(Paint::new(false), &event),
            ["process `mlflow` exited: code 1"]
        );
        let event = Event::Finished {
            id: ResourceId::new("process", "mlflow"),
            verb: "create".to_owned(),
            took_ms: 400,
        };
        assert_eq!(
            lines(Paint::new(false), &event),
            ["create process/mlflow … done 0.4s"]
        );
        let report = Report::new("demo".parse().unwrap());
        assert_eq!(
            lines(Paint::new(false), &Event::Done { report }),
            ["run done: 0 changed in 0.0s"]
        );
    }
}
