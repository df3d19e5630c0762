//! What happens, while it happens: live lines on a terminal, plain lines elsewhere, JSON for programs.

mod lines;
mod live;
mod waiting;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mlops_core::{Event, EventSink};

pub(crate) use lines::{describe, failed_findings};
use live::Live;

use crate::printer::Printer;
use crate::text::plain_line;

/// How often at most a plain line tells news of one resource.
const NEWS_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether something was held back for too long.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Shows events until it is dropped.
pub struct Progress {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

/// What is shown for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    /// Every event as a line on standard output.
    Lines,
    /// No event: the caller prints one document at the end.
    Nothing,
}

struct Shared {
    printer: Arc<Printer>,
    begin: Instant,
    json: Json,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<String, Running>,
    live: Option<Live>,
}

/// One resource at work.
struct Running {
    verb: String,
    last_news: Instant,
    /// News that came too soon after others; told when nothing newer comes.
    held_back: Option<Event>,
}

impl Progress {
    /// Shows what comes, by the printer's style; on a terminal `begin` says what is done until work starts.
    pub fn new(printer: &Arc<Printer>, json: Json, begin: &str) -> Self {
        let shows_live =
            printer.err_is_terminal() && !printer.is_json() && printer.shows_progress();
        let live = shows_live.then(|| Live::new(printer, begin));
        let tells_lines = !shows_live && !printer.is_json() && printer.shows_progress();
        let shared = Arc::new(Shared {
            printer: Arc::clone(printer),
            begin: Instant::now(),
            json,
            state: Mutex::new(State {
                live,
                ..State::default()
            }),
        });
        if tells_lines {
            tell_what_is_overdue(&shared);
        }
        Self { shared }
    }

    /// Where events go to be shown.
    pub fn sink(&self) -> EventSink {
        let shared = Arc::clone(&self.shared);
        EventSink::new(move |event| shared.take(&event))
    }

    /// Takes live lines away; what comes later is not shown live.
    pub fn end(&self) {
        if self.shared.state().live.take().is_some() {
            self.shared.printer.clear_live();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Tells from now and then what was held back, as long as anybody shows events: who waits long hears for what.
fn tell_what_is_overdue(shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let Some(shared) = shared.upgrade() else {
                break;
            };
            let (elapsed, paint) = (shared.begin.elapsed(), shared.printer.err_paint());
            // Bound first: nothing is printed while the account is held.
            let overdue = shared.state().overdue();
            for line in overdue
                .iter()
                .flat_map(|event| describe(event, elapsed, None, paint))
            {
                shared.printer.say(&line);
            }
        }
    });
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // What is shown may be wrong after a panic, and nothing else depends on it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: &Event) {
        if self.printer.is_json() {
            if self.json == Json::Lines {
                // Work does not end because nobody listens; a full disk is told once, by the result.
                let _ = self.printer.json_line(event);
            }
            return;
        }
        if !self.printer.shows_progress() {
            return;
        }
        let lines = self.note(event);
        for line in lines {
            self.printer.say(&line);
        }
    }

    /// Keeps the account of what runs; returns the lines that stay on the screen.
    fn note(&self, event: &Event) -> Vec<String> {
        let paint = self.printer.err_paint();
        let elapsed = self.begin.elapsed();
        let mut state = self.state();
        match event {
            Event::Planned { plan } => {
                if let Some(live) = &mut state.live {
                    live.begin(plan);
                }
            }
            Event::Started { id, verb } => {
                let running = Running {
                    verb: verb.clone(),
                    last_news: Instant::now(),
                    held_back: None,
                };
                state.running.insert(id.to_string(), running);
                if let Some(live) = &mut state.live {
                    live.start(id, verb);
                }
            }
            Event::Progress { id, text } => {
                if let Some(live) = &mut state.live {
                    live.tell(id, &plain_line(text));
                    return Vec::new();
                }
                if !self.printer.is_verbose() && !state.is_news(&id.to_string(), event) {
                    return Vec::new();
                }
            }
            Event::Finished { id, .. } | Event::Failed { id, .. } | Event::Skipped { id, .. } => {
                if let Some(live) = &mut state.live {
                    live.end(id);
                }
                let verb = state
                    .running
                    .remove(&id.to_string())
                    .map(|running| running.verb);
                return describe(event, elapsed, verb.as_deref(), paint);
            }
            _ => {}
        }
        let is_detail = matches!(event, Event::Started { .. } | Event::Planned { .. });
        if is_detail && !self.printer.is_verbose() {
            return Vec::new();
        }
        describe(event, elapsed, None, paint)
    }
}

impl State {
    /// Whether the last plain line about this resource is long enough ago; else the event is held back.
    fn is_news(&mut self, id: &str, event: &Event) -> bool {
        let Some(running) = self.running.get_mut(id) else {
            return false;
        };
        let is_news = running.last_news.elapsed() >= NEWS_EVERY;
        if is_news {
            running.last_news = Instant::now();
        }
        running.held_back = (!is_news).then(|| event.clone());
        is_news
    }

    /// What was held back for long enough.
    fn overdue(&mut self) -> Vec<Event> {
        let is_due = |running: &&mut Running| running.last_news.elapsed() >= NEWS_EVERY;
        let due = self.running.values_mut().filter(is_due);
        due.filter_map(|running| {
            let event = running.held_back.take()?;
            running.last_news = Instant::now();
            Some(event)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
