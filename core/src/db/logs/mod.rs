//! The files of the write-ahead log: making the next one, how far they are durable, and removing old ones.
//!
//! `commit/` decides what goes into a log. Locks: the sync group's, those of the files that it
//! syncs, and that of the trees' needs: all leaves.

use std::path::Path;

pub(super) use self::log_file::{LogFile, LogPlace, NoteSynced};
pub(super) use self::needs::TreeId;

use self::blank_log::BlankLog;
use self::needs::LogNeeds;
use self::sync_group::SyncGroup;
use super::context::Context;
use super::space::Space;
use crate::env::{DurableName, Env, Names, PathKind};
use crate::error::{Error, Result};
use crate::filename::{self, FileKind, log_path};
use crate::key::FileNumber;
use crate::sync::Arc;
use crate::wal::{self, DurableLog, LogId, SyncedFile};

mod blank_log;
mod group_wait;
mod log_file;
#[cfg(all(test, shuttle))]
mod models;
mod needs;
mod sync_group;

/// See the head of the file.
pub(super) struct Logs {
    context: Arc<Context>,
    space: Arc<Space>,
    /// The id of the database, which each log names.
    database: u32,
    sync_group: SyncGroup,
    needs: LogNeeds,
    /// The file in which the next log is to begin, if it has been made.
    blank: BlankLog,
}

impl Logs {
    /// The logs of a database opened with `first` as its log. `note_synced` records in the manifest that a log
    /// has synced records (SYNC-2).
    pub(super) fn new(
        context: &Arc<Context>,
        space: &Arc<Space>,
        database: u32,
        note_synced: Box<NoteSynced>,
        synced_file: Option<SyncedFile>,
        first: Arc<LogFile>,
    ) -> Logs {
        let (env, dir) = (context.shared_env(), context.dir().to_owned());
        Logs {
            sync_group: SyncGroup::new(env, dir, note_synced, synced_file, first),
            needs: LogNeeds::default(),
            blank: BlankLog::default(),
            context: Arc::clone(context),
            space: Arc::clone(space),
            database,
        }
    }

    /// Makes a blank log unless there is one, or the database is being closed. If that fails, or the disk has little
    /// room, the next seal makes its log without one. Called by one thread at a time.
    pub(super) fn prepare(&self) {
        let context = &self.context;
        if context.check_open().is_err() || !self.space.is_roomy() {
            return;
        }
        if let Err(error) = self.blank.make(context.env(), context.dir()) {
            context.note(format_args!("cannot make a log ahead: {error}"));
        }
    }

    /// Creates the log `number`, in the blank file if there is one, with a durable header. Called under the log's lock.
    pub(super) fn create(
        &self,
        number: FileNumber,
        predecessor: wal::Predecessor,
    ) -> Result<wal::Writer> {
        debug_assert!(
            predecessor.number < number,
            "SEAL-1: the log before it has a lower number"
        );
        let (env, dir) = (self.context.env(), self.context.dir());
        let expected = self.context.options().write_buffer_size;
        let id = LogId {
            database: self.database,
            log: env.random()?,
        };
        match self.take_blank(number) {
            Some(blank) => wal::Writer::create_in(blank, id, predecessor, expected),
            None => wal::Writer::create(env, dir, number, id, predecessor, expected),
        }
    }

    /// Makes the blank log, if there is one, the file of log `number`.
    fn take_blank(&self, number: FileNumber) -> Option<wal::Blank> {
        let taken = self
            .blank
            .take(self.context.env(), self.context.dir(), number);
        taken.unwrap_or_else(|error| {
            self.context
                .note(format_args!("cannot use the log made ahead: {error}"));
            None
        })
    }

    /// Removes, durably, what a failed creation of log `number` may have left.
    pub(super) fn remove(&self, number: FileNumber) -> Result<()> {
        let (env, dir) = (self.context.env(), self.context.dir());
        let path = log_path(dir, number);
        let removal = Names::made_from_now(env);
        if env.kind(&path)? != PathKind::Missing {
            env.remove_file(&path)?;
        }
        removal.sync(env, dir)?;
        Ok(())
    }

