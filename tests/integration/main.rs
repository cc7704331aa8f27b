//! Behaviour of the whole engine through its public interface, one binary so that it links once.
//!
//! Each module is one promise or one part of the interface; docs/testing.md lists them with the variables that
//! set seeds and durations. Child processes are this same binary, started on one ignored test (`child.rs`).

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod basics;
mod blank_log;
mod checkpoint;
mod child;
mod close;
mod cursor;
mod golden;
mod group_sync;
mod load;
mod lock;
mod million;
mod model;
mod open;
mod options;
mod repair;
mod serializable;
mod set_aside;
mod snapshots;
mod transactions;
mod verify;

use aidb::{DB, Options};
use tempfile::TempDir;

/// A new directory and the database in it, with memtables and tables so small that levels fill at once.
fn small_db() -> (TempDir, DB) {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path().join("db"), small_options()).unwrap();
    (dir, db)
}

/// Options with which a few thousand entries use several levels.
fn small_options() -> Options {
    Options::new()
        .write_buffer_size(16 << 10)
        .block_size(512)
        .level_base_size(32 << 10)
        .level_size_multiplier(4)
        .target_file_size(8 << 10)
}

/// The value under `key`, as a vector.
fn get(db: &DB, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    db.get(key.as_ref()).unwrap().map(aidb::Value::into_vec)
}

/// Every entry, ascending.
fn all(db: &DB) -> Vec<(Vec<u8>, Vec<u8>)> {
    db.iter().map(|entry| entry.unwrap()).collect()
}
