//! The commit of a transaction: compares what it has read with what was committed since, then writes.
//!
//! * VALIDATE-1  Whatever may take long takes place before the log is locked: under its lock only the few commits
//!               since then are compared, in memory. No file is read there.
//! * VALIDATE-2  A number is taken as compared only if every commit up to it was published, or is in the window.

use super::Transactions;
use super::slot::{Ended, Open, Slot};
use crate::db::commit::{Committed, Compared, NotUnchanged, Unchanged};
use crate::db::locks::assert_none_is_held;
use crate::error::{Error, ErrorKind, Result};
use crate::key::SequenceNumber;
use crate::options::WriteOptions;
use crate::sync::atomic::Ordering;
use crate::transaction::Reads;

/// How often a commit compares before it gives up: each time very many commits came in between.
const MAX_ROUNDS: usize = 64;

/// What became of a commit.
enum Verdict {
    /// There was nothing to write. With the last number that the transaction sees.
    Unwritten(SequenceNumber),
    Committed(Committed),
    Conflict,
}

impl Transactions {
    /// See `Transaction::commit_with`.
    pub(super) fn commit(&self, slot: &Slot, options: &WriteOptions) -> Result<SequenceNumber> {
        let mut open = slot.take()?;
        let (why, answer) = match self.try_to_commit(&mut open) {
            Ok(Verdict::Unwritten(seen)) => {
                self.counts.committed.fetch_add(1, Ordering::Relaxed);
                (Ended::Committed, Ok(seen))
            }
            Ok(Verdict::Committed(committed)) => {
                self.counts.committed.fetch_add(1, Ordering::Relaxed);
                match self.commit.finish(committed, options) {
                    Ok(last) => (Ended::Committed, Ok(last)),
                    Err(error) => (Ended::Failed, Err(error)),
                }
            }
            Ok(Verdict::Conflict) => {
                self.counts.conflicts.fetch_add(1, Ordering::Relaxed);
                let conflict =
                    "another commit has changed what the transaction has read; run it again";
                (
                    Ended::Conflicted,
                    Err(Error::new(ErrorKind::Conflict, conflict)),
                )
            }
            Err(error) if error.is_given_up() || error.kind() == ErrorKind::OutOfMemory => {
                // It has done nothing.
                slot.put_back(open);
                return Err(error);
            }
            Err(error) => (Ended::Failed, Err(error)),
        };
        slot.end_commit(why);
        self.release(slot, open);
        answer
    }

    fn try_to_commit(&self, open: &mut Open) -> Result<Verdict> {
        let begun = open.snapshot.sequence();
        if open.writes.is_empty() {
            // TRANSACTION-2.
            return Ok(Verdict::Unwritten(begun));
        }
        let batch = open.writes.to_batch()?;
        self.commit.admit(&batch)?;
        open.reads.sort()?;
        let reads = &open.reads;
        let mut since = begun;
        for _ in 0..MAX_ROUNDS {
            let condition = Unchanged { reads, since };
            let condition = (!reads.is_empty()).then_some(&condition);
            match self.commit.commit_if(&batch, condition)? {
                Ok(committed) => return Ok(Verdict::Committed(committed)),
                Err(NotUnchanged::Changed) => return Ok(Verdict::Conflict),
                Err(NotUnchanged::Unknown) => {}
            }
            match self.compare(reads, since)? {
                Some(unchanged) => since = unchanged,
                None => return Ok(Verdict::Conflict),
            }
        }
        Ok(Verdict::Conflict)
    }

    /// The number up to which nothing of `reads` has changed after `since`; `None` if something has, or nobody knows.
    /// Called without a lock, because it may read files (VALIDATE-1).
    fn compare(&self, reads: &Reads, since: SequenceNumber) -> Result<Option<SequenceNumber>> {
        assert_none_is_held("VALIDATE-1: no lock is held while files may be read");
        match self.commit.compare(reads, since)? {
            Compared::UnchangedUpTo(number) => Ok(Some(number)),
            Compared::Changed => Ok(None),
            Compared::ForgottenUpTo(floor) => self.compare_in_tree(reads, since, floor),
        }
    }

    /// [`Transactions::compare`] by the tree, whose memtables and tables have all that was published, up to `floor` at
    /// least.
    fn compare_in_tree(
        &self,
        reads: &Reads,
        since: SequenceNumber,
        floor: SequenceNumber,
    ) -> Result<Option<SequenceNumber>> {
        // VALIDATE-2.
        self.order.wait_for(floor)?;
        let published = self.order.last();
        debug_assert!(
            floor <= published && since <= published,
            "VALIDATE-2: what the window has forgotten is published"
        );
        let Some(keys) = reads.keys() else {
            return Ok(None);
        };
        for key in keys {
            if self.tree.newest_number(key)? > since {
                return Ok(None);
            }
        }
        for range in reads.ranges() {
            if self.walks.is_changed(range, since)? {
                return Ok(None);
            }
        }
        Ok(Some(published))
    }
}
