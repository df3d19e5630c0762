//! A plan of very many components, as a whole process: read, resolved, ordered, printed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::figure::{Goal, Row, process_millis};
use super::{BenchArguments, Results, program_version, release_program};
use crate::shell::{capture, root};

/// How far from ten times the cost ten times the components may be.
const LINEAR: f64 = 1.2;

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder)?;
    let scratch = tempfile::tempdir_in(&folder)?;
    let small = Platform::write(scratch.path(), 1_000)?;
    let large = Platform::write(scratch.path(), 10_000)?;
    let resources = [small.check(&program)?, large.check(&program)?];

    let (mut small_times, mut large_times) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        small_times.push(process_millis(&mut small.plan(&program))?);
        large_times.push(process_millis(&mut large.plan(&program))?);
    }
    let ten_times: Vec<f64> = small_times.iter().map(|time| time * 10.0).collect();

    Ok(Results {
        rows: vec![
            Row::new(
                "plan of 1,000 components",
                "ms",
                &small_times,
                Goal::AtMost(100.0),
            )?,
            Row::new(
                "plan of 10,000 components",
                "ms",
                &large_times,
                Goal::RatioAtMost(LINEAR),
            )?
            .beside("ten times that of 1,000", &ten_times)?,
        ],
        notes: vec![format!(
            "`mlops plan --offline --catalog DIR`, a whole process: it reads a file for each component, and prints {} \
             and {} lines. Every component has a process, a secret, and a database with its role or a bucket with its \
             key.",
            resources[0], resources[1]
        )],
        versions: vec![("mlops".to_owned(), program_version(&program)?)],
    })
}

/// A platform of many components, and the catalogue they are of.
struct Platform {
    folder: PathBuf,
    last: String,
}

impl Platform {
    fn write(scratch: &Path, components: u32) -> Result<Self> {
        let folder = scratch.join(components.to_string());
        let mut text = format!("name: bench-{components}\ncomponents:\n");
        let name = |number: u32| format!("worker-{number:05}");
        for number in 1..=components {
            let name = name(number);
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "  {name}: {{ settings: {{ threads: {} }} }}",
                number % 8 + 1
            );
            let folder = folder.join("catalog").join(&name);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("component.yaml"), component(&name, number))?;
        }
        fs::write(folder.join("platform.yaml"), text)?;
        Ok(Self {
            folder,
            last: name(components),
        })
    }

    fn plan(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .args(["plan", "--offline", "--catalog", "catalog"])
            .current_dir(&self.folder);
        command
    }

    /// Proves once that the program did plan all of it; hands back how many lines it printed.
    fn check(&self, program: &Path) -> Result<usize> {
        let text = capture(&mut self.plan(program)).context("the plan failed")?;
        let wanted = format!("create process/{}", self.last);
        ensure!(text.contains(&wanted), "the plan does not say `{wanted}`");
        Ok(text.lines().count())
    }
}

/// One component; every second one has a database, the others a bucket.
fn component(name: &str, number: u32) -> String {
    let binding = if number.is_multiple_of(2) {
        format!("{{ capability: postgres, database: db_{number:05} }}")
    } else {
        format!("{{ capability: s3, bucket: bucket-{number:05} }}")
    };
    format!(
        "name: {name}
title: Worker {number}
description: One of very many.
keeps: What it is bound to.
services:
  {name}: {{ scheme: http }}
bindings:
  data: {binding}
secrets:
  token: {{ description: Its token. }}
settings:
  threads: {{ type: integer, default: 1, minimum: 1, maximum: 64, description: How many threads it has. }}
local:
  process:
    program: {{ command: /usr/bin/worker }}
    args: [--port, \"{{{{ port('{name}') }}}}\", --threads, \"{{{{ settings.threads }}}}\"]
    env:
      TOKEN: \"{{{{ secret('{name}/token') }}}}\"
    listens: [{name}]
    ready: {{ http: {{ service: {name}, path: /health }} }}
"
    )
}
