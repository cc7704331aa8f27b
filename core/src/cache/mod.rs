//! What is kept of tables in memory: data blocks, bounded in bytes, and open tables, bounded in number.
//!
//! Both are CLOCKs over slots that live with what they cache: a table has a slot per data block, a version's file
//! metadata a slot for the open table. A hit is one load; locks are taken only to fill and to evict.
//! Why so: docs/decisions/0010.

mod block_cache;
mod table_cache;
#[cfg(test)]
mod tests;

pub(crate) use block_cache::{BlockCache, BlockSlots};
pub(crate) use table_cache::{TableCache, TableHandle};

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes in use; whoever adds subtracts the same when it goes.
#[derive(Default)]
pub(crate) struct MemoryGauge(AtomicUsize);

impl MemoryGauge {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
