//! The wall between Rust and C: panics and errors become codes.
//!
//! * GUARD-1  Nothing unwinds into C: a panic is caught and becomes `AIDB_INTERNAL`, or the default result of a
//!            function that returns no status.
//! * GUARD-2  Every call that has an `error_out` writes `*error_out`: NULL unless the call failed.
//! * GUARD-3  `pthread_cancel` never interrupts a call that may wait (`cancel.rs`): a cancelled thread ends
//!            before a call does anything, or after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use aidb::{Error, Result};

use crate::cancel::{self, HoldOff};
use crate::handle::{self, Object, aidb_error};
use crate::status::{AIDB_OK, Report, aidb_status, status_of};

/// Runs the body of a fallible function; `Ok` is its status, [`AIDB_OK`] or `AIDB_NOT_FOUND`. First ends the
/// thread if it has been cancelled: the exported function is `extern "C-unwind"`, and holds nothing yet.
///
/// # Safety
/// `error_out` is NULL or points to a place for a pointer.
#[inline]
pub(crate) unsafe fn guard(
    error_out: *mut *mut aidb_error,
    body: impl FnOnce() -> Result<aidb_status>,
) -> aidb_status {
    cancel::point();
    // SAFETY: the caller's own promise.
    unsafe { guard_uncancelled(error_out, body) }
}

/// [`guard`] for a body that only reads. It waits only while it opens, reads and closes files, and those operations
/// disable cancellation themselves.
///
/// # Safety
/// As for [`guard`].
#[inline]
pub(crate) unsafe fn guard_reading(
    error_out: *mut *mut aidb_error,
    body: impl FnOnce() -> Result<aidb_status>,
) -> aidb_status {
    cancel::point();
    // SAFETY: the caller's own promise.
    unsafe { answer(error_out, body) }
}

/// [`guard`] that never ends the thread: for functions that destructors call, because nothing may unwind out of
/// a C++ destructor.
///
/// # Safety
/// As for [`guard`].
pub(crate) unsafe fn guard_uncancelled(
    error_out: *mut *mut aidb_error,
    body: impl FnOnce() -> Result<aidb_status>,
) -> aidb_status {
    let _uncancelled = HoldOff::begin();
    // SAFETY: the caller's own promise.
    unsafe { answer(error_out, body) }
}

/// Runs a body and returns how it ended.
///
/// # Safety
/// As for [`guard`].
// The ABI ensures GUARD-1 for this function itself: a panic in it ends the process.
#[allow(improper_ctypes_definitions, reason = "called from Rust only")]
#[inline]
unsafe extern "C" fn answer<F: FnOnce() -> Result<aidb_status>>(
    error_out: *mut *mut aidb_error,
    body: F,
) -> aidb_status {
    // A panic can leave only objects half changed that have their own locks, and the engine has stopped those by
    // then.
    let outcome = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(Error::panicked("panic", &*panic)));
    let (status, error) = match outcome {
        Ok(status) => (status, ptr::null_mut()),
        Err(error) if error_out.is_null() => (status_of(error.kind()), ptr::null_mut()),
        Err(error) => {
            let report = Object::Error(Report::new(&error));
            // If no handle is free, the caller still gets the status.
            let handle = handle::insert(report).unwrap_or(ptr::null_mut());
            (status_of(error.kind()), handle)
        }
    };
    if !error_out.is_null() {
        // SAFETY: not NULL, and the caller vouches for the place.
        unsafe { error_out.write(error) };
    }
    status
}

/// [`guard`] for a body whose only successful status is [`AIDB_OK`].
///
/// # Safety
/// As for [`guard`].
pub(crate) unsafe fn guard_ok(
    error_out: *mut *mut aidb_error,
    body: impl FnOnce() -> Result<()>,
) -> aidb_status {
    // SAFETY: the caller's own promise.
    unsafe { guard(error_out, || body().map(|()| AIDB_OK)) }
}

/// Runs the body of a function that cannot report an error, and neither waits nor touches a file: any failure
/// becomes `otherwise`.
pub(crate) fn quietly<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => otherwise,
    }
}

/// Runs the body of a function that releases an object. Releasing the last object of a database may close its files.
pub(crate) fn releasing<T>(body: impl FnOnce() -> Result<T>) {
    let _uncancelled = HoldOff::begin();
    quietly((), || body().map(drop));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{AIDB_INTERNAL, AIDB_NOT_FOUND};
    use crate::tests::message;

    /// GUARD-1.
    #[test]
    fn a_panic_becomes_an_internal_error_with_its_text() {
        let mut error = ptr::null_mut();
        // SAFETY: `error` is a local place.
        let status = unsafe { guard_ok(&mut error, || panic!("out of cheese")) };
        assert_eq!(status, AIDB_INTERNAL);
        assert!(message(error).contains("out of cheese"));
        let number = 7;
        // SAFETY: NULL is allowed.
        let status = unsafe { guard_ok(ptr::null_mut(), || panic!("{number}")) };
        assert_eq!(status, AIDB_INTERNAL);
        // SAFETY: NULL is allowed.
        let status = unsafe { guard_ok(ptr::null_mut(), || std::panic::panic_any(7)) };
        assert_eq!(status, AIDB_INTERNAL);
        assert_eq!(quietly(3, || panic!()), 3);
    }

    /// GUARD-2.
    #[test]
    fn what_is_no_error_leaves_no_error_object() {
        let mut error = ptr::without_provenance_mut(8);
        // SAFETY: `error` is a local place.
        let status = unsafe { guard(&mut error, || Ok(AIDB_NOT_FOUND)) };
        assert_eq!((status, error), (AIDB_NOT_FOUND, ptr::null_mut()));
    }
}
