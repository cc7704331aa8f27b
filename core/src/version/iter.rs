//! Walks some tables of a level as one run, opening each when it is reached.
//!
//! * LEVEL-1  At most one table is open at a time, and only while a seek or a step is in it.
//! * LEVEL-3  When it passes deleted entries, it passes only tables whose entries are all older than the range delete:
//!            whole ones within the range, and the part of another.
//! * LEVEL-2  `current` is valid whenever it is set: at the end of a table the iterator leaves it at once.

use std::ops::Range;

use super::{FileMeta, Level, Version};
use crate::cache::TableCache;
use crate::error::Result;
use crate::iterator::{InternalIterator, step_over_key};
use crate::key::{KeyRef, SequenceNumber, Trailer};
use crate::sstable::{KeptBlock, Span, TableIterator};
use crate::sync::Arc;

impl Version {
    /// Passes `take` one iterator for each table of level 0 and one for each deeper level, if they reach into the
    /// user keys `[lower, upper]`; `None` is open. An iterator opens a table when it first moves into it. `readahead`
    /// is in bytes.
    pub(crate) fn iterators(
        &self,
        tables: &Arc<TableCache>,
        fill_cache: bool,
        readahead: usize,
        lower: Option<&[u8]>,
        upper: Option<&[u8]>,
        mut take: impl FnMut(LevelIterator),
    ) {
        let mut add = |level: &Arc<Level>, range: Range<usize>| {
            let (level, tables) = (level.clone(), tables.clone());
            take(LevelIterator::new(
                level, range, tables, fill_cache, readahead,
            ));
        };
        for (index, file) in self.files(0).iter().enumerate() {
            if file.overlaps(lower, upper) {
                add(&self.levels[0], index..index + 1);
            }
        }
        for level in self.deeper_levels() {
            let range = level.range(lower, upper);
            if !range.is_empty() {
                add(level, range);
            }
        }
    }
}

/// Walks tables of a level that do not overlap, and keeps them alive.
pub(crate) struct LevelIterator {
    level: Arc<Level>,
    range: Range<usize>,
    tables: Arc<TableCache>,
    fill_cache: bool,
    readahead: usize,
    /// The current table, by its index in the level.
    current: Option<(usize, TableIterator)>,
}

impl LevelIterator {
    /// Walks the tables `range` of `level`: any number of a deeper level, or one of level 0.
    fn new(
        level: Arc<Level>,
        range: Range<usize>,
        tables: Arc<TableCache>,
        fill_cache: bool,
        readahead: usize,
    ) -> LevelIterator {
        debug_assert!(
            range.start <= range.end && range.end <= level.files().len(),
            "LEVEL-1: its tables are of the level"
        );
        LevelIterator {
            level,
            range,
            tables,
            fill_cache,
            readahead,
            current: None,
        }
    }

    /// Walks `files`, which do not overlap and are in order.
    pub(crate) fn over(
        files: Vec<Arc<FileMeta>>,
        tables: Arc<TableCache>,
        fill_cache: bool,
        readahead: usize,
    ) -> LevelIterator {
        debug_assert!(
            files.is_sorted_by(|one, next| {
                one.largest_key().user_key < next.smallest_key().user_key
            }),
            "VERSION-2: disjoint, and in order"
        );
        let range = 0..files.len();
        let level = Arc::new(Level::new(files));
        LevelIterator::new(level, range, tables, fill_cache, readahead)
    }

    /// Makes `current` the iterator over table `index`, unless it already is.
    fn open(&mut self, index: usize) -> Result<&mut TableIterator> {
        if self.current.as_ref().is_none_or(|(open, _)| *open != index) {
            self.current = None;
            let table = self.tables.open(&self.level.files[index].handle)?;
            self.current = Some((index, table.iter(self.fill_cache, self.readahead)));
        }
        debug_assert!(self.range.contains(&index), "LEVEL-1: within its tables");
        let (_, iterator) = self.current.as_mut().expect("put there just now");
        Ok(iterator)
    }

