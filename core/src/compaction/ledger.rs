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
//!             tables of the version from which the plan was made (`Plan::ready`).
//!
//! Elsewhere: the check that keys ascend in the input (`retention.rs`) and in the output
//! (`sstable/builder.rs`).

use crate::content::Sum;
use crate::error::{Error, Result};
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind, is_same_user_key};
use crate::memory::{self, KeptKey};

/// A key as shown in a message.
const SHOWN_KEY_BYTES: usize = 64;

/// See the head of the file.
pub(crate) struct Ledger {
    readers: Readers,
    shadowed: Sum,
    bottom: Sum,
    judged: Judged,
}

/// The readers (LEDGER-3). This list is made after the numbers that retention uses. A reader that came in between
/// reads at a number that was already published; one that is gone needs nothing.
pub(crate) struct Readers {
    /// Any reader may read at this number or a later one.
    pub(crate) published: SequenceNumber,
    /// Numbers of snapshots, in any order.
    pub(crate) pinned: Vec<SequenceNumber>,
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
    /// No reader sees it, because readers see a newer entry of its key.
    Shadowed,
    /// It is a tombstone with nothing left to hide.
    Bottom,
}

impl Ledger {
    /// A ledger for these `readers`.
    pub(crate) fn new(readers: Readers) -> Ledger {
        Ledger {
            readers,
            shadowed: Sum::default(),
            bottom: Sum::default(),
            judged: Judged::default(),
        }
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
            shadowed, bottom, ..
        } = self;
        if read - shadowed - bottom == written {
            return Ok(());
        }
        Err(Error::unaccounted(format!(
            "entries are unaccounted for: of {read}, {shadowed} were dropped as overwritten and {bottom} as hiding \
             nothing, and {written} were written"
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
        if !is_whole {
            self.judge_dropped(holds_deeper)?;
        }
        self.judged.read.clear();
        self.judged.written.clear();
        Ok(())
    }

    /// The same if not all entries of the key were written.
    #[cold]
    fn judge_dropped(&self, mut holds_deeper: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let Judged {
            user_key,
            read,
            written,
        } = &self.judged;
        let user_key = user_key.bytes();
        let is_hidden_below = || holds_deeper(user_key);
        match wronged_reader(&self.readers, read, written, is_hidden_below) {
            None => Ok(()),
            Some(reader) => Err(Error::unaccounted(format!(
                "entries were wrongly dropped: a reader at number {reader} would no longer see the same under \"{}\"",
                user_key[..user_key.len().min(SHOWN_KEY_BYTES)].escape_ascii()
            ))),
        }
    }
}

/// A reader that sees a different value of one key in `written` than in `read`, both newest first; `None` if
/// there is no such reader.
fn wronged_reader(
    readers: &Readers,
    read: &[Trailer],
    written: &[Trailer],
    mut holds_deeper: impl FnMut() -> bool,
) -> Option<SequenceNumber> {
    let seen = |entries: &[Trailer], reader: SequenceNumber| {
        let entry = entries.iter().find(|entry| entry.sequence() <= reader);
        entry.copied()
    };
    let is_put = |entry: &Trailer| entry.kind() == Some(ValueKind::Put);
    let mut deeper = None;
    let mut is_wronged = |reader: SequenceNumber| {
        let (before, after) = (seen(read, reader), seen(written, reader));
        if before == after {
            return false;
        }
        // A different entry is right only if both entries say that the key is absent.
        match (before.filter(is_put), after.filter(is_put)) {
            (None, None) => {
                // Having no entry says so only if no deeper level has the key.
                after.is_none() && *deeper.get_or_insert_with(&mut holds_deeper)
            }
            _ => true,
        }
    };
    // Readers without a snapshot may read at any number published now or later. Checking the first such number, and
    // each entry's number above it, is enough.
    let published = readers.published;
    let later = read.iter().map(|entry| entry.sequence());
    let later = later.filter(|number| *number > published);
    let pinned = readers.pinned.iter().copied();
    let mut numbers = pinned.chain([published]).chain(later);
    numbers.find(|number| is_wronged(*number))
}

#[cfg(test)]
mod tests;
