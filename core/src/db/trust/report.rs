//! The reports of `DB::verify` and `DB::repair`.

use std::fmt::Write;
use std::path::PathBuf;

use crate::db::json::json_text;
use crate::error::{Error, ErrorKind};
use crate::key::SequenceNumber;

/// At most this many damaged places are listed; the rest are only counted.
const MAX_LISTED: usize = 1000;

/// The progress of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes checked so far.
    pub bytes_done: u64,
    /// Bytes of all files to check.
    pub bytes_total: u64,
}

/// One place on disk that is not as it was written, or that some way of reading reads wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file; the database's directory if the error is in reading all of it together.
    pub file: PathBuf,
    /// The offset in the file, in bytes, at which the damaged block or record begins.
    pub offset: u64,
    /// What is wrong, in a sentence for a person.
    pub message: String,
    /// `Corruption` if the bytes are not what was written, `Io` if they cannot be read, `Unsupported` if a newer AiDb
    /// wrote them; `Internal` if they are right but some way of reading does not find them: a bug in AiDb.
    pub kind: ErrorKind,
}

impl Damage {
    /// The damage that `error` reports, found in `file` at `offset`; if the error has a place of its own, that
    /// one is used.
    pub(super) fn new(file: PathBuf, offset: u64, error: &Error) -> Damage {
        match error.place() {
            Some((path, offset)) => Damage {
                file: path.to_path_buf(),
                offset,
                message: error.detail().to_owned(),
                kind: error.kind(),
            },
            None => Damage {
                file,
                offset,
                message: error.to_string(),
                kind: error.kind(),
            },
        }
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Tables checked.
    pub tables: u64,
    /// Entries in their undamaged blocks, tombstones and overwritten ones included.
    pub entries: u64,
    /// Logs checked.
    pub logs: u64,
    /// Their undamaged records: one per batch.
    pub records: u64,
    /// Bytes of all files checked.
    pub bytes: u64,
    /// The damage, in the order it was found; of more than 1000 places the first 1000.
    pub damage: Vec<Damage>,
    /// How many damaged places there are.
    pub damaged_places: u64,
    /// Whether everything was checked; false if the progress callback ended the verification.
    pub is_complete: bool,
}

impl VerifyReport {
    /// Whether everything was checked and nothing is damaged.
    pub fn is_ok(&self) -> bool {
        self.is_complete && self.damaged_places == 0
    }

    pub(super) fn add(&mut self, damage: Damage) {
        self.damaged_places += 1;
        if self.damage.len() < MAX_LISTED {
            self.damage.push(damage);
        }
    }

    /// The same as a JSON object; the fields keep their names, `is_ok` is one of them.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        let _ = write!(
            out,
            "\"is_ok\":{},\"is_complete\":{},\"tables\":{},\"entries\":{},\"logs\":{},\"records\":{},\
             \"bytes\":{},\"damaged_places\":{},\"damage\":[",
            self.is_ok(),
            self.is_complete,
            self.tables,
            self.entries,
            self.logs,
            self.records,
            self.bytes,
            self.damaged_places
        );
        for (index, damage) in self.damage.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                out,
                "{comma}{{\"file\":{},\"offset\":{},\"message\":{},\"kind\":\"{}\"}}",
                json_text(&damage.file.to_string_lossy()),
                damage.offset,
                json_text(&damage.message),
                damage.kind.name()
            );
        }
        out.push_str("]}");
        out
    }
}

/// A part of a file that a repair could not read, or a table that it read completely but whose entries are not
/// those it should have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Loss {
    /// The file.
    pub file: PathBuf,
    /// The bytes `[offset, end)` could not be read. Both are 0 if the file is missing, or if all of its blocks
    /// could be read but their entries are not those that the manifest or the table's own properties state.
    pub offset: u64,
    /// See `offset`.
    pub end: u64,
    /// What is wrong, in a sentence for a person.
    pub message: String,
    /// All lost keys are >= this key; `None` if unknown.
    pub smallest_key: Option<Vec<u8>>,
    /// All lost keys are <= this key; `None` if unknown.
    pub largest_key: Option<Vec<u8>>,
    /// Writes from this sequence number on may be lost; `None` if unknown.
    pub first_sequence: Option<SequenceNumber>,
    /// Writes up to this sequence number may be lost; `None` if unknown.
    pub last_sequence: Option<SequenceNumber>,
}

impl Loss {
    /// The loss of `[offset, end)` of `file` that `error` reports.
    pub(super) fn new(file: PathBuf, offset: u64, end: u64, error: &Error) -> Loss {
        let damage = Damage::new(file, offset, error);
        Loss {
            file: damage.file,
            offset: damage.offset,
            end: end.max(damage.offset),
            message: damage.message,
            ..Loss::default()
        }
    }
}

