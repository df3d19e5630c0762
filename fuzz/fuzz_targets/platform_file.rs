//! Any text as a platform file.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| mlops_fuzz::platform_file(text));
