//! Flushing: the oldest sealed memtable becomes a table in level 0.
//!
//! * F1  A memtable is flushed only when its last number is published: by then every insert into it is done.
//! * F2  The edit names, as the oldest log needed, one whose header and directory entry are durable. So a missing
//!       or headless log of that number is damage, never the trace of an ordinary crash. If a sync of the directory
//!       has failed, the entry is in doubt: then the edit names none, and the older logs stay.
//! * F4  A table is installed only if its entries, and those that were dropped, are those that commits inserted
//!       (LEDGER-1). If they do not add up the memtable stays, and its log: nothing is lost, and the next try may do.
//! * F5  A panic between the two halves of an installation, on disk and in memory, stops writing: the next one would be
//!       made from what is no longer so. Reads go on, and the next open finds what is durable.
//! * F6  A table is installed only if a reader that opens it finds what the edit says of it (OUTPUT-1).
//! * F3  A log is deleted only after the edit that no longer needs it is durable.

use std::path::Path;

use super::background::guarded;
use super::files::delete_old_logs;
use super::shared::Shared;
use super::superversion::{Sealed, SuperVersion};
use crate::compaction::{Ledger, Readers, Reason, Retention, check_added};
use crate::content::Sum;
use crate::env::Names;
use crate::error::{Error, Result};
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, SequenceNumber};
use crate::sstable::{Builder, TableOptions};
use crate::sync::Arc;
use crate::version::{TableInfo, VersionEdit, shorten};

impl Shared {
    /// Flushes the oldest sealed memtable; whether there was one. Called by one thread at a time.
    pub(super) fn flush_oldest(&self) -> Result<bool> {
        let superversion = self.superversion.load_full();
        let Some(sealed) = superversion.sealed.last() else {
            return Ok(false);
        };
        let outcome = guarded(|| {
            self.step("a flush begins");
            // First: the next memtable may be full before this one is a table.
            self.prepare_log();
            let flushed = self.flush_memtable(&superversion, sealed);
            self.step("a flush has ended");
            self.adjust_reserve();
            flushed
        });
        self.step("a flush is to be told of");
        let mut state = self.state.lock();
        state.flush_attempts += 1;
        state.flush_failure = outcome.as_ref().err().cloned();
        self.changed.notify_all();
        drop(state);
        self.step("a flush was told of");
        drop(superversion);
        if self.superversion.load().active.is_empty() {
            // Nobody writes at present, so nobody needs what the memtable left.
            self.spare_chunks.clear();
        }
        if let Err(error) = &outcome {
            self.note(format_args!("flush failed: {error}"));
        }
        self.step("a flush was noted");
        outcome.map(|()| true)
    }

    fn flush_memtable(&self, superversion: &SuperVersion, sealed: &Arc<Sealed>) -> Result<()> {
        self.publisher.wait_for(sealed.last_sequence)?;
        self.step("a memtable is published");
        let log_number = superversion.log_after_flush();
        let mut edit = VersionEdit {
            log_number: Some(log_number),
            last_sequence: Some(sealed.last_sequence),
            ..VersionEdit::default()
        };
        let number = self.file_numbers.allocate();
        let name = Names::made_from_now(&*self.env);
        // S7: what the table was found to hold, not what the edit has.
        let gained = match self.write_table(&self.dir, number, sealed, &mut edit) {
            Err(error) if error.is_unaccounted() => {
                self.note(format_args!("flush, to be tried once more: {error}"));
                self.write_table(&self.dir, number, sealed, &mut edit)?
            }
            outcome => outcome?,
        };
        self.step("a table is written");
        // F2; the table's entry too.
        name.sync(&*self.env, &self.dir)?;
        let names_log = self.sync_group.has_durable_name(log_number);
        if !names_log {
            edit.log_number = None;
        }
        let of_the_table = |table: &(usize, TableInfo)| (table.1.size, table.1.entries);
        let (size, written) = edit.added.first().map_or((0, 0), of_the_table);
        self.watch.learn(sealed.memtable.sum(), written);
        self.install(edit, gained, |shown| {
            // Counted before those who wait for the flush are woken.
            self.metrics.flushes.add(1);
            self.metrics.flush_bytes_written.add(size);
            shown.sealed.retain(|other| !Arc::ptr_eq(other, sealed));
        })?;
        self.step("a flushed table is shown");
        self.note(format_args!(
            "flushed {} entries to {size} bytes",
            sealed.memtable.entries()
        ));
        self.sync_group.forget_before(log_number);
        if names_log && let Err(error) = delete_old_logs(&*self.env, &self.dir, log_number) {
            self.note(format_args!("{error}"));
        }
        Ok(())
    }

