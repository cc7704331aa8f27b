//! A piece of a log in memory: whole blocks, read at once.
//!
//! It keeps WAL-8 of `reader.rs`: it is never longer than what the file has.

use std::ops::Range;

use crate::env::File;
use crate::error::Result;
use crate::memory;
use crate::sync::Arc;
use crate::wal::fragment::BLOCK_BYTES;

/// Bytes read at once: whole blocks.
const CHUNK_BYTES: u64 = 32 * BLOCK_BYTES;

/// The name of its memory in errors.
pub(super) const RECORD: &str = "a record of a log";

pub(super) struct Chunk {
    file: Arc<dyn File>,
    /// The file's length when it was opened.
    file_length: u64,
    /// The file's bytes from `start` on, where a block begins. A fragment in it is whole, or cut off by the end of the
    /// file.
    bytes: Vec<u8>,
    start: u64,
}

impl Chunk {
    /// Nothing of `file` yet.
    pub(super) fn new(file: Arc<dyn File>) -> Result<Chunk> {
        Ok(Chunk {
            file_length: file.len()?,
            file,
            bytes: Vec::new(),
            start: 0,
        })
    }

    /// The file's length when it was opened.
    pub(super) fn file_length(&self) -> u64 {
        self.file_length
    }

    /// Where it begins in the file.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Where it ends in the file.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The `length` bytes from `offset` of the file on, which are in it: where they are in it.
    pub(super) fn range(&self, offset: u64, length: usize) -> Range<usize> {
        let start = (offset - self.start) as usize;
        debug_assert!(
            start + length <= self.bytes.len(),
            "WAL-8: the payload was read"
        );
        start..start + length
    }

    /// Whether the file has only zeros in `[start, end)`, which lies within one block.
    pub(super) fn is_zero(&mut self, start: u64, end: u64) -> Result<bool> {
        if start >= end {
            return Ok(true);
        }
        Ok(self.read(start, end)?.iter().all(|&byte| byte == 0))
    }

    /// The file's bytes in `[start, end)`, fewer if the file ends before. The range lies within one block.
    pub(super) fn read(&mut self, start: u64, end: u64) -> Result<&[u8]> {
        debug_assert!(
            start <= end && (start == end || start / BLOCK_BYTES == (end - 1) / BLOCK_BYTES),
            "WAL-6: what is read lies within one block"
        );
        if start < self.start || end > self.start + self.bytes.len() as u64 {
            let from = start / BLOCK_BYTES * BLOCK_BYTES;
            self.fill(from)?;
        }
        let from = (start - self.start) as usize;
        let to = ((end - self.start) as usize).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or(&[]))
    }

    /// Reads the chunk that starts at `from`.
    pub(super) fn fill(&mut self, from: u64) -> Result<()> {
        debug_assert!(
            from.is_multiple_of(BLOCK_BYTES),
            "WAL-6: a chunk begins with a block"
        );
        let left = self.file_length.saturating_sub(from);
        self.start = from;
        let length = CHUNK_BYTES.min(left) as usize;
        memory::lengthen(&mut self.bytes, length, RECORD)?;
        self.bytes.truncate(length);
        let mut read = self.file.read_at(from, &mut self.bytes);
        if read.is_err() && left > BLOCK_BYTES {
            // The blocks before an unreadable sector count.
            self.bytes.truncate(BLOCK_BYTES as usize);
            read = self.file.read_at(from, &mut self.bytes);
        }
        let filled = *read.as_ref().unwrap_or(&0);
        self.bytes.truncate(filled);
        debug_assert!(
            self.bytes.len() as u64 <= left,
            "WAL-8: no more than the file has"
        );
        read.map(|_| ())
    }
}
