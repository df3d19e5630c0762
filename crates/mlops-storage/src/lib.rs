//! Buckets, keys, roles and databases for an MLOps platform, created idempotently and proven.
