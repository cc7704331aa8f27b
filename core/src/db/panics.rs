//! Runs the work of background threads so that a panic becomes an error, which a caller gets.

use crate::error::{Error, Result};

/// Runs background work. Turns a panic in it into an error, so that the thread lives on.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Error::internal(format!("background work panicked: {text}")))
    })
}
