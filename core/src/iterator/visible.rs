//! The entries that a reader at one sequence number sees: the newest visible entry of each user key, without
//! tombstones, and without what range deletes cover.
//!
//! * VISIBLE-1  Forward, the inner iterator is on the shown entry. Backward, it is before every version of the
//!              shown user key, and key and value are copies, because the newest version comes last in this
//!              direction. If the inner iterator knows that the key has only one version, it is on that entry
//!              in both directions.
//! * VISIBLE-2  It steps over up to [`RESEEK_AFTER`] versions of one key one by one, and then seeks: a key
//!              overwritten a million times costs a few seeks.
//! * VISIBLE-4  An entry is shown only if no range delete of its reader covers it (COVER-1). It passes many covered
//!              entries together only where none of them can be newer than the range delete.
//! * VISIBLE-3  After such a seek the inner iterator must be strictly beyond the versions it left; otherwise
//!              that is an error. So every loop here ends, whatever a block contains.

use crate::effort;
use crate::error::{Error, Result};
use crate::iterator::alarm::{Alarm, LONG_RUN};
use crate::iterator::{InternalIterator, RESEEK_AFTER, out_of_order};
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory;
use crate::range_deletes::{Coverage, Piece};
use crate::sync::Arc;

/// The name of its memory in errors.
const ENTRY: &str = "an entry that a cursor stands on";

/// Walks the user keys and values visible at one sequence number.
pub(crate) struct VisibleIterator<I> {
    inner: I,
    sequence: SequenceNumber,
    at: At,
    /// The shown key if it is a copy; otherwise scratch for the key being stepped over.
    key: Vec<u8>,
    /// The shown value if it is a copy.
    value: Vec<u8>,
    /// Whether an entry that is a copy has its value; otherwise its value is empty.
    copies_values: bool,
    /// What range deletes cover for its reader; `None` if there are none.
    coverage: Option<Box<Coverage>>,
    /// The alarm that it rings at every long run of deleted keys.
    alarm: Option<Arc<Alarm>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Nowhere,
    /// `inner` is on the entry.
    Inner,
    /// `key` and `value` have the entry; `inner` is before it.
    Copied,
}

impl<I: InternalIterator> VisibleIterator<I> {
    pub(crate) fn new(inner: I, sequence: SequenceNumber) -> VisibleIterator<I> {
        VisibleIterator {
            inner,
            sequence,
            at: At::Nowhere,
            key: Vec::new(),
            value: Vec::new(),
            copies_values: true,
            coverage: None,
            alarm: None,
        }
    }

    /// The same with what range deletes cover for its reader.
    pub(crate) fn with_coverage(mut self, coverage: Option<Coverage>) -> VisibleIterator<I> {
        self.coverage = coverage.map(Box::new);
        self
    }

    /// The keys around the shown one that the same range deletes cover; `None` if there are no range deletes. Requires
    /// `valid`.
    pub(crate) fn covered_piece(&mut self) -> Option<&Piece> {
        debug_assert!(self.valid(), "VISIBLE-1: an entry is shown");
        let key = match self.at {
            At::Inner => self.inner.key().user_key,
            _ => &self.key,
        };
        Some(self.coverage.as_mut()?.at(key))
    }

    /// The same, ringing `alarm` at every long run of deleted keys that it has to pass over.
    pub(crate) fn with_alarm(mut self, alarm: Arc<Alarm>) -> VisibleIterator<I> {
        self.alarm = Some(alarm);
        self
    }

    /// The same; without `copies_values` for a caller that uses no value.
    pub(crate) fn copying_values(mut self, copies_values: bool) -> VisibleIterator<I> {
        self.copies_values = copies_values;
        self
    }

    /// The inner iterator, if it is on the shown entry. The caller may move it to another entry to show.
    pub(crate) fn inner_if_shown(&mut self) -> Option<&mut I> {
        (self.at == At::Inner).then_some(&mut self.inner)
    }

    /// Takes key and value of the shown entry if they are copies; then no entry is shown.
    pub(crate) fn take_copies(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let is_copied = std::mem::replace(&mut self.at, At::Nowhere) == At::Copied;
        is_copied.then(|| {
            (
                std::mem::take(&mut self.key),
                std::mem::take(&mut self.value),
            )
        })
    }

