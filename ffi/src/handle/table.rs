//! The table in which handles are looked up.
//!
//! * HANDLE-1  A slot, once made, is never freed or moved; its chunk stays in `chunks` until the process ends.
//! * HANDLE-2  An entry records the whole handle it belongs to: a lookup succeeds only if the handles are
//!             equal, whatever happened to the slot in between.
//! * HANDLE-3  A slot's generation grows with every use; after the last one the slot is not used again.
//! * HANDLE-4  A call keeps its entry alive by an arc-swap guard, noted in the calling thread's own memory: no count
//!             is shared by threads. The entry is dropped by whichever ends last: the call, or the close.
//! * HANDLE-5  The table has no lock, so a child process can use it after `fork`.
//!
//! `table/models.rs` holds HANDLE-1 to HANDLE-4 under the model checker, where a table is so small that it grows and
//! comes to an end.

use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{ArcSwapOption, Guard};

const CHUNK_SLOTS: usize = if cfg!(shuttle) { 2 } else { 256 };
const MAX_CHUNKS: usize = if cfg!(shuttle) { 4 } else { 1 << 16 };
const _: () = assert!(CHUNK_SLOTS * MAX_CHUNKS <= 1 << 24, "24 bits of slot");
/// The number of free lists. Each thread prefers its own, so that threads which make many handles do not
/// contend. Under the model checker all threads share one.
const SHARDS: usize = if cfg!(shuttle) { 1 } else { 16 };

/// An object and its handle (HANDLE-2).
struct Entry<T> {
    handle: u64,
    object: T,
}

/// Each slot has its own cache line: making handles often in one slot would slow lookups in its neighbour.
#[repr(align(64))]
struct Slot<T> {
    entry: ArcSwapOption<Entry<T>>,
    /// The generation of the last handle given out (HANDLE-3); 0 before the first.
    generation: AtomicU32,
    /// The link to the next slot of the free list that this slot is on.
    next_free: AtomicU32,
    /// The free list to which it returns.
    shard: usize,
}

/// Objects by handle. All zeros while the table is empty.
pub(super) struct Table<T> {
    /// HANDLE-1.
    chunks: [AtomicPtr<Slot<T>>; MAX_CHUNKS],
    /// How many chunks are in use so far.
    chunks_used: AtomicUsize,
    /// Heads of the free lists: the link to the first slot in the low half, a count of changes in the high
    /// half, so that a compare-and-swap notices if a head was removed and put back (ABA). A link is a slot's
    /// index plus 1, or 0 for none.
    free: [AtomicU64; SHARDS],
}

/// An object that was found, kept alive (HANDLE-4).
pub(super) struct Found<T>(Guard<Option<Arc<Entry<T>>>>);

impl<T> Deref for Found<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let entry = self.0.as_ref();
        let entry = entry.expect("made only by `get`, which saw the entry");
        &entry.object
    }
}

