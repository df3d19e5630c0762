//! Tensors whose elements stay where they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use mlops_core::{Error, ErrorKind, Result};

use super::datatype::Datatype;

/// A value of the `parameters` of a request, a tensor or an answer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    Text(String),
}

/// Parameters by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// A Rust number that is an element type of the protocol.
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Sealed {
    /// Its name there.
    const DATATYPE: Datatype;

    /// From and to the byte order of the wire, which is little-endian.
    #[must_use]
    fn to_wire(self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty => $datatype:ident, $swap:expr;)*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DATATYPE: Datatype = Datatype::$datatype;

            fn to_wire(self) -> Self {
                let swap: fn($type) -> $type = $swap;
                swap(self)
            }
        }
    )*};
}

elements! {
    u8 => Uint8, |v| v;
    i8 => Int8, |v| v;
    u16 => Uint16, u16::to_le;
    u32 => Uint32, u32::to_le;
    u64 => Uint64, u64::to_le;
    i16 => Int16, i16::to_le;
    i32 => Int32, i32::to_le;
    i64 => Int64, i64::to_le;
    f32 => Fp32, |v| f32::from_bits(v.to_bits().to_le());
    f64 => Fp64, |v| f64::from_bits(v.to_bits().to_le());
}

/// Lets [`Bytes`] own a vector of numbers.
struct Owned<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The elements of a tensor: row-major, little-endian, `BYTES` elements each behind a 32-bit length.
///
/// Made from a `Vec` and read as a slice without copying, on little-endian machines.
///
/// ```
/// use mlops_serving::oip::{Datatype, TensorData};
///
/// let data = TensorData::from_vec(vec![1.5_f32, -2.0]);
/// assert_eq!(data.datatype(), Datatype::Fp32);
/// assert_eq!(*data.as_slice::<f32>()?, [1.5, -2.0]);
///
/// let texts = TensorData::from_byte_strings(["a", "bc"])?;
/// assert_eq!(texts.byte_strings().collect::<Vec<_>>(), [b"a".as_slice(), b"bc"]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorData {
    datatype: Datatype,
    bytes: Bytes,
    elements: usize,
}

impl TensorData {
    /// Takes a vector of numbers as it is.
    pub fn from_vec<T: Element>(mut values: Vec<T>) -> Self {
        if cfg!(target_endian = "big") {
            for value in &mut values {
                *value = value.to_wire();
            }
        }
        Self {
            datatype: T::DATATYPE,
            elements: values.len(),
            bytes: Bytes::from_owner(Owned(values)),
        }
    }

    /// Truth values, one byte each.
    pub fn from_bools(values: &[bool]) -> Self {
        Self {
            datatype: Datatype::Bool,
            elements: values.len(),
            bytes: values.iter().map(|value| u8::from(*value)).collect(),
        }
    }

    /// Texts or byte strings.
    ///
    /// # Errors
    ///
    /// When one of them is longer than 4 GiB, which its length field cannot say.
    pub fn from_byte_strings<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut bytes = BytesMut::new();
        let mut elements = 0;
        for value in values {
            let value = value.as_ref();
            let length = u32::try_from(value.len()).map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "put a byte string into a tensor")
                    .with_source(error)
            })?;
            bytes.put_u32_le(length);
            bytes.put_slice(value);
            elements += 1;
        }
        Ok(Self {
            datatype: Datatype::Bytes,
            bytes: bytes.freeze(),
            elements,
        })
    }

    /// Takes bytes that are in the form of the wire already, as an answer or another program has them.
    ///
    /// # Errors
    ///
    /// When the length is no multiple of the element's size, or the lengths inside `BYTES` do not add up.
    pub fn from_wire(datatype: Datatype, bytes: Bytes) -> Result<Self> {
        let wrong = |cause: &'static str| {
            Error::new(
                ErrorKind::Protocol,
                format!("read {} bytes as {datatype}", bytes.len()),
            )
            .with_source(cause)
        };
        let elements = match datatype.size() {
            Some(size) if bytes.len().is_multiple_of(size) => bytes.len() / size,
            Some(_) => return Err(wrong("the length is not a whole number of elements")),
            None => {
                let mut elements = 0;
                let mut rest: &[u8] = &bytes;
                while !rest.is_empty() {
                    let (_, after) = split_byte_string(rest)
                        .ok_or_else(|| wrong("an element is longer than what is left"))?;
                    rest = after;
                    elements += 1;
                }
                elements
            }
        };
        Ok(Self {
            datatype,
            bytes,
            elements,
        })
    }

    /// The type of the elements.
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The bytes as they are on the wire.
    pub fn as_wire(&self) -> &Bytes {
        &self.bytes
    }

    /// The elements as numbers: borrowed, or copied when they are not aligned or this machine is big-endian.
    ///
    /// # Errors
    ///
    /// When they are of another type. `u16` reads the bits of `FP16` and `BF16` as well, `u8` those of `BOOL`.
    pub fn as_slice<T: Element>(&self) -> Result<Cow<'_, [T]>> {
        let fits = self.datatype == T::DATATYPE
            || matches!(
                (self.datatype, T::DATATYPE),
                (Datatype::Fp16 | Datatype::Bf16, Datatype::Uint16)
                    | (Datatype::Bool, Datatype::Uint8)
            );
        if !fits {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("read {} as {}", self.datatype, T::DATATYPE),
            )
            .with_source("the tensor is of another type"));
        }
        if cfg!(target_endian = "little")
            && let Ok(values) = bytemuck::try_cast_slice(&self.bytes)
        {
            return Ok(Cow::Borrowed(values));
        }
        Ok(Cow::Owned(
            self.bytes
                .chunks_exact(size_of::<T>())
                .map(|chunk| bytemuck::pod_read_unaligned::<T>(chunk).to_wire())
                .collect(),
        ))
    }

    /// The elements of `BYTES`, one after another; nothing for other types.
    pub fn byte_strings(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = match self.datatype {
            Datatype::Bytes => &self.bytes,
            _ => &[],
        };
        std::iter::from_fn(move || {
            let (value, after) = split_byte_string(rest)?;
            rest = after;
            Some(value)
        })
    }

    /// The numbers as `f64`, whatever number they are: for comparing and printing, not for speed.
    ///
    /// # Errors
    ///
    /// For `BYTES`, `FP16` and `BF16`.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        fn all<T: Element>(data: &TensorData, to: impl Fn(T) -> f64) -> Result<Vec<f64>> {
            Ok(data.as_slice::<T>()?.iter().map(|v| to(*v)).collect())
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers beyond 2^53 are rounded, which the name says"
        )]
        match self.datatype {
            Datatype::Bool | Datatype::Uint8 => all::<u8>(self, f64::from),
            Datatype::Uint16 => all::<u16>(self, f64::from),
            Datatype::Uint32 => all::<u32>(self, f64::from),
            Datatype::Uint64 => all::<u64>(self, |v| v as f64),
            Datatype::Int8 => all::<i8>(self, f64::from),
            Datatype::Int16 => all::<i16>(self, f64::from),
            Datatype::Int32 => all::<i32>(self, f64::from),
            Datatype::Int64 => all::<i64>(self, |v| v as f64),
            Datatype::Fp32 => all::<f32>(self, f64::from),
            Datatype::Fp64 => all::<f64>(self, |v| v),
            Datatype::Fp16 | Datatype::Bf16 | Datatype::Bytes => Err(Error::new(
                ErrorKind::Unsupported,
                format!("read {} as numbers", self.datatype),
            )),
        }
    }
}

