//! Flushing: the oldest sealed memtable becomes a table in level 0.
//!
//! * FLUSH-1  A memtable is flushed only after its last sequence number is published: by then every insert into
//!            it is done.
//! * FLUSH-2  The oldest needed log that the edit names has a durable header and a durable directory entry. So
//!            if the log with that number is missing or has no header, that is damage, never the result of an
//!            ordinary crash. After a failed sync of the directory the entry is uncertain: then the edit names
//!            no log, and the older logs stay.
//! * FLUSH-3  A table is installed only if its entries and the dropped ones are together the entries that
//!            commits inserted (LEDGER-1). If they do not add up, the memtable and its log stay: nothing is
//!            lost, and the next try may succeed.
//! * FLUSH-4  A table is installed only if a reader that opens it finds the facts that the edit states
//!            (OUTPUT-1).
//! * FLUSH-5  A log is deleted only after the edit that no longer needs it is durable.
//! * FLUSH-8  Memtables are flushed in the order of their numbers. So every entry of a memtable is newer than every
//!            range delete in a table, and none is older than one that has retired.
//! * FLUSH-6  At most [`MAX_SEALED`] memtables wait for their flush, except while resuming after a failed log.
//!            Only one waits if it and the active memtable together take more than that many of
//!            `write_buffer_size` would. The rule is the same for every write: if small writes could overtake a
//!            large one that waits, it would wait for ever.
//!
//! Elsewhere: installing the table (`install.rs`, FLUSH-7), waiting for a flush (`wait.rs`).

use std::path::Path;

use super::Tree;
use super::superversion::{Sealed, SuperVersion};
use crate::compaction::{Ledger, Reason, Retention, check_added};
use crate::content::Sum;
use crate::db::panics::guarded;
use crate::env::Names;
use crate::error::{Error, Result};
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, SequenceNumber, ValueKind};
use crate::memory;
use crate::range_delete::RangeDelete;
use crate::sstable::Builder;
use crate::sync::Arc;
use crate::version::{TableInfo, VersionEdit, shorten};

/// Memtables that may wait for their flush before writers wait too.
const MAX_SEALED: usize = 2;
/// Memtables count as at least this large. Smaller ones may exceed their size without harm, as may a write.
const MIN_COUNTED_BYTES: u64 = 1 << 20;

impl Tree {
    /// Flushes the waiting memtables, on the flush thread; returns whether the thread must stop. `failed_for`: the
    /// number of requests that the last flush failed to serve.
    pub(in crate::db) fn flush_what_waits(&self, failed_for: &mut Option<u64>) -> bool {
        loop {
            let state = self.state.lock();
            if state.stop_flushing {
                return true;
            }
            let requests = Some(state.flush_requests);
            drop(state);
            if *failed_for != requests {
                // If it fails, the next request tries again: a writer that needs room, a flush, or close.
                let before = std::mem::replace(failed_for, requests);
                match self.flush_oldest() {
                    Ok(true) => {
                        *failed_for = None;
                        continue;
                    }
                    Ok(false) => *failed_for = before,
                    Err(_) => {}
                }
            }
            // Removes one at a time, because the next memtable may become full.
            if !self.delete_obsolete_table() {
                return false;
            }
        }
    }

    /// Passes `error`, from the flush thread, to the threads that wait for a flush.
    pub(in crate::db) fn flush_failed(&self, error: Error) {
        let mut state = self.state.lock();
        state.flush_attempts += 1;
        state.flush_failure = Some(error);
        self.changed.notify_all();
    }