impl<T> Table<T> {
    pub(super) const fn new() -> Table<T> {
        Table {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CHUNKS],
            chunks_used: AtomicUsize::new(0),
            free: [const { AtomicU64::new(0) }; SHARDS],
        }
    }

    /// Gives `object` a handle that ends with `tag`; `None` if every slot is in use.
    pub(super) fn insert(&self, tag: u8, object: T) -> Option<u64> {
        let index = self.pop_free().or_else(|| self.grow())?;
        let slot = self.slot_at(index)?;
        // Between `pop_free` and the store below the slot belongs to this thread alone.
        let generation = slot.generation.load(Ordering::Relaxed) + 1;
        slot.generation.store(generation, Ordering::Relaxed);
        let handle = u64::from(generation) << 32 | u64::from(index) << 8 | u64::from(tag);
        slot.entry.store(Some(Arc::new(Entry { handle, object })));
        Some(handle)
    }

    /// The object of a live handle.
    #[inline]
    pub(super) fn get(&self, handle: u64) -> Option<Found<T>> {
        let guard = self.slot_of(handle)?.entry.load();
        let is_live = guard.as_ref().is_some_and(|entry| entry.handle == handle);
        is_live.then_some(Found(guard))
    }

    /// Ends a live handle and returns its object. If several threads call this, exactly one gets the object.
    pub(super) fn take(&self, handle: u64) -> Option<Found<T>> {
        let found = self.get(handle)?;
        let slot = self.slot_of(handle)?;
        let before = slot.entry.compare_and_swap(&found.0, None);
        let won = before.as_ref().is_some_and(|entry| entry.handle == handle);
        if !won {
            return None;
        }
        if slot.generation.load(Ordering::Relaxed) < u32::MAX {
            self.push_free(slot, index_of(handle));
        }
        Some(found)
    }

    /// Whether a handle of this slot and generation was ever given out.
    pub(super) fn was_given_out(&self, handle: u64) -> bool {
        let generation = (handle >> 32) as u32;
        self.slot_of(handle)
            .is_some_and(|slot| (1..=slot.generation.load(Ordering::Relaxed)).contains(&generation))
    }

    /// Makes the generation of a handle's slot its last one (HANDLE-3).
    #[cfg(test)]
    pub(super) fn wear_out(&self, handle: u64) {
        let slot = self.slot_of(handle).unwrap();
        slot.generation.store(u32::MAX, Ordering::Relaxed);
    }

    /// The slot that a handle names, if there is such a slot.
    fn slot_of(&self, handle: u64) -> Option<&Slot<T>> {
        self.slot_at(index_of(handle))
    }

    fn slot_at(&self, index: u32) -> Option<&Slot<T>> {
        let index = index as usize;
        let chunk = self.chunks.get(index / CHUNK_SLOTS)?;
        let chunk = chunk.load(Ordering::Acquire);
        if chunk.is_null() {
            return None;
        }
        // SAFETY: a chunk is published, with release, after its CHUNK_SLOTS slots were made, and never freed
        // (HANDLE-1); the remainder is below CHUNK_SLOTS.
        Some(unsafe { &*chunk.add(index % CHUNK_SLOTS) })
    }

    fn pop_free(&self) -> Option<u32> {
        let free = &self.free[shard_of_thread()];
        let mut head = free.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            // Another thread may have taken the slot by now; then `next` is wrong, and the count of changes
            // makes the exchange fail.
            let next = self.slot_at(index)?.next_free.load(Ordering::Relaxed);
            let new = changed(head, next);
            match free.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    fn push_free(&self, slot: &Slot<T>, index: u32) {
        let free = &self.free[slot.shard];
        let mut head = free.load(Ordering::Relaxed);
        loop {
            slot.next_free.store(head as u32, Ordering::Relaxed);
            let new = changed(head, index + 1);
            match free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Makes a chunk of slots, all but the first on this thread's free list; returns the first.
    fn grow(&self) -> Option<u32> {
        let number = self.chunks_used.fetch_add(1, Ordering::Relaxed);
        if number >= MAX_CHUNKS {
            self.chunks_used.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let shard = shard_of_thread();
        let slots: Vec<Slot<T>> = (0..CHUNK_SLOTS)
            .map(|_| Slot {
                entry: ArcSwapOption::const_empty(),
                generation: AtomicU32::new(0),
                next_free: AtomicU32::new(0),
                shard,
            })
            .collect();
        let slots = Vec::leak(slots);
        self.chunks[number].store(slots.as_mut_ptr(), Ordering::Release);
        let first = (number * CHUNK_SLOTS) as u32;
        for index in (first + 1..first + CHUNK_SLOTS as u32).rev() {
            self.push_free(self.slot_at(index)?, index);
        }
        Some(first)
    }
}

fn index_of(handle: u64) -> u32 {
    (handle >> 8) as u32 & 0xff_ffff
}

/// The free list that this thread prefers.
fn shard_of_thread() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    // A thread that is ending may no longer have its number.
    SHARD.try_with(|shard| *shard).unwrap_or(0)
}

/// A head with this link, and the next count of changes.
fn changed(head: u64, link: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(link)
}

#[cfg(all(test, shuttle))]
mod models;
