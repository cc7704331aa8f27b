//! The chunks of memory that an arena consists of, and spare ones.
//!
//! A chunk that was written before already has its pages. The system need not find and clear new ones, which
//! takes a tenth of the time of a put of a small value and half the time of a put of a large one. So while
//! there are writes, the chunks of a dropped memtable are kept for the next one.
//!
//! * CHUNK-1  A chunk is in one list at a time, an arena's or the spare list, and is freed once.
//! * CHUNK-4  A reader that needs bytes of an arena for longer than the arena lives keeps their chunk. Such a
//!            chunk is not reused; its other pages go back to the system when the arena is dropped, and it is
//!            freed with its last keeper.
//! * CHUNK-2  Spare chunks have at most `most` bytes. Arenas use them before they allocate, so arenas and
//!            spares together never have more than the peak of arenas alone.
//! * CHUNK-5  A chunk for many records of 128 KiB or more is mapped, and unmapped when it is freed: an
//!            allocator would keep it for the allocating thread, long after the database is closed. A chunk of
//!            one large record is never kept as a spare; the allocator keeps its pages for the next one.
//! * CHUNK-3  In a forked child a chunk is freed without the lock, because a thread that exists only in the
//!            parent may hold it.

#![expect(
    unsafe_code,
    reason = "chunks are raw memory with a head; this file makes and frees them"
)]

use std::alloc::{Layout, dealloc};
use std::ops::Range;
use std::ptr::NonNull;

use crate::env::{discard, map, unmap};
use crate::error::{Error, Result};
use crate::memory;
use crate::sync::atomic::AtomicUsize;
use crate::sync::{Arc, Mutex};

/// The alignment of chunks. Code that lays out data in them aligns the data itself.
const CHUNK_ALIGN: usize = 16;

/// A chunk of at least this many bytes is mapped (CHUNK-5).
const MIN_MAPPED_BYTES: usize = 128 << 10;

/// The allocator's own overhead for a chunk.
pub(super) const ALLOCATOR_BYTES: usize = 16;

/// The head of a chunk; the allocated bytes follow it.
pub(super) struct Chunk {
    /// The chunk that was made before this one. Chunks are freed in this order.
    pub(super) previous: *mut Chunk,
    /// Bytes of the whole allocation.
    pub(super) bytes: usize,
    /// Allocated bytes, the head included. More than `bytes` after a request that did not fit.
    pub(super) used: AtomicUsize,
    source: Source,
}

/// The source of a chunk's memory (CHUNK-5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Allocator,
    System,
}

impl Chunk {
    /// A chunk of `bytes` bytes, its head included, for many records. Fails only if there is no memory.
    pub(super) fn for_many(bytes: usize, previous: *mut Chunk) -> Result<*mut Chunk> {
        // Miri cannot map memory.
        let source = match bytes >= MIN_MAPPED_BYTES && !cfg!(miri) {
            true => Source::System,
            false => Source::Allocator,
        };
        Chunk::new(bytes, previous, source)
    }

    /// A chunk with room for `room` bytes after its head, all of them taken at once. Fails only if there is no
    /// memory.
    pub(super) fn for_one(room: usize, previous: *mut Chunk) -> Result<*mut Chunk> {
        let bytes = size_of::<Chunk>()
            .checked_add(room)
            .ok_or_else(|| no_memory(room))?;
        Chunk::new(bytes, previous, Source::Allocator)
    }

    fn new(bytes: usize, previous: *mut Chunk, source: Source) -> Result<*mut Chunk> {
        debug_assert!(
            bytes >= size_of::<Chunk>(),
            "CHUNK-1: a chunk has room for its head"
        );
        let layout = Layout::from_size_align(bytes, CHUNK_ALIGN).map_err(|_| no_memory(bytes))?;
        let start = match source {
            Source::System => {
                memory::pass(MEMTABLE, bytes)?;
                map(bytes).ok_or_else(|| no_memory(bytes))?
            }
            Source::Allocator => memory::allocate(layout, false, MEMTABLE)?,
        };
        let chunk = start.as_ptr().cast::<Chunk>();
        let head = Chunk {
            previous,
            bytes,
            used: AtomicUsize::new(size_of::<Chunk>()),
            source,
        };
        // SAFETY: just allocated, large enough, and aligned to 16 at least, which is more than `Chunk` needs.
        unsafe { chunk.write(head) };
        Ok(chunk)
    }

    /// Frees a chunk.
    ///
    /// # Safety
    /// `chunk` was made by this type, is freed only here, and nothing refers to it any more.
    unsafe fn free(chunk: *mut Chunk) {
        // SAFETY: by the caller's promise. The head says how the chunk was made.
        unsafe {
            let bytes = (*chunk).bytes;
            match (*chunk).source {
                Source::System => unmap(NonNull::new_unchecked(chunk.cast()), bytes),
                Source::Allocator => dealloc(
                    chunk.cast(),
                    Layout::from_size_align_unchecked(bytes, CHUNK_ALIGN),
                ),
            }
        }
    }
}

