//! Writes one table, front to back. The inverse is `reader.rs`; layout: docs/format.md, "SSTable".
//!
//! * T3  Keys arrive in strictly ascending order (checked in every build).
//! * T4  When `finish` returns, the file's bytes are durable. Its name is not: the caller syncs the directory
//!       before anything relies on the table.
//! * T5  After an error the builder answers every call with that error, and the file is garbage: the caller
//!       removes it.
//!
//! Writes go out in pieces of about 256 KiB (a larger block by itself), and every MiB the system is asked to
//! start writing them back, so that the sync at the end finds little left to do.

use std::path::PathBuf;

use crate::compression::{Compression, Encoder};
use crate::env::File;
use crate::error::{Error, Result};
use crate::key::{
    KeyRef, MAX_KEY_BYTES, MAX_VALUE_BYTES, SequenceNumber, TRAILER_BYTES, Trailer, ValueKind,
};
use crate::sstable::block::common_prefix;
use crate::sstable::block_builder::BlockBuilder;
use crate::sstable::filter;
use crate::sstable::format::{
    BLOCK_TRAILER_BYTES, BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES,
    MAX_BLOCK_SIZE, Properties, block_trailer, encode_header,
};
use crate::sstable::index::IndexBuilder;
use crate::sync::Arc;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes written before the system is asked to write them back.
const WRITEBACK_BYTES: u64 = 1 << 20;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableOptions {
    /// Raw bytes of a data block, about; 1 to 256 MiB. An entry of this size or more gets a block of its own.
    pub(crate) block_size: usize,
    /// Entries from one restart point to the next; at least 1.
    pub(crate) block_restart_interval: usize,
    pub(crate) compression: Compression,
    /// 0: no filter.
    pub(crate) bloom_bits_per_key: u32,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions {
            block_size: 4 << 10,
            block_restart_interval: 16,
            compression: Compression::default(),
            bloom_bits_per_key: 10,
        }
    }
}

/// What a finished table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSummary {
    pub(crate) file_size: u64,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// The first and last encoded internal key.
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    pub(crate) raw_key_bytes: u64,
    pub(crate) raw_value_bytes: u64,
}

/// Writes one table.
pub(crate) struct Builder {
    output: Output,
    options: TableOptions,
    encoder: Encoder,
    block: BlockBuilder,
    index: IndexBuilder,
    /// The hash of every distinct user key.
    hashes: Vec<u64>,
    properties: Properties,
    smallest: Vec<u8>,
    last_user_key: Vec<u8>,
    last_trailer: Trailer,
    /// The first key of the block being built, and the last key of the one before (encoded).
    block_first: Vec<u8>,
    block_before: Option<Vec<u8>>,
    failed: Option<Error>,
}

impl Builder {
    /// Begins a table in `file`, which is empty. `path` is for messages; `file_id` is what its checksums carry.
    pub(crate) fn new(
        file: Arc<dyn File>,
        path: PathBuf,
        file_id: u64,
        options: TableOptions,
    ) -> Result<Builder> {
        if !(1..=MAX_BLOCK_SIZE).contains(&options.block_size) {
            return Err(Error::invalid_argument(format!(
                "block_size is {}, it must be from 1 to {MAX_BLOCK_SIZE}",
                options.block_size
            )));
        }
        let mut output = Output {
            file,
            path,
            file_id,
            buffer: Vec::with_capacity(WRITE_BYTES + (16 << 10)),
            written: 0,
            writeback_from: 0,
        };
        output.buffer.extend_from_slice(&encode_header(file_id));
        Ok(Builder {
            output,
            encoder: Encoder::new(options.compression),
            block: BlockBuilder::new(options.block_restart_interval),
            index: IndexBuilder::default(),
            hashes: Vec::new(),
            properties: Properties {
                compression: options.compression as u64,
                smallest_sequence: SequenceNumber::MAX,
                ..Properties::default()
            },
            smallest: Vec::new(),
            last_user_key: Vec::new(),
            last_trailer: Trailer::NEWEST,
            block_first: Vec::new(),
            block_before: None,
            failed: None,
            options,
        })
    }

    /// Records when the table was made, in microseconds since 1970-01-01 UTC; without it, "not known".
    pub(crate) fn set_created_micros(&mut self, micros: u64) {
        self.properties.created_micros = micros;
    }

