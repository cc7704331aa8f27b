//! See `aidb_fuzz::block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::block(input));
