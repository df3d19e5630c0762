//! Any text as a component of a user's own folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| mlops_fuzz::component_file(text));
