//! A data block in memory, and a cursor over its entries. The inverse is `block_builder.rs`, whose B1 to B4 hold
//! for every block that we wrote. Layout: docs/format.md, "SSTable". A block has this stored form when it comes from
//! the disk; in the cache it may be replaced by its flat form (`flat.rs`).
//!
//! The bytes passed their checksum, but are not trusted: each entry is checked as it is decoded, and what does
//! not fit is [`Damage`], never a panic or an endless loop. `reader.rs` turns it into `Corruption` with file and
//! offset. That entries ascend is not checked here (`Table::check` does): out of order they give wrong answers,
//! not undefined ones.
//!
//! * B5  The cursor's position only grows in `next` and only shrinks in `prev`, so every walk ends.
//! * B6  A cursor holds a counted reference to its block: evicting the block from the cache does not move it.
//!
//! Cost: `next` allocates nothing and copies only the part of a key that is not shared. The first `prev` between
//! two restart points decodes that stretch once; those behind it are lookups.

#![expect(
    unsafe_code,
    reason = "a block is a counted pointer to its head, with its bytes behind"
)]

use std::alloc;
use std::ops::{Deref, Range};
use std::ptr::{self, NonNull};

use crate::key::{KeyRef, TRAILER_BYTES, Trailer};
use crate::memory::{self, MemoryGauge, Slabs, Undecoded};
use crate::prefetch::prefetch;
use crate::sstable::block_builder::MAX_REBUILT_BYTES;
use crate::sstable::flat::{Flat, Layout, Way, flatten};
use crate::sstable::format::RawBlock;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::process::AtomicUsize;

/// What is wrong with a block's raw bytes, and at which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// Blocks with more bytes keep them where they came in.
pub(super) const LARGE_BYTES: usize = 64 << 10;

/// Bytes a cached block takes beyond its own and its head: its place in the cache's ring, and its slot.
const OVERHEAD_BYTES: usize = 24 + 8;
/// What an allocator adds to each allocation.
const ALLOCATOR_BYTES: usize = 16;

/// The raw bytes of a data block, its restart points checked; or its flat form. Cloning counts a reference.
///
/// A block's bytes stand right behind its head: a lookup in it waits for one address, not for two in turn.
///
/// * B7  A block's memory begins with its `Shared`, whose `length` bytes follow it. They do not change while somebody
///       holds the block; whoever lets it go last gives the memory back.
pub(crate) struct Block(NonNull<Shared>);

#[repr(C)]
struct Shared {
    /// How many hold the block.
    references: AtomicUsize,
    length: usize,
    head: Head,
}

/// What a block has beside its bytes. What a hit reads comes last, beside the bytes it reads next.
#[repr(C)]
pub(crate) struct Head {
    gauge: Arc<MemoryGauge>,
    /// The bytes of a large block in the stored form; those of any other stand behind the head.
    large: Box<[u8]>,
    id: BlockId,
    /// The block's place in the ring of its cache shard; written and read under that shard's lock.
    pub(crate) ring_position: AtomicU32,
    /// How many restart points the stored form has.
    restarts: u32,
    /// The layout of a flat block, whose bytes have no restart points; no entries: it is stored.
    flat_entries: u16,
    flat_shared: u16,
    /// Whether its memory is a piece of the gauge's slabs.
    in_slab: bool,
    /// Whether someone has tried to make it flat.
    flattened: AtomicBool,
    /// Set by a hit, cleared by the cache's hand as it passes.
    touched: AtomicBool,
}

/// Which block it is: what a block that is handed out is asked, lest one stand for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockId {
    /// The lower half of the table's random file id.
    table: u32,
    number: u32,
}

impl BlockId {
    /// Of data block `number` of the table with this file id.
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
const _: () = assert!(size_of::<Shared>() == 64);

// SAFETY: what all holders share is read only, atomic, or an `Arc` of something that is `Send` and `Sync`.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl From<Damage> for Undecoded<Damage> {
    fn from(damage: Damage) -> Self {
        Undecoded::Damaged(damage)
    }
}

