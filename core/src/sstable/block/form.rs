//! A data block in either form. This file makes one from bytes of the disk, in the stored form; converts it to
//! the flat form; and looks up a key in it.
//!
//! * FORM-1  The `Form` of a block is the result of [`Stored::parse`] or [`lay_out`] for exactly its bytes: a
//!           block has restart points or flat entries, never both.
//! * FORM-2  A block is converted at most once. A block without a flat form keeps the stored one.
//!
//! Elsewhere: the two forms (`stored.rs`, `flat.rs`), their memory (`memory.rs`) and their cursors (`cursor.rs`,
//! `flat_cursor.rs`); when a block is converted (`sstable/block_cache.rs`).

use std::cell::RefCell;
use std::ops::Range;

use super::flat::{Flat, Layout, Way, lay_out};
use super::memory::{Block, BlockId, Form};
use super::stored::{Damage, Stored};
use crate::key::{KeyRef, Trailer};
use crate::memory::{MemoryGauge, Undecoded};
use crate::sstable::format::RawBlock;
use crate::sync::Arc;

/// Blocks with more bytes are not copied; they keep the allocation that they came in.
pub(in crate::sstable) const LARGE_BYTES: usize = 64 << 10;

thread_local! {
    /// In this buffer a thread lays a block out before the block gets memory of its own. Less than 64 KiB (LAYOUT-2).
    static LAID_OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Form {
    fn stored(restarts: u32) -> Form {
        debug_assert!(restarts > 0, "FORM-1: a stored block has a restart point");
        Form {
            restarts,
            flat_entries: 0,
            flat_shared: 0,
        }
    }

    fn flat(layout: Layout) -> Form {
        debug_assert!(
            layout.count > 0 && layout.count.max(layout.shared) <= usize::from(u16::MAX),
            "LAYOUT-2: a flat block has an entry, and is small"
        );
        Form {
            restarts: 0,
            // LAYOUT-2: they fit.
            flat_entries: layout.count as u16,
            flat_shared: layout.shared as u16,
        }
    }
}

impl Block {
    /// Checks the restart points of `raw`, the bytes of block `id`. The block's memory counts in `gauge` until it is
    /// dropped.
    pub(crate) fn new(
        raw: RawBlock<'_>,
        id: BlockId,
        gauge: &Arc<MemoryGauge>,
    ) -> Result<Block, Undecoded<Damage>> {
        let form = Form::stored(Stored::parse(&raw)?.restart_count());
        Ok(match raw.len() <= LARGE_BYTES {
            true => Block::make(Box::default(), &raw, id, form, gauge)?,
            false => {
                let bytes = raw.into_owned()?;
                Block::make(bytes.into(), &[], id, form, gauge)?
            }
        })
    }

    /// A block of unchecked bytes.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn unchecked(bytes: Vec<u8>, gauge: &Arc<MemoryGauge>) -> Result<Block, Damage> {
        let raw = RawBlock::unchecked(bytes);
        Block::new(raw, BlockId::new(0, 0), gauge).map_err(Undecoded::damage)
    }

    /// The same entries in the flat form, made at most once; `None` if the block is to stay as it is.
    #[cold]
    pub(crate) fn flatten(&self) -> Option<Block> {
        if !self.begin_to_flatten() {
            return None;
        }
        let made = LAID_OUT.try_with(|bytes| {
            let mut bytes = bytes.borrow_mut();
            let layout = lay_out(self.stored(), &mut bytes)?;
            self.made_anew(&bytes, Form::flat(layout)).ok()
        });
        // A thread that is about to end no longer has the buffer.
        made.ok().flatten()
    }

    /// The entries of a block in the stored form, which it must have.
    #[inline]
    pub(super) fn stored(&self) -> Stored<'_> {
        debug_assert!(self.layout().is_none(), "FORM-1");
        Stored::parsed(self.bytes(), self.form().restarts)
    }

    /// The layout of a flat block; `None` for one in the stored form.
    #[inline]
    pub(super) fn layout(&self) -> Option<Layout> {
        let form = self.form();
        (form.flat_entries > 0).then(|| Layout {
            count: usize::from(form.flat_entries),
            shared: usize::from(form.flat_shared),
        })
    }

    /// A flat block and its layout; `None` for one in the stored form.
    #[inline]
    pub(super) fn flat(&self) -> Option<Flat<'_>> {
        let layout = self.layout()?;
        Some(Flat::new(self.small_bytes(), layout))
    }

    /// Prefetches what a walk reads first when it enters a flat block at its first or last entry.
    #[inline]
    pub(crate) fn prefetch_edge(&self, way: Way) {
        if let Some(flat) = self.flat() {
            flat.prefetch_edge(way);
        }
    }

    /// Prefetches the entry of a flat block that a lookup of `target` reads, or one beside it. Returns where
    /// [`Block::get_from`] can go on.
    #[inline]
    pub(crate) fn prefetch_entry(&self, target: KeyRef<'_>) -> Option<usize> {
        let flat = self.flat()?;
        let low = flat.first_with_head(target);
        flat.prefetch(low);
        Some(low)
    }

    /// [`Block::get_from`] the beginning.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn get(
        &self,
        target: KeyRef<'_>,
    ) -> Result<Option<(Trailer, Range<usize>)>, Damage> {
        self.get_from(None, target)
    }

    /// The first entry at or after `target`, if it has the same user key: its trailer, and where its value is.
    /// `begun` is the result of [`Block::prefetch_entry`] for this target in this block, if that was called.
    #[inline]
    pub(crate) fn get_from(
        &self,
        begun: Option<usize>,
        target: KeyRef<'_>,
    ) -> Result<Option<(Trailer, Range<usize>)>, Damage> {
        match (self.flat(), begun) {
            (Some(flat), Some(low)) => Ok(flat.get_from(low, target)),
            (Some(flat), None) => Ok(flat.get(target)),
            (None, _) => self.stored().get(target),
        }
    }
}
