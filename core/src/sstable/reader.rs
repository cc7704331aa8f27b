//! An open table: lookups and blocks; `reader/check.rs` checks every byte. The inverse is `builder.rs`.
//! Layout: docs/format.md, "SSTable".
//!
//! Opening reads and checks the header, the footer, the properties, the index and the filter (`tail.rs`);
//! damage in any of them makes opening fail; it never just makes the table slower. Index and filter stay in
//! memory as long as the table is open.
//!
//! * TABLE-6  A data block comes from the table's own slot for it (a hit: one load, no hash, no lock), or from the
//!            file, where its checksum is verified before anything is decoded.
//! * TABLE-11  A block records its file and offset: it is made only from the raw bytes at that offset of that
//!             file, and is returned for no other.
//! * TABLE-7  A value or an iterator holds a counted reference to its block; the guard of a slot never outlives
//!            a call.

pub(super) mod check;

use std::cell::RefCell;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use crate::content::key_hash;
use crate::env::{Env, File};
use crate::error::{Error, Result};
use crate::key::{KeyRef, KeyspaceId, SequenceNumber, Trailer};
use crate::memory::{self, MemoryGauge};
use crate::sstable::block::{Block, BlockId, Damage, LARGE_BYTES, Way, hold_the_same};
use crate::sstable::block_cache::{BlockCache, BlockSlots};
use crate::sstable::filter::Filter;
use crate::sstable::format::{
    BLOCK_TRAILER_BYTES, BlockKind, FOOTER_BYTES, HEADER_BYTES, Properties, RawBlock,
    decode_header, open_block, read_exact, read_into, unpack_block,
};
use crate::sstable::index::{Index, SEARCHES};
use crate::sstable::tail::{Tail, check_head};
use crate::sync::{Arc, Guard};

/// The buffers that a thread keeps for reading blocks: at most [`LARGE_BYTES`] each.
#[derive(Default)]
struct Buffers {
    stored: Vec<u8>,
    raw: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Runs `work` with this thread's buffers. A thread that is about to end gets new, empty ones.
fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    let mut buffers = BUFFERS.try_with(RefCell::take).unwrap_or_default();
    let result = work(&mut buffers);
    for buffer in [&mut buffers.stored, &mut buffers.raw] {
        if buffer.capacity() > LARGE_BYTES {
            *buffer = Vec::new();
        }
    }
    let _ = BUFFERS.try_with(|kept| kept.replace(buffers));
    result
}

/// An open table. Any number of threads may use it; it closes with its last reference.
pub(crate) struct Table {
    path: PathBuf,
    file: Arc<dyn File>,
    file_id: u64,
    file_size: u64,
    index: Index,
    filter: Option<Filter>,
    properties: Properties,
    slots: Arc<BlockSlots>,
    cache: Arc<BlockCache>,
}

/// A value in a block, which it keeps in memory. Derefs to its bytes.
#[derive(Clone)]
pub(crate) struct TableValue {
    block: Block,
    range: Range<usize>,
}

/// A key to look up, with its hash, which every table needs for that.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) key: KeyRef<'a>,
    hash: u64,
}

impl<'a> Sought<'a> {
    /// Seeks the newest entry of `user_key` at or after `trailer`.
    #[inline]
    pub(crate) fn new(user_key: &'a [u8], trailer: Trailer) -> Sought<'a> {
        Sought {
            key: KeyRef::new(user_key, trailer),
            hash: key_hash(user_key),
        }
    }

    /// The same key, at or after another trailer.
    #[inline]
    pub(crate) fn from(self, trailer: Trailer) -> Sought<'a> {
        let key = KeyRef::new(self.key.user_key, trailer);
        Sought { key, ..self }
    }
}

/// A value in a block that is held for the length of a call. Derefs to its bytes.
pub(crate) struct TableEntry<'a> {
    block: &'a Block,
    range: Range<usize>,
}

impl TableEntry<'_> {
    /// The value, to be kept for any length of time.
    pub(crate) fn pin(self) -> TableValue {
        TableValue {
            block: self.block.clone(),
            range: self.range,
        }
    }
}

