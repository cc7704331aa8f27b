//! `aidb_db`: the database itself, and the options of single reads and writes.

use std::ffi::{c_char, c_void};
use std::path::Path;
use std::ptr;

use aidb::{DB, ReadOptions, Result, SequenceNumber, Snapshot, Value, WriteOptions};

use crate::guard::{guard, guard_ok, guard_reading, guard_uncancelled, quietly};
use crate::handle::{
    self, Live, Object, aidb_batch, aidb_db, aidb_error, aidb_options, aidb_pinned, aidb_snapshot,
};
use crate::options::options_or_default;
use crate::ptr::{
    Buffer, Out, array, array_out, bounds, bytes, growing, optional_out, out, path, text,
};
use crate::status::{AIDB_NOT_FOUND, AIDB_OK, aidb_status};

/// How one write is made. Start from AIDB_WRITE_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct aidb_write_options {
    /// sizeof(aidb_write_options)
    pub struct_size: usize,
    /// 0 (the default): the write survives a crash of the process. Otherwise the call returns only when the
    /// write, and every write acknowledged before it, would survive a power loss.
    pub sync: i32,
    /// 0
    pub reserved: i32,
    /// Where the call stores the write's sequence number, its place in the order of all writes. Set only with
    /// AIDB_OK; NULL (the default) if it is not wanted. The number of a batch is that of its last operation: a
    /// batch of n operations has the n numbers that end there. An empty batch takes no number; for it the call
    /// stores the newest number that readers see. Numbers begin at 1 and have 56 bits. A snapshot sees the
    /// write if aidb_snapshot_sequence is at least this number. Threads that write at the same time need a
    /// structure each if they set this.
    pub sequence_out: *mut u64,
}

/// How one read is made. Start from AIDB_READ_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct aidb_read_options {
    /// sizeof(aidb_read_options)
    pub struct_size: usize,
    /// Read the database as this snapshot sees it; NULL (the default) as it is now.
    pub snapshot: *const aidb_snapshot,
    /// Keep blocks read from disk in the block cache; 1 by default.
    pub fill_cache: i32,
    /// 0
    pub reserved: i32,
}

/// The sizes of the first versions of the structures. They will always be accepted.
const FIRST_WRITE_OPTIONS: usize = 16;
const FIRST_READ_OPTIONS: usize = 24;
const _: () = assert!(size_of::<aidb_write_options>() >= FIRST_WRITE_OPTIONS);
const _: () = assert!(size_of::<aidb_read_options>() >= FIRST_READ_OPTIONS);

/// Refuses a reserved field that is set, because its future meaning is unknown here.
pub(crate) fn check_reserved(reserved: i32) -> Result<()> {
    if reserved != 0 {
        return Err(aidb::Error::unsupported(
            "options.reserved is not 0: is it newer than this library?",
        ));
    }
    Ok(())
}

/// The options of a write, and the place for its number.
#[derive(Default)]
pub(crate) struct WriteArguments {
    pub(crate) options: WriteOptions,
    pub(crate) sequence_out: Option<Out<u64>>,
}

impl WriteArguments {
    /// # Safety
    /// As for [`growing`]; `sequence_out`, if the structure has it, is NULL or a place for a number.
    pub(crate) unsafe fn new(options: *const aidb_write_options) -> Result<WriteArguments> {
        if options.is_null() {
            return Ok(WriteArguments::default());
        }
        let defaults = aidb_write_options {
            struct_size: size_of::<aidb_write_options>(),
            sync: 0,
            reserved: 0,
            sequence_out: std::ptr::null_mut(),
        };
        // SAFETY: the caller's own promise; two integers and a pointer besides the size, no padding.
        let given = unsafe { growing(options, defaults, FIRST_WRITE_OPTIONS, "options")? };
        check_reserved(given.reserved)?;
        Ok(WriteArguments {
            options: WriteOptions::new().sync(given.sync != 0),
            // SAFETY: the caller's own promise.
            sequence_out: unsafe { optional_out(given.sequence_out) },
        })
    }

