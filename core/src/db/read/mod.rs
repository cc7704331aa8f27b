//! Walking: cursors, and what they hold of a tree until it is taken from them.
//!
//! Locks: a cursor's hold, and the list of holds, which is taken first. The caches' come after them.

pub use self::cursor::{Chunk, Cursor};
pub(super) use self::source::{READAHEAD_BYTES, sources};

use self::holds::HoldList;
use super::tree::{SuperVersion, Tree};
use crate::error::Result;
use crate::key::SequenceNumber;
use crate::options::IterOptions;
use crate::sync::Arc;

mod cursor;
mod holds;
mod source;

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

    /// A cursor over what `superversion` holds at `sequence`, which has to have every entry up to it.
    pub(super) fn cursor_at(
        &self,
        superversion: Arc<SuperVersion>,
        sequence: SequenceNumber,
        options: IterOptions,
    ) -> Result<Cursor> {
        Cursor::at(&self.tree, &self.holds, superversion, sequence, options)
    }

    /// From now on moves are refused.
    pub(super) fn close(&self) {
        self.holds.close();
    }

    /// Takes from every cursor what it holds, but for what it lends. A move under way ends first.
    pub(super) fn let_go(&self) {
        self.holds.let_go();
    }

    /// How many cursors there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.holds.len()
    }
}
