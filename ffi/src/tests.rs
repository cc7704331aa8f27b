//! The functions as C calls them. `tests/c/test_misuse.c` calls them as C must not.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use tempfile::TempDir;

use crate::batch::*;
use crate::db::*;
use crate::error::*;
use crate::handle::{aidb_db, aidb_error, aidb_iterator};
use crate::iterator::*;
use crate::options::*;
use crate::pinned::*;
use crate::ptr::aidb_free;
use crate::report::*;
use crate::snapshot::*;
use crate::status::*;
use crate::version::aidb_version;

mod scarce;
mod transactions;

/// The message of an error, which it frees.
pub(crate) fn message(error: *mut aidb_error) -> String {
    // SAFETY: the message is valid until the error is freed.
    unsafe {
        let message = CStr::from_ptr(aidb_error_message(error));
        let message = message.to_str().unwrap().to_string();
        aidb_error_free(error);
        message
    }
}

/// Any value as a pointer of a handle's type.
fn forged<T>(address: usize) -> *mut T {
    ptr::without_provenance_mut(address)
}

fn data(bytes: &[u8]) -> *const c_void {
    bytes.as_ptr().cast()
}

/// A database in a directory of its own, through the C API.
struct Store {
    db: *mut aidb_db,
    path: CString,
    _dir: TempDir,
}

impl Store {
    fn new() -> Store {
        let dir = tempfile::tempdir().unwrap();
        let path = CString::new(dir.path().join("db").to_str().unwrap()).unwrap();
        let mut store = Store {
            db: ptr::null_mut(),
            path,
            _dir: dir,
        };
        store.open();
        store
    }

    fn open(&mut self) {
        let mut error = ptr::null_mut();
        // SAFETY: the outputs are local places.
        let status =
            unsafe { aidb_open(self.path.as_ptr(), ptr::null(), &mut self.db, &mut error) };
        assert_eq!(status, AIDB_OK, "{}", message(error));
    }

    fn put(&self, key: &[u8], value: &[u8]) -> aidb_status {
        // SAFETY: pointers and lengths are those of slices.
        unsafe {
            let (key_data, value_data) = (data(key), data(value));
            let null = ptr::null_mut();
            aidb_put(
                self.db,
                key_data,
                key.len(),
                value_data,
                value.len(),
                ptr::null(),
                null,
            )
        }
    }

