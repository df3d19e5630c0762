//! Live lines on a terminal: one for each resource at work, and one for the whole.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::printer::Printer;

/// How often spinners turn and times are drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The lines that are drawn.
pub(super) struct Live {
    all: MultiProgress,
    whole: ProgressBar,
    lines: BTreeMap<String, ProgressBar>,
    colored: bool,
}

impl Live {
    /// Draws on the standard error of this process, and lets the printer make room for what it prints.
    pub(super) fn new(printer: &Printer, begin: &str) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let whole = all.add(ProgressBar::new(0));
        whole.set_style(style("{elapsed:>7}  {msg}"));
        whole.set_message(begin.to_owned());
        whole.enable_steady_tick(TICK);
        printer.set_live(Some(all.clone()));
        Self {
            all,
            whole,
            lines: BTreeMap::new(),
            colored: printer.err_paint().is_on(),
        }
    }

    /// Says how many resources are to be worked on.
    pub(super) fn set_total(&mut self, total: usize) {
        self.whole.set_length(total as u64);
        self.show_whole();
    }

    /// Work on a resource starts.
    pub(super) fn start(&mut self, id: &str, verb: &str) {
        let line = self
            .all
            .insert_before(&self.whole, ProgressBar::no_length());
        let dim = if self.colored { ":.dim" } else { "" };
        line.set_style(style(&format!(
            "{{elapsed:>7}}  {{prefix}} {{spinner}} {{wide_msg{dim}}}"
        )));
        line.set_prefix(format!("{verb} {id}"));
        line.enable_steady_tick(TICK);
        self.lines.insert(id.to_owned(), line);
        self.show_whole();
    }

    /// News of the work on a resource.
    pub(super) fn tell(&mut self, id: &str, text: &str) {
        if let Some(line) = self.lines.get(id) {
            line.set_message(text.to_owned());
        }
    }

    /// Work on a resource ended.
    pub(super) fn end(&mut self, id: &str) {
        if let Some(line) = self.lines.remove(id) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        self.whole.inc(1);
        self.show_whole();
    }

    fn show_whole(&self) {
        self.whole.set_message(format!(
            "{} of {} done, {} at work",
            self.whole.position(),
            self.whole.length().unwrap_or_default(),
            self.lines.len()
        ));
    }
}

/// A style of a template that is ours, and so is right; were it not, the default style would serve.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}
