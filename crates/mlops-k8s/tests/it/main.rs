//! The tests of the crate, as one program.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail by panicking, as tests do, and tell what they saw"
)]

mod validate_corpus;
mod validate_properties;
mod validate_rights;
mod validate_server;
