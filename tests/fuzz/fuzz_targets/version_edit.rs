//! See `aidb_fuzz::version_edit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::version_edit(input));
