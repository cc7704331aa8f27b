//! Sealing the active memtable, and waiting until sealed ones are flushed.
//!
//! * S1  The log of the new memtable names its predecessor's number, final length and last sequence number.
//!       So once such a log may exist, its predecessor gets no more records: if a log that could not be completed
//!       cannot be removed either, the old one is poisoned, and only a newer log goes on.
//! * S2  At most [`MAX_SEALED`] memtables wait for their flush, except while resuming after a failed log; one, if with the active
//!       one it takes more than so many of `write_buffer_size` would. The rule is the same for every write: where small ones
//!       could pass a large one that waits, that would wait for ever.
//! * S3  The new log's header is durable, its directory entry not yet: the sync group syncs that before it
//!       acknowledges a synced record in it (G2), and a flush before the manifest names it (F2).

use super::shared::{Log, Shared};
use super::superversion::Sealed;
use super::sync_group::LogFile;
use crate::env::{Names, PathKind};
use crate::error::{Error, Result};
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber};
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::wal;

/// Memtables that may wait for their flush before writers wait too.
const MAX_SEALED: usize = 2;
/// Memtables are taken to be of this size at least: what smaller ones hold beyond it, or a write brings, is not much.
const SMALLEST_COUNTED_BYTES: u64 = 1 << 20;

impl Shared {
    /// Starts a new log, and seals the active memtable for a new one unless it is empty.
    pub(super) fn seal(&self, log: &mut Log) -> Result<()> {
        if log.is_closed {
            // The directory may be another one's by now.
            return Err(Error::closed("the database"));
        }
        // First: without memory for it nothing has changed.
        let memtable = Arc::new(Memtable::recycling(
            self.options.write_buffer_size as usize,
            Arc::clone(&self.spare_chunks),
        )?);
        let number = self.file_numbers.allocate();
        let name = Names::made_from_now(&*self.env);
        let predecessor = wal::Predecessor::new(
            log.file.number,
            log.writer.len(),
            log.last_sequence,
            log.file.synced(),
        );
        let writer = match self.create_log(number, predecessor) {
            Ok(writer) => writer,
            Err(error) => {
                self.note(format_args!("cannot start a log: {error}"));
                if self.remove_log(number).is_err() {
                    log.writer.poison(error.clone());
                }
                return Err(error);
            }
        };
        let file = LogFile::new(
            number,
            writer.log_id(),
            Arc::clone(writer.file()),
            writer.len(),
            0,
            name,
        );
        {
            let mut state = self.state.lock();
            state.flush_requests += 1;
            let mut next = (**self.superversion.load()).clone();
            if !log.memtable.is_empty() {
                let sealed = Sealed {
                    memtable: std::mem::replace(&mut next.active, memtable),
                    first_log: next.active_log,
                    last_sequence: log.last_sequence,
                };
                next.sealed.insert(0, Arc::new(sealed));
            }
            next.active_log = number;
            log.memtable = Arc::clone(&next.active);
            let replaced = self.show(&mut state, next);
            drop(state);
            drop(replaced);
        }
        self.sync_group.add(Arc::clone(&file));
        log.counts.bytes += log.writer.len();
        (log.writer, log.file) = (writer, file);
        log.reserved_up_to = 0;
        log.seals_next = false;
        self.doorbell.ring();
        Ok(())
    }

    /// Creates the log `number`, in the blank file if there is one, with a durable header.
    fn create_log(&self, number: FileNumber, predecessor: wal::Predecessor) -> Result<wal::Writer> {
        let (log_id, expected) = (self.env.random()?, self.options.write_buffer_size);
        match self.take_blank_log(number) {
            Some(blank) => wal::Writer::create_in(blank, log_id, predecessor, expected),
            None => {
                wal::Writer::create(&*self.env, &self.dir, number, log_id, predecessor, expected)
            }
        }
    }

    /// Removes, durably, what a failed creation may have left.
    fn remove_log(&self, number: FileNumber) -> Result<()> {
        let path = log_path(&self.dir, number);
        let removal = Names::made_from_now(&*self.env);
        if self.env.kind(&path)? != PathKind::Missing {
            self.env.remove_file(&path)?;
        }
        removal.sync(&*self.env, &self.dir)
    }

