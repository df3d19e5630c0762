//! Between the values of this crate and the messages of gRPC.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use mlops_core::{ErrorKind, Result};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::messages::{
    Choice, Contents, InferParameter, ModelInferRequest, ModelInferResponse, TensorMessage,
    WantedOutput,
};
use super::unary::{PREFIX, prefix};
use crate::oip::datatype::Datatype;
use crate::oip::error::strange;
use crate::oip::message::{InferRequest, InferResponse};
use crate::oip::tensor::{Parameter, Parameters, Tensor, TensorData};

/// The field of a request that holds its tensors, the last one of the message.
const RAW_INPUT_CONTENTS: u32 = 7;

/// Tensors up to this many bytes are copied: less work than sending them as a piece of their own.
const SMALL: usize = 4 << 10;

/// Writes a request with its prefix, its tensors raw: the one form that has a place for every type. Large tensors are
/// pieces of their own, which are the memory that they were.
pub(super) fn encode(model: &str, request: &InferRequest) -> VecDeque<Bytes> {
    let message = ModelInferRequest {
        model_name: model.to_owned(),
        model_version: String::new(),
        id: request.id.clone().unwrap_or_default(),
        parameters: parameters_out(&request.parameters),
        inputs: request.inputs.iter().map(tensor_out).collect(),
        outputs: request
            .outputs
            .iter()
            .map(|name| WantedOutput { name: name.clone() })
            .collect(),
    };
    let tensors = || request.inputs.iter().map(|tensor| tensor.data().as_wire());
    let raw_length: usize = tensors()
        .map(|raw| key_len(RAW_INPUT_CONTENTS) + encoded_len_varint(raw.len() as u64) + raw.len())
        .sum();
    let length = message.encoded_len() + raw_length;
    let mut head = BytesMut::with_capacity(PREFIX + length.min(message.encoded_len() + SMALL));
    head.put_slice(&prefix(length));
    message.encode_raw(&mut head);
    let mut pieces = VecDeque::new();
    for raw in tensors() {
        encode_key(RAW_INPUT_CONTENTS, WireType::LengthDelimited, &mut head);
        encode_varint(raw.len() as u64, &mut head);
        if raw.len() <= SMALL {
            head.put_slice(raw);
        } else {
            pieces.push_back(head.split().freeze());
            pieces.push_back(raw.clone());
        }
    }
    if !head.is_empty() {
        pieces.push_back(head.freeze());
    }
    pieces
}

fn tensor_out(tensor: &Tensor) -> TensorMessage {
    TensorMessage {
        name: tensor.name().to_owned(),
        datatype: tensor.datatype().as_str().to_owned(),
        shape: tensor
            .shape()
            .iter()
            .map(|n| i64::try_from(*n).unwrap_or(i64::MAX))
            .collect(),
        parameters: parameters_out(tensor.parameters()),
        contents: None,
    }
}

fn parameters_out(parameters: &Parameters) -> std::collections::BTreeMap<String, InferParameter> {
    let choice = |value: &Parameter| match value {
        Parameter::Bool(value) => Choice::Bool(*value),
        Parameter::Int(value) => Choice::Int64(*value),
        Parameter::Double(value) => Choice::Double(*value),
        Parameter::Text(value) => Choice::Text(value.clone()),
    };
    parameters
        .iter()
        .map(|(name, value)| {
            let value = InferParameter {
                choice: Some(choice(value)),
            };
            (name.clone(), value)
        })
        .collect()
}

fn parameters_in(parameters: std::collections::BTreeMap<String, InferParameter>) -> Parameters {
    parameters
        .into_iter()
        .filter_map(|(name, value)| {
            let value = match value.choice? {
                Choice::Bool(value) => Parameter::Bool(value),
                Choice::Int64(value) => Parameter::Int(value),
                Choice::Uint64(value) => Parameter::Int(i64::try_from(value).ok()?),
                Choice::Double(value) => Parameter::Double(value),
                Choice::Text(value) => Parameter::Text(value),
            };
            Some((name, value))
        })
        .collect()
}

