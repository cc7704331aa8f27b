//! What is kept of tables in memory: data blocks, bounded in bytes, and open tables, bounded in number.
//!
//! Both are CLOCKs over slots that live with what they cache: a table has a slot per data block, a version's file
//! metadata a slot for the open table. A hit is one load; locks are taken only to fill and to evict.
//! Why so: docs/decisions/0010. The blocks of a large cache have memory of their own, `slabs.rs`: docs/decisions/0024.

mod block_cache;
mod slabs;
mod table_cache;
#[cfg(test)]
mod tests;

pub(crate) use block_cache::{BlockCache, BlockSlots};
pub(crate) use table_cache::{TableCache, TableHandle};

pub(crate) use slabs::Slabs;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes in use; whoever adds subtracts the same when it goes. That of a large cache has memory for its blocks.
#[derive(Default)]
pub(crate) struct MemoryGauge {
    bytes: AtomicUsize,
    /// Bytes of the pieces of the slabs that are handed out.
    in_slabs: AtomicUsize,
    /// Of the bytes in use, those of buffers of blocks read ahead.
    read_ahead: AtomicUsize,
    slabs: Option<Slabs>,
}

impl MemoryGauge {
    /// That of a cache of `capacity` bytes.
    fn of_cache(capacity: usize) -> MemoryGauge {
        MemoryGauge {
            bytes: AtomicUsize::new(0),
            in_slabs: AtomicUsize::new(0),
            slabs: Slabs::new(capacity),
            read_ahead: AtomicUsize::new(0),
        }
    }

    /// Memory for blocks, if there is any beside the allocator's.
    pub(crate) fn slabs(&self) -> Option<&Slabs> {
        self.slabs.as_ref()
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A buffer of blocks read ahead that took `before` bytes takes `after`.
    pub(crate) fn resize_read_ahead(&self, before: usize, after: usize) {
        self.add(after);
        self.subtract(before);
        self.read_ahead.fetch_add(after, Ordering::Relaxed);
        self.read_ahead.fetch_sub(before, Ordering::Relaxed);
    }

    /// The bytes of all such buffers.
    pub(crate) fn read_ahead(&self) -> usize {
        self.read_ahead.load(Ordering::Relaxed)
    }

    /// The bytes of memory that blocks and what is read ahead take, with the parts of slabs that nobody uses.
    pub(crate) fn resident(&self) -> usize {
        self.bytes() + self.unused()
    }

    /// A piece of so many bytes is handed out.
    pub(crate) fn add_piece(&self, bytes: usize) {
        self.in_slabs.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A piece of so many bytes is given back.
    pub(crate) fn subtract_piece(&self, bytes: usize) {
        self.in_slabs.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of slabs that nobody uses.
    fn unused(&self) -> usize {
        let slabs = self.slabs.as_ref().map_or(0, Slabs::mapped_bytes);
        slabs.saturating_sub(self.in_slabs.load(Ordering::Relaxed))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
