//! Counts the memory of blocks and of read-ahead, whether it comes from the slabs or from the allocator.
//!
//! * GAUGE-1  The code that adds bytes subtracts the same number when they are freed, so memory that is no
//!            longer held is not counted.
//!
//! Elsewhere: whose memory is counted (`sstable/block/memory.rs`, `sstable/iter.rs`), and how much there may be
//! (`sstable/block_cache.rs`).

use super::Slabs;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// See the head of the file. The gauge of a large cache has memory for its blocks.
#[derive(Default)]
pub(crate) struct MemoryGauge {
    bytes: AtomicUsize,
    /// Bytes of the slabs' pieces that are in use.
    in_slabs: AtomicUsize,
    /// The part of the bytes in use that buffers of blocks read ahead take.
    read_ahead: AtomicUsize,
    slabs: Option<Slabs>,
}

impl MemoryGauge {
    /// The gauge of a cache of `capacity` bytes.
    pub(crate) fn of_cache(capacity: usize) -> MemoryGauge {
        MemoryGauge {
            bytes: AtomicUsize::new(0),
            in_slabs: AtomicUsize::new(0),
            slabs: Slabs::new(capacity),
            read_ahead: AtomicUsize::new(0),
        }
    }

    /// The slabs, if blocks do not get their memory from the allocator.
    pub(crate) fn slabs(&self) -> Option<&Slabs> {
        self.slabs.as_ref()
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(
            before >= bytes,
            "GAUGE-1: the subtracted bytes were added before"
        );
    }

    /// A buffer of blocks read ahead that took `before` bytes takes `after`.
    pub(crate) fn resize_read_ahead(&self, before: usize, after: usize) {
        self.add(after);
        self.subtract(before);
        self.read_ahead.fetch_add(after, Ordering::Relaxed);
        let counted = self.read_ahead.fetch_sub(before, Ordering::Relaxed);
        debug_assert!(
            counted >= before,
            "GAUGE-1: the subtracted bytes were added before"
        );
    }

    /// The bytes of all such buffers.
    pub(crate) fn read_ahead(&self) -> usize {
        self.read_ahead.load(Ordering::Relaxed)
    }

    /// The bytes of memory taken by blocks and read-ahead, including unused parts of slabs.
    pub(crate) fn resident(&self) -> usize {
        self.bytes() + self.unused()
    }

    /// Counts a piece of this many bytes as in use.
    pub(crate) fn add_piece(&self, bytes: usize) {
        self.in_slabs.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a piece of this many bytes as freed.
    pub(crate) fn subtract_piece(&self, bytes: usize) {
        let before = self.in_slabs.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(
            before >= bytes,
            "GAUGE-1: the subtracted bytes were added before"
        );
    }

    /// Unused bytes of slabs.
    pub(crate) fn unused(&self) -> usize {
        let slabs = self.slabs.as_ref().map_or(0, Slabs::mapped_bytes);
        slabs.saturating_sub(self.in_slabs.load(Ordering::Relaxed))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
