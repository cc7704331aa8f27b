//! The memory of a memtable: records, written once, never moved, freed only with the arena.
//!
//! Owns: chunks of 4 KiB to 1 MiB (spare ones of an earlier arena if there are any), which any number of
//! threads fill from the front at once, and a separate chunk for each large record. Layout of a record (in
//! memory only, host byte order, no alignment):
//!
//! ```text
//! trailer 8 | key length 4 | value length 4 | key | value
//! ```
//!
//! * ARENA-1  A chunk is never moved. It is freed only after the arena is dropped and its last keeper has
//!            released it. The exception is an empty chunk that was never published.
//! * ARENA-2  Every byte of a chunk is allocated at most once.
//! * ARENA-3  A record is written in full before its address leaves [`Arena::write`], and never written again.
//! * ARENA-4  The chunk size grows with the arena: a sixteenth of its size. So once the arena has 64 KiB,
//!            allocated but unused memory stays under a tenth of the whole.
//!
//! Elsewhere: chunks and spare ones (`chunk.rs`), the order of records (`leaf.rs`, `index.rs`).

#![expect(
    unsafe_code,
    reason = "records are addressed by raw pointers into memory this file owns"
)]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::chunk::{ALLOCATOR_BYTES, Chunk, Kept, KeptChunk, SpareChunks, no_memory};
use crate::error::{Error, Result};
use crate::key::{KeyRef, Trailer};
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};

/// Bytes of a record before its key.
const RECORD_HEADER_BYTES: usize = 16;

const MIN_CHUNK_BYTES: usize = 4 << 10;
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// Bump allocation by many threads. See the head of the file.
pub(super) struct Arena {
    /// The chunk being filled; null before the first record.
    current: AtomicPtr<Chunk>,
    /// Bytes of every chunk but the current one.
    full_bytes: AtomicUsize,
    /// The newest chunk, which begins the list of all (ARENA-1). Locked while a chunk is added or kept.
    newest: Mutex<NewestChunk>,
    /// No ordinary chunk is larger than this.
    chunk_limit: usize,
    spare: Arc<SpareChunks>,
}

struct NewestChunk {
    chunk: *mut Chunk,
    /// Chunks that may outlive the arena.
    kept: Vec<Kept>,
}

// SAFETY: code follows the list only under the lock or in the arena's drop, and chunks belong to no thread.
unsafe impl Send for NewestChunk {}

impl Arena {
    /// An empty arena that is expected to grow to `capacity` bytes, and shares `spare` with others of that capacity.
    /// Allocates nothing.
    pub(super) fn new(capacity: usize, spare: Arc<SpareChunks>) -> Arena {
        Arena {
            current: AtomicPtr::new(ptr::null_mut()),
            full_bytes: AtomicUsize::new(0),
            newest: Mutex::new(NewestChunk {
                chunk: ptr::null_mut(),
                kept: Vec::new(),
            }),
            chunk_limit: largest_chunk(capacity),
            spare,
        }
    }

    /// The list in which arenas of this capacity leave each other up to `most` bytes of chunks.
    pub(super) fn spare_chunks(capacity: usize, most: usize) -> Arc<SpareChunks> {
        Arc::new(SpareChunks::new(largest_chunk(capacity), most))
    }

    /// Copies an entry into the arena. Any number of threads may call it at once. Fails only if there is no memory.
    ///
    /// `user_key` and `value`: at most `u32::MAX` bytes each.
    pub(super) fn write(
        &self,
        user_key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Result<Record<'_>> {
        let bytes = RECORD_HEADER_BYTES
            .checked_add(user_key.len())
            .and_then(|sum| sum.checked_add(value.len()))
            .ok_or_else(|| no_memory(usize::MAX))?;
        self.reserve(bytes)?.write(user_key, trailer, value)
    }

