//! The commit path: how a batch becomes visible and durable.
//!
//! * COMMIT-1  A batch is in the log before any part of it is in a memtable.
//! * COMMIT-2  After a failed append or sync nothing more is appended to that log: the state of its tail is
//!             unknown, and replay could never reach a good record after a bad one. `resume.rs` starts a new
//!             log.
//! * COMMIT-3  The memory for a batch in the memtable is allocated before its record is written. If there is
//!             none, the batch is not in the log, and the same call succeeds once there is memory.
//! * COMMIT-4  The decision to abandon a cancelled write is made under the log's lock (EFFORT-3). So a caller
//!             that cancelled a write finds it in the log before its own next write, or never.
//! * COMMIT-5  A memtable is sealed between two batches, under the log's lock: a batch is completely in one
//!             memtable, and the log of a memtable has no record of another.
//!
//! Elsewhere: sealing (`seal.rs`), stalls (`tree/stall.rs`), the record's bytes (`wal/`).

use super::recent::Compared;
use super::{Commit, Log};
use crate::batch::{Operation, Operations, WriteBatch, operations};
use crate::db::locks::Locked;
use crate::db::logs::LogPlace;
use crate::db::order::Order;
use crate::effort;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{SequenceNumber, Trailer};
use crate::memtable::{Location, Memtable, Room};
use crate::options::WriteOptions;
use crate::sync::{Arc, panicking};
use crate::transaction::Reads;
use crate::version::Needs;
use crate::wal;

/// At most this many operations of a batch are located before the first of them is inserted.
const LOCATED_AHEAD: usize = 8;

impl Commit {
    /// Makes `batch` visible and, if asked, durable. The only caller of `wal::Writer::append`.
    ///
    /// 1. under the log's lock: reserve memory in the memtable, take sequence numbers, append to the log
    /// 2. insert into the memtable
    /// 3. publish the sequence numbers, in order
    /// 4. wait for the group's sync, if `sync`
    ///
    /// Readers see nothing before step 3, and none that begins after this has returned misses it (PUBLISH-3). If step
    /// 1 fails, 2 to 4 do not run. Acknowledged when this returns.
    ///
    /// Returns the sequence number of the batch's last operation; for an empty batch, which takes none, the
    /// last published one.
    pub(in crate::db) fn commit(
        &self,
        batch: &WriteBatch,
        options: &WriteOptions,
    ) -> Result<SequenceNumber> {
        if batch.is_empty() {
            self.context.check_writable()?;
            if options.sync {
                self.sync_all()?;
            }
            return Ok(self.order.last());
        }
        self.admit(batch)?;
        match self.commit_if(batch, None)? {
            Ok(committed) => self.finish(committed, options),
            Err(_) => Err(Error::internal("a write has no condition that could fail")),
        }
    }

    /// Waits as long as writers must, so that flushes and compactions keep up. Once for each batch.
    #[inline]
    pub(in crate::db) fn admit(&self, batch: &WriteBatch) -> Result<()> {
        self.context.check_writable()?;
        self.tree.admit(batch.encoded().len() as u64)
    }

    /// Steps 1 to 3 for a batch that is admitted and not empty. With a `condition`, only if it holds at the very place
    /// in the order of commits that the batch gets; otherwise tells why not, and has done nothing. Nor has it after
    /// `OutOfMemory`.
    #[inline]
    pub(in crate::db) fn commit_if(
        &self,
        batch: &WriteBatch,
        condition: Option<&Unchanged<'_>>,
    ) -> Result<std::result::Result<Committed, NotUnchanged>> {
        debug_assert!(!batch.is_empty(), "PUBLISH-1: a commit takes a number");
        let needs = Needs::RANGE_DELETES.only_if(batch.range_deletes() > 0);
        if needs != Needs::NOTHING {
            self.context.check_writable()?;
            // FEATURE-1.
            self.tree.name_features(needs)?;
        }
        let payload = wal::Payload::new(batch.encoded());
        loop {
            match self.try_commit(batch, &payload, condition)? {
                Ok(committed) => return Ok(Ok(committed)),
                Err(Obstacle::Condition(reason)) => return Ok(Err(reason)),
                Err(obstacle) => self.wait_out(obstacle)?,
            }
        }
    }

    /// Step 4; returns the sequence number of the batch's last operation.
    #[inline]
    pub(in crate::db) fn finish(
        &self,
        committed: Committed,
        options: &WriteOptions,
    ) -> Result<SequenceNumber> {
        if options.sync {
            self.wait_until_durable(committed.place)?;
        }
        Ok(committed.last)
    }

    /// Waits until `obstacle` is gone.
    #[cold]
    fn wait_out(&self, obstacle: Obstacle) -> Result<()> {
        effort::wait()?;
        match obstacle {
            Obstacle::Space => self.tree.wait_for_space(),
            Obstacle::Sealed => self.tree.wait_for_room_to_seal(),
            Obstacle::Condition(_) => Ok(()),
        }
    }

