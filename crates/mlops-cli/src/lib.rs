#![doc = include_str!("../README.md")]

pub mod args;
pub mod catalog;
mod commands;
mod cx;
mod exit;
pub mod file;
mod interrupt;
mod outcome;
mod printer;
mod progress;
pub mod report;
mod run;
pub mod shell;
#[cfg(test)]
mod test_support;
pub mod text;
pub mod tool;
pub mod trace;

pub use args::{Args, Color, Global, Output, ShellSyntax, Verb, command};
pub use exit::Exit;
pub use printer::{Input, Printer, Streams, Style, Verbosity, wants_color};
pub use progress::{Json, Progress};
pub use run::{Host, run};