    /// Moves in table `index` by `step`; returns whether it is then on an entry.
    fn enter(
        &mut self,
        index: usize,
        step: impl FnOnce(&mut TableIterator) -> Result<()>,
    ) -> Result<bool> {
        let iterator = self.open(index)?;
        let moved = step(iterator);
        let stands = iterator.valid();
        if !stands {
            // LEVEL-2.
            self.current = None;
        }
        debug_assert!(
            self.current.as_ref().is_none_or(|(_, table)| table.valid()),
            "LEVEL-2"
        );
        moved.map(|()| stands)
    }

    /// Moves to the first entry of the first table from `index` on that has one.
    fn enter_forward(&mut self, mut index: usize) -> Result<()> {
        debug_assert!(self.range.start <= index, "LEVEL-1: within its tables");
        while index < self.range.end {
            if self.enter(index, TableIterator::seek_to_first)? {
                return Ok(());
            }
            index += 1;
        }
        self.current = None;
        Ok(())
    }

    /// Moves to the last entry of the last table before `end` that has one.
    fn enter_backward(&mut self, mut end: usize) -> Result<()> {
        debug_assert!(end <= self.range.end, "LEVEL-1: within its tables");
        while end > self.range.start {
            end -= 1;
            if self.enter(end, TableIterator::seek_to_last)? {
                return Ok(());
            }
        }
        self.current = None;
        Ok(())
    }

    /// [`TableIterator::span`] of the current table. Requires `valid`.
    pub(crate) fn span(&self, sequence: SequenceNumber) -> Option<Span> {
        self.standing().span(sequence)
    }

    /// [`TableIterator::resume`] in the current table. Requires `valid`.
    pub(crate) fn resume(&mut self, index: usize) {
        debug_assert!(self.current.is_some(), "LEVEL-2: on an entry of a table");
        if let Some((_, iterator)) = &mut self.current {
            iterator.resume(index);
        }
    }

    /// [`TableIterator::keep_entry`] of the current table, which it leaves.
    pub(crate) fn keep_entry(&mut self) -> Option<KeptBlock> {
        let (_, mut iterator) = self.current.take()?;
        iterator.keep_entry()
    }

    /// The smallest sequence number in the current table. Requires `valid`.
    pub(crate) fn smallest_sequence(&self) -> SequenceNumber {
        let current = self.current.as_ref();
        current.map_or(SequenceNumber(0), |(index, _)| {
            self.level.files[*index].smallest_sequence
        })
    }

    fn standing(&self) -> &TableIterator {
        &self.current.as_ref().expect("the caller checked valid").1
    }
}

impl InternalIterator for LevelIterator {
    #[inline]
    fn valid(&self) -> bool {
        self.current.is_some()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.enter_forward(self.range.start)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.enter_backward(self.range.end)
    }

    fn seek(&mut self, target: KeyRef<'_>) -> Result<()> {
        let index = match self.range.len() {
            // A single table needs no search, and level 0 has no order to search in.
            1 => self.range.start,
            _ => {
                let reaching = self.level.first_reaching(target.user_key);
                reaching.clamp(self.range.start, self.range.end)
            }
        };
        if index == self.range.end || target > self.level.files[index].largest_key() {
            return self.enter_forward((index + 1).min(self.range.end));
        }
        debug_assert!(self.range.contains(&index), "LEVEL-1: within its tables");
        if self.enter(index, |iterator| iterator.seek(target))? {
            return Ok(());
        }
        self.enter_forward(index + 1)
    }

    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()> {
        let index = match self.range.len() {
            1 => self.range.start,
            _ => {
                let reaching = self.level.first_reaching(target.user_key);
                reaching.clamp(self.range.start, self.range.end)
            }
        };
        if index == self.range.end || target < self.level.files[index].smallest_key() {
            return self.enter_backward(index);
        }
        debug_assert!(self.range.contains(&index), "LEVEL-1: within its tables");
        if self.enter(index, |iterator| iterator.seek_for_prev(target))? {
            return Ok(());
        }
        self.enter_backward(index)
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let Some((index, iterator)) = &mut self.current else {
            return Ok(());
        };
        let index = *index;
        debug_assert!(
            self.range.contains(&index) && iterator.valid(),
            "LEVEL-2: from an entry of one of its tables"
        );
        match iterator.next() {
            Ok(()) if iterator.valid() => Ok(()),
            Ok(()) => self.enter_forward(index + 1),
            Err(error) => {
                self.current = None;
                Err(error)
            }
        }
    }

