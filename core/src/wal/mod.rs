//! The write-ahead log: until its memtable is flushed, a write's only promise of surviving is its record here.
//!
//! Layout and the reader's answer to damage: docs/format.md, "WAL". A record's payload is one encoded batch, opaque
//! to this module but for its beginning, which is not stored if it is the usual one; a record is whole or not there.
//!
//! * WAL-1  After a failed append or sync the log is poisoned: later appends return that first error. The tail is
//!          unknown, and replay could never reach a good record after a bad one.
//! * WAL-2  Nothing is appended after a torn tail; recovery always starts a new file.
//! * WAL-3  The watermark in a record (`synced_up_to`) is the end of a record, and everything before it had been
//!          synced when the record was written: damage below any watermark is corruption, never a torn tail.
//! * WAL-4  Each log names its predecessor's number, final length and last sequence number.
//! * WAL-5  How far a log was synced that ends with a synced record is in a file beside it (`watermark.rs`).
//!
//! Elsewhere: who syncs, groups and rotates (`db/commit/write.rs`), replay (`db/life/open.rs`).

mod format;
mod reader;
#[cfg(test)]
mod tests;
mod watermark;
mod writer;

pub(crate) use format::{LogHeader, LogId, Payload, Predecessor, begins_log};
pub(crate) use reader::{Opened, Part, Reader, Record};
pub(crate) use watermark::{Watermark, WatermarkWriter};
pub(crate) use writer::{Blank, Writer};
