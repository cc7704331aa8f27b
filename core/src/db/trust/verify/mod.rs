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
//! Elsewhere: the logs (`logs.rs`), the tables (`tables.rs`), the memtables (`memtables.rs`), the public read
//! paths (`users.rs`) and the comparisons (`reads/`). This file has the steps, their progress, and the list
//! of damage.

mod logs;
mod memtables;
mod reads;
mod shown;
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
use crate::filename::CURRENT;
use crate::key::SequenceNumber;
use crate::snapshot::Snapshot;
use crate::sstable::BlockCache;
use crate::sync::Arc;

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 1 << 20;
/// How often a table is read by itself: once for its raw bytes, and once for each walk of READS-1.
const READS_OF_A_TABLE: u64 = 4;
/// How often all tables are read together: by the merge, and by a cursor in each direction. Gets and seeks read
/// little in comparison.
const READS_OF_ALL: u64 = 3;

/// Called with the progress of a verification; may end it.
pub(super) type Progress<'a> = &'a mut dyn FnMut(VerifyProgress) -> ControlFlow<()>;

impl Database {
    /// Checks everything; see `DB::verify`.
    pub(in crate::db) fn verify(&self, progress: Progress<'_>) -> Result<VerifyReport> {
        self.context.check_open()?;
        let mut walk = Walk {
            database: self,
            progress,
            report: VerifyReport::default(),
            at: VerifyProgress::default(),
            reported: 0,
            held: Walked::default(),
            is_comparable: true,
        };
        let ended = walk.everything()?;
        walk.report.is_complete = ended.is_continue();
        walk.report.bytes = walk.at.bytes_done;
        let VerifyReport {
            bytes,
            damaged_places,
            ..
        } = walk.report;
        self.context.note(format_args!(
            "verified {bytes} bytes: {damaged_places} damaged places"
        ));
        Ok(walk.report)
    }
}

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
    fn everything(&mut self) -> Result<ControlFlow<()>> {
        let database = self.database;
        // In this order, so that a write flushed in between is seen twice rather than never.
        let logs = database.logs()?;
        let oldest = database.order.pin_oldest();
        let snapshot = database.order.pin();
        let superversion = database.tree.load_full();
        // After the load, because a closed database has an empty superversion.
        database.context.check_open()?;
        let moment = Moment {
            // A snapshot at the same number shows the same.
            oldest: oldest.filter(|oldest| oldest.sequence() < snapshot.sequence()),
            snapshot,
            superversion,
        };
        let version = &moment.superversion.version;
        let in_tables = version.all_files().map(|(_, file)| file.size).sum::<u64>();
        let of_logs = logs.iter().map(|log| log.length).sum::<u64>();
        self.at.bytes_total = in_tables * (READS_OF_A_TABLE + READS_OF_ALL) + of_logs;
        self.manifest()?;
        if self.tell()?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for log in &logs {
            if self.log(log)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let cache = BlockCache::new(0);
        for (_, file) in version.all_files() {
            let end = self.at.bytes_done + file.size * READS_OF_A_TABLE;
            if self.table(file, moment.number(), &cache)?.is_break()
                || self.advance_to(end)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        let end = self.at.bytes_done + in_tables * READS_OF_ALL;
        if self.memtables(&moment)?.is_break() || self.reads(&moment, end)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.at.bytes_done = end;
        self.tell()
    }

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
        self.reported = self.at.bytes_done;
        Ok((self.progress)(self.at))
    }

    fn manifest(&mut self) -> Result<()> {
        let checked = self.database.tree.versions().check_disk();
        match checked {
            Ok(bytes) => {
                self.at.bytes_total += bytes;
                self.at.bytes_done += bytes;
                Ok(())
            }
            Err(error) => self.damage(&self.database.context.dir().join(CURRENT), 0, error),
        }
    }
}

/// The part of `share` bytes of files that is done once `walked` of `all` bytes of keys and values are walked.
fn in_proportion(walked: u64, share: u64, all: u64) -> u64 {
    let part = u128::from(walked) * u128::from(share) / u128::from(all.max(1));
    u64::try_from(part).map_or(share, |part| part.min(share))
}
