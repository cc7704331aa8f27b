//! `aidb_iterator`: a position in the entries of a database.

use std::borrow::Cow;
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

use aidb::{Cursor, Error, IterOptions, Result};
use parking_lot::Mutex;

use crate::guard::{guard_ok, guard_reading, quietly, releasing};
use crate::handle::{self, Object, aidb_db, aidb_error, aidb_iterator, aidb_snapshot};
use crate::ptr::{Out, array_out, bytes, growing, optional_bytes, out};
use crate::status::{AIDB_NOT_FOUND, AIDB_OK, aidb_status};

/// Which entries an iterator visits, and how. Start from AIDB_ITER_OPTIONS_INIT. If there are a prefix and
/// bounds, an entry must satisfy all of them. The bytes are copied.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct aidb_iter_options {
    /// sizeof(aidb_iter_options)
    pub struct_size: usize,
    /// Show the database as this snapshot sees it; NULL (the default) as it is when the iterator is created.
    pub snapshot: *const aidb_snapshot,
    /// The smallest key to show; NULL for no bound.
    pub lower_bound: *const c_void,
    /// Its length.
    pub lower_bound_len: usize,
    /// The upper bound, which is not shown: all shown keys are smaller; NULL for no bound.
    pub upper_bound: *const c_void,
    /// Its length.
    pub upper_bound_len: usize,
    /// Show only keys that start with these bytes; NULL for all.
    pub prefix: *const c_void,
    /// Its length.
    pub prefix_len: usize,
    /// Not 0: go from the largest key down, so that `first` is the largest key and `next` a smaller one.
    pub reverse: i32,
    /// Show keys; 1 by default. Without them keys are empty.
    pub keys: i32,
    /// Show values; 1 by default. Without them values are empty.
    pub values: i32,
    /// Keep blocks read from disk in the block cache; 1 by default.
    pub fill_cache: i32,
}

/// Where aidb_iter_next_many put an entry in the caller's buffer. Callers have arrays of this structure, so it
/// never changes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct aidb_entry {
    /// Offset of the key in the buffer.
    pub key_offset: usize,
    /// Its length in bytes.
    pub key_len: usize,
    /// Offset of the value in the buffer.
    pub value_offset: usize,
    /// Its length in bytes.
    pub value_len: usize,
}

// This structure never changes: an element of the caller's array has no struct_size field to tell one size from
// another.
const _: () = assert!(size_of::<aidb_entry>() == 32);

/// The size of the first version of the options. It will always be accepted.
const FIRST_ITER_OPTIONS: usize = 80;
const _: () = assert!(size_of::<aidb_iter_options>() >= FIRST_ITER_OPTIONS);

/// # Safety
/// As for [`growing`] and, for each byte string in it, [`bytes`].
pub(crate) unsafe fn iter_options(options: *const aidb_iter_options) -> Result<IterOptions> {
    let defaults = aidb_iter_options {
        struct_size: size_of::<aidb_iter_options>(),
        snapshot: std::ptr::null(),
        lower_bound: std::ptr::null(),
        lower_bound_len: 0,
        upper_bound: std::ptr::null(),
        upper_bound_len: 0,
        prefix: std::ptr::null(),
        prefix_len: 0,
        reverse: 0,
        keys: 1,
        values: 1,
        fill_cache: 1,
    };
    // SAFETY: the caller's own promise; only pointers and integers, no padding.
    unsafe {
        let given = growing(options, defaults, FIRST_ITER_OPTIONS, "options")?;
        let snapshot = (!given.snapshot.is_null())
            .then(|| handle::get(given.snapshot, "options.snapshot").map(|held| held.clone()))
            .transpose()?;
        let lower = (given.lower_bound, given.lower_bound_len);
        let upper = (given.upper_bound, given.upper_bound_len);
        let prefix = (given.prefix, given.prefix_len);
        Ok(IterOptions::new()
            .snapshot(snapshot)
            .lower_bound(owned(lower, "options.lower_bound")?)
            .upper_bound(owned(upper, "options.upper_bound")?)
            .prefix(owned(prefix, "options.prefix")?)
            .reverse(given.reverse != 0)
            .keys(given.keys != 0)
            .values(given.values != 0)
            .fill_cache(given.fill_cache != 0))
    }
}

