//! Writes one table, front to back. The inverse is `reader.rs`; layout: docs/format.md, "SSTable".
//!
//! * TABLE-3  Keys arrive in strictly ascending order (checked in every build).
//! * TABLE-4  When `finish` returns, the file's bytes are durable. Its name is not: the caller syncs the directory
//!            before anything relies on the table.
//! * TABLE-10  The table's facts (counts, bounds, sums) come from its finished blocks: the builder decodes
//!             every entry again. For the first blocks, for one in eight later ones and for all uncompressed
//!             ones, it decodes the bytes that go to the file, checked and decompressed as by a reader. For the
//!             others it decodes the input of the codec, because decompressing all would cost more than all
//!             other checks. The filter is built from the keys decoded in this way, and is then tested with the
//!             first keys and one in sixteen later ones. The file's id determines the samples, so that no fault
//!             can escape them in table after table.
//! * TABLE-5  After an error the builder returns that error from every call, and the file is garbage: the
//!            caller removes it.
//!
//! The builder writes pieces of about 256 KiB (a larger block by itself), and after every MiB asks the system
//! to start writing them back, so that little is left for the sync at the end.

use std::path::{Path, PathBuf};

use crate::compression::{Compression, Encoder};
use crate::content::{Sum, key_hash};
use crate::env::File;
use crate::error::{Error, Result};
use crate::key::{
    KeyRef, KeyspaceId, MAX_KEY_BYTES, MAX_VALUE_BYTES, SequenceNumber, TRAILER_BYTES, Trailer,
};
use crate::memory::{self, KeptKey, Undecoded};
use crate::range_delete::RangeDelete;
use crate::sstable::block::{Damage, common_prefix};
use crate::sstable::block_builder::BlockBuilder;
use crate::sstable::filter::{self, Filter};
use crate::sstable::format::{
    BLOCK_TRAILER_BYTES, BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES,
    MAX_BLOCK_SIZE, Properties, VERSION, block_trailer, encode_header, unpack_parts,
};
use crate::sstable::index::IndexBuilder;
use crate::sstable::tally::Tally;
use crate::sync::Arc;

/// How many bytes are gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;
/// The builder unpacks again each of the first `CHECKED_BLOCKS` blocks of a table, and one in `CHECKED_BLOCK_IN`
/// later ones (TABLE-10, `sample`).
const CHECKED_BLOCKS: u64 = 64;
const CHECKED_BLOCK_IN: u64 = 8;
/// The builder checks the filter for each of the first `CHECKED_KEYS` keys of a table, and for one in
/// `CHECKED_KEY_IN` later ones.
const CHECKED_KEYS: usize = 1024;
const CHECKED_KEY_IN: u64 = 16;
/// At most this much of the memory for decompressing a block is kept.
const MAX_KEPT_BYTES: usize = 4 << 20;
/// After this many written bytes the system is asked to write them back.
const WRITEBACK_BYTES: u64 = 1 << 20;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableOptions {
    /// The keyspace that the table belongs to.
    pub(crate) keyspace: KeyspaceId,
    /// About how many raw bytes a data block has, from 1 to 256 MiB. An entry of this size or more gets a block of
    /// its own.
    pub(crate) block_size: usize,
    /// Entries from one restart point to the next; at least 1.
    pub(crate) block_restart_interval: usize,
    pub(crate) compression: Compression,
    /// 0 for no filter.
    pub(crate) bloom_bits_per_key: u32,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions {
            keyspace: KeyspaceId::DEFAULT,
            block_size: 4 << 10,
            block_restart_interval: 16,
            compression: Compression::default(),
            bloom_bits_per_key: 10,
        }
    }
}

/// The facts about a finished table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSummary {
    pub(crate) file_size: u64,
    /// The sum of its entries, computed from the blocks as a reader gets them.
    pub(crate) sum: Sum,
    /// The first and last encoded internal key.
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    pub(crate) raw_key_bytes: u64,
    pub(crate) raw_value_bytes: u64,
    /// Entries whose key has a newer entry in the table, without range deletes.
    pub(crate) older_versions: u64,
    /// Its range deletes, in its order.
    pub(crate) range_deletes: Vec<RangeDelete>,
    /// When it was made, in microseconds since 1970-01-01 UTC; 0 if not known.
    pub(crate) created_micros: u64,
}

