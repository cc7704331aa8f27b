//! `TableInfo`: the manifest's facts about one SSTable, and how an edit stores them.
//!
//! Layout: docs/format.md, "Version edit", fields 7 and 10. Only unknown fields of the tail from [`FIRST_SKIPPABLE`]
//! on are skipped.
//!
//! * EDIT-2  Decoded facts are possible: bounds with a trailer and within a key's limits, bounds and sequence numbers
//!           in order, counts that a table can have.
//!
//! * SWEPT-1  A compaction notes up to which number it knew all range deletes and no reader was before them: it has
//!            dropped what they cover. Nothing comes into a table later.
//!
//! Elsewhere: the edit that adds the table (`edit.rs`), and shorter bounds for long keys (`bounds.rs`).

use super::field::{bytes, once, varint};
use crate::coding::{FIRST_SKIPPABLE, put_length_prefixed, put_varint};
use crate::content::Sum;
use crate::error::{Error, Result};
use crate::key::{FileNumber, KeyRef, MAX_KEY_BYTES, SequenceNumber};
use crate::memory;
use crate::range_delete::RangeDelete;
use crate::range_deletes::room_for;
use crate::sstable::TableSummary;
use crate::sync::Arc;

/// In the tail of an added table.
const TAIL_CONTENT_SUM: u64 = 1;
const TAIL_SHORTENED: u64 = 2;
/// Its range deletes, without which a reader would show what they delete.
const TAIL_RANGE_DELETES: u64 = 3;
const LAST_TAIL: u64 = TAIL_RANGE_DELETES;
/// Skippable, because a build that does not know it only starts fewer compactions.
const TAIL_RECLAIMABLE: u64 = FIRST_SKIPPABLE;
/// Skippable, because a build that does not know it only keeps range deletes for longer.
const TAIL_SWEPT: u64 = FIRST_SKIPPABLE + 1;

/// In the field [`TAIL_SHORTENED`].
const SMALLEST_IS_SHORTENED: u8 = 1;
const LARGEST_IS_SHORTENED: u8 = 2;

/// The name of its memory in errors.
const INFO: &str = "an edit of the manifest";

/// The facts that decide when a table with tombstones or several versions of a key is worth another compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reclaimable {
    /// Entries whose key has a newer entry in the table. A snapshot saw them when the table was written.
    pub(crate) older_versions: u64,
    /// When the table was made, in microseconds since 1970-01-01 UTC; 0 if not known.
    pub(crate) created_micros: u64,
}

/// Which of a table's bounds were shortened, so that they enclose its keys but are not keys of it (`bounds.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shortened {
    pub(crate) smallest: bool,
    pub(crate) largest: bool,
}

impl Shortened {
    fn bits(self) -> u8 {
        let smallest = u8::from(self.smallest) * SMALLEST_IS_SHORTENED;
        smallest + u8::from(self.largest) * LARGEST_IS_SHORTENED
    }

    fn from_bits(bits: u8) -> Option<Shortened> {
        let shortened = Shortened {
            smallest: bits & SMALLEST_IS_SHORTENED != 0,
            largest: bits & LARGEST_IS_SHORTENED != 0,
        };
        (bits != 0 && shortened.bits() == bits).then_some(shortened)
    }
}

/// The manifest's facts about one SSTable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableInfo {
    pub(crate) number: FileNumber,
    /// The random id in the file's own header.
    pub(crate) file_id: u64,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// The first entry's key, encoded; or a shorter key before it.
    pub(crate) smallest: Vec<u8>,
    /// The last entry's key, encoded; or a shorter key after it.
    pub(crate) largest: Vec<u8>,
    pub(crate) shortened: Shortened,
    pub(crate) smallest_sequence: SequenceNumber,
    pub(crate) largest_sequence: SequenceNumber,
    /// Entries of every kind.
    pub(crate) entries: u64,
    /// Entries that are tombstones.
    pub(crate) tombstones: u64,
    /// Entries that are range deletes, in the order of the table.
    pub(crate) range_deletes: Arc<[RangeDelete]>,
    /// The sum of the terms of its entries (`content.rs`); `None` if a build of format version 1 wrote it.
    pub(crate) content_sum: Option<u64>,
    /// Set for a table that has tombstones, range deletes or older versions, unless an earlier build wrote it.
    pub(crate) reclaimable: Option<Reclaimable>,
    /// It has no entry that a range delete with this number or a smaller one covers (SWEPT-1). 0 if not known.
    pub(crate) swept: SequenceNumber,
}

