#![doc = include_str!("../README.md")]
//! ## On disk
//!
//! ```text
//! ROOT/format.json                      marks the folder as ours
//! ROOT/lock                             locked while a server runs
//! ROOT/accounts.json                    keys besides the admin's, mode 0600
//! ROOT/tmp/                             files being written; swept at start
//! ROOT/buckets/NAME/bucket.json         owner and tags
//! ROOT/buckets/NAME/objects/a.d/b.o     the object `a/b`
//! ROOT/buckets/NAME/uploads/ID/         an unfinished multipart upload
//! ```
//!
//! A key is cut at `/`: folders end in `.d`, objects in `.o`, so both `a` and
//! `a/b` can exist. Capital letters become `^` and the small letter, bytes
//! besides `a`-`z`, `0`-`9` and `-_.=+@,` become `%xx`; segments that are too
//! long for a file name are cut into folders that end in `.c`.
//!
//! An object file is the data, then the metadata as JSON, then 16 bytes: length
//! of the JSON, its CRC-32 (both little-endian) and the bytes `mlopsS3\x01`. It
//! is written in `tmp` and renamed, so both become visible in one step. Parts
//! of a multipart upload are written to the places they will have in the object;
//! completing the upload adds the metadata and renames.

mod access;
mod accounts;
mod admin;
mod config;
mod error;
mod file;
mod hash;
mod intake;
mod names;
mod ops;
mod outlet;
mod pipe;
mod server;
mod store;
mod tags;

pub use config::{Config, Credentials, Sync};
pub use error::{Error, Result};
pub use server::Server;
