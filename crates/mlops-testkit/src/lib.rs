//! Real servers, contract suites and fault injection for the tests of the mlops toolkit.

pub mod sim;
pub mod postgres;
mod server;
pub mod versity;
