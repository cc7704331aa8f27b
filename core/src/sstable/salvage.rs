//! Reads a damaged table: its intact data blocks, and the places of the others.
//!
//! * SALVAGE-1  An entry is returned only if its block's checksum is right, the block decodes to its end, and
//!              its keys ascend and are greater than those of the intact blocks before it.
//! * SALVAGE-2  The index says where blocks are. If it or the footer is damaged, blocks are found one after the
//!              other from the beginning, by their checksums; then everything after the first damaged block is
//!              lost.
//! * SALVAGE-3  The file's id comes from its header, else from the manifest, else from the footer's checksum.
//! * SALVAGE-4  The filter and the properties are not needed, so damage in them loses nothing. If the
//!              properties can be read, their facts about the entries are reported beside the findings.
//!
//! Memory: the index, and one block at a time. The file is opened again for each block, so that many tables can
//! be read at once with few descriptors.

use std::path::{Path, PathBuf};

use crate::checksum::{OpenEnded, id_behind};
use crate::compression::Compression;
use crate::content::Sum;
use crate::env::{Env, File};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyRef, KeyspaceId, SequenceNumber};
use crate::memory::{self, MemoryGauge};
use crate::sstable::block::{Block, BlockCursor, BlockId, Damage};
use crate::sstable::format::{
    BLOCK_TRAILER_BYTES, BlockHandle, BlockKind, FOOTER_BYTES, FOOTER_MAGIC, Footer, HEADER_BYTES,
    MAX_RAW_BLOCK_BYTES, Properties, decode_header, open_block, read_exact,
};
use crate::sstable::index::Index;
use crate::sync::Arc;

/// Bytes read at once in the search for blocks.
const SEARCH_BYTES: usize = 256 << 10;

/// Consecutive blocks that cannot be read.
pub(crate) struct LostBlocks {
    /// The first one's damage.
    pub(crate) error: Error,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The last encoded key before these blocks, and the first after them; `None` at the table's ends.
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) before: Option<Vec<u8>>,
}

/// The readable part of a table. It has at least one entry.
pub(crate) struct SalvagedTable {
    path: PathBuf,
    file_id: u64,
    blocks: Vec<BlockHandle>,
    /// The sum of the entries that can be read.
    pub(crate) sum: Sum,
    /// The facts about its entries in its own properties; `None` if those cannot be read.
    pub(crate) said: Option<Said>,
    /// The first and the last encoded key.
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    pub(crate) largest_sequence: SequenceNumber,
}

/// The name of its memory in errors.
const SALVAGE: &str = "what a damaged table still has";

/// A statement about the entries of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) range_deletes: u64,
    /// The sum of their terms; `None` for a table of format version 1.
    pub(crate) terms: Option<u64>,
}

impl Said {
    /// Whether this may be a statement about the entries `found`, which must be all entries of a table.
    pub(crate) fn agrees_with(&self, found: Sum) -> bool {
        (self.entries, self.tombstones, self.range_deletes)
            == (found.entries(), found.tombstones, found.range_deletes)
            && self.terms.is_none_or(|terms| terms == found.terms)
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Said {
            entries,
            tombstones,
            range_deletes,
            ..
        } = *self;
        let puts = entries
            .saturating_sub(tombstones)
            .saturating_sub(range_deletes);
        write!(f, "{puts} puts")?;
        match range_deletes {
            0 => write!(f, " and {tombstones} deletes")?,
            _ => write!(
                f,
                ", {tombstones} deletes and {range_deletes} range deletes"
            )?,
        }
        match self.terms {
            Some(terms) => write!(f, " with sum {terms:016x}"),
            None => Ok(()),
        }
    }
}

/// A table's id and size according to the manifest.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) file_id: u64,
    pub(crate) size: u64,
}

/// The id in a table's header; `Corruption` if that is damaged.
pub(crate) fn table_id(env: &dyn Env, path: &Path) -> Result<u64> {
    let file = env.open_read(path)?;
    decode_header(path, &read_exact(&*file, path, 0, HEADER_BYTES as u64)?)
}

