#![doc = include_str!("../README.md")]

pub mod fake;
pub mod http;
pub mod mlflow;
pub mod oip;
pub mod provider;
pub mod registry;
pub mod serve;
