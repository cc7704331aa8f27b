//! The clock of an environment in memory: the system's, until a test stops it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::sync::atomic::{AtomicU64, Ordering};

/// The time if the clock was not stopped.
const CLOCK_RUNS: u64 = u64::MAX;

pub(super) struct Clock {
    started: Instant,
    held: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            started: Instant::now(),
            held: AtomicU64::new(CLOCK_RUNS),
        }
    }

    /// Stops it at `micros`. `None` lets it run again.
    pub(super) fn hold(&self, micros: Option<u64>) {
        let value = micros.unwrap_or(CLOCK_RUNS);
        self.held.store(value, Ordering::SeqCst);
    }

    fn held(&self) -> Option<u64> {
        let value = self.held.load(Ordering::SeqCst);
        (value != CLOCK_RUNS).then_some(value)
    }

    pub(super) fn now_micros(&self) -> u64 {
        self.held()
            .unwrap_or_else(|| self.started.elapsed().as_micros() as u64)
    }

    pub(super) fn wall_micros(&self) -> u64 {
        self.held().unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_micros() as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::env::{Env, MemEnv};

    #[test]
    fn a_held_clock_stands_still() {
        let env = MemEnv::new();
        env.hold_clock(Some(5));
        assert_eq!((env.now_micros(), env.wall_micros()), (5, 5));
        env.hold_clock(None);
        assert!(env.wall_micros() > 5);
    }
}