    /// Memory for records that take `bytes` bytes together. Any number of threads may call it at once. Fails only if
    /// there is no memory.
    #[inline]
    pub(super) fn reserve(&self, bytes: usize) -> Result<RecordRoom<'_>> {
        Ok(RecordRoom {
            start: self.allocate(bytes)?,
            bytes,
            used: 0,
            arena: self,
        })
    }

    /// Keeps the memory of `record`, one of this arena's, for longer than the arena may live.
    pub(super) fn keep(&self, record: Record<'_>) -> Option<Arc<KeptChunk>> {
        let mut newest = self.newest.lock();
        let NewestChunk { chunk, kept } = &mut *newest;
        // SAFETY: both lists are this arena's, and no other thread changes them while they are locked.
        unsafe { Kept::keep(kept, *chunk, record.address(), record.bytes()) }
    }

    /// Whether the byte at `address` is in one of the arena's chunks, after its head.
    #[cfg(test)]
    pub(super) fn holds<T>(&self, address: *const T) -> bool {
        let mut next = self.newest.lock().chunk.cast_const();
        // SAFETY: null or a chunk of the arena, none of which is freed while the arena is borrowed (ARENA-1).
        while let Some(chunk) = unsafe { next.as_ref() } {
            let place = address.addr().wrapping_sub(next.addr());
            if (size_of::<Chunk>()..chunk.bytes).contains(&place) {
                return true;
            }
            next = chunk.previous;
        }
        false
    }

    /// Frees `bytes` unwritten bytes at `start`, which [`Arena::allocate`] returned, if that was its last allocation.
    /// Otherwise they stay unused.
    #[cold]
    fn give_back(&self, start: NonNull<u8>, bytes: usize) {
        let mut newest = self.newest.lock();
        let current = self.current.load(Ordering::Acquire);
        if newest.chunk != current {
            let own = newest.chunk;
            // SAFETY: the newest chunk is in the list, so it lives, and its head is whole.
            let is_it = unsafe { own.cast::<u8>().add(size_of::<Chunk>()) } == start.as_ptr();
            if is_it {
                // SAFETY: no other thread has this chunk, which leaves the list here (ARENA-1: it was empty).
                unsafe {
                    newest.chunk = (*own).previous;
                    self.spare.give(own);
                }
                let own_bytes = size_of::<Chunk>() + bytes + ALLOCATOR_BYTES;
                debug_assert!(
                    self.full_bytes.load(Ordering::Relaxed) >= own_bytes,
                    "ARENA-1: the chunk was counted"
                );
                self.full_bytes.fetch_sub(own_bytes, Ordering::Relaxed);
                return;
            }
        }
        // SAFETY: as in `memory`.
        let Some(chunk) = (unsafe { current.as_ref() }) else {
            return;
        };
        let place = start.addr().get().wrapping_sub(current.addr());
        if place < chunk.bytes {
            // Fails if there was another allocation since (ARENA-2).
            let _ = chunk.used.compare_exchange(
                place + bytes,
                place,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// Bytes in use, including the heads of chunks and the allocator's overhead. Grows smoothly. Cost: two loads.
    pub(super) fn memory(&self) -> usize {
        let current = self.current.load(Ordering::Acquire);
        let in_current = if current.is_null() {
            0
        } else {
            // SAFETY: a chunk that was ever current lives as long as the arena (ARENA-1), and Acquire shows its head.
            let chunk = unsafe { &*current };
            chunk.used.load(Ordering::Relaxed).min(chunk.bytes) + ALLOCATOR_BYTES
        };
        self.full_bytes.load(Ordering::Relaxed) + in_current
    }

    /// `bytes` unwritten bytes that no other thread has, without alignment.
    pub(super) fn allocate(&self, bytes: usize) -> Result<NonNull<u8>> {
        loop {
            let current = self.current.load(Ordering::Acquire);
            if !current.is_null() {
                // SAFETY: as in `memory`.
                let chunk = unsafe { &*current };
                if bytes <= chunk.bytes / 4 {
                    // Relaxed: the counter only divides the chunk; records are published elsewhere. It cannot wrap:
                    // each failed attempt adds at most a quarter of a chunk and waits for the next chunk.
                    let start = chunk.used.fetch_add(bytes, Ordering::Relaxed);
                    if start + bytes <= chunk.bytes {
                        debug_assert!(
                            start >= size_of::<Chunk>(),
                            "ARENA-2: the head of a chunk is not given out"
                        );
                        // SAFETY: the range lies in the chunk, whose allocation has `chunk.bytes` bytes.
                        let start = unsafe { current.cast::<u8>().add(start) };
                        return Ok(NonNull::new(start).expect("inside an allocation"));
                    }
                }
            }
            if let Some(start) = self.grow(current, bytes)? {
                return Ok(start);
            }
        }
    }

    /// Adds a chunk. A large request gets a chunk of its own, whose bytes this returns. Otherwise adds the next
    /// current chunk, unless another thread has already replaced `seen`.
    #[cold]
    fn grow(&self, seen: *mut Chunk, bytes: usize) -> Result<Option<NonNull<u8>>> {
        let mut newest = self.newest.lock();
        let current = self.current.load(Ordering::Relaxed);
        if current != seen {
            return Ok(None);
        }
        let held = self.full_bytes.load(Ordering::Relaxed);
        let next_bytes = (held / 16)
            .next_power_of_two()
            .clamp(MIN_CHUNK_BYTES, self.chunk_limit);
        let spare = match bytes <= self.chunk_limit / 4 {
            true => self.spare.take(newest.chunk),
            false => None,
        };
        if spare.is_none() && bytes > next_bytes / 4 {
            let chunk = Chunk::for_one(bytes, newest.chunk)?;
            newest.chunk = chunk;
            let own_bytes = size_of::<Chunk>() + bytes + ALLOCATOR_BYTES;
            self.full_bytes.fetch_add(own_bytes, Ordering::Relaxed);
            // SAFETY: the allocation holds the head and then `bytes` bytes, which no other code has.
            let start = unsafe { chunk.cast::<u8>().add(size_of::<Chunk>()) };
            return Ok(Some(NonNull::new(start).expect("inside an allocation")));
        }
        let chunk = match spare {
            Some(chunk) => chunk,
            None => Chunk::for_many(next_bytes, newest.chunk)?,
        };
        newest.chunk = chunk;
        if !current.is_null() {
            // SAFETY: as in `memory`.
            let full = unsafe { (*current).bytes } + ALLOCATOR_BYTES;
            self.full_bytes.fetch_add(full, Ordering::Relaxed);
        }
        // Release: a thread that sees the chunk sees its head.
        self.current.store(chunk, Ordering::Release);
        Ok(None)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let NewestChunk { chunk, kept } = self.newest.get_mut();
        let mut next = *chunk;
        while !next.is_null() {
            let kept_at = kept.iter().position(|kept| kept.is_of(next));
            // SAFETY: `Chunk` made `next`, or it is a spare one, and it leaves this list here. Records and leaves
            // borrow the arena, or belong to the memtable that is being dropped with it. Keepers of bytes hold their
            // chunk.
            unsafe {
                let previous = (*next).previous;
                match kept_at {
                    Some(at) => kept.swap_remove(at).leave(),
                    None => self.spare.give(next),
                }
                next = previous;
            }
        }
    }
}

/// Memory in the arena for future records. Dropping it frees the unwritten part, if possible.
pub(super) struct RecordRoom<'a> {
    start: NonNull<u8>,
    bytes: usize,
    used: usize,
    arena: &'a Arena,
}

impl<'a> RecordRoom<'a> {
    /// Writes the next record. `Internal` if it does not fit.
    ///
    /// `user_key` and `value`: at most `u32::MAX` bytes each.
    #[inline(always)]
    pub(super) fn write(
        &mut self,
        user_key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Result<Record<'a>> {
        let key_bytes = u32::try_from(user_key.len()).map_err(|_| too_long("key"))?;
        let value_bytes = u32::try_from(value.len()).map_err(|_| too_long("value"))?;
        let bytes = record_bytes(user_key.len(), value.len());
        if bytes > self.bytes - self.used {
            return Err(Error::internal(
                "a batch takes more memory than was reserved",
            ));
        }
        // SAFETY: only this room has its bytes (ARENA-2). The writes below take `bytes` of the unwritten ones after
        // `used`, and that many are left. The caller borrows the sources, so they do not overlap these bytes.
        let start = unsafe {
            let start = self.start.add(self.used);
            self.used += bytes;
            let at = start.as_ptr();
            at.cast::<u64>().write_unaligned(trailer.0);
            at.add(8).cast::<u32>().write_unaligned(key_bytes);
            at.add(12).cast::<u32>().write_unaligned(value_bytes);
            let key_start = at.add(RECORD_HEADER_BYTES);
            ptr::copy_nonoverlapping(user_key.as_ptr(), key_start, user_key.len());
            ptr::copy_nonoverlapping(value.as_ptr(), key_start.add(user_key.len()), value.len());
            start
        };
        Ok(Record {
            start,
            arena: PhantomData,
        })
    }
}

impl Drop for RecordRoom<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.used == 0 {
            self.arena.give_back(self.start, self.bytes);
        }
    }
}

