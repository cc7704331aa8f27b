//! `VersionEdit`: one change to the set of live files, as the manifest stores it.
//!
//! Layout: docs/format.md, "Version edit". An edit is a row of fields, each a tag and its content, in any order.
//! A tag that this build does not know is `Unsupported`, because a reader may need it. Only unknown tags from
//! [`FIRST_SKIPPABLE`] on are skipped; a later build may use them for fields that a reader can ignore. The same
//! holds in the tail of an added table.
//!
//! * EDIT-1  Decoding never panics and allocates no more than the bytes it was given.
//! * EDIT-2  A decoded edit has only valid values: levels below 7, keys with a trailer and within their limits,
//!           bounds and sequence numbers in order.
//!
//! Elsewhere: where a file stores edits (`manifest.rs`), how they change a version (`builder.rs`).

use crate::coding::{
    FIRST_SKIPPABLE, get_length_prefixed, get_varint, put_length_prefixed, put_varint,
};
use crate::content::Sum;
use crate::env::DurableName;
use crate::error::{Error, Result};
use crate::filename::LAST_FIRST_NUMBER;
use crate::key::{FileNumber, KeyRef, MAX_KEY_BYTES, SequenceNumber};
use crate::memory;
use crate::sstable::TableSummary;

/// The number of levels: 0 to 6.
pub(crate) const LEVELS: usize = 7;
/// The version of the whole database's format. Version 1, which this build reads too, has no content sums.
pub(crate) const FORMAT_VERSION: u64 = 2;
/// The order of keys.
pub(crate) const COMPARATOR: &[u8] = b"bytewise";
/// The one keyspace.
pub(crate) const DEFAULT_KEYSPACE: u64 = 0;

const TAG_FORMAT_VERSION: u64 = 1;
const TAG_COMPARATOR: u64 = 2;
const TAG_KEYSPACE: u64 = 3;
const TAG_LOG_NUMBER: u64 = 4;
const TAG_NEXT_FILE_NUMBER: u64 = 5;
const TAG_LAST_SEQUENCE: u64 = 6;
/// A table without a known content sum: a build of format version 1 wrote it.
const TAG_ADDED_WITHOUT_TAIL: u64 = 7;
const TAG_REMOVED: u64 = 8;
const TAG_SYNCED_LOG: u64 = 9;
const TAG_ADDED: u64 = 10;
/// The id of the database, which the logs name too.
const TAG_DATABASE: u64 = 11;
/// The name of a feature that a reader has to know; one field per feature.
const TAG_FEATURE: u64 = 12;
const LAST_TAG: u64 = TAG_FEATURE;

/// In the tail of an added table.
const TAIL_CONTENT_SUM: u64 = 1;
const TAIL_SHORTENED: u64 = 2;
const LAST_TAIL: u64 = TAIL_SHORTENED;
/// Skippable, because a build that does not know it only starts fewer compactions.
const TAIL_RECLAIMABLE: u64 = FIRST_SKIPPABLE;

/// In the field [`TAIL_SHORTENED`].
const SMALLEST_IS_SHORTENED: u8 = 1;
const LARGEST_IS_SHORTENED: u8 = 2;

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
    /// The sum of the terms of its entries (`content.rs`); `None` if a build of format version 1 wrote it.
    pub(crate) content_sum: Option<u64>,
    /// Set for a table that has tombstones or older versions, unless an earlier build wrote it.
    pub(crate) reclaimable: Option<Reclaimable>,
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
            reclaimable: (table.sum.tombstones + table.older_versions > 0).then_some(Reclaimable {
                older_versions: table.older_versions,
                created_micros: table.created_micros,
            }),
        }
    }

    /// Entries whose key has a newer entry in the table; 0 if that is not known.
    pub(crate) fn older_versions(&self) -> u64 {
        self.reclaimable.map_or(0, |found| found.older_versions)
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
            puts: self.entries.saturating_sub(self.tombstones),
            tombstones: self.tombstones,
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
        let most = self.tombstones.max(self.older_versions());
        if most > self.entries || self.entries == 0 || self.number.0 == 0 {
            return fault("its counts are impossible");
        }
        Ok(())
    }
}