/// The name of its memory in errors.
const TABLE: &str = "a table that is written";

/// Writes one table.
pub(crate) struct Builder {
    output: Output,
    options: TableOptions,
    encoder: Encoder,
    block: BlockBuilder,
    index: IndexBuilder,
    /// The facts about the finished blocks' entries, and the hash of every distinct user key in them
    /// (TABLE-10).
    tally: Tally,
    hashes: Vec<u64>,
    /// How many entries were added, how many of them have the same key as the previous one, and their smallest and
    /// largest number.
    entries: u64,
    older_versions: u64,
    numbers: [SequenceNumber; 2],
    created_micros: u64,
    last_user_key: KeptKey,
    last_trailer: Trailer,
    /// The first key of the block being built, and the last key of the previous block.
    block_first: (KeptKey, Trailer),
    block_before: Option<(KeptKey, Trailer)>,
    failed: Option<Error>,
}

impl Builder {
    /// Begins a table in `file`, which is empty. `path` is for messages; the table's checksums cover `file_id`.
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
            buffer: memory::room_for(WRITE_BYTES + (16 << 10), TABLE)?,
            written: 0,
            writeback_from: 0,
            unpacked: Vec::new(),
        };
        output.buffer.extend_from_slice(&encode_header(file_id));
        Ok(Builder {
            output,
            encoder: Encoder::new(options.compression),
            block: BlockBuilder::new(options.block_restart_interval),
            index: IndexBuilder::default(),
            tally: Tally::default(),
            hashes: Vec::new(),
            entries: 0,
            older_versions: 0,
            numbers: [SequenceNumber::MAX, SequenceNumber(0)],
            created_micros: 0,
            last_user_key: KeptKey::default(),
            last_trailer: Trailer::NEWEST,
            block_first: (KeptKey::default(), Trailer::NEWEST),
            block_before: None,
            failed: None,
            options,
        })
    }

    /// Records when the table was made, in microseconds since 1970-01-01 UTC. Without this call it is unknown.
    pub(crate) fn set_created_micros(&mut self, micros: u64) {
        self.created_micros = micros;
    }

    /// Appends an entry; `key` sorts after every key before it (TABLE-3).
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
        let shared = common_prefix(self.last_user_key.bytes(), user_key);
        if self.entries > 0 {
            // The first byte that is not shared decides the order; without one, the trailer.
            let ascends = match (self.last_user_key.bytes().get(shared), user_key.get(shared)) {
                (Some(last), Some(this)) => last < this,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => {
                    self.older_versions += 1;
                    key.trailer < self.last_trailer
                }
            };
            if !ascends {
                return Err(Error::unaccounted(format!(
                    "keys reached {} out of order",
                    self.output.path.display()
                )));
            }
        }
        let entry_bytes = user_key.len() + TRAILER_BYTES + value.len();
        if !self.block.is_empty() && self.cut_before(entry_bytes) {
            self.finish_block()?;
        }
        if self.block.is_empty() {
            self.block_first.0.replace(user_key, TABLE)?;
            self.block_first.1 = key.trailer;
        }
        self.block.add(shared, key, value)?;

        self.last_user_key
            .rebuild(shared, &user_key[shared..], TABLE)?;
        self.last_trailer = key.trailer;
        self.entries += 1;
        let sequence = key.trailer.sequence();
        let [smallest, largest] = self.numbers;
        self.numbers = [smallest.min(sequence), largest.max(sequence)];
        debug_assert!(
            self.older_versions < self.entries && self.numbers[0] <= self.numbers[1],
            "TABLE-10: a key has one newest version"
        );
        if self.block.size() >= self.options.block_size {
            self.finish_block()?;
        }
        Ok(())
    }

    /// Whether an entry of `bytes` bytes begins a new block, because it would make this block much too large. Large
    /// entries stand alone, so that reading a small entry never reads a large one.
    fn cut_before(&self, bytes: usize) -> bool {
        let block_size = self.options.block_size;
        let size = self.block.size();
        bytes >= block_size || (size + bytes > block_size && size >= block_size - block_size / 8)
    }

    fn finish_block(&mut self) -> Result<()> {
        debug_assert!(!self.block.is_empty(), "BLOCK-1: a block has an entry");
        let raw = self.block.finish()?;
        let (compression, payload) = self.encoder.compress(raw);
        let (tally, hashes) = (&mut self.tally, &mut self.hashes);
        let has_filter = self.options.bloom_bits_per_key > 0;
        let number = self.index.count();
        let row = number / CHECKED_BLOCK_IN;
        let drawn = sample(self.output.file_id, row, CHECKED_BLOCK_IN);
        let is_checked = number < CHECKED_BLOCKS || number % CHECKED_BLOCK_IN == drawn;
        let known = match is_checked {
            true => None,
            false => Some(raw),
        };
        let handle =
            self.output
                .write_block(BlockKind::Data, compression, payload, known, |raw| {
                    tally.add_block(raw, |entry| {
                        if has_filter && entry.is_first_of_key {
                            memory::push(hashes, entry.key_hash, TABLE)?;
                        }
                        Ok(())
                    })
                })?;
        self.block.reset();
        let before = self.block_before.as_ref().map(key_of);
        self.index.add(before, key_of(&self.block_first), handle)?;
        let fence = self.index.last_fence();
        if !fence.is_some_and(|fence| self.tally.is_fence(fence)) {
            return Err(Error::unaccounted(format!(
                "the index of {} has a key other than the first of block {number}",
                self.output.path.display()
            )));
        }
        let none = || (KeptKey::default(), Trailer::NEWEST);
        let last = self.block_before.get_or_insert_with(none);
        last.1 = self.last_trailer;
        last.0.replace(self.last_user_key.bytes(), TABLE)
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

    /// The user key added last; empty before the first.
    pub(crate) fn last_user_key(&self) -> &[u8] {
        self.last_user_key.bytes()
    }

    /// Entries added so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Completes the file and makes its bytes durable (TABLE-4). `Internal` for a table without entries, or whose
    /// blocks do not hold the added entries; then the last byte is never written.
    pub(crate) fn finish(mut self) -> Result<TableSummary> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.entries == 0 {
            return Err(Error::internal("a table needs an entry"));
        }
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        self.check_entries()?;
        let filter = self.write_filter()?;
        let index = self.write_index()?;
        let properties = self.write_properties()?;
        let footer = Footer {
            index,
            filter,
            properties,
            version: VERSION,
        };
        debug_assert!(
            footer.data_end(self.output.offset()).is_some(),
            "TABLE-1: the blocks follow one another"
        );
        let encoded = footer.encode(self.output.file_id, self.output.offset());
        memory::append(&mut self.output.buffer, &encoded, TABLE)?;
        self.output.flush()?;
        self.output.file.sync()?;
        debug_assert!(
            self.output.buffer.is_empty() && self.tally.facts.sum.entries() == self.entries,
            "TABLE-4, TABLE-10: the file is complete, and holds the added entries"
        );
        let mut tally = self.tally;
        Ok(TableSummary {
            range_deletes: tally.take_range_deletes(),
            file_size: self.output.written,
            largest: tally.largest()?,
            smallest_sequence: tally.facts.smallest_sequence,
            largest_sequence: tally.facts.largest_sequence,
            raw_key_bytes: tally.facts.key_bytes,
            raw_value_bytes: tally.facts.value_bytes,
            older_versions: tally.facts.older_versions - tally.facts.older_ranges,
            created_micros: self.created_micros,
            sum: tally.facts.sum,
            smallest: tally.smallest()?,
        })
    }

    /// Checks that the filter is made of exactly the user keys in the blocks (TABLE-10).
    fn check_hashes(&self) -> Result<()> {
        let sum = self
            .hashes
            .iter()
            .fold(0, |sum: u64, hash| sum.wrapping_add(*hash));
        let found = (self.hashes.len() as u64, sum);
        match found == (self.tally.user_keys(), self.tally.facts.key_hashes) {
            true => Ok(()),
            false => Err(Error::unaccounted(format!(
                "{} has {} user keys, but its filter got {} or other ones",
                self.output.path.display(),
                self.tally.user_keys(),
                self.hashes.len()
            ))),
        }
    }

    /// Compares the added entries with those in the blocks: how many, how many versions of keys, and their numbers.
    fn check_entries(&self) -> Result<()> {
        let facts = &self.tally.facts;
        if facts.sum.entries() != self.entries {
            return Err(Error::unaccounted(format!(
                "{} was given {} entries, but its blocks have {}",
                self.output.path.display(),
                self.entries,
                facts.sum.entries()
            )));
        }
        let numbers = [facts.smallest_sequence, facts.largest_sequence];
        if (facts.older_versions, numbers) != (self.older_versions, self.numbers) {
            return Err(Error::unaccounted(format!(
                "{} was given sequence numbers or user keys other than those in its blocks",
                self.output.path.display()
            )));
        }
        Ok(())
    }

    /// Writes the filter and checks it for some of its keys; `None` for a table without a filter.
    fn write_filter(&mut self) -> Result<Option<BlockHandle>> {
        let bits_per_key = self.options.bloom_bits_per_key;
        if bits_per_key == 0 {
            return Ok(None);
        }
        self.check_hashes()?;
        let block = filter::build(&self.hashes, bits_per_key)?;
        let (kind, compression) = (BlockKind::Filter, Compression::None);
        let handle = self
            .output
            .write_block(kind, compression, &block, None, |_| Ok(()))?;
        check_filter(block, self.output.file_id, &self.hashes, &self.output.path)?;
        Ok(Some(handle))
    }

    fn write_index(&mut self) -> Result<BlockHandle> {
        let raw = self.index.finish()?;
        let (compression, payload) = self.encoder.compress(&raw);
        self.output.write_block(
            BlockKind::Index,
            compression,
            payload,
            None,
            |read| match read == raw {
                true => Ok(()),
                false => Err(UNLIKE.into()),
            },
        )
    }

    fn write_properties(&mut self) -> Result<BlockHandle> {
        let raw = self.properties().encode();
        let (kind, compression) = (BlockKind::Properties, Compression::None);
        self.output
            .write_block(kind, compression, &raw, None, |_| Ok(()))
    }

    /// The table's properties. Requires that all blocks are finished.
    fn properties(&self) -> Properties {
        let tally = &self.tally;
        debug_assert!(self.block.is_empty(), "TABLE-10: all blocks are finished");
        Properties {
            entries: tally.facts.sum.entries(),
            tombstones: tally.facts.sum.tombstones,
            range_deletes: tally.facts.sum.range_deletes,
            data_blocks: self.index.count(),
            raw_key_bytes: tally.facts.key_bytes,
            raw_value_bytes: tally.facts.value_bytes,
            smallest_sequence: tally.facts.smallest_sequence,
            largest_sequence: tally.facts.largest_sequence,
            compression: self.options.compression as u64,
            created_micros: self.created_micros,
            keyspace: self.options.keyspace.0,
            content_sum: Some(tally.facts.sum.terms),
            further: Vec::new(),
        }
    }
}

