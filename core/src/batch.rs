//! `WriteBatch`: several writes in one log record, applied together or not at all.
//!
//! Layout: docs/format.md, "Batch". The encoded batch is what the log stores and what recovery applies: one
//! format, one decoder ([`operations`]).
//!
//! * BATCH-1  `buffer` always holds a whole, valid batch, whose count is the number of its operations.
//! * BATCH-2  An operation's sequence number is the record's first number plus its index in the batch.
//! * BATCH-3  `contents` has the digest of each operation, computed from the caller's own arguments
//!            (`content.rs`, SUM-2).

use std::cell::Cell;
use std::fmt;

use crate::coding::{FIRST_SKIPPABLE, get_bytes, get_length_prefixed, get_u8, get_u32, get_varint};
use crate::coding::{put_length_prefixed, varint_len};
use crate::content::{Content, Sum};
use crate::error::{Error, Result};
use crate::key::{KeyspaceId, MAX_KEY_BYTES, MAX_VALUE_BYTES, SequenceNumber, ValueKind};
use crate::memory;
use crate::range_delete::{after_prefix, end_in, value_of};

/// The format's version, its first byte.
const BATCH_VERSION: u8 = 1;
/// version (1), flags (1), count (4), length of the extension (a varint; 1 byte while it is empty).
const HEADER_BYTES: usize = 7;
const COUNT_OFFSET: usize = 2;
/// The encoded batch of no operations.
const EMPTY: [u8; HEADER_BYTES] = [BATCH_VERSION, 0, 0, 0, 0, 0, 0];
/// The first bytes of an encoded batch of exactly one operation. The log need not store them (`wal/payload.rs`).
pub(crate) const HEADER_OF_ONE: [u8; HEADER_BYTES] = [BATCH_VERSION, 0, 1, 0, 0, 0, 0];
/// The most memory, in bytes, that a thread keeps for its next batch of one operation.
const MAX_SPARE_BYTES: usize = 4 << 10;