    #[inline]
    fn next_key(&mut self, user_key: &[u8]) -> Result<()> {
        match self.standing().is_known_last_of_key() {
            true => self.next(),
            false => step_over_key(self, user_key),
        }
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        let Some((index, iterator)) = &mut self.current else {
            return Ok(());
        };
        let index = *index;
        debug_assert!(
            self.range.contains(&index) && iterator.valid(),
            "LEVEL-2: from an entry of one of its tables"
        );
        match iterator.prev() {
            Ok(()) if iterator.valid() => Ok(()),
            Ok(()) => self.enter_backward(index),
            Err(error) => {
                self.current = None;
                Err(error)
            }
        }
    }

    fn is_among_older(&self, below: SequenceNumber) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|(index, _)| self.level.files[*index].largest_sequence < below)
    }

    fn pass_older(&mut self, below: SequenceNumber, end: Option<&[u8]>) -> Result<()> {
        debug_assert!(self.is_among_older(below), "LEVEL-3");
        let first = self
            .current
            .as_ref()
            .map_or(self.range.end, |(index, _)| *index);
        for index in first..self.range.end {
            let file = &self.level.files[index];
            if file.largest_sequence >= below {
                return self.enter_forward(index);
            }
            if let Some(end) = end
                && end <= file.largest_key().user_key
            {
                let target = KeyRef::new(end, Trailer::NEWEST);
                return match self.enter(index, |iterator| iterator.seek(target))? {
                    true => Ok(()),
                    false => self.enter_forward(index + 1),
                };
            }
        }
        self.current = None;
        Ok(())
    }

    fn pass_older_back(&mut self, below: SequenceNumber, start: Option<&[u8]>) -> Result<()> {
        debug_assert!(self.is_among_older(below), "LEVEL-3");
        let after = self
            .current
            .as_ref()
            .map_or(self.range.start, |(index, _)| *index + 1);
        for index in (self.range.start..after).rev() {
            let file = &self.level.files[index];
            if file.largest_sequence >= below {
                return self.enter_backward(index + 1);
            }
            if let Some(start) = start
                && file.smallest_key().user_key < start
            {
                let target = KeyRef::new(start, Trailer::NEWEST);
                return match self.enter(index, |iterator| iterator.seek_for_prev(target))? {
                    true => Ok(()),
                    false => self.enter_backward(index),
                };
            }
        }
        self.current = None;
        Ok(())
    }

    #[inline]
    fn key(&self) -> KeyRef<'_> {
        self.standing().key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.standing().value()
    }

    #[inline]
    fn entry(&self) -> (&[u8], &[u8]) {
        self.standing().entry()
    }

    #[inline]
    fn is_heavy(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|(_, iterator)| iterator.is_heavy())
    }

    fn rest(&mut self) {
        if let Some((_, iterator)) = &mut self.current {
            iterator.rest();
        }
    }

    #[inline]
    fn wake(&mut self) -> Result<()> {
        let Some((_, iterator)) = &mut self.current else {
            return Ok(());
        };
        let woken = iterator.wake();
        if woken.is_err() {
            self.current = None;
        }
        woken
    }

    #[inline]
    fn is_known_first_of_key(&self) -> bool {
        self.standing().is_known_first_of_key()
    }

    #[inline]
    fn is_known_last_of_key(&self) -> bool {
        self.standing().is_known_last_of_key()
    }
}
