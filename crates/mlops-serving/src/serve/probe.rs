//! A test request as data, and what its answer must be.

use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oip::{
    Datatype, InferRequest, InferResponse, Parameters, Tensor, TensorMetadata, data_from_json,
};

/// How far a number may be from what is expected, relative to it.
const TOLERANCE: f64 = 1e-6;

/// The most elements of a request that is made up from what a model says of itself.
const MOST_ZEROS: usize = 1 << 22;

/// A test request and the answer it must have.
///
/// ```
/// use mlops_serving::serve::InferenceProbe;
///
/// let probe: InferenceProbe = serde_json::from_str(
///     r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [5.1]}], "expected": [0]}"#,
/// )?;
/// assert_eq!(probe.to_request()?.inputs()[0].name(), "x");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceProbe {
    /// The inputs.
    pub inputs: Vec<ProbeInput>,
    /// Parameters of the request.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// The elements of the first output, row by row; empty when any answer of the right form will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<Value>,
}

/// An input of a test request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeInput {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type of its elements, such as `FP64`.
    pub datatype: String,
    /// Its elements, nested or flat.
    pub data: Value,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

impl InferenceProbe {
    /// A request that fits what a model says of its inputs: one element a dimension of any length, all of it zero or
    /// empty. `None` when it says nothing, takes half precision, which has no JSON, or wants more than four million
    /// elements.
    pub fn zeros(inputs: &[TensorMetadata]) -> Option<Self> {
        if inputs.is_empty() {
            return None;
        }
        let inputs = inputs
            .iter()
            .map(|input| {
                let shape: Vec<usize> = input
                    .shape
                    .iter()
                    .map(|n| usize::try_from(*n).unwrap_or(1))
                    .collect();
                let zero = match input.datatype {
                    Datatype::Bool => Value::from(false),
                    Datatype::Bytes => Value::from(""),
                    Datatype::Fp32 | Datatype::Fp64 => Value::from(0.0),
                    Datatype::Fp16 | Datatype::Bf16 => return None,
                    _ => Value::from(0),
                };
                let elements = shape
                    .iter()
                    .try_fold(1_usize, |product, n| product.checked_mul(*n))
                    .filter(|elements| *elements <= MOST_ZEROS)?;
                Some(ProbeInput {
                    name: input.name.clone(),
                    data: vec![zero; elements].into(),
                    shape,
                    datatype: input.datatype.to_string(),
                    parameters: Parameters::new(),
                })
            })
            .collect::<Option<_>>()?;
        Some(Self {
            inputs,
            ..Self::default()
        })
    }

    /// The request to send.
    ///
    /// # Errors
    ///
    /// When type, shape and elements of an input do not fit together.
    pub fn to_request(&self) -> Result<InferRequest> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let wrong = |error: Error| {
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("use the test request's input `{}`", input.name),
                )
                .with_source(error)
            };
            let datatype: Datatype = input.datatype.parse().map_err(wrong)?;
            let data = data_from_json(datatype, &input.data).map_err(wrong)?;
            let mut tensor = Tensor::new(&input.name, input.shape.clone(), data).map_err(wrong)?;
            for (name, value) in &input.parameters {
                tensor = tensor.with_parameter(name, value.clone());
            }
            inputs.push(tensor);
        }
        let mut request = InferRequest::new(inputs);
        for (name, value) in &self.parameters {
            request = request.with_parameter(name, value.clone());
        }
        Ok(request)
    }

    /// Compares an answer with what is expected: texts and truth values exactly, numbers to six digits.
    ///
    /// # Errors
    ///
    /// When the answer has no output, or another one.
    pub fn check(&self, response: &InferResponse) -> Result<()> {
        let wrong = |cause: String| {
            Error::new(
                ErrorKind::Failed,
                format!("get the right answer from `{}`", response.model_name),
            )
            .with_source(cause)
        };
        let Some(output) = response.outputs.first() else {
            return Err(wrong("the answer has no output".to_owned()));
        };
        if self.expected.is_empty() {
            return Ok(());
        }
        let found = elements(output)?;
        let same = found.len() == self.expected.len()
            && found.iter().zip(&self.expected).all(|(a, b)| is_same(a, b));
        if same {
            Ok(())
        } else {
            let show = |values: &[Value]| {
                let mut text = Value::from(values).to_string();
                if text.len() > 200 {
                    text = format!("{}…", text.chars().take(200).collect::<String>());
                }
                text
            };
            Err(wrong(format!(
                "expected {}, got {}",
                show(&self.expected),
                show(&found)
            )))
        }
    }
}

fn elements(tensor: &Tensor) -> Result<Vec<Value>> {
    if tensor.datatype() == Datatype::Bytes {
        return Ok(tensor
            .data()
            .byte_strings()
            .map(|bytes| Value::from(String::from_utf8_lossy(bytes)))
            .collect());
    }
    if tensor.datatype() == Datatype::Bool {
        let bytes = tensor.data().as_slice::<u8>()?;
        return Ok(bytes.iter().map(|byte| Value::from(*byte != 0)).collect());
    }
    Ok(tensor
        .data()
        .to_f64()?
        .into_iter()
        .map(Value::from)
        .collect())
}

fn is_same(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => {
            (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
        }
        _ => found == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oip::TensorData;

    fn answer(data: TensorData) -> InferResponse {
        InferResponse {
            outputs: vec![Tensor::new("y", [data.len()], data).unwrap()],
            ..InferResponse::default()
        }
    }

    fn expecting(expected: &Value) -> InferenceProbe {
        serde_json::from_value(serde_json::json!({"inputs": [], "expected": expected})).unwrap()
    }

    #[test]
    fn answers_are_compared_by_value() {
        let whole = answer(TensorData::from_vec(vec![10_i64]));
        expecting(&serde_json::json!([10])).check(&whole).unwrap();
        expecting(&serde_json::json!([10.0])).check(&whole).unwrap();
        let error = expecting(&serde_json::json!([0]))
            .check(&whole)
            .unwrap_err();
        assert_eq!(error.causes(), ["expected [0], got [10.0]"]);
        assert!(
            expecting(&serde_json::json!([10, 10]))
                .check(&whole)
                .is_err()
        );
        assert!(expecting(&serde_json::json!(["10"])).check(&whole).is_err());
        let close = answer(TensorData::from_vec(vec![0.333_333_34_f32]));
        expecting(&serde_json::json!([0.333_333_3]))
            .check(&close)
            .unwrap();
        let texts = answer(TensorData::from_byte_strings(["a"]).unwrap());
        expecting(&serde_json::json!(["a"])).check(&texts).unwrap();
        let truths = answer(TensorData::from_bools(&[true]));
        expecting(&serde_json::json!([true]))
            .check(&truths)
            .unwrap();
        assert!(
            InferenceProbe::default()
                .check(&InferResponse::default())
                .is_err()
        );
    }

    #[test]
    fn inputs_that_do_not_fit_are_named() {
        let probe: InferenceProbe = serde_json::from_value(serde_json::json!(
            {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1]}]}
        ))
        .unwrap();
        let error = probe.to_request().unwrap_err();
        assert!(error.to_string().contains("`x`"), "{error}");
        assert!(serde_json::from_str::<InferenceProbe>(r#"{"inputs":[],"expect":[]}"#).is_err());
    }
}