thread_local! {
    /// The thread's memory for batches of one operation.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Set on a kind byte that a keyspace id follows; keyspace 0 needs none.
const HAS_KEYSPACE: u8 = 0x80;
/// The most bytes of one encoded batch: the longest value and the longest key, with room for their lengths.
const MAX_BATCH_BYTES: u64 = MAX_VALUE_BYTES + (MAX_KEY_BYTES as u64) + 64;

/// Puts, deletes and range deletes that are applied together, all or none even if there is a crash, in the order
/// they were added.
///
/// For one key the last operation wins: a range delete does not delete what is put after it. It takes memory for its
/// keys and values.
///
/// ```
/// let mut batch = aidb::WriteBatch::new();
/// batch.put(b"alice", b"7")?;
/// batch.delete(b"bob")?;
/// assert_eq!(batch.len(), 2);
/// # Ok::<(), aidb::Error>(())
/// ```
#[derive(Clone)]
pub struct WriteBatch {
    buffer: Vec<u8>,
    /// The digest of a single operation, which needs no allocation; or the digests of several, in order (BATCH-3).
    content: Content,
    contents: Vec<Content>,
    tombstones: u32,
    range_deletes: u32,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> WriteBatch {
        WriteBatch {
            buffer: Vec::from(EMPTY),
            content: Content::default(),
            contents: Vec::new(),
            tombstones: 0,
            range_deletes: 0,
        }
    }

    /// An empty batch with room for `count` operations whose keys and values have `bytes` bytes.
    pub(crate) fn with_room(count: usize, bytes: usize) -> Result<WriteBatch> {
        // The kind, and two lengths of at most five bytes.
        let most = HEADER_BYTES + bytes + count * 11;
        let mut buffer = memory::room_for(most, "a batch")?;
        buffer.extend_from_slice(&EMPTY);
        Ok(WriteBatch {
            buffer,
            content: Content::default(),
            contents: Vec::new(),
            tombstones: 0,
            range_deletes: 0,
        })
    }

    #[cfg(test)]
    pub(crate) fn of_put(key: &[u8], value: &[u8]) -> Result<WriteBatch> {
        let mut batch = WriteBatch::new();
        batch.put(key, value)?;
        Ok(batch)
    }

    /// Passes `write` a batch of the one operation that `add` adds. The thread keeps the memory for its next such
    /// batch.
    #[inline]
    pub(crate) fn of_one<T>(
        add: impl FnOnce(&mut WriteBatch) -> Result<()>,
        write: impl FnOnce(&WriteBatch) -> Result<T>,
    ) -> Result<T> {
        // A thread that is ending may still write, with memory that it does not keep.
        let mut buffer = SPARE.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        memory::append(&mut buffer, &EMPTY, "a batch")?;
        let mut batch = WriteBatch {
            buffer,
            content: Content::default(),
            contents: Vec::new(),
            tombstones: 0,
            range_deletes: 0,
        };
        let outcome = add(&mut batch).and_then(|()| write(&batch));
        if batch.buffer.capacity() <= MAX_SPARE_BYTES {
            let _ = SPARE.try_with(|spare| spare.set(batch.buffer));
        }
        outcome
    }

    /// Adds a put of `value` (up to 4 GiB - 1) under `key` (up to 16 MiB); either may be empty.
    ///
    /// Errors: `InvalidArgument` if one is longer, or if the batch would exceed 4 GiB; the batch is then
    /// unchanged.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check_value(value)?;
        self.start(
            ValueKind::Put,
            key,
            value,
            varint_len(value.len() as u64) + value.len(),
        )?;
        put_length_prefixed(&mut self.buffer, key);
        put_length_prefixed(&mut self.buffer, value);
        Ok(())
    }

    /// Adds a delete of `key` (up to 16 MiB); deleting an absent key is not an error.
    ///
    /// Errors: `InvalidArgument` if the key is longer, or if the batch would exceed 4 GiB; the batch is then
    /// unchanged.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.start(ValueKind::Delete, key, &[], 0)?;
        put_length_prefixed(&mut self.buffer, key);
        Ok(())
    }

    /// Adds a delete of all keys from `start` on that are before `end`; `None` is open. Each has up to 16 MiB. Adds
    /// nothing if the two are equal.
    ///
    /// Errors: `InvalidArgument` if `end` is before `start`, if a key is longer, or if the batch would exceed 4 GiB;
    /// the batch is then unchanged.
    pub fn delete_range(&mut self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        let start = start.unwrap_or_default();
        check_key(start)?;
        if let Some(end) = end {
            check_key(end)?;
            if end == start {
                return Ok(());
            }
            if end < start {
                return Err(Error::invalid_argument(
                    "the end of a range is before its start: end must be at least start",
                ));
            }
        }
        let (flags, rest) = value_of(end);
        let mut value = Vec::new();
        memory::reserve(&mut value, flags.len() + rest.len(), "a batch")?;
        value.extend_from_slice(&flags);
        value.extend_from_slice(rest);
        self.start(
            ValueKind::RangeDelete,
            start,
            &value,
            varint_len(value.len() as u64) + value.len(),
        )?;
        put_length_prefixed(&mut self.buffer, start);
        put_length_prefixed(&mut self.buffer, &value);
        Ok(())
    }

    /// Adds a delete of all keys that begin with `prefix` (up to 16 MiB); an empty one deletes all keys.
    ///
    /// Errors: `InvalidArgument` if the prefix is longer, or if the batch would exceed 4 GiB; the batch is then
    /// unchanged.
    pub fn delete_prefix(&mut self, prefix: &[u8]) -> Result<()> {
        check_key(prefix)?;
        self.delete_range(Some(prefix), after_prefix(prefix)?.as_deref())
    }

    /// Adds all operations of `other` after those of this batch.
    ///
    /// Errors: `InvalidArgument` if the batch would exceed 4 GiB; it is then unchanged.
    pub fn append(&mut self, other: &WriteBatch) -> Result<()> {
        let added = &other.buffer[HEADER_BYTES..];
        let count = self
            .count()
            .checked_add(other.count())
            .ok_or_else(too_large)?;
        self.reserve(added.len())?;
        self.reserve_contents(count)?;
        let more = other.contents();
        if !more.is_empty() {
            self.gather_contents();
            self.contents.extend_from_slice(more);
            self.content = self.contents[0];
        }
        self.tombstones += other.tombstones;
        self.range_deletes += other.range_deletes;
        self.buffer.extend_from_slice(added);
        self.set_count(count);
        debug_assert!(
            self.contents().len() == self.len(),
            "BATCH-3: one digest for each operation"
        );
        debug_assert!(
            self.tombstones + self.range_deletes <= self.count(),
            "BATCH-1: the header counts the operations"
        );
        Ok(())
    }

    /// Removes all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.truncate(HEADER_BYTES);
        self.contents.clear();
        self.tombstones = 0;
        self.range_deletes = 0;
        self.set_count(0);
        debug_assert!(
            self.buffer == EMPTY,
            "BATCH-1: it is the batch of no operations"
        );
    }

    /// The number of operations.
    #[inline]
    pub fn len(&self) -> usize {
        self.count() as usize
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The bytes that the batch takes in the log; in memory it takes 24 more for each operation except the
    /// first.
    pub fn byte_size(&self) -> usize {
        self.buffer.len()
    }

    /// The operations, in order.
    pub fn iter(&self) -> impl Iterator<Item = BatchOperation<'_>> {
        // BATCH-1: the buffer was encoded here, so decoding cannot fail.
        let operations = operations(&self.buffer).ok().into_iter().flatten();
        operations
            .filter_map(|operation| operation.ok())
            .filter_map(|operation| {
                let (key, value) = (operation.key, operation.value);
                Some(match operation.kind {
                    ValueKind::Put => BatchOperation::Put { key, value },
                    ValueKind::Delete => BatchOperation::Delete { key },
                    ValueKind::RangeDelete => BatchOperation::DeleteRange {
                        start: key,
                        end: end_in(key, value).ok()?,
                    },
                })
            })
    }

    /// Passes on the hash and the bytes of each operation's key, in order.
    #[inline]
    pub(crate) fn for_each_key(&self, mut each: impl FnMut(u64, &[u8])) {
        // BATCH-1: the buffer was encoded here, so decoding cannot fail.
        let Ok(mut operations) = operations(&self.buffer) else {
            return;
        };
        for content in self.contents() {
            let Some(Ok(operation)) = operations.next() else {
                return;
            };
            each(content.key_hash, operation.key);
        }
    }

    /// How many of the operations are range deletes.
    #[inline]
    pub(crate) fn range_deletes(&self) -> usize {
        self.range_deletes as usize
    }

    /// The encoded batch.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.buffer
    }

    /// The content sum of the operations as entries, the first with the sequence number after `before` (BATCH-2,
    /// BATCH-3).
    #[inline]
    pub(crate) fn sum(&self, before: SequenceNumber) -> Sum {
        debug_assert!(
            self.tombstones + self.range_deletes <= self.count(),
            "BATCH-1: the header counts the operations"
        );
        debug_assert!(
            self.contents().len() == self.len(),
            "BATCH-3: one digest for each operation"
        );
        let mut sequence = before;
        let mut terms = 0u64;
        for content in self.contents() {
            sequence = sequence.plus(1);
            terms = terms.wrapping_add(content.term(sequence));
        }
        let (tombstones, range_deletes) = (self.tombstones, self.range_deletes);
        Sum {
            terms,
            puts: u64::from(self.count() - tombstones - range_deletes),
            tombstones: tombstones.into(),
            range_deletes: range_deletes.into(),
        }
    }

    /// The bytes of all keys and values, or a little more: the bytes of some lengths may be included.
    #[inline]
    pub(crate) fn most_key_and_value_bytes(&self) -> usize {
        debug_assert!(
            self.buffer.len() >= HEADER_BYTES + 2 * self.len(),
            "BATCH-1: an operation has a kind and the length of its key"
        );
        // Besides them, each operation has its kind and the length of its key, at least one byte each.
        self.buffer.len() - HEADER_BYTES - 2 * self.len()
    }

    /// The digest of each operation, in order (BATCH-3).
    #[inline]
    pub(crate) fn contents(&self) -> &[Content] {
        match self.count() {
            0 => &[],
            1 => std::slice::from_ref(&self.content),
            _ => &self.contents,
        }
    }

    /// Makes room for the digests of `count` operations.
    fn reserve_contents(&mut self, count: u32) -> Result<()> {
        if count > 1 {
            let more = (count as usize).saturating_sub(self.contents.len());
            memory::reserve(&mut self.contents, more, "a batch")?;
        }
        Ok(())
    }

    /// Moves the digest of a single operation to the vector for several, which must have room.
    fn gather_contents(&mut self) {
        debug_assert!(
            self.count() != 1 || self.contents.capacity() > 0,
            "BATCH-3: there is room for the digest"
        );
        if self.count() == 1 {
            self.contents.clear();
            self.contents.push(self.content);
        }
    }

    /// The encoded number of operations.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        let bytes = self.buffer[COUNT_OFFSET..]
            .first_chunk()
            .expect("BATCH-1: the header is whole");
        u32::from_le_bytes(*bytes)
    }

    fn set_count(&mut self, count: u32) {
        debug_assert!(
            self.buffer.len() >= HEADER_BYTES,
            "BATCH-1: the header is whole"
        );
        self.buffer[COUNT_OFFSET..COUNT_OFFSET + 4].copy_from_slice(&count.to_le_bytes());
    }

    /// Checks an operation that takes `rest` bytes after its key, and writes its beginning.
    #[inline]
    fn start(&mut self, kind: ValueKind, key: &[u8], value: &[u8], rest: usize) -> Result<()> {
        debug_assert!(
            kind != ValueKind::Delete || value.is_empty(),
            "SUM-2: a tombstone has no value"
        );
        check_key(key)?;
        let count = self.count().checked_add(1).ok_or_else(too_large)?;
        self.reserve_contents(count)?;
        self.reserve(1 + varint_len(key.len() as u64) + key.len() + rest)?;
        self.buffer.push(kind as u8);
        self.note(kind, key, value);
        self.set_count(count);
        debug_assert_eq!(
            self.contents().len(),
            count as usize,
            "BATCH-3: one digest for each operation"
        );
        debug_assert!(
            self.tombstones + self.range_deletes <= count,
            "BATCH-1: the header counts the operations"
        );
        Ok(())
    }

    /// Adds the digest of an operation (BATCH-3).
    #[inline]
    fn note(&mut self, kind: ValueKind, key: &[u8], value: &[u8]) {
        let content = Content::of(kind, key, value);
        self.tombstones += u32::from(kind == ValueKind::Delete);
        self.range_deletes += u32::from(kind == ValueKind::RangeDelete);
        match self.count() {
            0 => self.content = content,
            _ => {
                self.gather_contents();
                debug_assert!(
                    self.contents.len() < self.contents.capacity(),
                    "DOOR-1: room was made before anything changed"
                );
                self.contents.push(content);
            }
        }
    }

    fn reserve(&mut self, bytes: usize) -> Result<()> {
        if self.buffer.len() as u64 + bytes as u64 > MAX_BATCH_BYTES {
            return Err(too_large());
        }
        memory::reserve(&mut self.buffer, bytes, "a batch")
    }
}

