//! The memtable: every write that is not yet in a table, sorted, in memory.
//!
//! Any number of threads may insert, read and iterate at once. An insert copies its entry into the arena and
//! then adds it to the index, which makes it visible. The database publishes its sequence number only later, so
//! readers never depend on the progress of an insert.
//!
//! * MEMTABLE-1  An entry is found from the return of its `insert_at` until the memtable is dropped; nothing is ever
//!               removed.
//! * MEMTABLE-2  A reader concurrent with an insert sees the new entry whole or not at all, and sees every
//!               older entry.
//! * MEMTABLE-3  `memory` is within a tenth of the memory allocated, and grows in steps of at most a quarter of
//!               a chunk, except for large records.
//!
//! * MEMTABLE-5  Once every insert announced to [`Memtable::account`] has returned, a walk finds exactly the
//!               announced entries; a flush compares the two.
//!
//! A memtable becomes immutable when the database stops inserting into it; nothing in this module changes.
//!
//! * `arena.rs`  the bytes of the entries, in the pieces of `chunk.rs`
//! * `node.rs`   some neighbouring entries, or leaves, in order
//! * `leaf.rs`   the nodes of entries
//! * `index.rs`  all nodes in order
//! * `spare_nodes.rs` memory for nodes, allocated in advance
//! * `iter.rs`   iteration
//! * `filter.rs` a Bloom filter of the keys
//! * `load.rs`   bulk loading
//! * `ranges.rs` the range deletes
//!
//! Elsewhere: when to seal and flush (`db/`), which entries a reader may see (`iterator/visible.rs`). Why this
//! structure: docs/decisions/0005-memtable.md.

mod arena;
mod chunk;
mod filter;
mod index;
mod iter;
mod leaf;
mod load;
#[cfg(feature = "internals")]
mod measured;
mod node;
mod ranges;
mod spare_nodes;

pub(crate) use chunk::SpareChunks;
pub(crate) use iter::MemtableIterator;
pub(crate) use load::Loader;
#[cfg(feature = "internals")]
pub use measured::MeasuredMemtable;

use self::arena::{Arena, record_bytes};
use self::filter::Filter;
use self::index::Index;
pub(crate) use self::index::Room;
use self::node::Cut;
use self::ranges::Ranges;
use crate::content::{Sum, key_hash};
use crate::error::Result;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::range_delete::RangeDelete;
use crate::range_deletes::RangeDeletes;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The place of a future entry.
pub(crate) struct Location<'a> {
    bits: filter::Bits,
    leaf: &'a leaf::Leaf,
}

/// The sorted write buffer. See the head of the file.
pub(crate) struct Memtable {
    index: Index,
    filter: Filter,
    /// The sum of the entries that it holds, or is about to hold (MEMTABLE-5).
    terms: AtomicU64,
    entries: AtomicU64,
    tombstones: AtomicU64,
    /// How many range deletes it holds, or is about to hold.
    range_deletes: AtomicU64,
    ranges: Ranges,
}

