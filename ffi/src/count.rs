//! Counts of entries: exact ones, and estimates.

use std::ffi::c_void;
use std::ops::ControlFlow;
use std::ptr;

use aidb::CountOptions;

use crate::db::check_reserved;
use crate::guard::guard_ok;
use crate::handle::{self, aidb_db, aidb_error, aidb_snapshot};
use crate::ptr::{bounds, growing, optional_bytes, out};
use crate::report::aidb_progress_callback;
use crate::status::aidb_status;

/// Which entries aidb_count counts, besides the range of keys. Start from AIDB_COUNT_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct aidb_count_options {
    /// sizeof(aidb_count_options)
    pub struct_size: usize,
    /// Count in the database as this snapshot sees it; NULL (the default) as it is now.
    pub snapshot: *const aidb_snapshot,
    /// Count only keys that start with these bytes; NULL (the default) for all.
    pub prefix: *const c_void,
    /// Its length.
    pub prefix_len: usize,
    /// Keep blocks read from disk in the block cache; 0 by default.
    pub fill_cache: i32,
    /// 0
    pub reserved: i32,
}

/// The size of the first version of the options. It will always be accepted.
const FIRST_COUNT_OPTIONS: usize = 40;
const _: () = assert!(size_of::<aidb_count_options>() >= FIRST_COUNT_OPTIONS);

/// About how many entries have keys in [start, end); 0 if `end` is not after `start`. Of now: snapshots do not
/// count. It reads no data block: it adds up what tables and memtables state about themselves, and subtracts one
/// entry for each tombstone. A table that is partly in the range counts in proportion to its bytes that are; in a
/// memtable the entries in the range are counted. Exact for everything if no key was overwritten or deleted.
/// Otherwise each overwritten version that is not compacted away makes it up to one too large, and each tombstone
/// of an absent key one too small; and a table that is partly in the range may be off by the entries of a data
/// block for each bound. Cost: microseconds, plus a few for every thousand entries of memtables in the range.
///
/// @param start, end  NULL means no bound; they may have any length
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_approximate_count(
    db: *const aidb_db,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    count_out: *mut u64,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let count_out = out(count_out, "count_out")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            count_out.write(db.approximate_count(start, end)?);
            Ok(())
        })
    }
}

/// How many entries have keys in [start, end), at one point in the order of writes; 0 if `end` is not after
/// `start`. Exact: it walks all of them, like an iterator without keys and values. It copies no value, and those in
/// memory are not touched; a block that is not in the cache is read and checked as a whole, with the values in it.
/// If `progress` ends it, the result is what was counted so far.
///
/// @param start, end  NULL means no bound; they may have any length
/// @param options     NULL for the defaults
/// @param progress    called with the entries counted and about how many there are, after about every 65,536
///                    entries, earlier if they are large, and at the end; may be NULL
/// @param context     passed to `progress`
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT, also for a snapshot of another database; AIDB_CLOSED, also if the
///         database is closed during the call; AIDB_IO or AIDB_CORRUPTION
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_count(
    db: *const aidb_db,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    options: *const aidb_count_options,
    progress: aidb_progress_callback,
    context: *mut c_void,
    count_out: *mut u64,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let count_out = out(count_out, "count_out")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            let defaults = aidb_count_options {
                struct_size: size_of::<aidb_count_options>(),
                snapshot: ptr::null(),
                prefix: ptr::null(),
                prefix_len: 0,
                fill_cache: 0,
                reserved: 0,
            };
            // Two handles or pointers and three integers besides the size, no padding.
            let given = growing(options, defaults, FIRST_COUNT_OPTIONS, "options")?;
            check_reserved(given.reserved)?;
            let snapshot = (!given.snapshot.is_null())
                .then(|| handle::get(given.snapshot, "options.snapshot"))
                .transpose()?;
            let prefix = optional_bytes(given.prefix, given.prefix_len, "options.prefix")?;
            let options = CountOptions::new()
                .snapshot(snapshot.as_deref())
                .prefix(prefix)
                .fill_cache(given.fill_cache != 0);
            let counted = db.count_with(start, end, &options, &mut |at| match progress {
                Some(progress) if progress(context, at.counted, at.approximate_total) != 0 => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            })?;
            count_out.write(counted);
            Ok(())
        })
    }
}
