//! The common interface of all iterators over internal entries.
//!
//! `memtable`, `sstable` and `version` implement it; `merging.rs` joins many into one; `visible.rs` turns
//! internal entries into those that a reader at one sequence number sees; `alarm.rs` reports a long run of
//! hidden entries. The caller checks `valid` before `key` and `value`. After an error the iterator is not valid
//! until the next seek.

use crate::error::{Error, Result};
use crate::key::{KeyRef, SequenceNumber, Trailer};

pub(crate) mod alarm;
pub(crate) mod merging;
#[cfg(test)]
mod tests;
pub(crate) mod visible;

/// A move steps over this many versions of a key before it seeks.
pub(crate) const RESEEK_AFTER: u32 = 8;

/// Walks internal entries (every version, tombstones too) in the order of [`KeyRef`].
pub(crate) trait InternalIterator: Send {
    /// Whether the iterator is on an entry.
    fn valid(&self) -> bool;

    /// Moves to the first entry.
    fn seek_to_first(&mut self) -> Result<()>;

    /// Moves to the last entry.
    fn seek_to_last(&mut self) -> Result<()>;

    /// Moves to the first entry at or after `target`.
    fn seek(&mut self, target: KeyRef<'_>) -> Result<()>;

    /// Moves to the last entry at or before `target`.
    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()>;

    /// Moves to the entry after this one. Requires `valid`.
    fn next(&mut self) -> Result<()>;

    /// Moves to the entry before this one. Requires `valid`.
    fn prev(&mut self) -> Result<()>;

    /// Moves past all entries with this entry's user key, of which `user_key` is a copy. Requires `valid`.
    ///
    /// Steps over [`RESEEK_AFTER`] of them, then seeks: a key that was overwritten a million times costs one seek.
    #[inline]
    fn next_key(&mut self, user_key: &[u8]) -> Result<()> {
        step_over_key(self, user_key)
    }

    /// Whether this entry is among many that are known to be older than `below`, so that passing them together pays.
    /// Requires `valid`.
    fn is_among_older(&self, _below: SequenceNumber) -> bool {
        false
    }

    /// Moves forward past this entry, and past some of those that follow: only such that are older than `below` and
    /// before the user key `end` (`None`: whatever key they have). Requires [`InternalIterator::is_among_older`], and
    /// that this entry is before `end`.
    fn pass_older(&mut self, _below: SequenceNumber, _end: Option<&[u8]>) -> Result<()> {
        self.next()
    }

    /// Moves backward past this entry, and past some of those before it: only such that are older than `below` and not
    /// before the user key `start` (`None`: whatever key they have). Requires [`InternalIterator::is_among_older`], and
    /// that this entry is not before `start`.
    fn pass_older_back(&mut self, _below: SequenceNumber, _start: Option<&[u8]>) -> Result<()> {
        self.prev()
    }

    /// The key of this entry; lives until the next move. Requires `valid`.
    fn key(&self) -> KeyRef<'_>;

    /// The value of this entry (empty for a tombstone); lives until the next move. Requires `valid`.
    fn value(&self) -> &[u8];

    /// User key and value of the current entry. Requires `valid`.
    #[inline]
    fn entry(&self) -> (&[u8], &[u8]) {
        (self.key().user_key, self.value())
    }

    /// Whether it is on an entry whose memory it can release while it rests.
    #[inline]
    fn is_heavy(&self) -> bool {
        false
    }

    /// Releases the memory of a heavy entry. Until [`InternalIterator::wake`], a caller may only call `valid` and
    /// `key`, and may seek but not step.
    fn rest(&mut self) {}

    /// Reads again what [`InternalIterator::rest`] released. Requires `valid`.
    #[inline]
    fn wake(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether it is known at no cost that the previous entry has another user key, or that there is none. Requires
    /// `valid`.
    fn is_known_first_of_key(&self) -> bool {
        false
    }

    /// Whether it is known at no cost that the next entry has another user key, or that there is none. Requires
    /// `valid`.
    fn is_known_last_of_key(&self) -> bool {
        false
    }
}

/// [`InternalIterator::next_key`] for iterators without a faster way.
#[inline]
pub(crate) fn step_over_key(
    iterator: &mut (impl InternalIterator + ?Sized),
    user_key: &[u8],
) -> Result<()> {
    debug_assert!(
        iterator.valid() && iterator.key().user_key == user_key,
        "VISIBLE-2: the key to pass is the current one"
    );
    for _ in 0..RESEEK_AFTER {
        iterator.next()?;
        if !iterator.valid() || iterator.key().user_key != user_key {
            return Ok(());
        }
    }
    // OLDEST is number 0, which no entry has, so this lands after every version.
    iterator.seek(KeyRef::new(user_key, Trailer::OLDEST))?;
    if iterator.valid() && iterator.key().user_key <= user_key {
        return Err(out_of_order());
    }
    Ok(())
}

/// The error of a seek that does not get past the entries that it should leave, because entries are out of order.
/// Continuing from there could loop for ever.
#[cold]
fn out_of_order() -> Error {
    Error::unaccounted("keys out of order: a seek leads to an entry that it should pass")
}
