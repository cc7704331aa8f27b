//! The fixed parts of a table file: header, block trailer, footer, properties. Bytes in, bytes out.
//!
//! Layout: docs/format.md, "SSTable". Blocks of entries are `block/`, the index is `index.rs`, the filter is
//! `filter.rs`; `builder.rs` writes the whole and `reader.rs` reads it.
//!
//! * TABLE-1  Every byte of a table is under a checksum that covers the file's id and its offset: header, blocks with
//!            their trailers, footer; and blocks follow one another without a gap (checked when a table is opened).
//! * TABLE-2  A block's checksum also covers what kind of block it is, how it is compressed, and its length.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;

use crate::checksum::placed_crc;
use crate::coding::{
    get_length_prefixed, get_u32, get_u64, get_varint, put_length_prefixed, put_u32, put_u64,
    put_varint,
};
use crate::compression::{self, Compression};
use crate::env::File;
use crate::error::{Error, Result};
use crate::key::{MAX_KEY_BYTES, MAX_VALUE_BYTES, SequenceNumber};
use crate::memory;

/// The first eight bytes of a table.
pub(crate) const HEADER_MAGIC: [u8; 8] = *b"AiDbSST\0";
/// The last eight bytes of a table.
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"AiDbEnd\0";
/// The version this build writes, and the newest it reads. Version 1 has no content sum.
pub(crate) const VERSION: u32 = 2;
/// The first version with a content sum among the properties.
const VERSION_WITH_SUM: u32 = 2;

/// Magic, version, file id, checksum.
pub(crate) const HEADER_BYTES: usize = 24;
const _: () = assert!(HEADER_BYTES == 8 + 4 + 8 + 4);

/// Kind and compression, checksum.
pub(crate) const BLOCK_TRAILER_BYTES: usize = 5;

/// Three handles, version, checksum, magic.
pub(crate) const FOOTER_BYTES: usize = 64;
const _: () = assert!(FOOTER_BYTES == 3 * 16 + 4 + 4 + 8);

/// More bytes than any raw block has: the longest entry in a block that was nearly full.
pub(crate) const MAX_RAW_BLOCK_BYTES: u64 =
    MAX_VALUE_BYTES + MAX_KEY_BYTES as u64 + MAX_BLOCK_SIZE as u64 * 2 + (1 << 20);
/// The largest `block_size` option.
pub(crate) const MAX_BLOCK_SIZE: usize = 1 << 28;

/// The kind of a block; part of its checksum (TABLE-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockKind {
    Data = 0,
    Index = 1,
    Filter = 2,
    Properties = 3,
}

impl BlockKind {
    /// The kind with this number.
    pub(crate) fn from_u8(number: u8) -> Option<BlockKind> {
        use BlockKind::{Data, Filter, Index, Properties};
        let mut kinds = [Data, Index, Filter, Properties].into_iter();
        kinds.find(|kind| *kind as u8 == number)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            BlockKind::Data => "data block",
            BlockKind::Index => "index block",
            BlockKind::Filter => "filter block",
            BlockKind::Properties => "properties block",
        }
    }
}

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

    fn encode_to(self, out: &mut Vec<u8>) {
        out.push(self.kind);
        put_varint(out, self.handle.offset);
        put_varint(out, self.handle.length);
    }

    fn decode(input: &mut &[u8]) -> Option<FurtherBlock> {
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

/// The place of a block's payload, which the trailer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u64,
    /// The length without the trailer.
    pub(crate) length: u64,
}

impl BlockHandle {
    /// The end of the trailer; `None` if that is not a valid offset.
    pub(crate) fn end(self) -> Option<u64> {
        self.offset
            .checked_add(self.length)?
            .checked_add(BLOCK_TRAILER_BYTES as u64)
    }
}

/// The header of the table with id `file_id`.
pub(crate) fn encode_header(file_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&HEADER_MAGIC);
    put_u32(&mut out, VERSION);
    put_u64(&mut out, file_id);
    let crc = placed_crc(file_id, 0, &[&out]);
    put_u32(&mut out, crc);
    debug_assert!(
        out.len() == HEADER_BYTES,
        "TABLE-1: the fields add up to the header"
    );
    out
}

/// Whether a file that begins with `head` is a table, of whatever version.
pub(crate) fn begins_table(head: &[u8]) -> bool {
    head.starts_with(&HEADER_MAGIC)
}

/// Whether a file that ends with `tail` is a table, of whatever version.
pub(crate) fn ends_table(tail: &[u8]) -> bool {
    tail.ends_with(&FOOTER_MAGIC)
}

