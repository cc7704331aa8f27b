//! What a block is for.

/// The kind of a block; part of its checksum (TABLE-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockKind {
    Data = 0,
    Index = 1,
    Filter = 2,
    Properties = 3,
}

impl BlockKind {
    /// The kind with this number.
    pub(crate) fn from_u8(number: u8) -> Option<BlockKind> {
        use BlockKind::{Data, Filter, Index, Properties};
        let mut kinds = [Data, Index, Filter, Properties].into_iter();
        kinds.find(|kind| *kind as u8 == number)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            BlockKind::Data => "data block",
            BlockKind::Index => "index block",
            BlockKind::Filter => "filter block",
            BlockKind::Properties => "properties block",
        }
    }
}
