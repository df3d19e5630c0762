//! Any text as a saved plan.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| mlops_fuzz::saved_plan(text));
