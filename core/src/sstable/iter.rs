//! Walks the entries of one table, block by block.
//!
//! * TABLE-8  Between calls the iterator holds counted references to its table and its current block, and the
//!            blocks it read ahead, and nothing else. So a slow iterator keeps one file open, and one block and
//!            at most `readahead` bytes in memory, which count as pinned.
//! * TABLE-9  After an error the iterator is not valid until the next seek.
//! * TABLE-12  A resting iterator has a copy of its entry's key instead of a block. Before any move except a
//!             seek it wakes: it reads the block again and returns to the same entry. So a merge of many tables
//!             holds the large blocks of only one of them.
//!
//! A forward scan over uncached blocks reads ahead: each read is twice as long as the one before, up to the
//! iterator's `readahead`. A seek starts again with a small read, so that point reads stay small. Blocks read
//! ahead enter the cache only if there is room, so that a long scan does not evict blocks that others use.

use crate::error::{Error, Result};
use crate::iterator::InternalIterator;
use crate::key::{KeyRef, SequenceNumber, Trailer};
use crate::memory::{self, MemoryGauge};
use crate::sstable::block::{AnyCursor, Block, Damage, Moved, Way};
use crate::sstable::reader::Table;
use crate::sstable::span::Span;
use crate::sync::Arc;

/// The first read of more than a block takes this many bytes.
const FIRST_READAHEAD: usize = 16 << 10;
/// If the buffers of all iterators take more memory than this, each uses only the smallest window.
const MAX_READAHEAD: usize = 32 << 20;

/// While an iterator rests, it releases a block with a value larger than this. Reading the block again takes a
/// millisecond, but a merge may have dozens of tables. The iterator keeps an equally large block of many entries,
/// which would be read again for each of them.
pub(super) const RESTING_BYTES: usize = 4 << 20;
/// An entry with a longer key does not rest. Its key is most of its memory, and is still needed for comparisons.
pub(super) const MAX_RESTING_KEY: usize = 64 << 10;

/// See the head of the file.
pub(crate) struct TableIterator {
    table: Arc<Table>,
    fill_cache: bool,
    readahead: usize,
    /// The block the cursor is in.
    number: usize,
    cursor: Option<AnyCursor>,
    valid: bool,
    /// Whether the cursor's block may be one to release while the iterator rests.
    is_in_heavy: bool,
    /// The current entry while it rests (TABLE-12); then there is no cursor.
    resting: Option<Box<Resting>>,
    run: ReadAhead,
}

/// The key of an entry.
struct Resting {
    user_key: Vec<u8>,
    trailer: Trailer,
}

/// A block, and the bytes copied from it, for the entry that an iterator was on.
pub(crate) struct KeptBlock {
    _cursor: AnyCursor,
}

/// Blocks read ahead.
#[derive(Default)]
struct ReadAhead {
    buffer: Vec<u8>,
    /// The bytes of the buffer that the table's gauge counts.
    counted: usize,
    first: usize,
    blocks: usize,
    /// The length of the next read; 0 until two successive blocks were missing in the cache.
    window: usize,
    /// The block after the last one read from the file.
    expected: Option<usize>,
}

impl ReadAhead {
    /// Counts the present size of the buffer in the gauge.
    fn count(&mut self, gauge: &MemoryGauge) {
        gauge.resize_read_ahead(self.counted, self.buffer.capacity());
        self.counted = self.buffer.capacity();
    }

    /// Doubles the window, up to `readahead`. Uses the smallest window if all buffers would otherwise take too much.
    fn widen(&mut self, readahead: usize, gauge: &MemoryGauge) {
        let wide = (self.window * 2).clamp(FIRST_READAHEAD, readahead.max(FIRST_READAHEAD));
        let others = gauge.read_ahead().saturating_sub(self.counted);
        self.window = match others + wide <= MAX_READAHEAD {
            true => wide,
            false => FIRST_READAHEAD,
        };
        if self.window < wide && self.buffer.capacity() > self.window {
            self.buffer = Vec::new();
            self.count(gauge);
        }
    }
}

impl Drop for TableIterator {
    fn drop(&mut self) {
        if self.run.counted > 0 {
            let gauge = self.table.gauge();
            gauge.resize_read_ahead(self.run.counted, 0);
        }
    }
}

