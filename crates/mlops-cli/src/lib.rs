#![doc = include_str!("../README.md")]

pub mod args;
mod exit;
pub mod file;
mod printer;
mod progress;
pub mod report;
pub mod shell;
#[cfg(test)]
mod test_support;
pub mod text;
pub mod trace;
mod interrupt;

pub use args::{Args, Color, Global, Output, ShellSyntax, Verb, command};
pub use exit::Exit;
pub use printer::{Input, Printer, Streams, Style, Verbosity, wants_color};
pub use progress::{Json, Progress};