    /// Appends an entry; `key` sorts behind every key before it (T3).
    pub(crate) fn add(&mut self, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.try_add(key, value)
            .inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn try_add(&mut self, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
        let user_key = key.user_key;
        if user_key.len() > MAX_KEY_BYTES || value.len() as u64 > MAX_VALUE_BYTES {
            return Err(Error::internal(format!(
                "a key of {} and a value of {} bytes reached a table",
                user_key.len(),
                value.len()
            )));
        }
        let Some(kind) = key.trailer.kind() else {
            return Err(Error::internal("an entry of unknown kind reached a table"));
        };
        let shared = common_prefix(&self.last_user_key, user_key);
        let is_first = self.properties.entries == 0;
        let same_key = shared == user_key.len() && shared == self.last_user_key.len() && !is_first;
        if !is_first {
            // The first byte that is not shared decides; then the trailer.
            let ascends = match (self.last_user_key.get(shared), user_key.get(shared)) {
                (Some(last), Some(this)) => last < this,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => key.trailer < self.last_trailer,
            };
            if !ascends {
                return Err(Error::internal(format!(
                    "T3: keys reached {} out of order",
                    self.output.path.display()
                )));
            }
        }
        let entry_bytes = user_key.len() + TRAILER_BYTES + value.len();
        if !self.block.is_empty() && self.cut_before(entry_bytes) {
            self.finish_block()?;
        }
        if self.block.is_empty() {
            self.block_first.clear();
            key.encode_to(&mut self.block_first);
        }
        self.block.add(shared, key, value)?;

        if is_first {
            self.smallest = key.to_vec();
        }
        self.last_user_key.truncate(shared);
        self.last_user_key.extend_from_slice(&user_key[shared..]);
        self.last_trailer = key.trailer;
        if !same_key && self.options.bloom_bits_per_key > 0 {
            self.hashes.push(filter::key_hash(user_key));
        }
        let properties = &mut self.properties;
        properties.entries += 1;
        properties.tombstones += u64::from(kind == ValueKind::Delete);
        properties.raw_key_bytes += (user_key.len() + TRAILER_BYTES) as u64;
        properties.raw_value_bytes += value.len() as u64;
        let sequence = key.trailer.sequence();
        properties.smallest_sequence = properties.smallest_sequence.min(sequence);
        properties.largest_sequence = properties.largest_sequence.max(sequence);

        if self.block.size() >= self.options.block_size {
            self.finish_block()?;
        }
        Ok(())
    }

    /// Whether an entry of `bytes` begins a new block: it would make this one much too large, and large entries
    /// stand alone, so that reading a small one never reads a large one.
    fn cut_before(&self, bytes: usize) -> bool {
        let block_size = self.options.block_size;
        let size = self.block.size();
        bytes >= block_size || (size + bytes > block_size && size >= block_size - block_size / 8)
    }

    fn finish_block(&mut self) -> Result<()> {
        let raw = self.block.finish();
        let (compression, payload) = self.encoder.compress(raw);
        let handle = self
            .output
            .write_block(BlockKind::Data, compression, payload)?;
        self.block.reset();
        let decode = |bytes| {
            KeyRef::decode(bytes).ok_or_else(|| Error::internal("a block without first key"))
        };
        let before = self.block_before.as_deref().map(decode).transpose()?;
        self.index.add(before, decode(&self.block_first)?, handle);
        let last = self.block_before.get_or_insert_default();
        last.clear();
        KeyRef::new(&self.last_user_key, self.last_trailer).encode_to(last);
        Ok(())
    }

    /// About how large the file would be if it were finished now.
    pub(crate) fn estimated_size(&self) -> u64 {
        let filter = self.hashes.len() as u64 * u64::from(self.options.bloom_bits_per_key) / 8;
        self.output.offset()
            + self.block.size() as u64
            + self.index.size() as u64
            + filter
            + FOOTER_BYTES as u64
    }

    /// Entries added so far.
    pub(crate) fn entries(&self) -> u64 {
        self.properties.entries
    }

    /// Completes the file and makes its bytes durable (T4). A table without entries is an error.
    pub(crate) fn finish(mut self) -> Result<TableSummary> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.properties.entries == 0 {
            return Err(Error::internal("a table needs an entry"));
        }
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        let filter = match self.options.bloom_bits_per_key {
            0 => None,
            bits_per_key => {
                let block = filter::build(&self.hashes, bits_per_key)
                    .ok_or_else(|| Error::internal("no memory for a table's filter"))?;
                Some(
                    self.output
                        .write_block(BlockKind::Filter, Compression::None, &block)?,
                )
            }
        };
        let raw = self.index.finish();
        let (compression, payload) = self.encoder.compress(&raw);
        let index = self
            .output
            .write_block(BlockKind::Index, compression, payload)?;
        self.properties.data_blocks = self.index.count();
        let raw = self.properties.encode();
        let properties = self
            .output
            .write_block(BlockKind::Properties, Compression::None, &raw)?;
        let footer = Footer {
            index,
            filter,
            properties,
        };
        let encoded = footer.encode(self.output.file_id, self.output.offset());
        self.output.buffer.extend_from_slice(&encoded);
        self.output.flush()?;
        self.output.file.sync()?;
        let properties = self.properties;
        Ok(TableSummary {
            file_size: self.output.written,
            entries: properties.entries,
            tombstones: properties.tombstones,
            smallest: self.smallest,
            largest: KeyRef::new(&self.last_user_key, self.last_trailer).to_vec(),
            smallest_sequence: properties.smallest_sequence,
            largest_sequence: properties.largest_sequence,
            raw_key_bytes: properties.raw_key_bytes,
            raw_value_bytes: properties.raw_value_bytes,
        })
    }
}

/// The file, and what waits to be written to it.
struct Output {
    file: Arc<dyn File>,
    path: PathBuf,
    file_id: u64,
    buffer: Vec<u8>,
    /// Bytes handed to the file.
    written: u64,
    writeback_from: u64,
}

impl Output {
    /// Where the next byte goes.
    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn write_block(
        &mut self,
        kind: BlockKind,
        compression: Compression,
        payload: &[u8],
    ) -> Result<BlockHandle> {
        let handle = BlockHandle {
            offset: self.offset(),
            length: payload.len() as u64,
        };
        let trailer = block_trailer(self.file_id, handle.offset, kind, compression, payload);
        if payload.len() >= WRITE_BYTES {
            self.flush()?;
            self.write(payload)?;
        } else {
            self.buffer.extend_from_slice(payload);
        }
        self.buffer.extend_from_slice(&trailer);
        debug_assert_eq!(
            handle.end(),
            Some(self.offset()),
            "T1: {BLOCK_TRAILER_BYTES}"
        );
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(handle)
    }

    fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(self.written, bytes)?;
        self.written += bytes.len() as u64;
        let waiting = self.written - self.writeback_from;
        if waiting >= WRITEBACK_BYTES {
            self.file.start_writeback(self.writeback_from, waiting);
            self.writeback_from = self.written;
        }
        Ok(())
    }
}

const _: () = assert!(HEADER_BYTES < WRITE_BYTES);
