//! The memory of a data block: a reference-counted pointer to a head, with the block's bytes right after it.
//! All unsafe code of `block/` is here, and nothing here interprets the bytes.
//!
//! The bytes follow their head so that a lookup waits for one memory access, not for two in turn
//! (docs/decisions/0024).
//!
//! * BLOCK-7  A block's memory begins with its header, [`Counted`], followed by `length` bytes. They do not change
//!            while the block has a holder; dropping the last reference frees the memory.
//! * BLOCK-8  From `make` to `give_back` the gauge counts what [`Block::charge`] says.
//!
//! Elsewhere: the meaning of the bytes (`stored.rs`, `flat.rs`), and which form a block has (`form.rs`); which
//! blocks stay in memory (`sstable/block_cache.rs`).

#![expect(
    unsafe_code,
    reason = "a block is a counted pointer to its head, which its bytes follow"
)]

use std::alloc;
use std::ops::{Deref, Range};
use std::ptr::{self, NonNull};

use crate::error::Result;
use crate::memory::{self, MemoryGauge, Slabs};
use crate::prefetch::prefetch;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::process::AtomicUsize;

/// Bytes that a cached block takes besides its own bytes and its head: its place in the cache's ring, and its slot.
const OVERHEAD_BYTES: usize = 24 + 8;
/// An allocator's overhead for each allocation.
const ALLOCATOR_BYTES: usize = 16;

/// A data block. Cloning counts a reference.
pub(crate) struct Block(NonNull<Counted>);

#[repr(C)]
struct Counted {
    /// How many references to the block there are.
    references: AtomicUsize,
    length: usize,
    head: Head,
}

/// The head of a block, before its bytes. The fields that a hit reads come last, next to the bytes that it reads
/// afterwards.
#[repr(C)]
pub(crate) struct Head {
    gauge: Arc<MemoryGauge>,
    /// The bytes of a large block in the stored form. Those of any other block follow the head.
    pub(super) large: Box<[u8]>,
    id: BlockId,
    /// The block's place in the ring of its cache shard; written and read under that shard's lock.
    pub(crate) ring_position: AtomicU32,
    form: Form,
    /// Whether its memory is a piece of the gauge's slabs.
    in_slab: bool,
    /// Whether a thread has tried to make it flat.
    flattened: AtomicBool,
    /// Set by a hit, cleared by the cache's hand as it passes.
    touched: AtomicBool,
}

/// The form of the bytes, for readers (`form.rs`).
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Form {
    /// How many restart points the stored form has; 0 if the block is flat.
    pub(super) restarts: u32,
    /// How many entries the flat form has; 0 if the block is stored.
    pub(super) flat_entries: u16,
    pub(super) flat_shared: u16,
}

/// Which block it is. Checked before a block is handed out, so that none is taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockId {
    /// The lower half of the table's random file id.
    table: u32,
    number: u32,
}

impl BlockId {
    /// The identity of data block `number` of the table with this file id.
    #[inline]
    pub(crate) fn new(file_id: u64, number: usize) -> BlockId {
        BlockId {
            table: file_id as u32,
            number: number as u32,
        }
    }
}

/// One cache line; the model checker's atomics are larger.
#[cfg(not(shuttle))]
const _: () = assert!(size_of::<Counted>() == 64);