impl Deref for TableEntry<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.block.slice(self.range.clone())
    }
}

/// Why a lookup in memory only has no answer.
pub(crate) enum Unread {
    /// The table or its block would have to be read or unpacked.
    NotInMemory,
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Unread {
        Unread::Failed(error)
    }
}

/// A lookup between its steps, with the block that answers it if that is in the cache.
pub(crate) struct Pending {
    number: usize,
    block: Guard<Option<Block>>,
    /// What is known about the entry's place in that block.
    begun: Option<usize>,
}

impl Pending {
    /// Prefetches the entry that the lookup will read.
    #[inline]
    pub(crate) fn prefetch_entry(&mut self, sought: Sought<'_>) {
        if let Some(block) = &*self.block {
            self.begun = block.prefetch_entry(sought.key);
        }
    }
}

impl TableValue {
    /// The value for the length of a call.
    pub(crate) fn as_entry(&self) -> TableEntry<'_> {
        TableEntry {
            block: &self.block,
            range: self.range.clone(),
        }
    }

    /// Bytes of memory that holding the value keeps from being freed.
    #[cfg(test)]
    pub(crate) fn pinned_bytes(&self) -> usize {
        self.block.charge()
    }
}

impl Deref for TableValue {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.block.slice(self.range.clone())
    }
}

