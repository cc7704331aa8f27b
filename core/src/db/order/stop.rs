//! `StopUnlessDone`: what stops writing if a thread panics in the middle of a change that must be whole.

use super::Order;

/// Stops publication, and with it writing, if it is dropped before [`StopUnlessDone::done`]: a panic does that.
#[must_use = "dropping it stops writing"]
pub(in crate::db) struct StopUnlessDone<'a>(&'a Order);

impl<'a> StopUnlessDone<'a> {
    /// A change begins.
    pub(in crate::db) fn new(order: &'a Order) -> StopUnlessDone<'a> {
        StopUnlessDone(order)
    }

    /// The change is whole, or has left nothing.
    pub(in crate::db) fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for StopUnlessDone<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
