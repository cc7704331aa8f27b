//! `aidb_pinned`: a value lent without a copy.

use std::ffi::c_char;

use crate::guard::{quietly, releasing};
use crate::handle::{self, aidb_pinned};

/// The bytes of the value; aidb_pinned_len is their number; not zero-terminated. Valid until the value is
/// freed. NULL for a handle that is not a live value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_pinned_data(pinned: *const aidb_pinned) -> *const c_char {
    quietly(std::ptr::null(), || {
        Ok(handle::get(pinned, "pinned")?.as_ptr().cast())
    })
}

/// The number of bytes of the value; 0 for a handle that is not a live value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_pinned_len(pinned: *const aidb_pinned) -> usize {
    quietly(0, || Ok(handle::get(pinned, "pinned")?.len()))
}

/// Releases a value; NULL and a value that was freed before are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_pinned_free(pinned: *mut aidb_pinned) {
    releasing(|| handle::take(pinned, "pinned"));
}
