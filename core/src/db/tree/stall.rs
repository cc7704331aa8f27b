//! Slows writers down smoothly before level 0 has to stop them.
//!
//! If compaction falls behind, tables collect in level 0, and levels exceed their targets. From [`SLOW_FACTOR`]
//! times the compaction trigger on, or [`DEBT_FACTOR`] times the size of level 1, writers are admitted at a
//! rate that falls with every further step. Each writer waits for its share; the wait ends early when
//! compaction catches up. At [`STOP_FACTOR`] times the trigger writers wait for a compaction.

use std::time::Duration;

use crate::compaction::{PickerOptions, debt_bytes};
use crate::options::Options;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::version::Version;

const SLOW_FACTOR: u64 = 5;
pub(in crate::db) const STOP_FACTOR: u64 = 9;
/// Writers are slowed once the debt is this many times the size of level 1, and by a further step for each further
/// such amount. Debt alone never stops them.
const DEBT_FACTOR: u64 = 16;
const DEBT_STEP: u64 = 4;
const MAX_DEBT_STEPS: u64 = 16;
/// Bytes per second admitted at the first step, and how each further table multiplies it.
const FIRST_RATE: f64 = 64e6;
const RATE_STEP: f64 = 0.8;
const FREE: u64 = u64::MAX;
const STOPPED: u64 = 0;
/// No write waits longer than the first of these for its share of the rate, and none waits less than the second. A
/// wait takes some 50 µs longer than requested, so many short ones would slow writers far below the rate.
const MAX_WAIT_MICROS: u64 = 50_000;
const MIN_WAIT_MICROS: u64 = 1_000;

/// The rate at which writers are admitted.
pub(super) struct Stall {
    /// Bytes per second, [`FREE`] or [`STOPPED`].
    rate: AtomicU64,
    /// When the bytes admitted so far will be worked off, in nanoseconds on the environment's clock.
    busy_until: Mutex<u64>,
    changed: Condvar,
    micros: AtomicU64,
}

impl Stall {
    pub(super) fn new() -> Stall {
        Stall {
            rate: AtomicU64::new(FREE),
            busy_until: Mutex::new(0),
            changed: Condvar::new(),
            micros: AtomicU64::new(0),
        }
    }

    /// Sets the rate for a tree under this pressure.
    pub(super) fn update(&self, pressure: Pressure) {
        let rate = rate_for(pressure);
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            drop(self.busy_until.lock());
            self.changed.notify_all();
        }
    }

    /// How fast writers are admitted now.
    #[inline]
    pub(super) fn pace(&self) -> Pace {
        match self.rate.load(Ordering::Relaxed) {
            FREE => Pace::Free,
            STOPPED => Pace::Stopped,
            rate => Pace::Rate(rate),
        }
    }

    /// Takes a share of `bytes` bytes of the `rate` at `now` (microseconds), and waits for earlier shares if it may.
    pub(super) fn take_share(&self, bytes: u64, rate: u64, now: u64, may_wait: bool) {
        let mut busy_until = self.busy_until.lock();
        let (until, wait) = share(*busy_until, now, bytes, rate);
        *busy_until = until;
        if wait > 0 && may_wait {
            self.changed
                .wait_for(&mut busy_until, Duration::from_micros(wait));
        }
    }

    pub(super) fn add_micros(&self, micros: u64) {
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Microseconds that writers have waited.
    pub(super) fn micros(&self) -> u64 {
        self.micros.load(Ordering::Relaxed)
    }
}

/// How fast writers are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Free,
    /// At this many bytes per second.
    Rate(u64),
    /// Not before a compaction has made room.
    Stopped,
}

/// How far compaction is behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pressure {
    level0_tables: u64,
    trigger: u64,
    debt_bytes: u64,
    level_base_size: u64,
}

impl Pressure {
    pub(super) fn of(version: &Version, options: &Options, picker: &PickerOptions) -> Pressure {
        Pressure {
            level0_tables: version.files(0).len() as u64,
            trigger: options.level0_compaction_trigger,
            debt_bytes: debt_bytes(version, picker),
            level_base_size: options.level_base_size,
        }
    }
}

/// For a write of `bytes` bytes at `now` (microseconds), if earlier writes are worked off at `busy_until`
/// (nanoseconds): when this one is worked off too, and how many microseconds it waits.
fn share(busy_until: u64, now: u64, bytes: u64, rate: u64) -> (u64, u64) {
    debug_assert!(
        rate != FREE && rate != STOPPED,
        "only a writer at a limited pace takes a share"
    );
    let most = MAX_WAIT_MICROS * 1000;
    let cost = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    let cost = u64::try_from(cost).unwrap_or(most).min(most);
    let now = now.saturating_mul(1000);
    let wait = busy_until.saturating_sub(now).min(most);
    let until = now.saturating_add(wait).saturating_add(cost);
    match wait / 1000 {
        short if short < MIN_WAIT_MICROS => (until, 0),
        micros => (until, micros),
    }
}