impl Block {
    /// A block of a copy of `bytes`, counted in `gauge` until nobody holds it. Fails only for want of memory.
    fn make(
        large: Box<[u8]>,
        bytes: &[u8],
        id: BlockId,
        restarts: u32,
        layout: Option<Layout>,
        gauge: &Arc<MemoryGauge>,
    ) -> crate::error::Result<Block> {
        let size = size_of::<Shared>() + bytes.len();
        let piece = gauge.slabs().and_then(|slabs| slabs.allocate(size));
        let place = match piece {
            Some(piece) => piece,
            None => memory::allocate(memory_layout(bytes.len()), false, "a block")?,
        };
        gauge.add(charge_of(large.len(), size, piece.is_some()));
        if piece.is_some() {
            gauge.add_piece(Slabs::piece_bytes(size));
        }
        let shared = Shared {
            references: AtomicUsize::new(1),
            length: bytes.len(),
            head: Head {
                gauge: Arc::clone(gauge),
                large,
                id,
                ring_position: AtomicU32::new(0),
                restarts,
                // E2: they fit.
                flat_entries: layout.map_or(0, |layout| layout.count as u16),
                flat_shared: layout.map_or(0, |layout| layout.shared as u16),
                in_slab: piece.is_some(),
                flattened: AtomicBool::new(layout.is_some()),
                touched: AtomicBool::new(layout.is_some()),
            },
        };
        // SAFETY: the memory is this function's alone, aligned for a `Shared` (slabs align to 64), and has room for it
        // and the bytes behind it (B7). It does not overlap `bytes`, which somebody else has.
        unsafe {
            let place = place.cast::<Shared>();
            place.write(shared);
            let behind = place.add(1).cast::<u8>();
            ptr::copy_nonoverlapping(bytes.as_ptr(), behind.as_ptr(), bytes.len());
            Ok(Block(place))
        }
    }

    /// The bytes behind the head.
    #[inline]
    fn slice_behind(&self) -> &[u8] {
        // SAFETY: B7: that many bytes follow, initialised by `make`, unchanged and in place while `self` is held.
        unsafe {
            let behind = self.0.add(1).cast::<u8>();
            std::slice::from_raw_parts(behind.as_ptr(), self.0.as_ref().length)
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    ///
    /// Nobody holds the block any more, and this is called once.
    #[cold]
    unsafe fn give_back(place: NonNull<Shared>) {
        // SAFETY: it was written by `make`, and nobody looks at it again: from here on it is `shared`, which is dropped
        // last, and with it perhaps the slabs that the memory goes back to.
        let shared = unsafe { place.read() };
        let head = &shared.head;
        let size = size_of::<Shared>() + shared.length;
        match (head.in_slab, head.gauge.slabs()) {
            (true, Some(slabs)) => {
                head.gauge.subtract_piece(Slabs::piece_bytes(size));
                // SAFETY: these slabs gave the piece to `make`, and nobody uses it any more.
                unsafe { slabs.free(place.cast()) }
            }
            // SAFETY: `make` allocated it with this very layout.
            _ => unsafe { alloc::dealloc(place.as_ptr().cast(), memory_layout(shared.length)) },
        }
        let charge = charge_of(head.large.len(), size, head.in_slab);
        head.gauge.subtract(charge);
    }
}

/// The memory that is counted for a block whose head and bytes behind it take `size` bytes.
fn charge_of(large: usize, size: usize, in_slab: bool) -> usize {
    let taken = match in_slab {
        true => Slabs::piece_bytes(size),
        false => size + ALLOCATOR_BYTES,
    };
    large + taken + OVERHEAD_BYTES
}

/// The memory of a block with so many bytes behind its head.
fn memory_layout(length: usize) -> alloc::Layout {
    alloc::Layout::from_size_align(size_of::<Shared>() + length, align_of::<Shared>())
        .expect("a slice's length and a cache line fit half the address space")
}

impl Clone for Block {
    #[inline]
    fn clone(&self) -> Block {
        // SAFETY: B7: it lives while `self` is held.
        let before = unsafe { self.0.as_ref() }
            .references
            .fetch_add(1, Ordering::Relaxed);
        // So many clones were forgotten, or the count would come around and the block go while it is held.
        if before > usize::MAX / 2 {
            std::process::abort();
        }
        Block(self.0)
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: B7: it lives while `self` is held. What others did with the block before they let it go comes before
        // the last one's `give_back`: each of them releases, the last one acquires.
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
        // SAFETY: B7: it lives while `self` is held.
        unsafe { &(*self.0.as_ptr()).head }
    }
}

// SAFETY: the pointer is the block's only part, so its value goes through as it is, together with the reference that the
// block counts; two blocks with one address are one allocation with one count. None of these panics.
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

/// One entry as it is stored.
pub(super) struct StoredEntry<'a> {
    /// The bytes its user key shares with the one before.
    pub(super) shared: usize,
    pub(super) suffix: &'a [u8],
    pub(super) trailer: Trailer,
    pub(super) value: &'a [u8],
}

/// One entry as it lies in the block.
#[derive(Debug, Clone, Copy)]
struct Entry {
    shared: usize,
    suffix_start: usize,
    suffix_end: usize,
    trailer: Trailer,
    value_start: usize,
    /// Where the value ends and the next entry begins.
    end: usize,
}

/// The raw bytes of a block in the stored form, wherever they are, its restart points checked.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    bytes: &'a [u8],
    restarts: u32,
}

