//! Accounts for the entries of a flush or a compaction: what was read, less what was dropped, is what was written.
//!
//! * LEDGER-1  Contents are compared as sums (`content.rs`): those of the inputs, kept since they were written; those
//!             of the outputs, told from their finished blocks; and those of the entries dropped, by the reason.
//! * LEDGER-2  A sum cannot tell whether an entry was rightly dropped. For the first keys of a job, and for a sample of
//!             the others, that is judged again at the end of the key, by a rule stated in another way than in
//!             `retention.rs`: whoever could read before the job must see the same after it.
//! * LEDGER-3  What that rule goes by is not what retention went by: who reads is asked after retention asked, of the
//!             pinned numbers themselves ([`Readers`]); what lies deeper is found among all tables of the version that
//!             the plan was made of (`Plan::ready`).
//!
//! Elsewhere: that keys ascend, in what is read (`retention.rs`) and in what is written (`sstable/builder.rs`).

use crate::content::Sum;
use crate::error::{Error, Result};
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory;

/// Entries of a job whose keys are all judged again, so that small jobs are judged whole.
const JUDGED_ENTRIES: u32 = 1024;
/// Behind them, entries that are passed over between two keys that are judged.
const SKIPPED_ENTRIES: u32 = 64;

/// What a message shows of a key.
const SHOWN_KEY_BYTES: usize = 64;

/// See the head of the file.
pub(crate) struct Ledger {
    readers: Readers,
    shadowed: Sum,
    bottom: Sum,
    judged: Judged,
    /// Entries until the next key is judged, and entries of the job still to be judged without a pause.
    skip: u32,
    without_pause: u32,
}

/// Who may read (LEDGER-3). Found out after what retention goes by: whoever came in between reads at a number that was
/// published then, and whoever went needs nothing.
pub(crate) struct Readers {
    /// From this number on anybody may.
    pub(crate) published: SequenceNumber,
    /// Numbers of snapshots, in any order.
    pub(crate) pinned: Vec<SequenceNumber>,
}

/// The key that is followed, if any: its entries and those of them that were written, newest first.
#[derive(Default)]
struct Judged {
    state: Following,
    user_key: Vec<u8>,
    read: Vec<Trailer>,
    written: Vec<Trailer>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Following {
    /// No key.
    #[default]
    None,
    /// A key in whose middle it began: not judged, but where it ends the next one begins.
    Passing,
    Key,
}

/// Why an entry was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No reader sees it: a newer entry of its key is seen instead.
    Shadowed,
    /// A tombstone with nothing left to hide.
    Bottom,
}

impl Ledger {
    /// Judges for `readers`.
    pub(crate) fn new(readers: Readers) -> Ledger {
        Ledger {
            readers,
            shadowed: Sum::default(),
            bottom: Sum::default(),
            judged: Judged {
                state: Following::Key,
                ..Judged::default()
            },
            skip: 0,
            without_pause: JUDGED_ENTRIES,
        }
    }

    /// Notes that an entry was read. `holds_deeper` tells whether a level below the outputs may hold a key.
    #[inline]
    pub(crate) fn read(
        &mut self,
        key: KeyRef<'_>,
        holds_deeper: impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        if self.judged.state == Following::None {
            self.skip -= 1;
            if self.skip > 0 {
                return Ok(());
            }
        }
        self.follow(key, holds_deeper)
    }

    fn follow(&mut self, key: KeyRef<'_>, holds_deeper: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let judged = &mut self.judged;
        let is_same = judged.user_key == key.user_key;
        match judged.state {
            // Perhaps in the middle of a key: the next one is judged.
            Following::None => {
                judged.state = Following::Passing;
                memory::replace(&mut judged.user_key, key.user_key, "a key")?;
            }
            Following::Passing if is_same => {}
            // A key that is followed has an entry; before the first one there is none.
            Following::Key if is_same && !judged.read.is_empty() => self.note_read(key),
            Following::Key if !judged.read.is_empty() && self.without_pause == 0 => {
                self.judge(holds_deeper)?;
                self.judged.state = Following::None;
                self.skip = SKIPPED_ENTRIES;
            }
            Following::Passing | Following::Key => {
                self.judge(holds_deeper)?;
                self.judged.state = Following::Key;
                memory::replace(&mut self.judged.user_key, key.user_key, "a key")?;
                self.note_read(key);
            }
        }
        Ok(())
    }

    fn note_read(&mut self, key: KeyRef<'_>) {
        self.judged.read.push(key.trailer);
        self.without_pause = self.without_pause.saturating_sub(1);
    }

    /// Notes that an entry was written. It was read before.
    #[inline]
    pub(crate) fn written(&mut self, key: KeyRef<'_>) {
        if self.judged.state == Following::Key {
            self.judged.written.push(key.trailer);
        }
    }

    /// Accounts for an entry that is not written.
    #[inline]
    pub(crate) fn dropped(&mut self, reason: Reason, key: KeyRef<'_>, value: &[u8]) {
        self.account_of(reason)
            .add_entry(key.user_key, key.trailer, value);
    }

    /// Takes back that a tombstone was dropped: it is written after all.
    pub(crate) fn kept_after_all(&mut self, reason: Reason, key: KeyRef<'_>) {
        let mut sum = Sum::default();
        sum.add_entry(key.user_key, key.trailer, &[]);
        let account = self.account_of(reason);
        *account = *account - sum;
    }

    fn account_of(&mut self, reason: Reason) -> &mut Sum {
        match reason {
            Reason::Shadowed => &mut self.shadowed,
            Reason::Bottom => &mut self.bottom,
        }
    }

    /// Ends the job: judges the last key, and compares what was read and what was written (LEDGER-1).
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

    /// LEDGER-2 for the key that has ended.
    fn judge(&mut self, mut holds_deeper: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let Judged {
            state,
            user_key,
            read,
            written,
        } = &mut self.judged;
        if *state == Following::Key && read != written {
            let is_hidden_below = || holds_deeper(user_key);
            if let Some(reader) = wronged_reader(&self.readers, read, written, is_hidden_below) {
                return Err(Error::unaccounted(format!(
                    "entries were wrongly dropped: a reader at number {reader} would no longer see the same under \"{}\"",
                    user_key[..user_key.len().min(SHOWN_KEY_BYTES)].escape_ascii()
                )));
            }
        }
        read.clear();
        written.clear();
        Ok(())
    }
}

/// A reader of one key who does not see the same in `written` as in `read`, both newest first; `None` if there is none.
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
        // Another entry than before is right only if both say that the key is absent.
        match (before.filter(is_put), after.filter(is_put)) {
            (None, None) => {
                // No entry says so only where nothing lies deeper.
                after.is_none() && *deeper.get_or_insert_with(&mut holds_deeper)
            }
            _ => true,
        }
    };
    // Others than snapshots may stand at any number published now or later: the first of them, and right at each entry
    // above it, is enough.
    let published = readers.published;
    let later = read.iter().map(|entry| entry.sequence());
    let later = later.filter(|number| *number > published);
    let pinned = readers.pinned.iter().copied();
    let mut numbers = pinned.chain([published]).chain(later);
    numbers.find(|number| is_wronged(*number))
}

#[cfg(test)]
mod tests;