/// How many bytes the record of a key and a value of these lengths takes.
#[inline]
pub(super) fn record_bytes(key: usize, value: usize) -> usize {
    RECORD_HEADER_BYTES + key + value
}

/// The size of an arena's chunks once it has grown.
fn largest_chunk(capacity: usize) -> usize {
    (capacity / 16).clamp(MIN_CHUNK_BYTES, MAX_CHUNK_BYTES)
}

fn too_long(what: &str) -> Error {
    Error::invalid_argument(format!("the {what} is longer than {} bytes", u32::MAX))
}

/// An entry in the arena: its address, valid for `'a`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    start: NonNull<u8>,
    arena: PhantomData<&'a Arena>,
}

// SAFETY: a record is a shared reference to bytes that are never written again (ARENA-3).
unsafe impl Send for Record<'_> {}
// SAFETY: as above.
unsafe impl Sync for Record<'_> {}

impl<'a> Record<'a> {
    /// The record at `address`, or `None` for null.
    ///
    /// # Safety
    /// `address` is null or came from [`Record::address`] of a record of an arena that outlives `'a`, over a path
    /// that made the record's bytes visible to this thread (ARENA-3: a Release store and an Acquire load, or a lock).
    pub(super) unsafe fn from_address(address: *mut u8) -> Option<Record<'a>> {
        Some(Record {
            start: NonNull::new(address)?,
            arena: PhantomData,
        })
    }

    /// The address of the record, which the index stores.
    pub(super) fn address(self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The same as the pointer that a leaf's item is.
    pub(super) fn start(self) -> NonNull<u8> {
        self.start
    }

    /// Bytes that it takes.
    fn bytes(self) -> usize {
        RECORD_HEADER_BYTES + self.user_key().len() + self.value().len()
    }

    pub(super) fn trailer(self) -> Trailer {
        // SAFETY: a record begins with its header, which was written in full before its address was published
        // (ARENA-3).
        Trailer(unsafe { self.start.cast::<u64>().read_unaligned() })
    }

    pub(super) fn user_key(self) -> &'a [u8] {
        // SAFETY: the key follows the header and has the length in the header. It is never written again (ARENA-3)
        // and lives as long as the arena (ARENA-1), which is borrowed for 'a.
        unsafe {
            let length = self.start.add(8).cast::<u32>().read_unaligned() as usize;
            std::slice::from_raw_parts(self.start.add(RECORD_HEADER_BYTES).as_ptr(), length)
        }
    }

    pub(super) fn key(self) -> KeyRef<'a> {
        KeyRef::new(self.user_key(), self.trailer())
    }

    pub(super) fn value(self) -> &'a [u8] {
        let key_bytes = self.user_key().len();
        // SAFETY: as in `user_key`; the value follows the key.
        unsafe {
            let length = self.start.add(12).cast::<u32>().read_unaligned() as usize;
            let start = self.start.add(RECORD_HEADER_BYTES + key_bytes);
            std::slice::from_raw_parts(start.as_ptr(), length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{SequenceNumber, ValueKind};

    fn alone(capacity: usize) -> Arena {
        Arena::new(capacity, Arena::spare_chunks(capacity, 0))
    }

    /// CHUNK-1.
    #[test]
    fn the_chunks_of_an_arena_that_is_gone_are_used_again() {
        let spare = Arena::spare_chunks(1 << 20, 1 << 20);
        for round in 0..3 {
            let arena = Arena::new(1 << 20, Arc::clone(&spare));
            let before = spare.bytes();
            assert_eq!(before > 0, round > 0);
            let records: Vec<_> = (0..4_000u64)
                .map(|number| arena.write(&number.to_be_bytes(), put(number), &[round; 200]))
                .collect();
            assert!(spare.bytes() < before || before == 0);
            for (number, record) in (0..).zip(records) {
                let record = record.unwrap();
                assert_eq!(record.user_key(), u64::to_be_bytes(number));
                assert_eq!(record.value(), [round; 200]);
            }
            drop(arena);
        }
    }

    fn put(sequence: u64) -> Trailer {
        Trailer::new(SequenceNumber(sequence), ValueKind::Put)
    }

    /// ARENA-3.
    #[test]
    fn records_of_every_size_keep_their_bytes() {
        let arena = alone(64 << 10);
        let sizes = [0usize, 1, 7, 100, 1_000, 1_024, 5_000, 70_000, 3 << 20];
        let mut records = Vec::new();
        for round in 0..20u8 {
            for (index, &size) in sizes.iter().enumerate().take(8 + usize::from(round == 0)) {
                let key = vec![round; index * 3];
                let value = vec![round ^ 0x55; size];
                let trailer = put(u64::from(round) * 100 + index as u64);
                let record = arena.write(&key, trailer, &value).unwrap();
                records.push((record, key, trailer, value));
            }
        }
        for (record, key, trailer, value) in &records {
            assert_eq!(record.user_key(), &key[..]);
            assert_eq!(record.trailer(), *trailer);
            assert_eq!(record.value(), &value[..]);
        }
    }

    /// Bytes of the chunk being filled.
    fn current_bytes(arena: &Arena) -> usize {
        // SAFETY: the arena lives, has a chunk, and no other code uses it.
        unsafe { (*arena.current.load(Ordering::Relaxed)).bytes }
    }

    #[test]
    fn memory_is_counted_to_the_byte() {
        let head = size_of::<Chunk>();
        let arena = alone(64 << 10);
        assert_eq!(arena.memory(), 0);
        // Records have 16 bytes of header, 4 of key and 80 of value.
        let write = |number: u32| {
            let key = number.to_be_bytes();
            arena.write(&key, put(u64::from(number)), &[1; 80]).unwrap();
        };
        let in_chunk = (MIN_CHUNK_BYTES - head) / 100;
        for number in 1..=in_chunk {
            write(number as u32);
            let held = head + number * 100 + ALLOCATOR_BYTES;
            assert_eq!(arena.memory(), held, "{number} records");
        }
        assert_eq!(current_bytes(&arena), MIN_CHUNK_BYTES);
        // One more record makes a second chunk; then the first one counts as a whole.
        write(0);
        let held = MIN_CHUNK_BYTES + ALLOCATOR_BYTES + head + 100 + ALLOCATOR_BYTES;
        assert_eq!(arena.memory(), held);
        // A record of more than a quarter of a chunk gets a chunk of its own, exactly large enough.
        let large = MIN_CHUNK_BYTES / 4 + 1 - RECORD_HEADER_BYTES;
        arena.write(&[], put(1), &vec![1; large]).unwrap();
        let own = head + RECORD_HEADER_BYTES + large + ALLOCATOR_BYTES;
        assert_eq!(arena.memory(), held + own);
        write(1);
        assert_eq!(arena.memory(), held + own + 100);
    }

    #[test]
    fn chunks_grow_as_a_sixteenth_of_the_arena_up_to_one_of_its_capacity() {
        for (capacity, limit) in [
            (0, 4 << 10),
            (64 << 10, 4 << 10),
            (1 << 20, 64 << 10),
            (16 << 20, 1 << 20),
            (64 << 20, 1 << 20),
        ] {
            let arena = alone(capacity);
            let mut largest = 0;
            while arena.memory() < 20 << 20 {
                let held = arena.full_bytes.load(Ordering::Relaxed);
                arena.write(b"key", put(1), &[1; 400]).unwrap();
                let chunk = current_bytes(&arena);
                if arena.full_bytes.load(Ordering::Relaxed) == held {
                    continue;
                }
                largest = largest.max(chunk);
                assert!(chunk <= limit, "{chunk} of a capacity of {capacity}");
                assert!(
                    chunk <= (held / 8).max(MIN_CHUNK_BYTES),
                    "ARENA-4: {chunk} of {held}"
                );
                assert!(chunk >= (held / 16).min(limit), "{chunk} of {held}");
            }
            assert_eq!(largest, limit, "of a capacity of {capacity}");
        }
    }

    /// ARENA-1, CHUNK-4.
    #[test]
    fn a_chunk_that_is_kept_outlives_its_arena_and_is_not_used_again() {
        let spare = Arena::spare_chunks(1 << 20, 1 << 20);
        let mut kept = Vec::new();
        for round in 0..3u8 {
            let arena = Arena::new(1 << 20, Arc::clone(&spare));
            for number in 0..4_000u64 {
                let record = arena.write(&number.to_be_bytes(), put(number), &[round; 200]);
                let record = record.unwrap();
                if number % 1_000 == 500 {
                    let chunk = arena.keep(record).unwrap();
                    let (key, value) = (record.user_key(), record.value());
                    kept.push((chunk, key.as_ptr(), value.as_ptr(), number, round));
                }
            }
            let large = arena.write(b"large", put(1), &[round; 70_000]).unwrap();
            // Twice, because each keeper releases it separately.
            kept.extend([(); 2].map(|()| {
                let chunk = arena.keep(large).unwrap();
                (chunk, ptr::null(), large.value().as_ptr(), 0, round)
            }));
            let other = alone(0);
            assert!(
                arena
                    .keep(other.write(b"k", put(1), b"").unwrap())
                    .is_none()
            );
        }
        for (chunk, key, value, number, round) in kept {
            // SAFETY: both lie in the chunk that is kept.
            unsafe {
                if !key.is_null() {
                    assert_eq!(std::slice::from_raw_parts(key, 8), number.to_be_bytes());
                }
                assert_eq!(std::slice::from_raw_parts(value, 200), [round; 200]);
            }
            drop(chunk);
        }
        spare.close();
        assert_eq!(spare.bytes(), 0);
        let arena = Arena::new(1 << 20, Arc::clone(&spare));
        arena.write(b"k", put(1), &[1; 100]).unwrap();
        drop(arena);
        assert_eq!(spare.bytes(), 0, "nothing is kept after a close");
    }

    /// ARENA-2.
    #[test]
    fn threads_never_share_bytes() {
        let arena = alone(1 << 20);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let arena = &arena;
                scope.spawn(move || {
                    let mut records = Vec::new();
                    for round in 0..2_000u64 {
                        let value = vec![thread; (round % 300) as usize];
                        records.push((arena.write(&[thread], put(round), &value).unwrap(), value));
                    }
                    for (round, (record, value)) in records.iter().enumerate() {
                        assert_eq!(record.trailer(), put(round as u64));
                        assert_eq!(record.user_key(), [thread]);
                        assert_eq!(record.value(), &value[..]);
                    }
                });
            }
        });
    }
}
