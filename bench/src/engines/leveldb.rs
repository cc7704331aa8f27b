//! LevelDB 1.23 through its C interface, loaded at run time from the file that `LEVELDB_LIBRARY` names.
//!
//! The common configuration, except that LevelDB has one background thread only. It has no flush call; compacting a
//! range after every key writes the memtable out and touches nothing else. Many keys at once are read one by one in one
//! snapshot; values are copied, since its interface offers nothing else.

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::path::Path;
use std::ptr;

use libloading::Library;

use super::*;

type Handle = *mut c_void;
type Message = *mut *mut c_char;

/// The functions in use, looked up once, with their types from leveldb/c.h 1.23.
macro_rules! interface {
    ($($name:ident($($kind:ty),*) $(-> $result:ty)?;)*) => {
        struct Interface {
            $($name: unsafe extern "C" fn($($kind),*) $(-> $result)?,)*
        }

        impl Interface {
            fn load(file: &str) -> Result<Interface, Failure> {
                // SAFETY: loading LevelDB runs only the initialisers of C++ objects, and the types below are those
                // of its header. The library is never unloaded: LevelDB's background thread outlives its databases.
                unsafe {
                    let library: &'static Library = Box::leak(Box::new(Library::new(file)?));
                    Ok(Interface {
                        $($name: *library.get(concat!("leveldb_", stringify!($name), "\0").as_bytes())?,)*
                    })
                }
            }
        }
    };
}

interface! {
    options_create() -> Handle;
    options_set_create_if_missing(Handle, c_uchar);
    options_set_write_buffer_size(Handle, usize);
    options_set_block_size(Handle, usize);
    options_set_compression(Handle, c_int);
    options_set_cache(Handle, Handle);
    options_set_filter_policy(Handle, Handle);
    cache_create_lru(usize) -> Handle;
    filterpolicy_create_bloom(c_int) -> Handle;
    readoptions_create() -> Handle;
    writeoptions_create() -> Handle;
    open(Handle, *const c_char, Message) -> Handle;
    close(Handle);
    put(Handle, Handle, *const u8, usize, *const u8, usize, Message);
    get(Handle, Handle, *const u8, usize, *mut usize, Message) -> *mut c_char;
    delete(Handle, Handle, *const u8, usize, Message);
    write(Handle, Handle, Handle, Message);
    writebatch_create() -> Handle;
    writebatch_put(Handle, *const u8, usize, *const u8, usize);
    writebatch_destroy(Handle);
    create_snapshot(Handle) -> Handle;
    release_snapshot(Handle, Handle);
    readoptions_set_snapshot(Handle, Handle);
    readoptions_destroy(Handle);
    writeoptions_set_sync(Handle, c_uchar);
    compact_range(Handle, *const u8, usize, *const u8, usize);
    create_iterator(Handle, Handle) -> Handle;
    iter_seek_to_first(Handle);
    iter_seek_to_last(Handle);
    iter_seek(Handle, *const u8, usize);
    iter_prev(Handle);
    iter_get_error(Handle, Message);
    iter_valid(Handle) -> c_uchar;
    iter_next(Handle);
    iter_key(Handle, *mut usize) -> *const u8;
    iter_value(Handle, *mut usize) -> *const u8;
    iter_destroy(Handle);
    free(Handle);
}

/// An open LevelDB.
pub struct LevelDb {
    api: Interface,
    db: Handle,
    read: Handle,
    write: Handle,
}

// SAFETY: LevelDB locks its databases itself; the options are only read once they are set.
unsafe impl Send for LevelDb {}
// SAFETY: as above.
unsafe impl Sync for LevelDb {}

impl LevelDb {
    pub fn open(path: &Path, config: Config<'_>) -> Result<LevelDb, Failure> {
        let file =
            std::env::var("LEVELDB_LIBRARY").map_err(|_| "LEVELDB_LIBRARY names no library")?;
        let api = Interface::load(&file)?;
        let path = CString::new(path.to_string_lossy().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: each handle comes from the call that makes its kind, and none is freed before the process ends.
        let (db, read, write) = unsafe {
            let options = (api.options_create)();
            (api.options_set_create_if_missing)(options, 1);
            (api.options_set_write_buffer_size)(options, MEMTABLE_BYTES);
            (api.options_set_block_size)(options, BLOCK_BYTES);
            (api.options_set_compression)(options, 1);
            (api.options_set_cache)(options, (api.cache_create_lru)(config.cache_bytes));
            let bloom = (api.filterpolicy_create_bloom)(BLOOM_BITS as c_int);
            (api.options_set_filter_policy)(options, bloom);
            let db = (api.open)(options, path.as_ptr(), &mut error);
            let write = (api.writeoptions_create)();
            (api.writeoptions_set_sync)(write, config.synced.into());
            (db, (api.readoptions_create)(), write)
        };
        check(error)?;
        Ok(LevelDb {
            api,
            db,
            read,
            write,
        })
    }

    /// The length of the value, read with the caller's options.
    fn get_with(&self, read: Handle, key: &[u8]) -> Result<Option<usize>, Failure> {
        let (mut length, mut error) = (0, ptr::null_mut());
        // SAFETY: the handles are open; the value has `length` bytes until it is freed.
        unsafe {
            let (key_at, key_len) = (key.as_ptr(), key.len());
            let value = (self.api.get)(self.db, read, key_at, key_len, &mut length, &mut error);
            check(error)?;
            if value.is_null() {
                return Ok(None);
            }
            touch(std::slice::from_raw_parts(value.cast::<u8>(), length));
            (self.api.free)(value.cast());
        }
        Ok(Some(length))
    }
}

/// The message of a failed call.
fn check(error: *mut c_char) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: LevelDB returns a C string; it leaks, until the process ends.
    let message = unsafe { CStr::from_ptr(error) };
    Err(message.to_string_lossy().into_owned().into())
}

