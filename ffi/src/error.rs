//! `aidb_error`: why a call failed.

use std::ffi::c_char;

use aidb::Error;

use crate::guard::{quietly, releasing};
use crate::handle::{self, aidb_error};
use crate::status::{AIDB_CLOSED, AIDB_INVALID_ARGUMENT, AIDB_OK, aidb_status, status_of};

/// The status that the failed call returned; AIDB_OK for NULL, AIDB_CLOSED for an error that was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_error_code(error: *const aidb_error) -> aidb_status {
    if error.is_null() {
        return AIDB_OK;
    }
    let refused = |error: Error| match status_of(error.kind()) {
        AIDB_CLOSED => AIDB_CLOSED,
        _ => AIDB_INVALID_ARGUMENT,
    };
    quietly(AIDB_INVALID_ARGUMENT, || {
        Ok(handle::get(error, "error").map_or_else(refused, |report| report.status))
    })
}

/// What went wrong, in a sentence that names the file, option or argument. Never NULL; valid until the error is
/// freed. "no error" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_error_message(error: *const aidb_error) -> *const c_char {
    if error.is_null() {
        return c"no error".as_ptr();
    }
    quietly(c"this error object has been freed".as_ptr(), || {
        Ok(handle::get(error, "error")?.message.as_ptr())
    })
}

/// Whether the same call may succeed later without any change to it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_error_is_retryable(error: *const aidb_error) -> bool {
    quietly(false, || Ok(handle::get(error, "error")?.is_retryable))
}

/// Releases an error; NULL and an error that was freed before are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aidb_error_free(error: *mut aidb_error) {
    releasing(|| handle::take(error, "error"));
}
