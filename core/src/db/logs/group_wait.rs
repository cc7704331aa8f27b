//! How long a sync waits for more writers. This file only counts and decides; `sync_group.rs` waits.
//!
//! A sync starts when as many writers are waiting as were waiting, covered or not, when the last sync ended. For one
//! that does not return, it waits a fraction of the time of a sync. After such a vain wait, the next syncs do not wait,
//! and the more often waiting was in vain, the more syncs skip it. A writer that was alone for two syncs never waits.

use std::time::Duration;

/// A sync waits for more writers: for this part of the time that the last sync took, within these
/// bounds.
const WAIT_DIVISOR: u64 = 2;
const MIN_WAIT_MICROS: u64 = 20;
const MAX_WAIT_MICROS: u64 = 1_000;
/// After a wait in vain, at most this many syncs do not wait.
const MAX_SKIPS: u32 = 63;

/// What earlier syncs teach about waiting for more writers.
#[derive(Default)]
pub(super) struct GroupWait {
    /// How many writers were waiting when the last sync ended, and how long it took.
    expected_writers: usize,
    sync_micros: u64,
    /// How many of the next syncs do not wait, and how many were to follow the last wait in vain.
    skips: u32,
    last_skips: u32,
}

impl GroupWait {
    /// Whether a sync for `waiting` writers waits for no more.
    pub(super) fn is_over(&self, waiting: usize) -> bool {
        self.skips > 0 || waiting >= self.expected_writers
    }

    /// The longest time that a sync waits.
    pub(super) fn longest(&self) -> Duration {
        let micros = self.sync_micros / WAIT_DIVISOR;
        Duration::from_micros(micros.clamp(MIN_WAIT_MICROS, MAX_WAIT_MICROS))
    }

    /// A sync begins with `waiting` writers: learns whether the expected ones have come.
    pub(super) fn sync_begins(&mut self, waiting: usize) {
        if self.skips > 0 {
            self.skips -= 1;
        } else if waiting < self.expected_writers {
            self.last_skips = (2 * self.last_skips + 3).min(MAX_SKIPS);
            self.skips = self.last_skips;
        } else if self.expected_writers > 1 {
            self.last_skips = self.last_skips.saturating_sub(1);
        }
    }

    /// A sync took `micros`, and `waiting` writers were waiting at its end, covered or not.
    pub(super) fn sync_ended(&mut self, waiting: usize, micros: u64) {
        self.expected_writers = waiting;
        self.sync_micros = micros;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expecting(expected_writers: usize) -> GroupWait {
        GroupWait {
            expected_writers,
            ..GroupWait::default()
        }
    }

    #[test]
    fn a_sync_waits_for_more_writers_less_often_the_more_often_that_was_in_vain() {
        let mut wait = expecting(2);
        let mut waits = Vec::new();
        for sync in 0..200 {
            if !wait.is_over(1) {
                waits.push(sync);
            }
            wait.sync_begins(1);
        }
        assert_eq!(waits, [0, 4, 14, 36, 82, 146]);
        // If a second writer comes only every other time, few syncs wait for it. Once it always comes, all
        // syncs wait again.
        let mut wait = expecting(2);
        let mut waits = 0;
        for _ in 0..200 {
            waits += u64::from(!wait.is_over(1));
            wait.sync_begins(1);
            wait.sync_begins(2);
        }
        assert!(waits < 20, "{waits}");
        (0..200).for_each(|_| wait.sync_begins(2));
        assert!(!wait.is_over(1));
    }

    #[test]
    fn a_sync_waits_for_more_writers_half_as_long_as_the_last_one_took_within_bounds() {
        let mut wait = GroupWait::default();
        for (took, longest) in [(0, 20), (41, 20), (43, 21), (999, 499), (5000, 1000)] {
            wait.sync_ended(1, took);
            assert_eq!(wait.longest(), Duration::from_micros(longest), "{took}");
        }
    }

    #[test]
    fn a_lone_writer_waits_for_no_other() {
        for expected in [0, 1] {
            assert!(expecting(expected).is_over(1));
        }
    }
}
