//! Runs the work of background threads so that a panic becomes an error, which a caller gets.

use crate::error::{Error, Result};

/// Runs background work. Turns a panic in it into an error, so that the thread lives on.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::panicked("background work panicked", &*panic)))
}
