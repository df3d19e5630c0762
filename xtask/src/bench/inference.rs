//! The inference client beside `wrk` on a real server, and beside NVIDIA's client on one that costs nearly nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::figure::{Goal, Row};
use super::home::{Home, Prefetch, open_folder};
use super::mlflow_client::version;
use super::server::{Server, free_address};
use super::{BenchArguments, Results, release_example, release_program};
use crate::cache::Cache;
use crate::needs;
use crate::shell::{capture, root};

/// <https://pypi.org/project/tritonclient/>.
const TRITONCLIENT: &str = "2.73.0";

/// Seconds of one measurement.
const SECONDS: &str = "3";

/// What the load programs print.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Load {
    requests_per_second: f64,
    processor_microseconds: f64,
}

pub(super) fn measure(arguments: &BenchArguments) -> Result<Results> {
    let program = release_program(arguments, "mlops-bin", "mlops")?;
    let load = release_program(arguments, "mlops-bench", "oip_load")?;
    let server = release_example(arguments, "mlops-testkit", "oip_server")?;
    let prefetch = Home::new(&program)?.prefetch()?;
    let wrk = needs::wrk()?;
    let triton = Triton {
        python: tritonclient(&Cache::of_user()?, &prefetch)?,
        load: load.clone(),
        server,
    };
    let mut rows = beside_wrk(arguments, &prefetch, &wrk, &load)?;
    for case in &CASES {
        rows.extend(triton.case(arguments, case)?);
    }
    Ok(Results {
        rows,
        notes: vec![
            format!(
                "Requests a second of one client thread for {SECONDS} s a round, client and server on the same cores. \
                 `wrk` sends bytes made beforehand and reads only the status of the answer; our client reads the numbers out of it."
            ),
            "The server that costs nearly nothing answers every request with the same bytes \
             (`crates/mlops-testkit/examples/oip_server.rs`). Both clients send raw tensors, over REST too; small is 4 \
             numbers there and back, large 10 MB there and 10 MB back. NVIDIA's client is the ordinary one on one \
             connection and the one for asyncio on eight. Processor time is the client's own, user and system."
                .to_owned(),
            "The bare socket blocks, sends bytes made beforehand and looks at nothing that comes back: what one \
             connection can carry on this machine. It is measured in the same rounds, beside NVIDIA's client."
                .to_owned(),
            "Server and clients, ours and NVIDIA's, are told to keep freed memory (`MALLOC_TRIM_THRESHOLD_`, \
             `MALLOC_MMAP_THRESHOLD_`). Without that the C library gives 10 MB back to the kernel after every request \
             and gets them again page by page, which costs more than the request."
                .to_owned(),
        ],
        versions: vec![
            ("MLServer".to_owned(), version(&prefetch, "mlserver")?),
            ("tritonclient".to_owned(), TRITONCLIENT.to_owned()),
            ("wrk".to_owned(), wrk_version(&wrk)?),
        ],
    })
}

/// `wrk --version` ends with 1 and says more than its version.
fn wrk_version(wrk: &Path) -> Result<String> {
    let output = Command::new(wrk).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = text.split_whitespace().nth(1).unwrap_or("unknown");
    Ok(word.to_owned())
}

fn read(text: &str) -> Result<Load> {
    serde_json::from_str(text).context("failed to read the load program's figures")
}

