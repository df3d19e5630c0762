#![doc = include_str!("../README.md")]

pub mod http;
pub mod mlflow;
pub mod oip;
pub mod registry;
pub mod serve;
