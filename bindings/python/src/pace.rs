//! Whether a disk is quick enough for the caller's own thread to wait for it.
//!
//! Handing a synced write to another thread, so that the caller can check for signals, costs a sixth of the
//! write's time on a good disk. So the caller waits itself, but only if the disk was quick just now.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A write that took longer was not quick.
const QUICK: Duration = Duration::from_millis(20);
/// How long after one quick write another is expected to be quick: after a longer pause there may be much
/// unsynced data.
const TRUSTED: Duration = Duration::from_secs(1);

/// How the synced writes of a database go.
#[derive(Default)]
pub(crate) struct Pace {
    /// Until when they are taken for quick. Never waited for: another thread's hold on it may be a fork's to keep.
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

    /// Makes a write, and remembers how long it took if it is synced.
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
