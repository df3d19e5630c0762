//! Integration tests of the engine.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod engine;
mod support;
mod world;
mod world_links;
mod world_state;
