//! Decoders of every file of a database, for tools that show what is in one and for fuzzers. Nothing here opens a
//! database, takes its lock or changes a file.
//!
//! The decoders show the structures that `docs/format.md` describes, and they change with the format: later
//! builds may add types and fields and show more of a file. Nothing else is guaranteed, neither the text of an
//! error nor which of two damaged places is reported first. To read the entries of a database use
//! [`DB`](crate::DB), to find its damage [`DB::verify`](crate::DB::verify), to save what is left of it
//! [`DB::repair`](crate::DB::repair).
//!
//! | file | decoder |
//! | --- | --- |
//! | `000012.sst` | [`Table`]: its properties, and its [`Entry`]s in order |
//! | `000012.log` | [`Log`]: its header, its [`LogRecord`]s, and the [`Operation`]s in each |
//! | `MANIFEST-000005` | [`Manifest`]: its [`Edit`]s |
//! | `CURRENT` | [`Current`] |
//! | `SYNCED` | [`Synced`] |
//! | `LOCK`, `LOG`, `AIDB-INCOMPLETE` | none: they are text |
//! | `RESERVE`, `*.tmp` | none: their bytes mean nothing |
//!
//! [`file_kind`] says which kind a name belongs to. Every file is read through an [`Env`](crate::env::Env):
//! [`OsEnv`](crate::env::OsEnv) for those on a disk, [`MemEnv`](crate::env::MemEnv) for bytes in memory. Each
//! file is decoded on its own, whatever its name; the caller must compare whether it is the one that another
//! file names.
//!
//! The files of an open database may be read too. If a log or manifest is being appended to, a reader sees it up to
//! the end it finds. If a file is deleted during that, opening it is an `Io` error, and reading it may be
//! `Corruption`.
//!
//! Every decoder has these errors: `Corruption` if the bytes are not what AiDb wrote, naming file and offset;
//! `Unsupported` if a newer AiDb wrote them; `Io` if a file cannot be read; `OutOfMemory`. None of them panics, and
//! none uses a length before it has compared it with the file's.
//!
//! ```
//! use aidb::env::OsEnv;
//! use aidb::inspect::{self, FileKind};
//! use aidb::{DB, Options, WriteBatch};
//!
//! let dir = tempfile::tempdir()?;
//! let db = DB::open(dir.path(), Options::new())?;
//! db.put(b"fruit/apple", b"red")?;
//! db.flush()?;
//! let mut batch = WriteBatch::new();
//! batch.put(b"fruit/plum", b"blue")?;
//! batch.delete(b"fruit/apple")?;
//! db.write(&batch)?;
//! drop(db); // `close` would flush, and leave nothing in the log.
//!
//! let env = OsEnv::new();
//! let mut lines = Vec::new();
//! for file in std::fs::read_dir(dir.path())? {
//!     let path = file?.path();
//!     let name = path.file_name().unwrap_or_default().to_string_lossy();
//!     match inspect::file_kind(&name) {
//!         Some(FileKind::Table(_)) => {
//!             let table = inspect::Table::open(&env, &path)?;
//!             let mut entries = table.entries();
//!             while let Some(entry) = entries.next_entry()? {
//!                 let (key, value) = (entry.key.escape_ascii(), entry.value.escape_ascii());
//!                 lines.push(format!("table: {} {:?} {key} {value}", entry.sequence, entry.kind));
//!             }
//!         }
//!         Some(FileKind::Log(_)) => {
//!             let Some(mut log) = inspect::Log::open(&env, &path)? else {
//!                 continue;
//!             };
//!             while let Some(record) = log.next_record()? {
//!                 for (place, operation) in (0..).zip(record.operations()?) {
//!                     let operation = operation?;
//!                     let sequence = record.first_sequence.plus(place);
//!                     let key = operation.key.escape_ascii();
//!                     lines.push(format!("log: {sequence} {:?} {key}", operation.kind));
//!                 }
//!             }
//!         }
//!         _ => {}
//!     }
//! }
//! lines.sort();
//! assert_eq!(
//!     lines,
//!     [
//!         "log: 2 Put fruit/plum",
//!         "log: 3 Delete fruit/apple",
//!         "table: 1 Put fruit/apple red",
//!     ]
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// * `log.rs`  logs, batches, SYNCED    * `manifest.rs`  manifests, edits, CURRENT    * `table.rs`  tables

mod log;
mod manifest;
mod table;
#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Result};
use crate::range_delete::end_in;

pub use crate::batch::Operation;
pub use crate::filename::{FileKind, parse as file_kind};
pub use log::{Log, LogEnd, LogHeader, LogRecord, Operations, Predecessor, Synced, operations};
pub use manifest::{AddedTable, Bound, Current, Edit, Manifest, RangeDelete};
pub use table::{Entries, Entry, FurtherBlock, Properties, Table};

/// The end of the range delete whose entry or operation has the key `start` and this value: the first key after the
/// range; `None`: it has no end.
///
/// Errors: `Corruption` if it is not the value of a range delete.
pub fn range_end<'a>(start: &[u8], value: &'a [u8]) -> Result<Option<&'a [u8]>> {
    end_in(start, value).map_err(without_place)
}

/// The error of a decoder whose caller adds the place of the damage.
fn without_place(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Internal => Error::new(ErrorKind::Corruption, error.message()),
        _ => error,
    }
}
