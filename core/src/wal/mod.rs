//! The write-ahead log: until its memtable is flushed, only its record here lets a write survive a crash.
//!
//! Layout, and how the reader treats damage: docs/format.md, "WAL". A record's payload is one encoded batch.
//! This module knows only its first bytes, which it does not store if they are the usual ones. A record is
//! there as a whole or not at all.
//!
//! * WAL-1  After a failed append or sync the log is poisoned: later appends return that first error. The state
//!          of the tail is unknown, and replay could never reach a good record after a bad one.
//! * WAL-2  Nothing is appended after a torn tail; recovery always starts a new file.
//! * WAL-3  A record says how far its log was synced ([`Synced`]): the end of an earlier record. Everything
//!          before that had been synced when the record was written, so damage below it is corruption, never a
//!          torn tail.
//! * WAL-4  Each log names its predecessor's number, final length and last sequence number: the chain (`chain.rs`).
//! * WAL-5  If a log ends with a synced record, a file beside it says how far it was synced (`synced_file.rs`).
//!
//! Elsewhere: the order of commits (`db/commit/write.rs`), which thread syncs (`db/logs/sync_group.rs`), the next log
//! (`db/commit/seal.rs`), replay (`db/life/recovery.rs`).

mod chain;
mod chain_reader;
mod durable_log;
mod fragment;
mod log_header;
mod payload;
mod reader;
mod synced;
mod synced_file;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use chain::{Expected, Joint, LogChain, Numbers};
pub(crate) use chain_reader::{ChainReader, Committed};
pub(crate) use durable_log::DurableLog;
pub(crate) use log_header::{LogId, Predecessor, begins_log};
pub(crate) use payload::Payload;
pub(crate) use reader::{Opened, Part, Reader, Record};
pub(crate) use synced::Synced;
pub(crate) use synced_file::{SyncedFile, SyncedLog};
pub(crate) use writer::{Blank, Writer};
