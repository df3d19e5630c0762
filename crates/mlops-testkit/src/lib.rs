//! Real servers, contract suites and fault injection for the tests of the mlops toolkit.

pub mod home;
pub mod kubernetes;
pub mod mlflow;
pub mod mlserver;
pub mod oip_server;
pub mod postgres;
pub mod python;
mod server;
pub mod sim;
pub mod versity;
mod web;
