//! The server in this process, spoken to by the AWS client.

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
