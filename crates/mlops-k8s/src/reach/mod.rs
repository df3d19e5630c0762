//! Into the pods: what they print, what runs in them, and what listens there.

mod exec;
mod forward;
mod logs;

pub use exec::{Executed, exec};
pub use forward::Forward;
pub use logs::{LogLine, LogOptions, logs};
