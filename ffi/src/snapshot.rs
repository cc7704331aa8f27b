//! `aidb_snapshot`: a point in the order of all writes to read at.

use crate::guard::{guard_ok, quietly, releasing};
use crate::handle::{self, Object, aidb_db, aidb_error, aidb_snapshot};
use crate::ptr::out;
use crate::status::aidb_status;

/// Creates a snapshot of the current point in the order of all writes. Until it is released, the old values it
/// can see take space on disk.
///
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_snapshot_create(
    db: *const aidb_db,
    snapshot_out: *mut *mut aidb_snapshot,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let snapshot_out = out(snapshot_out, "snapshot_out")?;
            snapshot_out.write(handle::insert(Object::Snapshot(db.snapshot()?))?);
            Ok(())
        })
    }
}

/// The sequence number of the last write that the snapshot sees; 0 for a handle that is not a live snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_snapshot_sequence(snapshot: *const aidb_snapshot) -> u64 {
    quietly(0, || Ok(handle::get(snapshot, "snapshot")?.sequence().0))
}

/// Releases a snapshot; NULL and a snapshot that was released before are ignored. Iterators created with it
/// still see the same entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_snapshot_release(snapshot: *mut aidb_snapshot) {
    releasing(|| handle::take(snapshot, "snapshot"));
}
