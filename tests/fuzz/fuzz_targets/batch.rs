//! See `aidb_fuzz::batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::batch(input));
