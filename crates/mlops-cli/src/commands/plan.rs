//! `mlops plan`: what `up` would do.

use mlops::session::Network;
use mlops_core::plan::Action;
use mlops_core::{Error, ErrorKind, Plan, Result};

use crate::args::PlanArgs;
use crate::cx::Cx;
use crate::exit::Exit;
use crate::file::{self, Existing};
use crate::text::{Paint, plain};

/// Looks at the world and shows the plan.
pub(crate) async fn plan(cx: &Cx, args: &PlanArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let plan = session.plan().await?.plan;
    if let Some(path) = &args.save {
        let mut text = serde_json::to_string_pretty(&plan)
            .map_err(|error| Error::new(ErrorKind::Failed, "save the plan").with_source(error))?;
        text.push('\n');
        file::write(path, &text, Existing::Replace)?;
    }
    show(cx, args, &plan)?;
    if let Some(path) = &args.save {
        cx.printer.say(&format!(
            "Saved as `{0}`: `mlops up --plan {0}` applies it, unless the world changes meanwhile.",
            path.display()
        ));
    }
    Ok(exit(&plan, args.exit_code))
}

/// Shows the plan for an empty machine. Needs no runtime, no platform and no network.
pub(crate) fn plan_offline(cx: &Cx, args: &PlanArgs) -> Result<Exit> {
    let session = cx.session(Network::Avoid)?;
    let plan = session.plan_from_nothing()?;
    show(cx, args, &plan)?;
    let exit = exit(&plan, args.exit_code);
    // The process ends here. Taking a large platform to pieces before costs a tenth of the whole command.
    std::mem::forget((session, plan));
    Ok(exit)
}

fn show(cx: &Cx, _: &PlanArgs, plan: &Plan) -> Result<()> {
    cx.printer.show(plan, |paint| describe(paint, plan))
}

fn exit(plan: &Plan, tells_changes: bool) -> Exit {
    if tells_changes && !plan.is_empty() {
        Exit::Changes
    } else {
        Exit::Done
    }
}

/// A plan as text, each change in the colour of its sign.
pub(super) fn describe(paint: Paint, plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        if change.action == Action::Nothing {
            continue;
        }
        let lines = change.to_string();
        let lines = plain(&lines);
        match lines.split_once('\n') {
            Some((head, rest)) => {
                text.push_str(&paint.by_sign(change.action.sign(), head));
                text.push('\n');
                text.push_str(rest);
            }
            None => text.push_str(&paint.by_sign(change.action.sign(), &lines)),
        }
        text.push('\n');
    }
    let whole = plan.to_string();
    let count = whole.lines().last().unwrap_or_default();
    text.push_str(&paint.bold(&plain(count)));
    text
}
