//! See `aidb_fuzz::wal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aidb_fuzz::wal(input));
