//! `VersionEdit`: one change to the set of live files, as the manifest stores it.
//!
//! Layout: docs/format.md, "Version edit". An edit is a row of fields, each a tag and its content, in any order.
//! A tag that this build does not know is `Unsupported`, because a reader may need it. Only unknown tags from
//! [`FIRST_SKIPPABLE`] on are skipped; a later build may use them for fields that a reader can ignore.
//!
//! * EDIT-1  Decoding never panics and allocates no more than the bytes it was given.
//!
//! Elsewhere: the facts about an added table (`table_info.rs`), where a file stores edits (`manifest/`), and how
//! they change a version (`builder.rs`).

use super::features::Features;
use super::field::{bytes, once, varint};
use super::table_info::TableInfo;
use crate::coding::{FIRST_SKIPPABLE, put_length_prefixed, put_varint};
use crate::error::{Error, Result};
use crate::filename::LAST_FIRST_NUMBER;
use crate::key::{FileNumber, SequenceNumber};
use crate::memory;
use crate::wal::DurableLog;

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

/// The name of its memory in errors.
const EDIT: &str = "an edit of the manifest";

/// One change to the set of live files. Removals apply before additions: a trivial move is both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VersionEdit {
    pub(crate) format_version: Option<u64>,
    pub(crate) comparator: Option<Vec<u8>>,
    /// Features that the database has from now on.
    pub(crate) features: Features,
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
    pub(crate) fn begin_logs_with(&mut self, log: &DurableLog) {
        self.log_number = Some(log.number());
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

    /// Appends the encoded edit. The features come first, because an unknown one may be why a reader does not
    /// understand what follows.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        self.features.encode_to(TAG_FEATURE, out);
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
            table.encode_to(out);
        }
    }

    /// Decodes an edit.
    ///
    /// For damage returns `Internal`; the caller turns that into `Corruption` with file and offset. An unknown tag, a
    /// newer format, another comparator or keyspace is `Unsupported`. Who applies the edit must check its features
    /// first ([`Features::check_known`]).
    pub(crate) fn decode(encoded: &[u8]) -> Result<VersionEdit> {
        let mut input = encoded;
        let mut edit = VersionEdit::default();
        while !input.is_empty() {
            if let Err(error) = edit.decode_field(&mut input) {
                // An unknown feature explains an unknown field.
                return edit.features.check_known().and(Err(error));
            }
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
            TAG_FEATURE => self.features.decode_one(input),
            TAG_LOG_NUMBER => once(&mut self.log_number, FileNumber(varint(input)?)),
            TAG_SYNCED_LOG => once(&mut self.synced_log, FileNumber(varint(input)?)),
            TAG_NEXT_FILE_NUMBER => once(&mut self.next_file_number, FileNumber(varint(input)?)),
            TAG_LAST_SEQUENCE => once(&mut self.last_sequence, SequenceNumber(varint(input)?)),
            TAG_ADDED | TAG_ADDED_WITHOUT_TAIL => {
                let level = level(input)?;
                let table = TableInfo::decode(input, tag == TAG_ADDED)?;
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

    use super::super::table_info::tests::example;
    use super::super::table_info::{Reclaimable, Shortened};
    use super::*;
    use crate::error::ErrorKind;

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
        edit.add(0, example(12));
        edit.add(6, example(13));
        let with_older_versions = TableInfo {
            reclaimable: Some(Reclaimable {
                older_versions: 1,
                created_micros: 1 << 50,
            }),
            ..example(15)
        };
        edit.add(5, with_older_versions);
        for (number, smallest, largest) in [(16, true, false), (17, false, true), (18, true, true)]
        {
            let shortened = Shortened { smallest, largest };
            let table = TableInfo {
                shortened,
                ..example(number)
            };
            edit.add(4, table);
        }
        let of_version_1 = TableInfo {
            content_sum: None,
            ..example(14)
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
                ..example(1)
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
    fn features_are_encoded_first_and_an_unknown_one_explains_an_unknown_field() {
        let mut edit = full();
        edit.features = Features::named(&["merge", "expiry"]);
        let mut encoded = encode(&edit);
        assert_eq!(encoded[..15], *b"\x0c\x06expiry\x0c\x05merge");
        assert_eq!(VersionEdit::decode(&encoded).unwrap(), edit);
        encoded.extend_from_slice(&[LAST_TAG as u8 + 1, 0]);
        let error = VersionEdit::decode(&encoded).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let message = error.message();
        assert!(message.contains("\"expiry\" and \"merge\""), "{error}");
        // With known features it is the field that is named.
        edit.features = Features::known_to_tests();
        let mut encoded = encode(&edit);
        encoded.extend_from_slice(&[LAST_TAG as u8 + 1, 0]);
        let error = VersionEdit::decode(&encoded).unwrap_err();
        assert!(error.message().contains("field 13"), "{error}");
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
    fn a_level_that_does_not_exist_and_a_field_twice_are_refused() {
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
