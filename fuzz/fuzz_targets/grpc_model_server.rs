//! Any bytes as a message of a model server by gRPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mlops_fuzz::grpc_model_server(bytes));