    /// Adds the log that appends go to from now on.
    pub(super) fn add(&self, log: Arc<LogFile>) {
        self.sync_group.add(log);
    }

    /// Waits until everything up to `place` is durable; syncs it unless another thread does.
    pub(super) fn wait_until_durable(&self, place: LogPlace) -> Result<()> {
        self.sync_group.wait_for(place)
    }

    /// The proof with which the manifest may name `log` as the oldest needed one (FLUSH-2), after the directory
    /// was `synced`. `None` if the name is uncertain.
    pub(super) fn durable_log(&self, log: FileNumber, synced: DurableName) -> Option<DurableLog> {
        self.sync_group.durable_log(log, synced)
    }

    /// Adds a tree that needs the logs from `oldest` on.
    pub(super) fn add_tree(&self, oldest: FileNumber) -> TreeId {
        self.needs.add(oldest)
    }

    /// Records that `tree`, which has no entry in a memtable, needs only the logs from `oldest` on.
    pub(super) fn note_idle(&self, tree: TreeId, oldest: FileNumber) {
        self.needs.raise(tree, oldest);
    }

    /// Records that no tree needs a log before `oldest`: all older writes are in durable tables.
    pub(super) fn note_all_flushed(&self, oldest: FileNumber) {
        self.needs.raise_all(oldest);
    }

    /// The oldest log that any tree needs, if `tree` needs only those from `oldest` on (NEEDS-1). One thread flushes
    /// all trees, so the others need no older logs until it has made this durable.
    pub(super) fn oldest_if(&self, tree: TreeId, oldest: FileNumber) -> FileNumber {
        self.needs.oldest_if(tree, oldest)
    }

    /// Records that `tree` needs only the logs from `oldest` on, because the contents of older ones are in durable
    /// tables. Removes the files before `named`, the log with which the manifest now begins, if it does: it may name an
    /// older one than any tree still needs. What cannot be removed now, the next open removes.
    pub(super) fn release(&self, tree: TreeId, oldest: FileNumber, named: Option<&DurableLog>) {
        let needed = self.needs.raise(tree, oldest);
        self.sync_group.forget_before(needed);
        let Some(named) = named else { return };
        let (env, dir) = (self.context.env(), self.context.dir());
        if let Err(error) = delete_before(env, dir, named.number()) {
            self.context.note(format_args!("{error}"));
        }
    }

    /// Whether a sync has failed, and was not overcome yet (SYNC-3).
    #[inline]
    pub(super) fn has_failed(&self) -> bool {
        self.sync_group.has_failed()
    }

    /// The error of that sync.
    pub(super) fn failure(&self) -> Option<Error> {
        self.sync_group.failure()
    }

    /// Forgets every log but `log`, and a failure: all acknowledged writes are in durable tables (SYNC-3).
    pub(super) fn restart(&self, log: Arc<LogFile>) {
        self.sync_group.restart(log);
    }

    /// How often a log was synced.
    pub(super) fn syncs(&self) -> u64 {
        self.sync_group.syncs()
    }

    /// Removes the blank log, if there is one.
    pub(super) fn remove_blank(&self) {
        self.blank.remove(self.context.env(), self.context.dir());
    }

    /// Closes the files.
    pub(super) fn let_go(&self) {
        self.sync_group.let_go();
    }
}

/// The numbers of the log files among `names`, ascending.
pub(super) fn log_numbers(names: &[String]) -> Vec<FileNumber> {
    let mut numbers: Vec<FileNumber> = names
        .iter()
        .filter_map(|name| match filename::parse(name) {
            Some(FileKind::Log(number)) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

fn delete_before(env: &dyn Env, dir: &Path, needed: FileNumber) -> Result<()> {
    for number in log_numbers(&env.list(dir)?) {
        if number < needed {
            env.remove_file(&log_path(dir, number))?;
        }
    }
    Ok(())
}
