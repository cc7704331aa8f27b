//! How many tombstones justify sealing a memtable early, learned from the results of flushes.

use crate::content::Sum;
use crate::sync::atomic::{AtomicU64, Ordering};

/// At first, a memtable with this many tombstones is sealed before it is full. Each flush whose tombstones hid few of
/// the memtable's entries multiplies the number by the step.
const SEALED_TOMBSTONES: u64 = 1 << 15;
const SEALED_STEP: u64 = 4;
/// An early seal pays if the flush drops at least one in this many of the memtable's entries.
const DROPPED_DIVISOR: u64 = 4;

/// How many tombstones are worth sealing a memtable for.
#[derive(Default)]
pub(super) struct EarlySeals {
    /// See [`SEALED_TOMBSTONES`]; 0 means that value.
    limit: AtomicU64,
}

impl EarlySeals {
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed).max(SEALED_TOMBSTONES)
    }

    /// Learns from a flush how many of the memtable's entries were written.
    pub(super) fn learn(&self, memtable: Sum, written: u64) {
        let entries = memtable.entries();
        debug_assert!(written <= entries, "FLUSH-3: no entry is written twice");
        if memtable.tombstones < SEALED_TOMBSTONES {
            return;
        }
        let dropped = entries.saturating_sub(written);
        let limit = match dropped.saturating_mul(DROPPED_DIVISOR) >= entries {
            true => SEALED_TOMBSTONES,
            false => self.limit().saturating_mul(SEALED_STEP),
        };
        self.limit.store(limit, Ordering::Relaxed);
    }
}
