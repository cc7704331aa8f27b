//! Accounts for the entries of a flush or a compaction: those read, minus those dropped, must be those written.
//!
//! * LEDGER-1  Contents are compared as sums (`content.rs`): those of the inputs, stored when they were
//!             written; those of the outputs, computed from their finished blocks; and those of the dropped
//!             entries, by reason.
//! * LEDGER-2  A sum cannot show whether an entry was rightly dropped. So this is checked again at the end of
//!             each key, by a rule that is stated differently than in `retention.rs`: every reader that existed
//!             before the job must see the same after it.
//! * LEDGER-3  That rule uses other inputs than retention did: the readers are taken from the pinned numbers
//!             themselves, after retention has read them ([`Readers`]); deeper entries are looked for in all
//!             tables of the version from which the plan was made (`Plan::ready`); and range deletes are taken from
//!             the manifest's list for each table, or from the flushed entries (`range_sweep.rs`).
//! * LEDGER-5  No written entry is covered by a range delete up to the number that the outputs are said to be swept to
//!             (SWEPT-1).
//! * LEDGER-4  A range delete may be dropped only if no reader is before it and no table but the inputs may have an
//!             entry that it covers, which is found by looking at all tables. Once one is dropped, every later key is
//!             judged, for an entry that it covered must be dropped too.
//!
//! Elsewhere: the check that keys ascend in the input (`retention.rs`) and in the output
//! (`sstable/builder.rs`).

use std::collections::BTreeSet;

use super::readers::Readers;
use crate::content::Sum;
use crate::error::{Error, Result};
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind, is_same_user_key};
use crate::memory::{self, KeptKey};
use crate::range_delete::RangeDelete;
use crate::range_sweep::RangeSweep;

/// A key as shown in a message.
const SHOWN_KEY_BYTES: usize = 64;

/// See the head of the file.
pub(crate) struct Ledger {
    readers: Readers,
    shadowed: Sum,
    bottom: Sum,
    retired: Sum,
    judged: Judged,
    ranges: Ranges,
    /// Range deletes that may be dropped as far as tables are concerned, ascending (LEDGER-4).
    may_retire: Vec<SequenceNumber>,
    /// The number that the outputs are swept up to (LEDGER-5).
    swept: SequenceNumber,
}

/// The current key, with its entries read so far and the written ones among them, newest first.
#[derive(Default)]
struct Judged {
    user_key: KeptKey,
    read: Vec<Trailer>,
    written: Vec<Trailer>,
}

/// The name of its memory in errors.
const JUDGED: &str = "the versions of a key";

/// Why an entry was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No reader sees it, because readers see a newer entry of its key, or a newer range delete covers it.
    Shadowed,
    /// It is a tombstone with nothing left to hide.
    Bottom,
    /// It is a range delete with nothing left to delete.
    Retired,
}

impl Ledger {
    /// A ledger for these `readers`.
    pub(crate) fn new(readers: Readers) -> Ledger {
        Ledger {
            readers,
            shadowed: Sum::default(),
            bottom: Sum::default(),
            retired: Sum::default(),
            judged: Judged::default(),
            ranges: Ranges::default(),
            may_retire: Vec::new(),
            swept: SequenceNumber(0),
        }
    }

    /// The same for entries that `ranges` may cover, of which those with the numbers `may_retire` (ascending) may be
    /// dropped as far as tables are concerned (LEDGER-4). The outputs are said to be `swept` up to that number.
    pub(super) fn with_ranges(
        mut self,
        ranges: Vec<RangeDelete>,
        may_retire: Vec<SequenceNumber>,
        swept: SequenceNumber,
    ) -> Ledger {
        self.swept = swept;
        self.ranges.sweep = RangeSweep::of(ranges);
        self.may_retire = may_retire;
        self
    }

    /// Adds the range delete of the entry that was read last, which covers entries that are read later.
    pub(crate) fn begin_range(&mut self, range: RangeDelete) {
        self.ranges.sweep.begin(range);
    }

