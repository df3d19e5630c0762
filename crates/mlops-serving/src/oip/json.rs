//! Tensor elements as JSON: written into one buffer, read straight into the typed vector.

use std::fmt;

use bytes::BytesMut;
use mlops_core::{Error, ErrorKind, Result};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};

use super::datatype::Datatype;
use super::tensor::{Element, TensorData};

/// Writes the elements as a flat array.
pub(super) fn write_data(out: &mut Vec<u8>, name: &str, data: &TensorData) -> Result<()> {
    fn numbers<T: Element + serde::Serialize>(out: &mut Vec<u8>, data: &TensorData) -> Result<()> {
        serde_json::to_writer(out, &*data.as_slice::<T>()?).map_err(unwritable)
    }
    let impossible = |cause: &str| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("write tensor `{name}` as JSON"),
        )
        .with_source(cause)
        .with_hint("send it by gRPC or by the binary extension of REST")
    };
    match data.datatype() {
        Datatype::Bool => {
            let bytes = data.as_slice::<u8>()?;
            let values: Vec<bool> = bytes.iter().map(|byte| *byte != 0).collect();
            serde_json::to_writer(out, &values).map_err(unwritable)
        }
        Datatype::Uint8 => numbers::<u8>(out, data),
        Datatype::Uint16 => numbers::<u16>(out, data),
        Datatype::Uint32 => numbers::<u32>(out, data),
        Datatype::Uint64 => numbers::<u64>(out, data),
        Datatype::Int8 => numbers::<i8>(out, data),
        Datatype::Int16 => numbers::<i16>(out, data),
        Datatype::Int32 => numbers::<i32>(out, data),
        Datatype::Int64 => numbers::<i64>(out, data),
        Datatype::Fp32 if data.as_slice::<f32>()?.iter().all(|v| v.is_finite()) => {
            numbers::<f32>(out, data)
        }
        Datatype::Fp64 if data.as_slice::<f64>()?.iter().all(|v| v.is_finite()) => {
            numbers::<f64>(out, data)
        }
        Datatype::Fp32 | Datatype::Fp64 => {
            Err(impossible("JSON has no infinity and no not-a-number"))
        }
        Datatype::Fp16 | Datatype::Bf16 => Err(impossible("half precision has no form in JSON")),
        Datatype::Bytes => {
            let mut texts = Vec::with_capacity(data.len());
            for bytes in data.byte_strings() {
                texts.push(
                    std::str::from_utf8(bytes)
                        .map_err(|_| impossible("an element is not valid UTF-8"))?,
                );
            }
            serde_json::to_writer(out, &texts).map_err(unwritable)
        }
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Failed, "write a tensor as JSON").with_source(error)
}

/// Reads a JSON array, nested as deep as the shape or flat, into elements of one type.
pub(super) struct DataSeed {
    pub(super) datatype: Datatype,
    /// How many elements the shape promises; a hint only.
    pub(super) expected: usize,
}

/// Never reserve more elements than this on a server's word alone.
const MOST_RESERVED: usize = 1 << 22;

impl<'de> DeserializeSeed<'de> for DataSeed {
    type Value = TensorData;

    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<TensorData, D::Error> {
        fn numbers<'de, T, D>(expected: usize, d: D) -> Result<TensorData, D::Error>
        where
            T: FromJson + Element,
            D: serde::Deserializer<'de>,
        {
            let mut values = Vec::<T>::with_capacity(expected.min(MOST_RESERVED));
            d.deserialize_seq(Flat(&mut values))?;
            Ok(TensorData::from_vec(values))
        }
        let n = self.expected;
        match self.datatype {
            Datatype::Bool => {
                let mut values = Vec::<bool>::with_capacity(n.min(MOST_RESERVED));
                d.deserialize_seq(Flat(&mut values))?;
                Ok(TensorData::from_bools(&values))
            }
            Datatype::Uint8 => numbers::<u8, D>(n, d),
            Datatype::Uint16 => numbers::<u16, D>(n, d),
            Datatype::Uint32 => numbers::<u32, D>(n, d),
            Datatype::Uint64 => numbers::<u64, D>(n, d),
            Datatype::Int8 => numbers::<i8, D>(n, d),
            Datatype::Int16 => numbers::<i16, D>(n, d),
            Datatype::Int32 => numbers::<i32, D>(n, d),
            Datatype::Int64 => numbers::<i64, D>(n, d),
            Datatype::Fp32 => numbers::<f32, D>(n, d),
            Datatype::Fp64 => numbers::<f64, D>(n, d),
            Datatype::Bytes => {
                let mut values = Vec::<String>::with_capacity(n.min(MOST_RESERVED));
                d.deserialize_seq(Flat(&mut values))?;
                TensorData::from_byte_strings(values).map_err(D::Error::custom)
            }
            // MLServer accepts and answers half precision as JSON numbers.
            Datatype::Fp16 | Datatype::Bf16 => {
                let mut values = Vec::<f32>::with_capacity(n.min(MOST_RESERVED));
                d.deserialize_seq(Flat(&mut values))?;
                let bits = values.iter().map(|value| match self.datatype {
                    Datatype::Fp16 => to_half(*value),
                    _ => to_bfloat(*value),
                });
                let mut bytes = BytesMut::with_capacity(values.len() * 2);
                for value in bits {
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
                TensorData::from_wire(self.datatype, bytes.freeze()).map_err(D::Error::custom)
            }
        }
    }
}

/// The upper half of a single, rounded to the nearest even.
fn to_bfloat(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return 0x7fc0;
    }
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    u16::try_from(rounded >> 16).unwrap_or(u16::MAX)
}