/// Checks every block of the table at `path`; the unreadable ones go to `lost`. `None` if no entry can be read.
///
/// Errors: `Unsupported` if a newer AiDb wrote it; `OutOfMemory`.
pub(crate) fn salvage(
    env: &dyn Env,
    path: &Path,
    known: Option<Known>,
    lost: &mut Vec<LostBlocks>,
) -> Result<Option<SalvagedTable>> {
    let Some((file, length)) = open(env, path, lost)? else {
        return Ok(None);
    };
    let Some(located) = locate(&*file, path, length, known, lost)? else {
        return Ok(None);
    };
    drop(file);
    let mut table = SalvagedTable {
        path: path.to_path_buf(),
        file_id: located.file_id,
        blocks: Vec::new(),
        sum: Sum::default(),
        said: located.said,
        smallest: Vec::new(),
        largest: Vec::new(),
        largest_sequence: SequenceNumber(0),
    };
    table.look_at_all(env, located.blocks, lost)?;
    if let Some(end) = located.end {
        // The file may end before its first block.
        let end = end.min(length);
        let what = "no block can be found from here on, and the index is damaged";
        note(Error::corruption(path, end, what), end, length, lost)?;
        table.note_last_key(lost);
    }
    Ok((table.sum.entries() > 0).then_some(table))
}

/// The file and its length; `None` if it cannot be opened, after reporting that to `lost`.
fn open(
    env: &dyn Env,
    path: &Path,
    lost: &mut Vec<LostBlocks>,
) -> Result<Option<(Arc<dyn File>, u64)>> {
    let opened = env.open_read(path).and_then(|file| {
        let length = file.len()?;
        Ok((file, length))
    });
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) => {
            note(error, 0, 0, lost)?;
            Ok(None)
        }
    }
}

/// The places of a table's data blocks, and other facts that were found on the way.
struct Located {
    file_id: u64,
    blocks: Vec<BlockHandle>,
    said: Option<Said>,
    /// The place after which there should be another block, but none was found.
    end: Option<u64>,
}

/// Finds the data blocks by the index, or else one after the other (SALVAGE-2); `None` if the file's id is
/// unknown, after reporting that to `lost`.
fn locate(
    file: &dyn File,
    path: &Path,
    length: u64,
    known: Option<Known>,
    lost: &mut Vec<LostBlocks>,
) -> Result<Option<Located>> {
    let ids = [own_id(file, path)?, known.map(|known| known.file_id)];
    if let Some(found) = by_any_index(file, path, length, known, ids)? {
        return Ok(Some(Located {
            file_id: found.file_id,
            blocks: found.blocks,
            said: found.said,
            end: None,
        }));
    }
    let Some(file_id) = ids.into_iter().flatten().next() else {
        let what = "the table's header and its footer are damaged";
        note(Error::corruption(path, 0, what), 0, length, lost)?;
        return Ok(None);
    };
    let (blocks, end) = by_search(file, path, file_id, length)?;
    Ok(Some(Located {
        file_id,
        blocks,
        said: None,
        end,
    }))
}

/// The id in the header; `None` if that is damaged.
fn own_id(file: &dyn File, path: &Path) -> Result<Option<u64>> {
    let header = read_exact(file, path, 0, HEADER_BYTES as u64)
        .and_then(|header| decode_header(path, &header));
    match header {
        Ok(file_id) => Ok(Some(file_id)),
        // The header holds no entry. Without another id all entries are lost, which `locate` reports.
        Err(error) => as_damage(error).map(|_| None),
    }
}

/// Tries each id and each length that the table may have (SALVAGE-3); returns the first index that can be read.
fn by_any_index(
    file: &dyn File,
    path: &Path,
    length: u64,
    known: Option<Known>,
    ids: [Option<u64>; 2],
) -> Result<Option<Indexed>> {
    let size = known.map(|known| known.size).filter(|size| *size < length);
    let mut found = None;
    for size in size.into_iter().chain([length]) {
        for file_id in ids.into_iter().flatten() {
            found = found.or(by_index(file, path, file_id, size)?);
        }
        if ids == [None, None]
            && let Some(file_id) = id_by_footer(file, path, size)?
        {
            found = found.or(by_index(file, path, file_id, size)?);
        }
    }
    Ok(found)
}

