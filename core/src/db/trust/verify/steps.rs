//! The steps of a verification, in order.

use std::ops::ControlFlow;

use super::walk::Walked;
use super::{Moment, Progress, Walk};
use crate::db::life::Database;
use crate::db::trust::report::{VerifyProgress, VerifyReport};
use crate::error::Result;
use crate::filename::CURRENT;
use crate::sstable::BlockCache;

/// How often a table is read by itself: once for its raw bytes, and once for each walk of READS-1.
const READS_OF_A_TABLE: u64 = 4;
/// How often all tables are read together: by the merge, and by a cursor in each direction. Gets and seeks read
/// little in comparison.
const READS_OF_ALL: u64 = 3;

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
        debug_assert!(
            moment.number() <= database.order.last(),
            "VERIFY-5: every write that is read has been published"
        );
        let version = moment.superversion.version();
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
        debug_assert!(
            self.at.bytes_done == self.at.bytes_total,
            "the parts add up to the announced bytes"
        );
        self.tell()
    }

    fn manifest(&mut self) -> Result<()> {
        let checked = self.database.tree.check_manifest();
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