impl<'a> Stored<'a> {
    /// Checks the restart points.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Stored<'a>, Damage> {
        let restarts = check_restarts(bytes)?;
        Ok(Stored { bytes, restarts })
    }

    /// Where the entries end and the restart points begin.
    #[inline]
    pub(super) fn entries_end(self) -> usize {
        self.bytes.len() - 4 * (self.restarts as usize + 1)
    }

    /// Where the restart points say that entries begin, ascending.
    pub(super) fn restarts(self) -> impl Iterator<Item = usize> {
        let points = &self.bytes[self.entries_end()..self.bytes.len() - 4];
        let point = |bytes: &[u8]| {
            bytes
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        points
            .chunks_exact(4)
            .map(move |bytes| point(bytes) as usize)
    }

    /// The entry at `at < entries_end`, and where the next one begins.
    #[inline(always)]
    pub(super) fn entry(self, at: usize) -> Result<(StoredEntry<'a>, usize), Damage> {
        let entry = decode_entry(&self.bytes[..self.entries_end()], at)?;
        let stored = StoredEntry {
            shared: entry.shared,
            suffix: &self.bytes[entry.suffix_start..entry.suffix_end],
            trailer: entry.trailer,
            value: &self.bytes[entry.value_start..entry.end],
        };
        Ok((stored, entry.end))
    }
}

impl Block {
    /// Checks the restart points of `raw`, the bytes of block `id`. The block's memory counts in `gauge` until it is
    /// dropped.
    pub(crate) fn new(
        raw: RawBlock<'_>,
        id: BlockId,
        gauge: &Arc<MemoryGauge>,
    ) -> Result<Block, Undecoded<Damage>> {
        let restarts = check_restarts(&raw)?;
        Ok(match raw.len() <= LARGE_BYTES {
            true => Block::make(Box::default(), &raw, id, restarts, None, gauge)?,
            false => {
                let bytes = raw.into_owned()?;
                Block::make(bytes.into(), &[], id, restarts, None, gauge)?
            }
        })
    }

