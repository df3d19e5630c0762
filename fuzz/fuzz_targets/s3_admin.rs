//! Any text as an answer of the admin interface of an S3 server.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| mlops_fuzz::s3_admin(text));
