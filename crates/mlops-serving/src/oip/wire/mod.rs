//! The REST form of requests and answers: JSON, or JSON followed by raw tensors.
//!
//! The second is the binary extension of
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use bytes::Bytes;
use mlops_core::{Error, Result};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::datatype::Datatype;
use super::error::strange;
use super::json::{DataSeed, write_data};
use super::message::{InferRequest, InferResponse};
use super::tensor::{Parameter, Parameters, Tensor, TensorData};

/// The form of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestForm {
    /// JSON, which every server knows.
    #[default]
    Json,
    /// The binary extension, both ways. A server that does not know it refuses, most often with 500.
    Binary,
}

/// A request body: its pieces, and the length of the JSON part when raw tensors follow.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub(super) pieces: VecDeque<Bytes>,
    pub(super) json_length: Option<usize>,
}

/// Writes a request once.
pub(super) fn encode(request: &InferRequest, form: RestForm) -> Result<Encoded> {
    let mut out = Vec::with_capacity(256);
    out.push(b'{');
    if let Some(id) = &request.id {
        field(&mut out, "id", id)?;
    }
    match form {
        RestForm::Json if request.parameters.is_empty() => {}
        RestForm::Json => field(&mut out, "parameters", &request.parameters)?,
        RestForm::Binary => {
            let mut parameters = request.parameters.clone();
            parameters.insert("binary_data_output".to_owned(), Parameter::Bool(true));
            field(&mut out, "parameters", &parameters)?;
        }
    }
    out.extend_from_slice(br#""inputs":["#);
    for (index, tensor) in request.inputs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_tensor(&mut out, tensor, form)?;
    }
    out.push(b']');
    if !request.outputs.is_empty() {
        #[derive(Serialize)]
        struct Wanted<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            parameters: BTreeMap<&'a str, bool>,
        }
        let wanted: Vec<_> = request
            .outputs
            .iter()
            .map(|name| Wanted {
                name,
                parameters: match form {
                    RestForm::Json => BTreeMap::new(),
                    RestForm::Binary => BTreeMap::from([("binary_data", true)]),
                },
            })
            .collect();
        out.push(b',');
        field(&mut out, "outputs", &wanted)?;
        out.pop();
    }
    out.push(b'}');
    let json_length = match form {
        RestForm::Json => None,
        RestForm::Binary => Some(out.len()),
    };
    let mut pieces = VecDeque::from([Bytes::from(out)]);
    if form == RestForm::Binary {
        pieces.extend(request.inputs.iter().map(|t| t.data().as_wire().clone()));
    }
    Ok(Encoded {
        pieces,
        json_length,
    })
}

/// `"name":value,`
fn field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<()> {
    let failed = |error| strange("write a request as JSON", error);
    serde_json::to_writer(&mut *out, name).map_err(failed)?;
    out.push(b':');
    serde_json::to_writer(&mut *out, value).map_err(failed)?;
    out.push(b',');
    Ok(())
}

fn write_tensor(out: &mut Vec<u8>, tensor: &Tensor, form: RestForm) -> Result<()> {
    out.push(b'{');
    field(out, "name", tensor.name())?;
    field(out, "shape", tensor.shape())?;
    field(out, "datatype", tensor.datatype().as_str())?;
    match form {
        RestForm::Json => {
            if !tensor.parameters().is_empty() {
                field(out, "parameters", tensor.parameters())?;
            }
            out.extend_from_slice(br#""data":"#);
            write_data(out, tensor.name(), tensor.data())?;
        }
        RestForm::Binary => {
            let mut parameters = tensor.parameters().clone();
            let size = i64::try_from(tensor.data().as_wire().len())
                .map_err(|error| strange("write a tensor's length", error))?;
            parameters.insert("binary_data_size".to_owned(), Parameter::Int(size));
            field(out, "parameters", &parameters)?;
            out.pop();
        }
    }
    out.push(b'}');
    Ok(())
}

/// Reads an answer; `json_length` is what the header says of the binary extension, and nothing else decides it.
pub(super) fn decode(body: &Bytes, json_length: Option<usize>) -> Result<InferResponse> {
    let doing = "read the answer to an inference";
    let (json, mut raw) = match json_length {
        None => (body.clone(), Bytes::new()),
        Some(length) if length <= body.len() => (body.slice(..length), body.slice(length..)),
        Some(length) => {
            return Err(strange(
                doing,
                format!(
                    "its JSON part is said to have {length} bytes, all of it has {}",
                    body.len()
                ),
            ));
        }
    };
    // serde would take an array for a struct.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(strange(doing, "it is no JSON object"));
    }
    let wire: ResponseWire<'_> =
        serde_json::from_slice(&json).map_err(|error| strange(doing, error))?;
    if wire.outputs.is_none() && wire.model_name.0.is_none() {
        return Err(strange(doing, "it names neither a model nor outputs"));
    }
    let mut outputs = Vec::new();
    for output in wire.outputs.unwrap_or_default() {
        outputs.push(output.into_tensor(&mut raw)?);
    }
    if !raw.is_empty() {
        return Err(strange(
            doing,
            format!("{} bytes belong to no output", raw.len()),
        ));
    }
    Ok(InferResponse {
        model_name: wire.model_name.into_text().unwrap_or_default(),
        model_version: wire
            .model_version
            .into_text()
            .filter(|text| !text.is_empty()),
        id: wire.id.into_text().filter(|text| !text.is_empty()),
        parameters: wire.parameters.unwrap_or_default().scalars(),
        outputs,
    })
}

