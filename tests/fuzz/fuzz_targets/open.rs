//! See `aidb_fuzz::open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::open(input));
