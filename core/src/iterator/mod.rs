//! The one interface of everything that walks entries in the order of the tree.
//!
//! `memtable`, `sstable` and `version` implement it; `merging.rs` joins many into one; `visible.rs` turns
//! internal entries into what a reader at one sequence number may see. The caller checks `valid` before `key`
//! and `value`. After an error the iterator is not valid and stays so until the next seek.

use crate::error::Result;
use crate::key::KeyRef;

pub(crate) mod merging;
pub(crate) mod visible;

/// Walks internal entries (every version, tombstones too) in the order of [`KeyRef`].
pub(crate) trait InternalIterator: Send {
    /// Whether the iterator stands on an entry.
    fn valid(&self) -> bool;

    /// Moves to the first entry.
    fn seek_to_first(&mut self) -> Result<()>;

    /// Moves to the last entry.
    fn seek_to_last(&mut self) -> Result<()>;

    /// Moves to the first entry at or behind `target`.
    fn seek(&mut self, target: KeyRef<'_>) -> Result<()>;

    /// Moves to the last entry at or before `target`.
    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()>;

    /// Moves to the entry behind this one. Requires `valid`.
    fn next(&mut self) -> Result<()>;

    /// Moves to the entry before this one. Requires `valid`.
    fn prev(&mut self) -> Result<()>;

    /// The key of this entry; lives until the next move. Requires `valid`.
    fn key(&self) -> KeyRef<'_>;

    /// The value of this entry (empty for a tombstone); lives until the next move. Requires `valid`.
    fn value(&self) -> &[u8];

    /// Whether it is known, without looking far, that the entry before has another user key or that there is none.
    /// Requires `valid`.
    fn is_known_first_of_key(&self) -> bool {
        false
    }

    /// Whether it is known, without looking far, that the entry behind has another user key or that there is none.
    /// Requires `valid`.
    fn is_known_last_of_key(&self) -> bool {
        false
    }
}
