//! A client of the [Open Inference Protocol](https://github.com/kserve/open-inference-protocol), version 2: REST with
//! JSON, REST with the binary extension, and gRPC, with typed tensors that are not copied.

mod datatype;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod json;
mod message;
mod rest;
mod tensor;
mod wire;

pub use datatype::Datatype;
pub use grpc::{GrpcClient, PreparedGrpc};
pub use message::{
    IndexEntry, InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata,
};
pub use rest::{PreparedRest, RestClient};
pub use tensor::{Element, Parameter, Parameters, Tensor, TensorData};
pub use wire::RestForm;

/// A repository state without the `State.` that MLServer writes before it over gRPC.
fn state(text: &str) -> String {
    text.strip_prefix("State.").unwrap_or(text).to_owned()
}

/// Elements of a tensor from JSON, nested or flat.
///
/// # Errors
///
/// When an element does not fit the type.
pub(crate) fn data_from_json(
    datatype: Datatype,
    json: &serde_json::Value,
) -> mlops_core::Result<TensorData> {
    use serde::de::DeserializeSeed as _;
    json::DataSeed {
        datatype,
        expected: 0,
    }
    .deserialize(json)
    .map_err(|error| {
        mlops_core::Error::new(
            mlops_core::ErrorKind::InvalidInput,
            format!("read {datatype} elements"),
        )
        .with_source(error)
    })
}
