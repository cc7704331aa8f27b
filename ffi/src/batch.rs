//! `aidb_batch`: several writes, applied together.

use std::ffi::{c_char, c_void};
use std::ptr;

use aidb::{BatchOperation, Error, ErrorKind, WriteBatch};
use parking_lot::RwLock;

use crate::guard::{guard_ok, quietly, releasing};
use crate::handle::{self, Object, aidb_batch, aidb_error};
use crate::ptr::{bounds, bytes};
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

/// What an operation of a batch does. The numbers never change; later versions may add new ones.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum aidb_operation_kind {
    /// Removes `key`.
    AIDB_OPERATION_DELETE = 0,
    /// Stores `value` under `key`.
    AIDB_OPERATION_PUT = 1,
    /// Removes all keys from `key` on that are before `end`.
    AIDB_OPERATION_DELETE_RANGE = 2,
}

pub(crate) use aidb_operation_kind::*;

/// One operation of a batch, which aidb_batch_operations passes to its callback. What the operation does not have is
/// NULL or 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct aidb_operation {
    /// The size of this structure in the library in use. A program that was built with a newer header must not read
    /// fields beyond it.
    pub struct_size: usize,
    /// What the operation does. A program that meets a kind that it does not know must not take it for another.
    pub kind: aidb_operation_kind,
    /// 0
    pub reserved: i32,
    /// The key; of a range delete the first key that it removes, empty if the range has no start.
    pub key: *const c_char,
    /// Its length.
    pub key_len: usize,
    /// The value of a put, not NULL.
    pub value: *const c_char,
    /// Its length.
    pub value_len: usize,
    /// The end of a range delete, the first key after the range; NULL: it has none.
    pub end: *const c_char,
    /// Its length.
    pub end_len: usize,
}

impl aidb_operation {
    /// An operation as a callback is told of it; `None` for a kind that this file does not know.
    fn of(operation: BatchOperation<'_>) -> Option<aidb_operation> {
        let (kind, key, value, end) = match operation {
            BatchOperation::Put { key, value } => (AIDB_OPERATION_PUT, key, Some(value), None),
            BatchOperation::Delete { key } => (AIDB_OPERATION_DELETE, key, None, None),
            BatchOperation::DeleteRange { start, end } => {
                (AIDB_OPERATION_DELETE_RANGE, start, None, end)
            }
            _ => return None,
        };
        let data = |bytes: Option<&[u8]>| bytes.map_or(ptr::null(), |bytes| bytes.as_ptr().cast());
        Some(aidb_operation {
            struct_size: size_of::<aidb_operation>(),
            kind,
            reserved: 0,
            key: data(Some(key)),
            key_len: key.len(),
            value: data(value),
            value_len: value.map_or(0, <[u8]>::len),
            end: data(end),
            end_len: end.map_or(0, <[u8]>::len),
        })
    }
}

/// The callback of aidb_batch_operations. Return 0 to continue, anything else to stop. It must return normally: no
/// longjmp, no exception.
pub type aidb_operation_callback =
    Option<unsafe extern "C" fn(context: *mut c_void, operation: *const aidb_operation) -> i32>;

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

/// Adds a delete of all keys in [start, end). For one key the last operation wins: the delete has no effect on what
/// is put after it.
///
/// @param start, end  NULL means no bound; copied. If they are equal, nothing is added
/// @return the same as aidb_batch_put; AIDB_INVALID_ARGUMENT also if `end` is before `start`
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_delete_range(
    batch: *mut aidb_batch,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            let mut batch = batch.try_write().ok_or_else(|| batch.in_use("batch"))?;
            batch.delete_range(start, end)
        })
    }
}

/// Adds a delete of all keys that start with `prefix`, in the same way as aidb_batch_delete_range; an empty one
/// deletes all keys. Returns the same as aidb_batch_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_delete_prefix(
    batch: *mut aidb_batch,
    prefix: *const c_void,
    prefix_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            let prefix = bytes(prefix, prefix_len, "prefix")?;
            let mut batch = batch.try_write().ok_or_else(|| batch.in_use("batch"))?;
            batch.delete_prefix(prefix)
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

/// Calls a callback for each operation, in order, until it returns anything but 0. The operation and its bytes are
/// valid until the callback returns. It may call any function of this library, but it cannot change the batch that is
/// walked.
///
/// @param context       passed to the callback unchanged
/// @param on_operation  must not be NULL
/// @return AIDB_OK, also if the callback stopped; AIDB_INVALID_ARGUMENT, AIDB_UNSUPPORTED or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_batch_operations(
    batch: *const aidb_batch,
    context: *mut c_void,
    on_operation: aidb_operation_callback,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let batch = handle::get(batch, "batch")?;
            let on_operation =
                on_operation.ok_or_else(|| Error::invalid_argument("on_operation is NULL"))?;
            let batch = batch.try_read().ok_or_else(|| batch.in_use("batch"))?;
            let operations = || batch.iter().map(aidb_operation::of);
            if !operations().all(|operation| operation.is_some()) {
                return Err(untold("the batch has an operation that aidb.h cannot name"));
            }
            for operation in operations().flatten() {
                if on_operation(context, &operation) != 0 {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// aidb_batch_operations with a callback for puts and one for deletes. A batch with an operation of another kind is
/// refused before any callback, because nothing could tell of it.
///
/// @param context        passed to the callbacks unchanged
/// @param on_put         NULL skips puts
/// @param on_delete      NULL skips deletes
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
                return Err(untold(
                    "the batch has an operation that is neither a put nor a delete: \
                     aidb_batch_operations tells of it",
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

/// The error of a batch whose operations no callback can be told of.
fn untold(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}
