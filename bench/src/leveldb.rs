//! LevelDB through its C interface, loaded at run time from the file that `LEVELDB_LIBRARY` names.

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::hint::black_box;
use std::path::Path;
use std::ptr;

use libloading::Library;

use crate::{Failure, Store};

type Handle = *mut c_void;
type Message = *mut *mut c_char;

/// The functions in use, looked up once, with the types that leveldb/c.h 1.23 gives them.
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
    compact_range(Handle, *const u8, usize, *const u8, usize);
    create_iterator(Handle, Handle) -> Handle;
    iter_seek_to_first(Handle);
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

impl LevelDb {
    pub fn open(path: &Path) -> Result<LevelDb, Failure> {
        let file =
            std::env::var("LEVELDB_LIBRARY").map_err(|_| "LEVELDB_LIBRARY names no library")?;
        let api = Interface::load(&file)?;
        let path = CString::new(path.to_string_lossy().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: each handle comes from the call that makes its kind, and none is freed before the process ends.
        let (db, read, write) = unsafe {
            let options = (api.options_create)();
            (api.options_set_create_if_missing)(options, 1);
            (api.options_set_write_buffer_size)(options, 64 << 20);
            (api.options_set_block_size)(options, 4 << 10);
            (api.options_set_compression)(options, 1);
            (api.options_set_cache)(options, (api.cache_create_lru)(256 << 20));
            (api.options_set_filter_policy)(options, (api.filterpolicy_create_bloom)(10));
            let db = (api.open)(options, path.as_ptr(), &mut error);
            (db, (api.readoptions_create)(), (api.writeoptions_create)())
        };
        check(error)?;
        Ok(LevelDb {
            api,
            db,
            read,
            write,
        })
    }
}

/// The message of a failed call.
fn check(error: *mut c_char) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: LevelDB gives a C string; it leaks, which ends with the process.
    let message = unsafe { CStr::from_ptr(error) };
    Err(message.to_string_lossy().into_owned().into())
}

impl Drop for LevelDb {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nothing uses it behind this.
        unsafe { (self.api.close)(self.db) }
    }
}

impl Store for LevelDb {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
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

    fn get(&mut self, key: &[u8]) -> Result<Option<usize>, Failure> {
        let (mut length, mut error) = (0, ptr::null_mut());
        // SAFETY: the handles are open; the value has `length` bytes until it is freed.
        unsafe {
            let (key_at, key_len) = (key.as_ptr(), key.len());
            let value =
                (self.api.get)(self.db, self.read, key_at, key_len, &mut length, &mut error);
            check(error)?;
            if value.is_null() {
                return Ok(None);
            }
            black_box(std::slice::from_raw_parts(value.cast::<u8>(), length));
            (self.api.free)(value.cast());
        }
        Ok(Some(length))
    }

    fn scan(&mut self) -> Result<u64, Failure> {
        let (mut count, mut length) = (0, 0);
        // SAFETY: the iterator is valid until it is destroyed, and lends key and value until it moves.
        unsafe {
            let iterator = (self.api.create_iterator)(self.db, self.read);
            (self.api.iter_seek_to_first)(iterator);
            while (self.api.iter_valid)(iterator) != 0 {
                black_box((self.api.iter_key)(iterator, &mut length));
                black_box((self.api.iter_value)(iterator, &mut length));
                (self.api.iter_next)(iterator);
                count += 1;
            }
            (self.api.iter_destroy)(iterator);
        }
        Ok(count)
    }

    fn settle(&mut self) -> Result<(), Failure> {
        // SAFETY: the handle is open; NULL bounds mean everything.
        unsafe { (self.api.compact_range)(self.db, ptr::null(), 0, ptr::null(), 0) }
        Ok(())
    }
}
