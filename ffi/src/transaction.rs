//! `aidb_transaction`: reads and writes that take place at once, or not at all.
//!
//! A transaction refuses a call while another is under way, so its object needs no lock here.

use std::ffi::{c_char, c_void};

use aidb::{DB, IterOptions, Result, Transaction, TransactionOptions};

use crate::db::{aidb_write_options, check_reserved, read_many, written};
use crate::guard::{guard, guard_ok, guard_reading, releasing};
use crate::handle::{
    self, Object, aidb_batch, aidb_db, aidb_error, aidb_iterator, aidb_pinned, aidb_transaction,
};
use crate::iterator::{aidb_iter_options, hand_over, iter_options};
use crate::ptr::{Buffer, bounds, bytes, growing, out};
use crate::status::{AIDB_NOT_FOUND, AIDB_OK, aidb_status};

/// How a transaction is made. Start from AIDB_TRANSACTION_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct aidb_transaction_options {
    /// sizeof(aidb_transaction_options)
    pub struct_size: usize,
    /// Not 0: refuse writes. What the transaction reads is then not kept in memory, and it never conflicts. 0 by
    /// default.
    pub read_only: i32,
    /// 0
    pub reserved: i32,
}

/// The size of the first version of the options. It will always be accepted.
const FIRST_TRANSACTION_OPTIONS: usize = 16;
const _: () = assert!(size_of::<aidb_transaction_options>() >= FIRST_TRANSACTION_OPTIONS);

/// # Safety
/// As for [`growing`].
unsafe fn transaction_options(
    options: *const aidb_transaction_options,
) -> Result<TransactionOptions> {
    let defaults = aidb_transaction_options {
        struct_size: size_of::<aidb_transaction_options>(),
        read_only: 0,
        reserved: 0,
    };
    // SAFETY: the caller's own promise; only integers, no padding.
    let given = unsafe { growing(options, defaults, FIRST_TRANSACTION_OPTIONS, "options")? };
    check_reserved(given.reserved)?;
    Ok(TransactionOptions::new().read_only(given.read_only != 0))
}

/// Begins a transaction and makes its handle.
pub(crate) fn begin(db: &DB, options: &TransactionOptions) -> Result<*mut aidb_transaction> {
    handle::insert(Object::Transaction(db.begin_with(options)?))
}

/// Begins a transaction, which sees every write acknowledged before. Cost: about that of a snapshot.
///
/// @param options          NULL for the defaults
/// @param transaction_out  release it with aidb_transaction_free
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_begin(
    db: *const aidb_db,
    options: *const aidb_transaction_options,
    transaction_out: *mut *mut aidb_transaction,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let transaction_out = out(transaction_out, "transaction_out")?;
            transaction_out.write(begin(&db, &transaction_options(options)?)?);
            Ok(())
        })
    }
}

/// Releases a transaction, and rolls it back if it has not ended; never waits for the disk. NULL and a transaction
/// that was freed before are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_transaction_free(transaction: *mut aidb_transaction) {
    // Rolls back even if another thread's call still has the object.
    releasing(|| handle::take(transaction, "transaction").map(|held| held.rollback()));
}

/// Reads the value that the transaction sees under a key into a new buffer. The key counts as read, unless the
/// transaction has written it itself.
///
/// @param value_out      release it with aidb_free; a zero byte follows the value; an empty value is not NULL
/// @param value_len_out  the length of the value in bytes
/// @return AIDB_OK, AIDB_NOT_FOUND, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION;
///         AIDB_CONFLICT after transaction_timeout
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_get(
    transaction: *mut aidb_transaction,
    key: *const c_void,
    key_len: usize,
    value_out: *mut *mut c_char,
    value_len_out: *mut usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_reading(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            let (value_out, value_len_out) = (
                out(value_out, "value_out")?,
                out(value_len_out, "value_len_out")?,
            );
            let Some(value) = transaction.get(bytes(key, key_len, "key")?)? else {
                return Ok(AIDB_NOT_FOUND);
            };
            value_out.write(Buffer::copy_of(&value)?.into_raw());
            value_len_out.write(value.len());
            Ok(AIDB_OK)
        })
    }
}

/// aidb_transaction_get without a copy, as aidb_get_pinned is aidb_get without one.
///
/// @param pinned_out  release it with aidb_pinned_free; its bytes stay also when the transaction has ended
/// @return the same as aidb_transaction_get
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_get_pinned(
    transaction: *mut aidb_transaction,
    key: *const c_void,
    key_len: usize,
    pinned_out: *mut *mut aidb_pinned,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_reading(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            let pinned_out = out(pinned_out, "pinned_out")?;
            let Some(value) = transaction.get(bytes(key, key_len, "key")?)? else {
                return Ok(AIDB_NOT_FOUND);
            };
            pinned_out.write(handle::insert(Object::Pinned(value))?);
            Ok(AIDB_OK)
        })
    }
}

/// Reads the values that the transaction sees under many keys. Parameters and buffers are those of aidb_get_many,
/// without its options. Each key counts as read, as in aidb_transaction_get.
///
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION; AIDB_CONFLICT after
///         transaction_timeout; if one key fails, the call fails
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_get_many(
    transaction: *mut aidb_transaction,
    count: usize,
    keys: *const *const c_void,
    key_lens: *const usize,
    values_out: *mut *const c_char,
    value_lens_out: *mut usize,
    buffer_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            read_many(
                (count, keys, key_lens),
                (values_out, value_lens_out, buffer_out),
                |keys| transaction.get_many(keys),
            )
        })
    }
}

