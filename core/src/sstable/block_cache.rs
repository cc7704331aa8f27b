//! The block cache: keeps data blocks of all tables in memory, up to a limit in bytes.
//!
//! Every open table owns [`BlockSlots`], a slot per data block. A lookup asks the table for block number i and
//! does not use this file, which fills and empties slots, and counts. Its only caller is `reader.rs`.
//!
//! * CACHE-1  The blocks in all slots take at most `capacity` bytes: before a block enters its slot, the cache
//!            reserves room and evicts other blocks. A block larger than the capacity is never admitted.
//! * CACHE-2  A slot changes only under the lock of its shard. Each full slot has one entry in that shard's ring, at
//!            the block's `ring_position`, and each entry one full slot.
//! * CACHE-3  When a table closes, its entries leave the rings at once, and their bytes are freed.
//! * CACHE-4  No thread holds the lock of a shard while it reads a file.
//! * CACHE-6  A table closed in a forked child does not touch the cache: threads that exist only in the parent
//!            may hold the shards' locks.
//! * CACHE-7  The blocks in slots and the unused parts of slabs take at most a sixteenth more than the
//!            capacity: above that, only blocks already in a slab enter, which takes no more memory.
//!
//! A thread holds the lock of one shard at a time. The only lock that it takes under it is that of the slabs. A hit
//! takes no lock, and writes to no memory that other threads write to, except the block's mark if it is clear.
//!
//! A shard is a CLOCK: a ring of entries and a hand. A hit marks its block; the hand clears marks and evicts the
//! first block without one. Evicted blocks that a value or an iterator still holds are counted as pinned.
//!
//! A block enters at its second miss: a block read once takes no memory, and costs the same as without a cache
//! (docs/decisions/0056). If the cache is full, the second miss must come before other blocks of about the
//! cache's size have been turned away, so that rarely read blocks evict nothing (docs/decisions/0031).

use crate::error::Result;
use crate::memory::{self, MemoryGauge};
use crate::prefetch::prefetch;
use crate::sstable::Block;
use crate::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Guard, Mutex, SwapOption, process};

const SHARDS: usize = 16;
const _: () = assert!(SHARDS.is_power_of_two());
/// Unused parts of slabs may take this part of the capacity beyond it (CACHE-7).
const UNUSED_SHARE: usize = 16;
/// How many blocks are evicted when one is refused because of CACHE-7.
const SHED: usize = 4;

/// The slots of one table's data blocks.
pub(crate) struct BlockSlots {
    slots: Box<[SwapOption<Block>]>,
    /// The period in which each block was last passed over; 0 if it never was.
    passed: Box<[AtomicU8]>,
    /// Spreads the blocks of different tables over the shards.
    seed: usize,
}

impl BlockSlots {
    /// Puts any block into slot `number`.
    #[cfg(test)]
    pub(crate) fn put(&self, number: usize, block: Block) {
        self.slots[number].store(Some(block));
    }

    /// The block in slot `number`. The guard must not outlive the call that took it (TABLE-7).
    #[inline]
    pub(crate) fn load(&self, number: usize) -> Guard<Option<Block>> {
        self.slots[number].load()
    }

    /// Prefetches slot `number`.
    #[inline]
    pub(crate) fn prefetch(&self, number: usize) {
        prefetch((&raw const self.slots[number]).cast());
    }

    fn shard(&self, number: usize) -> usize {
        (self.seed + number) % SHARDS
    }

    /// Bytes of memory that the slots take, not counting the blocks.
    pub(crate) fn memory(&self) -> usize {
        size_of::<BlockSlots>() + size_of_val(&*self.slots) + size_of_val(&*self.passed)
    }
}

/// When a block was last passed over.
#[derive(Debug, PartialEq, Eq)]
enum Passed {
    Never,
    /// Before the previous period.
    LongAgo,
    Lately,
}

/// A full slot (CACHE-2).
struct FullSlot {
    slots: Arc<BlockSlots>,
    number: usize,
}

/// Entries in the order in which the hand passes them. New entries fill holes before the ring grows.
#[derive(Default)]
struct Ring {
    entries: Vec<Option<FullSlot>>,
    holes: Vec<u32>,
    hand: usize,
}