    pub(crate) fn valid(&self) -> bool {
        self.at != At::Nowhere
    }

    /// The user key; requires `valid`.
    pub(crate) fn key(&self) -> &[u8] {
        debug_assert!(self.valid(), "VISIBLE-1: an entry is shown");
        match self.at {
            At::Inner => self.inner.key().user_key,
            _ => &self.key,
        }
    }

    /// User key and value; requires `valid`.
    #[inline]
    pub(crate) fn entry(&self) -> (&[u8], &[u8]) {
        debug_assert!(self.valid(), "VISIBLE-1: an entry is shown");
        match self.at {
            At::Inner => self.inner.entry(),
            _ => (&self.key, &self.value),
        }
    }

    pub(crate) fn seek_to_first(&mut self) -> Result<()> {
        self.at = At::Nowhere;
        self.inner.seek_to_first()?;
        self.settle_forward()
    }

    pub(crate) fn seek_to_last(&mut self) -> Result<()> {
        self.at = At::Nowhere;
        self.inner.seek_to_last()?;
        self.settle_backward()
    }

    /// Moves to the first visible key at or after `user_key`.
    pub(crate) fn seek(&mut self, user_key: &[u8]) -> Result<()> {
        self.at = At::Nowhere;
        self.inner
            .seek(KeyRef::new(user_key, Trailer::visible_at(self.sequence)))?;
        self.settle_forward()
    }

    /// Moves to the last visible key at or before `user_key`.
    pub(crate) fn seek_for_prev(&mut self, user_key: &[u8]) -> Result<()> {
        self.at = At::Nowhere;
        self.inner
            .seek_for_prev(KeyRef::new(user_key, Trailer::OLDEST))?;
        self.settle_backward()
    }

    /// Moves to the last visible key before `user_key`.
    pub(crate) fn seek_before(&mut self, user_key: &[u8]) -> Result<()> {
        self.at = At::Nowhere;
        self.inner
            .seek_for_prev(KeyRef::new(user_key, Trailer::NEWEST))?;
        self.settle_backward()
    }

    /// Moves to the next visible key; requires `valid`.
    pub(crate) fn next(&mut self) -> Result<()> {
        debug_assert!(self.is_on_what_is_shown(), "VISIBLE-1");
        match std::mem::replace(&mut self.at, At::Nowhere) {
            At::Nowhere => Ok(()),
            At::Inner if self.inner.is_known_last_of_key() => {
                self.inner.next()?;
                self.settle_forward()
            }
            At::Inner => {
                memory::replace(&mut self.key, self.inner.key().user_key, ENTRY)?;
                self.inner.next_key(&self.key)?;
                self.settle_forward()
            }
            At::Copied => {
                // VISIBLE-1: `inner` is before all versions of `key`; move past all of them (their numbers are
                // not 0).
                self.inner.seek(KeyRef::new(&self.key, Trailer::OLDEST))?;
                if self.inner.valid() && self.inner.key().user_key <= &self.key[..] {
                    return Err(out_of_order());
                }
                self.settle_forward()
            }
        }
    }

    /// Moves to the visible key before this one; requires `valid`.
    pub(crate) fn prev(&mut self) -> Result<()> {
        debug_assert!(self.is_on_what_is_shown(), "VISIBLE-1");
        match std::mem::replace(&mut self.at, At::Nowhere) {
            At::Nowhere => Ok(()),
            At::Inner if self.inner.is_known_first_of_key() => {
                self.inner.prev()?;
                self.settle_backward()
            }
            At::Inner => {
                memory::replace(&mut self.key, self.inner.key().user_key, ENTRY)?;
                self.inner.prev()?;
                self.retreat_before_key()?;
                self.settle_backward()
            }
            At::Copied => self.settle_backward(),
        }
    }

    /// Copies the value of `inner`, unless the caller uses no value.
    #[inline]
    fn copy_value(&mut self) -> Result<()> {
        match self.copies_values {
            true => memory::replace(&mut self.value, self.inner.value(), ENTRY),
            false => Ok(()),
        }
    }