    /// A block of bytes that nobody checked.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn unchecked(bytes: Vec<u8>, gauge: &Arc<MemoryGauge>) -> Result<Block, Damage> {
        let raw = RawBlock::unchecked(bytes);
        Block::new(raw, BlockId::new(0, 0), gauge).map_err(Undecoded::damage)
    }

    /// The same entries in the flat form, made at most once; `None` for a block that is to stay as it is.
    #[cold]
    pub(crate) fn flatten(&self) -> Option<Block> {
        if self.flat_entries > 0 || self.flattened.swap(true, Ordering::Relaxed) {
            return None;
        }
        flatten(self, |bytes, layout| {
            Block::make(Box::default(), bytes, self.id, 0, Some(layout), &self.gauge).ok()
        })
    }

    /// Whether `other` is this very block.
    pub(crate) fn is(&self, other: &Block) -> bool {
        self.0 == other.0
    }

    /// Whether nobody has tried yet to make it flat.
    #[inline]
    pub(crate) fn may_flatten(&self) -> bool {
        self.flat_entries == 0 && !self.flattened.load(Ordering::Relaxed)
    }

    /// How a flat block is divided; `None` for one in the stored form.
    #[inline]
    pub(super) fn layout(&self) -> Option<Layout> {
        (self.flat_entries > 0).then(|| Layout {
            count: usize::from(self.flat_entries),
            shared: usize::from(self.flat_shared),
        })
    }

    /// A flat block and how it is divided.
    #[inline]
    pub(super) fn flat(&self) -> Option<Flat<'_>> {
        Some(Flat::new(self.slice_behind(), self.layout()?))
    }

    /// All bytes of the block, in whatever form.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match &*self.large {
            [] => self.slice_behind(),
            large => large,
        }
    }

    /// Where the entries of the stored form end and its restart points begin; a flat block has none.
    #[inline]
    fn entries_end(&self) -> usize {
        match self.flat_entries {
            0 => self.bytes().len() - 4 * (self.restarts as usize + 1),
            _ => 0,
        }
    }

    /// The entries of the stored form, as far as they can be decoded.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<StoredEntry<'_>, Damage>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.entries_end() {
                return None;
            }
            let entry = self.entry(at);
            at = entry.map_or(self.entries_end(), |entry| entry.end);
            Some(entry.map(|entry| StoredEntry {
                shared: entry.shared,
                suffix: &self.bytes()[entry.suffix_start..entry.suffix_end],
                trailer: entry.trailer,
                value: &self.bytes()[entry.value_start..entry.end],
            }))
        })
    }

    /// Whether all of its memory is a piece of the slabs.
    pub(crate) fn is_in_slab(&self) -> bool {
        self.in_slab && self.large.is_empty()
    }

    /// The memory that the block takes.
    pub(crate) fn charge(&self) -> usize {
        let size = size_of::<Shared>() + self.slice_behind().len();
        charge_of(self.large.len(), size, self.in_slab)
    }

    /// Which block it is.
    #[inline]
    pub(crate) fn id(&self) -> BlockId {
        self.id
    }

    /// Notes a hit. Writes only if nobody did since the cache's hand passed.
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

    /// Asks for what a lookup reads first.
    #[inline]
    pub(crate) fn prefetch(&self) {
        // The head, and heads and offsets of a usual flat block, take five cache lines.
        let head = self.0.as_ptr().cast::<u8>();
        for line in 0..5 {
            prefetch(head.wrapping_add(64 * line));
        }
    }

    /// Asks for what a walk that enters a flat block at its first or last entry reads first.
    #[inline]
    pub(crate) fn prefetch_edge(&self, way: Way) {
        if let Some(flat) = self.flat() {
            flat.prefetch_edge(way);
        }
    }

    /// Asks for the entry of a flat block that a lookup of `target` reads, or one beside it; returns where
    /// [`Block::get_from`] may go on.
    #[inline]
    pub(crate) fn prefetch_entry(&self, target: KeyRef<'_>) -> Option<usize> {
        let flat = self.flat()?;
        let low = flat.first_with_head(target);
        flat.prefetch(low);
        Some(low)
    }

    /// Bytes of this block; the range came from a lookup in it.
    #[inline]
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.bytes()[range]
    }

    fn restart(&self, index: usize) -> usize {
        let at = self.entries_end() + 4 * index;
        let bytes = &self.bytes()[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    }

    /// Decodes the entry at `at < entries_end`; every range in it lies within the entries.
    #[inline]
    fn entry(&self, at: usize) -> Result<Entry, Damage> {
        decode_entry(&self.bytes()[..self.entries_end()], at)
    }

    /// The last restart point whose key is before `target`, or the first one.
    fn restart_before(&self, target: KeyRef<'_>) -> Result<usize, Damage> {
        let (mut low, mut high) = (0, self.restarts as usize);
        // The restart point at `low` is before the target (or is the first), the one at `high` is not.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let at = self.restart(middle);
            let entry = self.entry(at)?;
            if entry.shared != 0 {
                return Err(SHARED_AT_RESTART.at(at));
            }
            let user_key = &self.bytes()[entry.suffix_start..entry.suffix_end];
            if KeyRef::new(user_key, entry.trailer) < target {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(self.restart(low))
    }

    /// [`Block::get_from`] the beginning.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn get(
        &self,
        target: KeyRef<'_>,
    ) -> Result<Option<(Trailer, Range<usize>)>, Damage> {
        self.get_from(None, target)
    }

    /// The first entry at or behind `target`, if it has the same user key: its trailer and where its value is. `begun` is
    /// what [`Block::prefetch_entry`] returned for this target in this block, if it was asked.
    #[inline]
    pub(crate) fn get_from(
        &self,
        begun: Option<usize>,
        target: KeyRef<'_>,
    ) -> Result<Option<(Trailer, Range<usize>)>, Damage> {
        match (self.flat(), begun) {
            (Some(flat), Some(low)) => Ok(flat.get_from(low, target)),
            (Some(flat), None) => Ok(flat.get(target)),
            (None, _) => self.get_stored(target),
        }
    }

    /// Rebuilds no key: `matched`, the bytes that the entry before has in common with the target, tells how an
    /// entry that shares more than those compares.
    fn get_stored(&self, target: KeyRef<'_>) -> Result<Option<(Trailer, Range<usize>)>, Damage> {
        let wanted = target.user_key;
        let mut at = self.restart_before(target)?;
        let mut matched = 0;
        let mut length = 0;
        let mut first = true;
        while at < self.entries_end() {
            let entry = self.entry(at)?;
            if first && entry.shared != 0 {
                return Err(SHARED_AT_RESTART.at(at));
            }
            first = false;
            if entry.shared > length {
                return Err(SHARED_TOO_MUCH.at(at));
            }
            let suffix = &self.bytes()[entry.suffix_start..entry.suffix_end];
            length = entry.shared + suffix.len();
            if entry.shared <= matched {
                let rest = &wanted[entry.shared..];
                let common = common_prefix(suffix, rest);
                matched = entry.shared + common;
                match (suffix.get(common), rest.get(common)) {
                    (None, None) if entry.trailer <= target.trailer => {
                        return Ok(Some((entry.trailer, entry.value_start..entry.end)));
                    }
                    (Some(_), None) => return Ok(None),
                    (Some(have), Some(want)) if have > want => return Ok(None),
                    _ => {}
                }
            }
            at = entry.end;
        }
        Ok(None)
    }
}

