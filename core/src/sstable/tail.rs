//! The parts of a table outside its data blocks, which an open table keeps in memory: the header before them,
//! and the filter, the index, the properties and the footer after them. Layout: docs/format.md, "SSTable". The
//! inverse is `builder.rs`.
//!
//! * TAIL-1  Every returned part passed its checksum and its decoder; the index and the properties agree on the
//!           number of data blocks. Damage in any part is an error, whatever the other parts say.
//!
//! Elsewhere: the parts (`format/`, `index.rs`, `filter.rs`); reading a damaged table (`salvage.rs`).

use std::path::Path;

use crate::env::File;
use crate::error::{Error, Result};
use crate::sstable::filter::{Filter, FilterError};
use crate::sstable::format::{
    BLOCK_TRAILER_BYTES, BlockHandle, BlockKind, FOOTER_BYTES, Footer, FurtherBlock, HEADER_BYTES,
    Properties, decode_header, read_exact, unpack_block,
};
use crate::sstable::index::Index;

/// Checks that the file has the expected length and the expected table id.
pub(super) fn check_head(file: &dyn File, path: &Path, file_id: u64, file_size: u64) -> Result<()> {
    let length = file.len()?;
    if length != file_size || file_size < (HEADER_BYTES + FOOTER_BYTES) as u64 {
        return Err(Error::corruption(
            path,
            length.min(file_size),
            format!("the file has {length} bytes, expected {file_size}"),
        ));
    }
    let header = read_exact(file, path, 0, HEADER_BYTES as u64)?;
    let found = decode_header(path, &header)?;
    if found != file_id {
        return Err(Error::corruption(
            path,
            0,
            format!("the file's id is {found:016x}, expected {file_id:016x}"),
        ));
    }
    Ok(())
}

/// The bytes after the data blocks, in one piece, and the decoded footer.
pub(super) struct Tail<'a> {
    path: &'a Path,
    file_id: u64,
    footer: Footer,
    data_end: u64,
    bytes: Vec<u8>,
}

impl<'a> Tail<'a> {
    /// Reads the footer, and then the rest at once. `file_size` is the file's length; it must be enough for a footer.
    pub(super) fn read(
        file: &dyn File,
        path: &'a Path,
        file_id: u64,
        file_size: u64,
    ) -> Result<Tail<'a>> {
        let footer_at = file_size - FOOTER_BYTES as u64;
        let footer = read_exact(file, path, footer_at, FOOTER_BYTES as u64)?;
        let footer = Footer::decode(path, file_id, footer_at, &footer)?;
        let data_end = footer
            .data_end(footer_at)
            .ok_or_else(|| Error::corruption(path, footer_at, "blocks leave a gap"))?;
        debug_assert!(
            HEADER_BYTES as u64 <= data_end && data_end <= footer_at,
            "TABLE-1: the data blocks lie between header and footer"
        );
        let bytes = read_exact(file, path, data_end, footer_at - data_end)?;
        Ok(Tail {
            path,
            file_id,
            footer,
            data_end,
            bytes,
        })
    }

    /// The raw bytes of one block.
    fn part(&self, handle: BlockHandle, kind: BlockKind) -> Result<Vec<u8>> {
        let stored = self.stored(handle);
        let (offset, mut raw) = (handle.offset, Vec::new());
        unpack_block(self.path, self.file_id, offset, kind, stored, &mut raw, 0)?.into_owned()
    }

    fn damaged(&self, handle: BlockHandle, what: &str) -> Error {
        Error::corruption(self.path, handle.offset, what)
    }

    pub(super) fn properties(&self) -> Result<Properties> {
        let handle = self.footer.properties;
        let raw = self.part(handle, BlockKind::Properties)?;
        let properties = Properties::decode(&raw, self.footer.version)
            .ok_or_else(|| self.damaged(handle, "the properties are malformed"))?;
        self.check_further(&properties.further)?;
        Ok(properties)
    }

    /// Checks the blocks between the index and the properties, whose kinds this build does not know (TABLE-1).
    fn check_further(&self, further: &[FurtherBlock]) -> Result<()> {
        if !self.footer.is_filled_by(further) {
            return Err(self.damaged(self.footer.index, "blocks leave a gap after the index"));
        }
        for block in further {
            let stored = self.stored(block.handle);
            block.check(self.path, self.file_id, stored)?;
            if !block.is_skippable() {
                return Err(Error::unsupported(format!(
                    "{} at byte {}: a block of kind {}, without which this build would read the table wrongly",
                    self.path.display(),
                    block.handle.offset,
                    block.kind
                )));
            }
        }
        Ok(())
    }

    /// A block's payload and trailer.
    fn stored(&self, handle: BlockHandle) -> &[u8] {
        debug_assert!(
            self.data_end <= handle.offset
                && handle
                    .end()
                    .is_some_and(|end| end <= self.data_end + self.bytes.len() as u64),
            "TABLE-1: the block comes after the data blocks"
        );
        let start = (handle.offset - self.data_end) as usize;
        &self.bytes[start..start + handle.length as usize + BLOCK_TRAILER_BYTES]
    }

    pub(super) fn index(&self) -> Result<Index> {
        let handle = self.footer.index;
        let raw = self.part(handle, BlockKind::Index)?;
        Index::parse(&raw, HEADER_BYTES as u64, self.data_end)
            .map_err(|why| why.into_error(|what| self.damaged(handle, what)))
    }

    /// Checks that both belong to one table, which this build can read (TAIL-1).
    pub(super) fn check_together(&self, properties: &Properties, index: &Index) -> Result<()> {
        if index.len() as u64 != properties.data_blocks {
            return Err(self.damaged(
                self.footer.properties,
                "index and properties count data blocks differently",
            ));
        }
        Ok(())
    }

    /// The filter; `None` for a table without one.
    pub(super) fn filter(&self) -> Result<Option<Filter>> {
        let Some(handle) = self.footer.filter else {
            return Ok(None);
        };
        let raw = self.part(handle, BlockKind::Filter)?;
        let filter = Filter::parse(raw).map_err(|error| match error {
            FilterError::Damaged => self.damaged(handle, "the filter is malformed"),
            FilterError::Version(version) => Error::unsupported(format!(
                "{} has filter version {version}, this build reads version 1",
                self.path.display()
            )),
        })?;
        Ok(Some(filter))
    }
}