/// A single as half precision, rounded to the nearest even.
fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = u16::try_from((bits >> 16) & 0x8000).unwrap_or(0);
    let magnitude = bits & 0x7fff_ffff;
    let half = if value.is_nan() {
        0x7e00
    } else if magnitude >= 0x4780_0000 {
        // 65536 and more, and infinity.
        0x7c00
    } else if magnitude < 0x3880_0000 {
        // Below the smallest normal number: a multiple of 2^-24.
        let scaled = f32::from_bits(magnitude) * 16_777_216.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and 1024"
        )]
        let steps = scaled.round_ties_even() as u32;
        steps
    } else {
        // Rounding may carry into the exponent, and from 65520 into infinity, which is right.
        let rounded = magnitude + 0x0fff + ((magnitude >> 13) & 1);
        (rounded - 0x3800_0000) >> 13
    };
    sign | u16::try_from(half).unwrap_or(0x7c00)
}

/// What a JSON value becomes.
trait FromJson: Sized {
    fn from_i64(value: i64) -> Option<Self>;
    fn from_u64(value: u64) -> Option<Self>;
    fn from_f64(value: f64) -> Option<Self>;
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    /// Some servers write what JSON cannot say, such as not-a-number, as null.
    fn from_null() -> Option<Self> {
        None
    }
}

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl FromJson for $type {
            fn from_i64(value: i64) -> Option<Self> {
                Self::try_from(value).ok()
            }
            fn from_u64(value: u64) -> Option<Self> {
                Self::try_from(value).ok()
            }
            /// Some models answer whole numbers as `1.0`.
            fn from_f64(value: f64) -> Option<Self> {
                #[expect(clippy::cast_possible_truncation, reason = "checked by going back")]
                let whole = value as i64;
                #[expect(clippy::cast_precision_loss, reason = "checked by comparing")]
                let same = (whole as f64).to_bits() == value.to_bits();
                if same { Self::from_i64(whole) } else { None }
            }
        }
    )*};
}
whole_numbers!(u8 u16 u32 u64 i8 i16 i32 i64);

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the tensor has the precision that its type says"
)]
mod floats {
    use super::FromJson;

    macro_rules! floats {
        ($($type:ty)*) => {$(
            impl FromJson for $type {
                fn from_i64(value: i64) -> Option<Self> {
                    Some(value as Self)
                }
                fn from_u64(value: u64) -> Option<Self> {
                    Some(value as Self)
                }
                fn from_f64(value: f64) -> Option<Self> {
                    Some(value as Self)
                }
                fn from_null() -> Option<Self> {
                    Some(Self::NAN)
                }
            }
        )*};
    }
    floats!(f32 f64);
}

impl FromJson for bool {
    fn from_i64(value: i64) -> Option<Self> {
        (0..=1).contains(&value).then_some(value == 1)
    }
    fn from_u64(value: u64) -> Option<Self> {
        (value <= 1).then_some(value == 1)
    }
    fn from_f64(_: f64) -> Option<Self> {
        None
    }
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl FromJson for String {
    fn from_i64(_: i64) -> Option<Self> {
        None
    }
    fn from_u64(_: u64) -> Option<Self> {
        None
    }
    fn from_f64(_: f64) -> Option<Self> {
        None
    }
    fn from_text(value: &str) -> Option<Self> {
        Some(value.to_owned())
    }
}

/// Pushes everything that is not an array, from however deep.
struct Flat<'a, T>(&'a mut Vec<T>);

