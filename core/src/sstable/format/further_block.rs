//! A block of a kind that this build does not know.

use std::path::Path;

use super::block_handle::BlockHandle;
use super::block_kind::BlockKind;
use super::trailer::{BLOCK_TRAILER_BYTES, block_crc};
use crate::coding::{get_varint, put_varint};
use crate::error::{Error, Result};

/// A reader passes over unknown blocks of this kind or a larger one. It has to know those of smaller kinds.
const FIRST_SKIPPABLE_KIND: u8 = 8;

/// A block of a future kind, between the index and the properties. The properties name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FurtherBlock {
    /// A number for which there is no [`BlockKind`]; at most 15.
    pub(crate) kind: u8,
    pub(crate) handle: BlockHandle,
}

impl FurtherBlock {
    /// Whether this build can read the table without it.
    pub(crate) fn is_skippable(self) -> bool {
        self.kind >= FIRST_SKIPPABLE_KIND
    }

    /// Checks `stored`, its payload and trailer.
    pub(crate) fn check(self, path: &Path, file_id: u64, stored: &[u8]) -> Result<()> {
        let offset = self.handle.offset;
        let damaged = |what: &str| Error::corruption(path, offset, what);
        let split = stored.split_last_chunk::<BLOCK_TRAILER_BYTES>();
        let Some((payload, [tag, expected @ ..])) = split else {
            return Err(damaged("a further block is cut short"));
        };
        if block_crc(file_id, offset, *tag, payload) != u32::from_le_bytes(*expected) {
            return Err(damaged("a further block fails its checksum"));
        }
        match tag >> 4 == self.kind {
            true => Ok(()),
            false => Err(damaged(
                "a further block is of another kind than the properties say",
            )),
        }
    }

    pub(super) fn encode_to(self, out: &mut Vec<u8>) {
        out.push(self.kind);
        put_varint(out, self.handle.offset);
        put_varint(out, self.handle.length);
    }

    pub(super) fn decode(input: &mut &[u8]) -> Option<FurtherBlock> {
        let (&kind, rest) = input.split_first()?;
        *input = rest;
        let handle = BlockHandle {
            offset: get_varint(input)?,
            length: get_varint(input)?,
        };
        let is_possible = kind < 16 && BlockKind::from_u8(kind).is_none();
        is_possible.then_some(FurtherBlock { kind, handle })
    }
}
