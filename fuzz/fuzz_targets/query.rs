//! See `properties::query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::query::check(bytes));
