//! Live lines on a terminal: one for each resource at work, and one for the whole and what waits.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mlops_core::{Plan, ResourceId};

use super::waiting::Waiting;
use crate::printer::Printer;

/// How often spinners turn and times are drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The lines that are drawn.
pub(super) struct Live {
    all: MultiProgress,
    whole: ProgressBar,
    lines: BTreeMap<ResourceId, ProgressBar>,
    waiting: Waiting,
    colored: bool,
}

impl Live {
    /// Draws on the standard error of this process, and lets the printer make room for what it prints.
    pub(super) fn new(printer: &Printer, begin: &str) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(10), printer, begin)
    }

    fn on(target: ProgressDrawTarget, printer: &Printer, begin: &str) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let whole = all.add(ProgressBar::new(0));
        whole.set_style(style("{elapsed:>7}  {wide_msg}"));
        whole.set_message(begin.to_owned());
        whole.enable_steady_tick(TICK);
        printer.set_live(Some(all.clone()));
        Self {
            all,
            whole,
            lines: BTreeMap::new(),
            waiting: Waiting::default(),
            colored: printer.err_paint().is_on(),
        }
    }

    /// What is to be worked on.
    pub(super) fn begin(&mut self, plan: &Plan) {
        self.waiting = Waiting::new(plan);
        self.whole.set_length(self.waiting.len() as u64);
        self.show_whole();
    }

    /// Work on a resource starts.
    pub(super) fn start(&mut self, id: &ResourceId, verb: &str) {
        let line = self
            .all
            .insert_before(&self.whole, ProgressBar::no_length());
        let dim = if self.colored { ":.dim" } else { "" };
        line.set_style(style(&format!(
            "{{elapsed:>7}}  {{prefix}} {{spinner}} {{wide_msg{dim}}}"
        )));
        line.set_prefix(format!("{verb} {id}"));
        line.enable_steady_tick(TICK);
        self.lines.insert(id.clone(), line);
        self.waiting.begin(id);
        self.show_whole();
    }

    /// News of the work on a resource.
    pub(super) fn tell(&mut self, id: &ResourceId, text: &str) {
        if let Some(line) = self.lines.get(id) {
            line.set_message(text.to_owned());
        }
    }

    /// Work on a resource ended.
    pub(super) fn end(&mut self, id: &ResourceId) {
        self.waiting.end(id);
        if let Some(line) = self.lines.remove(id) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        self.whole.inc(1);
        self.show_whole();
    }

    fn show_whole(&self) {
        let mut text = format!(
            "{} of {} done, {} at work",
            self.whole.position(),
            self.whole.length().unwrap_or_default(),
            self.lines.len()
        );
        if let Some(waiting) = self.waiting.told() {
            text.push_str(", ");
            text.push_str(&waiting);
        }
        self.whole.set_message(text);
    }
}

/// A style of a template that is ours, and so is right; were it not, the default style would serve.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mlops_core::plan::{Rules, plan};
    use mlops_core::{Graph, Observation, Resource};

    use super::*;
    use crate::printer::Style;
    use crate::test_support::{Captured, streams};

    #[test]
    fn the_whole_says_what_is_waited_for() {
        let id = |name: &str| -> ResourceId { name.parse().unwrap() };
        let component = |name: &str| name.parse().unwrap();
        let resources = [
            Resource::new(id("process/postgres"), component("postgres")),
            Resource::new(id("process/mlflow"), component("mlflow"))
                .with_need(id("process/postgres")),
            Resource::new(id("served-model/iris"), component("model-server"))
                .with_need(id("process/mlflow")),
        ];
        let graph = Graph::new("demo".parse().unwrap(), resources).unwrap();
        let plan = plan(&graph, &Observation::default(), &Rules::new()).unwrap();
        let style = Style::default();
        let streams = streams(Captured::default(), Captured::default());
        let printer = Printer::new(streams, style, &BTreeMap::new()).0;
        let mut live = Live::on(ProgressDrawTarget::hidden(), &printer, "looking");
        assert_eq!(live.whole.message(), "looking");

        live.begin(&plan);
        live.start(&id("process/postgres"), "create");
        assert_eq!(
            live.whole.message(),
            "0 of 3 done, 1 at work, 2 waiting, process/mlflow for process/postgres"
        );
        live.end(&id("process/postgres"));
        live.start(&id("process/mlflow"), "create");
        assert_eq!(
            live.whole.message(),
            "1 of 3 done, 1 at work, 1 waiting, served-model/iris for process/mlflow"
        );
        live.end(&id("process/mlflow"));
        live.start(&id("served-model/iris"), "create");
        assert_eq!(live.whole.message(), "2 of 3 done, 1 at work");
    }
}
