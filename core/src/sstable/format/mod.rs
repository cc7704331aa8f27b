//! The fixed parts of a table file. Bytes in, bytes out.
//!
//! * `header.rs`     the first bytes        `footer.rs` the last ones
//! * `properties.rs` what a table says of itself
//! * `raw_block.rs`  a block's bytes, which `trailer.rs` checks
//! * `block_handle.rs`, `block_kind.rs` where a block is, and what it is; `further_block.rs` one of a later kind
//!
//! Layout: docs/format.md, "SSTable". Blocks of entries are `block/`, the index is `index.rs`, the filter is
//! `filter.rs`; `builder.rs` writes the whole and `reader.rs` reads it.
//!
//! * TABLE-1  Every byte of a table is under a checksum that covers the file's id and its offset: header, blocks with
//!            their trailers, footer; and blocks follow one another without a gap (checked when a table is opened).

mod block_handle;
mod block_kind;
mod footer;
mod further_block;
mod header;
mod properties;
mod raw_block;
mod trailer;

use std::path::Path;

use crate::env::File;
use crate::error::{Error, Result};
use crate::memory;

pub(crate) use block_handle::BlockHandle;
pub(crate) use block_kind::BlockKind;
pub(crate) use footer::{FOOTER_BYTES, FOOTER_MAGIC, Footer, ends_table};
pub(crate) use further_block::FurtherBlock;
pub(crate) use header::{HEADER_BYTES, VERSION, begins_table, decode_header, encode_header};
pub(crate) use properties::Properties;
pub(crate) use raw_block::{
    MAX_BLOCK_SIZE, MAX_RAW_BLOCK_BYTES, RawBlock, open_block, unpack_block, unpack_parts,
};
pub(crate) use trailer::{BLOCK_TRAILER_BYTES, block_trailer, check_block};

/// Reads exactly `length` bytes at `offset`; fewer is `Corruption`. The length has been checked against the file's.
pub(crate) fn read_exact(
    file: &dyn File,
    path: &Path,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>> {
    let no_memory = |_| Error::out_of_memory("a file's bytes", usize::MAX);
    let length = usize::try_from(length).map_err(no_memory)?;
    let mut buffer = memory::zeros(length, "a file's bytes")?;
    read_into(file, path, offset, &mut buffer)?;
    Ok(buffer)
}

/// Fills `buffer` from `offset` on; too few bytes are `Corruption`.
pub(crate) fn read_into(
    file: &dyn File,
    path: &Path,
    offset: u64,
    buffer: &mut [u8],
) -> Result<()> {
    let length = buffer.len();
    let read = file.read_at(offset, buffer)?;
    if read != length {
        return Err(Error::corruption(
            path,
            offset,
            format!("the file ends after {read} of {length} bytes"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
