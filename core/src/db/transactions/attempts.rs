//! Trying again after a conflict, with a pause that grows and differs between the rivals.

use std::time::Duration;

use super::{Transaction, Transactions};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{TransactionOptions, WriteOptions};
use crate::sync::{Arc, Condvar, Mutex};

/// The longest pause after the first conflict.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
/// The pause after many conflicts.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long to pause after conflict number `conflicts` (from 1) of a call: between a half and all of 50 microseconds
/// times two to the number of earlier conflicts, and at most 20 milliseconds. `seed` differs between rivals. For the
/// bindings, which pause in their own way.
#[doc(hidden)]
pub fn pause_after(conflicts: u32, seed: u64) -> Duration {
    let doublings = conflicts.saturating_sub(1).min(16);
    let longest = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE);
    // The upper bits of a product with a large odd number are spread well.
    let mixed = (seed ^ u64::from(conflicts) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let share = (mixed >> 48) as u32;
    longest / 2 + longest / 2 * share / (1 << 16)
}

impl Transactions {
    /// See `DB::run_transaction_with`.
    pub(in crate::db) fn run<T>(
        self: &Arc<Self>,
        attempts: u32,
        options: &WriteOptions,
        mut work: impl FnMut(&Transaction) -> Result<T>,
    ) -> Result<T> {
        if attempts == 0 {
            return Err(Error::invalid_argument("attempts is 0: it is 1 or more"));
        }
        let mut conflicts = 0;
        loop {
            let transaction = self.begin(&TransactionOptions::default())?;
            let seed = transaction.number();
            let done = work(&transaction).and_then(|done| {
                transaction.commit_with(options)?;
                Ok(done)
            });
            drop(transaction);
            match done {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    conflicts += 1;
                    if conflicts >= attempts {
                        return Err(error.context(format_args!("after {attempts} attempts")));
                    }
                }
                done => return done,
            }
            pause(pause_after(conflicts, seed));
        }
    }
}

/// Lets others run for this long.
pub(super) fn pause(duration: Duration) {
    let never = Condvar::new();
    let lock = Mutex::new(());
    let mut held = lock.lock();
    never.wait_for(&mut held, duration);
}
