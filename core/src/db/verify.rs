//! Verification: reads every byte that the open database depends on and checks it, while it goes on working.
//!
//! * Y1  Everything comes from the files: tables are opened anew, past the caches, the manifest is read again.
//! * Y2  It looks at one moment: the version and the logs that were there when it began. The version is held, so
//!       none of its tables is deleted meanwhile; a log that a flush has made superfluous is passed over.
//! * Y3  Damage is collected, not returned: an error means that the verification could not go on.
//! * Y5  What readers get from the block cache is compared with the file, block by block: a fault of ours there is
//!       reported as `Internal`.
//! * Y4  It holds no lock while it reads, but for the manifest: edits wait that long, writes do not.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::report::{Damage, VerifyProgress, VerifyReport};
use super::shared::Shared;
use crate::batch::operations;
use crate::cache::BlockCache;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{CURRENT, log_path, table_path};
use crate::key::{FileNumber, SequenceNumber};
use crate::sstable::{Checked, Table};
use crate::sync::Arc;
use crate::version::{FileMeta, TableInfo};
use crate::wal::{Opened, Part, Predecessor, Reader};

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 1 << 20;

/// Told how far a verification has come; may end it.
pub(super) type Progress<'a> = &'a mut dyn FnMut(VerifyProgress) -> ControlFlow<()>;

impl Shared {
    /// Checks everything; see `DB::verify`.
    pub(super) fn verify(&self, progress: Progress<'_>) -> Result<VerifyReport> {
        self.check_open()?;
        let mut walk = Walk {
            shared: self,
            progress,
            report: VerifyReport::default(),
            at: VerifyProgress::default(),
            told: 0,
        };
        let ended = walk.everything()?;
        walk.report.is_complete = ended.is_continue();
        walk.report.bytes = walk.at.bytes_done;
        let VerifyReport {
            bytes,
            damaged_places,
            ..
        } = walk.report;
        self.note(format_args!(
            "verified {bytes} bytes: {damaged_places} damaged places"
        ));
        Ok(walk.report)
    }

    /// The logs that hold what is not in tables, newest first, each with what of it counts.
    fn logs(&self) -> Vec<Predecessor> {
        let (mut logs, mut next) = {
            let log = self.log.lock();
            let (number, length) = (log.file.number, log.writer.len());
            let active = Predecessor::new(number, length, log.last_sequence, log.file.synced());
            // A database opened read-only appends to nothing on disk.
            let logs = if self.options.read_only {
                vec![]
            } else {
                vec![active]
            };
            (logs, log.writer.predecessor())
        };
        let needed = self.versions.lock().log_number();
        while next.number.0 != 0 && next.number >= needed {
            logs.push(next);
            let path = log_path(&self.dir, next.number);
            match Reader::open(&*self.env, &path, next.number) {
                Ok(Opened::Log(reader)) => next = reader.header().predecessor,
                // What is wrong with it is told when it is looked at.
                _ => break,
            }
        }
        logs
    }
}

/// A verification under way.
struct Walk<'a> {
    shared: &'a Shared,
    progress: Progress<'a>,
    report: VerifyReport,
    at: VerifyProgress,
    /// `bytes_done` when progress was last reported.
    told: u64,
}

