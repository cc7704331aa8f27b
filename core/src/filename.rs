//! The names of the files in a database's directory: made here, read here, nowhere else.
//!
//! Layout: docs/format.md, "File names". A name is only recognised in the one spelling this file makes
//! (`12.sst` is not ours, `000012.sst` is), so that two names can never mean the same file.

use std::path::{Path, PathBuf};

use crate::key::FileNumber;

/// The name of the file that marks an incomplete copy, or a database that is being destroyed. Its content shows
/// whether AiDb made it (`version/identity.rs`).
pub(crate) const INCOMPLETE: &str = "AIDB-INCOMPLETE";
/// The name of the file that names the manifest.
pub(crate) const CURRENT: &str = "CURRENT";
/// The name under which the next CURRENT is written, before it replaces the old one.
pub(crate) const CURRENT_TMP: &str = "CURRENT.tmp";
/// The name of the file in which the next log is to begin.
pub(crate) const BLANK_LOG_TMP: &str = "BLANK-LOG.tmp";
/// The name of the file whose lock keeps a second opener out.
pub(crate) const LOCK: &str = "LOCK";
/// The name of the info log, which people read and recovery does not.
pub(crate) const INFO_LOG: &str = "LOG";
/// The name of the file that sets space aside for a full disk.
pub(crate) const RESERVE: &str = "RESERVE";
/// The name of the file that says how far the newest log was synced.
pub(crate) const SYNCED: &str = "SYNCED";
/// No file has this number or a larger one.
pub(crate) const FILE_NUMBER_LIMIT: u64 = 1 << 56;
/// Opening a database never starts counting from a larger number, so that the limit is never reached. A strange file
/// name in the directory, or a damaged manifest, must not use up the numbers.
pub(crate) const LAST_FIRST_NUMBER: u64 = FILE_NUMBER_LIMIT / 2;

/// The kind of a file in the database's directory, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// An SSTable.
    Table(FileNumber),
    /// A write-ahead log.
    Log(FileNumber),
    /// A log of version edits.
    Manifest(FileNumber),
    /// Names the manifest.
    Current,
    /// Carries the directory's lock.
    Lock,
    /// The info log, or an older one that was renamed.
    InfoLog,
    /// Space set aside.
    Reserve,
    /// Says how far the newest log was synced.
    Synced,
    /// A half-made file, which is useless once the process that was making it is gone.
    Temporary,
    /// Marks a directory that is not yet a database, or no longer one.
    Incomplete,
}

impl FileKind {
    /// The number in the name, if its kind has one.
    pub fn number(self) -> Option<FileNumber> {
        match self {
            FileKind::Table(number) | FileKind::Log(number) | FileKind::Manifest(number) => {
                Some(number)
            }
            FileKind::Current
            | FileKind::Lock
            | FileKind::InfoLog
            | FileKind::Reserve
            | FileKind::Synced
            | FileKind::Temporary
            | FileKind::Incomplete => None,
        }
    }
}

/// The path of an SSTable.
pub(crate) fn table_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(format!("{number}.sst"))
}

/// The path of a write-ahead log.
pub(crate) fn log_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(format!("{number}.log"))
}

/// The path of a manifest.
pub(crate) fn manifest_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(manifest_name(number))
}

/// The path of a table that repair needs only while it runs.
pub(crate) fn temporary_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(format!("{number}.tmp"))
}

/// The name of a manifest.
pub(crate) fn manifest_name(number: FileNumber) -> String {
    format!("MANIFEST-{number}")
}

/// The kind of the file called `name`; `None` if no database makes such a name.
pub fn parse(name: &str) -> Option<FileKind> {
    match name {
        CURRENT => return Some(FileKind::Current),
        LOCK => return Some(FileKind::Lock),
        RESERVE => return Some(FileKind::Reserve),
        SYNCED => return Some(FileKind::Synced),
        INFO_LOG | "LOG.old" => return Some(FileKind::InfoLog),
        INCOMPLETE => return Some(FileKind::Incomplete),
        // Only these names, because users may have files that end in .tmp too.
        CURRENT_TMP | BLANK_LOG_TMP => return Some(FileKind::Temporary),
        _ => {}
    }
    if let Some(digits) = name.strip_prefix("MANIFEST-") {
        return number(digits).map(FileKind::Manifest);
    }
    let (stem, extension) = name.rsplit_once('.')?;
    if stem == INFO_LOG && is_info_log_number(extension) {
        return Some(FileKind::InfoLog);
    }
    match extension {
        "sst" => number(stem).map(FileKind::Table),
        "log" => number(stem).map(FileKind::Log),
        "tmp" => number(stem).map(|_| FileKind::Temporary),
        _ => None,
    }
}