impl TableInfo {
    /// The manifest's facts about a table just built.
    pub(crate) fn new(number: FileNumber, file_id: u64, table: TableSummary) -> TableInfo {
        TableInfo {
            number,
            file_id,
            size: table.file_size,
            smallest: table.smallest,
            largest: table.largest,
            shortened: Shortened::default(),
            smallest_sequence: table.smallest_sequence,
            largest_sequence: table.largest_sequence,
            entries: table.sum.entries(),
            tombstones: table.sum.tombstones,
            content_sum: Some(table.sum.terms),
            reclaimable: (table.sum.tombstones + table.sum.range_deletes + table.older_versions
                > 0)
            .then_some(Reclaimable {
                older_versions: table.older_versions,
                created_micros: table.created_micros,
            }),
            range_deletes: Arc::from(table.range_deletes),
            swept: SequenceNumber(0),
        }
    }

    /// Entries whose key has a newer entry in the table; 0 if that is not known.
    pub(crate) fn older_versions(&self) -> u64 {
        self.reclaimable.map_or(0, |found| found.older_versions)
    }

    /// Whether it has tombstones, range deletes, or entries whose key has a newer entry in it.
    pub(crate) fn has_reclaimable(&self) -> bool {
        self.tombstones > 0 || !self.range_deletes.is_empty() || self.older_versions() > 0
    }

    /// Whether it may have an entry that the range delete covers.
    pub(crate) fn may_be_covered_by(&self, range: &RangeDelete) -> bool {
        let (first, last) = (self.smallest_key(), self.largest_key());
        self.smallest_sequence < range.number
            && self.swept < range.number
            && range.meets(first.user_key, last.user_key)
    }

    /// The sum of its entries, if known.
    pub(crate) fn content(&self) -> Option<Sum> {
        Some(Sum {
            terms: self.content_sum?,
            ..self.counts()
        })
    }

    /// How many entries it has of each kind, without their terms.
    pub(crate) fn counts(&self) -> Sum {
        Sum {
            terms: 0,
            puts: (self.entries)
                .saturating_sub(self.tombstones)
                .saturating_sub(self.range_deletes.len() as u64),
            tombstones: self.tombstones,
            range_deletes: self.range_deletes.len() as u64,
        }
    }

    /// Whether `found`, from the table itself, matches this. Unknown facts are not compared, and shortened bounds
    /// must enclose the exact ones.
    pub(crate) fn agrees_with(&self, found: &TableInfo) -> bool {
        let Shortened { smallest, largest } = self.shortened;
        if !self.bounds_are(found.smallest_key(), found.largest_key()) {
            return false;
        }
        let bound = |is_shortened, ours: &Vec<u8>, theirs: &Vec<u8>| match is_shortened {
            true => ours.clone(),
            false => theirs.clone(),
        };
        let found = TableInfo {
            smallest: bound(smallest, &self.smallest, &found.smallest),
            largest: bound(largest, &self.largest, &found.largest),
            shortened: self.shortened,
            content_sum: self.content_sum.and(found.content_sum),
            reclaimable: self.reclaimable.and(found.reclaimable),
            swept: self.swept,
            ..found.clone()
        };
        *self == found
    }

    /// Whether a table that begins with `first` and ends with `last` has these bounds; shortened ones enclose it.
    pub(crate) fn bounds_are(&self, first: KeyRef<'_>, last: KeyRef<'_>) -> bool {
        let is_first = match self.shortened.smallest {
            true => self.smallest_key() <= first,
            false => self.smallest_key() == first,
        };
        let is_last = match self.shortened.largest {
            true => last <= self.largest_key(),
            false => last == self.largest_key(),
        };
        is_first && is_last
    }