fn beside_wrk(
    arguments: &BenchArguments,
    prefetch: &Prefetch,
    wrk: &Path,
    load: &Path,
) -> Result<Vec<Row>> {
    let folder = open_folder()?;
    let server = start_mlserver(prefetch, folder.path())?;
    let script = folder.path().join("request.lua");
    fs::write(&script, wrk_script())?;
    let url = format!("http://{}", server.address);
    let mut rows = Vec::new();
    for connections in ["1", "8", "32"] {
        let (mut ours, mut peers, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=arguments.rounds {
            let figures = read(&capture(Command::new(load).args([
                "json",
                &url,
                "--model",
                "iris",
                "--connections",
                connections,
                "--seconds",
                SECONDS,
            ]))?)?;
            let peer = capture(
                Command::new(wrk)
                    .args([
                        "-t1",
                        "-c",
                        connections,
                        "-d",
                        SECONDS,
                        "--timeout",
                        "30s",
                        "-s",
                    ])
                    .arg(&script)
                    .arg(format!("{url}/v2/models/iris/infer")),
            )?;
            if round > 0 {
                // The first warms the server up.
                ours.push(figures.requests_per_second);
                costs.push(figures.processor_microseconds);
                peers.push(rate_of_wrk(&peer)?);
            }
        }
        let what = match connections {
            "1" => "MLServer, iris, 1 connection".to_owned(),
            many => format!("MLServer, iris, {many} connections"),
        };
        rows.push(
            Row::new(what, "requests/s", &ours, Goal::RatioAtLeast(1.0))?.beside("wrk", &peers)?,
        );
    }
    Ok(rows)
}

/// The request that our client sends.
fn wrk_script() -> String {
    let columns = [
        ("sepal length (cm)", 5.1),
        ("sepal width (cm)", 3.5),
        ("petal length (cm)", 1.4),
        ("petal width (cm)", 0.2),
    ];
    let inputs = columns.map(|(name, value)| {
        serde_json::json!({ "name": name, "shape": [1, 1], "datatype": "FP64", "data": [value] })
    });
    let body = serde_json::json!({ "inputs": inputs });
    format!(
        "wrk.method = \"POST\"\nwrk.headers[\"content-type\"] = \"application/json\"\nwrk.body = [==[{body}]==]\n"
    )
}

fn rate_of_wrk(text: &str) -> Result<f64> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("`wrk` got errors: {text}");
    }
    text.lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("Requests/sec:")?
                .trim()
                .parse()
                .ok()
        })
        .context("`wrk` tells no requests a second")
}

fn start_mlserver(prefetch: &Prefetch, folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let sample = prefetch.environment.join("sample/iris");
    let models = folder.join("models");
    fs::create_dir_all(models.join("iris"))?;
    let settings = serde_json::json!({
        "name": "iris",
        "implementation": "mlserver_mlflow.MLflowRuntime",
        "parameters": { "uri": sample },
    });
    fs::write(
        models.join("iris/model-settings.json"),
        settings.to_string(),
    )?;
    let mut command = Command::new(prefetch.python());
    command
        .arg("-I")
        .arg(prefetch.environment.join("launch/model_server.py"))
        .arg(&models)
        .arg(&sample)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .env("MLSERVER_HOST", "127.0.0.1")
        .env("MLSERVER_HTTP_PORT", address.port().to_string())
        .env("MLSERVER_GRPC_PORT", free_address()?.port().to_string())
        .env("MLSERVER_METRICS_PORT", free_address()?.port().to_string())
        .env("MLSERVER_PARALLEL_WORKERS", "0")
        .env("MLSERVER_DEBUG", "false");
    let server = Server::start(&mut command, address, &folder.join("mlserver.log"))?;
    server.wait_for_http("/v2/models/iris/ready")?;
    Ok(server)
}

/// One way of asking.
struct Case {
    form: &'static str,
    name: &'static str,
    elements: &'static str,
    size: &'static str,
    connections: &'static str,
}

const fn case(form: &'static str, elements: &'static str, connections: &'static str) -> Case {
    Case {
        form,
        name: if form.len() == 6 {
            "binary REST"
        } else {
            "gRPC"
        },
        elements,
        size: if elements.len() == 1 {
            "small"
        } else {
            "10 MB"
        },
        connections,
    }
}

const CASES: [Case; 6] = [
    case("binary", "4", "1"),
    case("binary", "4", "8"),
    case("binary", "2500000", "1"),
    case("grpc", "4", "1"),
    case("grpc", "4", "8"),
    case("grpc", "2500000", "1"),
];

/// NVIDIA's client and ours, and the server for both.
struct Triton {
    python: PathBuf,
    load: PathBuf,
    server: PathBuf,
}

