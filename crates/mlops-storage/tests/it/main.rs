//! The contract suites, against fakes and real servers, and what only real servers can show.

mod harness;
mod postgres_contract;
mod postgres_real;
mod s3_contract;
mod s3_real;
mod simulation;
