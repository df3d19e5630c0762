//! Against a real API server.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "helpers of tests fail by panicking, as tests do; a test tells one story"
)]

mod apply_limits;
mod apply_set;
mod client_access;
mod lease_holding;
mod plan_found;
mod support;
mod trouble;
mod wait_watch;