impl Table {
    /// An iterator over all entries, on none yet. `fill_cache`: as for [`Table::get`]. `readahead`: how many bytes of
    /// following blocks a scan may read at once; 0 for block by block.
    pub(crate) fn iter(self: &Arc<Table>, fill_cache: bool, readahead: usize) -> TableIterator {
        TableIterator::new(Arc::clone(self), fill_cache, readahead)
    }
}

impl TableIterator {
    fn new(table: Arc<Table>, fill_cache: bool, readahead: usize) -> TableIterator {
        TableIterator {
            run: ReadAhead::default(),
            table,
            fill_cache,
            readahead,
            number: 0,
            cursor: None,
            valid: false,
            is_in_heavy: false,
            resting: None,
        }
    }

    /// A span of this block for a reader at `sequence`. The reader must see this entry, and no other version of its
    /// key in this table. `None` if the block is in the stored form. Requires `valid`.
    pub(crate) fn span(&self, sequence: SequenceNumber) -> Option<Span> {
        debug_assert!(self.valid, "SPAN-1: a span begins on an entry");
        let Some(AnyCursor::Flat(cursor)) = &self.cursor else {
            return None;
        };
        let mut span = Span::new(cursor, sequence);
        if !self.table.is_between_keys(self.number) {
            span.leave_out_first();
        }
        Some(span)
    }

    /// Moves to entry `index` of this block, where a span has ended. Requires `valid`.
    pub(crate) fn resume(&mut self, index: usize) {
        debug_assert!(self.valid, "SPAN-1: a span began on an entry");
        if let Some(AnyCursor::Flat(cursor)) = &mut self.cursor {
            cursor.go(index);
            debug_assert!(cursor.valid(), "SPAN-1: a span ends on an entry");
        }
    }

    /// Takes the owner of the current entry's key and value, which stay in place; afterwards the iterator is on no
    /// entry.
    pub(crate) fn keep_entry(&mut self) -> Option<KeptBlock> {
        self.valid = false;
        // A cursor's buffers and its block stay where they are when it is moved.
        self.cursor.take().map(|_cursor| KeptBlock { _cursor })
    }

    /// Moves the cursor to block `number`, and there to no entry.
    fn enter(&mut self, number: usize) -> Result<&mut AnyCursor> {
        debug_assert!(
            number < self.table.blocks(),
            "TABLE-8: a block of its table"
        );
        self.valid = false;
        if self.number != number || self.cursor.is_none() {
            if self.is_in_heavy {
                self.leave_heavy();
            }
            let block = match self.table.cached_block(number)? {
                Some(block) => block,
                None => self.read(number)?,
            };
            // Only a walk goes to the next block; a seek leads elsewhere.
            if number == self.number + 1 {
                self.table.prefetch(number + 1, Way::Forward);
            } else if number + 1 == self.number {
                self.table.prefetch(number.wrapping_sub(1), Way::Backward);
            }
            self.number = number;
            self.is_in_heavy = block.bytes().len() > RESTING_BYTES;
            match &mut self.cursor {
                Some(cursor) => cursor.reset(block),
                None => self.cursor = Some(AnyCursor::new(block)),
            }
        }
        self.cursor
            .as_mut()
            .ok_or_else(|| Error::internal("no cursor after entering a block"))
    }

    /// Releases the block before another is read, so that two large blocks are not held at once.
    #[cold]
    fn leave_heavy(&mut self) {
        self.cursor = None;
        self.resting = None;
        self.is_in_heavy = false;
    }

    /// Whether the current entry is most of a large block.
    #[cold]
    fn is_on_large_value(&self) -> bool {
        if !self.valid || self.cursor.is_none() {
            return false;
        }
        let (key, value) = self.entry();
        value.len() > RESTING_BYTES && key.len() <= MAX_RESTING_KEY
    }

