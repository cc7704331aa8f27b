//! Checkpoint, verify and repair.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use aidb::{DB, Result};

use crate::guard::guard_ok;
use crate::handle::{self, aidb_db, aidb_error, aidb_options};
use crate::options::options_or_default;
use crate::ptr::{Buffer, path};
use crate::status::aidb_status;

/// aidb_verify calls this about once per MiB, with its progress in bytes; aidb_count after many entries, with its
/// progress in entries. It is called on the thread that made the call. Return 0 to continue, anything else to stop.
/// The callback may use the database, and close it.
pub type aidb_progress_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, done: u64, total: u64) -> i32>;

/// Makes a consistent copy in another directory, which must be missing, empty, or an incomplete copy, while reads
/// and writes go on. The copy contains every write acknowledged before the call, is a database of its own, and is
/// durable when this returns. Its tables are hard links where the file system allows that. After an error the call
/// removes what it made. If a crash interrupts it, the incomplete copy does not open, and the error says so; a new
/// copy into the same directory replaces it, and aidb_destroy removes it.
///
/// @param path  the directory of the copy
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT if `path` is a file or a directory with anything else in it; AIDB_LOCKED,
///         AIDB_CLOSED, AIDB_IO, AIDB_NO_SPACE or AIDB_CORRUPTION; AIDB_UNSUPPORTED for a path with a scheme
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_checkpoint(
    db: *const aidb_db,
    path: *const c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            db.checkpoint(self::path(path, "path")?)
        })
    }
}

/// Reads every file of the database from disk, bypassing the caches, and checks it, while reads and writes go
/// on. Then reads all entries at one point through the public read paths and compares. Damage is not an error:
/// the report lists it by file and offset. Cost: reads every table seven times; about five of these mostly come
/// from the system's file cache.
///
/// @param progress    called with the progress; may be NULL
/// @param context     passed to `progress`
/// @param is_ok_out   true if everything was checked and nothing is damaged; may be NULL
/// @param report_out  a JSON object: is_ok, is_complete, tables, entries, logs, records, bytes, damaged_places, and
///                    damage, an array of {file, offset, message, kind}. The kind is "Corruption", "Io",
///                    "Unsupported", or "Internal" if the bytes are right but some way of reading does not find
///                    them, which is a bug in AiDb. Release it with aidb_free; may be NULL
/// @return AIDB_OK, damaged or not; AIDB_INVALID_ARGUMENT; AIDB_CLOSED, also if the database is closed during
///         the call
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_verify(
    db: *const aidb_db,
    progress: aidb_progress_callback,
    context: *mut c_void,
    is_ok_out: *mut bool,
    report_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let report = db.verify_with(&mut |at| match progress {
                Some(progress) if progress(context, at.bytes_done, at.bytes_total) != 0 => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            })?;
            hand_over(report.is_ok(), &report.to_json(), is_ok_out, report_out)
        })
    }
}

/// Makes a new database from what can still be read of a damaged one, which it does not change. It reads tables
/// block by block and logs record by record, with or without the manifest. Try to open the database first:
/// after an ordinary crash nothing is damaged. If a table can be read completely but its entries are not those
/// that the manifest or the table itself states, all its entries are kept and the report lists it with offset
/// and end 0. A deleted key can come back only if the table or log record with its tombstone is lost, or if the
/// manifest is lost and a crash had left behind a table that was already compacted.
///
/// @param path        the damaged database, closed
/// @param into        the directory of the new one: missing, empty, or an incomplete copy, which is replaced
/// @param options     how new tables are built; NULL for the defaults
/// @param is_ok_out   true if everything could be read and is as it should be; may be NULL
/// @param report_out  a JSON object: is_ok, tables, table_entries, logs, log_records, entries_written,
///                    last_sequence, lost_places, and lost, an array of {file, offset, end, message, smallest_key,
///                    largest_key, first_sequence, last_sequence}, keys in hexadecimal, null where unknown;
///                    release it with aidb_free; may be NULL
/// @return AIDB_OK, whatever was lost; AIDB_LOCKED if the database is open for writing; AIDB_INVALID_ARGUMENT
///         if `path` contains no part of a database or `into` contains anything else; AIDB_CORRUPTION if `path` is an
///         incomplete copy; AIDB_UNSUPPORTED if a newer AiDb wrote it or a path has a scheme; AIDB_IO or
///         AIDB_NO_SPACE if writing fails; AIDB_INTERNAL if the entries written are not those that were read.
///         After AIDB_IO, AIDB_NO_SPACE and AIDB_INTERNAL `into` is empty
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_repair(
    path: *const c_char,
    into: *const c_char,
    options: *const aidb_options,
    is_ok_out: *mut bool,
    report_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let (path, into) = (self::path(path, "path")?, self::path(into, "into")?);
            let report = DB::repair(path, into, &options_or_default(options)?)?;
            hand_over(report.is_ok(), &report.to_json(), is_ok_out, report_out)
        })
    }
}

/// # Safety
/// Each place is NULL or may be written.
unsafe fn hand_over(
    is_ok: bool,
    json: &str,
    is_ok_out: *mut bool,
    report_out: *mut *mut c_char,
) -> Result<()> {
    let report = match report_out.is_null() {
        true => None,
        false => Some(Buffer::copy_of(json.as_bytes())?),
    };
    // SAFETY: not NULL, and the caller vouches for the places.
    unsafe {
        if let Some(report) = report {
            report_out.write(report.into_raw());
        }
        if !is_ok_out.is_null() {
            is_ok_out.write(is_ok);
        }
    }
    Ok(())
}