/// The contents of a table's index.
struct Indexed {
    file_id: u64,
    blocks: Vec<BlockHandle>,
    said: Option<Said>,
}

/// The places of the data blocks according to the index, if the table has `size` bytes; `None` if the index cannot be
/// read.
fn by_index(file: &dyn File, path: &Path, file_id: u64, size: u64) -> Result<Option<Indexed>> {
    let Some(footer_at) = size.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(None);
    };
    let read = || -> Result<Indexed> {
        let footer = read_exact(file, path, footer_at, FOOTER_BYTES as u64)?;
        let footer = Footer::decode(path, file_id, footer_at, &footer)?;
        let damaged = |what: &str| Error::corruption(path, footer_at, what);
        let data_end = footer
            .data_end(footer_at)
            .ok_or_else(|| damaged("footer: the blocks leave a gap"))?;
        let part = |handle: BlockHandle, kind| {
            let length = handle.length + BLOCK_TRAILER_BYTES as u64;
            let stored = read_exact(file, path, handle.offset, length)?;
            open_block(path, file_id, handle.offset, kind, stored)
        };
        let raw = part(footer.index, BlockKind::Index)?;
        let index = Index::parse(&raw, HEADER_BYTES as u64, data_end)
            .map_err(|why| why.into_error(damaged))?;
        let properties = match part(footer.properties, BlockKind::Properties) {
            Ok(raw) => Some(raw),
            Err(error) => as_damage(error).map(|_| None)?,
        };
        let properties = properties.and_then(|raw| Properties::decode(&raw, footer.version));
        if let Some(properties) = &properties
            && properties.keyspace != KeyspaceId::DEFAULT.0
        {
            return Err(Error::unsupported(format!(
                "{} belongs to keyspace {}, and this build repairs only keyspace 0",
                path.display(),
                properties.keyspace
            )));
        }
        Ok(Indexed {
            file_id,
            blocks: memory::collect((0..index.len()).map(|number| index.handle(number)), SALVAGE)?,
            said: properties.map(|properties| Said {
                entries: properties.entries,
                tombstones: properties.tombstones,
                range_deletes: properties.range_deletes,
                terms: properties.content_sum,
            }),
        })
    };
    match read() {
        Ok(indexed) => Ok(Some(indexed)),
        Err(error) => as_damage(error).map(|_| None),
    }
}

/// The id under which the footer is intact, if the table has `size` bytes (SALVAGE-3). The index proves the id later.
fn id_by_footer(file: &dyn File, path: &Path, size: u64) -> Result<Option<u64>> {
    let Some(offset) = size.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(None);
    };
    let footer = match read_exact(file, path, offset, FOOTER_BYTES as u64) {
        Ok(footer) => footer,
        Err(error) => return as_damage(error).map(|_| None),
    };
    let rest = footer.strip_suffix(&FOOTER_MAGIC);
    let parts = rest.and_then(|rest| rest.split_last_chunk::<4>());
    Ok(parts
        .map(|(covered, checksum)| id_behind(u32::from_le_bytes(*checksum), offset, &[covered])))
}

/// Finds the data blocks one after the other (SALVAGE-2). Also returns the place where a further block should be but
/// is not.
fn by_search(
    file: &dyn File,
    path: &Path,
    file_id: u64,
    length: u64,
) -> Result<(Vec<BlockHandle>, Option<u64>)> {
    let mut blocks = Vec::new();
    let mut offset = HEADER_BYTES as u64;
    loop {
        match find_block_end(file, file_id, offset, length) {
            Ok(Some((BlockKind::Data, handle))) => {
                memory::push(&mut blocks, handle, SALVAGE)?;
                offset = handle.end().unwrap_or(length);
            }
            // A block of another kind follows, so the data blocks are complete.
            Ok(Some(_)) => return Ok((blocks, None)),
            Ok(None) => return Ok((blocks, Some(offset))),
            Err(error) => {
                as_damage(error.context(path.display()))?;
                return Ok((blocks, Some(offset)));
            }
        }
    }
}

