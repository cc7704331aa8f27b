//! Verification: reads every byte that the open database depends on and checks it, while it goes on working; then reads
//! everything as users do and compares (`verify/reads.rs`).
//!
//! * VERIFY-1  Bytes come from the files: tables are opened anew, past the caches, the manifest is read again. Only reads as
//!             users make them go through the caches, and put no block there.
//! * VERIFY-2  It looks at one moment: the superversion and the logs that were there when it began. The superversion is held,
//!             so none of its tables is deleted meanwhile; a log that a flush has made superfluous is passed over.
//! * VERIFY-3  Damage is collected, not returned: an error means that the verification could not go on.
//! * VERIFY-4  It holds no lock while it reads, but for the manifest: edits wait that long, writes do not.
//! * VERIFY-5  Reads are compared only where the bytes on disk are right: what they meet otherwise has been told already.
//!             They are made at a number that is pinned before the superversion is loaded: that has every entry up to it; and
//!             at the oldest that a user has pinned.
//! * VERIFY-6  What readers get from the block cache is compared with the file, block by block: a fault of ours there is
//!             reported as `Internal`. So is a key that is there and that the filter which readers ask denies.

mod reads;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use self::reads::{Answer, Comparison, Lookups, Pairs, Walked, Way, first_difference, walk};
use super::report::{Damage, VerifyProgress, VerifyReport};
use crate::batch::operations;
use crate::content::Sum;
use crate::db::life::{Database, of_another_database};
use crate::db::read::{Cursor, READAHEAD_BYTES, sources};
use crate::db::tree::SuperVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{CURRENT, log_path, table_path};
use crate::iterator::merging::MergingIterator;
use crate::key::{FileNumber, KeyRef, SequenceNumber};
use crate::memory;
use crate::memtable::Memtable;
use crate::options::{IterOptions, ReadOptions};
use crate::snapshot::Snapshot;
use crate::sstable::{BlockCache, Checked, Sought, Table, TableSummary};
use crate::sync::Arc;
use crate::version::{FileMeta, TableInfo};
use crate::wal::{Opened, Part, Predecessor, Reader};

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 1 << 20;
/// Blocks of the cache between two of them.
const CACHED_BLOCKS: usize = 256;
/// How often a table is read by itself: its raw bytes, and one walk each of READS-1.
const READS_OF_A_TABLE: u64 = 4;
/// How often all tables are read together: the merge, and a cursor each way. Gets and seeks are few beside them.
const READS_OF_ALL: u64 = 3;

/// Told how far a verification has come; may end it.
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
            told: 0,
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

    /// The logs that hold what is not in tables, newest first, each with what of it counts.
    fn logs(&self) -> Result<Vec<Predecessor>> {
        let (active, mut next) = self.commit.chain();
        let mut logs = match self.context.options().read_only {
            // Nobody appends to anything on disk.
            true => Vec::new(),
            false => vec![active],
        };
        let needed = self.tree.versions().log_number();
        while next.number.0 != 0 && next.number >= needed {
            logs.push(next);
            let path = log_path(self.context.dir(), next.number);
            match Reader::open(self.context.env(), &path, next.number) {
                Ok(Opened::Log(reader)) => next = reader.header().predecessor,
                Err(error) if error.is_out_of_memory() => return Err(error),
                // What is wrong with it is told when it is looked at.
                _ => break,
            }
        }
        Ok(logs)
    }
}

/// A verification under way.
struct Walk<'a> {
    database: &'a Database,
    progress: Progress<'a>,
    report: VerifyReport,
    at: VerifyProgress,
    /// `bytes_done` when progress was last reported.
    told: u64,
    /// What tables and memtables hold, each walked by itself.
    held: Walked,
    /// VERIFY-5: whether all of that could be read.
    is_comparable: bool,
}

