//! `VersionEdit`: one change to the set of live files, as the manifest stores it.
//!
//! Layout: docs/format.md, "Version edit". An edit is a row of fields, each a tag and its content, in any order.
//! A tag that this build does not know is `Unsupported`, because a reader may need it. Only unknown tags from
//! [`FIRST_SKIPPABLE`] on are skipped; a later build may use them for fields that a reader can ignore.
//!
//! * EDIT-1  Decoding never panics and allocates no more than the bytes it was given.
//! * EDIT-3  An edit has one part for each keyspace that it changes: the edit itself, and `others`. What is about the
//!           whole database is in the edit itself.
//!
//! Elsewhere: the facts about an added table (`table_info.rs`), where a file stores edits (`manifest/`), and how
//! they change a version (`builder.rs`).

use super::features::Features;
use super::field::{bytes, once, varint};
use super::settings::Settings;
use super::table_info::TableInfo;
use crate::coding::{FIRST_SKIPPABLE, put_length_prefixed, put_varint};
use crate::error::{Error, Result};
use crate::filename::LAST_FIRST_NUMBER;
use crate::key::{FileNumber, KeyspaceId, SequenceNumber};
use crate::memory;
use crate::wal::DurableLog;

/// The number of levels: 0 to 6.
pub(crate) const LEVELS: usize = 7;
/// The version of the whole database's format. Version 1, which this build reads too, has no content sums.
pub(crate) const FORMAT_VERSION: u64 = 2;
/// The order of keys.
pub(crate) const COMPARATOR: &[u8] = b"bytewise";
/// The longest name of a keyspace, in bytes.
pub(crate) const MAX_KEYSPACE_NAME_BYTES: usize = 255;

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
/// A setting of a keyspace: its name and its value; one field per setting.
const TAG_SETTING: u64 = 13;
/// The name of a keyspace: makes it, or names it anew.
const TAG_KEYSPACE_NAME: u64 = 14;
/// A keyspace is dropped. It has no content.
const TAG_DROPPED: u64 = 15;
const TAG_NEXT_KEYSPACE: u64 = 16;
const TAG_LAST_NUMBER: u64 = 17;
const LAST_TAG: u64 = TAG_LAST_NUMBER;

/// An edit that changes more keyspaces is damaged.
const MAX_PARTS: usize = 4096;
/// No keyspace gets this id.
const KEYSPACE_LIMIT: u64 = 1 << 56;

/// The name of its memory in errors.
const EDIT: &str = "an edit of the manifest";

