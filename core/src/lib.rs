//! AiDb: an embedded, ordered key-value store.
//!
//! An LSM tree: writes go to a log and a sorted buffer in memory (the memtable), which is flushed to immutable
//! sorted files (SSTables) that background threads merge level by level. [`DB`] is where to begin.
//!
//! ```
//! use aidb::{DB, Options, WriteBatch};
//!
//! let dir = tempfile::tempdir()?;
//! let db = DB::open(dir.path(), Options::new())?;
//! let mut batch = WriteBatch::new();
//! batch.put(b"fruit/apple", b"red")?;
//! batch.put(b"fruit/plum", b"blue")?;
//! db.write(&batch)?;
//! for entry in db.prefix(b"fruit/") {
//!     let (key, value) = entry?;
//!     println!("{} is {}", key.escape_ascii(), value.escape_ascii());
//! }
//! db.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The modules, from the top down; a module uses only those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | `inspect` | decoders of a database's files, for tools |
//! | `db` | the store: open, commit, read, iterate, background work |
//! | `compaction` | picks tables to merge, and merges them |
//! | `version` | the live tables, edits to them, the manifest |
//! | `iterator` | merges sorted runs; selects the entries a reader may see |
//! | `cache` | which tables are open |
//! | `memtable`, `wal`, `sstable` | the write buffer, the log, the tables and their blocks in memory |
//! | `transaction` | what a transaction has read and written, what commits have changed |
//! | `batch`, `snapshot`, `options`, `metrics` | arguments and results of calls |
//! | `merge` | the operators that fold operands into a value |
//! | `range_delete`, `range_deletes`, `range_sweep` | deletes of ranges of keys, and what they cover |
//! | `content` | sums over entries, which show that none was lost or changed |
//! | `key`, `filename` | internal keys and their order; names of files |
//! | `coding`, `checksum`, `compression` | bytes |
//! | `memory` | the only place that allocates memory whose size depends on data, options or counts |
//! | `env` | the only access to files, clock, threads and randomness |
//! | `effort` | how much a call may do before it gives up |
//! | `sync`, `prefetch`, `error` | locks and atomics; prefetching into the CPU cache; the one error type |

#![deny(unsafe_code)]

mod batch;
mod cache;
mod checksum;
mod coding;
mod compaction;
mod compression;
mod content;
mod db;
mod effort;
pub mod env;
mod error;
mod filename;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod fuzz_checks;
pub mod inspect;
mod iterator;
mod key;
mod memory;
mod memtable;
mod merge;
mod metrics;
mod options;
mod prefetch;
mod range_delete;
mod range_deletes;
mod range_sweep;
mod snapshot;
mod sstable;
#[cfg(not(shuttle))]
mod sync;
#[cfg(shuttle)]
#[doc(hidden)]
#[allow(missing_docs, reason = "for the models of other crates only")]
pub mod sync;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "merges and puts with expiry will have such values"
    )
)]
mod timed;
mod transaction;
mod version;
mod wal;

pub use batch::{BatchOperation, WriteBatch};
pub use compression::Compression;
#[doc(hidden)]
pub use db::pause_after;
pub use db::{
    Chunk, CountProgress, Cursor, DB, Damage, Iter, LevelStats, Loss, Remembered, RepairReport,
    Savepoint, SetAside, Stats, Transaction, Value, VerifyProgress, VerifyReport,
};
#[doc(hidden)]
pub use effort::{Effort, is_spent, within};
pub use error::{Error, ErrorKind, Holder, Result};
pub use key::{FileNumber, KeyspaceId, MAX_KEY_BYTES, MAX_VALUE_BYTES, SequenceNumber, ValueKind};
#[doc(hidden)]
pub use memory::{copy_of, reserve, room_ahead, room_for};
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use memtable::MeasuredMemtable;
pub use merge::{MergeOperator, built_in_merge_operator};
#[doc(hidden)]
pub use options::{Accepts, Declared};
pub use options::{
    CountOptions, InfoLog, IterOptions, Options, ReadOptions, TransactionOptions, WriteOptions,
};
#[doc(hidden)]
pub use range_delete::after_prefix;
pub use snapshot::Snapshot;