    /// Stores the write's number where the options say.
    pub(crate) fn tell(self, sequence: SequenceNumber) {
        if let Some(place) = self.sequence_out {
            place.write(sequence.0);
        }
    }
}

/// Makes a write with `options`, and stores its number where they say.
///
/// # Safety
/// As for [`WriteArguments::new`].
pub(crate) unsafe fn written(
    options: *const aidb_write_options,
    write: impl FnOnce(&WriteOptions) -> Result<SequenceNumber>,
) -> Result<()> {
    // SAFETY: the caller's own promise.
    let arguments = unsafe { WriteArguments::new(options)? };
    let sequence = write(&arguments.options)?;
    arguments.tell(sequence);
    Ok(())
}

/// The options of a read, with the snapshot held for the length of the call.
struct ReadArguments {
    snapshot: Option<Live<aidb_snapshot>>,
    fill_cache: bool,
}

impl ReadArguments {
    /// # Safety
    /// As for [`growing`].
    unsafe fn new(options: *const aidb_read_options) -> Result<ReadArguments> {
        if options.is_null() {
            return Ok(ReadArguments {
                snapshot: None,
                fill_cache: true,
            });
        }
        let defaults = aidb_read_options {
            struct_size: size_of::<aidb_read_options>(),
            snapshot: ptr::null(),
            fill_cache: 1,
            reserved: 0,
        };
        // SAFETY: the caller's own promise; a handle and two integers besides the size, no padding.
        let given = unsafe { growing(options, defaults, FIRST_READ_OPTIONS, "options")? };
        check_reserved(given.reserved)?;
        let snapshot = (!given.snapshot.is_null())
            .then(|| handle::get(given.snapshot, "options.snapshot"))
            .transpose()?;
        Ok(ReadArguments {
            snapshot,
            fill_cache: given.fill_cache != 0,
        })
    }

    fn options(&self) -> ReadOptions<'_> {
        let snapshot: Option<&Snapshot> = self.snapshot.as_deref();
        ReadOptions::new()
            .snapshot(snapshot)
            .fill_cache(self.fill_cache)
    }
}

/// Opens the database in a directory and recovers the writes that are only in its logs. By default, if the
/// directory is missing or empty, creates a new database there.
///
/// @param path     a zero-terminated path
/// @param options  NULL for the defaults; copied
/// @param db_out   close it with aidb_close
/// @return AIDB_OK; AIDB_LOCKED if another process, or this one, has it open; AIDB_INVALID_ARGUMENT,
///         AIDB_CORRUPTION, AIDB_UNSUPPORTED, AIDB_IO or AIDB_NO_SPACE
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_open(
    path: *const c_char,
    options: *const aidb_options,
    db_out: *mut *mut aidb_db,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let path = self::path(path, "path")?;
            let db_out = out(db_out, "db_out")?;
            let db = DB::open(path, options_or_default(options)?)?;
            db_out.write(handle::insert(Object::Db(db))?);
            Ok(())
        })
    }
}

/// Flushes, stops the background threads and unlocks the directory. The handle ends in any case. Iterators and
/// snapshots of the database then return AIDB_CLOSED; the caller must still free them.
///
/// The library frees memory and descriptors before this returns, even if iterators or snapshots still exist. A
/// call under way on another thread keeps what it is using until it returns AIDB_CLOSED. Lent bytes stay valid:
/// values from aidb_get_pinned until they are freed, the key and value of an iterator until it moves or is
/// freed.
///
/// When this returns AIDB_OK, every acknowledged write survives a power loss.
///
/// @return AIDB_OK; AIDB_CLOSED if it was closed before; AIDB_IO or AIDB_NO_SPACE if the flush failed: the
///         database is closed all the same, and no acknowledged write is lost
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_close(db: *mut aidb_db, error: *mut *mut aidb_error) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { guard_uncancelled(error, || handle::take(db, "db")?.close().map(|()| AIDB_OK)) }
}