/// The name of its memory in errors.
const EDIT: &str = "an edit of the manifest";

/// One change to the set of live files. Removals apply before additions: a trivial move is both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VersionEdit {
    pub(crate) format_version: Option<u64>,
    pub(crate) comparator: Option<Vec<u8>>,
    pub(crate) keyspace: Option<u64>,
    /// Random and not 0. A manifest that an earlier build began has none.
    pub(crate) database: Option<u32>,
    /// Logs with a smaller number are no longer needed.
    pub(super) log_number: Option<FileNumber>,
    /// A log with a synced record. It exists unless `log_number` is larger.
    pub(super) synced_log: Option<FileNumber>,
    /// No file has this number or a larger one yet. The version set fills it in.
    pub(crate) next_file_number: Option<FileNumber>,
    /// At least the largest sequence number in any table.
    pub(crate) last_sequence: Option<SequenceNumber>,
    pub(crate) added: Vec<(usize, TableInfo)>,
    pub(crate) removed: Vec<(usize, FileNumber)>,
}

impl VersionEdit {
    /// Makes `log` the oldest needed one. Its name must be durable (FLUSH-2), because from now on its absence is
    /// damage.
    pub(crate) fn begin_logs_with(&mut self, log: FileNumber, _: &DurableName) {
        self.log_number = Some(log);
    }

