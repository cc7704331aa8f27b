//! Tells the database that a reader has passed a long run of garbage.
//!
//! Ringing takes only the alarm's own lock, so a reader may do it anywhere.

use crate::memory;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// How many hidden entries in a row a reader passes before it rings.
pub(crate) const LONG_RUN: u32 = 1 << 15;

/// Rung by readers, checked by one thread.
pub(crate) struct Alarm {
    is_rung: AtomicBool,
    key: Mutex<Option<Vec<u8>>>,
    /// Called after the alarm was rung; must not lock or block.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Alarm {
    /// An alarm that calls `wake` when it is rung.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Alarm> {
        Arc::new(Alarm {
            is_rung: AtomicBool::new(false),
            key: Mutex::new(None),
            wake: Box::new(wake),
        })
    }

    /// Reports a run with `user_key` in its middle. Only the first of several is kept until it has been
    /// handled.
    #[cold]
    pub(crate) fn ring(&self, user_key: &[u8]) {
        let mut key = self.key.lock();
        if key.is_some() {
            return;
        }
        // Without memory for the key, the next walk that comes there rings again.
        let Ok(copy) = memory::copy_of(user_key, "a key") else {
            return;
        };
        *key = Some(copy);
        drop(key);
        self.is_rung.store(true, Ordering::Release);
        (self.wake)();
    }

    /// Whether it was rung since the last call.
    pub(crate) fn take_rung(&self) -> bool {
        self.is_rung.swap(false, Ordering::Acquire)
    }

    /// The key for which it was rung, until [`Alarm::forget`].
    pub(crate) fn key(&self) -> Option<Vec<u8>> {
        let key = self.key.lock();
        memory::copy_of(key.as_ref()?, "a key").ok()
    }

    /// Notes that the run has been handled.
    pub(crate) fn forget(&self) {
        *self.key.lock() = None;
    }
}