// SAFETY: the holders share only data that is read-only, atomic, or in an `Arc` of a type that is `Send` and `Sync`.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// A block with a copy of `bytes`, or with `large` itself. The gauge counts it until its last reference is
    /// dropped.
    ///
    /// Errors: `OutOfMemory`.
    pub(super) fn make(
        large: Box<[u8]>,
        bytes: &[u8],
        id: BlockId,
        form: Form,
        gauge: &Arc<MemoryGauge>,
    ) -> Result<Block> {
        let size = size_of::<Counted>() + bytes.len();
        let piece = gauge.slabs().and_then(|slabs| slabs.allocate(size));
        let place = match piece {
            Some(piece) => piece,
            None => memory::allocate(memory_layout(bytes.len()), false, "a block")?,
        };
        gauge.add(charge_of(large.len(), size, piece.is_some()));
        if piece.is_some() {
            gauge.add_piece(Slabs::piece_bytes(size));
        }
        let shared = Counted {
            references: AtomicUsize::new(1),
            length: bytes.len(),
            head: Head {
                gauge: Arc::clone(gauge),
                large,
                id,
                ring_position: AtomicU32::new(0),
                form,
                in_slab: piece.is_some(),
                flattened: AtomicBool::new(form.flat_entries > 0),
                touched: AtomicBool::new(form.flat_entries > 0),
            },
        };
        // SAFETY: the memory is this function's alone, aligned for a `Counted` (slabs align to 64), and has room for it
        // and the bytes after it (BLOCK-7). It does not overlap `bytes`, which the caller owns.
        unsafe {
            let place = place.cast::<Counted>();
            place.write(shared);
            let after = place.add(1).cast::<u8>();
            ptr::copy_nonoverlapping(bytes.as_ptr(), after.as_ptr(), bytes.len());
            Ok(Block(place))
        }
    }

    /// Another block of the same identity, counted in the same gauge, whose bytes are a copy of `bytes`.
    pub(super) fn made_anew(&self, bytes: &[u8], form: Form) -> Result<Block> {
        Block::make(Box::default(), bytes, self.id, form, &self.gauge)
    }

    /// The bytes after the head.
    #[inline]
    fn slice_after(&self) -> &[u8] {
        // SAFETY: BLOCK-7: that many bytes follow the head. `make` initialised them, and they do not change or move
        // while `self` is held.
        unsafe {
            let after = self.0.add(1).cast::<u8>();
            std::slice::from_raw_parts(after.as_ptr(), self.0.as_ref().length)
        }
    }

    /// All bytes of the block, in its form.
    #[inline]
    pub(in crate::sstable) fn bytes(&self) -> &[u8] {
        match &*self.large {
            [] => self.slice_after(),
            large => large,
        }
    }

    /// [`Block::bytes`] of a block that is known not to be a large one.
    #[inline]
    pub(super) fn small_bytes(&self) -> &[u8] {
        debug_assert!(self.large.is_empty(), "LAYOUT-2: a flat block is small");
        self.slice_after()
    }

    /// Bytes of this block; the range came from a lookup in it.
    #[inline]
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.bytes()[range]
    }

    /// The form that was passed to [`Block::make`].
    #[inline]
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Which block it is.
    #[inline]
    pub(crate) fn id(&self) -> BlockId {
        self.id
    }

    /// Whether `other` is this very block.
    pub(crate) fn is(&self, other: &Block) -> bool {
        self.0 == other.0
    }

    /// Whether all of its memory is a piece of the slabs.
    pub(crate) fn is_in_slab(&self) -> bool {
        self.in_slab && self.large.is_empty()
    }

    /// The memory that the block takes.
    pub(crate) fn charge(&self) -> usize {
        let size = size_of::<Counted>() + self.slice_after().len();
        charge_of(self.large.len(), size, self.in_slab)
    }

    /// Marks a hit. Writes only if there was no hit since the cache's hand passed.
    #[inline]
    pub(crate) fn touch(&self) {
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the block was hit since the last call.
    pub(crate) fn take_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed) && self.touched.swap(false, Ordering::Relaxed)
    }

    /// Whether no thread has yet tried to make it flat.
    #[inline]
    pub(crate) fn may_flatten(&self) -> bool {
        self.form.flat_entries == 0 && !self.flattened.load(Ordering::Relaxed)
    }

    /// Records that this thread tries to make it flat; returns whether it is the first to try.
    pub(super) fn begin_to_flatten(&self) -> bool {
        self.form.flat_entries == 0 && !self.flattened.swap(true, Ordering::Relaxed)
    }

    /// Prefetches what a lookup reads first.
    #[inline]
    pub(crate) fn prefetch(&self) {
        // The block's head, and the entry heads and offsets of a usual flat block, take five cache lines.
        let head = self.0.as_ptr().cast::<u8>();
        for line in 0..5 {
            prefetch(head.wrapping_add(64 * line));
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    ///
    /// No reference to the block is left, and this is called once.
    #[cold]
    unsafe fn give_back(place: NonNull<Counted>) {
        // SAFETY: `make` wrote it, and it is never read again. From here on `shared` owns it, which is dropped last,
        // and perhaps with it the slabs to which the memory returns.
        let shared = unsafe { place.read() };
        let head = &shared.head;
        let size = size_of::<Counted>() + shared.length;
        match (head.in_slab, head.gauge.slabs()) {
            (true, Some(slabs)) => {
                head.gauge.subtract_piece(Slabs::piece_bytes(size));
                // SAFETY: these slabs gave the piece to `make`, and it is no longer in use.
                unsafe { slabs.free(place.cast()) }
            }
            // SAFETY: `make` allocated it with this very layout.
            _ => unsafe { alloc::dealloc(place.as_ptr().cast(), memory_layout(shared.length)) },
        }
        let charge = charge_of(head.large.len(), size, head.in_slab);
        head.gauge.subtract(charge);
    }
}

/// The memory that is counted for a block whose head and following bytes take `size` bytes.
fn charge_of(large: usize, size: usize, in_slab: bool) -> usize {
    let taken = match in_slab {
        true => Slabs::piece_bytes(size),
        false => size + ALLOCATOR_BYTES,
    };
    large + taken + OVERHEAD_BYTES
}

/// The memory layout of a block with `length` bytes after its head.
fn memory_layout(length: usize) -> alloc::Layout {
    alloc::Layout::from_size_align(size_of::<Counted>() + length, align_of::<Counted>())
        .expect("a slice's length and a cache line fit half the address space")
}

impl Clone for Block {
    #[inline]
    fn clone(&self) -> Block {
        // SAFETY: BLOCK-7: it lives while `self` is held.
        let before = unsafe { self.0.as_ref() }
            .references
            .fetch_add(1, Ordering::Relaxed);
        // This many references can only be forgotten clones. Further ones would wrap the count, and the block would
        // be freed while it is held.
        if before > usize::MAX / 2 {
            std::process::abort();
        }
        Block(self.0)
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: BLOCK-7: it lives while `self` is held. Each holder's use of the block happens before the last
        // holder's `give_back`, because each holder releases and the last one acquires.
        unsafe {
            let references = &self.0.as_ref().references;
            if references.fetch_sub(1, Ordering::Release) == 1 {
                references.load(Ordering::Acquire);
                Block::give_back(self.0);
            }
        }
    }
}

impl Deref for Block {
    type Target = Head;

    #[inline]
    fn deref(&self) -> &Head {
        // SAFETY: BLOCK-7: it lives while `self` is held.
        unsafe { &(*self.0.as_ptr()).head }
    }
}

// SAFETY: a block is just this pointer, so the conversions pass it on unchanged, together with the reference that it
// counts. Two blocks with one address are one allocation with one count. None of these functions panics.
#[cfg(not(shuttle))]
unsafe impl crate::sync::RefCnt for Block {
    type Base = std::ffi::c_void;

    #[inline]
    fn into_ptr(me: Block) -> *mut Self::Base {
        std::mem::ManuallyDrop::new(me).0.as_ptr().cast()
    }

    #[inline]
    fn as_ptr(me: &Block) -> *mut Self::Base {
        me.0.as_ptr().cast()
    }

    #[inline]
    unsafe fn from_ptr(pointer: *const Self::Base) -> Block {
        // SAFETY: the caller's pointer came from `into_ptr` or `as_ptr`, so it is not null.
        Block(unsafe { NonNull::new_unchecked(pointer.cast_mut().cast()) })
    }
}