    /// Records that an entry was read. `holds_deeper` says whether a level below the outputs may have a key.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        key: KeyRef<'_>,
        holds_deeper: impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        // The first entry of a job begins a key, even if the key is empty.
        let is_same = is_same_user_key(self.judged.user_key.bytes(), key.user_key);
        if !is_same || self.judged.read.is_empty() {
            self.judge(holds_deeper)?;
            self.judged.user_key.replace(key.user_key, JUDGED)?;
        }
        memory::push(&mut self.judged.read, key.trailer, JUDGED)
    }

    /// Notes that an entry, which was read before, was written.
    #[inline(always)]
    pub(crate) fn written(&mut self, key: KeyRef<'_>) -> Result<()> {
        debug_assert!(
            self.judged.written.len() < self.judged.read.len(),
            "LEDGER-2: an entry was read before it is written"
        );
        memory::push(&mut self.judged.written, key.trailer, JUDGED)
    }

    /// Accounts for an entry that is not written.
    #[inline]
    pub(crate) fn dropped(&mut self, reason: Reason, key: KeyRef<'_>, value: &[u8]) {
        self.account_of(reason)
            .add_entry(key.user_key, key.trailer, value);
    }

    /// Corrects the account of a tombstone that was to be dropped: it is written after all.
    pub(crate) fn kept_after_all(&mut self, reason: Reason, key: KeyRef<'_>) {
        let mut sum = Sum::default();
        sum.add_entry(key.user_key, key.trailer, &[]);
        let account = self.account_of(reason);
        debug_assert!(
            account.tombstones >= sum.tombstones,
            "LEDGER-1: the tombstone was counted as dropped"
        );
        *account = *account - sum;
    }

    fn account_of(&mut self, reason: Reason) -> &mut Sum {
        match reason {
            Reason::Shadowed => &mut self.shadowed,
            Reason::Bottom => &mut self.bottom,
            Reason::Retired => &mut self.retired,
        }
    }

    /// Ends the job: judges the last key, and compares the read entries with the written ones (LEDGER-1).
    pub(crate) fn balance(
        mut self,
        read: Sum,
        written: Sum,
        holds_deeper: impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        self.judge(holds_deeper)?;
        let Ledger {
            shadowed,
            bottom,
            retired,
            ..
        } = self;
        if read - shadowed - bottom - retired == written {
            return Ok(());
        }
        Err(Error::unaccounted(format!(
            "entries are unaccounted for: of {read}, {shadowed} were dropped as overwritten, {bottom} as hiding \
             nothing and {retired} as deleting nothing, and {written} were written"
        )))
    }

    /// Checks LEDGER-2 for the key that has ended, if there was one.
    #[inline(always)]
    fn judge(&mut self, holds_deeper: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let Judged { read, written, .. } = &self.judged;
        let is_whole = match (&read[..], &written[..]) {
            ([one], [same]) => one == same,
            (read, written) => read == written,
        };
        if !is_whole || !self.ranges.retired.is_empty() || self.swept.0 > 0 {
            self.judge_dropped(holds_deeper)?;
        }
        self.judged.read.clear();
        self.judged.written.clear();
        Ok(())
    }

    /// The same if not all entries of the key were written, a range delete was dropped, or the outputs are said to be
    /// swept.
    #[cold]
    fn judge_dropped(&mut self, mut holds_deeper: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let Judged {
            user_key,
            read,
            written,
        } = &mut self.judged;
        let user_key = user_key.bytes();
        let shown = || user_key[..user_key.len().min(SHOWN_KEY_BYTES)].escape_ascii();
        self.ranges.sweep.advance(user_key);
        for entry in read.iter().filter(|entry| is_range_delete(entry)) {
            let number = entry.sequence();
            if written.contains(entry) {
                continue;
            }
            if self.may_retire.binary_search(&number).is_err() || self.readers.are_before(number) {
                return Err(Error::unaccounted(format!(
                    "range delete {number} of \"{}\" was wrongly dropped",
                    shown()
                )));
            }
            self.ranges.retired.insert(number);
        }
        // For its own key a range delete does what it does for every other.
        read.retain(|entry| !is_range_delete(entry));
        written.retain(|entry| !is_range_delete(entry));
        let is_hidden_below = || holds_deeper(user_key);
        let ranges = &self.ranges;
        let is_covered = |entry: &Trailer| ranges.hid(entry.sequence(), self.swept);
        if written.iter().any(is_covered) {
            return Err(Error::unaccounted(format!(
                "an entry of \"{}\" was kept although a range delete covers it",
                shown()
            )));
        }
        match wronged_reader(&self.readers, read, written, ranges, is_hidden_below) {
            None => Ok(()),
            Some(reader) => Err(Error::unaccounted(format!(
                "entries were wrongly dropped: a reader at number {reader} would no longer see the same under \"{}\"",
                shown()
            ))),
        }
    }
}