/// Bytes per second to admit.
fn rate_for(pressure: Pressure) -> u64 {
    let Pressure {
        level0_tables,
        trigger,
        debt_bytes,
        level_base_size,
    } = pressure;
    if level0_tables >= STOP_FACTOR * trigger {
        return STOPPED;
    }
    debug_assert!(
        trigger > 0 && level_base_size > 0,
        "the options' ranges begin above 0"
    );
    // Four steps per trigger's number of tables; none below the factor.
    let by_tables = (level0_tables + 1).checked_sub(SLOW_FACTOR * trigger);
    let by_tables = by_tables
        .filter(|over| *over > 0)
        .map(|over| (over - 1) * 4 / trigger);
    let by_debt = (debt_bytes / level_base_size).checked_sub(DEBT_FACTOR);
    let by_debt = by_debt.map(|over| (over / DEBT_STEP).min(MAX_DEBT_STEPS));
    match by_tables.max(by_debt) {
        None => FREE,
        Some(steps) => ((FIRST_RATE * RATE_STEP.powf(steps as f64)) as u64).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressure(level0_tables: u64, trigger: u64, debt_bytes: u64) -> Pressure {
        Pressure {
            level0_tables,
            trigger,
            debt_bytes,
            level_base_size: 1000,
        }
    }

    #[test]
    fn the_rate_falls_step_by_step_until_it_stops() {
        for trigger in [1, 4, 64] {
            assert_eq!(rate_for(pressure(5 * trigger - 1, trigger, 0)), FREE);
            let mut last = FREE;
            for tables in 5 * trigger..9 * trigger {
                let rate = rate_for(pressure(tables, trigger, 0));
                assert!(
                    rate <= last && rate > STOPPED,
                    "{tables} tables, trigger {trigger}: {rate}"
                );
                assert!(
                    last == FREE || rate as f64 > last as f64 * 0.35,
                    "a cliff at {tables} tables"
                );
                last = rate;
            }
            assert_eq!(rate_for(pressure(9 * trigger, trigger, 0)), STOPPED);
        }
    }

    #[test]
    fn small_writes_are_admitted_at_the_rate_in_few_waits() {
        for (bytes, rate) in [
            (1, 64_000_000),
            (140, 64_000_000),
            (140, 10_000_000),
            (5000, 1),
        ] {
            let (mut busy_until, mut now, mut waits) = (0, 1_000_000, 0u64);
            let writes = 100_000u64.min(rate);
            for _ in 0..writes {
                let (until, wait) = share(busy_until, now, bytes, rate);
                busy_until = until;
                // By how much a wait exceeds its requested length.
                now += if wait > 0 { wait + 50 } else { 0 };
                waits += u64::from(wait > 0);
                assert!(wait <= MAX_WAIT_MICROS);
            }
            let wanted = writes * bytes * 1_000_000 / rate;
            let took = now - 1_000_000;
            let most = wanted + wanted / 10 + MAX_WAIT_MICROS;
            assert!(took <= most, "{bytes} at {rate}: {took} of {wanted}");
            let least = wanted.min(writes * MAX_WAIT_MICROS);
            assert!(
                took + MAX_WAIT_MICROS + MIN_WAIT_MICROS >= least - least / 10,
                "{bytes} at {rate}: {took} of {wanted}"
            );
            assert!(waits <= 1 + took / MIN_WAIT_MICROS);
        }
    }

    #[test]
    fn a_write_waits_for_what_came_before_unless_that_is_shorter_than_a_wait_or_too_long() {
        let now = 1_000_000;
        // (microseconds until earlier writes are worked off, microseconds waited)
        for (ahead, wait) in [
            (0, 0),
            (MIN_WAIT_MICROS - 1, 0),
            (MIN_WAIT_MICROS, MIN_WAIT_MICROS),
            (MAX_WAIT_MICROS, MAX_WAIT_MICROS),
            (MAX_WAIT_MICROS + 1, MAX_WAIT_MICROS),
        ] {
            let busy_until = (now + ahead) * 1000;
            let (until, waits) = share(busy_until, now, 100, 1_000_000);
            assert_eq!(waits, wait, "{ahead}");
            // A hundred bytes at a megabyte per second take a hundred microseconds.
            let before = ahead.min(MAX_WAIT_MICROS);
            assert_eq!(until, (now + before + 100) * 1000, "{ahead}");
        }
    }

    #[test]
    fn debt_slows_but_never_stops() {
        assert_eq!(rate_for(pressure(0, 4, 15_999)), FREE);
        assert_eq!(rate_for(pressure(0, 4, 16_000)), FIRST_RATE as u64);
        assert!(rate_for(pressure(0, 4, 40_000)) < FIRST_RATE as u64);
        assert!(rate_for(pressure(0, 4, u64::MAX)) > STOPPED);
    }
}