/// Whether this is the number that a full info log gets after its name: 1, 2, 3 and so on.
fn is_info_log_number(digits: &str) -> bool {
    let number = digits.parse::<u32>();
    number.is_ok_and(|number| number > 0 && number.to_string() == digits)
}

/// The number written as `digits`, if it is in the form that AiDb writes.
fn number(digits: &str) -> Option<FileNumber> {
    let number = FileNumber(digits.parse().ok()?);
    (number.0 < FILE_NUMBER_LIMIT && number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_made_is_recognised() {
        let dir = Path::new("db");
        for n in [1, 12, 999_999, 1_000_000, FILE_NUMBER_LIMIT - 1] {
            let number = FileNumber(n);
            let kind = |path: PathBuf| parse(path.file_name().unwrap().to_str().unwrap());
            assert_eq!(kind(table_path(dir, number)), Some(FileKind::Table(number)));
            assert_eq!(kind(log_path(dir, number)), Some(FileKind::Log(number)));
            assert_eq!(
                kind(manifest_path(dir, number)),
                Some(FileKind::Manifest(number))
            );
            assert_eq!(kind(temporary_path(dir, number)), Some(FileKind::Temporary));
        }
        assert_eq!(parse(CURRENT), Some(FileKind::Current));
        assert_eq!(parse(LOCK), Some(FileKind::Lock));
        assert_eq!(parse(RESERVE), Some(FileKind::Reserve));
        assert_eq!(parse(INFO_LOG), Some(FileKind::InfoLog));
        assert_eq!(parse(CURRENT_TMP), Some(FileKind::Temporary));
        assert_eq!(parse(BLANK_LOG_TMP), Some(FileKind::Temporary));
        assert_eq!(parse(INCOMPLETE), Some(FileKind::Incomplete));
    }

    #[test]
    fn other_spellings_and_other_names_are_not_ours() {
        for name in [
            "12.sst",
            "0000012.sst",
            "+00012.sst",
            "000012.SST",
            "000012.ldb",
            "MANIFEST-1",
            "MANIFEST-",
            "MANIFEST",
            "99999999999999999999.log",
            "18446744073709551615.log",
            "72057594037927936.sst",
            ".sst",
            "current",
            "notes.txt",
            "notes.tmp",
            "12.tmp",
            "aidb-incomplete",
            "",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}

#[cfg(test)]
mod edges {
    use super::*;

    #[test]
    fn whatever_a_life_begins_to_count_from_half_of_all_numbers_are_left_to_it() {
        let left = FILE_NUMBER_LIMIT.checked_sub(LAST_FIRST_NUMBER);
        assert_eq!(left, Some(1 << 55));
    }

    #[test]
    fn only_tables_logs_and_manifests_have_a_number() {
        let number = |name: &str| parse(name).and_then(FileKind::number);
        for name in ["000012.sst", "000012.log", "MANIFEST-000012"] {
            assert_eq!(number(name), Some(FileNumber(12)), "{name}");
        }
        for name in [
            CURRENT,
            LOCK,
            RESERVE,
            SYNCED,
            INFO_LOG,
            "LOG.old",
            CURRENT_TMP,
            INCOMPLETE,
        ] {
            assert!(parse(name).is_some(), "{name}");
            assert_eq!(number(name), None, "{name}");
        }
        assert_eq!(parse(SYNCED), Some(FileKind::Synced));
        assert_eq!(parse("LOG.old"), Some(FileKind::InfoLog));
        for (name, is_log) in [
            ("LOG.1", true),
            ("LOG.12", true),
            ("LOG.0", false),
            ("LOG.01", false),
            ("LOG.", false),
            ("LOG.x", false),
            ("log.1", false),
        ] {
            assert_eq!(parse(name) == Some(FileKind::InfoLog), is_log, "{name}");
        }
    }
}