    /// Whether one more memtable may be sealed (S2).
    pub(super) fn has_room_to_seal(&self) -> bool {
        let superversion = self.superversion.load();
        may_seal(
            superversion.sealed.len(),
            superversion.memtable_bytes() as u64,
            self.options.write_buffer_size,
        )
    }

    /// Waits until a flush has made room for another sealed memtable. If flushing fails, lets it try once more
    /// and returns the error of that attempt.
    pub(super) fn wait_for_room_to_seal(&self) -> Result<()> {
        let started = self.env.now_micros();
        let outcome = self.wait_for_flushes(|shared| shared.has_room_to_seal());
        self.stall
            .add_micros(self.env.now_micros().saturating_sub(started));
        outcome
    }

    /// Waits until every memtable with a write at or before `last` is in a durable table.
    pub(super) fn wait_until_flushed(&self, last: SequenceNumber) -> Result<()> {
        self.wait_for_flushes(|shared| {
            shared
                .superversion
                .load()
                .sealed
                .iter()
                .all(|sealed| sealed.last_sequence > last)
        })
    }

    fn wait_for_flushes(&self, done: impl Fn(&Shared) -> bool) -> Result<()> {
        let mut state = self.state.lock();
        let seen = state.flush_attempts;
        state.flush_requests += 1;
        self.doorbell.ring();
        while !done(self) {
            if self.publisher.is_stopped() {
                return self.publisher.check();
            }
            if state.stop_flushing {
                return Err(Error::closed("the database"));
            }
            if let Some(failure) = &state.flush_failure
                && state.flush_attempts > seen
            {
                return Err(failure.clone());
            }
            if self.works_in_callers() {
                drop(state);
                self.flush_in_caller()?;
                state = self.state.lock();
                continue;
            }
            self.changed.wait(&mut state);
        }
        Ok(())
    }

    /// Makes everything acknowledged so far durable in tables; see `DB::flush`.
    pub(super) fn flush(&self) -> Result<()> {
        self.check_writable()?;
        self.flush_all()?;
        match self.state.lock().upkeep_failure.take() {
            Some(panicked) => Err(panicked.context(format_args!(
                "the flush succeeded, but work that the database does by itself did not"
            ))),
            None => Ok(()),
        }
    }

    /// Seals the active memtable if it holds anything and waits until all are in durable tables.
    pub(super) fn flush_all(&self) -> Result<()> {
        let mut log = self.log.lock();
        while self.log_failure(&log).is_some() {
            // After a failed append this flushes nothing by itself.
            self.resume(log)?;
            log = self.log.lock();
        }
        // A write that is in the log and not yet in the memtable is flushed too: `close` lets it be acknowledged.
        self.publisher.wait_for(log.last_sequence)?;
        if !log.memtable.is_empty() {
            self.seal(&mut log)?;
        }
        let last = log.last_sequence;
        drop(log);
        self.wait_until_flushed(last)
    }
}

/// Whether, beside `sealed` memtables that take `held` bytes with the active one, that may be sealed too (S2).
fn may_seal(sealed: usize, held: u64, write_buffer_size: u64) -> bool {
    let most = write_buffer_size
        .max(SMALLEST_COUNTED_BYTES)
        .saturating_mul(MAX_SEALED as u64 + 1);
    sealed == 0 || sealed < MAX_SEALED && held <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memtables_are_sealed_until_they_take_more_than_they_are_to() {
        const SIZE: u64 = SMALLEST_COUNTED_BYTES;
        assert!(
            may_seal(0, u64::MAX, SIZE),
            "the flush of none is waited for"
        );
        assert!(!may_seal(2, 0, SIZE));
        for size in [1, SIZE - 1, SIZE] {
            assert!(may_seal(1, 3 * SIZE, size) && !may_seal(1, 3 * SIZE + 1, size));
        }
        assert!(may_seal(1, 6 * SIZE, 2 * SIZE) && !may_seal(1, 6 * SIZE + 1, 2 * SIZE));
    }
}
