//! Wakes the flush thread: a flag under its own lock.
//!
//! Ringing takes no other lock, so it is allowed anywhere, even in the `Drop` of the last reader of a table.

use std::time::Duration;

use crate::sync::{Condvar, Mutex};

/// A flag that one thread waits for and any thread sets.
#[derive(Default)]
pub(super) struct Doorbell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Doorbell {
    pub(super) fn ring(&self) {
        *self.rung.lock() = true;
        self.ringing.notify_one();
    }

    /// Waits until the bell has been rung since the last wait, at most for `limit`.
    pub(super) fn wait(&self, limit: Option<Duration>) {
        let mut rung = self.rung.lock();
        while !std::mem::take(&mut *rung) {
            match limit {
                None => self.ringing.wait(&mut rung),
                Some(limit) => {
                    self.ringing.wait_for(&mut rung, limit);
                    // It may have woken without a ring. Then its caller checks, finds no work, and
                    // waits again.
                    *rung = false;
                    return;
                }
            }
        }
    }
}
