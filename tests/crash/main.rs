//! The promises of docs/durability.md, tried against power loss, faults, damage, a full disk and small limits.
//!
//! Almost everything runs on files in memory (`aidb::env::MemEnv`), where a disk's every legal state can be made,
//! and with background work done when the test says so: a seed repeats a run exactly.
//!
//! * `story.rs`   a marked history of `aidb_tests::history` at work, which says what the database must hold
//! * `power.rs`   power is cut at every change of the disk
//! * `faults.rs`  every operation fails, once and for good; `bearable.rs`: which of that need not be told
//! * `damage.rs`  every byte and every file is damaged: a database of `subject.rs`, by what `examination.rs` asks of it

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bearable;
mod damage;
mod examination;
mod faults;
mod power;
mod story;
mod subject;