    /// An edit that makes `log` the oldest needed one, without a proof that its name is durable.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn of_log(log: FileNumber) -> VersionEdit {
        VersionEdit {
            log_number: Some(log),
            ..VersionEdit::default()
        }
    }

    /// The oldest needed log, if the edit changes it.
    pub(crate) fn log_number(&self) -> Option<FileNumber> {
        self.log_number
    }

    /// A log with a synced record, if the edit names one.
    pub(crate) fn synced_log(&self) -> Option<FileNumber> {
        self.synced_log
    }

    /// Adds a table to `level`.
    pub(crate) fn add(&mut self, level: usize, table: TableInfo) {
        debug_assert!(level < LEVELS && table.check().is_ok(), "EDIT-2");
        self.added.push((level, table));
    }

    /// Removes a table from `level`.
    pub(crate) fn remove(&mut self, level: usize, number: FileNumber) {
        debug_assert!(level < LEVELS, "EDIT-2");
        self.removed.push((level, number));
    }

    /// Appends the encoded edit.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        let mut number = |tag: u64, value: Option<u64>| {
            if let Some(value) = value {
                put_varint(out, tag);
                put_varint(out, value);
            }
        };
        number(TAG_FORMAT_VERSION, self.format_version);
        number(TAG_KEYSPACE, self.keyspace);
        number(TAG_DATABASE, self.database.map(u64::from));
        number(TAG_LOG_NUMBER, self.log_number.map(|number| number.0));
        number(TAG_SYNCED_LOG, self.synced_log.map(|number| number.0));
        number(
            TAG_NEXT_FILE_NUMBER,
            self.next_file_number.map(|number| number.0),
        );
        number(TAG_LAST_SEQUENCE, self.last_sequence.map(|number| number.0));
        if let Some(comparator) = &self.comparator {
            put_varint(out, TAG_COMPARATOR);
            put_length_prefixed(out, comparator);
        }
        for (level, number) in &self.removed {
            put_varint(out, TAG_REMOVED);
            put_varint(out, *level as u64);
            put_varint(out, number.0);
        }
        for (level, table) in &self.added {
            let tag = match table.content_sum {
                Some(_) => TAG_ADDED,
                None => TAG_ADDED_WITHOUT_TAIL,
            };
            put_varint(out, tag);
            put_varint(out, *level as u64);
            for value in [table.number.0, table.file_id, table.size] {
                put_varint(out, value);
            }
            put_length_prefixed(out, &table.smallest);
            put_length_prefixed(out, &table.largest);
            for value in [
                table.smallest_sequence.0,
                table.largest_sequence.0,
                table.entries,
                table.tombstones,
            ] {
                put_varint(out, value);
            }
            if let Some(sum) = table.content_sum {
                let mut tail = Vec::new();
                put_varint(&mut tail, TAIL_CONTENT_SUM);
                put_length_prefixed(&mut tail, &sum.to_le_bytes());
                if table.shortened != Shortened::default() {
                    put_varint(&mut tail, TAIL_SHORTENED);
                    put_length_prefixed(&mut tail, &[table.shortened.bits()]);
                }
                if let Some(found) = table.reclaimable {
                    let mut content = Vec::new();
                    put_varint(&mut content, found.older_versions);
                    put_varint(&mut content, found.created_micros);
                    put_varint(&mut tail, TAIL_RECLAIMABLE);
                    put_length_prefixed(&mut tail, &content);
                }
                put_length_prefixed(out, &tail);
            }
        }
    }

    /// Decodes an edit.
    ///
    /// For damage returns `Internal`; the caller turns that into `Corruption` with file and offset. An unknown tag, a
    /// newer format, another comparator or keyspace is `Unsupported`.
    pub(crate) fn decode(encoded: &[u8]) -> Result<VersionEdit> {
        let mut input = encoded;
        let mut edit = VersionEdit::default();
        while !input.is_empty() {
            edit.decode_field(&mut input)?;
        }
        edit.check_meaning()?;
        Ok(edit)
    }

    fn decode_field(&mut self, input: &mut &[u8]) -> Result<()> {
        let tag = varint(input)?;
        match tag {
            TAG_FORMAT_VERSION => once(&mut self.format_version, varint(input)?),
            TAG_COMPARATOR => once(&mut self.comparator, memory::copy_of(bytes(input)?, EDIT)?),
            // The fields after it are about that keyspace, until the next such field.
            TAG_KEYSPACE => match varint(input)? {
                DEFAULT_KEYSPACE => {
                    self.keyspace = Some(DEFAULT_KEYSPACE);
                    Ok(())
                }
                keyspace => Err(Error::unsupported(format!("keyspace {keyspace}"))),
            },
            TAG_DATABASE => match u32::try_from(varint(input)?) {
                Ok(database @ 1..) => once(&mut self.database, database),
                _ => Err(Error::internal("the database's id is impossible")),
            },
            TAG_FEATURE => Err(Error::unsupported(format!(
                "the database uses the feature {:?}, which this build does not know",
                String::from_utf8_lossy(bytes(input)?)
            ))),
            TAG_LOG_NUMBER => once(&mut self.log_number, FileNumber(varint(input)?)),
            TAG_SYNCED_LOG => once(&mut self.synced_log, FileNumber(varint(input)?)),
            TAG_NEXT_FILE_NUMBER => once(&mut self.next_file_number, FileNumber(varint(input)?)),
            TAG_LAST_SEQUENCE => once(&mut self.last_sequence, SequenceNumber(varint(input)?)),
            TAG_ADDED | TAG_ADDED_WITHOUT_TAIL => {
                let level = level(input)?;
                let mut table = TableInfo {
                    number: FileNumber(varint(input)?),
                    file_id: varint(input)?,
                    size: varint(input)?,
                    smallest: memory::copy_of(bytes(input)?, EDIT)?,
                    largest: memory::copy_of(bytes(input)?, EDIT)?,
                    shortened: Shortened::default(),
                    smallest_sequence: SequenceNumber(varint(input)?),
                    largest_sequence: SequenceNumber(varint(input)?),
                    entries: varint(input)?,
                    tombstones: varint(input)?,
                    content_sum: None,
                    reclaimable: None,
                };
                if tag == TAG_ADDED {
                    table.decode_tail(bytes(input)?)?;
                }
                table.check()?;
                memory::push(&mut self.added, (level, table), EDIT)
            }
            TAG_REMOVED => {
                let level = level(input)?;
                memory::push(&mut self.removed, (level, FileNumber(varint(input)?)), EDIT)
            }
            FIRST_SKIPPABLE.. => bytes(input).map(|_| ()),
            _ => Err(Error::unsupported(format!(
                "a version edit with field {tag}; this build knows 1 to {LAST_TAG}"
            ))),
        }
    }

    /// Refuses an edit that this build would misread.
    fn check_meaning(&self) -> Result<()> {
        if let Some(version) = self.format_version
            && !(1..=FORMAT_VERSION).contains(&version)
        {
            return Err(Error::unsupported(format!(
                "database format {version}; this build reads formats 1 to {FORMAT_VERSION}"
            )));
        }
        if let Some(comparator) = &self.comparator
            && comparator != COMPARATOR
        {
            return Err(Error::unsupported(format!(
                "keys ordered by {:?}; this build orders them bytewise",
                String::from_utf8_lossy(comparator)
            )));
        }
        if self
            .next_file_number
            .is_some_and(|next| next.0 > LAST_FIRST_NUMBER)
        {
            return Err(Error::internal("its next file number is too large"));
        }
        if self
            .last_sequence
            .is_some_and(|last| last > SequenceNumber::MAX)
        {
            return Err(Error::internal("its last sequence number is too large"));
        }
        Ok(())
    }
}

