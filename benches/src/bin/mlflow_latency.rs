//! Calls of MLflow in turns: by the client of `mlops-serving`, and by sockets that send the same bytes.
//!
//! Needs:  `MLFLOW_PASSWORD`, the password of the user `admin`
//! Prints: `{"health":{"client":…,"prompt":…,"plain":…},"runs_get":{…}}`, p50 in milliseconds; `prompt` is a socket
//!         that acknowledges at once, `plain` one that does not

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for the benchmarks: it prints its figures and is handed a password by environment"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use clap::Parser;
use mlops_core::{Endpoint, SecretText};
use mlops_serving::mlflow::{Mlflow, NewRun};
use rustix::net::sockopt::set_tcp_quickack;
use serde::Serialize;
use url::Url;

#[derive(Debug, Parser)]
struct Arguments {
    /// The server, as in <http://127.0.0.1:5000>.
    server: Url,
    #[arg(long, default_value_t = 200)]
    calls: usize,
}

#[derive(Debug, Serialize)]
struct Figures {
    health: Call,
    runs_get: Call,
}

#[derive(Debug, Serialize)]
struct Call {
    client: f64,
    prompt: f64,
    plain: f64,
}

/// A connection that sends bytes and reads an answer of a known length as fast as can be.
struct Socket {
    stream: TcpStream,
    prompt: bool,
    buffer: Vec<u8>,
}

impl Socket {
    fn connect(server: &Endpoint, prompt: bool) -> Result<Self> {
        let stream = TcpStream::connect((server.host(), server.port()))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            prompt,
            buffer: vec![0; 64 << 10],
        })
    }

    /// Sends the request and reads to the end of the answer, which must be a 200.
    fn call(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request)?;
        let mut end = 0;
        loop {
            if self.prompt {
                set_tcp_quickack(&self.stream, true)?;
            }
            let room = self.buffer.get_mut(end..).unwrap_or_default();
            let read = self.stream.read(room)?;
            ensure!(read > 0, "the server closed the connection");
            end += read;
            let answer = self.buffer.get(..end).unwrap_or_default();
            if is_whole(answer)? {
                ensure!(answer.starts_with(b"HTTP/1.1 200"), "the server refused");
                return Ok(());
            }
        }
    }
}

/// Whether head and body are there.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
    let length: usize = text
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        })
        .context("the answer does not tell its length")?;
    Ok(answer.len() >= head + 4 + length)
}

fn get(server: &Endpoint, path: &str, password: &SecretText) -> Vec<u8> {
    let token =
        base64::engine::general_purpose::STANDARD.encode(format!("admin:{}", password.expose()));
    format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: bench\r\nauthorization: Basic {token}\r\n\r\n",
        server.authority()
    )
    .into_bytes()
}

fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("nothing was measured")
}

/// The three in turns, so that whatever the machine does meanwhile hits all of them.
async fn in_turns<F: Future<Output = Result<()>>>(
    server: &Endpoint,
    calls: usize,
    request: &[u8],
    client: impl Fn() -> F,
) -> Result<Call> {
    let mut prompt = Socket::connect(server, true)?;
    let mut plain = Socket::connect(server, false)?;
    // Linux acknowledges at once at the beginning of a connection; that shall be over.
    for _ in 0..20 {
        client().await?;
        prompt.call(request)?;
        plain.call(request)?;
    }
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    let [by_client, by_prompt, by_plain] = &mut times;
    for _ in 0..calls {
        let start = Instant::now();
        client().await?;
        by_client.push(start.elapsed().as_secs_f64() * 1000.0);
        let start = Instant::now();
        prompt.call(request)?;
        by_prompt.push(start.elapsed().as_secs_f64() * 1000.0);
        let start = Instant::now();
        plain.call(request)?;
        by_plain.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let [by_client, by_prompt, by_plain] = times;
    Ok(Call {
        client: median(by_client)?,
        prompt: median(by_prompt)?,
        plain: median(by_plain)?,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let password = std::env::var("MLFLOW_PASSWORD").context("`MLFLOW_PASSWORD` is not set")?;
    let password = SecretText::new(password);
    let server = Endpoint::new(arguments.server)?;
    let mlflow = Mlflow::new(&server)?.with_basic_auth("admin", &password)?;
    let run = mlflow
        .create_run(&NewRun {
            experiment_id: "0".to_owned(),
            name: None,
            start_time: 0,
            tags: mlops_serving::mlflow::Tags::default(),
        })
        .await?
        .info
        .run_id;
    let health = get(&server, "/health", &password);
    let runs_get = get(
        &server,
        &format!("/api/2.0/mlflow/runs/get?run_id={run}"),
        &password,
    );
    let figures = Figures {
        health: in_turns(&server, arguments.calls, &health, async || {
            ensure!(mlflow.is_healthy().await?, "MLflow is not healthy");
            Ok(())
        })
        .await?,
        runs_get: in_turns(&server, arguments.calls, &runs_get, async || {
            ensure!(mlflow.get_run(&run).await?.info.run_id == run);
            Ok(())
        })
        .await?,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
