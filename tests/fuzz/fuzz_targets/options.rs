//! See `aidb_fuzz::options`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::options(input));