impl Walk<'_> {
    fn everything(&mut self) -> Result<ControlFlow<()>> {
        let shared = self.shared;
        // In this order, so that a write that is flushed in between is met twice rather than never.
        let logs = shared.logs();
        let version = Arc::clone(&shared.superversion.load().version);
        self.at.bytes_total = version.all_files().map(|(_, file)| file.size).sum::<u64>()
            + logs.iter().map(|log| log.length).sum::<u64>();
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
            if self.table(file, &cache)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.tell()
    }

    /// Notes damage met in `file`; an error that is none ends the verification (Y3).
    fn damage(&mut self, file: &Path, offset: u64, error: Error) -> Result<()> {
        // After close anything may be missing.
        self.shared.check_open()?;
        match error.kind() {
            ErrorKind::Corruption | ErrorKind::Io | ErrorKind::Unsupported => {
                let damage = Damage::new(PathBuf::from(file), offset, &error);
                self.report.add(damage);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Goes on by `bytes`, reporting now and then.
    fn advance(&mut self, bytes: u64) -> Result<ControlFlow<()>> {
        self.at.bytes_done += bytes;
        if self.at.bytes_done - self.told < REPORT_BYTES {
            return Ok(ControlFlow::Continue(()));
        }
        self.tell()
    }

    /// Goes to the place `bytes_done`, wherever damage has led.
    fn advance_to(&mut self, bytes_done: u64) -> Result<ControlFlow<()>> {
        self.advance(bytes_done.saturating_sub(self.at.bytes_done))
    }

    fn tell(&mut self) -> Result<ControlFlow<()>> {
        self.shared.check_open()?;
        self.told = self.at.bytes_done;
        Ok((self.progress)(self.at))
    }

    fn manifest(&mut self) -> Result<()> {
        let checked = self.shared.versions.lock().check_disk();
        match checked {
            Ok(bytes) => {
                self.at.bytes_total += bytes;
                self.at.bytes_done += bytes;
                Ok(())
            }
            Err(error) => self.damage(&self.shared.dir.join(CURRENT), 0, error),
        }
    }

    fn log(&mut self, log: &Predecessor) -> Result<ControlFlow<()>> {
        let end = self.at.bytes_done + log.length;
        let path = log_path(&self.shared.dir, log.number);
        self.report.logs += 1;
        let outcome = match Reader::open(&*self.shared.env, &path, log.number) {
            Ok(Opened::Log(reader)) => self.records(reader, log)?,
            Ok(Opened::NeverWritten) => Err(Error::corruption(&path, 0, "the log has no header")),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(ControlFlow::Continue(())) => {}
            Ok(stop) => return Ok(stop),
            // Y2.
            Err(_) if self.is_superfluous(log.number) => {}
            Err(error) => self.damage(&path, 0, error)?,
        }
        self.advance_to(end)
    }

    fn is_superfluous(&self, log: FileNumber) -> bool {
        self.shared.versions.lock().log_number() > log
    }

    /// Reads a log's records, also those behind damage. The inner error is about the log as a whole.
    fn records(
        &mut self,
        mut reader: Reader,
        log: &Predecessor,
    ) -> Result<Result<ControlFlow<()>>> {
        let path = reader.path().to_path_buf();
        reader.stop_at(log.length);
        // Where the next record has to begin; unknown behind damage.
        let mut next = Some(reader.header().predecessor.last_sequence.plus(1));
        loop {
            let record = match reader.next_part() {
                Ok(Some(Part::Record(record))) => record,
                // Y2: what is removed is cut short.
                Ok(Some(Part::Damage { error, .. })) if self.is_superfluous(log.number) => {
                    return Ok(Err(error));
                }
                Ok(Some(Part::Damage { error, start, .. })) => {
                    self.damage(&path, start, error)?;
                    next = None;
                    continue;
                }
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            let (offset, first) = (record.offset, record.first_sequence);
            let outcome = match (count(record.payload), next) {
                (Err(error), _) => Err(Error::corruption(&path, offset, error.message())),
                (Ok(_), Some(next)) if next != first => {
                    let what = format!("the record begins with number {first}, expected {next}");
                    Err(Error::corruption(&path, offset, what))
                }
                (Ok(count), _) => Ok(count),
            };
            let bytes = record.end - offset;
            match outcome {
                Ok(count) => {
                    self.report.records += 1;
                    // From disk, so it may be anything.
                    next = Some(SequenceNumber(first.0.saturating_add(count)));
                }
                Err(error) if self.is_superfluous(log.number) => return Ok(Err(error)),
                Err(error) => {
                    self.damage(&path, offset, error)?;
                    next = None;
                }
            }
            if self.advance(bytes)?.is_break() {
                return Ok(Ok(ControlFlow::Break(())));
            }
        }
        if next.is_some_and(|next| next != log.last_sequence.plus(1)) {
            let what = format!("the log does not end with number {}", log.last_sequence);
            return Ok(Err(Error::corruption(&path, log.length, what)));
        }
        Ok(Ok(ControlFlow::Continue(())))
    }

    fn table(&mut self, file: &Arc<FileMeta>, cache: &Arc<BlockCache>) -> Result<ControlFlow<()>> {
        let shared = self.shared;
        let end = self.at.bytes_done + file.size;
        let path = table_path(&shared.dir, file.number);
        self.report.tables += 1;
        let table = Table::open(
            &*shared.env,
            &path,
            file.file_id,
            file.size,
            Arc::clone(cache),
        );
        let table = match table {
            Ok(table) => table,
            Err(error) => {
                self.damage(&path, 0, error)?;
                return self.advance_to(end);
            }
        };
        let mut failure = None;
        let mut is_ended = false;
        let summary = table.check(&mut |checked| {
            let outcome = match checked {
                Checked::Block { bytes, entries } => {
                    self.report.entries += entries;
                    self.advance(bytes)
                }
                Checked::Damage { offset, error } => {
                    let noted = self.damage(&path, offset, error);
                    noted.map(|()| ControlFlow::Continue(()))
                }
            };
            let flow = outcome.unwrap_or_else(|error| {
                failure = Some(error);
                ControlFlow::Break(())
            });
            is_ended |= flow.is_break();
            flow
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        if is_ended {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(summary) = summary
            && !file
                .info
                .agrees_with(&TableInfo::new(file.number, file.file_id, summary))
        {
            let what = "the table holds something else than the manifest says";
            self.damage(&path, 0, Error::corruption(&path, 0, what))?;
        }
        if self.cached_blocks(file, &path)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.advance_to(end)
    }

    /// Compares what readers find of a table in the block cache with the file (Y5).
    fn cached_blocks(&mut self, file: &Arc<FileMeta>, path: &Path) -> Result<ControlFlow<()>> {
        let Some(table) = file.handle.opened() else {
            return Ok(ControlFlow::Continue(()));
        };
        for number in 0..table.blocks() {
            match table.cached_block_is_sound(number) {
                Ok(None) => continue,
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    let what = format!("data block {number} is something else in the cache");
                    self.report
                        .add(Damage::new(path.into(), 0, &Error::internal(what)));
                }
                // The block in the file is damaged, which the check of the file has told.
                Err(error) if error.kind() == ErrorKind::Corruption => {}
                Err(error) => return Err(error),
            }
            if self.tell()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The operations of an encoded batch, each of them decoded.
pub(super) fn count(payload: &[u8]) -> Result<u64> {
    let mut count = 0;
    for operation in operations(payload)? {
        operation?;
        count += 1;
    }
    Ok(count)
}