impl Memtable {
    /// An empty memtable, expected to be sealed when it holds `write_buffer_size` bytes.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn new(write_buffer_size: usize) -> Memtable {
        let spare = Memtable::no_spare_chunks(write_buffer_size);
        Memtable::recycling(write_buffer_size, spare).expect("there is memory for a test")
    }

    /// A memtable into which nothing will be inserted. It takes hardly any memory.
    pub(crate) fn empty() -> Memtable {
        Memtable::of(0, Arena::spare_chunks(0, 0), Filter::smallest())
    }

    /// An empty memtable, expected to be sealed when it holds `write_buffer_size` bytes. It takes its memory from
    /// `spare`, if there is some, and leaves it there when it is dropped. Fails only if there is no memory.
    pub(crate) fn recycling(write_buffer_size: usize, spare: Arc<SpareChunks>) -> Result<Memtable> {
        let filter = Filter::new(write_buffer_size)?;
        Ok(Memtable::of(write_buffer_size, spare, filter))
    }

    fn of(write_buffer_size: usize, spare: Arc<SpareChunks>, filter: Filter) -> Memtable {
        Memtable {
            index: Index::new(write_buffer_size, spare),
            filter,
            terms: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            tombstones: AtomicU64::new(0),
            range_deletes: AtomicU64::new(0),
            ranges: Ranges::new(),
        }
    }

    /// The chunks that memtables of `write_buffer_size` leave each other: at most the memory of one.
    pub(crate) fn spare_chunks(write_buffer_size: usize) -> Arc<SpareChunks> {
        Arena::spare_chunks(write_buffer_size, write_buffer_size)
    }

    /// Spare chunks for a memtable that leaves none to others.
    fn no_spare_chunks(write_buffer_size: usize) -> Arc<SpareChunks> {
        Arena::spare_chunks(write_buffer_size, 0)
    }

    /// Accounts for an entry and adds it.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn insert(&self, user_key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        let mut sum = Sum::default();
        sum.add_entry(user_key, trailer, value);
        self.account(sum);
        let mut room = self.reserve_for(user_key.len() + value.len(), 1)?;
        let location = self.locate(user_key, key_hash(user_key));
        self.insert_at(&mut room, location, user_key, trailer, value)
    }

    /// Announces entries that will be inserted now (MEMTABLE-5). Any number of threads may call it at once.
    #[inline]
    pub(crate) fn account(&self, sum: Sum) {
        // Relaxed: a caller that needs the complete sum waits for the inserts first.
        self.terms.fetch_add(sum.terms, Ordering::Relaxed);
        self.entries.fetch_add(sum.entries(), Ordering::Relaxed);
        if sum.tombstones > 0 {
            self.tombstones.fetch_add(sum.tombstones, Ordering::Relaxed);
        }
        if sum.range_deletes > 0 {
            self.range_deletes
                .fetch_add(sum.range_deletes, Ordering::Relaxed);
        }
    }

    /// The announced sum. Once all inserts have returned, it is the sum of the memtable's entries (MEMTABLE-5).
    pub(crate) fn sum(&self) -> Sum {
        let tombstones = self.tombstones.load(Ordering::Relaxed);
        let range_deletes = self.range_deletes.load(Ordering::Relaxed);
        Sum {
            terms: self.terms.load(Ordering::Relaxed),
            puts: (self.entries())
                .wrapping_sub(tombstones)
                .wrapping_sub(range_deletes),
            tombstones,
            range_deletes,
        }
    }

    /// Whether it has a range delete, or is about to have one. If the caller has loaded the published number before,
    /// this includes every range delete up to that number.
    #[inline]
    pub(crate) fn has_range_deletes(&self) -> bool {
        self.range_deletes.load(Ordering::Relaxed) > 0
    }

    /// Its range deletes; all up to a number that was published before this call (MEMTABLE-7).
    #[cold]
    pub(crate) fn range_deletes(&self) -> Option<Arc<RangeDeletes>> {
        self.ranges.load()
    }

    /// Checks that there is memory for `count` more range deletes, whose keys have at most `key_bytes` bytes.
    #[cold]
    pub(crate) fn make_room_for_ranges(&self, count: usize, key_bytes: usize) -> Result<()> {
        self.ranges.make_room(count, key_bytes)
    }

    /// Adds the range delete of an entry, for which there is memory.
    #[cold]
    fn add_range(&self, start: &[u8], number: SequenceNumber, value: &[u8]) -> Result<()> {
        self.ranges
            .add(&RangeDelete::of_entry(start, number, value)?);
        Ok(())
    }

    /// Finds the place for the next entry of `user_key`, whose hash is `key_hash`, and prefetches that memory. The
    /// result is valid as long as the memtable, even if other entries are inserted.
    #[inline]
    pub(crate) fn locate(&self, user_key: &[u8], key_hash: u64) -> Location<'_> {
        Location {
            bits: self.filter.bits_of(key_hash),
            leaf: self
                .index
                .leaf_for(&Cut::before(KeyRef::new(user_key, Trailer::NEWEST))),
        }
    }

    /// Allocates the memory for inserting `operations` entries whose keys and values have at most `bytes` bytes
    /// together. Any number of threads may call it at once. It fails only if there is no memory, and then
    /// changes nothing.
    #[inline]
    pub(crate) fn reserve_for(&self, bytes: usize, operations: usize) -> Result<Room<'_>> {
        let records = record_bytes(0, 0) * operations + bytes;
        self.index.reserve(records, operations)
    }

    /// Adds an entry that has been accounted for, in `room` of this memtable. `location` is the result of
    /// [`Memtable::locate`] for its key. Any number of threads may call it at once; no two inserts share user key and
    /// sequence number (IKEY-2).
    ///
    /// `value`: empty for a tombstone. Fails only if the room is too small.
    pub(crate) fn insert_at(
        &self,
        room: &mut Room<'_>,
        location: Location<'_>,
        user_key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Result<()> {
        self.index
            .insert(room, location.leaf, user_key, trailer, value)?;
        self.filter.add(location.bits);
        debug_assert!(self.filter.may_contain(location.bits), "MEMTABLE-4");
        if trailer.kind() == Some(ValueKind::RangeDelete) {
            self.add_range(user_key, trailer.sequence(), value)?;
        }
        Ok(())
    }

    /// Loses every key from the filter, as a fault would.
    #[cfg(test)]
    pub(crate) fn forget_filter(&self) {
        self.filter.forget();
    }

    /// The newest entry of `user_key` that is not newer than `trailer`: its trailer and value.
    ///
    /// A tombstone is an entry too. To read at a sequence number, pass `Trailer::visible_at` of it.
    pub(crate) fn get(&self, user_key: &[u8], trailer: Trailer) -> Option<(Trailer, &[u8])> {
        if !self
            .filter
            .may_contain(self.filter.bits_of(key_hash(user_key)))
        {
            return None;
        }
        let record = self.index.get(KeyRef::new(user_key, trailer))?;
        debug_assert!(
            record.trailer() <= trailer,
            "MEMTABLE-2: no entry newer than what is sought"
        );
        Some((record.trailer(), record.value()))
    }

    /// Bytes held, the index included (MEMTABLE-3). A few relaxed loads.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Memtable>() + self.index.memory() + self.filter.memory() + self.ranges.memory()
    }

    /// How many entries were inserted or are about to be. Each version and each tombstone counts as one.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// How many entries have user keys in `[start, end)`, where `None` is no bound. Entries that are being inserted
    /// may be counted or not.
    ///
    /// Cost: a search for each bound, and a step for about every fifty entries between them.
    pub(crate) fn entries_between(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> u64 {
        let before = |key| Cut::before(KeyRef::new(key, Trailer::NEWEST));
        let (start, end) = (start.map(before), end.map(before));
        self.index.count_between(start.as_ref(), end.as_ref())
    }

    /// Whether no entry was inserted or is about to be.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries() == 0
    }
}

#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
mod tests;