impl Triton {
    fn case(&self, arguments: &BenchArguments, case: &Case) -> Result<Vec<Row>> {
        let folder = open_folder()?;
        let (rest, grpc) = (free_address()?, free_address()?);
        let mut command = Command::new(&self.server);
        command.args([
            rest.port().to_string(),
            grpc.port().to_string(),
            case.elements.to_owned(),
        ]);
        keep_memory(&mut command);
        let server = Server::start(&mut command, rest, &folder.path().join("server.log"))?;
        let address = if case.form == "grpc" {
            grpc
        } else {
            server.address
        };
        let alone = case.form == "binary" && case.connections == "1";
        let (mut ours, mut peers, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=arguments.rounds {
            let figures = self.ours(case.form, case, &address.to_string())?;
            let peer = self.peer(case, &address.to_string())?;
            if alone {
                let figures = self.ours("bare", case, &address.to_string())?;
                bare.extend((round > 0).then_some(figures));
            }
            if round > 0 {
                ours.push(figures);
                peers.push(peer);
            }
        }
        rows(case, &ours, &peers, alone.then_some(&bare))
    }

    fn ours(&self, form: &str, case: &Case, address: &str) -> Result<Load> {
        let mut command = Command::new(&self.load);
        keep_memory(&mut command);
        command
            .args([form, &format!("http://{address}"), "--model", "m"])
            .args(["--elements", case.elements])
            .args(["--connections", case.connections, "--seconds", SECONDS]);
        read(&capture(&mut command)?)
    }

    fn peer(&self, case: &Case, address: &str) -> Result<Load> {
        let form = if case.form == "grpc" { "grpc" } else { "rest" };
        let mut command = Command::new(&self.python);
        command
            .arg(root().join("xtask/src/bench/triton_load.py"))
            .args([form, address, "m", case.connections, SECONDS, case.elements])
            .env_remove("PYTHONDONTWRITEBYTECODE");
        keep_memory(&mut command);
        read(&capture(&mut command)?)
    }
}

/// Requests and processor time, of our client and, where it was measured, of a bare socket.
fn rows(case: &Case, ours: &[Load], peers: &[Load], bare: Option<&Vec<Load>>) -> Result<Vec<Row>> {
    let rates =
        |loads: &[Load]| -> Vec<f64> { loads.iter().map(|l| l.requests_per_second).collect() };
    let costs =
        |loads: &[Load]| -> Vec<f64> { loads.iter().map(|l| l.processor_microseconds).collect() };
    let pair = |what: &str, loads: &[Load], rate: Goal, cost: Goal| -> Result<[Row; 2]> {
        let costly = format!("{what}: processor time a request");
        Ok([
            Row::new(what, "requests/s", &rates(loads), rate)?
                .beside("tritonclient", &rates(peers))?,
            Row::new(costly, "us", &costs(loads), cost)?.beside("tritonclient", &costs(peers))?,
        ])
    };
    let what = format!("{}, {}, {} at once", case.name, case.size, case.connections);
    let mut rows = Vec::from(pair(
        &what,
        ours,
        Goal::RatioAtLeast(5.0),
        Goal::RatioAtMost(0.2),
    )?);
    if let Some(bare) = bare {
        let what = format!("a bare socket, {}, 1 at once", case.size);
        rows.extend(pair(&what, bare, Goal::None, Goal::None)?);
    }
    Ok(rows)
}

/// Has the C library keep what a program frees
/// (<https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html>).
fn keep_memory(command: &mut Command) {
    for variable in ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"] {
        command.env(variable, (1_u32 << 30).to_string());
    }
}

/// The interpreter of an environment with NVIDIA's client, made by the Python that MLflow has.
fn tritonclient(cache: &Cache, prefetch: &Prefetch) -> Result<PathBuf> {
    let folder = cache.entry(&format!("tritonclient-{TRITONCLIENT}"), |partial| {
        capture(
            Command::new(prefetch.python())
                .args(["-I", "-m", "venv"])
                .arg(partial),
        )?;
        let package = format!("tritonclient[http,grpc]=={TRITONCLIENT}");
        let mut pip = Command::new(partial.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", &package]);
        capture(&mut pip).map(drop)
    })?;
    Ok(folder.join("bin/python"))
}
