//! The version of the library.

use std::ffi::{CStr, c_char};

const VERSION: &CStr = {
    let bytes = concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes();
    match CStr::from_bytes_with_nul(bytes) {
        Ok(version) => version,
        Err(_) => panic!("a version has no zero byte inside"),
    }
};

/// The version of the library in use, "0.1.0"; AIDB_VERSION is the version of the header.
#[unsafe(no_mangle)]
pub extern "C" fn aidb_version() -> *const c_char {
    VERSION.as_ptr()
}
