//! Verification: reads and checks every byte that the open database depends on, while reads and writes go on;
//! then reads all entries through the public read paths and compares.
//!
//! * VERIFY-1  Bytes come from the files: tables are opened anew, bypassing the caches, and the manifest is
//!       read again. Only the reads through the public paths use the caches, and they put no block there.
//! * VERIFY-2  It checks one moment: the superversion and the logs from when it began. It holds the
//!       superversion, so none of its tables is deleted during the verification. It skips a log that a flush
//!       has made superfluous.
//! * VERIFY-3  Damage is collected, not returned: an error means that the verification could not go on.
//! * VERIFY-4  It holds no lock while it reads, except while it reads the manifest: edits wait that long,
//!             writes do not.
//! * VERIFY-5  Reads are compared only if the bytes on disk are right: otherwise the damage is already
//!       reported. They are made at a sequence number pinned before the superversion is loaded, so that the
//!       superversion has every entry up to it; and at the oldest number that a user's snapshot pins.
//! * VERIFY-6  The blocks in the block cache are compared with the file: a difference is reported as
//!       `Internal`, because it is a bug. So is a key that is in a table but that the readers' filter reports
//!       absent.
//!
//! Elsewhere: the steps (`steps.rs`), the logs (`logs.rs`), the tables (`tables.rs`), the memtables
//! (`memtables.rs`), the public read paths (`users.rs`) and the comparisons (`reads/`). This file has what all
//! steps share: the moment, the progress, and the list of damage.

mod logs;
mod memtables;
mod reads;
mod shown;
mod steps;
mod tables;
mod users;
mod walk;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub(super) use self::logs::count;
use self::walk::Walked;
use super::report::{Damage, VerifyProgress, VerifyReport};
use crate::db::life::Database;
use crate::db::tree::SuperVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::key::SequenceNumber;
use crate::snapshot::Snapshot;
use crate::sync::Arc;

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 1 << 20;

/// Called with the progress of a verification; may end it.
pub(super) type Progress<'a> = &'a mut dyn FnMut(VerifyProgress) -> ControlFlow<()>;

/// A verification under way.
struct Walk<'a> {
    database: &'a Database,
    progress: Progress<'a>,
    report: VerifyReport,
    at: VerifyProgress,
    /// `bytes_done` when progress was last reported.
    reported: u64,
    /// The sums of tables and memtables, each walked by itself.
    held: Walked,
    /// VERIFY-5: whether all tables and memtables could be read.
    is_comparable: bool,
}

/// The state that is checked (VERIFY-5).
struct Moment {
    snapshot: Snapshot,
    /// The oldest snapshot that a user holds.
    oldest: Option<Snapshot>,
    superversion: Arc<SuperVersion>,
}

impl Moment {
    fn number(&self) -> SequenceNumber {
        self.snapshot.sequence()
    }
}

impl Walk<'_> {
    /// Records the damage that `error` reports in `file`; an error that is not damage ends the verification
    /// (VERIFY-3).
    fn damage(&mut self, file: &Path, offset: u64, error: Error) -> Result<()> {
        // After close any file may be missing.
        self.database.context.check_open()?;
        match error.kind() {
            ErrorKind::Corruption | ErrorKind::Io | ErrorKind::Unsupported => {}
            ErrorKind::Internal if error.is_unaccounted() => {}
            _ => return Err(error),
        }
        let damage = Damage::new(PathBuf::from(file), offset, &error);
        self.report.add(damage);
        Ok(())
    }

    /// Records that some way of reading `file` does not find an entry that is there.
    fn misread(&mut self, file: &Path, what: impl Into<String>) -> Result<()> {
        self.damage(file, 0, Error::unaccounted(what))
    }

    /// The result of opening `file`, or of reading it through the public paths; `None` if there was damage,
    /// which is then recorded.
    fn noted<T>(&mut self, file: &Path, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(read) => Ok(Some(read)),
            Err(error) => {
                self.is_comparable = false;
                self.damage(file, 0, error).map(|()| None)
            }
        }
    }

    /// Advances by `bytes`, and reports from time to time.
    fn advance(&mut self, bytes: u64) -> Result<ControlFlow<()>> {
        self.at.bytes_done += bytes;
        if self.at.bytes_done - self.reported < REPORT_BYTES {
            return Ok(ControlFlow::Continue(()));
        }
        self.tell()
    }

    /// Sets the progress to `bytes_done`, even if damage has led elsewhere.
    fn advance_to(&mut self, bytes_done: u64) -> Result<ControlFlow<()>> {
        self.advance(bytes_done.saturating_sub(self.at.bytes_done))
    }

    fn tell(&mut self) -> Result<ControlFlow<()>> {
        self.database.context.check_open()?;
        debug_assert!(self.reported <= self.at.bytes_done, "progress only grows");
        self.reported = self.at.bytes_done;
        Ok((self.progress)(self.at))
    }
}

/// The part of `share` bytes of files that is done once `walked` of `all` bytes of keys and values are walked.
fn in_proportion(walked: u64, share: u64, all: u64) -> u64 {
    let part = u128::from(walked) * u128::from(share) / u128::from(all.max(1));
    u64::try_from(part).map_or(share, |part| part.min(share))
}
