//! The one way to the terminal: results to standard output, everything else to standard error.

use std::collections::BTreeMap;
use std::io::{ErrorKind as IoErrorKind, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::MultiProgress;
use mlops_core::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::args::{Color, Output};
use crate::text::Paint;

/// The three streams of a program, and whether a person is at their other end.
pub struct Streams {
    /// Where input comes from.
    pub stdin: Box<dyn Read + Send>,
    /// Whether input is typed.
    pub stdin_is_terminal: bool,
    /// Where results go.
    pub stdout: Box<dyn Write + Send>,
    /// Whether results are looked at.
    pub stdout_is_terminal: bool,
    /// Where everything else goes.
    pub stderr: Box<dyn Write + Send>,
    /// Whether that is looked at. Only then live progress is drawn, on the standard error of this process.
    pub stderr_is_terminal: bool,
}

impl Streams {
    /// Those of this process.
    pub fn standard() -> Self {
        Self {
            stdin_is_terminal: std::io::stdin().is_terminal(),
            stdin: Box::new(std::io::stdin()),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stdout: Box::new(std::io::stdout()),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            stderr: Box::new(std::io::stderr()),
        }
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("stdin_is_terminal", &self.stdin_is_terminal)
            .field("stdout_is_terminal", &self.stdout_is_terminal)
            .field("stderr_is_terminal", &self.stderr_is_terminal)
            .finish_non_exhaustive()
    }
}

/// How much is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Results and errors.
    Quiet,
    /// Progress and notices as well.
    #[default]
    Normal,
    /// What else is done.
    Verbose,
}

/// How to print.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// For whom.
    pub output: Output,
    /// How much.
    pub verbosity: Verbosity,
    /// When in colour.
    pub color: Color,
}