    /// Tries steps 1 to 3; otherwise returns the obstacle to them. The caller waits for the obstacle to go: this
    /// function cannot, because it holds a version, whose tables may take the very space that is missing.
    pub(in crate::db) fn try_commit(
        &self,
        batch: &WriteBatch,
        payload: &wal::Payload<'_>,
        condition: Option<&Unchanged<'_>>,
    ) -> Result<std::result::Result<Committed, Obstacle>> {
        // Prefetch the memory that the insert will need, while the log is written.
        let superversion = self.tree.load();
        let mut others = operations(batch.encoded())?;
        let first = others.next().transpose()?.zip(batch.contents().first());
        let (first, content) =
            first.ok_or_else(|| Error::internal("a batch has fewer operations than it counts"))?;
        let location = superversion.active().locate(first.key, content.key_hash);

        let newer;
        let (stop, memtable, room, before, ticket, place) = {
            let mut log = match self.log_with_room(batch)? {
                Ok(log) => log,
                Err(obstacle) => return Ok(Err(obstacle)),
            };
            if let Some(reason) = condition.and_then(|condition| self.refusal(condition)) {
                return Ok(Err(Obstacle::Condition(reason)));
            }
            let is_same = Arc::ptr_eq(&log.memtable, superversion.active());
            newer = (!is_same).then(|| Arc::clone(&log.memtable));
            let memtable = newer.as_ref().unwrap_or(superversion.active());
            debug_assert!(
                Arc::ptr_eq(memtable, self.tree.load().active()),
                "COMMIT-5: under the log's lock no memtable is sealed"
            );
            // COMMIT-3.
            let count = batch.len();
            let bytes = match count {
                1 => first.key.len() + first.value.len(),
                _ => batch.most_key_and_value_bytes(),
            };
            let room = memtable.reserve_for(bytes, count)?;
            if batch.range_deletes() > 0 {
                memtable.make_room_for_ranges(batch.range_deletes(), bytes)?;
            }
            log.writer.reserve(payload)?;
            let mut stop = StopUnlessDefused {
                order: &self.order,
                is_numbered: false,
                was_panicking: panicking(),
            };
            let (before, ticket) = (log.last_sequence, log.counts.batches);
            let place = self.append(&mut log, batch, payload)?;
            stop.is_numbered = true;
            self.recent.add(log.last_sequence, batch);
            debug_assert_eq!(
                place.offset(),
                log.writer.len(),
                "COMMIT-1: the batch is in the log"
            );
            debug_assert!(log.file.synced().length() <= place.offset(), "SYNCED-1");
            (stop, memtable, room, before, ticket, place)
        };
        let last = before.plus(u64::from(batch.count()));
        let location = match &newer {
            None => location,
            Some(memtable) => memtable.locate(first.key, content.key_hash),
        };
        insert(memtable, room, (first, location), others, batch, before)?;
        std::mem::forget(stop);
        self.order.publish(ticket, last)?;
        Ok(Ok(Committed { place, last }))
    }

    /// Why a condition does not hold. Called under the log's lock; looks only into memory.
    fn refusal(&self, condition: &Unchanged<'_>) -> Option<NotUnchanged> {
        match self.recent.compare_few(condition.reads, condition.since) {
            Some(Compared::UnchangedUpTo(_)) => None,
            Some(Compared::Changed) => Some(NotUnchanged::Changed),
            Some(Compared::ForgottenUpTo(_)) | None => Some(NotUnchanged::Unknown),
        }
    }

    /// Appends the batch's record and takes its sequence numbers.
    fn append(
        &self,
        log: &mut Log,
        batch: &WriteBatch,
        payload: &wal::Payload<'_>,
    ) -> Result<LogPlace> {
        let count = u64::from(batch.count());
        if SequenceNumber::MAX.0 - log.last_sequence.0 < count {
            return Err(Error::unsupported("all 2^56 sequence numbers are used up"));
        }
        let first = log.last_sequence.plus(1);
        let end = log
            .writer
            .append(first, payload, log.file.synced())
            .inspect_err(|error| {
                self.context
                    .note(format_args!("log append failed: {error}"))
            })?;
        log.file.set_end(end);
        log.last_sequence = log.last_sequence.plus(count);
        log.counts.operations += count;
        log.counts.batches += 1;
        debug_assert!(
            log.counts.batches <= log.counts.operations,
            "PUBLISH-1: each ticket publishes at least one number"
        );
        Ok(log.file.place(end))
    }