    /// Flushes the oldest sealed memtable; returns whether there was one. Called by one thread at a time.
    pub(super) fn flush_oldest(&self) -> Result<bool> {
        let superversion = self.superversion.load_full();
        let Some(sealed) = superversion.sealed.last() else {
            return Ok(false);
        };
        let outcome = guarded(|| {
            self.context.step("a flush begins");
            // First: the next memtable may be full before this one is a table.
            self.logs.prepare();
            let flushed = self.flush_memtable(&superversion, sealed);
            self.context.step("a flush has ended");
            self.adjust_reserve();
            flushed
        });
        self.context.step("a flush is to be reported");
        let mut state = self.state.lock();
        state.flush_attempts += 1;
        state.flush_failure = outcome.as_ref().err().cloned();
        self.changed.notify_all();
        drop(state);
        self.context.step("a flush was reported");
        drop(superversion);
        memory::return_large_pieces();
        if self.superversion.load().active.is_empty() {
            // There are no writes now, so the memtable's memory is not needed.
            self.spare_chunks.clear();
        }
        if let Err(error) = &outcome {
            self.context.note(format_args!("flush failed: {error}"));
        }
        self.context.step("a flush was noted");
        outcome.map(|()| true)
    }

    fn flush_memtable(&self, superversion: &SuperVersion, sealed: &Arc<Sealed>) -> Result<()> {
        self.order.wait_for(sealed.last_sequence)?;
        self.context.step("a memtable is published");
        debug_assert!(
            self.order.visible().last() >= Some(&sealed.last_sequence),
            "FLUSH-1: every insert is done"
        );
        let own_oldest = superversion.log_after_flush();
        let oldest = self.logs.oldest_if(self.id, own_oldest);
        debug_assert!(
            oldest >= self.log_number(),
            "FLUSH-5: a log that is not needed any more never is again"
        );
        let mut edit = VersionEdit::default();
        edit.last_sequence = Some(sealed.last_sequence);
        let number = self.file_numbers.allocate();
        let name = Names::made_from_now(self.context.env());
        // SET-7: the sum of what the table was found to hold, not of what the edit states.
        let gained = match self.write_table(self.context.dir(), number, sealed, &mut edit) {
            Err(error) if error.is_unaccounted() => {
                self.context
                    .note(format_args!("flush failed, it will be retried: {error}"));
                self.write_table(self.context.dir(), number, sealed, &mut edit)?
            }
            outcome => outcome?,
        };
        self.context.step("a table is written");
        // FLUSH-2. This makes the table's entry durable too.
        let synced = name.sync(self.context.env(), self.context.dir())?;
        let needed = self.logs.durable_log(oldest, synced);
        if let Some(log) = &needed {
            edit.begin_logs_with(log);
        }
        let of_the_table = |table: &(usize, TableInfo)| (table.1.size, table.1.entries);
        let (size, written) = edit.added.first().map_or((0, 0), of_the_table);
        self.early_seals.learn(sealed.memtable.sum(), written);
        self.install(edit, gained, |shown| {
            // Counted before the threads that wait for the flush are woken.
            self.context.metrics().flushes.add(1);
            self.context.metrics().flush_bytes_written.add(size);
            debug_assert!(
                shown
                    .sealed
                    .last()
                    .is_some_and(|oldest| Arc::ptr_eq(oldest, sealed)),
                "COMPACT-1: only one thread flushes, and the oldest goes first"
            );
            shown.sealed.retain(|other| !Arc::ptr_eq(other, sealed));
        })?;
        self.context.step("a flushed table is shown");
        self.context.note(format_args!(
            "flushed {} entries to {size} bytes",
            sealed.memtable.entries()
        ));
        self.logs.release(self.id, own_oldest, needed.as_ref());
        Ok(())
    }