/// Removes the database in a directory: its files, and the directory if nothing else is in it. The removal is
/// durable when this returns. The call changes nothing unless the directory contains a file that only AiDb
/// writes. A missing or empty directory is not an error.
///
/// @return AIDB_OK; AIDB_LOCKED if it is open anywhere; AIDB_INVALID_ARGUMENT if the directory is not AiDb's
///         (the message names the engine it belongs to, if it is a known one); AIDB_UNSUPPORTED for a path with
///         a scheme; AIDB_IO
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_destroy(
    path: *const c_char,
    options: *const aidb_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            DB::destroy(self::path(path, "path")?, &options_or_default(options)?)
        })
    }
}

/// Stores a value under a key, replacing any earlier value.
///
/// @param key, value  copied; NULL only with a length of 0
/// @param options     NULL for the defaults
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED; AIDB_IO or AIDB_NO_SPACE if the log cannot be written:
///         the write may or may not be there after a crash
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_put(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    options: *const aidb_write_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let (key, value) = (
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            );
            written(options, |options| db.put_with(key, value, options))
        })
    }
}

/// Removes a key; removing an absent key is not an error. Returns the same as aidb_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_delete(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    options: *const aidb_write_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let key = bytes(key, key_len, "key")?;
            written(options, |options| db.delete_with(key, options))
        })
    }
}

/// Removes all keys in [start, end), in one small write: it takes no time for each key. Compactions free the space
/// later.
///
/// @param start, end  NULL means no bound; copied
/// @param options     NULL for the defaults. If `start` and `end` are equal, nothing is written, as for an empty batch
/// @return the same as aidb_put; AIDB_INVALID_ARGUMENT also if `end` is before `start`
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_delete_range(
    db: *const aidb_db,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    options: *const aidb_write_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            written(options, |options| db.delete_range_with(start, end, options))
        })
    }
}

/// Removes all keys that start with `prefix`, in the same way as aidb_delete_range; an empty one removes all keys.
/// Returns the same as aidb_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_delete_prefix(
    db: *const aidb_db,
    prefix: *const c_void,
    prefix_len: usize,
    options: *const aidb_write_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let prefix = bytes(prefix, prefix_len, "prefix")?;
            written(options, |options| db.delete_prefix_with(prefix, options))
        })
    }
}

/// Applies a batch: all of its operations or none, even if there is a crash. The batch does not change; it may
/// be written again, cleared or freed. Returns the same as aidb_put.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_write(
    db: *const aidb_db,
    batch: *const aidb_batch,
    options: *const aidb_write_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let (db, batch) = (handle::get(db, "db")?, handle::get(batch, "batch")?);
            let batch = batch.try_read().ok_or_else(|| batch.in_use("batch"))?;
            written(options, |options| db.write_with(&batch, options))
        })
    }
}

/// Reads the value stored under a key into a new buffer.
///
/// @param options        NULL for the defaults
/// @param value_out      release it with aidb_free; a zero byte follows the value; an empty value is not NULL
/// @param value_len_out  the length of the value in bytes
/// @return AIDB_OK, AIDB_NOT_FOUND, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_get(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    options: *const aidb_read_options,
    value_out: *mut *mut c_char,
    value_len_out: *mut usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_reading(error, || {
            let (value_out, value_len_out) = (
                out(value_out, "value_out")?,
                out(value_len_out, "value_len_out")?,
            );
            let Some(value) = read(db, key, key_len, options)? else {
                return Ok(AIDB_NOT_FOUND);
            };
            value_out.write(Buffer::copy_of(&value)?.into_raw());
            value_len_out.write(value.len());
            Ok(AIDB_OK)
        })
    }
}

