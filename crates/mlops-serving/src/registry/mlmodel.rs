//! The `MLmodel` file: what a saved model is and takes.
//!
//! Described at <https://mlflow.org/docs/latest/ml/model/>.

use std::collections::BTreeMap;

use mlops_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::oip::{Datatype, TensorMetadata};
use crate::serve::InferenceProbe;

/// What is known of a saved model.
///
/// ```
/// use mlops_serving::registry::MlModel;
///
/// let model = MlModel::parse(
///     "flavors: {python_function: {loader_module: mlflow.sklearn}}\n\
///      mlflow_version: 3.17.2\n\
///      signature: {inputs: '[{\"type\": \"double\", \"name\": \"x\"}]'}\n",
/// )?;
/// assert!(model.has_flavor("python_function"));
/// assert_eq!(model.inputs.as_ref().unwrap()[0].datatype, mlops_serving::oip::Datatype::Fp64);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MlModel {
    /// The flavors it can be loaded as.
    pub flavors: Vec<String>,
    /// The MLflow that wrote it.
    pub mlflow_version: Option<String>,
    /// What it takes, in the words of the inference protocol; `None` without a signature.
    pub inputs: Option<Vec<TensorMetadata>>,
    /// What it gives.
    pub outputs: Option<Vec<TensorMetadata>>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    flavors: BTreeMap<String, serde_json::Value>,
    mlflow_version: Option<String>,
    signature: Option<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    inputs: Option<String>,
    outputs: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    #[serde(rename = "tensor-spec")]
    tensor: Option<TensorSpec>,
}

#[derive(Deserialize)]
struct TensorSpec {
    dtype: String,
    shape: Vec<i64>,
}

impl MlModel {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// When it is not such a file, or its signature has types that the inference protocol cannot carry.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::InvalidInput, "read an `MLmodel` file");
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| wrong().with_source(error.to_string()))?;
        let (mut inputs, mut outputs) = (None, None);
        if let Some(signature) = file.signature {
            inputs = tensors(signature.inputs.as_deref(), "input")
                .map_err(|cause| wrong().with_source(cause))?;
            outputs = tensors(signature.outputs.as_deref(), "output")
                .map_err(|cause| wrong().with_source(cause))?;
        }
        Ok(Self {
            flavors: file.flavors.into_keys().collect(),
            mlflow_version: file.mlflow_version,
            inputs,
            outputs,
        })
    }

    /// Whether it can be loaded as that flavor.
    pub fn has_flavor(&self, flavor: &str) -> bool {
        self.flavors.iter().any(|known| known == flavor)
    }

    /// A request that fits the signature, if there is one: one element a dimension of any length, all of it zero.
    pub fn test_request(&self) -> Option<InferenceProbe> {
        InferenceProbe::zeros(self.inputs.as_deref()?)
    }
}

fn tensors(json: Option<&str>, prefix: &str) -> Result<Option<Vec<TensorMetadata>>, String> {
    let Some(json) = json else {
        return Ok(None);
    };
    let columns: Vec<Column> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    columns
        .into_iter()
        .enumerate()
        .map(|(index, column)| {
            let name = column.name.unwrap_or_else(|| format!("{prefix}-{index}"));
            let (datatype, shape) = match column.tensor {
                Some(spec) => (of_numpy(&spec.dtype), spec.shape),
                None => (of_column(&column.kind), vec![-1, 1]),
            };
            let datatype =
                datatype.ok_or_else(|| format!("`{name}` has a type that tensors do not have"))?;
            Ok(TensorMetadata {
                name,
                datatype,
                shape,
            })
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// As MLServer's MLflow runtime maps them
/// (<https://github.com/SeldonIO/MLServer/blob/master/runtimes/mlflow/mlserver_mlflow/metadata.py>).
fn of_column(kind: &str) -> Option<Datatype> {
    Some(match kind {
        "boolean" => Datatype::Bool,
        "integer" => Datatype::Int32,
        "long" => Datatype::Int64,
        "float" => Datatype::Fp32,
        "double" => Datatype::Fp64,
        "string" | "binary" | "datetime" | "array" | "object" | "map" | "any" => Datatype::Bytes,
        _ => return None,
    })
}

fn of_numpy(dtype: &str) -> Option<Datatype> {
    Some(match dtype {
        "bool" => Datatype::Bool,
        "uint8" => Datatype::Uint8,
        "uint16" => Datatype::Uint16,
        "uint32" => Datatype::Uint32,
        "uint64" => Datatype::Uint64,
        "int8" => Datatype::Int8,
        "int16" => Datatype::Int16,
        "int32" => Datatype::Int32,
        "int64" => Datatype::Int64,
        "float16" => Datatype::Fp16,
        "float32" => Datatype::Fp32,
        "float64" => Datatype::Fp64,
        "object" | "str" | "bytes" => Datatype::Bytes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IRIS: &str = include_str!("../../tests/fixtures/iris/MLmodel");

    #[test]
    fn a_real_file_is_read() {
        let model = MlModel::parse(IRIS).unwrap();
        assert_eq!(model.flavors, ["python_function", "sklearn"]);
        assert_eq!(model.mlflow_version.as_deref(), Some("3.17.2"));
        let inputs = model.inputs.as_ref().unwrap();
        assert_eq!(inputs.len(), 4);
        assert_eq!(inputs[3].name, "petal width (cm)");
        assert_eq!(model.outputs.as_ref().unwrap()[0].datatype, Datatype::Int64);
        let request = model.test_request().unwrap().to_request().unwrap();
        assert_eq!(request.inputs()[0].shape(), [1, 1]);
    }

    #[test]
    fn models_without_a_signature_are_fine_and_odd_types_are_not() {
        let bare = MlModel::parse("flavors: {python_function: {}}\nsignature: null\n").unwrap();
        assert_eq!(bare.test_request(), None);
        for text in [
            "[]",
            "flavors: {}\nsignature: {inputs: 'nonsense'}",
            "flavors: {}\nsignature: {inputs: '[{\"type\":\"quaternion\"}]'}",
        ] {
            assert!(MlModel::parse(text).is_err(), "{text}");
        }
    }
}
