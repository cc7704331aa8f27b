//! The tables that a job writes.
//!
//! They keep JOB-2 and JOB-3 of `job.rs`. Elsewhere: where one should end for those below it (`grandparents.rs`), and
//! comparing them with the edit (`compaction/outputs.rs`).

use std::path::PathBuf;

use super::JobContext;
use super::grandparents::Grandparents;
use crate::error::Result;
use crate::filename::table_path;
use crate::key::{FileNumber, KeyRef, is_same_user_key};
use crate::sstable::Builder;
use crate::sync::Arc;
use crate::version::{FileMeta, TableInfo};

/// The tables being written.
pub(super) struct OutputTables<'a> {
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
}

impl<'a> OutputTables<'a> {
    /// None yet, of a job above these `grandparents`.
    pub(super) fn new(
        context: &'a JobContext<'a>,
        grandparents: &'a [Arc<FileMeta>],
    ) -> OutputTables<'a> {
        OutputTables {
            context,
            grandparents: Grandparents::new(grandparents, context.target_file_size),
            open: None,
            created: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// The tables that are whole.
    pub(super) fn finished(&self) -> &[TableInfo] {
        &self.finished
    }

    /// Takes the tables that are whole. An error later still removes them (JOB-2).
    pub(super) fn take_finished(&mut self) -> Vec<TableInfo> {
        std::mem::take(&mut self.finished)
    }

    /// Appends an entry. Begins a new output first if the last one should end and the user key differs (JOB-3).
    #[inline]
    pub(super) fn add(&mut self, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
        if let Some(open) = &self.open
            && !is_same_user_key(open.builder.last_user_key(), key.user_key)
        {
            let is_full = open.builder.estimated_size() >= self.context.target_file_size;
            // Called even if the output is full, because it has to see every key.
            if self.grandparents.ends_output(key.user_key) || is_full {
                self.finish_open()?;
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
        self.grandparents.begin_output(user_key);
        Ok(self.open.insert(OpenOutput {
            number,
            file_id,
            builder,
        }))
    }

    pub(super) fn finish_open(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            let summary = open.builder.finish()?;
            let table = TableInfo::new(open.number, open.file_id, summary);
            table.check()?;
            self.finished.push(table);
        }
        Ok(())
    }

    /// JOB-2. If a file cannot be removed now, the next open removes it.
    pub(super) fn remove_all(mut self) {
        self.open = None;
        for path in self.created {
            let _ = self.context.env.remove_file(&path);
        }
    }
}
