//! Carries out a plan: merges its tables, writes new ones, answers the version edit that makes it so.
//!
//! * J1  Outputs and their directory entries are synced before the edit is returned.
//! * J2  On an error or a stop every output is removed; the inputs are never touched.
//! * J3  All versions of a user key lie in one output (V2).
//! * J4  As many entries are read as the manifest says the inputs hold: a table that loses some on the way would
//!       otherwise lose them for good here.
//!
//! Elsewhere: which entries stay (`retention.rs`), making the edit durable and deleting the inputs (`db`).

use std::path::{Path, PathBuf};

use super::picker::{Plan, max_grandparent_bytes};
use super::retention::{Fate, Retention};
use crate::cache::TableCache;
use crate::env::{Env, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::iterator::merging::MergingIterator;
use crate::key::{FileNumber, KeyRef, SequenceNumber, ValueKind};
use crate::sstable::{Builder, TableOptions};
use crate::sync::Arc;
use crate::version::{FileMeta, LevelIterator, TableInfo, VersionEdit};

/// Bytes read ahead in each input.
const READAHEAD_BYTES: usize = 256 << 10;
/// Entries and bytes between two looks at `should_stop`.
const STOP_ENTRIES: u64 = 256;
const STOP_BYTES: u64 = 1 << 20;

/// What a job works with.
pub(crate) struct JobContext<'a> {
    pub(crate) env: &'a dyn Env,
    pub(crate) dir: &'a Path,
    pub(crate) tables: &'a Arc<TableCache>,
    pub(crate) table_options: TableOptions,
    /// Numbers at which readers must see the same before and after, ascending; last the newest published.
    pub(crate) visible: Vec<SequenceNumber>,
    /// Bytes of an output before the next one is begun.
    pub(crate) target_file_size: u64,
    pub(crate) new_file_number: &'a dyn Fn() -> FileNumber,
    /// Asked often; if it answers true the job ends with `Closed`.
    pub(crate) should_stop: &'a dyn Fn() -> bool,
}

/// What a job did.
#[derive(Debug)]
pub(crate) struct Output {
    /// Removes the inputs, adds the outputs.
    pub(crate) edit: VersionEdit,
    /// Bytes of the inputs.
    pub(crate) bytes_read: u64,
    /// Bytes of the outputs.
    pub(crate) bytes_written: u64,
    pub(crate) entries_read: u64,
    pub(crate) entries_written: u64,
}

/// Carries out `plan` and returns the edit to apply; nothing refers to the outputs before that (J1, J2).
///
/// Errors: `Closed` if it was told to stop, `Corruption` if an input is damaged, `Io` or `NoSpace`.
pub(crate) fn run(plan: &Plan, context: &JobContext<'_>) -> Result<Output> {
    let names = Names::made_from_now(context.env);
    let mut outputs = Outputs {
        context,
        grandparents: Grandparents::new(plan.grandparents(), context.target_file_size),
        open: None,
        created: Vec::new(),
        finished: Vec::new(),
    };
    let merged = merge(plan, context, &mut outputs).and_then(|entries_read| {
        outputs.finish_open()?;
        if !outputs.finished.is_empty() {
            // The edit will refer to these names.
            names.sync(context.env, context.dir)?;
        }
        Ok(entries_read)
    });
    match merged {
        Ok(entries_read) => {
            let mut edit = plan.removal();
            let finished = outputs.finished;
            let output = Output {
                bytes_read: plan.input_bytes(),
                bytes_written: finished.iter().map(|table| table.size).sum(),
                entries_read,
                entries_written: finished.iter().map(|table| table.entries).sum(),
                edit: VersionEdit::default(),
            };
            for table in finished {
                edit.add(plan.output_level(), table);
            }
            Ok(Output { edit, ..output })
        }
        Err(error) => {
            outputs.remove_all();
            Err(error)
        }
    }
}