/// Stores a field that an edit has at most once.
fn once<T>(field: &mut Option<T>, value: T) -> Result<()> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::internal("a version edit has a field twice")),
    }
}

fn short() -> Error {
    Error::internal("a version edit ends inside a field")
}

fn varint(input: &mut &[u8]) -> Result<u64> {
    get_varint(input).ok_or_else(short)
}

fn bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    get_length_prefixed(input).ok_or_else(short)
}

fn level(input: &mut &[u8]) -> Result<usize> {
    match usize::try_from(varint(input)?) {
        Ok(level) if level < LEVELS => Ok(level),
        _ => Err(Error::internal(
            "a version edit names a level that does not exist",
        )),
    }
}

#[cfg(test)]
mod tests {
    use aidb_test_data::Random;

    use super::*;
    use crate::error::ErrorKind;
    use crate::key::{Trailer, ValueKind};

    fn table(number: u64) -> TableInfo {
        let key = |user_key: &[u8], sequence| {
            KeyRef::new(
                user_key,
                Trailer::new(SequenceNumber(sequence), ValueKind::Put),
            )
            .to_vec()
        };
        TableInfo {
            number: FileNumber(number),
            file_id: 0x0123_4567_89ab_cdef,
            size: 4096,
            smallest: key(b"a", 9),
            largest: key(b"b", 3),
            shortened: Shortened::default(),
            smallest_sequence: SequenceNumber(3),
            largest_sequence: SequenceNumber(9),
            entries: 2,
            tombstones: 0,
            content_sum: Some(0x1122_3344_5566_7788),
            reclaimable: None,
        }
    }

    fn full() -> VersionEdit {
        let mut edit = VersionEdit {
            format_version: Some(FORMAT_VERSION),
            comparator: Some(COMPARATOR.to_vec()),
            keyspace: Some(DEFAULT_KEYSPACE),
            database: Some(0x1234_5678),
            log_number: Some(FileNumber(7)),
            next_file_number: Some(FileNumber(300)),
            last_sequence: Some(SequenceNumber::MAX),
            ..VersionEdit::default()
        };
        edit.add(0, table(12));
        edit.add(6, table(13));
        let with_older_versions = TableInfo {
            reclaimable: Some(Reclaimable {
                older_versions: 1,
                created_micros: 1 << 50,
            }),
            ..table(15)
        };
        edit.add(5, with_older_versions);
        for (number, smallest, largest) in [(16, true, false), (17, false, true), (18, true, true)]
        {
            let shortened = Shortened { smallest, largest };
            let table = TableInfo {
                shortened,
                ..table(number)
            };
            edit.add(4, table);
        }
        let of_version_1 = TableInfo {
            content_sum: None,
            ..table(14)
        };
        edit.add(6, of_version_1);
        edit.remove(0, FileNumber(1));
        edit
    }

