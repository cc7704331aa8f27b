//! The trailer after a block's payload: what the block is, and the checksum of it all.
//!
//! * TABLE-2  A block's checksum also covers what kind of block it is, how it is compressed, and its length.

use std::path::Path;

use super::block_kind::BlockKind;
use crate::checksum::placed_crc;
use crate::compression::Compression;
use crate::error::{Error, Result};

/// Kind and compression, checksum.
pub(crate) const BLOCK_TRAILER_BYTES: usize = 5;

/// The trailer of a block whose `payload` is written at `offset` (TABLE-2).
pub(crate) fn block_trailer(
    file_id: u64,
    offset: u64,
    kind: BlockKind,
    compression: Compression,
    payload: &[u8],
) -> [u8; BLOCK_TRAILER_BYTES] {
    let tag = (kind as u8) << 4 | compression as u8;
    let crc = block_crc(file_id, offset, tag, payload).to_le_bytes();
    [tag, crc[0], crc[1], crc[2], crc[3]]
}

/// The checksum of `payload` at `offset`; `tag` is the trailer's first byte.
pub(super) fn block_crc(file_id: u64, offset: u64, tag: u8, payload: &[u8]) -> u32 {
    let length = (payload.len() as u64).to_le_bytes();
    placed_crc(file_id, offset, &[&length, payload, &[tag]])
}

/// Compares a stored block with its checksum; returns how it is compressed.
pub(crate) fn check_block(
    path: &Path,
    file_id: u64,
    offset: u64,
    kind: BlockKind,
    stored: &[u8],
) -> Result<Compression> {
    let Some((payload, trailer)) = stored.split_last_chunk() else {
        let what = format!("the {} is cut short", kind.name());
        return Err(Error::corruption(path, offset, what));
    };
    check_parts(path, file_id, offset, kind, payload, *trailer)
}

/// As [`check_block`], for payload and trailer that are passed separately.
pub(super) fn check_parts(
    path: &Path,
    file_id: u64,
    offset: u64,
    kind: BlockKind,
    payload: &[u8],
    trailer: [u8; BLOCK_TRAILER_BYTES],
) -> Result<Compression> {
    let damaged = |what: String| Error::corruption(path, offset, what);
    let [tag, expected @ ..] = trailer;
    let expected = u32::from_le_bytes(expected);
    let crc = block_crc(file_id, offset, tag, payload);
    if crc != expected {
        return Err(damaged(format!(
            "{} checksum is {crc:08x}, expected {expected:08x}",
            kind.name()
        )));
    }
    if tag >> 4 != kind as u8 {
        return Err(damaged(format!(
            "a block of kind {} where the {} should be",
            tag >> 4,
            kind.name()
        )));
    }
    Compression::from_u8(tag & 0xf).ok_or_else(|| {
        Error::unsupported(format!(
            "{} at byte {offset}: compression {} is not known to this build",
            path.display(),
            tag & 0xf
        ))
    })
}
