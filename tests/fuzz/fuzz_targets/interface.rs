//! See `aidb_fuzz::interface`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::interface(input));