/// Reads an answer. Outputs come raw or typed, as the server or even the model's code chooses; raw ones are in the
/// order of the outputs.
pub(super) fn decode(message: ModelInferResponse) -> Result<InferResponse> {
    let doing = "read the answer to an inference";
    let mut raw = message.raw_output_contents.into_iter();
    let mut outputs = Vec::with_capacity(message.outputs.len());
    for output in message.outputs {
        let datatype: Datatype = output.datatype.parse()?;
        let shape: Vec<usize> = output
            .shape
            .iter()
            .map(|n| usize::try_from(*n))
            .collect::<Result<_, _>>()
            .map_err(|error| strange(doing, error))?;
        let data = match output.contents.filter(|contents| !is_empty(contents)) {
            Some(contents) => typed(datatype, contents)?,
            None => match raw.next() {
                Some(bytes) => TensorData::from_wire(datatype, bytes)?,
                None if shape.contains(&0) => TensorData::from_wire(datatype, Bytes::new())?,
                None => {
                    return Err(strange(
                        doing,
                        format!("output `{}` has no data", output.name),
                    ));
                }
            },
        };
        let tensor =
            Tensor::new(output.name, shape, data).map_err(|error| strange(doing, error))?;
        outputs.push(tensor.with_parameters(parameters_in(output.parameters)));
    }
    if raw.next().is_some() {
        return Err(strange(doing, "there are more raw contents than outputs"));
    }
    Ok(InferResponse {
        model_name: message.model_name,
        model_version: Some(message.model_version).filter(|text| !text.is_empty()),
        id: Some(message.id).filter(|text| !text.is_empty()),
        parameters: parameters_in(message.parameters),
        outputs,
    })
}

fn is_empty(contents: &Contents) -> bool {
    *contents == Contents::default()
}