    #[cold]
    fn resting_key(&self) -> KeyRef<'_> {
        match &self.resting {
            Some(resting) => KeyRef::new(&resting.user_key, resting.trailer),
            None => KeyRef::new(b"", Trailer::OLDEST),
        }
    }

    /// [`InternalIterator::wake`] for a resting iterator (TABLE-12).
    #[cold]
    fn wake_to(&mut self, resting: &Resting) -> Result<()> {
        debug_assert!(
            self.cursor.is_none() && self.resting.is_none(),
            "TABLE-12: a resting iterator has no block"
        );
        self.valid = false;
        // The same walk has already requested this block once.
        let block = self.table.block(self.number, false)?;
        self.cursor = Some(AnyCursor::new(block));
        let key = KeyRef::new(&resting.user_key, resting.trailer);
        let stands = self.place(self.number, |cursor| cursor.seek(key))?;
        if !stands || self.key() != key {
            self.valid = false;
            let what = "it lacks an entry that it had a moment ago";
            return Err(self.table.damage(self.number, Damage { at: 0, what }));
        }
        Ok(())
    }

    #[cold]
    fn read(&mut self, number: usize) -> Result<Block> {
        let run = &mut self.run;
        let held = run.first..run.first + run.blocks;
        if !held.contains(&number) {
            let sequential = run.expected == Some(number);
            run.expected = Some(number + 1);
            // A large block is read by itself, into memory of its own.
            if self.readahead == 0 || !sequential || self.table.is_large(number) {
                run.window = 0;
                run.blocks = 0;
                return self.table.block(number, self.fill_cache);
            }
            run.blocks = 0;
            run.widen(self.readahead, self.table.gauge());
            let read = self.table.read_run(number, run.window, &mut run.buffer);
            run.count(self.table.gauge());
            run.blocks = read?;
            run.first = number;
            run.expected = Some(number + run.blocks);
        }
        self.table
            .block_from_run(number, run.first, &run.buffer, self.fill_cache)
    }

    /// Runs `step` on the cursor of block `number`; true if it is then on an entry.
    fn place(&mut self, number: usize, step: impl FnOnce(&mut AnyCursor) -> Moved) -> Result<bool> {
        let cursor = self.enter(number)?;
        match step(cursor) {
            Ok(()) => {
                self.valid = cursor.valid();
                Ok(self.valid)
            }
            Err(damage) => Err(self.table.damage(number, damage)),
        }
    }
}

impl InternalIterator for TableIterator {
    #[inline]
    fn valid(&self) -> bool {
        self.valid
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.place(0, AnyCursor::seek_to_first).map(|_| ())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        let last = self.table.blocks() - 1;
        self.place(last, AnyCursor::seek_to_last).map(|_| ())
    }

