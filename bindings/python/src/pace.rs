//! Whether a disk is quick enough for the caller's own thread to wait for it.
//!
//! Handing a synced write to another thread, so that the caller can check for signals, costs a sixth of the
//! write's time on a good disk. So the caller waits itself, but only if the disk was quick just now.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A write that took longer than this was not quick.
const QUICK: Duration = Duration::from_millis(20);
/// This long after a quick write another one is expected to be quick. After a longer pause there may be much unsynced
/// data.
const TRUSTED: Duration = Duration::from_secs(1);

/// How quick the synced writes of a database are.
#[derive(Default)]
pub(crate) struct Pace {
    /// Until when they are expected to be quick. No thread waits for this lock: after a fork it may stay taken for
    /// ever.
    trusted_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// Whether a write will probably end soon.
    pub(crate) fn is_quick(&self, sync: bool) -> bool {
        !sync || {
            let until = self.trusted_until.try_lock().map_or(None, |until| *until);
            until.is_some_and(|until| Instant::now() < until)
        }
    }

    /// Makes a write; if it is synced, notes whether it was quick.
    pub(crate) fn of<T>(&self, sync: bool, write: impl FnOnce() -> T) -> T {
        if !sync {
            return write();
        }
        let begin = Instant::now();
        let outcome = write();
        let end = Instant::now();
        if let Ok(mut until) = self.trusted_until.try_lock() {
            *until = (end - begin < QUICK).then(|| end + TRUSTED);
        }
        outcome
    }
}