/// Bytes of a chunk that may outlive its arena (CHUNK-4).
pub(super) struct Kept {
    chunk: Arc<KeptChunk>,
    /// Where in the chunk the bytes are.
    range: Range<usize>,
}

/// A chunk, freed with its last reference: its arena has one, and so has each keeper.
pub(crate) struct KeptChunk(NonNull<Chunk>);

// SAFETY: chunks belong to no thread, and this one's bytes are only read.
unsafe impl Send for KeptChunk {}
// SAFETY: as above.
unsafe impl Sync for KeptChunk {}

impl Kept {
    /// Keeps the chunk that has the `bytes` at `address`. It is one of those from `newest` on; `all` are the kept
    /// ones.
    ///
    /// # Safety
    /// `newest` is null or the newest chunk of a live arena, `all` is that arena's list, and the arena gets no new
    /// chunk during the call.
    pub(super) unsafe fn keep(
        all: &mut Vec<Kept>,
        newest: *mut Chunk,
        address: *const u8,
        bytes: usize,
    ) -> Option<Arc<KeptChunk>> {
        let mut next = NonNull::new(newest);
        while let Some(chunk) = next {
            // SAFETY: an arena's chunks live as long as the arena (CHUNK-1).
            let head = unsafe { chunk.as_ref() };
            let start = address.addr().wrapping_sub(chunk.addr().get());
            if start >= head.bytes {
                next = NonNull::new(head.previous);
                continue;
            }
            let end = start + bytes;
            debug_assert!(
                start >= size_of::<Chunk>() && end <= head.bytes,
                "CHUNK-4: the kept bytes lie in their chunk"
            );
            if let Some(kept) = all.iter_mut().find(|kept| kept.chunk.0 == chunk) {
                kept.range = kept.range.start.min(start)..kept.range.end.max(end);
                return Some(Arc::clone(&kept.chunk));
            }
            let kept = Arc::new(KeptChunk(chunk));
            all.push(Kept {
                chunk: Arc::clone(&kept),
                range: start..end,
            });
            return Some(kept);
        }
        None
    }

    /// Whether `chunk` is this one.
    pub(super) fn is_of(&self, chunk: *mut Chunk) -> bool {
        self.chunk.0.as_ptr() == chunk
    }

    /// Leaves the chunk to its keepers.
    ///
    /// # Safety
    /// Its arena is being dropped, and only the kept bytes of the chunk are still referred to.
    pub(super) unsafe fn leave(self) {
        let chunk = self.chunk.0.as_ptr();
        // SAFETY: the chunk lives, because this is one of its references. Both ranges lie in it, and belong to the
        // arena, which is being dropped.
        unsafe {
            let bytes = chunk.cast::<u8>();
            discard(bytes.add(size_of::<Chunk>())..bytes.add(self.range.start));
            discard(bytes.add(self.range.end)..bytes.add((*chunk).bytes));
        }
    }
}

impl Drop for KeptChunk {
    fn drop(&mut self) {
        // SAFETY: this was the last reference. An arena has one as long as it lives, so it has left the chunk.
        unsafe { Chunk::free(self.0.as_ptr()) };
    }
}

/// The name of its memory in errors.
pub(super) const MEMTABLE: &str = "a memtable";

pub(super) fn no_memory(bytes: usize) -> Error {
    Error::out_of_memory(MEMTABLE, bytes)
}

/// Chunks that no arena needs now. See the head of the file.
pub(crate) struct SpareChunks {
    list: Mutex<List>,
    /// Chunks of this size are kept, others freed.
    chunk_bytes: usize,
    /// The process it belongs to (CHUNK-3).
    forks: u32,
}

struct List {
    newest: *mut Chunk,
    bytes: usize,
    /// The largest value of `bytes` (CHUNK-2).
    most: usize,
}

// SAFETY: code follows the list only under the lock, and chunks belong to no thread.
unsafe impl Send for List {}

impl SpareChunks {
    /// An empty list, for up to `most` bytes of chunks. Each chunk has `chunk_bytes` bytes, the head included.
    pub(super) fn new(chunk_bytes: usize, most: usize) -> SpareChunks {
        let list = List {
            newest: std::ptr::null_mut(),
            bytes: 0,
            most,
        };
        SpareChunks {
            list: Mutex::new(list),
            chunk_bytes,
            forks: crate::env::fork_count(),
        }
    }

