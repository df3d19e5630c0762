//! What only a real API server, or a real node, can show.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "helpers of tests fail by panicking, as tests do; a test tells one story"
)]

mod apply_api;
mod apply_limits;
mod apply_set;
mod apply_webhook;
mod client_access;
mod explain_causes;
mod explain_page;
mod explain_recorded;
mod explain_stage;
mod explain_until;
mod lease_holding;
mod least_rights;
mod observe_asks;
mod plan_found;
mod preflight;
mod preflight_offers;
mod reach_on_node;
mod support;
mod target_lease;
mod target_trouble;
mod tls_server;
mod trouble;
mod validate_corpus;
mod validate_properties;
mod validate_rights;
mod validate_server;
mod wait_watch;