/// Reads the value stored under a key without copying it: a large value is lent from the block cache. For
/// values of a few hundred bytes aidb_get is as fast.
///
/// @param options     NULL for the defaults
/// @param pinned_out  release it with aidb_pinned_free
/// @return the same as aidb_get
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_get_pinned(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    options: *const aidb_read_options,
    pinned_out: *mut *mut aidb_pinned,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_reading(error, || {
            let pinned_out = out(pinned_out, "pinned_out")?;
            let Some(value) = read(db, key, key_len, options)? else {
                return Ok(AIDB_NOT_FOUND);
            };
            pinned_out.write(handle::insert(Object::Pinned(value))?);
            Ok(AIDB_OK)
        })
    }
}

/// Whether a key has a value: AIDB_OK if it has, AIDB_NOT_FOUND if not; otherwise the same as aidb_get.
///
/// @param options  NULL for the defaults
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_contains(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    options: *const aidb_read_options,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_reading(error, || match read(db, key, key_len, options)? {
            Some(_) => Ok(AIDB_OK),
            None => Ok(AIDB_NOT_FOUND),
        })
    }
}

/// # Safety
/// As for [`bytes`] and [`growing`].
unsafe fn read(
    db: *const aidb_db,
    key: *const c_void,
    key_len: usize,
    options: *const aidb_read_options,
) -> Result<Option<Value>> {
    let db = handle::get(db, "db")?;
    // SAFETY: the caller's own promise.
    let (key, options) = unsafe { (bytes(key, key_len, "key")?, ReadArguments::new(options)?) };
    db.get_with(key, &options.options())
}

/// Reads the values of many keys, all at one point in the order of writes; cheaper than a call of aidb_get for
/// each.
///
/// @param count           the number of keys, and of places in the arrays
/// @param keys, key_lens  `count` keys and their lengths
/// @param options         NULL for the defaults
/// @param values_out      `count` places: where each value lies in the buffer; NULL for an absent key
/// @param value_lens_out  `count` places: the length of each value; 0 for an absent key
/// @param buffer_out      holds all values; one aidb_free releases it and them
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION; if one key fails, the call
///         fails
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_get_many(
    db: *const aidb_db,
    count: usize,
    keys: *const *const c_void,
    key_lens: *const usize,
    options: *const aidb_read_options,
    values_out: *mut *const c_char,
    value_lens_out: *mut usize,
    buffer_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let options = ReadArguments::new(options)?;
            read_many(
                (count, keys, key_lens),
                (values_out, value_lens_out, buffer_out),
                |keys| db.get_many_with(keys, &options.options()),
            )
        })
    }
}

/// Reads many keys by `read`, into one buffer: the body of aidb_get_many and its like. `keys` are their count, the
/// keys and their lengths; `places` are those for the values, for their lengths, and for the buffer.
///
/// # Safety
/// As for [`array`], [`bytes`], [`array_out`] and [`out`].
pub(crate) unsafe fn read_many(
    (count, keys, key_lens): (usize, *const *const c_void, *const usize),
    places: (*mut *const c_char, *mut usize, *mut *mut c_char),
    read: impl FnOnce(&[&[u8]]) -> Result<Vec<Option<Value>>>,
) -> Result<()> {
    // SAFETY: the caller's own promise.
    unsafe {
        let keys = array(keys, count, "keys")?;
        let key_lens = array(key_lens, count, "key_lens")?;
        let values_out = array_out(places.0, count, "values_out")?;
        let value_lens_out = array_out(places.1, count, "value_lens_out")?;
        let buffer_out = out(places.2, "buffer_out")?;
        let mut wanted = aidb::room_for(count, "keys")?;
        for (key, len) in keys.iter().zip(key_lens) {
            wanted.push(bytes(*key, *len, "a key")?);
        }
        let values = read(&wanted)?;

        // The sum of lengths of values in memory cannot overflow.
        let total = values.iter().flatten().map(|value| value.len()).sum();
        let mut buffer = Buffer::zeroed(total)?;
        let mut rest = buffer.bytes_mut();
        let places = values_out.iter_mut().zip(value_lens_out);
        for (value, (value_out, len_out)) in values.iter().zip(places) {
            let Some(value) = value else {
                value_out.write(ptr::null());
                len_out.write(0);
                continue;
            };
            let (place, behind) = rest.split_at_mut(value.len());
            place.copy_from_slice(value);
            value_out.write(place.as_ptr().cast());
            len_out.write(value.len());
            rest = behind;
        }
        buffer_out.write(buffer.into_raw());
        Ok(())
    }
}