    fn seek(&mut self, target: KeyRef<'_>) -> Result<()> {
        let number = self.table.find_block(target);
        if !self.place(number, |cursor| cursor.seek(target))? && number + 1 < self.table.blocks() {
            // FENCE-1, FENCE-2: the first entry after the target is the first of the next block.
            self.place(number + 1, AnyCursor::seek_to_first)?;
        }
        Ok(())
    }

    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()> {
        let number = self.table.find_block(target);
        let found = self.place(number, |cursor| {
            cursor.seek(target)?;
            if !cursor.valid() {
                return cursor.seek_to_last();
            }
            if cursor.key() != target {
                cursor.prev()?;
            }
            Ok(())
        })?;
        if !found && number > 0 {
            self.place(number - 1, AnyCursor::seek_to_last)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn next(&mut self) -> Result<()> {
        debug_assert!(self.valid, "TABLE-9: no step from nowhere");
        let Some(cursor) = &mut self.cursor else {
            return Err(stepped_without_a_block());
        };
        if let Err(damage) = cursor.next() {
            self.valid = false;
            return Err(self.table.damage(self.number, damage));
        }
        if cursor.valid() {
            return Ok(());
        }
        self.valid = false;
        if self.number + 1 < self.table.blocks() {
            self.place(self.number + 1, AnyCursor::seek_to_first)?;
        }
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        debug_assert!(self.valid, "TABLE-9: no step from nowhere");
        let Some(cursor) = &mut self.cursor else {
            return Err(stepped_without_a_block());
        };
        match cursor.prev() {
            Ok(()) if cursor.valid() => return Ok(()),
            Ok(()) => {}
            Err(damage) => {
                self.valid = false;
                return Err(self.table.damage(self.number, damage));
            }
        }
        self.valid = false;
        if self.number > 0 {
            self.place(self.number - 1, AnyCursor::seek_to_last)?;
        }
        Ok(())
    }

    #[inline]
    fn key(&self) -> KeyRef<'_> {
        debug_assert!(self.valid, "TABLE-9: it stands on an entry");
        match &self.cursor {
            Some(cursor) => cursor.key(),
            None => self.resting_key(),
        }
    }

    #[inline]
    fn value(&self) -> &[u8] {
        debug_assert!(self.valid, "TABLE-9: it stands on an entry");
        match &self.cursor {
            Some(cursor) => cursor.value(),
            None => no_block(),
        }
    }

    #[inline]
    fn entry(&self) -> (&[u8], &[u8]) {
        debug_assert!(self.valid, "TABLE-9: it stands on an entry");
        match &self.cursor {
            Some(AnyCursor::Flat(cursor)) => (cursor.key().user_key, cursor.value()),
            Some(AnyCursor::Stored(cursor)) => (cursor.key().user_key, cursor.value()),
            None => no_block(),
        }
    }

    #[inline]
    fn is_heavy(&self) -> bool {
        self.is_in_heavy && self.is_on_large_value()
    }

    #[cold]
    fn rest(&mut self) {
        let KeyRef { user_key, trailer } = self.key();
        let mut copy = Vec::new();
        // If there is no memory for the key, it does not rest.
        if self.resting.is_none() && memory::replace(&mut copy, user_key, "a key").is_ok() {
            let user_key = copy;
            self.resting = Some(Box::new(Resting { user_key, trailer }));
            self.cursor = None;
        }
    }

    #[inline]
    fn wake(&mut self) -> Result<()> {
        match self.resting.take() {
            None => Ok(()),
            Some(resting) => self.wake_to(&resting),
        }
    }

    #[inline]
    fn is_known_first_of_key(&self) -> bool {
        match &self.cursor {
            Some(AnyCursor::Flat(cursor)) => cursor
                .is_first_of_key()
                .unwrap_or_else(|| self.table.is_between_keys(self.number)),
            _ => false,
        }
    }

    #[inline]
    fn is_known_last_of_key(&self) -> bool {
        match &self.cursor {
            Some(AnyCursor::Flat(cursor)) => cursor
                .is_last_of_key()
                .unwrap_or_else(|| self.table.is_between_keys(self.number + 1)),
            _ => false,
        }
    }
}

/// For a caller that asks for a value without waking the iterator (TABLE-12): no answer is better than a wrong one.
#[cold]
fn no_block() -> ! {
    panic!("TABLE-12: the value of a table's iterator that has no block")
}

/// The error of a step that needs a seek or a waking first (TABLE-12).
#[cold]
fn stepped_without_a_block() -> Error {
    Error::internal("a step of a table's iterator that has no block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_double_until_the_buffers_of_all_take_too_much() {
        const WIDEST: usize = 256 << 10;
        let gauge = MemoryGauge::default();
        let mut run = ReadAhead::default();
        let widen = |run: &mut ReadAhead| {
            run.widen(WIDEST, &gauge);
            run.buffer.reserve_exact(run.window);
            run.count(&gauge);
            run.window >> 10
        };
        for window in [16, 32, 64, 128, 256, 256] {
            assert_eq!(widen(&mut run), window);
        }
        gauge.resize_read_ahead(0, MAX_READAHEAD - WIDEST);
        assert_eq!(widen(&mut run), 256, "the buffers fit exactly");
        gauge.resize_read_ahead(0, 1);
        assert_eq!(widen(&mut run), 16);
        assert_eq!(run.buffer.capacity(), FIRST_READAHEAD);
        let held = MAX_READAHEAD - WIDEST + 1 + FIRST_READAHEAD;
        assert_eq!((gauge.read_ahead(), gauge.bytes()), (held, held));
        assert_eq!(widen(&mut run), 32, "now it may widen again");
    }

    #[test]
    fn a_buffer_goes_only_where_the_window_has_shrunk_below_it() {
        let gauge = MemoryGauge::default();
        let mut run = ReadAhead::default();
        let kept = |run: &mut ReadAhead, capacity, window| {
            run.buffer = Vec::with_capacity(capacity);
            run.widen(FIRST_READAHEAD * 2, &gauge);
            assert_eq!(run.window, window);
            run.buffer.capacity()
        };
        // An allocation may be larger than requested.
        let large = FIRST_READAHEAD * 3;
        assert_eq!(kept(&mut run, large, FIRST_READAHEAD), large);
        assert_eq!(kept(&mut run, large, FIRST_READAHEAD * 2), large);
        assert_eq!(kept(&mut run, large, FIRST_READAHEAD * 2), large);
        gauge.resize_read_ahead(0, MAX_READAHEAD);
        assert_eq!(kept(&mut run, large, FIRST_READAHEAD), 0);
        let small = FIRST_READAHEAD;
        assert_eq!(kept(&mut run, small, FIRST_READAHEAD), small);
    }
}
