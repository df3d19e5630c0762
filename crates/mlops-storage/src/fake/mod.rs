//! The same systems in memory, for tests and simulations.
//!
//! They pass the same contract suite as the real ones (`tests/it`). Their state is shared by all clones, so that what a
//! killed run wrote stays; every single write asks a [`Hook`](mlops_core::hook::Hook) before and after.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "s3")]
mod s3;

#[cfg(feature = "postgres")]
pub use postgres::FakePostgres;
#[cfg(feature = "s3")]
pub use s3::{CreateTags, FakeS3};
