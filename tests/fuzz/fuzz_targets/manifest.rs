//! See `aidb_fuzz::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::manifest(input));
