#![doc = include_str!("../README.md")]

#[cfg(any(feature = "postgres", feature = "s3"))]
pub mod fake;
mod mark;
mod outcome;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(any(feature = "postgres", feature = "s3"))]
mod support;

pub use mark::Mark;
pub use outcome::{Foreign, Outcome};
