//! What the supervisor holds when its S3 server has worked.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::figure::{Goal, Row};
use super::home::Home;
use super::{BenchArguments, Results, program_version, release_program};
use crate::shell::capture;

/// The line of one component in `mlops status --output json`.
#[derive(Debug, Deserialize)]
struct Component {
    component: String,
    url: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    components: Vec<Component>,
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let load = release_program(arguments, "mlops-bench", "s3_load")?;
    let home = Home::new(&program)?;
    home.up()?;
    let status = capture(&mut home.command(&["status", "--output", "json"]))?;
    let status: Status = serde_json::from_str(&status).context("failed to read the status")?;
    let s3 = status
        .components
        .into_iter()
        .find(|found| found.component == "s3")
        .context("the platform has no `s3`")?;
    let secret = capture(&mut home.command(&["credentials", "s3/admin-secret-key", "--show"]))?;
    let pid = home.supervisor()?;
    let before = Memory::of(pid)?;
    let (mut resident, mut own) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        capture(
            Command::new(&load)
                .arg(&s3.url)
                .env("S3_ACCESS_KEY", "admin")
                .env("S3_SECRET_KEY", secret.trim()),
        )?;
        let memory = Memory::of(pid)?;
        resident.push(memory.resident);
        own.push(memory.own);
    }
    Ok(Results {
        rows: vec![
            Row::new(
                "supervisor with S3, resident",
                "MB",
                &resident,
                Goal::AtMost(60.0),
            )?
            .beside("before the load", &[before.resident])?,
            Row::new(
                "supervisor with S3, its share (PSS)",
                "MB",
                &own,
                Goal::AtMost(60.0),
            )?
            .beside("before the load", &[before.own])?,
        ],
        notes: vec![
            "The supervisor of a whole platform, after each round of 1,000 objects of 100 KB and one of 1 GB, PUT and \
             GET, to the S3 server in it."
                .to_owned(),
        ],
        versions: vec![("mlops".to_owned(), program_version(&program)?)],
    })
}

/// Megabytes of a process.
struct Memory {
    resident: f64,
    own: f64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .context("failed to ask for the supervisor's memory")?;
        let megabytes = |name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .map(|kib: f64| kib * 1024.0 / 1e6)
                .with_context(|| format!("the system does not tell `{name}`"))
        };
        Ok(Self {
            resident: megabytes("Rss:")?,
            own: megabytes("Pss:")?,
        })
    }
}
