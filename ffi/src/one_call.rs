//! Reads and writes of one key that take place at once, in one call.

use std::ffi::{c_char, c_void};

use aidb::{Error, Result, Transaction, WriteBatch, WriteOptions};

use crate::db::{WriteArguments, aidb_write_options};
use crate::guard::{guard, guard_ok};
use crate::handle::{self, aidb_db, aidb_error};
use crate::ptr::{Buffer, bytes, optional_bytes, out};
use crate::status::{AIDB_NOT_FOUND, AIDB_OK, aidb_status};

/// The options of a write that tells no number.
///
/// # Safety
/// As for [`WriteArguments::new`].
unsafe fn write_options(options: *const aidb_write_options) -> Result<WriteOptions> {
    // SAFETY: the caller's own promise.
    let arguments = unsafe { WriteArguments::new(options)? };
    if arguments.sequence_out.is_some() {
        return Err(Error::invalid_argument(
            "options.sequence_out is set, and this call stores no number: use a transaction",
        ));
    }
    Ok(arguments.options)
}

/// If a key has the value `expected`, gives it another value, or removes it. Nobody can change the key in between.
///
/// @param expected     NULL: the key is expected to be absent
/// @param value        NULL: remove the key
/// @param options      NULL for the defaults; `sequence_out` must be NULL
/// @param was_set_out  whether the key had the value `expected`, and was changed; otherwise nothing was written
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO, AIDB_CORRUPTION or AIDB_NO_SPACE; never
///         AIDB_CONFLICT
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_compare_and_set(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    expected: *const c_void,
    expected_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const aidb_write_options,
    was_set_out: *mut bool,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let was_set_out = out(was_set_out, "was_set_out")?;
            let key = bytes(key, key_len, "key")?;
            let expected = optional_bytes(expected, expected_len, "expected")?;
            let value = optional_bytes(value, value_len, "value")?;
            let options = write_options(options)?;
            was_set_out.write(db.compare_and_set_with(key, expected, value, &options)?);
            Ok(())
        })
    }
}

/// Stores a value under a key unless the key has one. Nobody can change the key in between.
///
/// @param options      NULL for the defaults; `sequence_out` must be NULL
/// @param was_put_out  whether the key was absent, and now has the value; otherwise nothing was written
/// @return the same as aidb_compare_and_set
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_put_if_absent(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const aidb_write_options,
    was_put_out: *mut bool,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let was_put_out = out(was_put_out, "was_put_out")?;
            let (key, value) = (
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            );
            let options = write_options(options)?;
            was_put_out.write(db.put_if_absent_with(key, value, &options)?);
            Ok(())
        })
    }
}

/// Stores a value under a key and returns the value that the key had before. Nobody can change the key in between.
///
/// @param options           NULL for the defaults; `sequence_out` must be NULL
/// @param previous_out      the earlier value; release it with aidb_free; a zero byte follows it; an empty value is not
///                          NULL
/// @param previous_len_out  its length in bytes
/// @return AIDB_OK if the key had a value, AIDB_NOT_FOUND if it had none: with both, the new value is stored;
///         AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO, AIDB_CORRUPTION or AIDB_NO_SPACE; never AIDB_CONFLICT
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_get_and_put(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const aidb_write_options,
    previous_out: *mut *mut c_char,
    previous_len_out: *mut usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard(error, || {
            let (key, value) = (
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            );
            let places = (previous_out, previous_len_out);
            get_and_write(db, key, options, places, |transaction, _| {
                transaction.put(key, value)
            })
        })
    }
}

/// Removes a key and returns the value that it had; writes nothing if it had none. Nobody can change the key in
/// between.
///
/// @param options           NULL for the defaults; `sequence_out` must be NULL
/// @param previous_out      as for aidb_get_and_put
/// @param previous_len_out  its length in bytes
/// @return AIDB_OK if the key had a value, AIDB_NOT_FOUND if it had none; otherwise the same as aidb_get_and_put
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_get_and_delete(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    options: *const aidb_write_options,
    previous_out: *mut *mut c_char,
    previous_len_out: *mut usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard(error, || {
            let key = bytes(key, key_len, "key")?;
            let places = (previous_out, previous_len_out);
            get_and_write(db, key, options, places, |transaction, is_there| {
                match is_there {
                    true => transaction.delete(key),
                    // Writes nothing, but fails if the database is read-only.
                    false => transaction.write(&WriteBatch::new()),
                }
            })
        })
    }
}

/// Reads `key` and calls `write` with whether it has a value, at once. The value is copied for the caller before the
/// commit: if there is no memory for it, nothing is written, and a value that was removed is never lost.
///
/// # Safety
/// As for [`out`] and [`WriteArguments::new`].
unsafe fn get_and_write(
    db: *const aidb_db,
    key: &[u8],
    options: *const aidb_write_options,
    places: (*mut *mut c_char, *mut usize),
    write: impl Fn(&Transaction, bool) -> Result<()>,
) -> Result<aidb_status> {
    let db = handle::get(db, "db")?;
    // SAFETY: the caller's own promise.
    let (previous_out, previous_len_out, options) = unsafe {
        (
            out(places.0, "previous_out")?,
            out(places.1, "previous_len_out")?,
            write_options(options)?,
        )
    };
    let previous = db.run_transaction_with(u32::MAX, &options, |transaction| {
        let previous = transaction.get(key)?;
        write(transaction, previous.is_some())?;
        let copied = previous.map(|value| Ok((Buffer::copy_of(&value)?, value.len())));
        copied.transpose()
    })?;
    let Some((buffer, len)) = previous else {
        return Ok(AIDB_NOT_FOUND);
    };
    previous_out.write(buffer.into_raw());
    previous_len_out.write(len);
    Ok(AIDB_OK)
}