    fn encode(edit: &VersionEdit) -> Vec<u8> {
        let mut out = Vec::new();
        edit.encode_to(&mut out);
        out
    }

    #[test]
    fn encoding_round_trips() {
        for edit in [VersionEdit::default(), full()] {
            assert_eq!(VersionEdit::decode(&encode(&edit)).unwrap(), edit);
        }
    }

    #[test]
    fn what_a_tables_entries_come_to_is_known_unless_version_1_wrote_it() {
        let known = TableInfo {
            entries: 7,
            tombstones: 3,
            ..table(12)
        };
        let sum = Sum {
            terms: 0x1122_3344_5566_7788,
            puts: 4,
            tombstones: 3,
        };
        assert_eq!(known.content(), Some(sum));
        let of_version_1 = TableInfo {
            content_sum: None,
            ..known
        };
        assert_eq!(of_version_1.content(), None);
    }

    #[test]
    fn the_example_in_the_document_is_what_is_written() {
        let mut edit = VersionEdit {
            log_number: Some(FileNumber(7)),
            next_file_number: Some(FileNumber(13)),
            ..VersionEdit::default()
        };
        edit.remove(0, FileNumber(9));
        edit.add(
            1,
            TableInfo {
                number: FileNumber(12),
                file_id: 0x55,
                size: 300,
                ..table(1)
            },
        );
        let (_, text) = include_str!("../../../docs/format.md")
            .split_once("<!-- replay: edit -->")
            .unwrap();
        let lines = text.split("```").nth(1).unwrap().lines().skip(1);
        let digits = lines.map(|line| line.split("  ").next().unwrap_or_default());
        let documented: Vec<&str> = digits.filter(|digits| !digits.is_empty()).collect();
        let hex: Vec<String> = encode(&edit).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex.join(" "), documented.join(" "));
    }

    #[test]
    fn a_cut_edit_is_refused_or_is_a_whole_shorter_one() {
        let encoded = encode(&full());
        for cut in 0..encoded.len() {
            if let Ok(edit) = VersionEdit::decode(&encoded[..cut]) {
                assert_eq!(encode(&edit), &encoded[..cut], "cut to {cut}");
            }
        }
    }

    #[test]
    fn a_feature_that_is_not_known_is_named() {
        let mut encoded = encode(&full());
        put_varint(&mut encoded, TAG_FEATURE);
        put_length_prefixed(&mut encoded, b"range-delete");
        let error = VersionEdit::decode(&encoded).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("\"range-delete\""), "{error}");
    }

    #[test]
    fn the_id_of_a_database_has_four_bytes_and_is_not_zero() {
        for (id, is_one) in [
            (0, false),
            (1, true),
            (u32::MAX as u64, true),
            (1 << 32, false),
        ] {
            let mut encoded = vec![TAG_DATABASE as u8];
            put_varint(&mut encoded, id);
            let found = VersionEdit::decode(&encoded).map(|edit| edit.database);
            assert_eq!(found.ok().flatten().is_some(), is_one, "{id}");
        }
    }

    #[test]
    fn an_edit_may_say_its_keyspace_more_than_once() {
        let mut edit = full();
        let mut encoded = encode(&edit);
        encoded.extend_from_slice(&[TAG_KEYSPACE as u8, 0, TAG_REMOVED as u8, 1, 77]);
        edit.removed.push((1, FileNumber(77)));
        assert_eq!(VersionEdit::decode(&encoded).unwrap(), edit);
    }

    #[test]
    fn what_a_newer_build_wrote_is_unsupported() {
        let mut edits = vec![
            vec![LAST_TAG as u8 + 1, 0],
            vec![0],
            vec![FIRST_SKIPPABLE as u8 - 1, 0],
        ];
        let newer = VersionEdit {
            format_version: Some(FORMAT_VERSION + 1),
            ..VersionEdit::default()
        };
        let reversed = VersionEdit {
            comparator: Some(b"reverse".to_vec()),
            ..VersionEdit::default()
        };
        let keyspace = VersionEdit {
            keyspace: Some(1),
            ..VersionEdit::default()
        };
        edits.extend([newer, reversed, keyspace].iter().map(encode));
        for encoded in edits {
            let error = VersionEdit::decode(&encoded).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn a_tail_with_what_a_reader_needs_is_refused_and_with_what_it_can_do_without_is_passed_over() {
        let with = |fields: &[u8]| {
            let mut edit = VersionEdit::default();
            edit.add(1, table(12));
            let mut encoded = encode(&edit);
            // The tail is 10 bytes after its length, at the end.
            let length = encoded.len() - 11;
            assert_eq!(encoded[length], 10);
            encoded[length] += fields.len() as u8;
            encoded.extend_from_slice(fields);
            VersionEdit::decode(&encoded)
        };
        let unknown = LAST_TAIL as u8 + 1;
        for fields in [[unknown, 0], [0, 0], [FIRST_SKIPPABLE as u8 - 1, 0]] {
            let error = with(&fields).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
        let edit = with(&[FIRST_SKIPPABLE as u8 + 1, 3, 1, 2, 3]).unwrap();
        assert_eq!(edit.added, [(1, table(12))]);
        let known = TAIL_RECLAIMABLE as u8;
        assert_eq!(
            with(&[known, 2, 1, 7]).unwrap().added[0].1.reclaimable,
            Some(Reclaimable {
                older_versions: 1,
                created_micros: 7
            })
        );
        let shortened = TAIL_SHORTENED as u8;
        let impossible: [&[u8]; 7] = [
            &[known, 1, 1],
            &[known, 3, 1, 7, 7],
            &[known, 2, 1, 7, known, 2, 1, 7],
            &[shortened, 1, 0],
            &[shortened, 1, 4],
            &[shortened, 2, 1, 1],
            &[shortened, 1, 1, shortened, 1, 2],
        ];
        for fields in impossible {
            assert!(with(fields).is_err(), "{fields:?}");
        }
    }

    /// EDIT-2.
    #[test]
    fn impossible_content_is_refused() {
        let spoil: [fn(&mut TableInfo); 8] = [
            |table| {
                table.reclaimable = Some(Reclaimable {
                    older_versions: 3,
                    created_micros: 0,
                });
            },
            |table| table.smallest.truncate(7),
            |table| std::mem::swap(&mut table.smallest, &mut table.largest),
            |table| table.smallest_sequence = SequenceNumber(10),
            |table| table.largest_sequence = SequenceNumber(u64::MAX),
            |table| table.tombstones = 3,
            |table| table.entries = 0,
            |table| table.number = FileNumber(0),
        ];
        for spoil in spoil {
            let mut edit = VersionEdit::default();
            let mut table = table(5);
            spoil(&mut table);
            edit.added.push((0, table));
            assert!(VersionEdit::decode(&encode(&edit)).is_err(), "{edit:?}");
        }
        let level = VersionEdit {
            removed: vec![(LEVELS, FileNumber(1))],
            ..VersionEdit::default()
        };
        assert!(VersionEdit::decode(&encode(&level)).is_err());
        let twice = [TAG_LOG_NUMBER as u8, 1, TAG_LOG_NUMBER as u8, 2];
        assert!(VersionEdit::decode(&twice).is_err());
    }

    /// EDIT-1.
    #[test]
    fn random_bytes_and_random_flips_never_panic() {
        let mut random = Random::new(1);
        let encoded = encode(&full());
        for _ in 0..20_000 {
            let length = random.index(60);
            let noise: Vec<u8> = (0..length).map(|_| random.below(12) as u8).collect();
            let _ = VersionEdit::decode(&noise);
            let mut flipped = encoded.clone();
            let place = random.index(flipped.len());
            flipped[place] ^= 1 << random.below(8);
            let _ = VersionEdit::decode(&flipped);
        }
    }
}