    /// Takes a spare chunk, if there is one, and puts it in front of `previous`.
    pub(super) fn take(&self, previous: *mut Chunk) -> Option<*mut Chunk> {
        let mut list = self.list.lock();
        let chunk = list.newest;
        // SAFETY: null or a chunk, because it is in the list (CHUNK-1).
        let head = unsafe { chunk.as_mut() }?;
        debug_assert!(
            head.bytes == self.chunk_bytes && head.bytes <= list.bytes,
            "CHUNK-2: spare chunks have one size, and are counted"
        );
        list.newest = head.previous;
        list.bytes -= head.bytes;
        debug_assert!(
            list.newest.is_null() == (list.bytes == 0),
            "CHUNK-2: every spare chunk is counted"
        );
        head.previous = previous;
        head.used = AtomicUsize::new(size_of::<Chunk>());
        Some(chunk)
    }

    /// Keeps a chunk for the next arena, or frees it.
    ///
    /// # Safety
    /// `chunk` was made by [`Chunk`] or came from [`SpareChunks::take`], and nothing refers to it any more.
    pub(super) unsafe fn give(&self, chunk: *mut Chunk) {
        // SAFETY: only the caller has it.
        let head = unsafe { &mut *chunk };
        if head.bytes == self.chunk_bytes && crate::env::fork_count() == self.forks {
            let mut list = self.list.lock();
            if list.bytes + head.bytes <= list.most {
                debug_assert!(
                    list.newest != chunk,
                    "CHUNK-1: a chunk is in one list at a time"
                );
                debug_assert!(
                    list.newest.is_null() == (list.bytes == 0),
                    "CHUNK-2: every spare chunk is counted"
                );
                head.previous = list.newest;
                list.bytes += head.bytes;
                list.newest = chunk;
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { Chunk::free(chunk) };
    }

    /// Bytes of the spare chunks.
    pub(crate) fn bytes(&self) -> usize {
        self.list.lock().bytes
    }

    /// Frees all spare chunks, and from now on every chunk that is given back.
    pub(crate) fn close(&self) {
        self.list.lock().most = 0;
        self.clear();
    }

    /// Frees all spare chunks.
    pub(crate) fn clear(&self) {
        let mut list = self.list.lock();
        let mut next = std::mem::replace(&mut list.newest, std::ptr::null_mut());
        list.bytes = 0;
        drop(list);
        while !next.is_null() {
            let chunk = next;
            // SAFETY: a chunk of the list just taken, which no other thread has (CHUNK-1).
            unsafe {
                next = (*chunk).previous;
                Chunk::free(chunk);
            }
        }
    }
}

impl Drop for SpareChunks {
    fn drop(&mut self) {
        // CHUNK-3.
        if crate::env::fork_count() == self.forks {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{MAPPED, UNMAPPED};
    use std::ptr;

    fn chunk(bytes: usize) -> *mut Chunk {
        Chunk::for_many(bytes, ptr::null_mut()).unwrap()
    }

    /// CHUNK-5.
    #[test]
    #[cfg(not(miri))]
    fn large_chunks_for_many_records_are_the_systems_again_when_they_are_freed() {
        for (bytes, is_mapped) in [
            (MIN_MAPPED_BYTES - 1, false),
            (MIN_MAPPED_BYTES, true),
            (MIN_MAPPED_BYTES + 1, true),
        ] {
            let before = (MAPPED.get(), UNMAPPED.get());
            let spare = SpareChunks::new(4096, 0);
            // SAFETY: just made, and no other code has them.
            unsafe {
                spare.give(chunk(bytes));
                spare.give(Chunk::for_one(bytes, ptr::null_mut()).unwrap());
            }
            let mapped = if is_mapped { bytes } else { 0 };
            let after = (MAPPED.get(), UNMAPPED.get());
            assert_eq!(after, (before.0 + mapped, before.1 + mapped), "{bytes}");
        }
    }

    #[test]
    fn as_many_chunks_are_kept_as_are_allowed_and_only_of_one_size() {
        let spare = SpareChunks::new(4096, 3 * 4096);
        for bytes in [4096, 100, 4096, 8192, 4096, 4096, 4096] {
            // SAFETY: just allocated, and no other code has it.
            unsafe { spare.give(chunk(bytes)) };
        }
        assert_eq!(spare.bytes(), 3 * 4096, "CHUNK-2");
        let mut taken = Vec::new();
        while let Some(chunk) = spare.take(ptr::null_mut()) {
            taken.push(chunk);
        }
        assert_eq!(taken.len(), 3);
        assert_eq!(spare.bytes(), 0);
        for chunk in taken {
            // SAFETY: taken, and not in use.
            unsafe {
                assert_eq!((*chunk).bytes, 4096);
                assert_eq!((*chunk).used.get_mut(), &size_of::<Chunk>());
                spare.give(chunk);
            }
        }
        assert_eq!(spare.bytes(), 3 * 4096);
        spare.clear();
        assert_eq!(spare.bytes(), 0);
    }
}
