//! Inferences as often as possible with the client of `mlops-serving`.
//!
//! Without `--elements` the model is the iris sample: four columns of one row. With it the model takes one FP32 tensor
//! `x` of so many numbers. The request is encoded anew each time, and the answer's numbers are looked at.
//!
//! With `bare` nothing but a blocking socket sends the bytes of a binary REST request and reads as many as come back: no
//! client on this machine can do better on one connection.
//!
//! Needs:  an inference server
//! Prints: `{"requests_per_second":…,"processor_microseconds":…}`

#![expect(
    clippy::print_stdout,
    reason = "a program for the benchmarks: it prints its figures"
)]

use std::cell::Cell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use mlops_core::Endpoint;
use mlops_serving::oip::{
    GrpcClient, InferRequest, InferResponse, RestClient, RestForm, Tensor, TensorData,
};
use serde::Serialize;
use url::Url;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Json,
    Binary,
    Grpc,
    Bare,
}

#[derive(Debug, Parser)]
struct Arguments {
    form: Form,
    /// The server, as in <http://127.0.0.1:8080>.
    server: Url,
    #[arg(long, default_value = "iris")]
    model: String,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[arg(long)]
    elements: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Figures {
    requests_per_second: f64,
    processor_microseconds: f64,
}

/// One of the clients.
#[derive(Clone)]
enum Client {
    Rest(RestClient),
    Grpc(GrpcClient),
}

impl Client {
    fn new(arguments: &Arguments) -> Result<Self> {
        let endpoint = Endpoint::new(arguments.server.clone())?;
        let rest = |form| -> Result<Self> {
            let client = RestClient::new(&endpoint)?
                .with_form(form)
                .with_idle_connections(arguments.connections);
            Ok(Self::Rest(client))
        };
        match arguments.form {
            Form::Json => rest(RestForm::Json),
            Form::Binary => rest(RestForm::Binary),
            Form::Bare => bail!("a bare socket is no client"),
            Form::Grpc => Ok(Self::Grpc(GrpcClient::new(&endpoint)?)),
        }
    }

    async fn infer(&self, model: &str, request: &InferRequest) -> Result<InferResponse> {
        Ok(match self {
            Self::Rest(client) => client.infer(model, request).await?,
            Self::Grpc(client) => client.infer(model, request).await?,
        })
    }
}

fn request(elements: Option<usize>) -> Result<InferRequest> {
    let tensors = match elements {
        Some(count) => vec![Tensor::new(
            "x",
            [count],
            TensorData::from_vec(vec![0.5_f32; count]),
        )?],
        None => [
            ("sepal length (cm)", 5.1_f64),
            ("sepal width (cm)", 3.5),
            ("petal length (cm)", 1.4),
            ("petal width (cm)", 0.2),
        ]
        .into_iter()
        .map(|(name, value)| Tensor::new(name, [1, 1], TensorData::from_vec(vec![value])))
        .collect::<Result<_, _>>()?,
    };
    Ok(InferRequest::new(tensors))
}

/// The answer must have as many numbers as were asked for.
fn check(answer: &InferResponse, elements: Option<usize>) -> Result<()> {
    let output = answer.outputs.first().context("the answer has no output")?;
    match elements {
        Some(count) => ensure!(output.data().as_slice::<f32>()?.len() == count),
        None => ensure!(output.data().to_f64()? == [0.0], "the class is wrong"),
    }
    Ok(())
}

/// Microseconds of processor time of this process so far, user and system.
fn processor_microseconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(')').context("no process status")?;
    let ticks: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // Linux counts these in hundredths of a second on every architecture.
    Ok(ticks.iter().sum::<f64>() * 10_000.0)
}

async fn measure(arguments: &Arguments) -> Result<Figures> {
    let request = Rc::new(request(arguments.elements)?);
    let client = Client::new(arguments)?;
    let count = Rc::new(Cell::new(0_u32));
    check(
        &client.infer(&arguments.model, &request).await?,
        arguments.elements,
    )?;
    let (start, before) = (Instant::now(), processor_microseconds()?);
    let until = start + Duration::from_secs(arguments.seconds);
    let tasks: Vec<_> = (0..arguments.connections)
        .map(|_| {
            let (client, request, count) = (client.clone(), Rc::clone(&request), Rc::clone(&count));
            let (model, elements) = (arguments.model.clone(), arguments.elements);
            tokio::task::spawn_local(async move {
                while Instant::now() < until {
                    check(&client.infer(&model, &request).await?, elements)?;
                    count.set(count.get() + 1);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let requests = f64::from(count.get().max(1));
    Ok(Figures {
        requests_per_second: requests / start.elapsed().as_secs_f64(),
        processor_microseconds: (processor_microseconds()? - before) / requests,
    })
}

/// Sends the same bytes and reads as many as the first answer has, again and again.
fn measure_bare(arguments: &Arguments) -> Result<Figures> {
    let count = arguments.elements.context("say how many elements")?;
    let bytes = count * size_of::<f32>();
    let json = serde_json::json!({
        "inputs": [{
            "name": "x",
            "shape": [count],
            "datatype": "FP32",
            "parameters": { "binary_data_size": bytes },
        }],
        "parameters": { "binary_data_output": true },
    })
    .to_string();
    let authority = arguments.server.authority();
    let mut request = format!(
        "POST /v2/models/{}/infer HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/octet-stream\r\n\
         inference-header-content-length: {}\r\ncontent-length: {}\r\n\r\n{json}",
        arguments.model,
        json.len(),
        json.len() + bytes,
    )
    .into_bytes();
    request.resize(request.len() + bytes, 0);
    let mut socket = TcpStream::connect(authority)?;
    socket.set_nodelay(true)?;
    socket.write_all(&request)?;
    let mut answer = vec![0; bytes + 4096];
    let length = first_answer(&mut socket, &mut answer)?;
    let answer = answer.get_mut(..length).context("the answer is longer")?;
    let (start, before) = (Instant::now(), processor_microseconds()?);
    let until = start + Duration::from_secs(arguments.seconds);
    let mut requests = 0_u32;
    while Instant::now() < until {
        socket.write_all(&request)?;
        socket.read_exact(answer)?;
        requests += 1;
    }
    let requests = f64::from(requests.max(1));
    Ok(Figures {
        requests_per_second: requests / start.elapsed().as_secs_f64(),
        processor_microseconds: (processor_microseconds()? - before) / requests,
    })
}

/// Reads an answer to its end and hands back how long it is, head and body.
fn first_answer(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let mut got = 0;
    loop {
        let free = buffer.get_mut(got..).unwrap_or_default();
        let more = socket.read(free)?;
        ensure!(more > 0, "the answer has no end that could be found");
        got += more;
        let text = String::from_utf8_lossy(buffer.get(..got.min(4096)).unwrap_or_default());
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let body: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            })
            .context("the answer does not tell its length")?;
        let whole = head.len() + 4 + body;
        if got == whole {
            return Ok(whole);
        }
    }
}

/// One thread: the client shall leave the cores to the server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let figures = if arguments.form == Form::Bare {
        measure_bare(&arguments)?
    } else {
        let local = tokio::task::LocalSet::new();
        local.run_until(measure(&arguments)).await?
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
