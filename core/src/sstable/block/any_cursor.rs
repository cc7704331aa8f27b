//! A cursor over a block in either form, and a comparison of two blocks.
//!
//! A move returns damage in the stored form; a flat block has none (LAYOUT-1).

use super::cursor::BlockCursor;
use super::flat_cursor::FlatCursor;
use super::memory::Block;
use super::stored::Damage;
use crate::key::KeyRef;

/// The result of a move.
pub(in crate::sstable) type Moved = Result<(), Damage>;

/// See the head of the file.
pub(in crate::sstable) enum AnyCursor {
    Flat(FlatCursor),
    /// Boxed because it is seldom needed and three times as large: every cursor is then cheaper to make and to move.
    Stored(Box<BlockCursor>),
}

impl AnyCursor {
    pub(in crate::sstable) fn new(block: Block) -> AnyCursor {
        match FlatCursor::new(block) {
            Ok(cursor) => AnyCursor::Flat(cursor),
            Err(block) => AnyCursor::Stored(Box::new(BlockCursor::new(block))),
        }
    }

    /// Moves to another block, and there to no entry. Keeps buffers where it can.
    pub(in crate::sstable) fn reset(&mut self, block: Block) {
        match (FlatCursor::new(block), &mut *self) {
            (Ok(cursor), _) => *self = AnyCursor::Flat(cursor),
            (Err(block), AnyCursor::Stored(cursor)) => cursor.reset(block),
            (Err(block), _) => *self = AnyCursor::Stored(Box::new(BlockCursor::new(block))),
        }
    }

    #[inline]
    pub(in crate::sstable) fn valid(&self) -> bool {
        match self {
            AnyCursor::Flat(cursor) => cursor.valid(),
            AnyCursor::Stored(cursor) => cursor.valid(),
        }
    }

    #[inline]
    pub(in crate::sstable) fn key(&self) -> KeyRef<'_> {
        match self {
            AnyCursor::Flat(cursor) => cursor.key(),
            AnyCursor::Stored(cursor) => cursor.key(),
        }
    }

    #[inline]
    pub(in crate::sstable) fn value(&self) -> &[u8] {
        match self {
            AnyCursor::Flat(cursor) => cursor.value(),
            AnyCursor::Stored(cursor) => cursor.value(),
        }
    }

    pub(in crate::sstable) fn seek_to_first(&mut self) -> Moved {
        match self {
            AnyCursor::Flat(cursor) => cursor.seek_to_first(),
            AnyCursor::Stored(cursor) => cursor.seek_to_first()?,
        }
        Ok(())
    }

    pub(in crate::sstable) fn seek_to_last(&mut self) -> Moved {
        match self {
            AnyCursor::Flat(cursor) => cursor.seek_to_last(),
            AnyCursor::Stored(cursor) => cursor.seek_to_last()?,
        }
        Ok(())
    }

    pub(in crate::sstable) fn seek(&mut self, target: KeyRef<'_>) -> Moved {
        match self {
            AnyCursor::Flat(cursor) => cursor.seek(target),
            AnyCursor::Stored(cursor) => cursor.seek(target)?,
        }
        Ok(())
    }

    #[inline]
    pub(in crate::sstable) fn next(&mut self) -> Moved {
        match self {
            AnyCursor::Flat(cursor) => cursor.next(),
            AnyCursor::Stored(cursor) => cursor.next()?,
        }
        Ok(())
    }

    #[inline]
    pub(in crate::sstable) fn prev(&mut self) -> Moved {
        match self {
            AnyCursor::Flat(cursor) => cursor.prev(),
            AnyCursor::Stored(cursor) => cursor.prev().map(|_| ())?,
        }
        Ok(())
    }
}

/// Whether two blocks, in any forms, hold the same entries in the same order.
pub(in crate::sstable) fn hold_the_same(a: Block, b: Block) -> bool {
    let (mut a, mut b) = (AnyCursor::new(a), AnyCursor::new(b));
    let mut moved = a.seek_to_first().and_then(|()| b.seek_to_first());
    while moved.is_ok() && a.valid() && b.valid() {
        if a.key() != b.key() || a.value() != b.value() {
            return false;
        }
        moved = a.next().and_then(|()| b.next());
    }
    moved.is_ok() && !a.valid() && !b.valid()
}
