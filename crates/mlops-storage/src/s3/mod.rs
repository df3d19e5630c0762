//! Buckets and keys of S3 servers: made idempotently, marked, and proven with the consumer's own key.
//!
//! - [`Store`]: one server with an administrator's key; what [`ensure_key`] and [`ensure_bucket`] work on.
//! - [`Connect`]: how keys become clients. [`S3Client`] is the real one, [`FakeS3`](crate::fake::FakeS3) the one in
//!   memory.
//! - [`S3Admin`] and [`S3Session`]: what an administrator and a consumer can do.
//! - [`KeyProvider`], [`BucketProvider`] and [`S3Prober`]: the same for the engine.
//!
//! S3 itself has no calls for keys and for giving a bucket away; they are those of the admin interface of the
//! [Versity S3 gateway](https://github.com/versity/versitygw), which the embedded server of this toolkit has as well. A
//! server without it is [`Unsupported`](mlops_core::ErrorKind::Unsupported) where keys are to be made; a key that is
//! given, and buckets without an owner, work everywhere.
//!
//! # What happens when a run is killed
//!
//! A bucket is created with its owner and its tag in one call. Servers that ignore the tag there get it in a second one;
//! killed in between, the bucket is known again by belonging to the wanted key and being empty, and the next run
//! finishes it. A key is created with its mark in one call; servers that keep no number with a key are asked whether our
//! secret opens it.

mod admin;
mod admin_api;
mod bucket;
mod client;
mod ensure;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod key;
mod lure;
mod model;
mod probe;
mod session;
mod spec;
mod sweep;

pub use bucket::BucketProvider;
pub use client::S3Client;
pub use ensure::{
    BucketWish, Content, KeyWish, Store, ensure_bucket, ensure_key, remove_bucket, remove_key,
};
pub use error::{kind_of_code, kind_of_status};
pub use key::KeyProvider;
pub use model::{
    BucketFacts, Connect, Credentials, Holdings, KeyFacts, Owners, S3Admin, S3Session,
};
pub use probe::{PROBE, S3Prober};
pub use spec::{AdminSpec, BUCKET, BindingProbeSpec, BucketSpec, KEY, KeySpec};