/// # Safety
/// As for [`bytes`].
unsafe fn owned((data, len): (*const c_void, usize), name: &str) -> Result<Option<Vec<u8>>> {
    // SAFETY: the caller's own promise.
    let bytes = unsafe { optional_bytes(data, len, name)? };
    bytes.map(|bytes| aidb::copy_of(bytes, name)).transpose()
}

/// Makes a cursor and writes its handle to `place`.
fn create(db: *const aidb_db, options: IterOptions, place: Out<*mut aidb_iterator>) -> Result<()> {
    hand_over(handle::get(db, "db")?.cursor(options)?, place)
}

/// Writes a handle of `cursor` to `place`.
pub(crate) fn hand_over(cursor: Cursor, place: Out<*mut aidb_iterator>) -> Result<()> {
    let held = Object::Iterator(Box::new(Mutex::new(cursor)));
    place.write(handle::insert(held)?);
    Ok(())
}

/// Creates an iterator, positioned before the first entry.
///
/// @param options       NULL for the defaults: every entry, in key order; copied
/// @param iterator_out  release it with aidb_iter_free
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_create(
    db: *const aidb_db,
    options: *const aidb_iter_options,
    iterator_out: *mut *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let place = out(iterator_out, "iterator_out")?;
            create(db, iter_options(options)?, place)
        })
    }
}

/// Creates an iterator over the keys in [start, end): aidb_iter_create with two bounds.
///
/// @param start, end  NULL means no bound
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_range(
    db: *const aidb_db,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    iterator_out: *mut *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let options = IterOptions::new()
                .lower_bound(owned((start, start_len), "start")?)
                .upper_bound(owned((end, end_len), "end")?);
            create(db, options, out(iterator_out, "iterator_out")?)
        })
    }
}

/// Creates an iterator over the keys that start with a prefix: aidb_iter_create with a prefix.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_prefix(
    db: *const aidb_db,
    prefix: *const c_void,
    prefix_len: usize,
    iterator_out: *mut *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let options = IterOptions::new().prefix(Some(aidb::copy_of(
                bytes(prefix, prefix_len, "prefix")?,
                "prefix",
            )?));
            create(db, options, out(iterator_out, "iterator_out")?)
        })
    }
}

/// Releases an iterator; NULL and an iterator that was freed before are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_iter_free(iterator: *mut aidb_iterator) {
    releasing(|| handle::take(iterator, "iterator"));
}

/// Runs `action` on the cursor, with exclusive access.
fn with_cursor<T>(
    iterator: *const aidb_iterator,
    action: impl FnOnce(&mut Cursor) -> Result<T>,
) -> Result<T> {
    let held = handle::get(iterator, "iterator")?;
    let mut cursor = held.try_lock().ok_or_else(|| held.in_use("iterator"))?;
    action(&mut cursor)
}

/// A function body that moves the cursor.
///
/// # Safety
/// `error` is NULL or points to a place for a pointer.
unsafe fn moved(
    iterator: *mut aidb_iterator,
    error: *mut *mut aidb_error,
    step: impl FnOnce(&mut Cursor) -> Result<bool>,
) -> aidb_status {
    // SAFETY: the caller's own promise.
    unsafe {
        guard_reading(error, || match with_cursor(iterator, step)? {
            true => Ok(AIDB_OK),
            false => Ok(AIDB_NOT_FOUND),
        })
    }
}

/// `key`, or a copy of it if the cursor lends it, because a move changes the lent bytes.
fn apart_from<'a>(cursor: &Cursor, key: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let (start, end) = (key.as_ptr(), key.as_ptr_range().end);
    let overlaps = |lent: &[u8]| lent.as_ptr() < end && start < lent.as_ptr_range().end;
    Ok(
        match cursor.valid() && (overlaps(cursor.key()) || overlaps(cursor.value())) {
            true => Cow::Owned(aidb::copy_of(key, "a key")?),
            false => Cow::Borrowed(key),
        },
    )
}