impl<T> Flat<'_, T> {
    fn push<E: serde::de::Error>(&mut self, value: Option<T>) -> Result<(), E> {
        match value {
            Some(value) => {
                self.0.push(value);
                Ok(())
            }
            None => Err(E::custom("an element does not fit the tensor's type")),
        }
    }
}

impl<'de, T: FromJson> DeserializeSeed<'de> for Flat<'_, T> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de, T: FromJson> Visitor<'de> for Flat<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of elements, nested or flat")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Flat(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<(), E> {
        self.push(T::from_i64(value))
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<(), E> {
        self.push(T::from_u64(value))
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<(), E> {
        self.push(T::from_f64(value))
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<(), E> {
        self.push(T::from_bool(value))
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> Result<(), E> {
        self.push(T::from_text(value))
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<(), E> {
        self.push(T::from_null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn read(datatype: Datatype, text: &str) -> Result<TensorData, serde_json::Error> {
        let mut d = serde_json::Deserializer::from_str(text);
        let data = DataSeed {
            datatype,
            expected: 0,
        }
        .deserialize(&mut d)?;
        d.end()?;
        Ok(data)
    }

    #[test]
    fn nested_and_flat_are_the_same() {
        let flat = read(Datatype::Fp32, "[1,2.5,-3,4]").unwrap();
        assert_eq!(*flat.as_slice::<f32>().unwrap(), [1.0, 2.5, -3.0, 4.0]);
        assert_eq!(read(Datatype::Fp32, "[[1,2.5],[-3,4]]").unwrap(), flat);
        assert_eq!(
            read(Datatype::Fp32, "[[[1],[2.5]],[[-3],[4]]]").unwrap(),
            flat
        );
    }

    #[test]
    fn elements_that_do_not_fit_are_refused() {
        for (datatype, text) in [
            (Datatype::Uint8, "[256]"),
            (Datatype::Uint8, "[-1]"),
            (Datatype::Int64, "[1.5]"),
            (Datatype::Int64, "[\"1\"]"),
            (Datatype::Fp64, "[true]"),
            (Datatype::Bool, "[2]"),
            (Datatype::Bytes, "[1]"),
            (Datatype::Int32, "[null]"),
            (Datatype::Int32, "7"),
            (Datatype::Int32, "{}"),
        ] {
            assert!(read(datatype, text).is_err(), "{datatype} {text}");
        }
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(read(Datatype::Int32, &deep).is_err());
    }

    #[test]
    fn loose_numbers_are_read() {
        assert_eq!(
            *read(Datatype::Int64, "[1.0]")
                .unwrap()
                .as_slice::<i64>()
                .unwrap(),
            [1]
        );
        assert_eq!(
            *read(Datatype::Bool, "[true,0]")
                .unwrap()
                .as_slice::<u8>()
                .unwrap(),
            [1, 0]
        );
        assert!(
            read(Datatype::Fp64, "[null]")
                .unwrap()
                .as_slice::<f64>()
                .unwrap()[0]
                .is_nan()
        );
    }

    #[test]
    fn half_precision_has_the_bits_of_the_standard() {
        for (value, bits) in [
            (0.0, 0x0000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65520.0, 0x7c00),
            (1e9, 0x7c00),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 0x0001),
            (0.333_251_95, 0x3555),
        ] {
            assert_eq!(to_half(value), bits, "{value}");
        }
        assert_eq!(to_bfloat(1.0), 0x3f80);
        assert_eq!(to_bfloat(-1.5), 0xbfc0);
        assert_eq!(to_half(f32::NAN), 0x7e00);
    }

    fn back(data: &TensorData) -> TensorData {
        let mut out = Vec::new();
        write_data(&mut out, "x", data).unwrap();
        read(data.datatype(), std::str::from_utf8(&out).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn doubles_round_trip(values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, 0..20)) {
            let data = TensorData::from_vec(values);
            prop_assert_eq!(back(&data), data);
        }

        #[test]
        fn singles_round_trip(values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 0..20)) {
            let data = TensorData::from_vec(values);
            prop_assert_eq!(back(&data), data);
        }

        #[test]
        fn whole_numbers_and_texts_round_trip(a: Vec<u64>, b: Vec<i64>, c: Vec<i8>, d: Vec<String>, e: Vec<bool>) {
            for data in [TensorData::from_vec(a), TensorData::from_vec(b), TensorData::from_vec(c),
                TensorData::from_byte_strings(d).unwrap(), TensorData::from_bools(&e)] {
                prop_assert_eq!(back(&data), data);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            for datatype in Datatype::ALL {
                let _ = read(*datatype, &text);
            }
        }
    }
}
