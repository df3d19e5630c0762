//! Any bytes as an answer of a model server by REST.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mlops_fuzz::rest_model_server(bytes));
