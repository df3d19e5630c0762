//! The server in this process, spoken to by the AWS client.

#![expect(
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test tells one story from start to end, and its helpers may fail it"
)]

mod access;
mod admin;
mod buckets;
mod checksums;
mod conditions;
mod disk;
mod keys;
mod listing;
mod multipart;
mod objects;
mod presigned;
mod support;
