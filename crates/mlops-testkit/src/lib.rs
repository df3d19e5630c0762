//! Real servers, contract suites and fault injection for the tests of the mlops toolkit.

pub mod postgres;
mod server;
pub mod sim;
pub mod versity;
pub mod mlflow;
pub mod mlserver;
pub mod python;
mod web;
pub mod oip_server;
