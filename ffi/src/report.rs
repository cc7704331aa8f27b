//! Checkpoint, verify and repair.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use aidb::{DB, Result};

use crate::guard::guard_ok;
use crate::handle::{self, aidb_db, aidb_error, aidb_options};
use crate::options::options_or_default;
use crate::ptr::{Buffer, path};
use crate::status::aidb_status;

/// Told how far a verification has come, in bytes, about once per MiB, on the thread that verifies. Answers 0 to
/// go on, anything else to end it. It may use the database, and close it.
pub type aidb_progress_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, bytes_done: u64, bytes_total: u64) -> i32>;

/// Makes a consistent copy in another directory, which must be missing or empty, while reads and writes go on. It
/// holds every write acknowledged before the call, opens by itself, and is durable when this returns. Its tables
/// are hard links where the file system allows that. After an error what was made is removed.
///
/// @param path  the directory of the copy
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT if `path` is a file or a directory that is not empty; AIDB_LOCKED,
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

/// Reads everything the database consists of from disk, past the caches, and checks it, while reads and writes go
/// on; then reads everything as of one point as a user does, and compares. Damage is no error: it is in the report, by
/// file and offset. Cost: reads every table seven times, of which the system's file cache mostly answers five.
///
/// @param progress    told how far it has come; may be NULL
/// @param context     passed to `progress`
/// @param is_ok_out   whether everything was looked at and nothing is damaged; may be NULL
/// @param report_out  a JSON object: is_ok, is_complete, tables, entries, logs, records, bytes, damaged_places, and
///                    damage, an array of {file, offset, message, kind}, the kind being "Corruption", "Io", "Unsupported",
///                    or "Internal" if the bytes are right and a way of reading does not find what is there, which
///                    is a fault of AiDb; release it with aidb_free; may be NULL
/// @return AIDB_OK, damaged or not; AIDB_INVALID_ARGUMENT; AIDB_CLOSED, also if it is closed meanwhile
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

/// Makes a new database of what can still be read of a damaged one, which is not changed: tables block by block, logs
/// record by record, with or without the manifest. First try to open the database: after an ordinary crash
/// nothing is damaged. A table that is read whole and holds other entries than the manifest or the table itself says is
/// reported too, with offset and end 0, and keeps all its entries. A deleted key may come back only if the table or record with its tombstone is lost, or the
/// manifest is and a crash had left a table behind that was already compacted.
///
/// @param path        the damaged database, closed
/// @param into        the directory of the new one: missing or empty
/// @param options     how new tables are built; NULL for the defaults
/// @param is_ok_out   whether everything could be read and is what it should be; may be NULL
/// @param report_out  a JSON object: is_ok, tables, table_entries, logs, log_records, entries_written,
///                    last_sequence, lost_places, and lost, an array of {file, offset, end, message, smallest_key,
///                    largest_key, first_sequence, last_sequence}, keys in hexadecimal and null for what is not known;
///                    release it with aidb_free; may be NULL
/// @return AIDB_OK, whatever was lost; AIDB_LOCKED if the database is open for writing; AIDB_INVALID_ARGUMENT if
///         `path` holds nothing of a database or `into` something; AIDB_UNSUPPORTED if a newer AiDb wrote it or a path has a scheme;
///         AIDB_IO or AIDB_NO_SPACE while writing, and then `into` is left empty; AIDB_INTERNAL if what was read is not
///         accounted for in what was written, and then too
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
