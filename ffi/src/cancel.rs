//! `pthread_cancel`, which must not end a thread inside the engine: its locks would stay taken, and unwinding by the
//! system's own means must not pass through Rust.
//!
//! A thread is ended at a cancellation point, a function of the C library that may wait for the disk or for another thread.
//! So every call that may reach one holds cancellation off, and lets it in again when it returns. For a read that memory can
//! answer that would be a good part of its cost: what of it reaches the system holds cancellation off by itself (OS-5 of core's
//! `env/os.rs`). That a thread which does
//! nothing but call AiDb can be cancelled at all, a call begins with a cancellation point of its own.

use std::ffi::c_int;

/// Ends the calling thread if it has been cancelled, and unwinds it by the system's means. No frame between here and the C
/// program may have anything to drop.
#[inline]
pub(crate) fn point() {
    #[cfg(all(any(target_os = "linux", target_os = "macos"), not(miri)))]
    {
        unsafe extern "C-unwind" {
            /// POSIX; the crate libc does not declare it.
            fn pthread_testcancel();
        }
        // SAFETY: the frames above are those of `guard` and of an exported `extern "C-unwind"` function, which own nothing.
        unsafe { pthread_testcancel() };
    }
}

/// Holds cancellation of the calling thread off until it is dropped, in the same thread.
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

/// Sets whether the calling thread may be cancelled; what was set before.
#[cfg(all(any(target_os = "linux", target_os = "macos"), not(miri)))]
#[inline]
fn set_state(state: c_int) -> c_int {
    unsafe extern "C" {
        /// POSIX; the crate libc does not declare it.
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    let mut before = DISABLE;
    // SAFETY: the call stores the former state in `before`, and changes nothing but this thread's own state. It is no
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
        assert_eq!(set_state(ENABLE), ENABLE, "as threads are born");
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