impl Default for WriteBatch {
    fn default() -> Self {
        WriteBatch::new()
    }
}

impl fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBatch")
            .field("len", &self.len())
            .field("byte_size", &self.byte_size())
            .finish()
    }
}

fn too_large() -> Error {
    Error::invalid_argument(format!("a batch holds at most {MAX_BATCH_BYTES} bytes"))
}

/// Refuses a key that is too long.
#[inline]
pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > MAX_KEY_BYTES {
        return Err(Error::invalid_argument(format!(
            "key has {} bytes, the longest allowed is {MAX_KEY_BYTES}",
            key.len()
        )));
    }
    Ok(())
}

pub(crate) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() as u64 > MAX_VALUE_BYTES {
        return Err(Error::invalid_argument(format!(
            "value has {} bytes, the longest allowed is {MAX_VALUE_BYTES}",
            value.len()
        )));
    }
    Ok(())
}

/// One operation of a [`WriteBatch`], as [`WriteBatch::iter`] shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchOperation<'a> {
    /// A value is put under a key.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// A key is deleted.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// All keys of a range are deleted.
    DeleteRange {
        /// The first key that is deleted; empty if the range has no start.
        start: &'a [u8],
        /// The first key after the range; `None`: it has no end.
        end: Option<&'a [u8]>,
    },
}

