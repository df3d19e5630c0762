//! Integration tests of the engine.
#![expect(clippy::unwrap_used, reason = "tests say what they expect by failing")]

mod engine;
mod support;
mod world;
mod world_links;
mod world_state;
