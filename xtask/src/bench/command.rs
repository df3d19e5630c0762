//! What the program itself costs: its start and its size.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use super::figure::{Goal, Row, process_millis};
use super::{BenchArguments, Results, program_version, release_program};
use crate::shell::capture;

/// Starts are short, so more of them are cheap and steady the median.
const STARTS_PER_ROUND: u32 = 5;

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;

    let help = capture(Command::new(&program).arg("--help"))?;
    ensure!(
        help.contains("Usage: mlops"),
        "`mlops --help` tells no usage"
    );
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds * STARTS_PER_ROUND {
        ours.push(process_millis(Command::new(&program).arg("--help"))?);
        peers.push(process_millis(&mut Command::new("true"))?);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a file has less than 2^52 bytes"
    )]
    let megabytes = fs::metadata(&program)?.len() as f64 / 1e6;

    Ok(Results {
        rows: vec![
            Row::new(
                "`mlops --help`, whole process",
                "ms",
                &ours,
                Goal::AtMost(10.0),
            )?
            .beside("`true`", &peers)?,
            Row::new("stripped binary", "MB", &[megabytes], Goal::AtMost(40.0))?,
        ],
        notes: vec!["`true` is what starting any process costs here.".to_owned()],
        versions: vec![("mlops".to_owned(), program_version(&program)?)],
    })
}
