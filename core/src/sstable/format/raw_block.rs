//! The raw bytes of a block, checked and unpacked.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;

use super::block_kind::BlockKind;
use super::trailer::{BLOCK_TRAILER_BYTES, check_block, check_parts};
use crate::compression::{self, Compression};
use crate::error::{Error, Result};
use crate::key::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::memory;

/// More bytes than any raw block has: the longest entry in a block that was nearly full.
pub(crate) const MAX_RAW_BLOCK_BYTES: u64 =
    MAX_VALUE_BYTES + MAX_KEY_BYTES as u64 + MAX_BLOCK_SIZE as u64 * 2 + (1 << 20);
/// The largest `block_size` option.
pub(crate) const MAX_BLOCK_SIZE: usize = 1 << 28;

/// The raw bytes of one block, owned or borrowed, and which block that is. They are exactly the bytes that came from
/// stored bytes with a right checksum. Only the functions below make one, and none of them takes another block's
/// buffer for its own bytes.
pub(crate) struct RawBlock<'a> {
    bytes: Cow<'a, [u8]>,
    file_id: u64,
    offset: u64,
}

impl<'a> RawBlock<'a> {
    /// Whether these are the bytes of the block at `offset` of the file with this id.
    pub(crate) fn is_at(&self, file_id: u64, offset: u64) -> bool {
        self.file_id == file_id && self.offset == offset
    }

    /// The bytes, borrowed if another object owns them.
    #[cfg(test)]
    pub(crate) fn into_bytes(self) -> Cow<'a, [u8]> {
        self.bytes
    }

    /// The bytes, copied if another object owns them.
    pub(crate) fn into_owned(self) -> Result<Vec<u8>> {
        match self.bytes {
            Cow::Borrowed(bytes) => memory::copy_of(bytes, "a block"),
            Cow::Owned(bytes) => Ok(bytes),
        }
    }

    /// Unchecked bytes, for tests and fuzzing of the code after the checksum.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn unchecked(bytes: Vec<u8>) -> RawBlock<'static> {
        RawBlock {
            bytes: Cow::Owned(bytes),
            file_id: 0,
            offset: 0,
        }
    }
}

impl Deref for RawBlock<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Checks `stored`, a block's payload and trailer read from `offset`, and returns its raw bytes.
///
/// Takes the buffer, so that a block stored as it is needs no copy.
pub(crate) fn open_block(
    path: &Path,
    file_id: u64,
    offset: u64,
    kind: BlockKind,
    mut stored: Vec<u8>,
) -> Result<RawBlock<'static>> {
    let compression = check_block(path, file_id, offset, kind, &stored)?;
    stored.truncate(stored.len() - BLOCK_TRAILER_BYTES);
    let bytes = match compression {
        Compression::None => stored,
        _ => decompress_block(path, offset, kind, compression, &stored)?,
    };
    Ok(RawBlock {
        bytes: Cow::Owned(bytes),
        file_id,
        offset,
    })
}

/// [`open_block`] for stored bytes that stay with their owner. Borrows them if they are the raw bytes, and otherwise
/// unpacks them into `raw`, overwriting it. If there are more than `most` unpacked bytes, takes them out of `raw` and
/// owns them.
pub(crate) fn unpack_block<'a>(
    path: &Path,
    file_id: u64,
    offset: u64,
    kind: BlockKind,
    stored: &'a [u8],
    raw: &'a mut Vec<u8>,
    most: usize,
) -> Result<RawBlock<'a>> {
    let compression = check_block(path, file_id, offset, kind, stored)?;
    let payload = &stored[..stored.len() - BLOCK_TRAILER_BYTES];
    let bytes = match compression {
        Compression::None => Cow::Borrowed(payload),
        _ => {
            compression::decompress_into(compression, payload, MAX_RAW_BLOCK_BYTES, raw).map_err(
                |why| why.into_error(|what| damaged_block(path, offset, kind, compression, what)),
            )?;
            match raw.len() > most {
                true => Cow::Owned(std::mem::take(raw)),
                false => Cow::Borrowed(&raw[..]),
            }
        }
    };
    Ok(RawBlock {
        bytes,
        file_id,
        offset,
    })
}

/// Checks a block's payload and trailer, passed separately, and returns its raw bytes: the payload itself, or the
/// bytes unpacked into `raw`.
pub(crate) fn unpack_parts<'a>(
    path: &Path,
    file_id: u64,
    offset: u64,
    kind: BlockKind,
    payload: &'a [u8],
    trailer: [u8; BLOCK_TRAILER_BYTES],
    raw: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    let compression = check_parts(path, file_id, offset, kind, payload, trailer)?;
    if compression == Compression::None {
        return Ok(payload);
    }
    compression::decompress_into(compression, payload, MAX_RAW_BLOCK_BYTES, raw).map_err(
        |why| why.into_error(|what| damaged_block(path, offset, kind, compression, what)),
    )?;
    Ok(raw)
}

fn decompress_block(
    path: &Path,
    offset: u64,
    kind: BlockKind,
    compression: Compression,
    payload: &[u8],
) -> Result<Vec<u8>> {
    compression::decompress(compression, payload, MAX_RAW_BLOCK_BYTES)
        .map_err(|why| why.into_error(|what| damaged_block(path, offset, kind, compression, what)))
}

fn damaged_block(
    path: &Path,
    offset: u64,
    kind: BlockKind,
    compression: Compression,
    what: &str,
) -> Error {
    let what = format!("{} ({compression}): {what}", kind.name());
    Error::corruption(path, offset, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sstable::format::block_trailer;

    #[test]
    fn raw_bytes_know_their_file_and_their_place() {
        let block = RawBlock {
            bytes: Cow::Borrowed(&[]),
            file_id: 1,
            offset: 2,
        };
        assert!(block.is_at(1, 2));
        assert!(!block.is_at(1, 3) && !block.is_at(3, 2) && !block.is_at(2, 1));
    }

    #[test]
    fn the_longest_block_that_is_believed_is_part_of_the_format() {
        // 4 GiB - 1 of value, 16 MiB of key, twice 256 MiB of block, and 1 MiB.
        assert_eq!(MAX_RAW_BLOCK_BYTES, 4_849_663_999);
    }

    /// TABLE-2.
    #[test]
    fn a_whole_block_of_another_kind_is_damage() {
        use BlockKind::{Data, Filter, Index, Properties};
        let path = Path::new("x");
        for written in [Data, Index, Filter, Properties] {
            let mut stored = b"payload".to_vec();
            let trailer = block_trailer(7, 99, written, Compression::None, &stored);
            stored.extend_from_slice(&trailer);
            for wanted in [Data, Index, Filter, Properties] {
                let mut buffer = Vec::new();
                for opened in [
                    open_block(path, 7, 99, wanted, stored.clone()),
                    unpack_block(path, 7, 99, wanted, &stored, &mut buffer, 0),
                ] {
                    match opened {
                        Ok(raw) => assert!(wanted == written && *raw == *b"payload"),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Corruption);
                            assert!(wanted != written, "{error}");
                        }
                    }
                }
            }
        }
    }
}