    /// Whether a reader at the sequence number sees the entry of `inner`, if that is shown.
    fn is_on_what_is_shown(&self) -> bool {
        self.at != At::Inner
            || self.inner.valid() && self.inner.key().trailer.sequence() <= self.sequence
    }

    /// Steps `inner` back until it is on a user key smaller than `self.key`.
    fn retreat_before_key(&mut self) -> Result<()> {
        debug_assert!(
            self.at == At::Nowhere,
            "VISIBLE-1: nothing is shown during a move"
        );
        let mut steps = 0;
        while self.inner.valid() && self.inner.key().user_key == self.key {
            steps += 1;
            if steps > RESEEK_AFTER {
                self.inner
                    .seek_for_prev(KeyRef::new(&self.key, Trailer::NEWEST))?;
                if self.inner.valid() && self.inner.key().user_key >= &self.key[..] {
                    return Err(out_of_order());
                }
            } else {
                self.inner.prev()?;
            }
        }
        Ok(())
    }

    /// Whether a range delete covers the entry of `inner`, whose number the reader sees.
    #[inline]
    fn is_covered(&mut self) -> bool {
        let KeyRef { user_key, trailer } = self.inner.key();
        let coverage = self.coverage.as_mut();
        coverage.is_some_and(|coverage| coverage.deletes(user_key, trailer.sequence()))
    }

    /// From an entry that is covered, goes forward or backward past it and, if possible, many more of its table;
    /// returns whether that was possible. Otherwise stays (VISIBLE-4).
    fn pass_covered(&mut self, is_forward: bool) -> Result<bool> {
        let KeyRef { user_key, trailer } = self.inner.key();
        let Some(coverage) = &mut self.coverage else {
            return Ok(false);
        };
        let newest = coverage.at(user_key).newest;
        if !self.inner.is_among_older(newest) {
            return Ok(false);
        }
        memory::replace(&mut self.key, user_key, ENTRY)?;
        let from = KeyRef::new(&self.key, trailer);
        debug_assert!(
            trailer.sequence() < newest,
            "VISIBLE-4: the entry is covered"
        );
        let is_beyond = match is_forward {
            true => {
                let end = coverage.run_end(&self.key, newest);
                self.inner.pass_older(newest, end.as_deref())?;
                !self.inner.valid() || from < self.inner.key()
            }
            false => {
                let start = coverage.run_start(&self.key, newest);
                self.inner.pass_older_back(newest, start.as_deref())?;
                !self.inner.valid() || self.inner.key() < from
            }
        };
        // VISIBLE-3.
        is_beyond.then_some(true).ok_or_else(out_of_order)
    }

    /// From any entry, goes forward to the first visible entry that is not deleted.
    fn settle_forward(&mut self) -> Result<()> {
        debug_assert!(
            self.at == At::Nowhere,
            "VISIBLE-1: nothing is shown during a move"
        );
        let (mut hidden, mut deleted, mut passed) = (0, 0, 0);
        while self.inner.valid() {
            passed += 1;
            effort::pass_over(passed)?;
            let KeyRef { user_key, trailer } = self.inner.key();
            if trailer.sequence() > self.sequence {
                hidden += 1;
                if hidden > RESEEK_AFTER {
                    hidden = 0;
                    memory::replace(&mut self.key, user_key, ENTRY)?;
                    let newest = KeyRef::new(&self.key, Trailer::visible_at(self.sequence));
                    self.inner.seek(newest)?;
                    if self.inner.valid() && self.inner.key() < newest {
                        return Err(out_of_order());
                    }
                } else {
                    self.inner.next()?;
                }
                continue;
            }
            hidden = 0;
            let kind = kind_of(trailer)?;
            let is_covered = self.coverage.is_some() && self.is_covered();
            if kind == ValueKind::Put && !is_covered {
                self.at = At::Inner;
                return Ok(());
            }
            deleted += 1;
            if deleted == LONG_RUN
                && let Some(alarm) = &self.alarm
            {
                alarm.ring(self.inner.key().user_key);
            }
            if is_covered && self.pass_covered(true)? {
                continue;
            }
            if self.inner.is_known_last_of_key() {
                self.inner.next()?;
                continue;
            }
            memory::replace(&mut self.key, self.inner.key().user_key, ENTRY)?;
            self.inner.next_key(&self.key)?;
        }
        Ok(())
    }

