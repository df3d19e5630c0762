//! The machine that the figures are of.

use std::fs;

use anyhow::{Context as _, Result};

use crate::shell::capture;

/// Processor, cores, memory and system in one line.
pub(super) fn describe() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let processor =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(String::new, |kib| {
            format!(", {:.0} GiB", kib / 1024.0 / 1024.0)
        });
    let system = capture(std::process::Command::new("uname").arg("-srm"))
        .context("failed to ask for the system's name")?;
    Ok(format!(
        "{cores} cores of {processor}{memory}, {}",
        system.trim()
    ))
}

/// The text after `name:` in a file of such lines.
fn field(file: &str, name: &str) -> Option<String> {
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}