pub(crate) const SHARED_AT_RESTART: Damage = Damage {
    at: 0,
    what: "B1: an entry at a restart point shares bytes",
};
pub(super) const SHARED_TOO_MUCH: Damage = Damage {
    at: 0,
    what: "an entry shares more bytes than the key before has",
};
pub(crate) const ASTRAY: Damage = Damage {
    at: 0,
    what: "entries do not end where the next restart point is",
};

pub(crate) const TOO_MUCH_TO_REBUILD: Damage = Damage {
    at: 0,
    what: "B3: the keys behind a restart point are too long",
};

impl Damage {
    pub(crate) fn at(self, at: usize) -> Damage {
        Damage { at, ..self }
    }
}

/// Checks the restart points of a stored block; how many there are.
fn check_restarts(bytes: &[u8]) -> Result<u32, Damage> {
    let damage = |at, what| Err(Damage { at, what });
    let Some((body, count)) = bytes.split_last_chunk::<4>() else {
        return damage(0, "a block shorter than its restart count");
    };
    let restarts = u32::from_le_bytes(*count) as usize;
    let entries_end = restarts
        .checked_mul(4)
        .and_then(|table| body.len().checked_sub(table));
    let Some(entries_end) = entries_end else {
        return damage(
            body.len(),
            "more restart points than the block has room for",
        );
    };
    let mut previous = None;
    for (index, restart) in body[entries_end..].chunks_exact(4).enumerate() {
        let restart = u32::from_le_bytes([restart[0], restart[1], restart[2], restart[3]]);
        let ascends = match previous {
            None => restart == 0,
            Some(previous) => restart > previous,
        };
        if !ascends || restart as usize >= entries_end {
            return damage(entries_end + 4 * index, "restart points do not ascend");
        }
        previous = Some(restart);
    }
    if previous.is_none() {
        return damage(entries_end, "a block without restart points");
    }
    Ok(restarts as u32)
}