/// One change to the set of live files. Removals apply before additions: a trivial move is both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VersionEdit {
    pub(crate) format_version: Option<u64>,
    pub(crate) comparator: Option<Vec<u8>>,
    /// Features that the database has from now on.
    pub(crate) features: Features,
    /// The keyspace that it is about, as far as it is not about the whole database; `None`: the default one.
    pub(crate) keyspace: Option<KeyspaceId>,
    /// The name that this keyspace has from now on. If there is no such keyspace, the edit makes it.
    pub(crate) name: Option<String>,
    /// Changes of what this keyspace is set to.
    pub(crate) settings: Settings,
    /// Whether this keyspace is dropped, with its tables.
    pub(crate) drops: bool,
    /// No keyspace has this id or a larger one yet.
    pub(crate) next_keyspace: Option<KeyspaceId>,
    /// No write to a dropped keyspace has a larger number.
    pub(crate) last_number: Option<SequenceNumber>,
    /// Random and not 0. A manifest that an earlier build began has none.
    pub(crate) database: Option<u32>,
    /// Logs with a smaller number are no longer needed.
    pub(super) log_number: Option<FileNumber>,
    /// A log with a synced record. It exists unless `log_number` is larger.
    pub(super) synced_log: Option<FileNumber>,
    /// No file has this number or a larger one yet. The version set fills it in.
    pub(crate) next_file_number: Option<FileNumber>,
    /// At least the largest sequence number in any table of its keyspace, all of whose writes up to that number are in
    /// its tables.
    pub(crate) last_sequence: Option<SequenceNumber>,
    pub(crate) added: Vec<(usize, TableInfo)>,
    pub(crate) removed: Vec<(usize, FileNumber)>,
    /// What it says of other keyspaces (EDIT-3).
    pub(crate) others: Vec<VersionEdit>,
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

    /// Makes `keyspace` the one that the edit is about.
    pub(crate) fn set_keyspace(&mut self, keyspace: KeyspaceId) {
        self.keyspace = Some(keyspace).filter(|id| *id != KeyspaceId::DEFAULT);
    }

    /// The keyspace that it is about, without its other parts.
    pub(crate) fn about(&self) -> KeyspaceId {
        self.keyspace.unwrap_or_default()
    }

    /// What it says of each keyspace (EDIT-3).
    pub(crate) fn parts(&self) -> impl Iterator<Item = &VersionEdit> {
        std::iter::once(self).chain(&self.others)
    }

    /// Whether it changes another keyspace than the default one.
    pub(super) fn concerns_other_keyspaces(&self) -> bool {
        self.parts().any(|part| part.about() != KeyspaceId::DEFAULT)
    }

    /// The tables that it adds, in all of its parts.
    pub(super) fn all_added(&self) -> impl Iterator<Item = &TableInfo> {
        self.parts()
            .flat_map(|part| part.added.iter().map(|(_, table)| table))
    }

    /// Whether this part adds or removes tables, or notes how far its keyspace is flushed.
    pub(super) fn changes_tables(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty() || self.last_sequence.is_some()
    }

    /// Raises the last number of this part to that in the tables that it adds.
    pub(super) fn complete_part(&mut self) {
        let largest = self.added.iter().map(|(_, table)| table.largest_sequence);
        self.last_sequence = largest.chain(self.last_sequence).max();
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
        let mut number = |tag: u64, value: Option<u64>| put_number(out, tag, value);
        number(TAG_FORMAT_VERSION, self.format_version);
        number(TAG_NEXT_KEYSPACE, self.next_keyspace.map(|id| id.0));
        number(TAG_LAST_NUMBER, self.last_number.map(|number| number.0));
        number(TAG_KEYSPACE, self.keyspace.map(|id| id.0));
        number(TAG_DATABASE, self.database.map(u64::from));
        number(TAG_LOG_NUMBER, self.log_number.map(|number| number.0));
        number(TAG_SYNCED_LOG, self.synced_log.map(|number| number.0));
        number(
            TAG_NEXT_FILE_NUMBER,
            self.next_file_number.map(|number| number.0),
        );
        self.encode_part_to(out);
        for part in &self.others {
            debug_assert!(part.others.is_empty(), "EDIT-3");
            put_number(out, TAG_KEYSPACE, Some(part.about().0));
            part.encode_part_to(out);
        }
    }

    /// Appends what is about the keyspace named last.
    fn encode_part_to(&self, out: &mut Vec<u8>) {
        put_number(
            out,
            TAG_LAST_SEQUENCE,
            self.last_sequence.map(|number| number.0),
        );
        if let Some(comparator) = &self.comparator {
            put_varint(out, TAG_COMPARATOR);
            put_length_prefixed(out, comparator);
        }
        if let Some(name) = &self.name {
            put_varint(out, TAG_KEYSPACE_NAME);
            put_length_prefixed(out, name.as_bytes());
        }
        self.settings.encode_to(TAG_SETTING, out);
        if self.drops {
            put_varint(out, TAG_DROPPED);
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
    /// newer format or another comparator is `Unsupported`. Who applies the edit must check its features
    /// first ([`Features::check_known`]).
    pub(crate) fn decode(encoded: &[u8]) -> Result<VersionEdit> {
        let mut input = encoded;
        let mut edit = VersionEdit::default();
        let mut part = 0;
        while !input.is_empty() {
            if let Err(error) = edit.decode_field(&mut input, &mut part) {
                // An unknown feature explains an unknown field.
                return edit.features.check_known().and(Err(error));
            }
        }
        edit.check_meaning()?;
        Ok(edit)
    }

    /// Decodes a field. `part`: which of the parts the fields are about.
    fn decode_field(&mut self, input: &mut &[u8], part: &mut usize) -> Result<()> {
        let tag = varint(input)?;
        match tag {
            TAG_FORMAT_VERSION => once(&mut self.format_version, varint(input)?),
            TAG_COMPARATOR => once(&mut self.comparator, memory::copy_of(bytes(input)?, EDIT)?),
            TAG_KEYSPACE => {
                *part = self.turn_to(KeyspaceId(varint(input)?))?;
                Ok(())
            }
            TAG_DATABASE => match u32::try_from(varint(input)?) {
                Ok(database @ 1..) => once(&mut self.database, database),
                _ => Err(Error::internal("the database's id is impossible")),
            },
            TAG_FEATURE => self.features.decode_one(input),
            TAG_LOG_NUMBER => once(&mut self.log_number, FileNumber(varint(input)?)),
            TAG_SYNCED_LOG => once(&mut self.synced_log, FileNumber(varint(input)?)),
            TAG_NEXT_FILE_NUMBER => once(&mut self.next_file_number, FileNumber(varint(input)?)),
            TAG_NEXT_KEYSPACE => match varint(input)? {
                next @ 1..=KEYSPACE_LIMIT => once(&mut self.next_keyspace, KeyspaceId(next)),
                _ => Err(Error::internal("its next keyspace is impossible")),
            },
            TAG_LAST_NUMBER => once(&mut self.last_number, SequenceNumber(varint(input)?)),
            FIRST_SKIPPABLE.. => bytes(input).map(|_| ()),
            _ => match part.checked_sub(1) {
                None => self.decode_part(tag, input),
                Some(other) => self.others[other].decode_part(tag, input),
            },
        }
    }

    /// Finds the part for keyspace `id`, or begins it. Returns its place: 0 is the edit itself.
    fn turn_to(&mut self, id: KeyspaceId) -> Result<usize> {
        let is_begun =
            self.changes_tables() || self.name.is_some() || !self.settings.is_empty() || self.drops;
        if self.keyspace.is_none() && (!is_begun || id == KeyspaceId::DEFAULT) {
            self.keyspace = Some(id);
        }
        if let Some(place) = self.parts().position(|part| part.about() == id) {
            return Ok(place);
        }
        if id.0 >= KEYSPACE_LIMIT || self.others.len() + 1 >= MAX_PARTS {
            return Err(Error::internal(
                "the keyspaces that it names are impossible",
            ));
        }
        let part = VersionEdit {
            keyspace: Some(id),
            ..VersionEdit::default()
        };
        memory::push(&mut self.others, part, EDIT)?;
        Ok(self.others.len())
    }

    /// Decodes the field `tag` of a part.
    fn decode_part(&mut self, tag: u64, input: &mut &[u8]) -> Result<()> {
        match tag {
            TAG_LAST_SEQUENCE => once(&mut self.last_sequence, SequenceNumber(varint(input)?)),
            TAG_KEYSPACE_NAME => {
                let name = std::str::from_utf8(bytes(input)?).map_err(|_| not_a_name())?;
                match (1..=MAX_KEYSPACE_NAME_BYTES).contains(&name.len()) {
                    true => once(&mut self.name, name.to_owned()),
                    false => Err(not_a_name()),
                }
            }
            TAG_SETTING => self.settings.decode_one(input),
            TAG_DROPPED => {
                self.drops = true;
                Ok(())
            }
            TAG_ADDED | TAG_ADDED_WITHOUT_TAIL => {
                let level = level(input)?;
                let table = TableInfo::decode(input, tag == TAG_ADDED)?;
                memory::push(&mut self.added, (level, table), EDIT)
            }
            TAG_REMOVED => {
                let level = level(input)?;
                memory::push(&mut self.removed, (level, FileNumber(varint(input)?)), EDIT)
            }
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
        let numbers = self.parts().map(|part| part.last_sequence);
        if numbers.chain([self.last_number]).flatten().max() > Some(SequenceNumber::MAX) {
            return Err(Error::internal("its last sequence number is too large"));
        }
        Ok(())
    }
}

fn put_number(out: &mut Vec<u8>, tag: u64, value: Option<u64>) {
    if let Some(value) = value {
        put_varint(out, tag);
        put_varint(out, value);
    }
}

fn not_a_name() -> Error {
    Error::internal("the name of a keyspace is impossible")
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

    use super::super::settings::tests::of as settings_of;
    use super::super::table_info::tests::example;
    use super::super::table_info::{Reclaimable, Shortened};
    use super::*;
    use crate::error::ErrorKind;

    fn full() -> VersionEdit {
        let mut edit = VersionEdit {
            format_version: Some(FORMAT_VERSION),
            comparator: Some(COMPARATOR.to_vec()),
            keyspace: Some(KeyspaceId::DEFAULT),
            database: Some(0x1234_5678),
            log_number: Some(FileNumber(7)),
            next_file_number: Some(FileNumber(300)),
            last_sequence: Some(SequenceNumber::MAX),
            settings: settings_of(&[("a", "1"), ("default_ttl", "")]),
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
        assert!(error.message().contains("field 18"), "{error}");
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

    /// An edit about keyspaces 5, 0 and 7.
    fn of_three() -> VersionEdit {
        let about = |id| VersionEdit {
            keyspace: Some(KeyspaceId(id)),
            ..VersionEdit::default()
        };
        let mut edit = VersionEdit {
            name: Some("music".to_owned()),
            next_keyspace: Some(KeyspaceId(6)),
            last_number: Some(SequenceNumber(44)),
            last_sequence: Some(SequenceNumber(40)),
            ..about(5)
        };
        edit.add(0, example(12));
        let mut default = about(0);
        default.last_sequence = Some(SequenceNumber(41));
        default.remove(3, FileNumber(9));
        let mut dropped = about(7);
        dropped.drops = true;
        edit.others = vec![default, dropped];
        edit
    }

    /// EDIT-3.
    #[test]
    fn fields_are_about_the_keyspace_named_before_them() {
        let edit = of_three();
        let mut encoded = encode(&edit);
        assert_eq!(VersionEdit::decode(&encoded).unwrap(), edit);
        assert_eq!(edit.parts().count(), 3);
        // Back to the first, and to the second.
        for (keyspace, number) in [(5, 50), (0, 51)] {
            let tags = [TAG_KEYSPACE as u8, keyspace, TAG_REMOVED as u8, 1, number];
            encoded.extend_from_slice(&tags);
        }
        let decoded = VersionEdit::decode(&encoded).unwrap();
        assert_eq!(decoded.removed, [(1, FileNumber(50))]);
        let of_default = [(3, FileNumber(9)), (1, FileNumber(51))];
        assert_eq!(decoded.others[0].removed, of_default);
        // What comes before any name is about the default keyspace.
        let removal = |number| [TAG_REMOVED as u8, 1, number];
        let unnamed = [&removal(1)[..], &[TAG_KEYSPACE as u8, 4], &removal(2)].concat();
        let decoded = VersionEdit::decode(&unnamed).unwrap();
        assert_eq!(decoded.about(), KeyspaceId::DEFAULT);
        assert_eq!(decoded.removed, [(1, FileNumber(1))]);
        assert_eq!(decoded.others[0].about(), KeyspaceId(4));
        assert_eq!(decoded.others[0].removed, [(1, FileNumber(2))]);
    }

    #[test]
    fn impossible_keyspaces_are_refused() {
        let name = |bytes: &[u8]| {
            let mut encoded = vec![TAG_KEYSPACE as u8, 1, TAG_KEYSPACE_NAME as u8];
            put_length_prefixed(&mut encoded, bytes);
            VersionEdit::decode(&encoded)
        };
        let longest = [b'n'; MAX_KEYSPACE_NAME_BYTES];
        let good = [&b"n"[..], "\u{e9}".as_bytes(), b"a/b \0", &longest];
        assert!(good.iter().all(|bytes| name(bytes).is_ok()));
        let long = [b'n'; MAX_KEYSPACE_NAME_BYTES + 1];
        for bytes in [&b""[..], b"\xff", &long] {
            assert_eq!(name(bytes).unwrap_err().kind(), ErrorKind::Internal);
        }
        let number = |tag: u64, value: u64| {
            let mut encoded = Vec::new();
            put_number(&mut encoded, TAG_KEYSPACE, Some(1));
            put_number(&mut encoded, tag, Some(value));
            VersionEdit::decode(&encoded).is_ok()
        };
        for (tag, least, most) in [
            (TAG_KEYSPACE, 0, KEYSPACE_LIMIT - 1),
            (TAG_NEXT_KEYSPACE, 1, KEYSPACE_LIMIT),
            (TAG_LAST_NUMBER, 0, SequenceNumber::MAX.0),
            (TAG_LAST_SEQUENCE, 0, SequenceNumber::MAX.0),
        ] {
            assert!(number(tag, least) && number(tag, most), "field {tag}");
            assert!(!number(tag, most + 1), "field {tag}");
        }
        assert!(!number(TAG_NEXT_KEYSPACE, 0));
        let parts = |count: u64| {
            let mut encoded = Vec::new();
            (0..count).for_each(|id| put_number(&mut encoded, TAG_KEYSPACE, Some(id)));
            VersionEdit::decode(&encoded).is_ok()
        };
        assert!(parts(MAX_PARTS as u64) && !parts(MAX_PARTS as u64 + 1));
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
        edits.extend([newer, reversed].iter().map(encode));
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
        let mut whole = full();
        whole.others = of_three().others;
        let encoded = encode(&whole);
        for _ in 0..20_000 {
            let length = random.index(60);
            let noise: Vec<u8> = (0..length)
                .map(|_| random.below(LAST_TAG + 1) as u8)
                .collect();
            let _ = VersionEdit::decode(&noise);
            let mut flipped = encoded.clone();
            let place = random.index(flipped.len());
            flipped[place] ^= 1 << random.below(8);
            let _ = VersionEdit::decode(&flipped);
        }
    }
}