/// What is looked at (VERIFY-5).
struct Moment {
    snapshot: Snapshot,
    /// The oldest one that a user holds.
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
        // In this order, so that a write that is flushed in between is met twice rather than never.
        let logs = database.logs()?;
        let oldest = database.order.pin_oldest();
        let snapshot = database.order.pin();
        let superversion = database.tree.load_full();
        // After that: what a closed database shows is nothing.
        database.context.check_open()?;
        let moment = Moment {
            // At the same number nothing else is seen.
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

    /// Notes damage met in `file`; an error that is none ends the verification (VERIFY-3).
    fn damage(&mut self, file: &Path, offset: u64, error: Error) -> Result<()> {
        // After close anything may be missing.
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

    /// Notes that a way of reading does not find in `file` what is there.
    fn misread(&mut self, file: &Path, what: impl Into<String>) -> Result<()> {
        self.damage(file, 0, Error::unaccounted(what))
    }

    /// The outcome of opening `file`, or of reading it as users do; `None` if that met damage, which is noted.
    fn noted<T>(&mut self, file: &Path, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(read) => Ok(Some(read)),
            Err(error) => {
                self.is_comparable = false;
                self.damage(file, 0, error).map(|()| None)
            }
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
        self.database.context.check_open()?;
        self.told = self.at.bytes_done;
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

    fn log(&mut self, log: &Predecessor) -> Result<ControlFlow<()>> {
        let end = self.at.bytes_done + log.length;
        let path = log_path(self.database.context.dir(), log.number);
        self.report.logs += 1;
        let outcome = match Reader::open(self.database.context.env(), &path, log.number) {
            Ok(Opened::Log(reader))
                if !reader
                    .header()
                    .is_of(self.database.tree.versions().database()) =>
            {
                Err(of_another_database(&path))
            }
            Ok(Opened::Log(reader)) => self.records(reader, log)?,
            Ok(Opened::NeverWritten) => Err(Error::corruption(&path, 0, "the log has no header")),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(ControlFlow::Continue(())) => {}
            Ok(stop) => return Ok(stop),
            // VERIFY-2.
            Err(_) if self.is_superfluous(log.number) => {}
            Err(error) => self.damage(&path, 0, error)?,
        }
        self.advance_to(end)
    }

    fn is_superfluous(&self, log: FileNumber) -> bool {
        self.database.tree.versions().log_number() > log
    }

    /// Reads a log's records, also those after damage. The inner error is about the log as a whole.
    fn records(
        &mut self,
        mut reader: Reader,
        log: &Predecessor,
    ) -> Result<Result<ControlFlow<()>>> {
        let path = reader.path().to_path_buf();
        reader.stop_at(log.length);
        // Where the next record has to begin; unknown after damage.
        let mut next = Some(reader.header().predecessor.last_sequence.plus(1));
        loop {
            let record = match reader.next_part() {
                Ok(Some(Part::Record(record))) => record,
                // VERIFY-2: what is removed is cut short.
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

    /// Checks a table, and reads it as cursors do (READS-1).
    fn table(
        &mut self,
        file: &Arc<FileMeta>,
        number: SequenceNumber,
        cache: &Arc<BlockCache>,
    ) -> Result<ControlFlow<()>> {
        let database = self.database;
        let end = self.at.bytes_done + file.size;
        let path = table_path(database.context.dir(), file.number);
        self.report.tables += 1;
        let opened = Table::open(
            database.context.env(),
            &path,
            file.file_id,
            file.size,
            Arc::clone(cache),
        );
        let Some(table) = self.noted(&path, opened)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let summary = match self.blocks(&table, &path)? {
            ControlFlow::Continue(summary) => summary,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        if self
            .cached_blocks(file, &path, summary.is_some())?
            .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let Some(summary) = summary else {
            self.is_comparable = false;
            return Ok(ControlFlow::Continue(()));
        };
        let (expected, bytes) = (
            summary.sum,
            summary
                .raw_key_bytes
                .saturating_add(summary.raw_value_bytes),
        );
        let found = TableInfo::new(file.number, file.file_id, summary);
        if !file.info.agrees_with(&found) {
            let what = "the table holds something else than the manifest says";
            let error = Error::corruption(&path, 0, what);
            self.noted::<()>(&path, Err(error))?;
            return Ok(ControlFlow::Continue(()));
        }
        if self.advance_to(end)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let whole = Whole {
            file,
            table: &table,
            path: &path,
            expected,
            bytes,
        };
        for (way, readahead, words) in [
            (Way::Forward, 0, "forward, block by block,"),
            (Way::Forward, READAHEAD_BYTES, "forward, reading ahead,"),
            (Way::Backward, READAHEAD_BYTES, "backward"),
        ] {
            match self.walk_table(&whole, number, (way, readahead), words)? {
                ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => break,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Checks the blocks of a table; what it holds, unless it is damaged.
    fn blocks(
        &mut self,
        table: &Table,
        path: &Path,
    ) -> Result<ControlFlow<(), Option<TableSummary>>> {
        let mut failure = None;
        let mut is_ended = false;
        let summary = table.check(&mut |checked| {
            let outcome = match checked {
                Checked::Block { bytes, entries } => {
                    self.report.entries += entries;
                    self.advance(bytes)
                }
                Checked::Damage { offset, error } => {
                    let noted = self.damage(path, offset, error);
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
        match (failure, is_ended) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(ControlFlow::Break(())),
            (None, false) => Ok(ControlFlow::Continue(summary)),
        }
    }

    /// Walks a table as a cursor goes `way` that reads ahead so far; `words` tell of both. Whether it could be walked.
    fn walk_table(
        &mut self,
        whole: &Whole<'_>,
        number: SequenceNumber,
        (way, readahead): (Way, usize),
        words: &str,
    ) -> Result<ControlFlow<(), bool>> {
        let &Whole {
            file, table, path, ..
        } = whole;
        let mut entries = table.iter(false, readahead);
        let is_first = (way, readahead) == (Way::Forward, 0);
        // Its filter is in memory: what is read of the file says nothing of that.
        let asked = file.handle.opened().filter(|_| is_first);
        let mut denied: Option<Result<Vec<u8>>> = None;
        let look = |key: KeyRef<'_>| {
            if let Some(asked) = &asked
                && denied.is_none()
                && !asked.may_hold(Sought::new(key.user_key, key.trailer))
            {
                denied = Some(memory::copy_of(key.user_key, "a key"));
            }
        };
        let outcome = walk(&mut entries, way, number, look, &mut |bytes| {
            self.advance(in_proportion(bytes, file.size, whole.bytes))
        });
        if let Some(key) = denied.transpose()? {
            let what = format!("the filter denies {}, which is there", reads::Shown(&key));
            self.misread(path, what)?;
        }
        let found = match self.noted(path, outcome)? {
            Some(Some(found)) => found,
            Some(None) => return Ok(ControlFlow::Break(())),
            None => return Ok(ControlFlow::Continue(false)),
        };
        if found.all != whole.expected {
            let place = self.where_walks_part(table, file);
            let what = format!(
                "a walk {words} meets {}, and the table's blocks hold {}: {place}",
                found.all, whole.expected
            );
            self.misread(path, what)?;
        }
        if is_first {
            self.held.seen += found.seen;
            self.held.bytes += found.bytes;
        }
        Ok(ControlFlow::Continue(true))
    }

    /// Compares what readers find of a table in the block cache with the file (VERIFY-6), all of which could be read just now
    /// if `is_whole`.
    fn cached_blocks(
        &mut self,
        file: &Arc<FileMeta>,
        path: &Path,
        is_whole: bool,
    ) -> Result<ControlFlow<()>> {
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
                // The check of the file has told of the block that is damaged or cannot be read there.
                Err(error)
                    if !is_whole
                        && matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io) => {}
                Err(error) => {
                    self.noted(path, Err::<(), _>(error))?;
                }
            }
            if number.is_multiple_of(CACHED_BLOCKS) && self.tell()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Where the two ways forward part, or between which keys the table lies if they do not.
    fn where_walks_part(&self, table: &Arc<Table>, file: &FileMeta) -> String {
        let mut one = table.iter(false, 0);
        let mut other = table.iter(false, READAHEAD_BYTES);
        match first_difference(&mut one, &mut other) {
            Ok(Some(difference)) => difference,
            Ok(None) => {
                let [first, last] = [file.smallest_key(), file.largest_key()];
                format!(
                    "somewhere between {} and {}",
                    reads::Shown(first.user_key),
                    reads::Shown(last.user_key)
                )
            }
            Err(error) => error.to_string(),
        }
    }

    /// Walks each memtable by itself; a sealed one whose last number is published has to hold what was inserted.
    fn memtables(&mut self, moment: &Moment) -> Result<ControlFlow<()>> {
        let dir = self.database.context.dir();
        let superversion = &moment.superversion;
        let sealed = superversion.sealed.iter().map(|sealed| {
            let is_complete = sealed.last_sequence <= moment.number();
            (&sealed.memtable, is_complete.then(|| sealed.memtable.sum()))
        });
        for (memtable, inserted) in sealed.chain([(&superversion.active, None)]) {
            let Some(found) = self.memtable(memtable, moment.number())? else {
                return Ok(ControlFlow::Break(()));
            };
            if let Some(difference) = unlike_inserted(found.all, inserted) {
                self.misread(dir, difference)?;
            }
            self.held.seen += found.seen;
            self.held.bytes += found.bytes;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Walks a memtable, and gets each entry that can be seen at `number` as well.
    fn memtable(
        &mut self,
        memtable: &Arc<Memtable>,
        number: SequenceNumber,
    ) -> Result<Option<Walked>> {
        let mut not_found = 0u64;
        let get = |key: KeyRef<'_>| {
            if key.trailer.sequence() <= number {
                let found = memtable.get(key.user_key, key.trailer);
                let is_found = found.is_some_and(|(trailer, _)| trailer == key.trailer);
                not_found += u64::from(!is_found);
            }
        };
        // In memory: no bytes of files, but it may be asked to end.
        let mut tell = |_| self.tell();
        let walked = walk(&mut memtable.iter(), Way::Forward, number, get, &mut tell)?;
        if not_found > 0 {
            let dir = self.database.context.dir();
            let what = format!("gets do not find {not_found} entries that a memtable holds");
            self.misread(dir, what)?;
        }
        Ok(walked)
    }

    /// Reads the whole database in each way that users do (READS-2, READS-3).
    fn reads(&mut self, moment: &Moment, end: u64) -> Result<ControlFlow<()>> {
        if !self.is_comparable {
            return Ok(ControlFlow::Continue(()));
        }
        let database = self.database;
        let (number, bytes) = (moment.number(), self.held.bytes);
        let share = end - self.at.bytes_done;
        let options = IterOptions {
            fill_cache: false,
            ..IterOptions::default()
        };
        let cursor_at = |number| {
            let superversion = Arc::clone(&moment.superversion);
            database
                .walks
                .cursor_at(superversion, number, options.clone())
        };
        let cursor = || cursor_at(number);
        let past = moment.oldest.as_ref().map(|snapshot| {
            let number = snapshot.sequence();
            Ok((number, cursor_at(number)?, LookupsAt { database, snapshot }))
        });
        let comparison = Comparison {
            merged: MergingIterator::new(sources(
                &moment.superversion,
                database.tree.tables(),
                &options,
            )?),
            number,
            forward: cursor()?,
            backward: cursor()?,
            seeking: cursor()?,
            lookups: LookupsAt {
                database,
                snapshot: &moment.snapshot,
            },
            past: past.transpose()?,
        };
        let outcome = comparison.run(&mut |walked| {
            let part = in_proportion(walked, share, bytes);
            // What is inserted meanwhile is walked over too.
            self.at.bytes_done = end.min(self.at.bytes_done + part);
            self.tell()
        });
        let outcome = match self.noted(database.context.dir(), outcome)? {
            Some(Some(outcome)) => outcome,
            Some(None) => return Ok(ControlFlow::Break(())),
            None => return Ok(ControlFlow::Continue(())),
        };
        if outcome.met != self.held.seen {
            let what = format!(
                "at number {number} a merge of all tables and memtables meets {}, and they hold {}",
                outcome.met, self.held.seen
            );
            self.misread(database.context.dir(), what)?;
        }
        for difference in outcome.differences {
            let what = format!("at number {number} {difference}");
            self.misread(database.context.dir(), what)?;
        }
        let past = moment.oldest.as_ref().map(Snapshot::sequence);
        for difference in outcome.past_differences {
            let number = past.unwrap_or_default();
            let what = format!("at number {number}, which a snapshot pins, {difference}");
            self.misread(database.context.dir(), what)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A table whose blocks are whole, to be walked in several ways.
struct Whole<'a> {
    file: &'a Arc<FileMeta>,
    table: &'a Arc<Table>,
    path: &'a Path,
    /// What its blocks hold, and the bytes of all keys and values in them.
    expected: Sum,
    bytes: u64,
}

/// What is wrong with a memtable whose walk has met `found`, if it is known what was `inserted`.
fn unlike_inserted(found: Sum, inserted: Option<Sum>) -> Option<String> {
    let inserted = inserted.filter(|inserted| *inserted != found)?;
    Some(format!(
        "a walk through a sealed memtable meets {found}, and {inserted} were inserted"
    ))
}

/// The part of `share` bytes of files that `walked` of `all` bytes of keys and values stand for.
fn in_proportion(walked: u64, share: u64, all: u64) -> u64 {
    let part = u128::from(walked) * u128::from(share) / u128::from(all.max(1));
    u64::try_from(part).map_or(share, |part| part.min(share))
}

/// Gets at a snapshot, as users make them.
struct LookupsAt<'a> {
    database: &'a Database,
    snapshot: &'a Snapshot,
}

impl LookupsAt<'_> {
    fn options(&self) -> ReadOptions<'_> {
        ReadOptions {
            snapshot: Some(self.snapshot),
            fill_cache: false,
        }
    }
}

impl Lookups for LookupsAt<'_> {
    fn get(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Answer> {
        let found = (self.database.tree).get(key, &self.options(), |found| found.into_value())?;
        Ok(match (found, value) {
            (None, None) => Answer::Right,
            (None, Some(_)) => Answer::Missing,
            (Some(found), Some(value)) if found == value => Answer::Right,
            (Some(_), _) => Answer::Another,
        })
    }

    fn get_many(&mut self, keys: &[Vec<u8>], found: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        let values = self
            .database
            .tree
            .get_many(keys, &self.options(), usize::MAX)?;
        for (place, value) in values.iter().enumerate() {
            if let Some(value) = value {
                found(place, value);
            }
        }
        Ok(())
    }
}

impl Pairs for Cursor {
    fn next(&mut self) -> Result<bool> {
        Cursor::next(self)
    }

    fn prev(&mut self) -> Result<bool> {
        Cursor::prev(self)
    }

    fn last(&mut self) -> Result<bool> {
        Cursor::last(self)
    }

    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        Cursor::seek(self, key)
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        Cursor::seek_for_prev(self, key)
    }

    fn key(&self) -> &[u8] {
        Cursor::key(self)
    }

    fn value(&self) -> &[u8] {
        Cursor::value(self)
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
