//! Ask a model as often as possible and print how often that was, and what it cost this process.
//!
//! Needs:  an inference server with a model that takes one FP32 tensor
//! Run:    `cargo run --release -p mlops-serving --example oip_load -- FORM URL MODEL CONNECTIONS SECONDS ELEMENTS`,
//!         where FORM is `json`, `binary` or `grpc`
//! Prints: `json: 12345 requests/s, 20.1 us of processor time a request`
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::{Duration, Instant};

use mlops_core::{Endpoint, Error, ErrorKind, Result};
use mlops_serving::oip::{
    GrpcClient, InferRequest, PreparedGrpc, PreparedRest, RestClient, RestForm, Tensor, TensorData,
};

fn argument(index: usize, default: &str) -> String {
    std::env::args()
        .nth(index)
        .unwrap_or_else(|| default.to_owned())
}

fn number<T: std::str::FromStr>(index: usize, default: T) -> T {
    argument(index, "").parse().unwrap_or(default)
}

/// User and system time of this process in clock ticks of 10 ms, as Linux tells it.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after.split_whitespace().collect();
    [11, 12]
        .iter()
        .filter_map(|index| fields.get(*index)?.parse::<u64>().ok())
        .sum()
}

#[derive(Clone)]
enum Client {
    Rest(RestClient, PreparedRest),
    Grpc(GrpcClient, PreparedGrpc),
}

impl Client {
    fn new(form: &str, endpoint: &Endpoint, model: &str, request: &InferRequest) -> Result<Self> {
        let rest = |form| {
            let client = RestClient::new(endpoint)?
                .with_form(form)
                .with_idle_connections(1000);
            let prepared = client.prepare(model, request)?;
            Ok(Self::Rest(client, prepared))
        };
        match form {
            "json" => rest(RestForm::Json),
            "binary" => rest(RestForm::Binary),
            "grpc" => {
                let client = GrpcClient::new(endpoint)?;
                let prepared = client.prepare(model, request);
                Ok(Self::Grpc(client, prepared))
            }
            other => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("send requests as `{other}`"),
            )),
        }
    }

    async fn ask(&self) -> Result<()> {
        match self {
            Self::Rest(client, prepared) => client.infer_prepared(prepared).await,
            Self::Grpc(client, prepared) => client.infer_prepared(prepared).await,
        }
        .map(drop)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let form = argument(1, "json");
    let endpoint = Endpoint::new(argument(2, "http://127.0.0.1:8080").parse()?)?;
    let model = argument(3, "m");
    let (connections, seconds) = (number(4, 1_usize), number(5, 5_u64));
    let elements = number(6, 4_usize);
    let data = TensorData::from_vec(vec![0.5_f32; elements]);
    let request = InferRequest::new([Tensor::new("x", [elements], data)?]);
    let (begun, ticks_before) = (Instant::now(), ticks());
    let until = begun + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        // A connection of its own for each: one connection of gRPC carries many calls.
        let client = Client::new(&form, &endpoint, &model, &request)?;
        tasks.push(tokio::spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < until {
                client.ask().await?;
                done += 1;
            }
            Ok::<u64, Error>(done)
        }));
    }
    let mut requests = 0;
    for task in tasks {
        requests += task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "it is printed with few digits")]
    let (rate, cost) = (
        requests as f64 / begun.elapsed().as_secs_f64(),
        (ticks() - ticks_before) as f64 * 10_000.0 / requests as f64,
    );
    println!("{form}: {rate:.0} requests/s, {cost:.1} us of processor time a request");
    Ok(())
}