/// Prints. Safe to share between threads; every call prints as a whole.
pub struct Printer {
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    style: Style,
    out_paint: Paint,
    err_paint: Paint,
    out_is_terminal: bool,
    err_is_terminal: bool,
    closed: AtomicBool,
    live: Mutex<Option<MultiProgress>>,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer")
            .field("style", &self.style)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// Whether to colour, by the wish, the environment and what is at the other end
/// (<https://no-color.org>, <https://bixense.com/clicolors/>).
pub fn wants_color(wish: Color, env: &BTreeMap<String, String>, is_terminal: bool) -> bool {
    let set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
    let is = |name: &str, wanted: &str| env.get(name).is_some_and(|value| value == wanted);
    match wish {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto if set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0") => true,
        Color::Auto => is_terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb"),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while printing leaves nothing that later printing depends on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Printer {
    /// Prints to the streams; gives back standard input with whether it is a terminal.
    pub fn new(streams: Streams, style: Style, env: &BTreeMap<String, String>) -> (Self, Input) {
        let paint = |is_terminal| Paint::new(wants_color(style.color, env, is_terminal));
        let printer = Self {
            out_paint: paint(streams.stdout_is_terminal),
            err_paint: paint(streams.stderr_is_terminal),
            out: Mutex::new(streams.stdout),
            err: Mutex::new(streams.stderr),
            style,
            out_is_terminal: streams.stdout_is_terminal,
            err_is_terminal: streams.stderr_is_terminal,
            closed: AtomicBool::new(false),
            live: Mutex::new(None),
        };
        let input = Input {
            stream: Mutex::new(streams.stdin),
            is_terminal: streams.stdin_is_terminal,
        };
        (printer, input)
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.style.output == Output::Json
    }

    /// Whether progress and notices are shown.
    pub fn shows_progress(&self) -> bool {
        self.style.verbosity > Verbosity::Quiet
    }

    /// Whether more than that is told.
    pub fn is_verbose(&self) -> bool {
        self.style.verbosity >= Verbosity::Verbose
    }

    /// The colours of results.
    pub fn out_paint(&self) -> Paint {
        self.out_paint
    }

    /// The colours of everything else.
    pub fn err_paint(&self) -> Paint {
        self.err_paint
    }

    /// Whether results are looked at on a terminal.
    pub fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Whether everything else is looked at on a terminal.
    pub fn err_is_terminal(&self) -> bool {
        self.err_is_terminal
    }

    /// Whether nobody reads results any more: the other end of the pipe is closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Prints a result as it is. When nobody reads any more that is no error; see [`Self::is_closed`].
    ///
    /// # Errors
    ///
    /// When the text could not be written, for example to a full disk.
    pub fn raw(&self, bytes: &[u8]) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        let written = self.beside_live(|| {
            let mut out = locked(&self.out);
            out.write_all(bytes).and_then(|()| out.flush())
        });
        match written {
            Err(error) if error.kind() == IoErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                Err(Error::new(ErrorKind::Failed, "write to standard output").with_source(error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Prints a result for people, with a line end.
    ///
    /// # Errors
    ///
    /// See [`Self::raw`].
    pub fn text(&self, text: &str) -> Result<()> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Prints a result as one JSON document.
    ///
    /// # Errors
    ///
    /// See [`Self::raw`].
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        self.text(&serde_json::to_string_pretty(value).map_err(not_json)?)
    }

    /// Prints a result as one JSON object in one line.
    ///
    /// # Errors
    ///
    /// See [`Self::raw`].
    pub fn json_line(&self, value: &impl Serialize) -> Result<()> {
        self.text(&serde_json::to_string(value).map_err(not_json)?)
    }

    /// Prints a result: as one JSON document for programs, else as the text that `text` makes.
    ///
    /// # Errors
    ///
    /// See [`Self::raw`].
    pub fn show(&self, value: &impl Serialize, text: impl FnOnce(Paint) -> String) -> Result<()> {
        if self.is_json() {
            self.json(value)
        } else {
            self.text(&text(self.out_paint))
        }
    }

    /// Tells something that is not a result, unless told to be quiet.
    pub fn say(&self, text: &str) {
        if self.shows_progress() {
            self.error_text(text);
        }
    }

    /// Tells something to those who want to know more.
    pub fn tell(&self, text: &str) {
        if self.is_verbose() {
            self.error_text(text);
        }
    }

    /// Prints to standard error whatever the verbosity, with a line end.
    pub fn error_text(&self, text: &str) {
        self.error_raw(format!("{text}\n").as_bytes());
    }

    /// Prints to standard error as it is. When that cannot be written to there is nobody left to tell.
    pub fn error_raw(&self, bytes: &[u8]) {
        self.beside_live(|| {
            let mut err = locked(&self.err);
            let _ = err.write_all(bytes).and_then(|()| err.flush());
        });
    }

    /// From now on printing makes room for live lines, until `None` is set.
    pub(crate) fn set_live(&self, live: Option<MultiProgress>) {
        *locked(&self.live) = live;
    }

    /// Takes live lines off the terminal.
    pub(crate) fn clear_live(&self) {
        if let Some(live) = locked(&self.live).take() {
            // A terminal that is gone needs no cleaning.
            let _ = live.clear();
        }
    }

    fn beside_live<T>(&self, print: impl FnOnce() -> T) -> T {
        let live = locked(&self.live).clone();
        match live {
            Some(live) => live.suspend(print),
            None => print(),
        }
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Failed, "write the result as JSON").with_source(error)
}

/// Standard input.
pub struct Input {
    stream: Mutex<Box<dyn Read + Send>>,
    is_terminal: bool,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("is_terminal", &self.is_terminal)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// Whether somebody types.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Reads one line, without its end; `None` when the input has ended.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn line(&self) -> Result<Option<String>> {
        let mut stream = locked(&self.stream);
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < 4096 {
            match stream.read(&mut byte) {
                Ok(0) if line.is_empty() => return Ok(None),
                Ok(0) => break,
                Ok(_) if byte == *b"\n" => break,
                Ok(_) => line.extend(byte),
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
    }

    /// Reads everything, at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is longer, or is not UTF-8.
    pub fn all(&self, limit: u64) -> Result<String> {
        let mut stream = locked(&self.stream);
        crate::file::read_bounded(&mut *stream, limit).map_err(unreadable)
    }
}

fn unreadable(error: std::io::Error) -> Error {
    let kind = crate::file::kind_of(&error);
    Error::new(kind, "read standard input").with_source(error)
}

#[cfg(test)]
mod tests;