/// Moves to the first entry in the iterator's order.
///
/// @return AIDB_OK if the iterator is on an entry, AIDB_NOT_FOUND if there is none; AIDB_IO, AIDB_CORRUPTION,
///         AIDB_CLOSED or AIDB_INVALID_ARGUMENT
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_first(
    iterator: *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { moved(iterator, error, Cursor::first) }
}

/// Moves to the last entry in the iterator's order. Returns the same as aidb_iter_first.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_last(
    iterator: *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { moved(iterator, error, Cursor::last) }
}

/// Moves to the first entry at or after a key in the iterator's order: the smallest key >= it, or with
/// `reverse` the largest key <= it. Returns the same as aidb_iter_first.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_seek(
    iterator: *mut aidb_iterator,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        moved(iterator, error, |cursor| {
            let key = bytes(key, key_len, "key")?;
            let key = apart_from(cursor, key)?;
            cursor.seek(&key)
        })
    }
}

/// Moves to the last entry at or before a key in the iterator's order: the largest key <= it, or with `reverse`
/// the smallest key >= it. Returns the same as aidb_iter_first.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_seek_for_prev(
    iterator: *mut aidb_iterator,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        moved(iterator, error, |cursor| {
            let key = bytes(key, key_len, "key")?;
            let key = apart_from(cursor, key)?;
            cursor.seek_for_prev(&key)
        })
    }
}

/// Moves to the next entry in the iterator's order; a new iterator moves to the first. Past the end it is on no
/// entry, and aidb_iter_prev moves it back to the last. Returns the same as aidb_iter_first.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_next(
    iterator: *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { moved(iterator, error, Cursor::next) }
}

/// Moves to the previous entry in the iterator's order; a new iterator moves to the last. Before the first it
/// is on no entry, and aidb_iter_next moves it back to the first. Returns the same as aidb_iter_first.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_prev(
    iterator: *mut aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { moved(iterator, error, Cursor::prev) }
}

/// Whether the iterator is on an entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_iter_valid(iterator: *const aidb_iterator) -> bool {
    quietly(false, || with_cursor(iterator, |cursor| Ok(cursor.valid())))
}

/// The key of the current entry; not zero-terminated. Valid until the iterator moves or is freed, even if the
/// database is closed in between. NULL, with a length of 0, if the iterator is on no entry.
///
/// @param key_len_out  the length in bytes; NULL if it is not wanted
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_iter_key(
    iterator: *const aidb_iterator,
    key_len_out: *mut usize,
) -> *const c_char {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { lend(iterator, key_len_out, Cursor::key) }
}

/// The value of the current entry; otherwise the same as aidb_iter_key.
///
/// @param value_len_out  the length in bytes; NULL if it is not wanted
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_iter_value(
    iterator: *const aidb_iterator,
    value_len_out: *mut usize,
) -> *const c_char {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { lend(iterator, value_len_out, Cursor::value) }
}

/// # Safety
/// `len_out` is NULL or points to a place for a length.
unsafe fn lend(
    iterator: *const aidb_iterator,
    len_out: *mut usize,
    part: impl FnOnce(&Cursor) -> &[u8],
) -> *const c_char {
    let (data, len) = quietly((std::ptr::null(), 0), || {
        with_cursor(iterator, |cursor| {
            if !cursor.valid() {
                return Ok((std::ptr::null(), 0));
            }
            let bytes = part(cursor);
            Ok((bytes.as_ptr().cast(), bytes.len()))
        })
    });
    if !len_out.is_null() {
        // SAFETY: not NULL, and the caller vouches for the place.
        unsafe { len_out.write(len) };
    }
    data
}