/// One operation of an encoded batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation<'a> {
    /// Whether it is a put, a delete or a range delete.
    pub kind: ValueKind,
    /// The keyspace that it is about.
    pub keyspace: KeyspaceId,
    /// The user key; for a range delete the first one of the range.
    pub key: &'a [u8],
    /// The value; empty for a delete. For a range delete the encoded end (`inspect::range_end`).
    pub value: &'a [u8],
}

/// Decodes a batch, from a caller or from the log. The iterator ends after its first error.
///
/// Errors: `Internal` for damage; the caller adds the place (the log reader adds file and offset and makes it
/// `Corruption`). `Unsupported` for a newer version or an unknown kind. Never
/// `InvalidArgument`.
pub(crate) fn operations(encoded: &[u8]) -> Result<Operations<'_>> {
    let mut input = encoded;
    let (Some(version), Some(flags)) = (get_u8(&mut input), get_u8(&mut input)) else {
        return Err(damaged("batch is shorter than its header"));
    };
    if version != BATCH_VERSION || flags != 0 {
        return Err(Error::unsupported(format!(
            "batch version {version} with flags {flags:#x}; this build reads version {BATCH_VERSION}"
        )));
    }
    let header = get_u32(&mut input).zip(get_length_prefixed(&mut input));
    let (count, extension) = header.ok_or_else(|| damaged("batch is shorter than its header"))?;
    if !extension.is_empty() {
        check_extension(extension)?;
    }
    Ok(Operations { input, left: count })
}