    /// The first entry's key, or a shorter key before it.
    pub(crate) fn smallest_key(&self) -> KeyRef<'_> {
        KeyRef::decode(&self.smallest).expect("EDIT-2: bounds carry a trailer")
    }

    /// The last entry's key, or a shorter key after it.
    pub(crate) fn largest_key(&self) -> KeyRef<'_> {
        KeyRef::decode(&self.largest).expect("EDIT-2: bounds carry a trailer")
    }

    /// Appends the encoded facts; with their tail, unless the content sum is not known.
    pub(super) fn encode_to(&self, out: &mut Vec<u8>) {
        for value in [self.number.0, self.file_id, self.size] {
            put_varint(out, value);
        }
        put_length_prefixed(out, &self.smallest);
        put_length_prefixed(out, &self.largest);
        for value in [
            self.smallest_sequence.0,
            self.largest_sequence.0,
            self.entries,
            self.tombstones,
        ] {
            put_varint(out, value);
        }
        if let Some(sum) = self.content_sum {
            put_length_prefixed(out, &self.encoded_tail(sum));
        }
    }

    fn encoded_tail(&self, sum: u64) -> Vec<u8> {
        let mut tail = Vec::new();
        put_varint(&mut tail, TAIL_CONTENT_SUM);
        put_length_prefixed(&mut tail, &sum.to_le_bytes());
        if self.shortened != Shortened::default() {
            put_varint(&mut tail, TAIL_SHORTENED);
            put_length_prefixed(&mut tail, &[self.shortened.bits()]);
        }
        if !self.range_deletes.is_empty() {
            put_varint(&mut tail, TAIL_RANGE_DELETES);
            put_length_prefixed(&mut tail, &self.encoded_range_deletes());
        }
        if let Some(found) = self.reclaimable {
            let mut content = Vec::new();
            put_varint(&mut content, found.older_versions);
            put_varint(&mut content, found.created_micros);
            put_varint(&mut tail, TAIL_RECLAIMABLE);
            put_length_prefixed(&mut tail, &content);
        }
        if self.swept > SequenceNumber(0) {
            let mut content = Vec::new();
            put_varint(&mut content, self.swept.0);
            put_varint(&mut tail, TAIL_SWEPT);
            put_length_prefixed(&mut tail, &content);
        }
        tail
    }

    fn encoded_range_deletes(&self) -> Vec<u8> {
        let mut content = Vec::new();
        put_varint(&mut content, self.range_deletes.len() as u64);
        for range in &*self.range_deletes {
            let (flags, rest) = range.value();
            put_length_prefixed(&mut content, &range.start);
            put_length_prefixed(&mut content, &[&flags, rest].concat());
            put_varint(&mut content, range.number.0);
        }
        content
    }

    /// Reads the content of the field [`TAIL_RANGE_DELETES`].
    fn decode_range_deletes(&mut self, mut content: &[u8]) -> Result<()> {
        let count = varint(&mut content)?;
        let mut ranges = Vec::new();
        room_for(0, 0, content.len())?;
        for _ in 0..count {
            let (start, value) = (bytes(&mut content)?, bytes(&mut content)?);
            let number = SequenceNumber(varint(&mut content)?);
            let range = RangeDelete::of_entry(start, number, value)?;
            memory::push(&mut ranges, range, INFO)?;
        }
        let is_in_order = ranges.is_sorted_by(|one: &RangeDelete, next| {
            (&one.start, next.number) < (&next.start, one.number)
        });
        if !content.is_empty() || count == 0 || !is_in_order || !self.range_deletes.is_empty() {
            return Err(Error::internal(
                "the range deletes of an added table are impossible",
            ));
        }
        self.range_deletes = Arc::from(ranges);
        Ok(())
    }

    /// Decodes the facts at the front of `input`. `has_tail`: whether the content sum is known.
    pub(super) fn decode(input: &mut &[u8], has_tail: bool) -> Result<TableInfo> {
        let mut table = TableInfo {
            number: FileNumber(varint(input)?),
            file_id: varint(input)?,
            size: varint(input)?,
            smallest: memory::copy_of(bytes(input)?, INFO)?,
            largest: memory::copy_of(bytes(input)?, INFO)?,
            shortened: Shortened::default(),
            smallest_sequence: SequenceNumber(varint(input)?),
            largest_sequence: SequenceNumber(varint(input)?),
            entries: varint(input)?,
            tombstones: varint(input)?,
            range_deletes: Arc::default(),
            content_sum: None,
            reclaimable: None,
            swept: SequenceNumber(0),
        };
        if has_tail {
            table.decode_tail(bytes(input)?)?;
        }
        table.check()?;
        debug_assert!(table.content_sum.is_some() == has_tail, "EDIT-2");
        Ok(table)
    }

    /// Reads the fields after those that every version has.
    fn decode_tail(&mut self, mut tail: &[u8]) -> Result<()> {
        while !tail.is_empty() {
            let (tag, content) = (varint(&mut tail)?, bytes(&mut tail)?);
            match tag {
                TAIL_CONTENT_SUM => {
                    let sum = content
                        .try_into()
                        .map_err(|_| Error::internal("a content sum does not have 8 bytes"))?;
                    once(&mut self.content_sum, u64::from_le_bytes(sum))?;
                }
                TAIL_SHORTENED => {
                    let shortened = match content {
                        &[bits] if self.shortened == Shortened::default() => {
                            Shortened::from_bits(bits)
                        }
                        _ => None,
                    };
                    self.shortened = shortened.ok_or_else(|| {
                        Error::internal("an added table does not say which bounds are shortened")
                    })?;
                }
                TAIL_RANGE_DELETES => self.decode_range_deletes(content)?,
                TAIL_RECLAIMABLE => {
                    let mut content = content;
                    let reclaimable = Reclaimable {
                        older_versions: varint(&mut content)?,
                        created_micros: varint(&mut content)?,
                    };
                    if !content.is_empty() {
                        return Err(Error::internal("a field of an added table is too long"));
                    }
                    once(&mut self.reclaimable, reclaimable)?;
                }
                TAIL_SWEPT => {
                    let mut content = content;
                    let swept = SequenceNumber(varint(&mut content)?);
                    if !content.is_empty()
                        || swept == SequenceNumber(0)
                        || swept > SequenceNumber::MAX
                    {
                        return Err(Error::internal("how far a table was swept is impossible"));
                    }
                    self.swept = swept;
                }
                tag if tag >= FIRST_SKIPPABLE => {}
                _ => {
                    return Err(Error::unsupported(format!(
                        "an added table with field {tag}; this build knows 1 to {LAST_TAIL}"
                    )));
                }
            }
        }
        match self.content_sum {
            Some(_) => Ok(()),
            None => Err(Error::internal("an added table lacks its content sum")),
        }
    }

    /// Refuses facts that no table can have (EDIT-2).
    pub(crate) fn check(&self) -> Result<()> {
        let fault = |what: &str| Err(Error::internal(format!("table {}: {what}", self.number)));
        let (Some(smallest), Some(largest)) = (
            KeyRef::decode(&self.smallest),
            KeyRef::decode(&self.largest),
        ) else {
            return fault("a bound is shorter than a trailer");
        };
        if smallest.user_key.len() > MAX_KEY_BYTES || largest.user_key.len() > MAX_KEY_BYTES {
            return fault("a bound is longer than the longest key");
        }
        if smallest > largest {
            return fault("its bounds are in the wrong order");
        }
        if self.smallest_sequence > self.largest_sequence
            || self.largest_sequence > SequenceNumber::MAX
        {
            return fault("its sequence numbers are in the wrong order");
        }
        let ranges = &*self.range_deletes;
        let is_astray = |range: &RangeDelete| {
            let numbers = self.smallest_sequence..=self.largest_sequence;
            range.start.len() > MAX_KEY_BYTES
                || *range.start < *smallest.user_key
                || *range.start > *largest.user_key
                || !numbers.contains(&range.number)
        };
        if ranges.iter().any(is_astray) {
            return fault("it cannot have its range deletes");
        }
        let deletes = self.tombstones.saturating_add(ranges.len() as u64);
        let most = deletes.max(self.older_versions());
        if most > self.entries || self.entries == 0 || self.number.0 == 0 {
            return fault("its counts are impossible");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