/// Finds the end of the block that begins at `offset`: the first length that a trailer with the right checksum
/// follows.
fn find_block_end(
    file: &dyn File,
    file_id: u64,
    offset: u64,
    file_length: u64,
) -> Result<Option<(BlockKind, BlockHandle)>> {
    let mut sought = OpenEnded::new(file_id, offset);
    let mut buffer = memory::zeros(SEARCH_BYTES, SALVAGE)?;
    let mut start = offset;
    while start < file_length && start - offset <= MAX_RAW_BLOCK_BYTES {
        let read = file.read_at(start, &mut buffer)?;
        // A trailer that is cut off here is read in the next round.
        let count = (read + 1).saturating_sub(BLOCK_TRAILER_BYTES);
        let mut taken = 0;
        for at in 0..count {
            let tag = buffer[at];
            let Some(kind) = block_kind(tag) else {
                continue;
            };
            sought.extend(&buffer[taken..at]);
            taken = at;
            if sought.crc(&[tag]).to_le_bytes() == buffer[at + 1..at + BLOCK_TRAILER_BYTES] {
                let length = start + at as u64 - offset;
                return Ok(Some((kind, BlockHandle { offset, length })));
            }
        }
        if count == 0 {
            break;
        }
        sought.extend(&buffer[taken..count]);
        start += count as u64;
    }
    Ok(None)
}

/// The kind that the first byte of a trailer names, if it is one.
fn block_kind(tag: u8) -> Option<BlockKind> {
    Compression::from_u8(tag & 0xf)?;
    BlockKind::from_u8(tag >> 4)
}

/// The error if it is about the table; otherwise it ends the salvage.
fn as_damage(error: Error) -> Result<Error> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::Io => Ok(error),
        _ => Err(error),
    }
}

fn note(error: Error, start: u64, end: u64, lost: &mut Vec<LostBlocks>) -> Result<()> {
    lost.push(LostBlocks {
        error: as_damage(error)?,
        start,
        end,
        after: None,
        before: None,
    });
    Ok(())
}