    /// From the last entry of any user key, goes backward to the first key that is visible and not deleted, and
    /// leaves `inner` before or on it (VISIBLE-1).
    fn settle_backward(&mut self) -> Result<()> {
        debug_assert!(
            self.at == At::Nowhere,
            "VISIBLE-1: nothing is shown during a move"
        );
        let mut passed = 0;
        while self.inner.valid() {
            passed += 1;
            effort::pass_over(passed)?;
            if passed == LONG_RUN
                && let Some(alarm) = &self.alarm
            {
                alarm.ring(self.inner.key().user_key);
            }
            let is_covered = self.coverage.is_some() && self.is_covered();
            if is_covered && self.pass_covered(false)? {
                continue;
            }
            if self.inner.is_known_first_of_key() {
                let trailer = self.inner.key().trailer;
                if trailer.sequence() <= self.sequence
                    && kind_of(trailer)? == ValueKind::Put
                    && !is_covered
                {
                    self.at = At::Inner;
                    return Ok(());
                }
                self.inner.prev()?;
                continue;
            }
            memory::replace(&mut self.key, self.inner.key().user_key, ENTRY)?;
            let Some(newest) = self.copy_newest_of_key()? else {
                continue;
            };
            let is_covered = (self.coverage.as_mut())
                .is_some_and(|coverage| coverage.deletes(&self.key, newest.sequence()));
            if newest.kind() == Some(ValueKind::Put) && !is_covered {
                self.at = At::Copied;
                return Ok(());
            }
        }
        Ok(())
    }

    /// From the last entry of `self.key`, goes backward before all of its entries and copies the value of the newest
    /// visible one. Returns its trailer, of a known kind, or `None` if the reader sees none.
    fn copy_newest_of_key(&mut self) -> Result<Option<Trailer>> {
        let mut found = None;
        let mut steps = 0;
        while self.inner.valid() && self.inner.key().user_key == self.key {
            let trailer = self.inner.key().trailer;
            if trailer.sequence() > self.sequence {
                // Only newer versions of the key follow, all of them hidden.
                self.retreat_before_key()?;
                break;
            }
            kind_of(trailer)?;
            found = Some(trailer);
            self.copy_value()?;
            steps += 1;
            if steps > RESEEK_AFTER {
                // Seeks the newest visible version; the loop ends after it.
                let newest = Trailer::visible_at(self.sequence);
                self.inner.seek(KeyRef::new(&self.key, newest))?;
                // There is such a version, because the walk stepped over it or an older one.
                if !self.inner.valid() || self.inner.key().user_key != self.key {
                    return Err(out_of_order());
                }
                let trailer = self.inner.key().trailer;
                if trailer.sequence() > self.sequence {
                    return Err(out_of_order());
                }
                kind_of(trailer)?;
                found = Some(trailer);
                self.copy_value()?;
                self.inner.prev()?;
                self.retreat_before_key()?;
                break;
            }
            self.inner.prev()?;
        }
        Ok(found)
    }
}

/// The entry's kind; `Unsupported` if a newer AiDb wrote it.
pub(crate) fn kind_of(trailer: Trailer) -> Result<ValueKind> {
    trailer.kind().ok_or_else(|| {
        Error::unsupported(format!(
            "an entry of kind {} (number {})",
            trailer.0 as u8,
            trailer.sequence()
        ))
    })
}

#[cfg(test)]
mod tests {
    use aidb_test_data::Random;

    use super::*;
    use crate::range_delete::{RangeDelete, value_of};
    use crate::range_deletes::RangeDeletes;
    use std::collections::BTreeMap;

    /// Entries in a sorted vector.
    struct Entries {
        entries: Vec<(Vec<u8>, Trailer, Vec<u8>)>,
        at: usize,
    }

