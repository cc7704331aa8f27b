//! Tests the promises of docs/durability.md against power loss, faults, damage, a full disk and small limits.
//!
//! Almost everything runs on files in memory (`aidb::env::MemEnv`), which can take every legal state of a disk. The
//! test decides when background work runs, so a seed repeats a run exactly.
//!
//! * `story.rs`   runs a marked history of `aidb_tests::history`, and knows what the database must hold
//! * `power.rs`   cuts power at every change of the disk
//! * `faults.rs`  makes every operation fail, once and permanently; `may_hide.rs`: which failures a call may hide
//! * `damage.rs`  damages every byte and every file of a database of `subject.rs`; `examination.rs` checks the answers

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod damage;
mod examination;
mod faults;
mod may_hide;
mod power;
mod story;
mod subject;