/// What a repair read, wrote and lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Tables of which at least a part was read.
    pub tables: u64,
    /// Entries read from them, tombstones and overwritten ones included.
    pub table_entries: u64,
    /// Logs of which at least a part was read.
    pub logs: u64,
    /// Records read from them: one per batch.
    pub log_records: u64,
    /// Entries of the new database: one per key that has a value.
    pub entries_written: u64,
    /// The last sequence number of the new database; later writes get the numbers after it.
    pub last_sequence: SequenceNumber,
    /// The parts that could not be read, and the tables with entries other than they should have; if more than
    /// 1000, the first 1000.
    pub lost: Vec<Loss>,
    /// The number of all of these.
    pub lost_places: u64,
}

impl RepairReport {
    /// Whether everything could be read and is as it should be.
    pub fn is_ok(&self) -> bool {
        self.lost_places == 0
    }

    pub(super) fn add(&mut self, loss: Loss) {
        debug_assert!(
            loss.offset <= loss.end,
            "a part of a file begins before it ends"
        );
        self.lost_places += 1;
        if self.lost.len() < MAX_LISTED {
            self.lost.push(loss);
        }
    }

    /// The same as a JSON object; the fields keep their names, `is_ok` is one of them. Keys are in hexadecimal;
    /// unknown fields are null.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        let _ = write!(
            out,
            "\"is_ok\":{},\"tables\":{},\"table_entries\":{},\"logs\":{},\"log_records\":{},\
             \"entries_written\":{},\"last_sequence\":{},\"lost_places\":{},\"lost\":[",
            self.is_ok(),
            self.tables,
            self.table_entries,
            self.logs,
            self.log_records,
            self.entries_written,
            self.last_sequence.0,
            self.lost_places
        );
        let key = |key: &Option<Vec<u8>>| match key {
            Some(key) => {
                key.iter().fold(String::from("\""), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                }) + "\""
            }
            None => String::from("null"),
        };
        let number = |number: Option<SequenceNumber>| match number {
            Some(number) => number.to_string(),
            None => String::from("null"),
        };
        for (index, lost) in self.lost.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                out,
                "{comma}{{\"file\":{},\"offset\":{},\"end\":{},\"message\":{},\"smallest_key\":{},\
                 \"largest_key\":{},\"first_sequence\":{},\"last_sequence\":{}}}",
                json_text(&lost.file.to_string_lossy()),
                lost.offset,
                lost.end,
                json_text(&lost.message),
                key(&lost.smallest_key),
                key(&lost.largest_key),
                number(lost.first_sequence),
                number(lost.last_sequence)
            );
        }
        out.push_str("]}");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_report_is_json_whatever_the_names_are() {
        let mut report = VerifyReport {
            is_complete: true,
            ..VerifyReport::default()
        };
        assert!(report.is_ok());
        let error = Error::corruption(Path::new("a \"b\"\n\\/000001.sst"), 7, "it is\tdamaged");
        report.add(Damage::new(PathBuf::new(), 0, &error));
        assert!(!report.is_ok());
        assert_eq!(
            report.to_json(),
            "{\"is_ok\":false,\"is_complete\":true,\"tables\":0,\"entries\":0,\"logs\":0,\"records\":0,\
             \"bytes\":0,\"damaged_places\":1,\"damage\":[{\"file\":\"a \\\"b\\\"\\u000a\\\\/000001.sst\",\
             \"offset\":7,\"message\":\"it is\\u0009damaged\",\"kind\":\"Corruption\"}]}"
        );
    }

    #[test]
    fn what_is_not_known_of_a_loss_is_null() {
        let mut report = RepairReport::default();
        assert!(report.is_ok());
        let error = Error::corruption(Path::new("000001.sst"), 7, "damaged");
        let mut loss = Loss::new(PathBuf::new(), 0, 99, &error);
        loss.smallest_key = Some(vec![0, 0xab]);
        loss.first_sequence = Some(SequenceNumber(3));
        report.add(loss);
        assert_eq!(
            report.to_json(),
            "{\"is_ok\":false,\"tables\":0,\"table_entries\":0,\"logs\":0,\"log_records\":0,\
             \"entries_written\":0,\"last_sequence\":0,\"lost_places\":1,\"lost\":[{\"file\":\"000001.sst\",\
             \"offset\":7,\"end\":99,\"message\":\"damaged\",\"smallest_key\":\"00ab\",\"largest_key\":null,\
             \"first_sequence\":3,\"last_sequence\":null}]}"
        );
    }

    #[test]
    fn beyond_the_thousandth_place_damage_is_counted_only() {
        let mut report = VerifyReport::default();
        let error = Error::corruption(Path::new("x"), 0, "y");
        for _ in 0..MAX_LISTED + 5 {
            report.add(Damage::new(PathBuf::new(), 0, &error));
        }
        assert_eq!(report.damage.len(), MAX_LISTED);
        assert_eq!(report.damaged_places, MAX_LISTED as u64 + 5);
    }
}
