//! Sealing the active memtable, and waiting until sealed ones are flushed.
//!
//! * S1  The log of the new memtable names its predecessor's number, final length and last sequence number.
//!       So once such a log may exist, its predecessor gets no more records: if a log that could not be completed
//!       cannot be removed either, the old one is poisoned, and only a newer log goes on.
//! * S2  At most [`MAX_SEALED`] memtables wait for their flush, except while resuming after a failed log; and no more than, with
//!       the active one, take what so many of `write_buffer_size` do. A write that is larger than one waits until none waits.
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
        self.has_room_to_seal_for(0)
    }

    /// Whether one more memtable may be sealed for a write of so many bytes (S2).
    pub(super) fn has_room_to_seal_for(&self, bytes: u64) -> bool {
        let superversion = self.superversion.load();
        may_seal(
            superversion.sealed.len(),
            superversion.memtable_bytes() as u64,
            bytes,
            self.options.write_buffer_size,
        )
    }

    /// Waits until a flush has made room for another sealed memtable and a write of so many bytes. If flushing fails, lets it
    /// try once more and returns the error of that attempt.
    pub(super) fn wait_for_room_to_seal(&self, bytes: u64) -> Result<()> {
        let started = self.env.now_micros();
        let outcome = self.wait_for_flushes(|shared| shared.has_room_to_seal_for(bytes));
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

/// Whether, beside `sealed` memtables that take `held` bytes with the active one, one more may be sealed for a write of so many
/// `bytes` (S2).
fn may_seal(sealed: usize, held: u64, bytes: u64, write_buffer_size: u64) -> bool {
    let most = write_buffer_size
        .max(SMALLEST_COUNTED_BYTES)
        .saturating_mul(MAX_SEALED as u64 + 1);
    let fits =
        !is_larger_than_a_memtable(bytes, write_buffer_size) && held.saturating_add(bytes) <= most;
    sealed == 0 || sealed < MAX_SEALED && fits
}

/// Whether a write of so many bytes waits until no memtable waits for its flush (S2).
pub(super) fn is_larger_than_a_memtable(bytes: u64, write_buffer_size: u64) -> bool {
    bytes > write_buffer_size.max(SMALLEST_COUNTED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memtables_are_sealed_until_they_or_a_write_take_more_than_they_are_to() {
        const SIZE: u64 = SMALLEST_COUNTED_BYTES;
        for smaller in [0, 1, SIZE - 1] {
            let may = |sealed, held, bytes| may_seal(sealed, held, bytes, SIZE - smaller);
            assert!(may(1, 2 * SIZE, 1) && !may(2, 2 * SIZE, 1));
            assert!(may(1, 3 * SIZE - 1, 1) && !may(1, 3 * SIZE, 1));
            assert!(may(1, 2 * SIZE, SIZE) && !may(1, SIZE, SIZE + 1));
            assert!(
                may(0, u64::MAX, u64::MAX),
                "the flush of none is waited for"
            );
            assert!(!is_larger_than_a_memtable(SIZE, SIZE - smaller));
            assert!(is_larger_than_a_memtable(SIZE + 1, SIZE - smaller));
        }
        let may = |held| may_seal(1, held, 1, 2 * SIZE);
        assert!(may(6 * SIZE - 1) && !may(6 * SIZE));
        assert!(!is_larger_than_a_memtable(2 * SIZE, 2 * SIZE));
    }
}