/// The error of the last move; it stays until the next aidb_iter_first, _last or _seek.
///
/// @return AIDB_OK, AIDB_IO, AIDB_CORRUPTION, AIDB_CLOSED or AIDB_INVALID_ARGUMENT
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_status(
    iterator: *const aidb_iterator,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { guard_ok(error, || with_cursor(iterator, |cursor| cursor.status())) }
}

/// Copies the current entry and those after it in the iterator's order into the caller's buffer, as many as
/// fit, and moves to the entry after the last one copied. A new iterator starts at the first entry. This is the
/// fastest way to scan. In a transaction the entry after the last one copied counts as read, too.
///
/// @param entries      an array of `max_entries`: receives where each entry's key and value are in the buffer
/// @param max_entries  at least 1
/// @param buffer       `buffer_size` bytes
/// @param count_out    the number of entries copied: at least 1 with AIDB_OK, otherwise 0
/// @param needed_out   NULL, or receives the bytes that the next entry needs if not even that one fits,
///                     otherwise 0
/// @return AIDB_OK; AIDB_NOT_FOUND at the end; AIDB_INVALID_ARGUMENT also if the buffer is too small for the
///         next entry (see needed_out; the iterator has not moved); AIDB_IO, AIDB_CORRUPTION or AIDB_CLOSED
/// Both outputs are always written, whatever the call returns.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_iter_next_many(
    iterator: *mut aidb_iterator,
    entries: *mut aidb_entry,
    max_entries: usize,
    buffer: *mut c_void,
    buffer_size: usize,
    count_out: *mut usize,
    needed_out: *mut usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    let (mut count, mut needed) = (0, 0);
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        let status = guard_reading(error, || {
            let entries = array_out(entries, max_entries, "entries")?;
            let buffer = array_out(buffer.cast::<u8>(), buffer_size, "buffer")?;
            if entries.is_empty() {
                return Err(Error::invalid_argument("max_entries is 0"));
            }
            if count_out.is_null() {
                return Err(Error::invalid_argument("count_out is NULL"));
            }
            (count, needed) =
                with_cursor(iterator, |cursor| copy_entries(cursor, entries, buffer))?;
            match (count, needed) {
                (0, 0) => Ok(AIDB_NOT_FOUND),
                (0, needed) => Err(Error::invalid_argument(format!(
                    "buffer_size is {buffer_size}, and the next entry needs {needed}"
                ))),
                _ => Ok(AIDB_OK),
            }
        });
        if !count_out.is_null() {
            count_out.write(count);
        }
        if !needed_out.is_null() {
            needed_out.write(needed);
        }
        status
    }
}

/// Copies entries until one does not fit; returns how many, and, if none, the bytes that the first one needs. An
/// error after an entry that was copied stays in the cursor for the next call.
fn copy_entries(
    cursor: &mut Cursor,
    entries: &mut [MaybeUninit<aidb_entry>],
    buffer: &mut [MaybeUninit<u8>],
) -> Result<(usize, usize)> {
    cursor.status()?;
    // An iterator on no entry is new, before the first or after the last entry; `next` is right for each.
    if !cursor.valid() && !cursor.next()? {
        return Ok((0, 0));
    }
    let (mut count, mut used) = (0, 0);
    while count < entries.len() {
        let (key, value) = (cursor.key(), cursor.value());
        // Both are in memory, so the sum cannot overflow.
        let size = key.len() + value.len();
        if size > buffer.len() - used {
            return Ok((count, if count == 0 { size } else { 0 }));
        }
        entries[count].write(aidb_entry {
            key_offset: used,
            key_len: key.len(),
            value_offset: used + key.len(),
            value_len: value.len(),
        });
        let (key_place, rest) = buffer[used..].split_at_mut(key.len());
        key_place.write_copy_of_slice(key);
        rest[..value.len()].write_copy_of_slice(value);
        (count, used) = (count + 1, used + size);
        if !matches!(cursor.next(), Ok(true)) {
            break;
        }
    }
    Ok((count, 0))
}