/// The first element of `BYTES` and what follows it.
fn split_byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// A named tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    parameters: Parameters,
    data: TensorData,
}

impl Tensor {
    /// Puts name, shape and elements together.
    ///
    /// # Errors
    ///
    /// When the shape does not hold as many elements as there are.
    pub fn new(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        data: TensorData,
    ) -> Result<Self> {
        let (name, shape) = (name.into(), shape.into());
        let holds = shape
            .iter()
            .try_fold(1_usize, |product, n| product.checked_mul(*n));
        if holds != Some(data.len()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("make tensor `{name}` of shape {shape:?}"),
            )
            .with_source(format!("there are {} elements", data.len())));
        }
        Ok(Self {
            name,
            shape,
            parameters: Parameters::new(),
            data,
        })
    }

    /// Adds a parameter, such as MLServer's `content_type`.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: Parameter) -> Self {
        self.parameters.insert(name.into(), value);
        self
    }

    pub(super) fn with_parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape, the slowest dimension first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The type of its elements.
    pub fn datatype(&self) -> Datatype {
        self.data.datatype()
    }

    /// Its elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vector_is_not_copied() {
        let values = vec![1_i64, 2, 3];
        let address = values.as_ptr();
        let data = TensorData::from_vec(values);
        let Cow::Borrowed(slice) = data.as_slice::<i64>().unwrap() else {
            panic!("copied");
        };
        assert_eq!(slice.as_ptr(), address);
    }

    #[test]
    fn unaligned_bytes_are_read_all_the_same() {
        let mut bytes = BytesMut::from([0_u8].as_slice());
        bytes.put_f64_le(1.5);
        bytes.put_f64_le(-2.5);
        let data = TensorData::from_wire(Datatype::Fp64, bytes.freeze().slice(1..)).unwrap();
        assert_eq!(*data.as_slice::<f64>().unwrap(), [1.5, -2.5]);
    }

    #[test]
    fn wrong_types_lengths_and_shapes_are_refused() {
        assert!(TensorData::from_wire(Datatype::Fp32, Bytes::from_static(b"abc")).is_err());
        assert!(
            TensorData::from_wire(Datatype::Bytes, Bytes::from_static(b"\x09\0\0\0ab")).is_err()
        );
        assert!(TensorData::from_wire(Datatype::Bytes, Bytes::from_static(b"\x09\0")).is_err());
        assert!(TensorData::from_vec(vec![1_u8]).as_slice::<i8>().is_err());
        assert!(Tensor::new("x", [2, 2], TensorData::from_vec(vec![1_u8; 3])).is_err());
        assert!(Tensor::new("x", [usize::MAX, 2], TensorData::from_vec(vec![1_u8; 3])).is_err());
        assert!(Tensor::new("x", [], TensorData::from_vec(vec![1_u8])).is_ok());
    }

    proptest! {
        #[test]
        fn byte_strings_round_trip(values: Vec<Vec<u8>>) {
            let data = TensorData::from_byte_strings(&values).unwrap();
            let back = TensorData::from_wire(Datatype::Bytes, data.as_wire().clone()).unwrap();
            prop_assert_eq!(back.len(), values.len());
            prop_assert!(back.byte_strings().eq(values.iter().map(Vec::as_slice)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            for datatype in Datatype::ALL {
                if let Ok(data) = TensorData::from_wire(*datatype, bytes.clone().into()) {
                    let _ = data.to_f64();
                    prop_assert!(data.byte_strings().count() <= data.len());
                }
            }
        }
    }
}