/// Decodes the entry at `at`, which is less than the length of `entries`; every range in it lies within them.
#[inline(always)]
fn decode_entry(entries: &[u8], at: usize) -> Result<Entry, Damage> {
    let rest = &entries[at..];
    let (shared, suffix, value, header) = match *rest {
        [shared, suffix, value, ..] if (shared | suffix | value) < 0x80 => {
            (u64::from(shared), u64::from(suffix), u64::from(value), 3)
        }
        _ => lengths(rest).ok_or(Damage {
            at,
            what: "an entry's lengths are cut short",
        })?,
    };
    let what = "an entry longer than its block";
    let room = (rest.len() - header) as u64;
    if suffix > room || value > room - suffix || room - suffix - value < TRAILER_BYTES as u64 {
        return Err(Damage { at, what });
    }
    let suffix_start = at + header;
    let suffix_end = suffix_start + suffix as usize;
    let value_start = suffix_end + TRAILER_BYTES;
    let trailer = entries[suffix_end..]
        .first_chunk::<TRAILER_BYTES>()
        .ok_or(Damage { at, what })?;
    Ok(Entry {
        shared: usize::try_from(shared).map_err(|_| Damage { at, what })?,
        suffix_start,
        suffix_end,
        trailer: Trailer(u64::from_le_bytes(*trailer)),
        value_start,
        end: value_start + value as usize,
    })
}

/// The three lengths at the head of an entry, and the bytes they take.
#[cold]
fn lengths(rest: &[u8]) -> Option<(u64, u64, u64, usize)> {
    let mut input = rest;
    let shared = crate::coding::get_varint(&mut input)?;
    let suffix = crate::coding::get_varint(&mut input)?;
    let value = crate::coding::get_varint(&mut input)?;
    Some((shared, suffix, value, rest.len() - input.len()))
}

/// How many bytes `a` and `b` have in common at their heads.
#[inline]
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut done = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let differ = u64_of(a) ^ u64_of(b);
        if differ != 0 {
            return done + (differ.trailing_zeros() / 8) as usize;
        }
        done += 8;
    }
    let rest = a[done..].iter().zip(&b[done..]);
    done + rest.take_while(|(a, b)| a == b).count()
}

