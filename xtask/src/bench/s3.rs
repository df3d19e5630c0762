//! Our S3 server beside the Versity gateway, both with files on the same disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::figure::{Goal, Row};
use super::server::{Server, free_address};
use super::{BenchArguments, Results, release_example, release_program};
use crate::cache::Cache;
use crate::needs;
use crate::shell::{capture, root};

const KEYS: [(&str, &str); 2] = [
    ("S3_ACCESS_KEY", "bench"),
    ("S3_SECRET_KEY", "bench-secret-key"),
];
const OBJECTS: f64 = 1000.0;
const LARGE_MEGABYTES: f64 = 1000.0;

/// What the load program prints, seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Seconds {
    put_small: f64,
    get_small: f64,
    put_large: f64,
    get_large: f64,
}

/// The seconds of one part of a round.
type Phase = fn(&Seconds) -> f64;

/// One server and its rounds so far.
struct Side {
    server: Server,
    rounds: Vec<Seconds>,
    processor: Vec<f64>,
}

impl Side {
    fn new(server: Server) -> Self {
        Self {
            server,
            rounds: Vec::new(),
            processor: Vec::new(),
        }
    }

    fn round(&mut self, load: &Path) -> Result<()> {
        // What earlier rounds left for the disk must not be paid by this one.
        run_quietly("sync")?;
        let before = self.server.processor_seconds()?;
        let endpoint = format!("http://{}", self.server.address);
        let text = capture(Command::new(load).arg(endpoint).envs(KEYS))?;
        self.rounds.push(
            serde_json::from_str(&text).context("failed to read the load program's figures")?,
        );
        self.processor
            .push(self.server.processor_seconds()? - before);
        Ok(())
    }

    /// Something per second, from every round.
    fn rate(&self, amount: f64, seconds: Phase) -> Vec<f64> {
        self.rounds
            .iter()
            .map(|round| amount / seconds(round))
            .collect()
    }
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let load = release_program(arguments, "mlops-bench", "s3_load")?;
    let ours = release_example(arguments, "mlops-s3-server", "serve")?;
    let gateway = needs::versitygw(&Cache::of_user()?)?;
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder)?;
    let scratch = tempfile::tempdir_in(&folder)?;

    let mut ours = Side::new(start_ours(&ours, scratch.path())?);
    let mut peer = Side::new(start_gateway(&gateway, scratch.path())?);
    for round in 0..=arguments.rounds {
        // Who goes first changes, so that neither always finds the caches the other left.
        let order = if round % 2 == 0 {
            [&mut ours, &mut peer]
        } else {
            [&mut peer, &mut ours]
        };
        for side in order {
            side.round(&load)?;
        }
        if round == 0 {
            // The first round warms both up.
            for side in [&mut ours, &mut peer] {
                side.rounds.clear();
                side.processor.clear();
            }
        }
    }
    Ok(Results {
        rows: rows(&ours, &peer)?,
        notes: vec![
            "1,000 objects of 100 KB over 8 kept connections, then one of 1 GB over one; client and server share the \
             machine. The client has one thread, and its requests are signed beforehand with an unsigned payload."
                .to_owned(),
            "Neither server waits for the disk (no fsync), both keep connections (the gateway with `--keep-alive`), and both keep an object as a file on the same file system."
                .to_owned(),
        ],
        versions: vec![
            ("mlops-s3-server".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("versitygw".to_owned(), needs::VERSITYGW_VERSION.to_owned()),
        ],
    })
}

fn rows(ours: &Side, peer: &Side) -> Result<Vec<Row>> {
    let rates: [(&str, &str, f64, Phase); 4] = [
        (
            "PUT, 1,000 objects of 100 KB",
            "objects/s",
            OBJECTS,
            |round| round.put_small,
        ),
        (
            "GET, 1,000 objects of 100 KB",
            "objects/s",
            OBJECTS,
            |round| round.get_small,
        ),
        (
            "PUT, one object of 1 GB",
            "MB/s",
            LARGE_MEGABYTES,
            |round| round.put_large,
        ),
        (
            "GET, one object of 1 GB",
            "MB/s",
            LARGE_MEGABYTES,
            |round| round.get_large,
        ),
    ];
    let mut rows = Vec::new();
    for (what, unit, amount, seconds) in rates {
        rows.push(
            Row::new(
                what,
                unit,
                &ours.rate(amount, seconds),
                Goal::RatioAtLeast(1.0),
            )?
            .beside("versitygw", &peer.rate(amount, seconds))?,
        );
    }
    rows.push(
        Row::new(
            "server's processor time for all of it",
            "s",
            &ours.processor,
            Goal::None,
        )?
        .beside("versitygw", &peer.processor)?,
    );
    rows.push(
        Row::new(
            "server's peak memory",
            "MB",
            &[ours.server.peak_megabytes()?],
            Goal::None,
        )?
        .beside("versitygw", &[peer.server.peak_megabytes()?])?,
    );
    Ok(rows)
}

fn start_ours(program: &Path, scratch: &Path) -> Result<Server> {
    let address = free_address()?;
    let data = scratch.join("ours");
    fs::create_dir(&data)?;
    let mut command = Command::new(program);
    command.arg(data).arg(address.to_string()).envs(KEYS);
    Server::start(&mut command, address, &scratch.join("ours.log"))
}

fn start_gateway(program: &Path, scratch: &Path) -> Result<Server> {
    let address = free_address()?;
    let data = scratch.join("versitygw");
    fs::create_dir(&data)?;
    let mut command = Command::new(program);
    command
        .args([
            "--quiet",
            "--keep-alive",
            "--port",
            &address.to_string(),
            "posix",
        ])
        .arg(data);
    for ((_, value), name) in KEYS.into_iter().zip(["ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"]) {
        command.env(name, value);
    }
    Server::start(&mut command, address, &scratch.join("versitygw.log"))
}

fn run_quietly(program: &str) -> Result<()> {
    capture(&mut Command::new(program)).map(drop)
}