impl Table {
    /// Opens the table at `path`, whose header must carry `file_id` and whose length must be `file_size`.
    pub(crate) fn open(
        env: &dyn Env,
        path: &Path,
        file_id: u64,
        file_size: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Table>> {
        let file = env.open_read(path)?;
        Table::from_file(file, path, file_id, file_size, cache)
    }

    /// [`Table::open`], which refuses a table of another keyspace than `keyspace` (FILE-4).
    pub(crate) fn open_in(
        keyspace: KeyspaceId,
        env: &dyn Env,
        path: &Path,
        file_id: u64,
        file_size: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Table>> {
        let table = Table::open(env, path, file_id, file_size, cache)?;
        table.check_keyspace(keyspace)?;
        Ok(table)
    }

    /// Opens the table at `path`, whatever the id in its header.
    pub(crate) fn open_any(
        env: &dyn Env,
        path: &Path,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Table>> {
        let file = env.open_read(path)?;
        let header = read_exact(&*file, path, 0, HEADER_BYTES as u64)?;
        let (file_id, file_size) = (decode_header(path, &header)?, file.len()?);
        if file_size < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            let what = format!("the file has {file_size} bytes, too few for a table");
            return Err(Error::corruption(path, file_size, what));
        }
        Table::from_file(file, path, file_id, file_size, cache)
    }

    /// [`Table::open`] for a file that is already open.
    pub(crate) fn from_file(
        file: Arc<dyn File>,
        path: &Path,
        file_id: u64,
        file_size: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Table>> {
        check_head(&*file, path, file_id, file_size)?;
        let tail = Tail::read(&*file, path, file_id, file_size)?;
        let properties = tail.properties()?;
        let index = tail.index()?;
        tail.check_together(&properties, &index)?;
        let filter = tail.filter()?;
        let slots = cache.slots(index.len())?;
        Ok(Arc::new(Table {
            path: path.to_owned(),
            file,
            file_id,
            file_size,
            index,
            filter,
            properties,
            slots,
            cache,
        }))
    }

    /// The newest entry of `user_key` at or after `trailer`, tombstones too: its trailer and value.
    ///
    /// `fill_cache`: whether a block read from the file stays in the cache.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn get(
        &self,
        user_key: &[u8],
        trailer: Trailer,
        fill_cache: bool,
    ) -> Result<Option<(Trailer, TableValue)>> {
        let sought = Sought::new(user_key, trailer);
        if !self.may_hold(sought) {
            return Ok(None);
        }
        self.get_with(sought, fill_cache, |trailer, entry| (trailer, entry.pin()))
    }

    /// Finds the newest entry of the key at or after the trailer, tombstones too; returns what `make` makes of it.
    ///
    /// Does not check the filter; [`Table::may_hold`] does. `fill_cache`: whether a block read from the file stays in
    /// the cache.
    #[inline]
    pub(crate) fn get_with<T>(
        &self,
        sought: Sought<'_>,
        fill_cache: bool,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> Result<Option<T>> {
        self.finish(self.begin(sought), sought, fill_cache, make)
    }

    /// [`Table::get_with`] if the block is in the cache, in its final form. Reads and unpacks nothing, and takes no
    /// lock.
    pub(crate) fn get_in_memory<T>(
        &self,
        sought: Sought<'_>,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> std::result::Result<Option<T>, Unread> {
        let pending = self.begin(sought);
        match &*pending.block {
            Some(block) if !block.may_flatten() => {}
            _ => return Err(Unread::NotInMemory),
        }
        self.finish(pending, sought, false, make)
            .map_err(Unread::Failed)
    }

    /// The first step of [`Table::get_with`].
    #[inline]
    pub(crate) fn begin(&self, sought: Sought<'_>) -> Pending {
        // FENCE-2: an entry of this user key at or after the target is in this block or nowhere.
        self.begin_in(self.index.find(sought.key))
    }

    #[inline]
    fn begin_in(&self, number: usize) -> Pending {
        let block = self.slots.load(number);
        if let Some(block) = &*block {
            block.prefetch();
        }
        Pending {
            number,
            block,
            begun: None,
        }
    }

    /// [`Table::begin`] for several keys, each in its table; calls `begun` with each key's index and result.
    pub(crate) fn begin_together<'a>(
        keys: &[(&'a Table, Sought<'a>)],
        mut begun: impl FnMut(usize, Pending),
    ) {
        for (chunk, keys) in keys.chunks(SEARCHES).enumerate() {
            let (table, sought) = keys[0];
            let mut targets = [(&table.index, sought.key); SEARCHES];
            for (target, (table, sought)) in targets.iter_mut().zip(keys) {
                *target = (&table.index, sought.key);
            }
            let mut numbers = [0; SEARCHES];
            Index::find_together(&targets[..keys.len()], &mut numbers[..keys.len()]);
            for ((table, _), number) in keys.iter().zip(numbers) {
                table.slots.prefetch(number);
            }
            for (place, ((table, _), number)) in keys.iter().zip(numbers).enumerate() {
                begun(chunk * SEARCHES + place, table.begin_in(number));
            }
        }
    }

    /// The last step of [`Table::get_with`].
    #[inline]
    pub(crate) fn finish<T>(
        &self,
        pending: Pending,
        sought: Sought<'_>,
        fill_cache: bool,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> Result<Option<T>> {
        let Pending {
            number,
            block,
            begun,
        } = pending;
        if let Some(block) = &*block {
            self.check_identity(block, number)?;
            self.cache.note_hit(block);
            if !block.may_flatten() {
                return self.get_in(block, number, begun, sought, make);
            }
            let flat = self.cache.flatten(&self.slots, number, block);
            return self.get_in(&flat, number, None, sought, make);
        }
        drop(block);
        let block = self.fill(number, fill_cache)?;
        self.get_in(&block, number, None, sought, make)
    }

    #[inline]
    fn get_in<T>(
        &self,
        block: &Block,
        number: usize,
        begun: Option<usize>,
        sought: Sought<'_>,
        make: impl FnOnce(Trailer, TableEntry<'_>) -> T,
    ) -> Result<Option<T>> {
        let found = block
            .get_from(begun, sought.key)
            .map_err(|damage| self.damage(number, damage))?;
        debug_assert!(
            found
                .as_ref()
                .is_none_or(|(trailer, _)| *trailer <= sought.key.trailer),
            "LOOKUP-1: no entry newer than what is sought"
        );
        debug_assert!(
            found
                .as_ref()
                .is_none_or(|(_, value)| value.end <= block.bytes().len()),
            "STORED-1: the value lies within its block"
        );
        Ok(found.map(|(trailer, range)| make(trailer, TableEntry { block, range })))
    }

    /// Whether the table may hold the key, in any version; `false` is certain.
    #[inline]
    pub(crate) fn may_hold(&self, sought: Sought<'_>) -> bool {
        match &self.filter {
            Some(filter) => filter.may_contain(sought.hash),
            None => true,
        }
    }

    /// Prefetches what [`Table::may_hold`] reads.
    #[inline]
    pub(crate) fn prefetch_filter(&self, sought: Sought<'_>) {
        if let Some(filter) = &self.filter {
            filter.prefetch(sought.hash);
        }
    }

    pub(crate) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// About where in the file `user_key` is or would be. Grows with the key.
    pub(crate) fn approximate_offset_of(&self, user_key: &[u8]) -> u64 {
        let block = self.index.find(KeyRef::new(user_key, Trailer::NEWEST));
        self.index.handle(block).offset
    }

    /// About which part of the table has user keys in `[start, end)`: bytes of data blocks, and of all data blocks.
    /// A bound is taken to lie in the middle of its block; `None` is before the first or after the last block.
    pub(crate) fn approximate_part(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> (u64, u64) {
        let middle = |user_key: &[u8]| {
            let block = self.index.find(KeyRef::new(user_key, Trailer::NEWEST));
            let handle = self.index.handle(block);
            handle.offset + handle.length / 2
        };
        let (first, last) = (self.index.handle(0), self.index.handle(self.blocks() - 1));
        let data_end = last.offset + last.length;
        let from = start.map_or(first.offset, middle);
        let to = end.map_or(data_end, middle);
        (to.saturating_sub(from), data_end - first.offset)
    }

    /// The bytes of memory that the open table takes besides its cached blocks.
    pub(crate) fn memory(&self) -> usize {
        let filter = self.filter.as_ref().map_or(0, Filter::memory);
        size_of::<Table>() + self.index.memory() + filter + self.slots.memory()
    }

    /// The gauge that counts memory held because of this table.
    pub(crate) fn gauge(&self) -> &Arc<MemoryGauge> {
        self.cache.gauge()
    }

    /// The random id in its header.
    pub(crate) fn file_id(&self) -> u64 {
        self.file_id
    }

    /// Its properties.
    pub(crate) fn properties(&self) -> &Properties {
        &self.properties
    }

    fn check_keyspace(&self, keyspace: KeyspaceId) -> Result<()> {
        let own = self.properties.keyspace;
        if own == keyspace.0 {
            return Ok(());
        }
        let what = format!("the table belongs to keyspace {own}, the manifest says {keyspace}");
        Err(Error::corruption(&self.path, 0, what))
    }

    /// How many entries, tombstones and range deletes it has according to its properties.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let Properties {
            entries,
            tombstones,
            range_deletes,
            ..
        } = self.properties;
        (entries, tombstones, range_deletes)
    }

    /// The sum of the terms of its entries according to its properties; `None` if it is of format version 1.
    pub(crate) fn content_sum(&self) -> Option<u64> {
        self.properties.content_sum
    }

    /// The smallest and the largest number of its entries according to its properties.
    pub(crate) fn numbers(&self) -> [SequenceNumber; 2] {
        let Properties {
            smallest_sequence,
            largest_sequence,
            ..
        } = self.properties;
        [smallest_sequence, largest_sequence]
    }

    /// The number of data blocks: at least one.
    pub(crate) fn blocks(&self) -> usize {
        self.index.len()
    }

    /// The data block of the first entry at or after `target`, or the block before that (FENCE-2).
    pub(crate) fn find_block(&self, target: KeyRef<'_>) -> usize {
        self.index.find(target)
    }

    /// Whether data blocks `number - 1` and `number` exist and are known to share no user key.
    #[inline]
    pub(crate) fn is_between_keys(&self, number: usize) -> bool {
        self.index.is_between_keys(number)
    }

    /// Data block `number < blocks()`, from its slot or from the file.
    pub(crate) fn block(&self, number: usize, fill_cache: bool) -> Result<Block> {
        match self.cached_block(number)? {
            Some(block) => Ok(block),
            None => self.fill(number, fill_cache),
        }
    }

    /// Data block `number` if it is in the cache; that counts as a hit.
    #[inline]
    pub(crate) fn cached_block(&self, number: usize) -> Result<Option<Block>> {
        let guard = self.slots.load(number);
        let Some(block) = guard.as_ref() else {
            return Ok(None);
        };
        self.check_identity(block, number)?;
        self.cache.note_hit(block);
        Ok(Some(match block.may_flatten() {
            true => self.cache.flatten(&self.slots, number, block),
            false => block.clone(),
        }))
    }

    /// Refuses to return any block but number `number` of this table (TABLE-11).
    #[inline]
    fn check_identity(&self, block: &Block, number: usize) -> Result<()> {
        debug_assert!(
            number < self.index.len(),
            "TABLE-11: the table has such a block"
        );
        match block.id() == BlockId::new(self.file_id, number) {
            true => Ok(()),
            false => Err(self.astray(number)),
        }
    }

    #[cold]
    fn astray(&self, number: usize) -> Error {
        Error::internal(format!(
            "another block is in the place of data block {number} of {}",
            self.path.display()
        ))
    }

    /// Whether data block `number` has the same entries in the cache as in the file; `None` if it is not in the
    /// cache.
    ///
    /// Counts no hit, and puts nothing in the cache.
    pub(crate) fn cached_block_is_sound(&self, number: usize) -> Result<Option<bool>> {
        let Some(cached) = (*self.slots.load(number)).clone() else {
            return Ok(None);
        };
        let fresh = self.read_block(number)?;
        let is_same = cached.id() == fresh.id() && hold_the_same(cached, fresh);
        Ok(Some(is_same))
    }

    /// Prefetches what a walk will read that soon enters block `next`, and later the block after that.
    pub(crate) fn prefetch(&self, next: usize, way: Way) {
        if next >= self.blocks() {
            return;
        }
        if let Some(block) = &*self.slots.load(next) {
            block.prefetch_edge(way);
        }
        let later = match way {
            Way::Forward => next + 1,
            Way::Backward => next.wrapping_sub(1),
        };
        if later < self.blocks()
            && let Some(block) = &*self.slots.load(later)
        {
            block.prefetch();
        }
    }

    /// Puts any block into the slot of data block `number`.
    #[cfg(test)]
    pub(crate) fn put_in_slot(&self, number: usize, block: Block) {
        self.slots.put(number, block);
    }

    /// Whether data block `number` is in the cache. Counts neither a hit nor a miss.
    #[cfg(test)]
    pub(crate) fn is_cached(&self, number: usize) -> bool {
        self.slots.load(number).is_some()
    }

    /// How many data blocks are in the cache.
    #[cfg(test)]
    pub(crate) fn slots_in_use(&self) -> usize {
        let blocks = 0..self.index.len();
        blocks.filter(|block| self.is_cached(*block)).count()
    }

    /// Reads data block `number` from the file.
    #[cold]
    fn fill(&self, number: usize, fill_cache: bool) -> Result<Block> {
        self.cache.note_miss();
        let block = self.read_block(number)?;
        debug_assert!(
            block.id() == BlockId::new(self.file_id, number),
            "TABLE-11: the block that was asked for"
        );
        match fill_cache {
            true => Ok(self.cache.insert(&self.slots, number, block)),
            false => Ok(block),
        }
    }

    fn read_block(&self, number: usize) -> Result<Block> {
        let handle = self.index.handle(number);
        let length = handle.length + BLOCK_TRAILER_BYTES as u64;
        if length > LARGE_BYTES as u64 {
            let stored = read_exact(&*self.file, &self.path, handle.offset, length)?;
            let (offset, kind) = (handle.offset, BlockKind::Data);
            let raw = open_block(&self.path, self.file_id, offset, kind, stored)?;
            return self.make_block(number, raw);
        }
        with_buffers(|Buffers { stored, raw }| {
            let length = length as usize;
            memory::lengthen(stored, length, "a block")?;
            let stored = &mut stored[..length];
            read_into(&*self.file, &self.path, handle.offset, stored)?;
            self.unpack(number, stored, raw)
        })
    }

    /// Data block `number` from its stored bytes; `raw` is overwritten.
    fn unpack(&self, number: usize, stored: &[u8], raw: &mut Vec<u8>) -> Result<Block> {
        debug_assert!(
            stored.len() as u64 == self.index.handle(number).length + BLOCK_TRAILER_BYTES as u64,
            "TABLE-6: the block's own bytes"
        );
        let (offset, kind) = (self.index.handle(number).offset, BlockKind::Data);
        let raw = unpack_block(
            &self.path,
            self.file_id,
            offset,
            kind,
            stored,
            raw,
            LARGE_BYTES,
        )?;
        self.make_block(number, raw)
    }

    /// Data block `number` from its raw bytes; refuses those of another block (TABLE-11).
    fn make_block(&self, number: usize, raw: RawBlock<'_>) -> Result<Block> {
        if !raw.is_at(self.file_id, self.index.handle(number).offset) {
            return Err(self.astray(number));
        }
        Block::new(raw, BlockId::new(self.file_id, number), self.cache.gauge())
            .map_err(|why| why.into_error(|damage| self.damage(number, damage)))
    }

    /// Whether data block `number` gets memory of its own when it is read.
    pub(crate) fn is_large(&self, number: usize) -> bool {
        self.index.handle(number).length > LARGE_BYTES as u64
    }

    /// Reads blocks from `number` on into `buffer` at once: as many as fit `readahead` bytes, but at least one.
    /// Returns how many.
    pub(crate) fn read_run(
        &self,
        number: usize,
        readahead: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<usize> {
        let start = self.index.handle(number).offset;
        let end_of = |number: usize| {
            let handle = self.index.handle(number);
            handle.offset + handle.length + BLOCK_TRAILER_BYTES as u64
        };
        let mut last = number;
        while last + 1 < self.index.len() && end_of(last + 1) - start <= readahead as u64 {
            last += 1;
        }
        let length = (end_of(last) - start) as usize;
        memory::lengthen(buffer, length, "blocks that are read ahead")?;
        read_into(&*self.file, &self.path, start, &mut buffer[..length])?;
        Ok(last + 1 - number)
    }

    /// Data block `number` and its trailer in a buffer that [`Table::read_run`] filled from block `first` on.
    fn stored_in_run<'a>(&self, number: usize, first: usize, buffer: &'a [u8]) -> &'a [u8] {
        debug_assert!(first <= number, "TABLE-11: the run has the block");
        let handle = self.index.handle(number);
        let start = (handle.offset - self.index.handle(first).offset) as usize;
        &buffer[start..start + handle.length as usize + BLOCK_TRAILER_BYTES]
    }

    /// Decodes data block `number` from a buffer that [`Table::read_run`] filled from block `first` on. With
    /// `fill_cache` it stays in the cache if there is room.
    pub(crate) fn block_from_run(
        &self,
        number: usize,
        first: usize,
        buffer: &[u8],
        fill_cache: bool,
    ) -> Result<Block> {
        self.cache.note_miss();
        let stored = self.stored_in_run(number, first, buffer);
        let block = with_buffers(|buffers| self.unpack(number, stored, &mut buffers.raw))?;
        debug_assert!(
            block.id() == BlockId::new(self.file_id, number),
            "TABLE-11: the block that was asked for"
        );
        match fill_cache {
            true => Ok(self.cache.insert_if_room(&self.slots, number, block)),
            false => Ok(block),
        }
    }

    /// Damage inside data block `number`, as an error that names the file and the block's offset.
    #[cold]
    pub(crate) fn damage(&self, number: usize, damage: Damage) -> Error {
        Error::corruption(
            &self.path,
            self.index.handle(number).offset,
            format!("data block, raw byte {}: {}", damage.at, damage.what),
        )
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.cache.release(&self.slots);
    }
}