/// Merges the inputs into `outputs`; the number of entries read.
fn merge(plan: &Plan, context: &JobContext<'_>, outputs: &mut Outputs<'_>) -> Result<u64> {
    let run_over = |files: Vec<Arc<FileMeta>>| {
        LevelIterator::over(files, context.tables.clone(), false, READAHEAD_BYTES)
    };
    let mut sources = Vec::new();
    match plan.level() {
        0 => sources.extend(plan.upper.iter().map(|file| run_over(vec![file.clone()]))),
        _ => sources.push(run_over(plan.upper.clone())),
    }
    if !plan.lower.is_empty() {
        sources.push(run_over(plan.lower.clone()));
    }
    let mut input = MergingIterator::new(sources);
    let mut retention = Retention::new(&context.visible);
    let mut deeper: Vec<Cursor<'_>> = plan.deeper.iter().map(|files| Cursor::new(files)).collect();
    let (mut entries, mut bytes_since, mut entries_since) = (0u64, 0u64, 0u64);
    input.seek_to_first()?;
    while input.valid() {
        if entries_since == STOP_ENTRIES || bytes_since >= STOP_BYTES || entries == 0 {
            (bytes_since, entries_since) = (0, 0);
            if (context.should_stop)() {
                return Err(Error::new(
                    ErrorKind::Closed,
                    "the compaction was told to stop",
                ));
            }
        }
        let (key, value) = (input.key(), input.value());
        entries += 1;
        entries_since += 1;
        bytes_since += (key.user_key.len() + value.len()) as u64;
        let kind = key.trailer.kind().ok_or_else(|| {
            let kind = key.trailer.0 as u8;
            Error::unsupported(format!("a table holds an entry of kind {kind}"))
        })?;
        let is_bottom = |user_key: &[u8]| !deeper.iter_mut().any(|level| level.may_hold(user_key));
        if retention.fate(key, kind, is_bottom) == Fate::Keep {
            for trailer in retention.take_held() {
                debug_assert_eq!(trailer.kind(), Some(ValueKind::Delete), "R2");
                outputs.add(KeyRef::new(key.user_key, trailer), &[])?;
            }
            outputs.add(key, value)?;
        }
        input.next()?;
    }
    let expected: u64 = plan.inputs().map(|file| file.entries).sum();
    if entries != expected {
        let names: Vec<String> = plan.inputs().map(|file| file.number.to_string()).collect();
        return Err(Error::new(
            ErrorKind::Corruption,
            format!(
                "tables {} hold {entries} entries, the manifest says {expected}",
                names.join(", ")
            ),
        ));
    }
    Ok(entries)
}

/// Tells whether any table of a sorted level may hold a key; the keys asked for ascend.
struct Cursor<'a> {
    files: &'a [Arc<FileMeta>],
}

impl<'a> Cursor<'a> {
    fn new(files: &'a [Arc<FileMeta>]) -> Cursor<'a> {
        Cursor { files }
    }

    fn may_hold(&mut self, user_key: &[u8]) -> bool {
        while let Some((first, rest)) = self.files.split_first() {
            if first.largest_key().user_key >= user_key {
                return first.smallest_key().user_key <= user_key;
            }
            self.files = rest;
        }
        false
    }
}

/// Tells where outputs are to be cut, so that none overlaps too much of the level below.
struct Grandparents<'a> {
    files: &'a [Arc<FileMeta>],
    /// Bytes of the tables passed since the output was begun.
    passed: u64,
    limit: u64,
}

impl<'a> Grandparents<'a> {
    fn new(files: &'a [Arc<FileMeta>], target_file_size: u64) -> Grandparents<'a> {
        Grandparents {
            files,
            passed: 0,
            limit: max_grandparent_bytes(target_file_size),
        }
    }

    /// Whether an output that reached here should end before `user_key`.
    fn ends_output(&mut self, user_key: &[u8]) -> bool {
        while let Some((first, rest)) = self.files.split_first() {
            if first.largest_key().user_key >= user_key {
                break;
            }
            self.passed = self.passed.saturating_add(first.size);
            self.files = rest;
        }
        self.passed > self.limit
    }
}

/// The tables being written.
struct Outputs<'a> {
    context: &'a JobContext<'a>,
    grandparents: Grandparents<'a>,
    open: Option<OpenOutput>,
    created: Vec<PathBuf>,
    finished: Vec<TableInfo>,
}

struct OpenOutput {
    number: FileNumber,
    file_id: u64,
    builder: Builder,
    last_user_key: Vec<u8>,
}

impl Outputs<'_> {
    /// Appends an entry, to a new output if it is time and the user key is another (J3).
    fn add(&mut self, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
        if let Some(open) = &mut self.open
            && open.last_user_key != key.user_key
        {
            let is_full = open.builder.estimated_size() >= self.context.target_file_size;
            // Asked in any case: it keeps step with the keys.
            if self.grandparents.ends_output(key.user_key) || is_full {
                self.finish_open()?;
            } else {
                open.last_user_key.clear();
                open.last_user_key.extend_from_slice(key.user_key);
            }
        }
        match &mut self.open {
            Some(open) => open.builder.add(key, value),
            None => self.begin(key.user_key)?.builder.add(key, value),
        }
    }

    fn begin(&mut self, user_key: &[u8]) -> Result<&mut OpenOutput> {
        let context = self.context;
        let number = (context.new_file_number)();
        let path = table_path(context.dir, number);
        let file_id = context.env.random()?;
        let file = context.env.create_new(&path)?;
        self.created.push(path.clone());
        let mut builder = Builder::new(file, path, file_id, context.table_options)?;
        builder.set_created_micros(context.env.wall_micros());
        // What lies below the gap before this output is not its concern.
        self.grandparents.ends_output(user_key);
        self.grandparents.passed = 0;
        Ok(self.open.insert(OpenOutput {
            number,
            file_id,
            builder,
            last_user_key: user_key.to_vec(),
        }))
    }

    fn finish_open(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            let summary = open.builder.finish()?;
            let table = TableInfo::new(open.number, open.file_id, summary);
            table.check()?;
            self.finished.push(table);
        }
        Ok(())
    }

    /// J2. What cannot be removed now is a leftover for the next open.
    fn remove_all(mut self) {
        self.open = None;
        for path in self.created {
            let _ = self.context.env.remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests;