#[inline]
fn u64_of(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Where the cursor's user key is.
#[derive(Debug, Clone, Copy)]
enum KeyPlace {
    /// Nothing of it is shared: in the block.
    Block { start: usize, end: usize },
    /// Rebuilt, in `key`.
    Buffer,
    /// Rebuilt while going backward, in `stretch.keys`.
    Stretch { start: usize, end: usize },
}

/// The entries from a restart point to where the cursor stood when it went backward.
#[derive(Default)]
struct Stretch {
    entries: Vec<StretchEntry>,
    keys: Vec<u8>,
    /// The entry the cursor stands on, while it came here by `prev`.
    position: Option<usize>,
}

#[derive(Clone, Copy)]
struct StretchEntry {
    at: usize,
    key: KeyPlace,
    trailer: Trailer,
    value_start: usize,
    end: usize,
}

/// Walks the entries of one block in the stored form in both directions.
pub(crate) struct BlockCursor {
    block: Block,
    /// The offset of the current entry; `entries_end` when there is none.
    at: usize,
    /// The offset of the entry behind.
    end: usize,
    value_start: usize,
    trailer: Trailer,
    place: KeyPlace,
    key: Vec<u8>,
    stretch: Stretch,
}

impl BlockCursor {
    /// A cursor on no entry.
    pub(crate) fn new(block: Block) -> BlockCursor {
        let at = block.entries_end();
        BlockCursor {
            block,
            at,
            end: at,
            value_start: at,
            trailer: Trailer::OLDEST,
            place: KeyPlace::Block { start: 0, end: 0 },
            key: Vec::new(),
            stretch: Stretch::default(),
        }
    }

    /// Moves to another block, on no entry; keeps the buffers.
    pub(crate) fn reset(&mut self, block: Block) {
        self.block = block;
        self.invalidate();
    }

    fn invalidate(&mut self) {
        self.at = self.block.entries_end();
        self.end = self.at;
        self.value_start = self.at;
        self.place = KeyPlace::Block { start: 0, end: 0 };
        self.stretch.position = None;
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.at < self.block.entries_end()
    }

    #[inline]
    pub(crate) fn key(&self) -> KeyRef<'_> {
        let user_key = match self.place {
            KeyPlace::Block { start, end } => &self.block.bytes()[start..end],
            KeyPlace::Buffer => &self.key[..],
            KeyPlace::Stretch { start, end } => &self.stretch.keys[start..end],
        };
        KeyRef::new(user_key, self.trailer)
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        &self.block.bytes()[self.value_start..self.end]
    }

    pub(crate) fn seek_to_first(&mut self) -> Result<(), Damage> {
        self.jump(0)
    }

    pub(crate) fn seek_to_last(&mut self) -> Result<(), Damage> {
        self.invalidate();
        self.prev().map(|_| ())
    }

    /// Moves to the first entry at or behind `target`; on none if all are before it.
    pub(crate) fn seek(&mut self, target: KeyRef<'_>) -> Result<(), Damage> {
        let restart = self.block.restart_before(target)?;
        self.jump(restart)?;
        while self.valid() && self.key() < target {
            self.next()?;
        }
        Ok(())
    }

    /// Moves to the entry at a restart point.
    fn jump(&mut self, restart: usize) -> Result<(), Damage> {
        self.invalidate();
        self.end = restart;
        // Nothing before a restart point can be shared.
        self.place = KeyPlace::Block { start: 0, end: 0 };
        self.step()
    }

    /// Moves to the entry behind; on none if this was the last. Requires `valid`.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<(), Damage> {
        debug_assert!(self.valid());
        self.step()
    }

    /// Decodes the entry at `self.end`, whose key shares bytes with the key at `self.place`.
    #[inline]
    fn step(&mut self) -> Result<(), Damage> {
        let at = self.end;
        if at >= self.block.entries_end() {
            self.invalidate();
            return Ok(());
        }
        let entry = match self.block.entry(at) {
            Ok(entry) => entry,
            Err(damage) => {
                self.invalidate();
                return Err(damage);
            }
        };
        let suffix = &self.block.bytes()[entry.suffix_start..entry.suffix_end];
        if entry.shared == 0 {
            self.place = KeyPlace::Block {
                start: entry.suffix_start,
                end: entry.suffix_end,
            };
        } else {
            let known = match self.place {
                KeyPlace::Buffer => {
                    let enough = entry.shared <= self.key.len();
                    self.key.truncate(entry.shared);
                    enough
                }
                KeyPlace::Block { start, end } => {
                    self.key.clear();
                    let known = self.block.bytes()[start..end].get(..entry.shared);
                    self.key.extend_from_slice(known.unwrap_or_default());
                    known.is_some()
                }
                KeyPlace::Stretch { start, end } => {
                    self.key.clear();
                    let known = self.stretch.keys[start..end].get(..entry.shared);
                    self.key.extend_from_slice(known.unwrap_or_default());
                    known.is_some()
                }
            };
            if !known {
                self.invalidate();
                return Err(SHARED_TOO_MUCH.at(at));
            }
            self.key.extend_from_slice(suffix);
            self.place = KeyPlace::Buffer;
        }
        self.stretch.position = None;
        self.at = at;
        self.end = entry.end;
        self.value_start = entry.value_start;
        self.trailer = entry.trailer;
        Ok(())
    }

    /// Moves to the entry before (from no entry: to the last one); on none if this was the first.
    ///
    /// Returns whether it stands on an entry.
    pub(crate) fn prev(&mut self) -> Result<bool, Damage> {
        let before = match self.stretch.position {
            Some(position) if position > 0 => position - 1,
            _ => {
                if self.at == 0 {
                    self.invalidate();
                    return Ok(false);
                }
                if let Err(damage) = self.decode_stretch() {
                    self.invalidate();
                    return Err(damage);
                }
                self.stretch.entries.len() - 1
            }
        };
        let entry = self.stretch.entries[before];
        self.stretch.position = Some(before);
        self.at = entry.at;
        self.end = entry.end;
        self.value_start = entry.value_start;
        self.trailer = entry.trailer;
        self.place = entry.key;
        Ok(true)
    }

    /// Decodes the entries from the last restart point before `self.at > 0` up to it: at least one.
    fn decode_stretch(&mut self) -> Result<(), Damage> {
        let block = &self.block;
        let (mut low, mut high) = (0, block.restarts as usize);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if block.restart(middle) < self.at {
                low = middle;
            } else {
                high = middle;
            }
        }
        let Stretch { entries, keys, .. } = &mut self.stretch;
        entries.clear();
        keys.clear();
        let mut at = block.restart(low);
        let mut last = KeyPlace::Block { start: 0, end: 0 };
        while at < self.at {
            let entry = block.entry(at)?;
            if entry.shared > 0 {
                let start = keys.len();
                let (from, to) = match last {
                    KeyPlace::Stretch { start, end } => (start, end),
                    KeyPlace::Block { start, end } => (start, end),
                    KeyPlace::Buffer => (0, 0),
                };
                if entry.shared > to - from {
                    return Err(SHARED_TOO_MUCH.at(at));
                }
                let suffix = &block.bytes()[entry.suffix_start..entry.suffix_end];
                if start + entry.shared + suffix.len() > MAX_REBUILT_BYTES {
                    return Err(TOO_MUCH_TO_REBUILD.at(at));
                }
                let shared = from..from + entry.shared;
                match last {
                    KeyPlace::Stretch { .. } => keys.extend_from_within(shared),
                    _ => keys.extend_from_slice(&block.bytes()[shared]),
                }
                keys.extend_from_slice(suffix);
                last = KeyPlace::Stretch {
                    start,
                    end: keys.len(),
                };
            } else {
                last = KeyPlace::Block {
                    start: entry.suffix_start,
                    end: entry.suffix_end,
                };
            }
            entries.push(StretchEntry {
                at,
                key: last,
                trailer: entry.trailer,
                value_start: entry.value_start,
                end: entry.end,
            });
            at = entry.end;
        }
        if at != self.at {
            return Err(ASTRAY.at(self.at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