fn key_of((user_key, trailer): &(KeptKey, Trailer)) -> KeyRef<'_> {
    KeyRef::new(user_key.bytes(), *trailer)
}

/// A block that reads back differently from what was written.
const UNLIKE: Damage = Damage {
    at: 0,
    what: "its contents are not what was written",
};

/// Which one of the `of` blocks or keys of row number `row` is checked in this file. It is as good as random.
fn sample(file_id: u64, row: u64, of: u64) -> u64 {
    let place = u128::from(file_id) << 64 | u128::from(row);
    key_hash(&place.to_le_bytes()) % of
}

/// Checks that the finished filter has some of the keys that it was made of (FILTER-1, TABLE-10).
fn check_filter(block: Vec<u8>, file_id: u64, hashes: &[u64], path: &Path) -> Result<()> {
    let (first, later) = hashes.split_at(hashes.len().min(CHECKED_KEYS));
    let rows = later.chunks(CHECKED_KEY_IN as usize).zip(0..);
    let sampled = rows.filter_map(|(keys, row)| {
        let place = sample(file_id, row, CHECKED_KEY_IN);
        keys.get(place as usize)
    });
    let mut asked = first.iter().chain(sampled);
    let knows_all =
        Filter::parse(block).is_ok_and(|filter| asked.all(|&hash| filter.may_contain(hash)));
    match knows_all {
        true => Ok(()),
        false => Err(Error::unaccounted(format!(
            "the filter of {} lacks some of its keys",
            path.display()
        ))),
    }
}