    fn get(&self, key: &[u8], options: *const aidb_read_options) -> Result<Vec<u8>, aidb_status> {
        let (mut value, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the outputs are local places, and are read only with AIDB_OK.
        unsafe {
            let (key, key_len) = (data(key), key.len());
            let null = ptr::null_mut();
            match aidb_get(self.db, key, key_len, options, &mut value, &mut len, null) {
                AIDB_OK => {
                    let bytes = std::slice::from_raw_parts(value.cast::<u8>(), len).to_vec();
                    assert_eq!(*value.add(len), 0, "PTR-3: a zero byte follows");
                    aidb_free(value.cast());
                    Ok(bytes)
                }
                status => Err(status),
            }
        }
    }

    fn close(&self) -> aidb_status {
        // SAFETY: any handle may be passed.
        unsafe { aidb_close(self.db, ptr::null_mut()) }
    }

    fn iterator(&self, prefix: &[u8]) -> *mut aidb_iterator {
        let mut iterator = ptr::null_mut();
        // SAFETY: the output is a local place.
        let status = unsafe {
            let null = ptr::null_mut();
            aidb_iter_prefix(self.db, data(prefix), prefix.len(), &mut iterator, null)
        };
        assert_eq!(status, AIDB_OK);
        iterator
    }
}

/// The bytes that a function lends with a length.
fn lent(
    function: unsafe extern "C" fn(*const aidb_iterator, *mut usize) -> *const c_char,
    iterator: *const aidb_iterator,
) -> Option<Vec<u8>> {
    let mut len = 0;
    // SAFETY: the bytes are copied before the iterator moves.
    unsafe {
        let bytes = function(iterator, &mut len).cast::<u8>();
        (!bytes.is_null()).then(|| std::slice::from_raw_parts(bytes, len).to_vec())
    }
}

#[test]
fn what_is_put_is_got_through_every_way_of_reading() {
    let store = Store::new();
    for (key, value) in [(&b"k"[..], &b"v"[..]), (b"", b""), (b"\0\xff", b"\xff\0")] {
        assert_eq!(store.put(key, value), AIDB_OK);
        assert_eq!(store.get(key, ptr::null()).unwrap(), value);
        let mut pinned = ptr::null_mut();
        // SAFETY: slices are what pointer and length say; the outputs are local places.
        unsafe {
            let (key, key_len) = (data(key), key.len());
            let null = ptr::null_mut();
            assert_eq!(
                aidb_contains(store.db, key, key_len, ptr::null(), null),
                AIDB_OK
            );
            let status = aidb_get_pinned(store.db, key, key_len, ptr::null(), &mut pinned, null);
            assert_eq!(status, AIDB_OK);
            let bytes = aidb_pinned_data(pinned).cast::<u8>();
            assert_eq!(
                std::slice::from_raw_parts(bytes, aidb_pinned_len(pinned)),
                value
            );
            aidb_pinned_free(pinned);
            assert!(aidb_pinned_data(pinned).is_null());
            assert_eq!(aidb_pinned_len(pinned), 0);
            assert_eq!(
                aidb_delete(store.db, key, key_len, ptr::null(), null),
                AIDB_OK
            );
            let status = aidb_contains(store.db, key, key_len, ptr::null(), null);
            assert_eq!(status, AIDB_NOT_FOUND);
            let status = aidb_get_pinned(store.db, key, key_len, ptr::null(), &mut pinned, null);
            assert_eq!(status, AIDB_NOT_FOUND);
        }
        assert_eq!(store.get(key, ptr::null()), Err(AIDB_NOT_FOUND));
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn many_gets_come_in_one_buffer() {
    let store = Store::new();
    store.put(b"a", b"first");
    store.put(b"b", b"");
    let keys = [data(b"a"), data(b"absent"), data(b"b")];
    let lens = [1, 6, 1];
    let mut values = [ptr::null(); 3];
    let mut value_lens = [9; 3];
    let mut buffer = ptr::null_mut();
    // SAFETY: every array has three places; the values are read before the buffer is freed.
    unsafe {
        let (values_out, lens_out) = (values.as_mut_ptr(), value_lens.as_mut_ptr());
        let into = &raw mut buffer;
        let get_many = |count, keys: *const *const c_void, error| {
            let lens = lens.as_ptr();
            let null = ptr::null();
            aidb_get_many(
                store.db, count, keys, lens, null, values_out, lens_out, into, error,
            )
        };
        assert_eq!(get_many(3, keys.as_ptr(), ptr::null_mut()), AIDB_OK);
        let first = std::slice::from_raw_parts(values[0].cast::<u8>(), value_lens[0]);
        assert_eq!(first, b"first");
        assert!(values[1].is_null() && !values[2].is_null());
        assert_eq!(value_lens, [5, 0, 0]);
        aidb_free(buffer.cast());
        let mut error = ptr::null_mut();
        assert_eq!(get_many(3, ptr::null(), &mut error), AIDB_INVALID_ARGUMENT);
        assert!(message(error).contains("keys is NULL"));
        assert_eq!(
            get_many(usize::MAX, keys.as_ptr(), &mut error),
            AIDB_INVALID_ARGUMENT
        );
        assert!(message(error).contains("length of keys"));
        assert_eq!(get_many(0, ptr::null(), ptr::null_mut()), AIDB_OK);
        aidb_free(buffer.cast());
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn options_are_read_written_and_refused_by_name() {
    let options = aidb_options_new();
    let mut value = ptr::null_mut();
    let mut error = ptr::null_mut();
    let null = ptr::null_mut();
    // SAFETY: names are C strings, the outputs local places.
    unsafe {
        let block_size = c"block_size".as_ptr();
        assert_eq!(
            aidb_options_set(options, block_size, c"8KiB".as_ptr(), null),
            AIDB_OK
        );
        assert_eq!(
            aidb_options_get(options, block_size, &mut value, null),
            AIDB_OK
        );
        assert_eq!(CStr::from_ptr(value), c"8192");
        aidb_free(value.cast());
        assert_eq!(
            aidb_options_set_number(options, block_size, 4096, null),
            AIDB_OK
        );
        let read_only = c"read_only".as_ptr();
        assert_eq!(aidb_options_set_flag(options, read_only, 1, null), AIDB_OK);
        assert_eq!(aidb_options_set_flag(options, read_only, 0, null), AIDB_OK);
        for status in [
            aidb_options_set_flag(options, block_size, 1, null),
            aidb_options_set_number(options, read_only, 1, null),
            aidb_options_set_number(options, c"info_log".as_ptr(), 1, null),
            aidb_options_set(options, c"info_log".as_ptr(), c"".as_ptr(), null),
            aidb_options_set(options, c"\xff".as_ptr(), c"1".as_ptr(), null),
            aidb_options_set(options, block_size, ptr::null(), null),
            aidb_options_get(options, block_size, null.cast(), null),
            aidb_options_get(options, ptr::null(), &mut value, null),
        ] {
            assert_eq!(status, AIDB_INVALID_ARGUMENT);
        }
        let status = aidb_options_set(options, c"blok_size".as_ptr(), c"1".as_ptr(), &mut error);
        assert_eq!(status, AIDB_INVALID_ARGUMENT);
        assert!(message(error).contains("block_size"));

        let names: Vec<_> = (0..)
            .map(|index| aidb_options_name(index))
            .take_while(|name| !name.is_null())
            .map(|name| CStr::from_ptr(name).to_str().unwrap())
            .collect();
        assert_eq!(names, aidb::Options::names().collect::<Vec<_>>());
        aidb_options_free(options);
        assert_eq!(
            aidb_options_set(options, block_size, c"1".as_ptr(), null),
            AIDB_CLOSED
        );
        let status = aidb_open(c"unused".as_ptr(), options, null.cast(), null);
        assert_eq!(status, AIDB_INVALID_ARGUMENT, "db_out is checked first");
        let mut db = ptr::null_mut();
        let status = aidb_open(c"unused".as_ptr(), options, &mut db, null);
        assert_eq!(status, AIDB_CLOSED);
        assert_eq!(
            CStr::from_ptr(aidb_version()).to_str(),
            Ok(env!("CARGO_PKG_VERSION"))
        );
    }
}

/// The newest number that readers see.
fn newest(db: *const aidb_db) -> u64 {
    let (null, mut snapshot) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the output is a local place.
    unsafe {
        assert_eq!(aidb_snapshot_create(db, &mut snapshot, null), AIDB_OK);
        let sequence = aidb_snapshot_sequence(snapshot);
        aidb_snapshot_release(snapshot);
        sequence
    }
}

#[test]
fn a_write_tells_its_number_to_who_wants_it() {
    let store = Store::new();
    let (null, mut sequence) = (ptr::null_mut(), 77);
    let mut options = aidb_write_options {
        struct_size: size_of::<aidb_write_options>(),
        sync: 0,
        reserved: 0,
        sequence_out: &mut sequence,
    };
    let (key, batch) = (data(b"k"), aidb_batch_new());
    // SAFETY: the place for the number outlives each call.
    unsafe {
        assert_eq!(aidb_write(store.db, batch, &options, null), AIDB_OK);
        assert_eq!(options.sequence_out.read(), 0, "an empty batch takes none");
        assert_eq!(aidb_put(store.db, key, 1, key, 1, &options, null), AIDB_OK);
        assert_eq!(options.sequence_out.read(), 1);
        assert_eq!(aidb_delete(store.db, key, 1, &options, null), AIDB_OK);
        assert_eq!(options.sequence_out.read(), 2);
        assert_eq!(newest(store.db), 2);
        for _ in 0..5 {
            assert_eq!(aidb_batch_put(batch, key, 1, key, 1, null), AIDB_OK);
        }
        options.sync = 1;
        assert_eq!(aidb_write(store.db, batch, &options, null), AIDB_OK);
        assert_eq!(
            options.sequence_out.read(),
            7,
            "the number of the last operation"
        );
        assert_eq!(newest(store.db), 7);
        let long = 16 << 20;
        let keys = vec![0_u8; long + 1];
        let refused = aidb_put(store.db, data(&keys), long + 1, key, 1, &options, null);
        assert_eq!(refused, AIDB_INVALID_ARGUMENT);
        assert_eq!(options.sequence_out.read(), 7, "only with AIDB_OK");
        // A program that was built before the structure had this field has other data after its structure.
        options.struct_size = 16;
        assert_eq!(aidb_put(store.db, key, 1, key, 1, &options, null), AIDB_OK);
        assert_eq!(options.sequence_out.read(), 7);
        assert_eq!(newest(store.db), 8);
        aidb_batch_free(batch);
    }
    assert_eq!(store.close(), AIDB_OK);
}

unsafe extern "C" fn count_put(
    context: *mut c_void,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
) {
    // SAFETY: the test passes a list, and the bytes live for the call.
    unsafe {
        let list = &mut *context.cast::<Vec<(Vec<u8>, Option<Vec<u8>>)>>();
        let key = std::slice::from_raw_parts(key.cast(), key_len);
        let value = std::slice::from_raw_parts(value.cast(), value_len);
        list.push((key.to_vec(), Some(value.to_vec())));
    }
}

unsafe extern "C" fn count_delete(context: *mut c_void, key: *const c_char, key_len: usize) {
    // SAFETY: as above.
    unsafe {
        let list = &mut *context.cast::<Vec<(Vec<u8>, Option<Vec<u8>>)>>();
        let key = std::slice::from_raw_parts(key.cast(), key_len);
        list.push((key.to_vec(), None));
    }
}

#[test]
fn batches_are_built_walked_and_written() {
    let store = Store::new();
    let (batch, other) = (aidb_batch_new(), aidb_batch_new());
    let null = ptr::null_mut();
    let mut walked: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    // SAFETY: lengths are right, the context is the list that the callbacks expect.
    unsafe {
        assert_eq!(
            aidb_batch_put(batch, data(b"k"), 1, data(b"v"), 1, null),
            AIDB_OK
        );
        assert_eq!(aidb_batch_delete(other, data(b"gone"), 4, null), AIDB_OK);
        assert_eq!(aidb_batch_append(batch, other, null), AIDB_OK);
        let context = (&raw mut walked).cast();
        let status = aidb_batch_iterate(batch, context, Some(count_put), Some(count_delete), null);
        assert_eq!(status, AIDB_OK);
        assert_eq!(
            aidb_batch_iterate(batch, null.cast(), None, None, null),
            AIDB_OK
        );
        assert_eq!(aidb_batch_append(batch, batch, null), AIDB_OK);
        assert_eq!(aidb_batch_count(batch), 4);
        assert!(aidb_batch_byte_size(batch) > aidb_batch_byte_size(other));
        assert_eq!(aidb_write(store.db, batch, ptr::null(), null), AIDB_OK);
        assert_eq!(store.get(b"k", ptr::null()).unwrap(), b"v");
        assert_eq!(aidb_batch_clear(batch, null), AIDB_OK);
        assert_eq!(aidb_batch_count(batch), 0);
        let long = aidb::MAX_KEY_BYTES + 1;
        let key = vec![0; long];
        let status = aidb_batch_delete(batch, data(&key), long, null);
        assert_eq!(status, AIDB_INVALID_ARGUMENT);
        aidb_batch_free(batch);
        aidb_batch_free(batch);
        assert_eq!(aidb_batch_clear(batch, null), AIDB_CLOSED);
        assert_eq!(aidb_batch_append(other, batch, null), AIDB_CLOSED);
        assert_eq!(aidb_batch_count(batch), 0);
        assert_eq!(aidb_batch_byte_size(batch), 0);
        aidb_batch_free(other);
    }
    let expected = [
        (b"k".to_vec(), Some(b"v".to_vec())),
        (b"gone".to_vec(), None),
    ];
    assert_eq!(walked, expected);
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn iterators_move_and_tell_where_they_stand() {
    let store = Store::new();
    for key in [b"a1", b"b1", b"b2", b"b3"] {
        store.put(key, &key[1..]);
    }
    let null = ptr::null_mut();
    let iterator = store.iterator(b"b");
    let at = |key: &[u8]| {
        assert_eq!(lent(aidb_iter_key, iterator).as_deref(), Some(key));
        assert_eq!(lent(aidb_iter_value, iterator).as_deref(), Some(&key[1..]));
    };
    // SAFETY: lengths are right.
    unsafe {
        assert!(!aidb_iter_valid(iterator));
        assert!(aidb_iter_key(iterator, ptr::null_mut()).is_null());
        assert_eq!(aidb_iter_next(iterator, null), AIDB_OK);
        at(b"b1");
        assert_eq!(aidb_iter_prev(iterator, null), AIDB_NOT_FOUND);
        assert_eq!(aidb_iter_next(iterator, null), AIDB_OK);
        at(b"b1");
        assert_eq!(aidb_iter_last(iterator, null), AIDB_OK);
        at(b"b3");
        assert_eq!(aidb_iter_first(iterator, null), AIDB_OK);
        assert_eq!(aidb_iter_seek(iterator, data(b"b11"), 3, null), AIDB_OK);
        at(b"b2");
        assert_eq!(
            aidb_iter_seek_for_prev(iterator, data(b"b29"), 3, null),
            AIDB_OK
        );
        at(b"b2");
        assert!(aidb_iter_valid(iterator));
        assert_eq!(aidb_iter_status(iterator, null), AIDB_OK);
        aidb_iter_free(iterator);

        let mut options = aidb_iter_options {
            struct_size: size_of::<aidb_iter_options>(),
            snapshot: ptr::null(),
            lower_bound: data(b"b"),
            lower_bound_len: 1,
            upper_bound: data(b"b3"),
            upper_bound_len: 2,
            prefix: ptr::null(),
            prefix_len: 0,
            reverse: 1,
            keys: 1,
            values: 0,
            fill_cache: 0,
        };
        let mut reverse = ptr::null_mut();
        assert_eq!(
            aidb_iter_create(store.db, &options, &mut reverse, null),
            AIDB_OK
        );
        assert_eq!(aidb_iter_next(reverse, null), AIDB_OK);
        assert_eq!(lent(aidb_iter_key, reverse).unwrap(), b"b2");
        assert_eq!(lent(aidb_iter_value, reverse).unwrap(), b"");
        aidb_iter_free(reverse);
        options.prefix_len = 1;
        let status = aidb_iter_create(store.db, &options, &mut reverse, null);
        assert_eq!(status, AIDB_INVALID_ARGUMENT);
        let (start, none) = (data(b"b2"), ptr::null());
        let status = aidb_iter_range(store.db, start, 2, none, 0, &mut reverse, null);
        assert_eq!(status, AIDB_OK);
        assert_eq!(aidb_iter_first(reverse, null), AIDB_OK);
        assert_eq!(lent(aidb_iter_key, reverse).unwrap(), b"b2");
        aidb_iter_free(reverse);
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn many_entries_fill_a_buffer_as_far_as_it_goes() {
    let store = Store::new();
    for number in 0..10 {
        store.put(format!("k{number}").as_bytes(), &vec![b'x'; number]);
    }
    let iterator = store.iterator(b"k");
    let mut entries = vec![
        aidb_entry {
            key_offset: 0,
            key_len: 0,
            value_offset: 0,
            value_len: 0,
        };
        4
    ];
    let mut buffer = [0u8; 16];
    let (mut count, mut needed) = (77, 77);
    let mut seen = Vec::new();
    let mut many = |max_entries, buffer_size, count: &mut usize, needed: &mut usize| {
        // SAFETY: the sizes passed are at most those of the arrays, or refused before they are used.
        let status = unsafe {
            let places = buffer.as_mut_ptr().cast();
            let into = entries.as_mut_ptr();
            let null = ptr::null_mut();
            aidb_iter_next_many(
                iterator,
                into,
                max_entries,
                places,
                buffer_size,
                count,
                needed,
                null,
            )
        };
        for entry in &entries[..*count] {
            let key = &buffer[entry.key_offset..][..entry.key_len];
            let value = &buffer[entry.value_offset..][..entry.value_len];
            seen.push((String::from_utf8(key.to_vec()).unwrap(), value.len()));
        }
        status
    };
    assert_eq!(many(0, 16, &mut count, &mut needed), AIDB_INVALID_ARGUMENT);
    assert_eq!((count, needed), (0, 0));
    assert_eq!(
        many(4, usize::MAX, &mut count, &mut needed),
        AIDB_INVALID_ARGUMENT
    );
    assert_eq!(many(4, 1, &mut count, &mut needed), AIDB_INVALID_ARGUMENT);
    assert_eq!((count, needed), (0, 2));
    let mut calls = 0;
    while many(4, 16, &mut count, &mut needed) == AIDB_OK {
        assert!(count > 0 && needed == 0);
        calls += 1;
    }
    assert_eq!(many(4, 16, &mut count, &mut needed), AIDB_NOT_FOUND);
    let expected: Vec<_> = (0..10)
        .map(|number| (format!("k{number}"), number))
        .collect();
    assert_eq!(seen, expected);
    assert!((3..10).contains(&calls), "{calls}");
    // SAFETY: a NULL place is refused.
    unsafe {
        let (null, none) = (ptr::null_mut(), ptr::null_mut());
        let status = aidb_iter_next_many(
            iterator,
            forged(8),
            1,
            none,
            0,
            ptr::null_mut(),
            none.cast(),
            null,
        );
        assert_eq!(status, AIDB_INVALID_ARGUMENT);
        aidb_iter_free(iterator);
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn snapshots_and_iterators_outlive_their_database() {
    let mut store = Store::new();
    store.put(b"k", b"old");
    let mut snapshot = ptr::null_mut();
    let null = ptr::null_mut();
    // SAFETY: the outputs are local places.
    unsafe {
        assert_eq!(aidb_snapshot_create(store.db, &mut snapshot, null), AIDB_OK);
        assert_eq!(aidb_snapshot_sequence(snapshot), 1);
        store.put(b"k", b"new");
        let options = aidb_read_options {
            struct_size: size_of::<aidb_read_options>(),
            snapshot,
            fill_cache: 1,
            reserved: 0,
        };
        assert_eq!(store.get(b"k", &options).unwrap(), b"old");
        let iterator = store.iterator(b"");
        assert_eq!(aidb_iter_first(iterator, null), AIDB_OK);
        assert_eq!(store.close(), AIDB_OK);
        assert_eq!(store.close(), AIDB_CLOSED);
        assert!(aidb_is_closed(store.db));
        assert_eq!(store.put(b"k", b"v"), AIDB_CLOSED);
        assert_eq!(aidb_iter_next(iterator, null), AIDB_CLOSED);
        store.open();
        assert_eq!(
            store.get(b"k", &options),
            Err(AIDB_INVALID_ARGUMENT),
            "of another opening"
        );
        assert_eq!(store.get(b"k", ptr::null()).unwrap(), b"new");
        aidb_snapshot_release(snapshot);
        assert_eq!(aidb_snapshot_sequence(snapshot), 0);
        assert_eq!(store.get(b"k", &options), Err(AIDB_CLOSED));
        aidb_iter_free(iterator);
        assert_eq!(aidb_iter_status(iterator, null), AIDB_CLOSED);
        assert!(!aidb_iter_valid(iterator));
    }
    assert_eq!(store.close(), AIDB_OK);
}

#[test]
fn reports_and_maintenance_are_reachable() {
    let store = Store::new();
    let null = ptr::null_mut();
    let (mut text, mut size) = (ptr::null_mut(), 0);
    for number in 0..100u8 {
        store.put(&[number], &[number; 100]);
    }
    // SAFETY: the outputs are local places.
    unsafe {
        assert_eq!(aidb_flush(store.db, null), AIDB_OK);
        let (all, none) = (data(b"\xff"), ptr::null());
        let status = aidb_approximate_size(store.db, none, 0, all, 1, &mut size, null);
        assert_eq!(status, AIDB_OK);
        assert!(size > 0);
        assert_eq!(
            aidb_compact_range(store.db, none, 0, none, 0, null),
            AIDB_OK
        );
        assert_eq!(
            aidb_compact_range(store.db, none, 1, none, 0, null),
            AIDB_INVALID_ARGUMENT
        );
        assert_eq!(aidb_stats_json(store.db, &mut text, null), AIDB_OK);
        assert!(CStr::from_ptr(text).to_str().unwrap().starts_with('{'));
        aidb_free(text.cast());
        assert_eq!(aidb_path(store.db, &mut text, null), AIDB_OK);
        assert_eq!(CStr::from_ptr(text), &*store.path);
        aidb_free(text.cast());
        let status = aidb_property(store.db, c"no such name".as_ptr(), &mut text, null);
        assert_eq!(status, AIDB_NOT_FOUND);
        assert_eq!(
            aidb_property(store.db, ptr::null(), &mut text, null),
            AIDB_INVALID_ARGUMENT
        );
        let mut error = ptr::null_mut();
        assert_eq!(
            aidb_destroy(store.path.as_ptr(), ptr::null(), &mut error),
            AIDB_LOCKED
        );
        assert_eq!(aidb_error_code(error), AIDB_LOCKED);
        assert!(aidb_error_is_retryable(error));
        aidb_error_free(error);
        assert_eq!(aidb_error_code(error), AIDB_CLOSED);
        assert_eq!(store.close(), AIDB_OK);
        assert_eq!(
            aidb_destroy(store.path.as_ptr(), ptr::null(), null),
            AIDB_OK
        );
    }
}

#[test]
fn a_copy_is_made_checked_and_repaired() {
    let store = Store::new();
    store.put(b"k", b"v");
    let beside = |name: &str| CString::new(format!("{}-{name}", store.path.to_str().unwrap()));
    let (copy, into) = (beside("copy").unwrap(), beside("into").unwrap());
    unsafe extern "C" fn count(context: *mut c_void, done: u64, total: u64) -> i32 {
        assert!(done <= total);
        // SAFETY: the context is a local number.
        unsafe { *context.cast::<i32>() += 1 };
        0
    }
    unsafe extern "C" fn end(_: *mut c_void, _: u64, _: u64) -> i32 {
        1
    }
    unsafe extern "C" fn close(context: *mut c_void, _: u64, _: u64) -> i32 {
        // SAFETY: any handle may be closed.
        let status = unsafe { aidb_close(context.cast(), ptr::null_mut()) };
        assert_eq!(status, AIDB_OK);
        0
    }
    let null = ptr::null_mut();
    let (mut is_ok, mut report, mut calls) = (false, ptr::null_mut(), 0);
    // SAFETY: paths are C strings, the outputs local places.
    unsafe {
        assert_eq!(aidb_checkpoint(store.db, copy.as_ptr(), null), AIDB_OK);
        let again = aidb_checkpoint(store.db, copy.as_ptr(), null);
        assert_eq!(again, AIDB_INVALID_ARGUMENT);
        let nowhere = aidb_checkpoint(store.db, ptr::null(), null);
        assert_eq!(nowhere, AIDB_INVALID_ARGUMENT);

        let context = (&raw mut calls).cast();
        let status = aidb_verify(
            store.db,
            Some(count),
            context,
            &mut is_ok,
            &mut report,
            null,
        );
        assert_eq!((status, is_ok), (AIDB_OK, true));
        assert!(calls >= 2);
        let json = CStr::from_ptr(report).to_str().unwrap();
        assert!(json.starts_with("{\"is_ok\":true,"), "{json}");
        aidb_free(report.cast());
        let status = aidb_verify(
            store.db,
            Some(end),
            null.cast(),
            &mut is_ok,
            null.cast(),
            null,
        );
        assert_eq!((status, is_ok), (AIDB_OK, false));
        let status = aidb_verify(store.db, None, null.cast(), null.cast(), null.cast(), null);
        assert_eq!(status, AIDB_OK);

        let repair = |path: &CStr, into: &CStr, is_ok: *mut bool, report: *mut *mut c_char| {
            aidb_repair(
                path.as_ptr(),
                into.as_ptr(),
                ptr::null(),
                is_ok,
                report,
                null,
            )
        };
        assert_eq!(
            repair(&store.path, &into, null.cast(), null.cast()),
            AIDB_LOCKED
        );
        std::fs::remove_file(format!("{}/CURRENT", copy.to_str().unwrap())).unwrap();
        assert_eq!(repair(&copy, &into, &mut is_ok, &mut report), AIDB_OK);
        assert!(!is_ok);
        let json = CStr::from_ptr(report).to_str().unwrap();
        assert!(json.contains("\"entries_written\":1,"), "{json}");
        assert!(json.contains("\"smallest_key\":null"), "{json}");
        aidb_free(report.cast());
        assert_eq!(
            repair(&copy, &into, null.cast(), null.cast()),
            AIDB_INVALID_ARGUMENT
        );
        let nothing = aidb_repair(
            ptr::null(),
            into.as_ptr(),
            ptr::null(),
            &mut is_ok,
            null.cast(),
            null,
        );
        assert_eq!(nothing, AIDB_INVALID_ARGUMENT);
        let mut db = ptr::null_mut();
        assert_eq!(
            aidb_open(into.as_ptr(), ptr::null(), &mut db, null),
            AIDB_OK
        );
        assert_eq!(aidb_contains(db, data(b"k"), 1, ptr::null(), null), AIDB_OK);
        assert_eq!(aidb_close(db, null), AIDB_OK);

        let status = aidb_verify(
            store.db,
            Some(close),
            store.db.cast(),
            &mut is_ok,
            null.cast(),
            null,
        );
        assert_eq!(status, AIDB_CLOSED);
        assert_eq!(aidb_checkpoint(store.db, into.as_ptr(), null), AIDB_CLOSED);
    }
}
