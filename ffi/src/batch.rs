//! `aidb_batch`: several writes, applied together.

use std::ffi::{c_char, c_void};

use aidb::{BatchOperation, Error, ErrorKind, WriteBatch};
use parking_lot::RwLock;

use crate::guard::{guard_ok, quietly, releasing};
use crate::handle::{self, Object, aidb_batch, aidb_error};
use crate::ptr::bytes;
use crate::status::aidb_status;

/// The callback of aidb_batch_iterate for a put. It must return normally: no longjmp, no exception.
pub type aidb_batch_put_callback = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        key: *const c_char,
        key_len: usize,
        value: *const c_char,
        value_len: usize,
    ),
>;

/// The callback of aidb_batch_iterate for a delete. It must return normally: no longjmp, no exception.
pub type aidb_batch_delete_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, key: *const c_char, key_len: usize)>;

/// Makes an empty batch; release it with aidb_batch_free. NULL only if 16 million handles are open or memory is
/// exhausted.
#[unsafe(no_mangle)]
pub extern "C" fn aidb_batch_new() -> *mut aidb_batch {
    quietly(std::ptr::null_mut(), || {
        handle::insert(Object::Batch(RwLock::new(WriteBatch::new())))
    })
}

/// Releases a batch; NULL and a batch that was freed before are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_batch_free(batch: *mut aidb_batch) {
    releasing(|| handle::take(batch, "batch"));
}

/// Adds a put.
///
/// @param key, value  copied; NULL only with a length of 0
/// @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if the batch would exceed 4 GiB; AIDB_CLOSED. After an error
///         the batch is unchanged
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_put(
    batch: *mut aidb_batch,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            let (key, value) = (
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            );
            let mut batch = batch.try_write().ok_or_else(|| batch.in_use("batch"))?;
            batch.put(key, value)
        })
    }
}

/// Adds a delete; deleting an absent key is not an error. Returns the same as aidb_batch_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_delete(
    batch: *mut aidb_batch,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            let key = bytes(key, key_len, "key")?;
            let mut batch = batch.try_write().ok_or_else(|| batch.in_use("batch"))?;
            batch.delete(key)
        })
    }
}

/// Adds all operations of another batch after those of this one. Returns the same as aidb_batch_put.
///
/// @param other  is not changed; may be the same batch
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_append(
    batch: *mut aidb_batch,
    other: *const aidb_batch,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let is_same = std::ptr::eq(batch, other);
            let (batch, other) = (handle::get(batch, "batch")?, handle::get(other, "other")?);
            let mut batch = batch.try_write().ok_or_else(|| batch.in_use("batch"))?;
            if is_same {
                let copy = batch.clone();
                return batch.append(&copy);
            }
            let other = other.try_read().ok_or_else(|| other.in_use("other"))?;
            batch.append(&other)
        })
    }
}

/// Removes all operations; keeps the memory for later ones.
///
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_clear(
    batch: *mut aidb_batch,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            batch
                .try_write()
                .ok_or_else(|| batch.in_use("batch"))?
                .clear();
            Ok(())
        })
    }
}

/// The number of operations; 0 for a handle that is not a live batch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_batch_count(batch: *const aidb_batch) -> usize {
    quietly(0, || {
        let batch = handle::get(batch, "batch")?;
        let batch = batch.try_read().ok_or_else(|| batch.in_use("batch"))?;
        Ok(batch.len())
    })
}

/// The bytes that the batch takes in the log; in memory it takes 24 more for each operation except the first. 0 for a
/// handle that is not a live batch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_batch_byte_size(batch: *const aidb_batch) -> usize {
    quietly(0, || {
        let batch = handle::get(batch, "batch")?;
        let batch = batch.try_read().ok_or_else(|| batch.in_use("batch"))?;
        Ok(batch.byte_size())
    })
}

/// Calls a callback for each operation, in order. The key and value are valid until the callback returns. A
/// callback may call any function of this library, but it cannot change the batch that is iterated.
///
/// @param context        passed to the callbacks unchanged
/// @param on_put         NULL skips puts
/// @param on_delete      NULL skips deletes
/// A batch with an operation of another kind is refused before any callback, because nothing could tell of it.
///
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_UNSUPPORTED or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_iterate(
    batch: *const aidb_batch,
    context: *mut c_void,
    on_put: aidb_batch_put_callback,
    on_delete: aidb_batch_delete_callback,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            let batch = batch.try_read().ok_or_else(|| batch.in_use("batch"))?;
            let is_known = |operation| {
                matches!(
                    operation,
                    BatchOperation::Put { .. } | BatchOperation::Delete { .. }
                )
            };
            if !batch.iter().all(is_known) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the batch has a range delete, which no callback can be told of",
                ));
            }
            for operation in batch.iter() {
                match (operation, on_put, on_delete) {
                    (BatchOperation::Put { key, value }, Some(on_put), _) => {
                        let (key_data, value_data) = (key.as_ptr().cast(), value.as_ptr().cast());
                        on_put(context, key_data, key.len(), value_data, value.len());
                    }
                    (BatchOperation::Delete { key }, _, Some(on_delete)) => {
                        on_delete(context, key.as_ptr().cast(), key.len());
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }
}