    /// Writes the entries of a memtable that some reader may still see to the new table `number` in `dir`. Adds the
    /// table to `edit`, which must add none yet, and returns the sum of its entries. Without such entries makes no
    /// table. After an error `edit` is as it was.
    pub(in crate::db) fn write_table(
        &self,
        dir: &Path,
        number: FileNumber,
        sealed: &Sealed,
        edit: &mut VersionEdit,
    ) -> Result<Sum> {
        debug_assert!(edit.added.is_empty(), "FLUSH-3: one table is checked");
        let mut entries = sealed.memtable.iter();
        entries.seek_to_first()?;
        if !entries.valid() {
            return Ok(Sum::default());
        }
        let path = table_path(dir, number);
        let file = self.space.for_flushes().create_new(&path)?;
        let outcome = (|| {
            let file_id = self.context.env().random()?;
            let mut builder = Builder::new(file, path.clone(), file_id, self.table_options())?;
            builder.set_created_micros(self.context.env().wall_micros());
            let visible = self.order.visible();
            // Its own range deletes cover its entries: both get into the same table. Those of tables are older
            // (FLUSH-8).
            let ranges = sealed.memtable.range_deletes();
            let mut retention = Retention::new(&visible, ranges)?;
            let mut ledger = Ledger::new(self.order.readers());
            let newest_in_tables = self.newest_range_delete();
            while entries.valid() {
                let (key, value) = (entries.key(), entries.value());
                debug_assert!(
                    key.trailer.sequence() <= sealed.last_sequence,
                    "FLUSH-1: no later write is in the memtable"
                );
                debug_assert!(
                    key.trailer.sequence() > newest_in_tables,
                    "FLUSH-8: memtables are flushed in the order of their numbers"
                );
                read_into(&mut ledger, key, value)?;
                if retention.keeps(key)? {
                    builder.add(key, value)?;
                    ledger.written(key)?;
                } else {
                    ledger.dropped(Reason::Shadowed, key, value);
                }
                entries.next()?;
                if builder.entries().is_multiple_of(1024) {
                    self.context.step("1024 entries are flushed");
                    if self.state.lock().stop_flushing {
                        return Err(Error::closed("the database"));
                    }
                }
            }
            let table = builder.finish()?;
            let written = table.sum;
            // FLUSH-3.
            ledger.balance(sealed.memtable.sum(), written, |_| true)?;
            let mut table = TableInfo::new(number, file_id, table);
            shorten(&mut [&mut table], None);
            edit.add(0, table);
            // Last, so that nothing changes the edit after it is checked.
            check_added(edit, self.keyspace, self.context.env(), dir)?;
            Ok(written)
        })();
        if outcome.is_err() {
            edit.added.clear();
            // Not in any version; if this fails too, the next open removes it.
            let _ = self.context.env().remove_file(&path);
        }
        outcome
    }

    /// The number of the newest range delete in a table; 0 if there is none.
    fn newest_range_delete(&self) -> SequenceNumber {
        let superversion = self.superversion.load();
        let ranges = superversion.version.range_deletes();
        ranges.map_or(SequenceNumber(0), |ranges| ranges.newest_number())
    }

    /// Whether one more memtable may be sealed (FLUSH-6).
    pub(in crate::db) fn has_room_to_seal(&self) -> bool {
        let superversion = self.superversion.load();
        may_seal(
            superversion.sealed.len(),
            superversion.memtable_bytes() as u64,
            self.context.options().write_buffer_size,
        )
    }
}

/// Notes in `ledger` that an entry of a memtable was read.
#[inline]
fn read_into(ledger: &mut Ledger, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
    ledger.read(key, |_| true)?;
    if key.trailer.kind() == Some(ValueKind::RangeDelete) {
        let number = key.trailer.sequence();
        ledger.begin_range(RangeDelete::of_entry(key.user_key, number, value)?);
    }
    Ok(())
}

/// Whether the active memtable may be sealed (FLUSH-6) while `sealed` others are; together they take `held` bytes.
fn may_seal(sealed: usize, held: u64, write_buffer_size: u64) -> bool {
    let most = write_buffer_size
        .max(MIN_COUNTED_BYTES)
        .saturating_mul(MAX_SEALED as u64 + 1);
    sealed == 0 || sealed < MAX_SEALED && held <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memtables_are_sealed_until_they_take_more_than_they_are_to() {
        const SIZE: u64 = MIN_COUNTED_BYTES;
        assert!(
            may_seal(0, u64::MAX, SIZE),
            "with none sealed there is no flush to wait for"
        );
        assert!(!may_seal(2, 0, SIZE));
        for size in [1, SIZE - 1, SIZE] {
            assert!(may_seal(1, 3 * SIZE, size) && !may_seal(1, 3 * SIZE + 1, size));
        }
        assert!(may_seal(1, 6 * SIZE, 2 * SIZE) && !may_seal(1, 6 * SIZE + 1, 2 * SIZE));
    }
}
