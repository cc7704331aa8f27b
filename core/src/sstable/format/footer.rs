//! The footer of a table, which says where its other parts are.

use std::path::Path;

use super::block_handle::BlockHandle;
use super::further_block::FurtherBlock;
use super::header::{HEADER_BYTES, check_version};
use crate::checksum::placed_crc;
use crate::coding::{get_u32, get_u64, put_u32, put_u64};
use crate::error::{Error, Result};

/// The last eight bytes of a table.
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"AiDbEnd\0";

/// Three handles, version, checksum, magic.
pub(crate) const FOOTER_BYTES: usize = 64;
const _: () = assert!(FOOTER_BYTES == 3 * 16 + 4 + 4 + 8);

/// Whether a file that ends with `tail` is a table, of whatever version.
pub(crate) fn ends_table(tail: &[u8]) -> bool {
    tail.ends_with(&FOOTER_MAGIC)
}

/// The places of the parts after the data blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) index: BlockHandle,
    /// `None` (stored as zeros) if the table has no filter.
    pub(crate) filter: Option<BlockHandle>,
    pub(crate) properties: BlockHandle,
    /// The table's format version.
    pub(crate) version: u32,
}

impl Footer {
    /// The end of the data blocks, if filter, index, properties and the footer itself (at `footer_at`) follow
    /// them without a gap (TABLE-1). Further blocks may be between index and properties:
    /// [`Footer::is_filled_by`].
    pub(crate) fn data_end(&self, footer_at: u64) -> Option<u64> {
        let index_at = self.index.offset;
        let data_end = match self.filter {
            Some(filter) if filter.end()? != index_at => return None,
            Some(filter) => filter.offset,
            None => index_at,
        };
        let follows = self.index.end()? <= self.properties.offset
            && self.properties.end()? == footer_at
            && data_end >= HEADER_BYTES as u64
            && data_end <= index_at;
        follows.then_some(data_end)
    }

    /// Whether the `further` blocks fill the space between index and properties without a gap (TABLE-1).
    pub(crate) fn is_filled_by(&self, further: &[FurtherBlock]) -> bool {
        let mut end = self.index.end();
        for block in further {
            match end == Some(block.handle.offset) {
                true => end = block.handle.end(),
                false => return false,
            }
        }
        end == Some(self.properties.offset)
    }

    /// The footer of the table with id `file_id`, to be written at `offset`.
    pub(crate) fn encode(&self, file_id: u64, offset: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        for handle in [self.index, self.filter.unwrap_or_default(), self.properties] {
            put_u64(&mut out, handle.offset);
            put_u64(&mut out, handle.length);
        }
        put_u32(&mut out, self.version);
        let crc = placed_crc(file_id, offset, &[&out]);
        put_u32(&mut out, crc);
        out.extend_from_slice(&FOOTER_MAGIC);
        debug_assert!(
            out.len() == FOOTER_BYTES,
            "TABLE-1: the fields add up to the footer"
        );
        out
    }

    /// Checks the footer read from `offset`.
    pub(crate) fn decode(path: &Path, file_id: u64, offset: u64, bytes: &[u8]) -> Result<Footer> {
        let damaged = |what: &str| Error::corruption(path, offset, what);
        if bytes.len() != FOOTER_BYTES || !bytes.ends_with(&FOOTER_MAGIC) {
            return Err(damaged(
                "no table ends here: the magic number differs or bytes are missing",
            ));
        }
        let short = || damaged("the footer is cut short");
        let mut input = bytes;
        let mut handles = [BlockHandle::default(); 3];
        for handle in &mut handles {
            handle.offset = get_u64(&mut input).ok_or_else(short)?;
            handle.length = get_u64(&mut input).ok_or_else(short)?;
        }
        let version = get_u32(&mut input).ok_or_else(short)?;
        let stored = get_u32(&mut input).ok_or_else(short)?;
        let crc = placed_crc(file_id, offset, &[&bytes[..FOOTER_BYTES - 12]]);
        if crc != stored {
            return Err(damaged(&format!(
                "footer checksum is {crc:08x}, expected {stored:08x}"
            )));
        }
        check_version(path, version)?;
        let [index, filter, properties] = handles;
        Ok(Footer {
            index,
            filter: (filter != BlockHandle::default()).then_some(filter),
            properties,
            version,
        })
    }
}