/// Checks a header and returns the file id in it.
pub(crate) fn decode_header(path: &Path, bytes: &[u8]) -> Result<u64> {
    let damaged = |what: &str| Error::corruption(path, 0, what);
    let mut input = bytes
        .strip_prefix(&HEADER_MAGIC)
        .ok_or_else(|| damaged("no table begins here: the magic number differs"))?;
    let short = || damaged("the table's header is cut short");
    let version = get_u32(&mut input).ok_or_else(short)?;
    let file_id = get_u64(&mut input).ok_or_else(short)?;
    let stored = get_u32(&mut input).ok_or_else(short)?;
    // The checksum first: a flipped bit in the version is damage, not a newer format.
    let crc = placed_crc(file_id, 0, &[&bytes[..HEADER_BYTES - 4]]);
    if crc != stored {
        return Err(damaged(&format!(
            "header checksum is {crc:08x}, expected {stored:08x}"
        )));
    }
    check_version(path, version)?;
    Ok(file_id)
}

fn check_version(path: &Path, version: u32) -> Result<()> {
    if (1..=VERSION).contains(&version) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{} has table format {version}, this build reads formats 1 to {VERSION}",
        path.display()
    )))
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

fn block_crc(file_id: u64, offset: u64, tag: u8, payload: &[u8]) -> u32 {
    let length = (payload.len() as u64).to_le_bytes();
    placed_crc(file_id, offset, &[&length, payload, &[tag]])
}

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

fn check_parts(
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

/// Facts about a table, stored by name so that later builds can add some.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties {
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    pub(crate) data_blocks: u64,
    /// Bytes of user keys and trailers, before prefix and block compression.
    pub(crate) raw_key_bytes: u64,
    pub(crate) raw_value_bytes: u64,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    /// The requested compression. Each block states itself how it is stored.
    pub(crate) compression: u64,
    /// Microseconds since 1970-01-01 UTC; 0 if not known.
    pub(crate) created_micros: u64,
    /// The keyspace that the table belongs to; 0 is the default one, and so far the only one.
    pub(crate) keyspace: u64,
    /// The sum of the terms of all entries (`content.rs`); `None` in a table of version 1.
    pub(crate) content_sum: Option<u64>,
    /// In file order. This build writes none.
    pub(crate) further: Vec<FurtherBlock>,
}

/// The name of the property that lists further blocks. A table without such blocks lacks it.
const FURTHER: &str = "blocks";

impl Properties {
    /// Names as stored, in the order stored.
    const NAMES: [&'static str; 11] = [
        "compression",
        "content_sum",
        "created_micros",
        "data_blocks",
        "entries",
        "keyspace",
        "largest_sequence",
        "raw_key_bytes",
        "raw_value_bytes",
        "smallest_sequence",
        "tombstones",
    ];

    fn values(&self) -> [Option<u64>; 11] {
        [
            Some(self.compression),
            self.content_sum,
            Some(self.created_micros),
            Some(self.data_blocks),
            Some(self.entries),
            Some(self.keyspace),
            Some(self.largest_sequence.0),
            Some(self.raw_key_bytes),
            Some(self.raw_value_bytes),
            Some(self.smallest_sequence.0),
            Some(self.tombstones),
        ]
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let values = self.values();
        let has_further = !self.further.is_empty();
        put_varint(
            &mut out,
            values.iter().flatten().count() as u64 + u64::from(has_further),
        );
        if has_further {
            let mut blocks = Vec::new();
            self.further
                .iter()
                .for_each(|block| block.encode_to(&mut blocks));
            put_length_prefixed(&mut out, FURTHER.as_bytes());
            put_length_prefixed(&mut out, &blocks);
        }
        let named = Properties::NAMES.iter().zip(values);
        for (name, value) in named.filter_map(|(name, value)| Some((name, value?))) {
            put_length_prefixed(&mut out, name.as_bytes());
            put_length_prefixed(&mut out, &value.to_le_bytes());
        }
        out
    }

