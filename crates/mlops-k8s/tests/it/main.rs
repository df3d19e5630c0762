//! What only a real API server, or a real node, can show.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod explain_causes;
mod explain_page;
mod explain_recorded;
mod explain_stage;
mod explain_until;
mod preflight;
