//! Ask a model over gRPC with typed tensors.
//!
//! Needs:  a model server of the Open Inference Protocol: its address `grpc://HOST:PORT` in `MODEL_SERVER_GRPC`
//! Run:    cargo run -p mlops-examples --example infer_over_grpc -- iris 5.1 3.5 1.4 0.2
//! Prints: what the model takes, and what it answers
//! Undo:   nothing is left

use anyhow::Context as _;
use mlops_core::Endpoint;
use mlops_examples::var;
use mlops_serving::oip::{GrpcClient, InferRequest, Tensor, TensorData};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let model = args.next().context("the first argument is a model")?;
    let values = args
        .map(|text| text.parse())
        .collect::<Result<Vec<f64>, _>>()?;

    let server = Endpoint::new(var("MODEL_SERVER_GRPC")?.parse()?)?;
    let client = GrpcClient::new(&server)?;
    let metadata = client.model_metadata(&model).await?;
    for input in &metadata.inputs {
        println!("takes {} {:?} {}", input.datatype, input.shape, input.name);
    }

    // One row, a column each: the vector becomes the tensor without a copy.
    let inputs = metadata.inputs.iter().zip(values).map(|(input, value)| {
        Tensor::new(
            input.name.as_str(),
            [1, 1],
            TensorData::from_vec(vec![value]),
        )
    });
    let request = InferRequest::new(inputs.collect::<Result<Vec<_>, _>>()?);
    let answer = client.infer(&model, &request).await?;

    for output in &answer.outputs {
        println!("{} is {:?}", output.name(), output.data().to_f64()?);
    }
    Ok(())
}