impl Drop for LevelDb {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nothing uses it after this.
        unsafe { (self.api.close)(self.db) }
    }
}

impl Engine for LevelDb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles are open; LevelDB copies key and value.
        unsafe {
            let (key_at, value_at) = (key.as_ptr(), value.as_ptr());
            (self.api.put)(
                self.db,
                self.write,
                key_at,
                key.len(),
                value_at,
                value.len(),
                &mut error,
            );
        }
        check(error)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles are open; LevelDB copies the key.
        unsafe { (self.api.delete)(self.db, self.write, key.as_ptr(), key.len(), &mut error) };
        check(error)
    }

    fn put_batch(&self, entries: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut error = ptr::null_mut();
        // SAFETY: the handles are open, the batch lives until it is destroyed, and key and value are copied into it.
        unsafe {
            let batch = (self.api.writebatch_create)();
            for (key, value) in entries {
                let (key_at, value_at) = (key.as_ptr(), value.as_ptr());
                (self.api.writebatch_put)(batch, key_at, key.len(), value_at, value.len());
            }
            (self.api.write)(self.db, self.write, batch, &mut error);
            (self.api.writebatch_destroy)(batch);
        }
        check(error)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        self.get_with(self.read, key)
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<usize, Failure> {
        let mut found = 0;
        // SAFETY: the handles are open; snapshot and options live until the end of the block, after every read.
        unsafe {
            let snapshot = (self.api.create_snapshot)(self.db);
            let read = (self.api.readoptions_create)();
            (self.api.readoptions_set_snapshot)(read, snapshot);
            for key in keys {
                found += usize::from(self.get_with(read, key)?.is_some());
            }
            (self.api.readoptions_destroy)(read);
            (self.api.release_snapshot)(self.db, snapshot);
        }
        Ok(found)
    }

    fn walk(&self, start: Start<'_>, backwards: bool, most: usize) -> Result<usize, Failure> {
        let (mut met, mut length, mut error) = (0, 0, ptr::null_mut());
        // SAFETY: the iterator is valid until it is destroyed, and lends key and value until it moves.
        unsafe {
            let iterator = (self.api.create_iterator)(self.db, self.read);
            let lent = |at: *const u8, length: usize| touch(std::slice::from_raw_parts(at, length));
            match (start, backwards) {
                (Start::End, false) => (self.api.iter_seek_to_first)(iterator),
                (Start::End, true) => (self.api.iter_seek_to_last)(iterator),
                (Start::Key(key), _) => (self.api.iter_seek)(iterator, key.as_ptr(), key.len()),
            }
            if let (Start::Key(key), true) = (start, backwards) {
                // It found the first entry not before the key, but the walk needs the last one not after it.
                if (self.api.iter_valid)(iterator) == 0 {
                    (self.api.iter_seek_to_last)(iterator);
                } else {
                    let at = (self.api.iter_key)(iterator, &mut length);
                    if std::slice::from_raw_parts(at, length) != key {
                        (self.api.iter_prev)(iterator);
                    }
                }
            }
            while (self.api.iter_valid)(iterator) != 0 {
                let key = (self.api.iter_key)(iterator, &mut length);
                lent(key, length);
                let value = (self.api.iter_value)(iterator, &mut length);
                lent(value, length);
                met += 1;
                if met == most {
                    break;
                }
                match backwards {
                    false => (self.api.iter_next)(iterator),
                    true => (self.api.iter_prev)(iterator),
                }
            }
            (self.api.iter_get_error)(iterator, &mut error);
            (self.api.iter_destroy)(iterator);
        }
        check(error)?;
        Ok(met)
    }

    fn flush(&self) -> Result<(), Failure> {
        let behind = [0xff; 17];
        // SAFETY: the handle is open; both bounds are copied.
        unsafe { (self.api.compact_range)(self.db, behind.as_ptr(), behind.len(), ptr::null(), 0) }
        Ok(())
    }

    fn compact(&self) -> Result<(), Failure> {
        // SAFETY: the handle is open; NULL bounds mean everything.
        unsafe { (self.api.compact_range)(self.db, ptr::null(), 0, ptr::null(), 0) }
        Ok(())
    }
}
