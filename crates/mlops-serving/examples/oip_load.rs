//! Ask a model as often as possible and print how often that was, and what it cost this process.
//!
//! Needs:  an inference server with a model that takes one FP32 tensor
//! Run:    cargo run --release -p mlops-serving --example oip_load -- json|binary|grpc URL MODEL CONNECTIONS SECONDS ELEMENTS
//! Prints: `json: 12345 requests/s, 20.1 us of processor time a request`
#![allow(clippy::print_stdout, missing_docs, reason = "an example talks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mlops_core::{Endpoint, Error, ErrorKind, Result};
use mlops_serving::oip::{GrpcClient, InferRequest, RestClient, RestForm, Tensor, TensorData};

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

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let form = argument(1, "json");
    let endpoint = Endpoint::new(argument(2, "http://127.0.0.1:8080").parse()?)?;
    let model = argument(3, "m");
    let (connections, seconds) = (number(4, 1_usize), number(5, 5_u64));
    let elements = number(6, 4_usize);
    let input = Tensor::new(
        "x",
        [elements],
        TensorData::from_vec(vec![0.5_f32; elements]),
    )?;
    let request = InferRequest::new([input]);
    let done = Arc::new(AtomicU64::new(0));
    let (begun, ticks_before) = (Instant::now(), ticks());
    let until = begun + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    let rest = || -> Result<RestClient> {
        let form = if form == "binary" {
            RestForm::Binary
        } else {
            RestForm::Json
        };
        Ok(RestClient::new(&endpoint)?
            .with_form(form)
            .with_idle_connections(connections))
    };
    match form.as_str() {
        "json" | "binary" => {
            let client = rest()?;
            let prepared = Arc::new(client.prepare(&model, &request)?);
            for _ in 0..connections {
                let (client, prepared, done) =
                    (client.clone(), Arc::clone(&prepared), Arc::clone(&done));
                tasks.push(tokio::spawn(async move {
                    while Instant::now() < until {
                        client.infer_prepared(&prepared).await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), Error>(())
                }));
            }
        }
        "grpc" => {
            for _ in 0..connections {
                let client = GrpcClient::new(&endpoint)?;
                let (prepared, done) = (client.prepare(&model, &request), Arc::clone(&done));
                tasks.push(tokio::spawn(async move {
                    while Instant::now() < until {
                        client.infer_prepared(&prepared).await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), Error>(())
                }));
            }
        }
        other => {
            let error = Error::new(
                ErrorKind::InvalidInput,
                format!("send requests as `{other}`"),
            );
            return Err(error.into());
        }
    }
    for task in tasks {
        task.await??;
    }
    let requests = done.load(Ordering::Relaxed).max(1);
    #[expect(clippy::cast_precision_loss, reason = "it is printed with few digits")]
    let (rate, cost) = (
        requests as f64 / begun.elapsed().as_secs_f64(),
        (ticks() - ticks_before) as f64 * 10_000.0 / requests as f64,
    );
    println!("{form}: {rate:.0} requests/s, {cost:.1} us of processor time a request");
    Ok(())
}