/// Range deletes at the current key.
#[derive(Default)]
struct Ranges {
    sweep: RangeSweep,
    /// The numbers of those that were dropped.
    retired: BTreeSet<SequenceNumber>,
}

impl Ranges {
    /// Whether an entry with this number was deleted for a reader at `reader` before the job.
    fn hid(&self, number: SequenceNumber, reader: SequenceNumber) -> bool {
        self.sweep.deletes(number, reader)
    }

    /// The same after the job.
    fn hides(&self, number: SequenceNumber, reader: SequenceNumber) -> bool {
        let mut deleting = self.sweep.deleting(number, reader);
        deleting.any(|number| !self.retired.contains(number))
    }
}

fn is_range_delete(entry: &Trailer) -> bool {
    entry.kind() == Some(ValueKind::RangeDelete)
}

/// A reader that sees a different value of one key in `written` than in `read`, both newest first and without range
/// deletes; `None` if there is no such reader.
fn wronged_reader(
    readers: &Readers,
    read: &[Trailer],
    written: &[Trailer],
    ranges: &Ranges,
    mut holds_deeper: impl FnMut() -> bool,
) -> Option<SequenceNumber> {
    let oldest = read.last()?.sequence();
    let seen = |entries: &[Trailer], reader: SequenceNumber| {
        let entry = entries.iter().find(|entry| entry.sequence() <= reader);
        entry.copied()
    };
    let is_put = |entry: &Trailer| entry.kind() == Some(ValueKind::Put);
    let mut deeper = None;
    let mut is_wronged = |reader: SequenceNumber| {
        let (before, after) = (seen(read, reader), seen(written, reader));
        let shown_before =
            before.filter(|entry| is_put(entry) && !ranges.hid(entry.sequence(), reader));
        let shown_after =
            after.filter(|entry| is_put(entry) && !ranges.hides(entry.sequence(), reader));
        if shown_before != shown_after {
            return true;
        }
        // Both show the same entry, or that the key is absent. If there was an entry that said so and is none now, no
        // deeper level may have the key. A range delete may hide it there, for all entries there are older than this
        // key's here; if that one is dropped, there are none (LEDGER-4).
        shown_before.is_none()
            && before.is_some()
            && after.is_none()
            && !ranges.hid(oldest, reader)
            && *deeper.get_or_insert_with(&mut holds_deeper)
    };
    // Readers without a snapshot may read at any number published now or later. Checking the first such number, and
    // each entry's number above it, is enough: range deletes are not newer than what was published.
    let published = readers.published;
    let later = read.iter().map(|entry| entry.sequence());
    let later = later.filter(|number| *number > published);
    let pinned = readers.pinned.iter().copied();
    let mut numbers = pinned.chain([published]).chain(later);
    numbers.find(|number| is_wronged(*number))
}

#[cfg(test)]
mod tests;