    /// The log's lock, with a healthy log, room in the memtable, and space on the disk for `batch`; or what to wait
    /// for.
    fn log_with_room(
        &self,
        batch: &WriteBatch,
    ) -> Result<std::result::Result<Locked<'_, Log>, Obstacle>> {
        let mut log = loop {
            let log = self.log.lock();
            // Checked each time the lock is taken: a close or a panic may have come in between.
            self.context.check_writable()?;
            self.order.check()?;
            // COMMIT-4.
            effort::begin_write()?;
            if self.log_failure(&log).is_none() {
                break log;
            }
            effort::wait()?;
            self.resume(log)?;
        };
        let full = log.memtable.memory() as u64 >= self.context.options().write_buffer_size
            || self.space.seals_early(log.writer.len());
        if log.seals_next && self.tree.has_room_to_seal() && !self.tree.must_wait_for_space() {
            self.seal(&mut log)?;
        } else if full && !log.memtable.is_empty() {
            if self.tree.must_wait_for_space() {
                return Ok(Err(Obstacle::Space));
            }
            if !self.tree.has_room_to_seal() {
                return Ok(Err(Obstacle::Sealed));
            }
            self.seal(&mut log)?;
        }
        debug_assert!(
            !log.is_closed,
            "CLOSE-1: no close takes the log while its lock is held"
        );
        match self.keep_reserve(&mut log, batch) {
            Err(error) if error.kind() == ErrorKind::NoSpace && self.tree.must_wait_for_space() => {
                Ok(Err(Obstacle::Space))
            }
            outcome => outcome.map(|()| Ok(log)),
        }
    }
}

/// Inserts the operations of a batch in `room` and accounts for them: the `first`, which has been located, and the
/// `others`. Their numbers follow `before`.
fn insert<'a>(
    memtable: &'a Memtable,
    mut room: Room<'_>,
    first: (Operation<'a>, Location<'a>),
    mut others: Operations<'a>,
    batch: &'a WriteBatch,
    before: SequenceNumber,
) -> Result<()> {
    debug_assert!(
        batch.sum(before).entries() == u64::from(batch.count()),
        "MEMTABLE-5: every operation is accounted for"
    );
    memtable.account(batch.sum(before));
    let mut sequence = before;
    let mut insert = |(operation, location): (Operation<'a>, Location<'a>)| {
        sequence = sequence.plus(1);
        let Operation {
            kind, key, value, ..
        } = operation;
        let trailer = Trailer::new(sequence, kind);
        memtable.insert_at(&mut room, location, key, trailer, value)
    };
    match batch.contents() {
        [] | [_] => insert(first)?,
        [_, contents @ ..] => {
            // Locating several before the first is inserted lets their memory arrive together.
            let mut located = [const { None }; LOCATED_AHEAD];
            located[0] = Some(first);
            let mut count = 1;
            for content in contents {
                let Some(operation) = others.next().transpose()? else {
                    break;
                };
                if count == LOCATED_AHEAD {
                    located
                        .iter_mut()
                        .filter_map(Option::take)
                        .try_for_each(&mut insert)?;
                    count = 0;
                }
                let location = memtable.locate(operation.key, content.key_hash);
                located[count] = Some((operation, location));
                count += 1;
            }
            located
                .iter_mut()
                .filter_map(Option::take)
                .try_for_each(&mut insert)?;
        }
    }
    // The announced entries are there, and no others (MEMTABLE-5).
    match sequence == before.plus(u64::from(batch.count())) && others.next().is_none() {
        true => Ok(()),
        false => Err(Error::internal("a batch was not inserted whole")),
    }
}

/// A batch that readers see, or will see as soon as the commits before it are inserted.
#[derive(Debug)]
pub(in crate::db) struct Committed {
    /// The end of its record.
    place: LogPlace,
    /// The number of its last operation.
    last: SequenceNumber,
}

/// Why a batch cannot be committed yet.
#[derive(Debug)]
pub(in crate::db) enum Obstacle {
    /// There is too little space: a compaction under way may need all of it.
    Space,
    /// The largest number of memtables is waiting for a flush.
    Sealed,
    /// The condition of the commit does not hold, or is not known to.
    Condition(NotUnchanged),
}

/// The condition that no commit after number `since` has changed what was read.
pub(in crate::db) struct Unchanged<'a> {
    /// Sorted.
    pub(in crate::db) reads: &'a Reads,
    pub(in crate::db) since: SequenceNumber,
}

/// Why such a condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum NotUnchanged {
    /// A commit has changed what was read.
    Changed,
    /// There are too many commits to compare under the log's lock, or some are forgotten.
    Unknown,
}

/// Stops publication, and with it writing, if a commit panics once it may append, or fails between its log record and
/// its publication. The numbers it took will never be published, so no later ones can be.
struct StopUnlessDefused<'a> {
    order: &'a Order,
    /// Whether the commit has taken its numbers.
    is_numbered: bool,
    /// Whether the thread was panicking before this began.
    was_panicking: bool,
}

impl Drop for StopUnlessDefused<'_> {
    fn drop(&mut self) {
        if self.is_numbered || panicking() && !self.was_panicking {
            self.order.stop();
        }
    }
}