/// The file, and the bytes that wait to be written to it.
struct Output {
    file: Arc<dyn File>,
    path: PathBuf,
    file_id: u64,
    buffer: Vec<u8>,
    /// Bytes passed to the file.
    written: u64,
    writeback_from: u64,
    /// The buffer for decompressing a block that is read back.
    unpacked: Vec<u8>,
}

impl Output {
    /// The offset of the next byte.
    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes a block, and reads it back from the bytes that the file will get; `check` sees its raw bytes. If the
    /// block is compressed and its raw bytes are `known`, it is not unpacked, and `check` sees the known bytes
    /// (TABLE-10).
    fn write_block(
        &mut self,
        kind: BlockKind,
        compression: Compression,
        payload: &[u8],
        known: Option<&[u8]>,
        check: impl FnOnce(&[u8]) -> std::result::Result<(), Undecoded<Damage>>,
    ) -> Result<BlockHandle> {
        let handle = BlockHandle {
            offset: self.offset(),
            length: payload.len() as u64,
        };
        let trailer = block_trailer(self.file_id, handle.offset, kind, compression, payload);
        let is_large = payload.len() >= WRITE_BYTES;
        let start = self.buffer.len();
        if !is_large {
            memory::append(&mut self.buffer, payload, TABLE)?;
        }
        #[cfg(test)]
        spoiling::spoil(&mut self.buffer[start..]);
        let finished = match is_large {
            true => payload,
            false => &self.buffer[start..],
        };
        let wrong = |what: &str| {
            Error::unaccounted(format!(
                "a block for {} at byte {} cannot be read back: {what}",
                self.path.display(),
                handle.offset
            ))
        };
        let raw = match known {
            Some(raw) if compression != Compression::None => Ok(raw),
            _ => unpack_parts(
                &self.path,
                self.file_id,
                handle.offset,
                kind,
                finished,
                trailer,
                &mut self.unpacked,
            ),
        };
        let raw = raw.map_err(|error| match error.is_out_of_memory() {
            true => error,
            false => wrong(error.message()),
        })?;
        check(raw).map_err(|why| why.into_error(|damage| wrong(damage.what)))?;

        if self.unpacked.capacity() > MAX_KEPT_BYTES {
            self.unpacked = Vec::new();
        }
        if is_large {
            self.flush()?;
            self.write(payload)?;
        }
        memory::append(&mut self.buffer, &trailer, TABLE)?;
        debug_assert_eq!(
            handle.end(),
            Some(self.offset()),
            "TABLE-1: {BLOCK_TRAILER_BYTES}"
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
        debug_assert!(
            self.writeback_from < self.written || bytes.is_empty(),
            "TABLE-4: what was written waits for the disk"
        );
        let waiting = self.written - self.writeback_from;
        if waiting >= WRITEBACK_BYTES {
            self.file.start_writeback(self.writeback_from, waiting);
            self.writeback_from = self.written;
        }
        Ok(())
    }
}

const _: () = assert!(HEADER_BYTES < WRITE_BYTES);

#[cfg(test)]
pub(crate) mod spoiling;
#[cfg(test)]
mod tests;
