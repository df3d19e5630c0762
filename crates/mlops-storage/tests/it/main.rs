//! The contract suites, against fakes and real servers, and what only real servers can show.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod fuzz;
mod harness;
mod postgres_contract;
mod postgres_real;
mod s3_contract;
mod s3_real;
mod simulation;
