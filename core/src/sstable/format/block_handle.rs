//! Where a block is.

use super::trailer::BLOCK_TRAILER_BYTES;

/// The place of a block's payload, which the trailer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u64,
    /// The length without the trailer.
    pub(crate) length: u64,
}

impl BlockHandle {
    /// The end of the trailer; `None` if that is not a valid offset.
    pub(crate) fn end(self) -> Option<u64> {
        self.offset
            .checked_add(self.length)?
            .checked_add(BLOCK_TRAILER_BYTES as u64)
    }
}