/// Writes every write acknowledged so far to tables. When this returns, they survive a power loss.
///
/// @return AIDB_OK, AIDB_CLOSED, AIDB_IO or AIDB_NO_SPACE; a failed flush loses no acknowledged write
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_flush(
    db: *const aidb_db,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe { guard_ok(error, || handle::get(db, "db")?.flush()) }
}

/// Compacts the keys in [start, end): frees the space of deleted and overwritten entries that no snapshot sees.
/// The result is durable when this returns.
///
/// @param start, end  NULL means no bound
/// @return the same as aidb_flush, or AIDB_INVALID_ARGUMENT
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_compact_range(
    db: *const aidb_db,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            db.compact_range(start, end)
        })
    }
}

/// About how many bytes the keys in [start, end) take in tables; entries still in memory are not counted.
///
/// @param start, end  NULL means no bound
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_approximate_size(
    db: *const aidb_db,
    start: *const c_void,
    start_len: usize,
    end: *const c_void,
    end_len: usize,
    size_out: *mut u64,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let size_out = out(size_out, "size_out")?;
            let (start, end) = bounds(start, start_len, end, end_len)?;
            size_out.write(db.approximate_size(start, end)?);
            Ok(())
        })
    }
}

/// The report with a given name; the guide lists the names.
///
/// @param text_out  a zero-terminated string; release it with aidb_free
/// @return AIDB_OK, AIDB_NOT_FOUND for an unknown name, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_property(
    db: *const aidb_db,
    name: *const c_char,
    text_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard(error, || {
            let db = handle::get(db, "db")?;
            let text_out = out(text_out, "text_out")?;
            let Some(report) = db.property(text(name, "name")?)? else {
                return Ok(AIDB_NOT_FOUND);
            };
            text_out.write(Buffer::copy_of(report.as_bytes())?.into_raw());
            Ok(AIDB_OK)
        })
    }
}

/// Counters since the database was opened and current sizes, as a JSON object.
///
/// @param json_out  a zero-terminated string; release it with aidb_free
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_stats_json(
    db: *const aidb_db,
    json_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let json_out = out(json_out, "json_out")?;
            let json = db.stats()?.to_json();
            json_out.write(Buffer::copy_of(json.as_bytes())?.into_raw());
            Ok(())
        })
    }
}

/// The directory of the database.
///
/// @param path_out  a zero-terminated string; release it with aidb_free
/// @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn aidb_path(
    db: *const aidb_db,
    path_out: *mut *mut c_char,
    error: *mut *mut aidb_error,
) -> aidb_status {
    // SAFETY: the caller keeps the contract above for each pointer.
    unsafe {
        guard_ok(error, || {
            let db = handle::get(db, "db")?;
            let path_out = out(path_out, "path_out")?;
            path_out.write(Buffer::copy_of(path_bytes(db.path()))?.into_raw());
            Ok(())
        })
    }
}

/// The path as C passed it: the system's bytes, or UTF-8 on systems for which `ptr::path` requires that.
fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Whether the database has been closed; also true for a handle that is not a database.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_is_closed(db: *const aidb_db) -> bool {
    quietly(true, || Ok(handle::get(db, "db")?.is_closed()))
}
