//! The element types of the protocol.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, ErrorKind, Result};

macro_rules! datatypes {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $size:expr;)*) => {
        /// The type of a tensor's elements, by the names of the
        /// [protocol](https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Datatype {
            $($(#[$doc])* $name,)*
        }

        impl Datatype {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The bytes of one element; `None` for [`Datatype::Bytes`], whose elements differ in length.
            pub const fn size(self) -> Option<usize> {
                match self { $(Self::$name => $size,)* }
            }
        }

        impl FromStr for Datatype {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok(Self::$name),)*
                    _ => Err(Error::new(
                        ErrorKind::Protocol,
                        format!("use `{}` as a tensor's type", text.escape_debug()),
                    )
                    .with_source("the protocol has no such type")),
                }
            }
        }
    };
}

datatypes! {
    /// One byte, 0 or 1.
    Bool, "BOOL", Some(1);
    /// Unsigned, 8 bits.
    Uint8, "UINT8", Some(1);
    /// Unsigned, 16 bits.
    Uint16, "UINT16", Some(2);
    /// Unsigned, 32 bits.
    Uint32, "UINT32", Some(4);
    /// Unsigned, 64 bits.
    Uint64, "UINT64", Some(8);
    /// Signed, 8 bits.
    Int8, "INT8", Some(1);
    /// Signed, 16 bits.
    Int16, "INT16", Some(2);
    /// Signed, 32 bits.
    Int32, "INT32", Some(4);
    /// Signed, 64 bits.
    Int64, "INT64", Some(8);
    /// IEEE half precision; raw only, JSON and typed gRPC contents have no place for it.
    Fp16, "FP16", Some(2);
    /// The upper half of a single; raw only, and not known to every server.
    Bf16, "BF16", Some(2);
    /// IEEE single precision.
    Fp32, "FP32", Some(4);
    /// IEEE double precision.
    Fp64, "FP64", Some(8);
    /// Texts or byte strings, each with its length before it.
    Bytes, "BYTES", None;
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