    /// Writes what some reader may still see of a memtable to the new table `number` in `dir`, and adds that to `edit`,
    /// which adds nothing yet; what the table holds. If there is nothing to see there is no table. After an error `edit` is as it
    /// was.
    pub(super) fn write_table(
        &self,
        dir: &Path,
        number: FileNumber,
        sealed: &Sealed,
        edit: &mut VersionEdit,
    ) -> Result<Sum> {
        let mut entries = sealed.memtable.iter();
        entries.seek_to_first()?;
        if !entries.valid() {
            return Ok(Sum::default());
        }
        let path = table_path(dir, number);
        let file = self.space.for_flushes().create_new(&path)?;
        let outcome = (|| {
            let file_id = self.env.random()?;
            let mut builder = Builder::new(file, path.clone(), file_id, self.table_options())?;
            builder.set_created_micros(self.env.wall_micros());
            let visible = self.snapshots.visible(|| self.publisher.last());
            let mut retention = Retention::new(&visible)?;
            let mut ledger = Ledger::new(self.readers());
            while entries.valid() {
                let (key, value) = (entries.key(), entries.value());
                ledger.read(key, |_| true)?;
                if retention.keeps(key)? {
                    builder.add(key, value)?;
                    ledger.written(key)?;
                } else {
                    ledger.dropped(Reason::Shadowed, key, value);
                }
                entries.next()?;
                if builder.entries().is_multiple_of(1024) {
                    self.step("1024 entries are flushed");
                    if self.state.lock().stop_flushing {
                        return Err(Error::closed("the database"));
                    }
                }
            }
            let table = builder.finish()?;
            let written = table.sum;
            ledger.balance(sealed.memtable.sum(), written, |_| true)?;
            let mut table = TableInfo::new(number, file_id, table);
            shorten(&mut [&mut table], None);
            edit.add(0, table);
            // Last: nothing is changed any more.
            check_added(edit, &*self.env, dir)?;
            Ok(written)
        })();
        if outcome.is_err() {
            edit.added.clear();
            // Not in any version; if this fails too, the next open removes it.
            let _ = self.env.remove_file(&path);
        }
        outcome
    }

    /// Makes `edit`, by which tables gain `gained`, durable, then shows the version it leads to, with `change` applied to the
    /// superversion.
    pub(super) fn install(
        &self,
        edit: VersionEdit,
        gained: Sum,
        change: impl FnOnce(&mut SuperVersion),
    ) -> Result<()> {
        // What another installation has left half done cannot be built upon.
        self.publisher.check()?;
        let mut versions = self.versions.lock();
        self.step("an edit is to be made durable");
        let version = versions.log_and_apply(edit, gained)?;
        let half_done = StopUnlessShown(self);
        self.step("an edit is durable");
        let mut state = self.state.lock();
        let mut next = SuperVersion {
            version,
            ..(**self.superversion.load()).clone()
        };
        change(&mut next);
        let old = self.show(&mut state, next);
        std::mem::forget(half_done);
        drop(state);
        self.step("an edit is shown");
        drop(versions);
        drop(old);
        Ok(())
    }

    /// Who may read now, for a ledger.
    pub(super) fn readers(&self) -> Readers {
        Readers {
            // While the list lacks a snapshot, there may be a reader at any number.
            published: match self.snapshots.is_whole() {
                true => self.publisher.last(),
                false => SequenceNumber(0),
            },
            pinned: self.snapshots.pinned(),
        }
    }

    /// How new tables are built.
    pub(super) fn table_options(&self) -> TableOptions {
        TableOptions {
            block_size: self.options.block_size as usize,
            block_restart_interval: self.options.block_restart_interval as usize,
            compression: self.options.compression,
            bloom_bits_per_key: self.options.bloom_bits_per_key as u32,
        }
    }
}

/// Stops writing if it is dropped, which a panic does (F5).
struct StopUnlessShown<'a>(&'a Shared);

impl Drop for StopUnlessShown<'_> {
    fn drop(&mut self) {
        self.0.publisher.stop();
    }
}
