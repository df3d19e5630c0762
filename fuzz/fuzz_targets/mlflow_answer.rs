//! Any bytes as an answer of MLflow, or as a file of its registry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mlops_fuzz::mlflow_answer(bytes));