    impl Entries {
        /// The entries of the current table.
        fn table(&self) -> std::ops::Range<usize> {
            let third = self.entries.len().div_ceil(3);
            let start = self.at / third * third;
            start..(start + third).min(self.entries.len())
        }

        fn key_at(&self, at: usize) -> KeyRef<'_> {
            KeyRef::new(&self.entries[at].0, self.entries[at].1)
        }
    }

    impl InternalIterator for Entries {
        fn valid(&self) -> bool {
            self.at < self.entries.len()
        }
        fn seek_to_first(&mut self) -> Result<()> {
            self.at = 0;
            Ok(())
        }
        fn seek_to_last(&mut self) -> Result<()> {
            self.at = self.entries.len().wrapping_sub(1);
            Ok(())
        }
        fn seek(&mut self, target: KeyRef<'_>) -> Result<()> {
            self.at = (self.entries)
                .partition_point(|(key, trailer, _)| KeyRef::new(key, *trailer) < target);
            Ok(())
        }
        fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()> {
            let behind = (self.entries)
                .partition_point(|(key, trailer, _)| KeyRef::new(key, *trailer) <= target);
            self.at = behind.wrapping_sub(1);
            Ok(())
        }
        fn next(&mut self) -> Result<()> {
            self.at += 1;
            Ok(())
        }
        fn prev(&mut self) -> Result<()> {
            self.at = self.at.wrapping_sub(1);
            Ok(())
        }
        fn key(&self) -> KeyRef<'_> {
            self.key_at(self.at)
        }
        fn value(&self) -> &[u8] {
            &self.entries[self.at].2
        }
        // As in a table, of which there are three.
        fn is_among_older(&self, below: SequenceNumber) -> bool {
            let entries = self.table().map(|at| self.entries[at].1);
            entries.map(|trailer| trailer.sequence()).max() < Some(below)
        }
        fn pass_older(&mut self, _: SequenceNumber, end: Option<&[u8]>) -> Result<()> {
            let table_end = self.table().end;
            while self.at < table_end && end.is_none_or(|end| &*self.entries[self.at].0 < end) {
                self.at += 1;
            }
            Ok(())
        }
        fn pass_older_back(&mut self, _: SequenceNumber, start: Option<&[u8]>) -> Result<()> {
            let table = self.table();
            while table.contains(&self.at)
                && start.is_none_or(|start| start <= &*self.entries[self.at].0)
            {
                self.at = self.at.wrapping_sub(1);
            }
            Ok(())
        }
        // It is known in some places, as in blocks.
        fn is_known_first_of_key(&self) -> bool {
            !self.at.is_multiple_of(3) && self.entries[self.at - 1].0 != self.entries[self.at].0
        }
        fn is_known_last_of_key(&self) -> bool {
            self.at % 3 < 2
                && (self.entries.get(self.at + 1))
                    .is_some_and(|next| next.0 != self.entries[self.at].0)
        }
    }

    /// VISIBLE-1.
    #[test]
    fn equals_a_map_at_every_sequence_number_under_random_moves() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let keys = 1 + random.below(8);
            let writes = 1 + random.below(60);
            let mut entries = Vec::new();
            let mut states = vec![BTreeMap::new()];
            let mut ranges = Vec::new();
            for number in 1..=writes {
                let key = vec![b'a' + random.below(keys) as u8];
                let mut value = number.to_le_bytes().to_vec();
                let mut state = states.last().unwrap().clone();
                let kind = if seed % 2 == 1 && random.below(6) == 0 {
                    let end = match random.below(3) {
                        0 => None,
                        more => Some(vec![key[0] + more as u8]),
                    };
                    let (flags, rest) = value_of(end.as_deref());
                    value = [&flags, rest].concat();
                    let sequence = SequenceNumber(number);
                    let range = RangeDelete::of_entry(&key, sequence, &value).unwrap();
                    state.retain(|key: &Vec<u8>, _| !range.covers(key));
                    ranges.push(range);
                    ValueKind::RangeDelete
                } else if random.below(4) == 0 {
                    state.remove(&key);
                    ValueKind::Delete
                } else {
                    state.insert(key.clone(), value.clone());
                    ValueKind::Put
                };
                entries.push((key, Trailer::new(SequenceNumber(number), kind), value));
                states.push(state);
            }
            entries.sort_by(|a, b| KeyRef::new(&a.0, a.1).cmp(&KeyRef::new(&b.0, b.1)));
            let ranges = Arc::new(RangeDeletes::of(ranges));
            for (number, state) in states.iter().enumerate() {
                let inner = Entries {
                    entries: entries.clone(),
                    at: usize::MAX,
                };
                let sequence = SequenceNumber(number as u64);
                let coverage = Coverage::of([Arc::clone(&ranges)].into_iter(), sequence);
                let mut iterator = VisibleIterator::new(inner, sequence).with_coverage(coverage);
                let mut expected: Option<Vec<u8>> = None;
                for _ in 0..60 {
                    let target = vec![b'a' + random.below(keys + 1) as u8];
                    match random.below(8) {
                        0 => {
                            iterator.seek_to_first().unwrap();
                            expected = state.keys().next().cloned();
                        }
                        1 => {
                            iterator.seek_to_last().unwrap();
                            expected = state.keys().next_back().cloned();
                        }
                        2 => {
                            iterator.seek(&target).unwrap();
                            expected = state.range(target..).next().map(|(k, _)| k.clone());
                        }
                        3 => {
                            iterator.seek_for_prev(&target).unwrap();
                            expected = state.range(..=target).next_back().map(|(k, _)| k.clone());
                        }
                        4 | 5 => {
                            if let Some(from) = expected.take() {
                                iterator.next().unwrap();
                                let mut behind = from;
                                behind.push(0);
                                expected = state.range(behind..).next().map(|(k, _)| k.clone());
                            }
                        }
                        _ => {
                            if let Some(from) = expected.take() {
                                iterator.prev().unwrap();
                                expected = state.range(..from).next_back().map(|(k, _)| k.clone());
                            }
                        }
                    }
                    assert_eq!(
                        iterator.valid(),
                        expected.is_some(),
                        "seed {seed} number {number}"
                    );
                    if let Some(key) = &expected {
                        assert_eq!(iterator.key(), key, "seed {seed} number {number}");
                        assert_eq!(
                            iterator.entry().1,
                            state[key],
                            "seed {seed} number {number}"
                        );
                    }
                }
            }
        }
    }

    /// EFFORT-1.
    #[test]
    fn a_brief_step_gives_up_in_a_long_run_of_entries_that_it_does_not_show() {
        const RUN: usize = 40_000;
        let entry = |key: &str, number, kind| {
            let trailer = Trailer::new(SequenceNumber(number), kind);
            (key.as_bytes().to_vec(), trailer, Vec::new())
        };
        // The keys are deleted, or were put after the reader's sequence number.
        for (number, kind) in [(1, ValueKind::Delete), (9, ValueKind::Put)] {
            let run = (0..RUN).map(|at| entry(&format!("b{at:06}"), number, kind));
            let mut entries = vec![entry("a", 1, ValueKind::Put)];
            entries.extend(run);
            entries.push(entry("c", 1, ValueKind::Put));
            let inner = Entries {
                entries,
                at: usize::MAX,
            };
            let mut iterator = VisibleIterator::new(inner, SequenceNumber(5));
            let brief = |step: &mut dyn FnMut() -> Result<()>| {
                let outcome = effort::within(&effort::Effort::Brief, step);
                outcome.is_err_and(|error| error.is_given_up())
            };
            iterator.seek_to_first().unwrap();
            assert!(brief(&mut || iterator.next()));
            assert!(!iterator.valid());
            iterator.seek_to_first().unwrap();
            iterator.next().unwrap();
            assert_eq!(iterator.key(), b"c");
            assert!(brief(&mut || iterator.prev()));
            iterator.seek(b"c").unwrap();
            iterator.prev().unwrap();
            assert_eq!(iterator.key(), b"a");
            // A part of the run is short enough.
            assert!(!brief(&mut || iterator.seek(b"b020000")));
            assert_eq!(iterator.key(), b"c");
        }
    }
}
