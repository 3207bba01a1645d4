//! See `properties::body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::body::check(bytes));
