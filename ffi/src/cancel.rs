//! `pthread_cancel`, which must not end a thread inside the engine: its locks would stay taken, and unwinding by the
//! C library must not pass through Rust frames.
//!
//! A cancelled thread ends at a cancellation point: a C library function that may wait for the disk or for
//! another thread. So every call that may reach one disables cancellation, and enables it again when it
//! returns. For a read that memory can answer, this would be a good part of the cost; instead, the parts of a
//! read that reach the system disable cancellation themselves (OS-5 of core's `env/os.rs`). A call begins with
//! a cancellation point of its own, so that a thread which does nothing but call AiDb can be cancelled at all.

use std::ffi::c_int;

/// Ends the calling thread if it has been cancelled; the C library unwinds it. No frame between here and the C
/// program may own anything to drop.
#[inline]
pub(crate) fn point() {
    #[cfg(all(any(target_os = "linux", target_os = "macos"), not(miri)))]
    {
        unsafe extern "C-unwind" {
            /// POSIX; the crate libc does not declare it.
            fn pthread_testcancel();
        }
        // SAFETY: the frames above belong to `guard` and to an exported `extern "C-unwind"` function; they own
        // nothing.
        unsafe { pthread_testcancel() };
    }
}

/// Disables cancellation of the calling thread until it is dropped, in the same thread.
pub(crate) struct HoldOff {
    before: c_int,
}

impl HoldOff {
    #[inline]
    pub(crate) fn begin() -> HoldOff {
        HoldOff {
            before: set_state(DISABLE),
        }
    }
}

impl Drop for HoldOff {
    #[inline]
    fn drop(&mut self) {
        set_state(self.before);
    }
}

#[cfg(target_os = "linux")]
const DISABLE: c_int = 1;
#[cfg(not(target_os = "linux"))]
const DISABLE: c_int = 0;

/// Sets whether the calling thread may be cancelled; returns the former setting.
#[cfg(all(any(target_os = "linux", target_os = "macos"), not(miri)))]
#[inline]
fn set_state(state: c_int) -> c_int {
    unsafe extern "C" {
        /// POSIX; the crate libc does not declare it.
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    let mut before = DISABLE;
    // SAFETY: the call stores the former state in `before`, and changes only this thread's own state. It is not a
    // cancellation point itself.
    unsafe { pthread_setcancelstate(state, &mut before) };
    before
}

#[cfg(not(all(any(target_os = "linux", target_os = "macos"), not(miri))))]
#[inline]
fn set_state(state: c_int) -> c_int {
    state
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    /// GUARD-3.
    #[test]
    fn cancellation_is_off_while_a_call_lasts_and_as_it_was_afterwards() {
        const ENABLE: c_int = 0;
        assert_eq!(set_state(ENABLE), ENABLE, "the initial state of a thread");
        {
            let _outer = HoldOff::begin();
            let inner = HoldOff::begin();
            assert_eq!(inner.before, DISABLE);
            drop(inner);
            assert_eq!(
                set_state(DISABLE),
                DISABLE,
                "a callback that calls changes nothing"
            );
        }
        assert_eq!(set_state(ENABLE), ENABLE);
    }
}