impl Ring {
    fn is_empty(&self) -> bool {
        self.entries.len() == self.holes.len()
    }

    /// Takes the entry at `position` out, and its block out of its slot.
    fn remove(&mut self, position: usize) -> Option<Block> {
        debug_assert!(
            self.holes.len() <= self.entries.len(),
            "CACHE-2: each hole is a place in the ring"
        );
        let entry = self.entries.get_mut(position)?.take()?;
        self.holes.push(position as u32);
        let block = entry.slots.slots[entry.number].swap(None);
        debug_assert!(
            block.as_ref().is_some_and(|block| {
                block.ring_position.load(Ordering::Relaxed) as usize == position
            }),
            "CACHE-2: an entry has one full slot, whose block knows its place"
        );
        block
    }

    /// Makes room for one more entry. Removing the entry then needs no memory.
    fn reserve(&mut self) -> Result<()> {
        const RING: &str = "the block cache";
        if self.holes.is_empty() {
            memory::reserve(&mut self.entries, 1, RING)?;
        }
        let holes = (self.entries.len() + 1).saturating_sub(self.holes.len());
        memory::reserve(&mut self.holes, holes, RING)
    }

    /// Puts `block` into its slot. There must be room for its entry. The ring has fewer than 2^32 entries, because
    /// each block takes more than 64 bytes.
    fn insert(&mut self, slots: &Arc<BlockSlots>, number: usize, block: Block) {
        let entry = Some(FullSlot {
            slots: Arc::clone(slots),
            number,
        });
        let position = match self.holes.pop() {
            Some(hole) => {
                debug_assert!(
                    self.entries[hole as usize].is_none(),
                    "CACHE-2: a hole has no entry"
                );
                self.entries[hole as usize] = entry;
                hole
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        block.ring_position.store(position, Ordering::Relaxed);
        debug_assert!(
            slots.load(number).is_none(),
            "CACHE-2: a slot is filled once"
        );
        slots.slots[number].store(Some(block));
    }

    /// Evicts the first block after the hand that was not hit since the hand last passed.
    fn evict(&mut self) -> Option<Block> {
        if self.is_empty() {
            return None;
        }
        // After one round every mark was cleared once. Blocks that are hit again during the round must not make this
        // endless.
        let mut spared = self.entries.len();
        loop {
            self.hand = match self.hand + 1 {
                next if next < self.entries.len() => next,
                _ => 0,
            };
            let Some(entry) = &self.entries[self.hand] else {
                continue;
            };
            let touched = match &*entry.slots.load(entry.number) {
                Some(block) => block.take_touched(),
                None => false,
            };
            if touched && spared > 0 {
                spared -= 1;
                continue;
            }
            return self.remove(self.hand);
        }
    }
}

/// Counters that many threads add to. Each thread uses one of several lanes, each on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The index of this thread's counters.
fn lane() -> usize {
    static NEXT: process::AtomicUsize = process::AtomicUsize::new(0);
    thread_local! {
        static LANE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    LANE.with(|lane| *lane)
}

/// The cache's size and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BlockCacheStats {
    pub(crate) capacity: usize,
    /// Bytes of blocks in the cache.
    pub(crate) used: usize,
    /// Bytes of blocks in use that are not in the cache: evicted, never admitted, just read, or read ahead.
    pub(crate) pinned: usize,
    pub(crate) blocks: usize,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) inserts: u64,
    pub(crate) evictions: u64,
    /// Blocks not admitted for want of room.
    pub(crate) refused: u64,
    /// Blocks not admitted because this was their first miss or, in a full cache, their first in a while.
    pub(crate) passed: u64,
}

/// The block cache, shared by all tables of one or several databases.
pub(crate) struct BlockCache {
    capacity: usize,
    shards: [Mutex<Ring>; SHARDS],
    /// Bytes in slots or reserved for a block about to enter one (CACHE-1).
    used: AtomicUsize,
    gauge: Arc<MemoryGauge>,
    lanes: [Counters; SHARDS],
    inserts: AtomicU64,
    evictions: AtomicU64,
    refused: AtomicU64,
    passed: AtomicU64,
    /// Bytes of blocks that were missed while it was full.
    passed_bytes: AtomicUsize,
    next_seed: AtomicUsize,
    /// The process it belongs to (CACHE-6).
    forks: u32,
}

impl BlockCache {
    /// A cache of at most `capacity` bytes; 0 keeps nothing.
    pub(crate) fn new(capacity: usize) -> Arc<BlockCache> {
        Arc::new(BlockCache {
            capacity,
            shards: Default::default(),
            used: AtomicUsize::new(0),
            gauge: Arc::new(MemoryGauge::of_cache(capacity)),
            lanes: Default::default(),
            inserts: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            passed_bytes: AtomicUsize::new(0),
            next_seed: AtomicUsize::new(0),
            forks: crate::env::fork_count(),
        })
    }