/// Whether the transaction sees a value under a key: AIDB_OK if it does, AIDB_NOT_FOUND if not; otherwise the same
/// as aidb_transaction_get.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_contains(
    transaction: *mut aidb_transaction,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_reading(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            match transaction.contains_key(bytes(key, key_len, "key")?)? {
                true => Ok(AIDB_OK),
                false => Ok(AIDB_NOT_FOUND),
            }
        })
    }
}

/// Stores a value under a key when the transaction commits.
///
/// @param key, value  copied; NULL only with a length of 0
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if the transaction or its database is read-only; AIDB_CLOSED;
///         AIDB_CONFLICT after transaction_timeout
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_put(
    transaction: *mut aidb_transaction,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            transaction.put(
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            )
        })
    }
}

/// Removes a key when the transaction commits; removing an absent key is not an error. Returns the same as
/// aidb_transaction_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_delete(
    transaction: *mut aidb_transaction,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            transaction.delete(bytes(key, key_len, "key")?)
        })
    }
}

/// Removes all keys in [start, end) when the transaction commits: those that are there then, and those that the
/// transaction has written before.
///
/// @param start, end  NULL means no bound; copied. If they are equal, nothing is removed
/// @return the same as aidb_transaction_put; AIDB_INVALID_ARGUMENT also if `end` is before `start`
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_delete_range(
    transaction: *mut aidb_transaction,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            transaction.delete_range(start, end)
        })
    }
}

/// Removes all keys that start with `prefix` when the transaction commits, in the same way as
/// aidb_transaction_delete_range; an empty one removes all keys. Returns the same as aidb_transaction_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_delete_prefix(
    transaction: *mut aidb_transaction,
    prefix: *const c_void,
    prefix_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            transaction.delete_prefix(bytes(prefix, prefix_len, "prefix")?)
        })
    }
}

/// Adds all operations of a batch to the transaction; after an error, none. The batch does not change. Returns the
/// same as aidb_transaction_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_write(
    transaction: *mut aidb_transaction,
    batch: *const aidb_batch,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            let batch = handle::get(batch, "batch")?;
            let batch = batch.try_read().ok_or_else(|| batch.in_use("batch"))?;
            transaction.write(&batch)
        })
    }
}

/// Creates an iterator over the entries that the transaction sees, with its writes as they are now: not those that it
/// makes later. The keys between where the iterator is placed and where it stands count as read, the absent ones too.
/// aidb_iter_next reads no further than the entry it moves to; so a transaction that takes the first entry does not
/// conflict with one that changes a later entry.
///
/// The iterator ends with its transaction: its moves then return what calls of the transaction return.
///
/// @param options       NULL for the defaults: every entry, in key order; copied; without a snapshot
/// @param iterator_out  release it with aidb_iter_free, before or after the transaction
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if `options` has a snapshot; AIDB_CLOSED; AIDB_CONFLICT after
///         transaction_timeout
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_iter_create(
    transaction: *mut aidb_transaction,
    options: *const aidb_iter_options,
    iterator_out: *mut *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            let place = out(iterator_out, "iterator_out")?;
            let options: IterOptions = iter_options(options)?;
            hand_over(transaction.cursor(options)?, place)
        })
    }
}

/// Makes a savepoint: aidb_transaction_rollback_to takes the writes back to it.
///
/// @param savepoint_out  its number: 1 for the first savepoint of a transaction
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED; AIDB_CONFLICT after transaction_timeout
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_savepoint(
    transaction: *mut aidb_transaction,
    savepoint_out: *mut u64,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            let savepoint_out = out(savepoint_out, "savepoint_out")?;
            savepoint_out.write(transaction.savepoint()?.number());
            Ok(())
        })
    }
}

/// Takes back every write since a savepoint, and forgets the savepoints after it; it can be used again. What was read
/// since then still counts as read.
///
/// @param savepoint  a number from aidb_transaction_savepoint with the same transaction
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if there is no such savepoint; AIDB_CLOSED; AIDB_CONFLICT after
///         transaction_timeout
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_rollback_to(
    transaction: *mut aidb_transaction,
    savepoint: u64,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            handle::get(transaction, "transaction")?.rollback_to_number(savepoint)
        })
    }
}

/// Makes the writes visible, all at once. They survive a crash of the process; with `sync`, also a power loss. Without
/// writes it never conflicts. Ends the transaction, also if the commit fails; only after AIDB_OUT_OF_MEMORY, and if an
/// argument was wrong, the transaction is still open. The handle must still be freed.
///
/// @param options  NULL for the defaults. `sequence_out` receives the number of the last operation; of a transaction
///                 without writes, that of the last write that it saw
/// @return AIDB_OK; AIDB_CONFLICT if what it has read was changed by another commit: nothing was written, run it
///         again from the beginning; AIDB_INVALID_ARGUMENT, AIDB_CLOSED; AIDB_IO or AIDB_NO_SPACE if the log cannot
///         be written: the writes may or may not be there after a crash; AIDB_CORRUPTION
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_commit(
    transaction: *mut aidb_transaction,
    options: *const aidb_write_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let transaction = handle::get(transaction, "transaction")?;
            written(options, |options| transaction.commit_with(options))
        })
    }
}

/// Ends the transaction without writing anything. No error if it has ended before, so it may be called anywhere. The
/// handle must still be freed.
///
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED, both for a wrong handle only
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_transaction_rollback(
    transaction: *mut aidb_transaction,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard(error, || {
            Transaction::rollback(&*handle::get(transaction, "transaction")?);
            Ok(AIDB_OK)
        })
    }
}