#[derive(Deserialize)]
struct ResponseWire<'a> {
    #[serde(borrow, default)]
    model_name: Loose<'a>,
    #[serde(borrow, default)]
    model_version: Loose<'a>,
    #[serde(borrow, default)]
    id: Loose<'a>,
    #[serde(default)]
    parameters: Option<LooseParameters>,
    #[serde(default)]
    outputs: Option<Vec<OutputWire>>,
}

/// A text, a number that should be one, null, or nothing.
#[derive(Default)]
pub(super) struct Loose<'a>(Option<Cow<'a, str>>);

impl Loose<'_> {
    pub(super) fn into_text(self) -> Option<String> {
        self.0.map(Cow::into_owned)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or null")
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Loose<'de>, E> {
                Ok(Loose(Some(Cow::Borrowed(value))))
            }
            fn visit_str<E>(self, value: &str) -> Result<Loose<'de>, E> {
                Ok(Loose(Some(Cow::Owned(value.to_owned()))))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Loose<'de>, E> {
                Ok(Loose(Some(Cow::Owned(value.to_string()))))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Loose<'de>, E> {
                Ok(Loose(Some(Cow::Owned(value.to_string()))))
            }
            fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
                Ok(Loose(None))
            }
        }
        d.deserialize_any(Any)
    }
}

/// Parameters of which some may be lists or objects, which the protocol does not have and servers send.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct LooseParameters(BTreeMap<String, serde_json::Value>);

impl LooseParameters {
    fn binary_size(&self) -> Option<usize> {
        usize::try_from(self.0.get("binary_data_size")?.as_u64()?).ok()
    }

    fn scalars(self) -> Parameters {
        let scalar = |(name, value): (String, serde_json::Value)| {
            let value = match value {
                serde_json::Value::Bool(value) => Parameter::Bool(value),
                serde_json::Value::String(value) => Parameter::Text(value),
                serde_json::Value::Number(value) => match value.as_i64() {
                    Some(whole) => Parameter::Int(whole),
                    None => Parameter::Double(value.as_f64()?),
                },
                _ => return None,
            };
            Some((name, value))
        };
        self.0.into_iter().filter_map(scalar).collect()
    }
}

struct OutputWire {
    name: String,
    shape: Vec<usize>,
    datatype: Datatype,
    parameters: LooseParameters,
    data: Option<TensorData>,
}

impl OutputWire {
    fn into_tensor(self, raw: &mut Bytes) -> Result<Tensor> {
        let doing = || format!("read output `{}`", self.name);
        let data = match (self.data, self.parameters.binary_size()) {
            (Some(data), _) => data,
            (None, Some(size)) if size <= raw.len() => {
                TensorData::from_wire(self.datatype, raw.split_to(size))?
            }
            (None, Some(size)) => {
                return Err(strange(
                    doing(),
                    format!("it is said to have {size} bytes, {} are left", raw.len()),
                ));
            }
            (None, None) if self.shape.contains(&0) => {
                TensorData::from_wire(self.datatype, Bytes::new())?
            }
            (None, None) => return Err(strange(doing(), "it has no data")),
        };
        let mut parameters = self.parameters.scalars();
        parameters.remove("binary_data_size");
        Tensor::new(self.name, self.shape, data)
            .map(|tensor| tensor.with_parameters(parameters))
            .map_err(|error: Error| strange("read an output", error))
    }
}

impl<'de> Deserialize<'de> for OutputWire {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(OutputVisitor)
    }
}

struct OutputVisitor;

impl<'de> Visitor<'de> for OutputVisitor {
    type Value = OutputWire;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an output tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OutputWire, A::Error> {
        let (mut name, mut shape, mut datatype) = (None, None::<Vec<usize>>, None::<Datatype>);
        let (mut parameters, mut data, mut unread) = (None, None, None::<Box<RawValue>>);
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match (&*key, datatype) {
                ("name", _) => name = Some(map.next_value::<String>()?),
                ("shape", _) => shape = Some(map.next_value()?),
                ("datatype", _) => {
                    let text = map.next_value::<Cow<'_, str>>()?;
                    datatype = Some(text.parse().map_err(A::Error::custom)?);
                }
                ("parameters", _) => parameters = map.next_value::<Option<LooseParameters>>()?,
                ("data", Some(datatype)) => {
                    data = map.next_value_seed(MaybeData(seed(datatype, shape.as_deref())))?;
                }
                // The order of fields is the server's; elements that come before their type wait.
                ("data", None) => unread = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let datatype = datatype.ok_or_else(|| A::Error::missing_field("datatype"))?;
        let shape = shape.ok_or_else(|| A::Error::missing_field("shape"))?;
        if let Some(unread) = unread {
            let mut d = serde_json::Deserializer::from_str(unread.get());
            data = MaybeData(seed(datatype, Some(&shape)))
                .deserialize(&mut d)
                .map_err(A::Error::custom)?;
        }
        Ok(OutputWire {
            name: name.ok_or_else(|| A::Error::missing_field("name"))?,
            shape,
            datatype,
            parameters: parameters.unwrap_or_default(),
            data,
        })
    }
}

fn seed(datatype: Datatype, shape: Option<&[usize]>) -> DataSeed {
    let expected = shape.map_or(0, |shape| {
        shape.iter().fold(1_usize, |n, m| n.saturating_mul(*m))
    });
    DataSeed { datatype, expected }
}

/// Elements or null.
struct MaybeData(DataSeed);

impl<'de> DeserializeSeed<'de> for MaybeData {
    type Value = Option<TensorData>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for MaybeData {
    type Value = Option<TensorData>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elements or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(d).map(Some)
    }
}

#[cfg(test)]
mod tests;