    /// Slots for a table of `blocks` data blocks. Fails only if there is no memory.
    pub(crate) fn slots(&self, blocks: usize) -> Result<Arc<BlockSlots>> {
        const SLOTS: &str = "a slot per data block";
        let mut slots = memory::room_for(blocks, SLOTS)?;
        slots.resize_with(blocks, || SwapOption::new(None));
        let mut passed = memory::room_for(blocks, SLOTS)?;
        passed.resize_with(blocks, || AtomicU8::new(0));
        Ok(Arc::new(BlockSlots {
            slots: slots.into_boxed_slice(),
            passed: passed.into_boxed_slice(),
            seed: self.next_seed.fetch_add(7, Ordering::Relaxed),
        }))
    }

    /// The gauge in which blocks count their memory.
    pub(crate) fn gauge(&self) -> &Arc<MemoryGauge> {
        &self.gauge
    }

    /// Counts a hit and marks its block. Writes to no memory that other threads write to, except the mark if it is
    /// clear.
    #[inline]
    pub(crate) fn note_hit(&self, block: &Block) {
        block.touch();
        self.lanes[lane()].hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_miss(&self) {
        self.lanes[lane()].misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts `block`, which was missed, into slot `number`. Does not if another thread was faster, if this is the
    /// first miss, or if the cache is full and this is the first miss in a while. Returns the block to use.
    pub(crate) fn insert(&self, slots: &Arc<BlockSlots>, number: usize, block: Block) -> Block {
        let (charge, room) = (block.charge(), self.room());
        // A block larger than the cache is refused below.
        let may_enter = charge > self.capacity
            || match self.note_passed(slots, number, charge) {
                Passed::Never => false,
                Passed::LongAgo => charge <= room,
                Passed::Lately => true,
            };
        if !may_enter {
            self.passed.fetch_add(1, Ordering::Relaxed);
            return block;
        }
        let block = self.laid_out(block);
        if !self.has_memory_for(&block) {
            self.shed(slots.shard(number));
            self.refused.fetch_add(1, Ordering::Relaxed);
            return block;
        }
        if !self.reserve(block.charge(), slots.shard(number)) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return block;
        }
        self.enter(slots, number, block)
    }

    fn room(&self) -> usize {
        self.capacity
            .saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// The block in the form in which it enters the cache.
    ///
    /// While the cache has room, that is the flat form. The two forms differ in size, and slab memory freed in the
    /// one size is of little use to the other.
    fn laid_out(&self, block: Block) -> Block {
        let flat = match 2 * block.charge() <= self.room() {
            true => block.flatten(),
            false => None,
        };
        flat.unwrap_or(block)
    }

    /// Returns when block `number` was last passed over, and notes that it is passed over now. A period ends when the
    /// blocks passed over would have filled the cache.
    fn note_passed(&self, slots: &BlockSlots, number: usize, charge: usize) -> Passed {
        const PERIODS: usize = u8::MAX as usize;
        let passed = self.passed_bytes.fetch_add(charge, Ordering::Relaxed);
        let period = passed / self.capacity.max(1) % PERIODS;
        let name = |period: usize| (period + 1) as u8;
        match slots.passed[number].swap(name(period), Ordering::Relaxed) {
            0 => Passed::Never,
            before if before == name(period) => Passed::Lately,
            before if before == name((period + PERIODS - 1) % PERIODS) => Passed::Lately,
            _ => Passed::LongAgo,
        }
    }

    /// Whether the cache may hold the memory that the block lies in (CACHE-7). If block sizes shift, the slabs' pages
    /// become half empty before they serve another size. Blocks that find no piece in them would take memory in
    /// addition.
    fn has_memory_for(&self, block: &Block) -> bool {
        let most = self.capacity + self.capacity / UNUSED_SHARE;
        block.is_in_slab() || self.used.load(Ordering::Relaxed) + self.gauge.unused() <= most
    }

    /// Evicts a few blocks, so that slab pages become empty.
    #[cold]
    fn shed(&self, home: usize) {
        for shard in (0..SHED).map(|turn| (home + turn) % SHARDS) {
            let evicted = self.shards[shard].lock().evict();
            if let Some(block) = evicted {
                self.evictions.fetch_add(1, Ordering::Relaxed);
                debug_assert!(
                    self.used.load(Ordering::Relaxed) >= block.charge(),
                    "CACHE-1: blocks in slots are counted"
                );
                self.used.fetch_sub(block.charge(), Ordering::Relaxed);
            }
        }
    }

    /// [`BlockCache::insert`] if that evicts no other block. Otherwise does nothing, and does not count a miss.
    pub(crate) fn insert_if_room(
        &self,
        slots: &Arc<BlockSlots>,
        number: usize,
        block: Block,
    ) -> Block {
        let charge = block.charge();
        if charge > self.room() {
            return block;
        }
        if self.note_passed(slots, number, charge) == Passed::Never {
            self.passed.fetch_add(1, Ordering::Relaxed);
            return block;
        }
        let block = self.laid_out(block);
        let charge = block.charge();
        let used = self.used.fetch_add(charge, Ordering::Relaxed) + charge;
        if used > self.capacity || !self.has_memory_for(&block) {
            debug_assert!(
                self.used.load(Ordering::Relaxed) >= charge,
                "CACHE-1: reserved room is counted"
            );
            self.used.fetch_sub(charge, Ordering::Relaxed);
            return block;
        }
        self.enter(slots, number, block)
    }

    /// Puts `block`, for which room is reserved, into slot `number`, unless another thread was faster.
    fn enter(&self, slots: &Arc<BlockSlots>, number: usize, block: Block) -> Block {
        let charge = block.charge();
        debug_assert!(charge <= self.capacity, "CACHE-1: room was reserved");
        let home = slots.shard(number);
        debug_assert!(
            self.used.load(Ordering::Relaxed) >= charge,
            "CACHE-1: reserved room is counted"
        );
        let mut ring = self.shards[home].lock();
        if let Some(present) = slots.slots[number].load_full() {
            drop(ring);
            self.used.fetch_sub(charge, Ordering::Relaxed);
            return present;
        }
        if ring.reserve().is_err() {
            drop(ring);
            self.used.fetch_sub(charge, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return block;
        }
        ring.insert(slots, number, block.clone());
        drop(ring);
        self.inserts.fetch_add(1, Ordering::Relaxed);
        block
    }

    /// Replaces `block` by its flat form, if the block is in slot `number` and can be made flat. Returns the block to
    /// use.
    #[cold]
    pub(crate) fn flatten(&self, slots: &Arc<BlockSlots>, number: usize, block: &Block) -> Block {
        let Some(flat) = block.flatten() else {
            return block.clone();
        };
        let (before, after) = (block.charge(), flat.charge());
        let home = slots.shard(number);
        // If the flat form needs more memory, reserve it first (CACHE-1); if it needs less, free the rest afterwards.
        if !self.has_memory_for(&flat) || after > before && !self.reserve(after - before, home) {
            return flat;
        }
        let ring = self.shards[home].lock();
        let slot = &slots.slots[number];
        let is_there = slot.load().as_ref().is_some_and(|here| here.is(block));
        if is_there {
            let position = block.ring_position.load(Ordering::Relaxed);
            flat.ring_position.store(position, Ordering::Relaxed);
            slot.store(Some(flat.clone()));
        }
        drop(ring);
        match is_there {
            true if after < before => self.used.fetch_sub(before - after, Ordering::Relaxed),
            false if after > before => self.used.fetch_sub(after - before, Ordering::Relaxed),
            _ => 0,
        };
        flat
    }

    /// Reserves `charge` bytes of the capacity, evicting from shard `home` on; false if that is impossible (CACHE-1).
    fn reserve(&self, charge: usize, home: usize) -> bool {
        if charge > self.capacity {
            return false;
        }
        let mut used = self.used.fetch_add(charge, Ordering::Relaxed) + charge;
        let mut shard = home;
        let mut empty = 0;
        while used > self.capacity {
            let evicted = self.shards[shard].lock().evict();
            match evicted {
                Some(block) => {
                    empty = 0;
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                    let freed = block.charge();
                    let before = self.used.fetch_sub(freed, Ordering::Relaxed);
                    debug_assert!(before >= freed, "CACHE-1: blocks in slots are counted");
                    used = before - freed;
                }
                None if empty == SHARDS => {
                    // Other threads, which are inserting now, have reserved everything.
                    self.used.fetch_sub(charge, Ordering::Relaxed);
                    return false;
                }
                None => {
                    empty += 1;
                    shard = (shard + 1) % SHARDS;
                    used = self.used.load(Ordering::Relaxed);
                }
            }
        }
        true
    }

    /// Empties the slots of a table that closes (CACHE-3). No thread inserts into them any more; others may
    /// evict.
    pub(crate) fn release(&self, slots: &Arc<BlockSlots>) {
        if crate::env::fork_count() != self.forks {
            return;
        }
        for number in 0..slots.slots.len() {
            if slots.load(number).is_none() {
                continue;
            }
            let mut ring = self.shards[slots.shard(number)].lock();
            let Some(block) = slots.slots[number].load_full() else {
                continue;
            };
            let position = block.ring_position.load(Ordering::Relaxed);
            let removed = ring.remove(position as usize);
            drop(ring);
            debug_assert!(
                removed.is_some_and(|removed| removed.is(&block)),
                "CACHE-2: a full slot has its entry"
            );
            debug_assert!(
                self.used.load(Ordering::Relaxed) >= block.charge(),
                "CACHE-1: blocks in slots are counted"
            );
            self.used.fetch_sub(block.charge(), Ordering::Relaxed);
        }
    }

    /// Empties the cache and frees its memory, except that of blocks still held.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            let mut ring = shard.lock();
            // Entries are left only if a call under way still has their table, or is releasing it right now.
            for entry in std::mem::take(&mut *ring).entries.into_iter().flatten() {
                if let Some(block) = entry.slots.slots[entry.number].swap(None) {
                    debug_assert!(
                        self.used.load(Ordering::Relaxed) >= block.charge(),
                        "CACHE-1: blocks in slots are counted"
                    );
                    self.used.fetch_sub(block.charge(), Ordering::Relaxed);
                }
            }
        }
        if let Some(slabs) = self.gauge.slabs() {
            slabs.close();
        }
    }

    /// Whether a thread holds the lock of any shard.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn is_locked(&self) -> bool {
        self.shards.iter().any(Mutex::is_locked)
    }

    pub(crate) fn stats(&self) -> BlockCacheStats {
        let used = self.used.load(Ordering::Relaxed);
        let sum = |of: fn(&Counters) -> &AtomicU64| {
            let counts = self
                .lanes
                .iter()
                .map(|lane| of(lane).load(Ordering::Relaxed));
            counts.sum()
        };
        let blocks = |shard: &Mutex<Ring>| {
            let ring = shard.lock();
            ring.entries.len() - ring.holes.len()
        };
        BlockCacheStats {
            capacity: self.capacity,
            used,
            pinned: self.gauge.bytes().saturating_sub(used),
            blocks: self.shards.iter().map(blocks).sum(),
            hits: sum(|lane| &lane.hits),
            misses: sum(|lane| &lane.misses),
            inserts: self.inserts.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            passed: self.passed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