/// Typed contents: narrow whole numbers travel in 32-bit fields.
fn typed(datatype: Datatype, contents: Contents) -> Result<TensorData> {
    fn narrow<W: Copy, T: TryFrom<W> + crate::oip::Element>(values: &[W]) -> Result<TensorData>
    where
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let values: Vec<T> = values
            .iter()
            .map(|value| T::try_from(*value))
            .collect::<Result<_, _>>()
            .map_err(|error| strange(format!("read {} elements", T::DATATYPE), error))?;
        Ok(TensorData::from_vec(values))
    }
    match datatype {
        Datatype::Bool => Ok(TensorData::from_bools(&contents.bools)),
        Datatype::Int8 => narrow::<i32, i8>(&contents.ints),
        Datatype::Int16 => narrow::<i32, i16>(&contents.ints),
        Datatype::Int32 => Ok(TensorData::from_vec(contents.ints)),
        Datatype::Int64 => Ok(TensorData::from_vec(contents.int64s)),
        Datatype::Uint8 => narrow::<u32, u8>(&contents.uints),
        Datatype::Uint16 => narrow::<u32, u16>(&contents.uints),
        Datatype::Uint32 => Ok(TensorData::from_vec(contents.uints)),
        Datatype::Uint64 => Ok(TensorData::from_vec(contents.uint64s)),
        Datatype::Fp32 => Ok(TensorData::from_vec(contents.fp32s)),
        Datatype::Fp64 => Ok(TensorData::from_vec(contents.fp64s)),
        Datatype::Bytes => {
            let length = contents.bytes.iter().map(|bytes| bytes.len() + 4).sum();
            let mut out = BytesMut::with_capacity(length);
            for bytes in contents.bytes {
                let length = u32::try_from(bytes.len())
                    .map_err(|error| strange("read BYTES elements", error))?;
                out.put_u32_le(length);
                out.put(bytes);
            }
            TensorData::from_wire(datatype, out.freeze())
        }
        Datatype::Fp16 | Datatype::Bf16 => Err(mlops_core::Error::new(
            ErrorKind::Protocol,
            format!("read {datatype} elements"),
        )
        .with_source("the protocol has no typed field for them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(datatype: &str, shape: &[i64], contents: Option<Contents>) -> TensorMessage {
        TensorMessage {
            name: "y".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            contents,
            ..TensorMessage::default()
        }
    }

    fn answer(outputs: Vec<TensorMessage>, raw: Vec<&'static [u8]>) -> ModelInferResponse {
        ModelInferResponse {
            outputs,
            raw_output_contents: raw.into_iter().map(Bytes::from_static).collect(),
            ..ModelInferResponse::default()
        }
    }

    #[test]
    fn a_request_has_these_bytes() {
        let input = Tensor::new("x", [2], TensorData::from_vec(vec![1_u8, 2])).unwrap();
        let request =
            InferRequest::new([input.with_parameter("p", Parameter::Int(3))]).with_id("i");
        let pieces = encode("m", &request);
        assert_eq!(pieces.len(), 1);
        assert_eq!(
            pieces[0],
            &b"\0\0\0\0\x22\x0a\x01m\x1a\x01i\x2a\x16\x0a\x01x\x12\x05UINT8\x1a\x01\x02\x22\x07\x0a\x01p\x12\x02\x10\x03\x3a\x02\x01\x02"[..]
        );
    }

    #[test]
    fn large_tensors_are_not_copied() {
        let small = Tensor::new("x", [2], TensorData::from_vec(vec![1_u8, 2])).unwrap();
        let data = TensorData::from_vec(vec![7_u8; 5000]);
        let memory = data.as_wire().as_ptr();
        let large = Tensor::new("y", [5000], data).unwrap();
        let pieces = encode("m", &InferRequest::new([large, small]));
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), memory);
        assert_eq!(pieces[2], &b"\x3a\x02\x01\x02"[..]);
        let length = pieces.iter().map(Bytes::len).sum::<usize>() - PREFIX;
        assert_eq!(pieces[0][..PREFIX], prefix(length));
    }

    #[test]
    fn raw_and_typed_outputs_are_the_same() {
        let raw = decode(answer(
            vec![tensor("INT64", &[1, 1], None)],
            vec![b"\x0a\0\0\0\0\0\0\0"],
        ))
        .unwrap();
        let contents = Contents {
            int64s: vec![10],
            ..Contents::default()
        };
        let typed = decode(answer(
            vec![tensor("INT64", &[1, 1], Some(contents))],
            vec![],
        ))
        .unwrap();
        assert_eq!(raw, typed);
        // Empty contents beside raw ones are no contents.
        let both = decode(answer(
            vec![tensor("INT64", &[1, 1], Some(Contents::default()))],
            vec![b"\x0a\0\0\0\0\0\0\0"],
        ))
        .unwrap();
        assert_eq!(raw, both);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let narrow = |ints| Contents {
            ints,
            ..Contents::default()
        };
        for message in [
            answer(vec![tensor("INT64", &[1], None)], vec![]),
            answer(vec![tensor("INT64", &[1], None)], vec![b"\0"]),
            answer(vec![tensor("INT64", &[2], None)], vec![b"\0\0\0\0\0\0\0\0"]),
            answer(
                vec![tensor("INT64", &[-1], None)],
                vec![b"\0\0\0\0\0\0\0\0"],
            ),
            answer(vec![tensor("INT65", &[1], None)], vec![b"\0\0\0\0\0\0\0\0"]),
            answer(vec![], vec![b"\0"]),
            answer(vec![tensor("INT8", &[1], Some(narrow(vec![200])))], vec![]),
            answer(vec![tensor("FP16", &[1], Some(narrow(vec![2])))], vec![]),
            answer(vec![tensor("FP32", &[1], Some(narrow(vec![2])))], vec![]),
        ] {
            let error = decode(message).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }
}