    /// Reads the known properties of a table of format `version`, and passes over others. A property that is missing,
    /// or that the version does not have, is damage.
    pub(crate) fn decode(bytes: &[u8], version: u32) -> Option<Properties> {
        let mut values = [None; Properties::NAMES.len()];
        let mut further = Vec::new();
        let mut input = bytes;
        let count = get_varint(&mut input)?;
        for _ in 0..count {
            let name = get_length_prefixed(&mut input)?;
            let mut value = get_length_prefixed(&mut input)?;
            if name == FURTHER.as_bytes() {
                while !value.is_empty() {
                    further.push(FurtherBlock::decode(&mut value)?);
                }
                continue;
            }
            let known = Properties::NAMES
                .iter()
                .position(|known| known.as_bytes() == name);
            if let Some(known) = known {
                values[known] = Some(u64::from_le_bytes(value.try_into().ok()?));
            }
        }
        if !input.is_empty() {
            return None;
        }
        let [
            compression,
            content_sum,
            created_micros,
            data_blocks,
            entries,
            keyspace,
            largest_sequence,
            raw_key_bytes,
            raw_value_bytes,
            smallest_sequence,
            tombstones,
        ] = values;
        if content_sum.is_some() != (version >= VERSION_WITH_SUM) {
            return None;
        }
        Some(Properties {
            further,
            content_sum,
            entries: entries?,
            tombstones: tombstones?,
            data_blocks: data_blocks?,
            raw_key_bytes: raw_key_bytes?,
            raw_value_bytes: raw_value_bytes?,
            smallest_sequence: SequenceNumber(smallest_sequence?),
            largest_sequence: SequenceNumber(largest_sequence?),
            compression: compression?,
            created_micros: created_micros?,
            keyspace: keyspace?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, MemEnv};
    use crate::error::ErrorKind;

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
    fn only_the_magic_at_its_edge_tells_a_table() {
        let [begin, end] = [HEADER_MAGIC, FOOTER_MAGIC];
        let [behind_begin, before_end] = [[&begin[..], b"x"].concat(), [b"x", &end[..]].concat()];
        assert!(begins_table(&begin) && begins_table(&behind_begin));
        assert!(ends_table(&end) && ends_table(&before_end));
        for other in [&b""[..], &begin[1..], &[b"x", &begin[..]].concat()] {
            assert!(!begins_table(other), "{other:?}");
        }
        for other in [&b""[..], &end[1..], &[&end[..], b"x"].concat()] {
            assert!(!ends_table(other), "{other:?}");
        }
    }

    #[test]
    fn the_longest_block_that_is_believed_is_part_of_the_format() {
        // 4 GiB - 1 of value, 16 MiB of key, twice 256 MiB of block, and 1 MiB.
        assert_eq!(MAX_RAW_BLOCK_BYTES, 4_849_663_999);
    }

    #[test]
    fn header_and_footer_round_trip_and_notice_every_flipped_bit() {
        let path = Path::new("000001.sst");
        let header = encode_header(77);
        assert_eq!(header.len(), HEADER_BYTES);
        assert_eq!(decode_header(path, &header).unwrap(), 77);
        let footer = Footer {
            index: BlockHandle {
                offset: 1,
                length: 2,
            },
            filter: None,
            properties: BlockHandle {
                offset: 3,
                length: 4,
            },
            version: VERSION,
        };
        let encoded = footer.encode(77, 1000);
        assert_eq!(encoded.len(), FOOTER_BYTES);
        assert_eq!(Footer::decode(path, 77, 1000, &encoded).unwrap(), footer);
        assert!(Footer::decode(path, 77, 1001, &encoded).is_err());
        let magic_at = FOOTER_BYTES - FOOTER_MAGIC.len();
        let longer = [&encoded[..magic_at], &[0], &FOOTER_MAGIC].concat();
        assert!(Footer::decode(path, 77, 1000, &longer).is_err());
        assert!(Footer::decode(path, 78, 1000, &encoded).is_err());
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = header.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = decode_header(path, &damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption);
        }
        for bit in 0..FOOTER_BYTES * 8 {
            let mut damaged = encoded.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = Footer::decode(path, 77, 1000, &damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption);
        }
    }

    #[test]
    fn a_file_that_ends_within_what_is_read_is_damage() {
        let (env, path) = (MemEnv::new(), Path::new("/000001.sst"));
        let file = env.create_new(path).unwrap();
        file.write_at(0, &[7; 10]).unwrap();
        assert_eq!(read_exact(&*file, path, 2, 8).unwrap(), [7; 8]);
        let error = read_exact(&*file, path, 2, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
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

    #[test]
    fn a_newer_version_is_unsupported() {
        let mut header = encode_header(5);
        header[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let crc = placed_crc(5, 0, &[&header[..HEADER_BYTES - 4]]);
        header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        let error = decode_header(Path::new("x"), &header).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("format 3"));
    }

    #[test]
    fn properties_round_trip_and_unknown_names_are_passed_over() {
        let properties = Properties {
            entries: 3,
            tombstones: 1,
            largest_sequence: SequenceNumber(9),
            content_sum: Some(77),
            ..Properties::default()
        };
        let encoded = properties.encode();
        assert_eq!(Properties::decode(&encoded, 2), Some(properties.clone()));
        assert_eq!(Properties::decode(&encoded, 1), None);
        let without = Properties {
            content_sum: None,
            ..properties.clone()
        };
        assert_eq!(Properties::decode(&without.encode(), 2), None);
        assert_eq!(Properties::decode(&without.encode(), 1), Some(without));
        let mut grown = encoded.clone();
        grown[0] += 1;
        put_length_prefixed(&mut grown, b"later");
        put_length_prefixed(&mut grown, b"anything");
        assert_eq!(Properties::decode(&grown, 2), Some(properties));
        for cut in 0..encoded.len() {
            assert_eq!(Properties::decode(&encoded[..cut], 2), None);
        }
        let longer = [&encoded[..], &[0]].concat();
        assert_eq!(Properties::decode(&longer, 2), None);
    }
}
