//! AiDb's C API: libaidb.so, libaidb.a and include/aidb.h.
//!
//! Thin by intention: every function checks its arguments, calls `core` and hands the result over. The header
//! is generated from these files (`tests/documents/header.rs`), so their doc comments are written for the C
//! programmer. The header begins with its conventions, which are in `ffi/header/preamble.h`.
//!
//! * `handle.rs`  what an opaque pointer means: a slot and its generation, never an address
//! * `guard.rs`   panics and errors become codes; nothing unwinds into C
//! * `cancel.rs`  `pthread_cancel` waits for the end of a call
//! * `ptr.rs`     checks of pointers, lengths and strings; buffers from malloc
//! * a file per C noun: `db`, `options`, `batch`, `snapshot`, `iterator`, `transaction`, `pinned`, `error`,
//!   `status`; `report` for checkpoint, verify and repair; `count`; `attempts` and `one_call` for transactions that
//!   the library begins and commits
//!
//! * FFI-1  Nothing the caller passes as a handle is dereferenced (`handle.rs`).
//! * FFI-2  Every exported function runs inside `guard.rs`, except those that return a constant or free memory.
//! * FFI-3  A function writes its outputs only with `AIDB_OK`, unless its comment says otherwise, and `*error_out` on
//!          every call.

#![expect(
    non_camel_case_types,
    reason = "the names of types are C's, and cbindgen copies them"
)]

// cbindgen writes the header in this order; the blank lines keep rustfmt from sorting it.
mod status;

mod error;

mod version;

mod options;

mod db;

mod report;

mod count;

mod pinned;

mod batch;

mod snapshot;

mod iterator;

mod transaction;

mod attempts;

mod one_call;

mod ptr;

mod cancel;

mod guard;

mod handle;
mod sync;

#[cfg(test)]
mod tests;
