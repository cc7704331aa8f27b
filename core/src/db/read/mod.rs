//! Cursors, and the parts of the tree that they pin until closing takes them away.
//!
//! Locks: the list of holds, then a cursor's hold, then those of the caches.

pub use self::chunk::Chunk;
pub use self::count::CountProgress;
pub use self::cursor::Cursor;
pub(super) use self::overlaid::{NoteRanges, Overlay};
pub(super) use self::source::{READAHEAD_BYTES, sources};

use self::holds::HoldList;
use super::tree::{SuperVersion, Tree};
use crate::error::Result;
use crate::key::SequenceNumber;
use crate::options::IterOptions;
use crate::snapshot::Snapshot;
use crate::sync::Arc;

mod changes;
mod chunk;
mod count;
mod cursor;
mod entries;
mod holds;
mod overlaid;
mod prefix;
mod source;
mod stored;

/// The cursors of a tree.
pub(super) struct Walks {
    tree: Arc<Tree>,
    holds: Arc<HoldList>,
}

impl Walks {
    pub(super) fn new(tree: &Arc<Tree>) -> Walks {
        Walks {
            tree: Arc::clone(tree),
            holds: Arc::default(),
        }
    }

    /// A cursor over the entries that `options` describes; see `DB::cursor`.
    pub(super) fn cursor(&self, options: IterOptions) -> Result<Cursor> {
        Cursor::open(&self.tree, &self.holds, options)
    }

    /// A cursor over the entries as of `snapshot`, with the writes of a transaction over them.
    pub(super) fn overlaid_cursor(
        &self,
        snapshot: &Snapshot,
        overlay: Overlay,
        options: IterOptions,
    ) -> Result<Cursor> {
        Cursor::open_overlaid(&self.tree, &self.holds, snapshot, overlay, options)
    }

    /// A cursor over the entries of `superversion` at `sequence`. The superversion must contain every entry up
    /// to that number.
    pub(super) fn cursor_at(
        &self,
        superversion: Arc<SuperVersion>,
        sequence: SequenceNumber,
        options: IterOptions,
    ) -> Result<Cursor> {
        Cursor::at(
            &self.tree,
            &self.holds,
            superversion,
            sequence,
            options,
            None,
        )
    }

    /// Makes every later move fail.
    pub(super) fn close(&self) {
        self.holds.close();
    }

    /// Takes everything from every cursor, except the bytes it lends. Waits for a move under way.
    pub(super) fn let_go(&self) {
        self.holds.let_go();
    }

    /// How many cursors there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.holds.len()
    }
}