impl SalvagedTable {
    /// Checks each block, and reports unreadable ones to `lost`, one entry for each run of adjacent ones.
    fn look_at_all(
        &mut self,
        env: &dyn Env,
        blocks: Vec<BlockHandle>,
        lost: &mut Vec<LostBlocks>,
    ) -> Result<()> {
        let first_lost = lost.len();
        for handle in blocks {
            let end = handle.end().unwrap_or(u64::MAX);
            match self.look_at(env, handle) {
                Ok(first) => {
                    for lost in &mut lost[first_lost..] {
                        lost.before.get_or_insert_with(|| first.clone());
                    }
                }
                Err(error) => {
                    let error = as_damage(error)?;
                    let before = lost[first_lost..].last_mut();
                    match before.filter(|lost| lost.end == handle.offset && lost.before.is_none()) {
                        Some(lost) => lost.end = end,
                        None => {
                            note(error, handle.offset, end, lost)?;
                            self.note_last_key(lost);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks a block, and counts its entries if it is intact; returns its first key.
    fn look_at(&mut self, env: &dyn Env, handle: BlockHandle) -> Result<Vec<u8>> {
        let mut cursor = self.read(env, handle)?;
        let (mut sum, mut largest_sequence) = (Sum::default(), self.largest_sequence);
        let mut last = memory::copy_of(&self.largest, SALVAGE)?;
        let mut first = None;
        while cursor.valid() {
            let key = cursor.key();
            if KeyRef::decode(&last).is_some_and(|last| last >= key) {
                let what = "keys do not ascend";
                return Err(Error::corruption(&self.path, handle.offset, what));
            }
            if !sum.add_entry(key.user_key, key.trailer, cursor.value()) {
                let kind = key.trailer.0 as u8;
                let what = format!("{} holds an entry of kind {kind}", self.path.display());
                return Err(Error::unsupported(what));
            }
            largest_sequence = largest_sequence.max(key.trailer.sequence());
            if first.is_none() {
                first = Some(key.encoded()?);
            }
            last.clear();
            key.encode_to(&mut last)?;
            self.step(handle, cursor.next())?;
        }
        let first = first.ok_or_else(|| {
            Error::corruption(&self.path, handle.offset, "a data block without entries")
        })?;
        memory::push(&mut self.blocks, handle, SALVAGE)?;
        self.sum += sum;
        self.largest_sequence = largest_sequence;
        if self.smallest.is_empty() {
            self.smallest = first.clone();
        }
        self.largest = last;
        debug_assert!(
            self.smallest_key() <= self.largest_key(),
            "SALVAGE-1: keys ascend"
        );
        Ok(first)
    }

    /// Sets the key before the last lost blocks.
    fn note_last_key(&self, lost: &mut [LostBlocks]) {
        if let Some(lost) = lost.last_mut()
            && self.sum.entries() > 0
        {
            lost.after = Some(self.largest.clone());
        }
    }

    /// A cursor on the first entry of a block.
    fn read(&self, env: &dyn Env, handle: BlockHandle) -> Result<BlockCursor> {
        let file = env.open_read(&self.path)?;
        let length = handle.length + BLOCK_TRAILER_BYTES as u64;
        let stored = read_exact(&*file, &self.path, handle.offset, length)?;
        let raw = open_block(
            &self.path,
            self.file_id,
            handle.offset,
            BlockKind::Data,
            stored,
        )?;
        let gauge = Arc::new(MemoryGauge::default());
        let id = BlockId::new(self.file_id, 0);
        let block = Block::new(raw, id, &gauge)
            .map_err(|why| why.into_error(|damage| self.place(handle, damage)))?;
        let mut cursor = BlockCursor::new(block);
        self.step(handle, cursor.seek_to_first())?;
        Ok(cursor)
    }

    fn step<T>(&self, handle: BlockHandle, done: std::result::Result<T, Damage>) -> Result<T> {
        done.map_err(|damage| self.place(handle, damage))
    }

    fn place(&self, handle: BlockHandle, damage: Damage) -> Error {
        let what = format!("data block, raw byte {}: {}", damage.at, damage.what);
        Error::corruption(&self.path, handle.offset, what)
    }

    /// The first encoded key.
    pub(crate) fn smallest_key(&self) -> KeyRef<'_> {
        KeyRef::decode(&self.smallest).expect("SALVAGE-1: a table has a key, with its trailer")
    }

    /// The last encoded key.
    pub(crate) fn largest_key(&self) -> KeyRef<'_> {
        KeyRef::decode(&self.largest).expect("SALVAGE-1: a table has a key, with its trailer")
    }
}

/// Walks the intact entries of a table, once and forward.
pub(crate) struct SalvageIterator {
    table: SalvagedTable,
    next: usize,
    cursor: BlockCursor,
    handle: BlockHandle,
}

impl SalvageIterator {
    /// A new iterator is on the first entry.
    pub(crate) fn new(env: &dyn Env, table: SalvagedTable) -> Result<SalvageIterator> {
        let handle = *table.blocks.first().expect("SALVAGE-1: it has an entry");
        Ok(SalvageIterator {
            cursor: table.read(env, handle)?,
            next: 1,
            handle,
            table,
        })
    }

    pub(crate) fn valid(&self) -> bool {
        self.cursor.valid()
    }

    pub(crate) fn key(&self) -> KeyRef<'_> {
        self.cursor.key()
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    /// Moves to the next entry. Requires `valid`.
    pub(crate) fn next(&mut self, env: &dyn Env) -> Result<()> {
        let moved = self.cursor.next();
        self.table.step(self.handle, moved)?;
        if !self.cursor.valid()
            && let Some(&handle) = self.table.blocks.get(self.next)
        {
            self.cursor = self.table.read(env, handle)?;
            (self.handle, self.next) = (handle, self.next + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
