//! A wall clock that the test sets: this program's own `clock_gettime`, which std and the engine call.
//!
//! The system's clock serves all processes, and setting it needs root; this clock is the process's own. The monotonic
//! clock is untouched.

use std::sync::atomic::{AtomicI64, Ordering};

/// Seconds added to the wall clock.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// Sets the wall clock `seconds` ahead of the system's, or behind it.
pub fn shift(seconds: i64) {
    OFFSET.store(seconds, Ordering::SeqCst);
}

/// Replaces the C library's function for everything that is linked into this program.
///
/// # Safety
///
/// `time` points to a writable `timespec`, as the C library demands.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    // SAFETY: the kernel checks `clock` and `time`, which the caller answers for.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).tv_sec += OFFSET.load(Ordering::SeqCst) };
    }
    result as i32
}
