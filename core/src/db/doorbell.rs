//! What wakes the flush thread: a flag under a lock of its own.
//!
//! Ringing takes no other lock, so it is allowed anywhere, also in the `Drop` of the last reader of a table.

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

    /// Waits until the bell has been rung since the last wait.
    pub(super) fn wait(&self) {
        let mut rung = self.rung.lock();
        while !std::mem::take(&mut *rung) {
            self.ringing.wait(&mut rung);
        }
    }
}