/// Refuses an extension with a field that a reader must understand: this build knows no such field.
#[cold]
fn check_extension(mut extension: &[u8]) -> Result<()> {
    while !extension.is_empty() {
        let field = get_varint(&mut extension).zip(get_length_prefixed(&mut extension));
        match field.ok_or_else(|| damaged("a field of the batch's extension is cut off"))? {
            (FIRST_SKIPPABLE.., _) => {}
            (tag, _) => {
                return Err(Error::unsupported(format!(
                    "a batch with field {tag} in its extension; this build knows none"
                )));
            }
        }
    }
    Ok(())
}

fn damaged(message: &str) -> Error {
    Error::internal(message)
}

/// Iterates over the operations of an encoded batch.
pub(crate) struct Operations<'a> {
    input: &'a [u8],
    left: u32,
}

impl<'a> Operations<'a> {
    /// How many operations are left, according to the header.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    #[inline]
    fn decode(&mut self) -> Result<Operation<'a>> {
        let short = || damaged("batch ends inside an operation");
        let tag = get_u8(&mut self.input).ok_or_else(short)?;
        let (tag, keyspace) = match tag & HAS_KEYSPACE {
            0 => (tag, KeyspaceId::DEFAULT),
            _ => (tag & !HAS_KEYSPACE, self.keyspace()?),
        };
        let kind = ValueKind::from_u8(tag)
            .ok_or_else(|| Error::unsupported(format!("an operation of kind {tag}")))?;
        let key_len = get_varint(&mut self.input).ok_or_else(short)?;
        if key_len > MAX_KEY_BYTES as u64 {
            return Err(damaged("batch holds a key longer than 16 MiB"));
        }
        let key = get_bytes(&mut self.input, key_len).ok_or_else(short)?;
        let value = match kind {
            ValueKind::Put => get_length_prefixed(&mut self.input).ok_or_else(short)?,
            ValueKind::Delete => &[],
            ValueKind::RangeDelete => {
                let value = get_length_prefixed(&mut self.input).ok_or_else(short)?;
                end_in(key, value)?;
                value
            }
        };
        Ok(Operation {
            kind,
            keyspace,
            key,
            value,
        })
    }

    /// The id of a keyspace. What it may be, the reader of the log knows.
    #[cold]
    fn keyspace(&mut self) -> Result<KeyspaceId> {
        let id = get_varint(&mut self.input);
        id.map(KeyspaceId)
            .ok_or_else(|| damaged("batch ends inside an operation"))
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Result<Operation<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let extra = std::mem::take(&mut self.input).len();
            return (extra > 0).then(|| Err(damaged("batch has bytes after its last operation")));
        }
        self.left -= 1;
        let operation = self.decode();
        if operation.is_err() {
            (self.left, self.input) = (0, &[]);
        }
        Some(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::put_varint;
    use crate::error::ErrorKind;

    fn example() -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"vv").unwrap();
        batch.delete(b"").unwrap();
        batch.put(b"", b"").unwrap();
        batch.delete_range(Some(b"a"), Some(b"b")).unwrap();
        batch
    }

    #[test]
    fn operations_come_back_in_order() {
        use BatchOperation::{Delete, DeleteRange, Put};
        let mut batch = example();
        batch.delete_range(None, None).unwrap();
        batch.delete_prefix(b"a\xff").unwrap();
        batch.delete_prefix(b"\xff").unwrap();
        let (start, end) = (&b"a"[..], Some(&b"b"[..]));
        assert_eq!(
            batch.iter().collect::<Vec<_>>(),
            [
                Put {
                    key: b"k",
                    value: b"vv"
                },
                Delete { key: b"" },
                Put {
                    key: b"",
                    value: b""
                },
                DeleteRange { start, end },
                DeleteRange {
                    start: b"",
                    end: None
                },
                DeleteRange {
                    start: b"a\xff",
                    end
                },
                DeleteRange {
                    start: b"\xff",
                    end: None
                },
            ]
        );
        assert_eq!(
            (batch.len(), batch.is_empty(), batch.range_deletes()),
            (7, false, 4)
        );
    }

    #[test]
    fn an_empty_range_adds_nothing_and_one_that_ends_before_it_begins_is_refused() {
        let mut batch = example();
        let before = batch.encoded().to_vec();
        batch.delete_range(Some(b"a"), Some(b"a")).unwrap();
        batch.delete_range(None, Some(b"")).unwrap();
        let long = vec![0; MAX_KEY_BYTES + 1];
        for (start, end) in [
            (&b"b"[..], &b"a"[..]),
            (b"a", b""),
            (&long, b"b"),
            (b"", &long),
        ] {
            let error = batch.delete_range(Some(start), Some(end)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        assert!(batch.delete_prefix(&long).is_err());
        let error = batch.delete_range(Some(b"b"), Some(b"a")).unwrap_err();
        assert!(error.message().contains("start") && error.message().contains("end"));
        assert_eq!(batch.encoded(), before);
    }

    /// RANGE-1.
    #[test]
    fn a_range_delete_with_an_impossible_end_is_damage() {
        for value in [&b""[..], b"\0", b"\0a", b"\x02b", b"\x01b"] {
            let mut encoded = WriteBatch::new().encoded().to_vec();
            encoded[COUNT_OFFSET] = 1;
            encoded.push(ValueKind::RangeDelete as u8);
            put_length_prefixed(&mut encoded, b"a");
            put_length_prefixed(&mut encoded, value);
            let decoded: Result<Vec<_>> = operations(&encoded).unwrap().collect();
            assert_eq!(
                decoded.unwrap_err().kind(),
                ErrorKind::Internal,
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_batch_of_one_operation_begins_like_every_other() {
        let mut one = example();
        one.clear();
        one.delete(b"x").unwrap();
        assert!(one.encoded().starts_with(&HEADER_OF_ONE));
        let begins = |batch: &WriteBatch| {
            assert!(batch.encoded().starts_with(&HEADER_OF_ONE));
            Ok(())
        };
        WriteBatch::of_one(|batch| batch.put(b"key", b"value"), begins).unwrap();
        WriteBatch::of_one(|batch| batch.delete(b""), begins).unwrap();
        assert!(!example().encoded().starts_with(&HEADER_OF_ONE));
        assert!(!WriteBatch::new().encoded().starts_with(&HEADER_OF_ONE));
    }

    #[test]
    fn append_and_clear_keep_the_count() {
        let mut batch = example();
        batch.append(&example()).unwrap();
        assert_eq!((batch.len(), batch.iter().count()), (8, 8));
        assert_eq!(batch.range_deletes(), 2);
        batch.clear();
        assert_eq!((batch.len(), batch.iter().count()), (0, 0));
        assert_eq!(batch.range_deletes(), 0);
    }

    #[test]
    fn an_extension_is_passed_over_only_if_nobody_has_to_know_it() {
        let batch = example();
        let with = |extension: &[u8]| {
            let mut encoded = batch.encoded()[..HEADER_BYTES - 1].to_vec();
            encoded.push(extension.len() as u8);
            encoded.extend_from_slice(extension);
            encoded.extend_from_slice(&batch.encoded()[HEADER_BYTES..]);
            operations(&encoded).map(|operations| operations.count())
        };
        for known in [&[][..], &[64, 0], &[64, 2, 1, 2, 0xff, 1, 0]] {
            assert_eq!(with(known).unwrap(), 4, "{known:?}");
        }
        let error = with(&[64, 0, 63, 1, 7]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("field 63"), "{error}");
        for cut in [&[64][..], &[64, 2, 1], &[0x80]] {
            assert_eq!(
                with(cut).unwrap_err().kind(),
                ErrorKind::Internal,
                "{cut:?}"
            );
        }
    }

    #[test]
    fn every_cut_of_a_batch_is_refused() {
        let batch = example();
        let encoded = batch.encoded();
        for cut in 0..encoded.len() {
            let failed = match operations(&encoded[..cut]) {
                Ok(mut walk) => walk.any(|operation| operation.is_err()),
                Err(_) => true,
            };
            assert!(failed, "cut to {cut} bytes");
        }
        let mut longer = encoded.to_vec();
        longer.push(0);
        assert!(
            operations(&longer)
                .unwrap()
                .any(|operation| operation.is_err())
        );
    }

    #[test]
    fn newer_versions_and_kinds_are_unsupported() {
        for (offset, byte) in [(0, 2), (1, 1), (HEADER_BYTES, 3), (HEADER_BYTES, 0x83)] {
            let mut encoded = example().encoded().to_vec();
            encoded[offset] = byte;
            let error = match operations(&encoded) {
                Ok(mut walk) => walk.next().unwrap().unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(
                error.kind(),
                ErrorKind::Unsupported,
                "byte {offset} = {byte}"
            );
        }
    }

    #[test]
    fn an_operation_may_name_its_keyspace() {
        let about = |id: u64| {
            let mut encoded = vec![BATCH_VERSION, 0, 2, 0, 0, 0, 0, HAS_KEYSPACE | 1];
            put_varint(&mut encoded, id);
            encoded.extend_from_slice(b"\x01k\x01v\x00\x01k");
            encoded
        };
        for id in [0, 1, 127, 128, u64::MAX] {
            let encoded = about(id);
            let found: Vec<_> = operations(&encoded).unwrap().map(Result::unwrap).collect();
            let keyspaces = [found[0].keyspace, found[1].keyspace];
            assert_eq!(keyspaces, [KeyspaceId(id), KeyspaceId::DEFAULT]);
            assert_eq!((found[0].key, found[0].value), (&b"k"[..], &b"v"[..]));
            for length in 0..encoded.len() {
                let cut = operations(&encoded[..length]);
                let outcome = cut.map(|mut walk| walk.any(|operation| operation.is_err()));
                assert!(outcome.unwrap_or(true), "{length} of {id}");
            }
        }
    }

    #[test]
    fn a_key_beyond_the_limit_leaves_the_batch_unchanged() {
        let mut batch = example();
        let before = batch.encoded().to_vec();
        let error = batch.put(&vec![0; MAX_KEY_BYTES + 1], b"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(batch.encoded(), before);
    }

    #[test]
    fn an_encoded_key_beyond_the_limit_is_refused() {
        let mut encoded = WriteBatch::new().encoded().to_vec();
        encoded[COUNT_OFFSET] = 1;
        encoded.push(ValueKind::Delete as u8);
        let whole = encoded.len();
        for (length, is_good) in [(MAX_KEY_BYTES, true), (MAX_KEY_BYTES + 1, false)] {
            encoded.truncate(whole);
            put_length_prefixed(&mut encoded, &vec![b'k'; length]);
            let decoded: Result<Vec<_>> = operations(&encoded).unwrap().collect();
            assert_eq!(decoded.is_ok(), is_good, "{length}");
        }
    }

    #[test]
    fn the_documented_example_is_what_is_encoded() {
        let (_, text) = include_str!("../../docs/format.md")
            .split_once("<!-- replay: batch -->")
            .unwrap();
        let lines = text.split("```").nth(1).unwrap().lines().skip(1);
        let digits = lines.flat_map(|line| line.split("  ").next().unwrap_or("").split(' '));
        let documented: Vec<u8> = digits
            .filter(|text| !text.is_empty())
            .map(|text| u8::from_str_radix(text, 16).unwrap())
            .collect();
        let mut batch = WriteBatch::new();
        batch.put(b"key", b"hi").unwrap();
        batch.delete(b"old").unwrap();
        batch.put(b"", b"").unwrap();
        assert_eq!(batch.encoded(), documented);
    }
}

#[cfg(test)]
mod edges {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_operations_that_are_left_are_counted_down() {
        let mut batch = WriteBatch::new();
        for key in [b"a", b"b", b"c"] {
            batch.put(key, b"v").unwrap();
        }
        let mut operations = operations(batch.encoded()).unwrap();
        for left in [3, 2, 1] {
            assert_eq!(operations.left(), left);
            operations.next().unwrap().unwrap();
        }
        assert_eq!(operations.left(), 0);
        assert!(operations.next().is_none());
    }

    #[test]
    fn the_longest_key_with_the_longest_value_fits_and_little_more() {
        // Kind and two lengths.
        let framing = 1 + 2 * 5;
        let longest = (HEADER_BYTES + framing + MAX_KEY_BYTES) as u64 + MAX_VALUE_BYTES;
        let room = MAX_BATCH_BYTES.checked_sub(longest);
        assert!(room.is_some_and(|room| room < 64), "{room:?}");
    }

    fn put_or_delete<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> BatchOperation<'a> {
        match value {
            Some(value) => BatchOperation::Put { key, value },
            None => BatchOperation::Delete { key },
        }
    }

    /// The operations of the batch that is written, and the address of its memory.
    fn written_alone(key: &[u8], value: Option<&[u8]>) -> *const u8 {
        let mut place = std::ptr::null();
        let add = |batch: &mut WriteBatch| match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        };
        WriteBatch::of_one(add, |batch| {
            let expected = [put_or_delete(key, value)];
            assert_eq!(batch.iter().collect::<Vec<_>>(), expected);
            assert_eq!(batch.contents.capacity(), 0);
            place = batch.buffer.as_ptr();
            Ok(())
        })
        .unwrap();
        place
    }

    #[test]
    fn a_thread_writes_single_operations_from_one_piece_of_memory_which_is_small() {
        let spare = || {
            let buffer = SPARE.take();
            let kept = (buffer.as_ptr(), buffer.capacity());
            SPARE.set(buffer);
            kept
        };
        let first = written_alone(b"a key", Some(&[7; 1000]));
        for value in [None, Some(&b""[..]), Some(&[8; 500])] {
            assert_eq!(written_alone(b"another", value), first);
        }
        assert_eq!(spare().0, first);
        // Header, kind, and the lengths of an empty key and of a value of some thousands of bytes.
        let framing = HEADER_BYTES + 1 + 1 + 2;
        for (bytes, is_kept) in [
            (MAX_SPARE_BYTES - 1, true),
            (MAX_SPARE_BYTES, true),
            (MAX_SPARE_BYTES + 1, false),
            (1 << 20, false),
        ] {
            drop(SPARE.take());
            written_alone(b"", Some(&vec![9; bytes - framing]));
            assert_eq!(spare().1, if is_kept { bytes } else { 0 }, "{bytes}");
        }
        // A refused operation leaves no bytes in the batch.
        let refused = WriteBatch::of_one(
            |batch| batch.delete(&vec![0; MAX_KEY_BYTES + 1]),
            |_| Ok(()),
        );
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
        written_alone(b"key", Some(b"value"));
    }

    #[test]
    fn a_batch_of_one_operation_takes_memory_for_just_that() {
        let (key, value) = ([b'k'; 1000], [b'v'; 2000]);
        let fits = |batch: &WriteBatch| {
            // Kind and two lengths, at most.
            let most = batch.byte_size() + 1 + 2 * 5;
            assert!(batch.buffer.capacity() <= most, "{batch:?}");
            assert_eq!(batch.contents.capacity(), 0);
            Ok(())
        };
        drop(SPARE.take());
        WriteBatch::of_one(|batch| batch.put(&key, &value), fits).unwrap();
        drop(SPARE.take());
        WriteBatch::of_one(|batch| batch.delete(&key), fits).unwrap();
    }

    #[test]
    fn a_single_operation_written_while_another_is_has_memory_of_its_own() {
        let nested = |batch: &WriteBatch| {
            let outer = batch.buffer.as_ptr();
            assert_ne!(written_alone(b"inner", Some(b"2")), outer);
            assert_eq!(
                batch.iter().collect::<Vec<_>>(),
                [put_or_delete(b"outer", Some(b"1"))]
            );
            Ok(())
        };
        WriteBatch::of_one(|batch| batch.put(b"outer", b"1"), nested).unwrap();
    }

    #[test]
    fn digests_of_several_operations_have_room_before_any_is_added() {
        let mut batch = WriteBatch::new();
        batch.reserve_contents(1).unwrap();
        assert_eq!(batch.contents.capacity(), 0);
        for count in [2, 100] {
            batch.reserve_contents(count).unwrap();
            assert!(batch.contents.capacity() >= count as usize);
        }
    }

    /// BATCH-2, BATCH-3.
    #[test]
    fn a_sum_has_the_terms_of_all_operations_and_counts_each_kind() {
        let mut batch = WriteBatch::new();
        let mut expected = Sum::default();
        let mut sequence = SequenceNumber(40);
        for (number, kind) in "pprpdrpd".bytes().enumerate() {
            let key = [number as u8];
            let (kind, value) = match kind {
                b'p' => (ValueKind::Put, &b"value"[..]),
                b'r' => (ValueKind::RangeDelete, &b"\0\xff"[..]),
                _ => (ValueKind::Delete, &b""[..]),
            };
            match kind {
                ValueKind::Put => batch.put(&key, value).unwrap(),
                ValueKind::Delete => batch.delete(&key).unwrap(),
                ValueKind::RangeDelete => batch.delete_range(Some(&key), Some(b"\xff")).unwrap(),
            }
            sequence = sequence.plus(1);
            let term = Content::of(kind, &key, value).term(sequence);
            expected.terms = expected.terms.wrapping_add(term);
            expected.puts += u64::from(kind == ValueKind::Put);
            expected.tombstones += u64::from(kind == ValueKind::Delete);
            expected.range_deletes += u64::from(kind == ValueKind::RangeDelete);
            assert_eq!(batch.sum(SequenceNumber(40)), expected, "{number}");
        }
        assert_eq!(expected.range_deletes, 2);
        assert_eq!((expected.puts, expected.tombstones), (4, 2));
    }

    #[test]
    fn a_batch_grows_to_its_limit_and_not_one_byte_beyond() {
        let mut batch = WriteBatch::new();
        batch.put(b"key", b"value").unwrap();
        let before = batch.encoded().to_vec();
        let room = MAX_BATCH_BYTES - before.len() as u64;
        let refused = batch.reserve(room as usize + 1).unwrap_err();
        assert_eq!(refused.to_string(), too_large().to_string());
        assert_eq!(batch.encoded(), before);
        // A system with so little memory returns an error.
        if let Err(error) = batch.reserve(room as usize) {
            assert!(error.is_out_of_memory(), "{error}");
        }
    }
}
