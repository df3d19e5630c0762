//! The clients and providers against real servers, and against one that answers what it should not.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]
#![expect(
    clippy::too_many_lines,
    reason = "a scenario with real servers is told in one piece"
)]

mod fuzz;
mod harness;
mod hostile;
mod mlflow_real;
mod providers;
mod serve_real;
