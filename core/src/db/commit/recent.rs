//! The keys that recent commits have changed, while there are transactions to compare them with.
//!
//! * RECENT-1  It is switched on and off, and commits are added, only under the log's lock. So it has every commit with
//!             a number after the one at which it was switched on. After the close of the database no commit comes, and
//!             it is switched off for good.
//! * RECENT-2  It is on while there are transactions. Without one, commits pay for it only until it is full; then it is
//!             switched off.

use std::ops::Deref;

use super::Log;
use crate::batch::WriteBatch;
use crate::error::Result;
use crate::key::SequenceNumber;
use crate::memory;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::transaction::{Changes, Reads, Window};

/// The most commits that are compared under the log's lock.
const MAX_UNDER_LOCK: usize = 64;
/// The most commits that are compared at once elsewhere.
const MAX_AT_ONCE: usize = 256;

/// See the head of the file.
#[derive(Default)]
pub(super) struct RecentCommits {
    /// Whether `kept` has a window; read without its lock.
    is_on: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The transactions that may ask.
    watchers: usize,
    /// `None` while it is switched off.
    window: Option<Window>,
    /// Whether the database is closed.
    is_closed: bool,
}

/// What is known of the reads of a transaction after a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Compared {
    /// No commit up to this number has changed what was read.
    UnchangedUpTo(SequenceNumber),
    /// A commit has changed it.
    Changed,
    /// Some of the commits are forgotten: the changes up to this number, at least, have to be looked for in the tree.
    ForgottenUpTo(SequenceNumber),
}

impl RecentCommits {
    /// Adds the commit of `batch`, whose last number is `last`. Called under the log's lock.
    #[inline]
    pub(super) fn add(&self, last: SequenceNumber, batch: &WriteBatch) {
        if self.is_on.load(Ordering::Relaxed) {
            self.add_to_window(last, batch);
        }
    }

    #[cold]
    fn add_to_window(&self, last: SequenceNumber, batch: &WriteBatch) {
        let mut kept = self.kept.lock();
        let is_full = kept
            .window
            .as_mut()
            .is_some_and(|window| window.push(last, batch));
        if is_full && kept.watchers == 0 {
            self.is_on.store(false, Ordering::Relaxed);
            let full = kept.window.take();
            drop(kept);
            drop(full);
        }
    }

    /// A transaction begins. `lock` locks the log.
    pub(super) fn watch<L: Deref<Target = Log>>(&self, lock: impl FnOnce() -> L) -> Result<()> {
        let mut kept = self.kept.lock();
        kept.watchers += 1;
        if kept.window.is_some() {
            return Ok(());
        }
        drop(kept);
        let log = lock();
        let window = Window::after(log.last_sequence).inspect_err(|_| self.unwatch())?;
        let mut kept = self.kept.lock();
        // Another transaction may have been quicker.
        if kept.window.is_none() {
            kept.window = Some(window);
            self.is_on.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The transaction has ended.
    pub(super) fn unwatch(&self) {
        let mut kept = self.kept.lock();
        debug_assert!(kept.watchers > 0, "RECENT-2: it has begun");
        kept.watchers = kept.watchers.saturating_sub(1);
        self.free_if_closed(&mut kept);
    }

    /// The database is closed: frees the memory as soon as no transaction is in the middle of its commit.
    pub(super) fn let_go(&self) {
        let mut kept = self.kept.lock();
        kept.is_closed = true;
        self.free_if_closed(&mut kept);
    }

    fn free_if_closed(&self, kept: &mut Kept) {
        if kept.is_closed && kept.watchers == 0 {
            self.is_on.store(false, Ordering::Relaxed);
            kept.window = None;
        }
    }

    /// Compares `reads` with the commits after `number`, some at a time, so that no commit has to wait for long.
    /// Requires a transaction that has begun and not ended.
    pub(super) fn compare(&self, reads: &Reads, number: SequenceNumber) -> Result<Compared> {
        let mut unchanged = number;
        let mut copy = Vec::new();
        loop {
            copy.clear();
            let kept = self.kept.lock();
            let later = match kept.later(unchanged) {
                Err(forgotten) => return Ok(forgotten),
                Ok(later) => later,
            };
            let mut end = unchanged;
            for (last, changes) in later.take(MAX_AT_ONCE) {
                memory::append(&mut copy, changes.0, "the keys of recent commits")?;
                end = last;
            }
            drop(kept);
            if end == unchanged {
                return Ok(Compared::UnchangedUpTo(unchanged));
            }
            if reads.meet(Changes(&copy)) {
                return Ok(Compared::Changed);
            }
            unchanged = end;
        }
    }

    /// [`RecentCommits::compare`] under the log's lock; `None` if there is more to compare than should take place
    /// there.
    pub(super) fn compare_few(&self, reads: &Reads, number: SequenceNumber) -> Option<Compared> {
        let kept = self.kept.lock();
        let later = kept.later(number).ok()?;
        if later.len() > MAX_UNDER_LOCK {
            return None;
        }
        let mut unchanged = number;
        for (last, changes) in later {
            if reads.meet(changes) {
                return Some(Compared::Changed);
            }
            unchanged = last;
        }
        Some(Compared::UnchangedUpTo(unchanged))
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        let kept = self.kept.lock();
        kept.window.as_ref().map_or(0, Window::bytes)
    }
}

impl Kept {
    /// The commits after `number`, oldest first.
    fn later(
        &self,
        number: SequenceNumber,
    ) -> std::result::Result<impl ExactSizeIterator<Item = (SequenceNumber, Changes<'_>)>, Compared>
    {
        debug_assert!(self.watchers > 0, "RECENT-2: somebody asks");
        let window = self.window.as_ref();
        debug_assert!(
            window.is_some(),
            "RECENT-2: on while there are transactions"
        );
        let floor = window.map_or(SequenceNumber::MAX, Window::floor);
        window
            .and_then(|window| window.since(number))
            .ok_or(Compared::ForgottenUpTo(floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &[u8]) -> WriteBatch {
        WriteBatch::of_put(key, b"").unwrap()
    }

    /// A window with commits 1 to `count` of key `k`, then one of key `z`.
    fn recent(count: u64) -> RecentCommits {
        let recent = RecentCommits::default();
        let mut kept = recent.kept.lock();
        kept.watchers = 1;
        kept.window = Some(Window::after(SequenceNumber(0)).unwrap());
        drop(kept);
        recent.is_on.store(true, Ordering::Relaxed);
        for last in 1..=count {
            recent.add(SequenceNumber(last), &batch(b"k"));
        }
        recent.add(SequenceNumber(count + 1), &batch(b"z"));
        recent
    }

    fn compare(recent: &RecentCommits, key: &[u8], since: u64) -> Compared {
        recent.compare(&reads(key), SequenceNumber(since)).unwrap()
    }

    fn reads(key: &[u8]) -> Reads {
        let mut reads = Reads::default();
        reads.note_key(key).unwrap();
        reads.sort().unwrap();
        reads
    }

    #[test]
    fn the_last_of_many_commits_is_compared_like_the_first() {
        let counts = [0, 1, MAX_UNDER_LOCK, MAX_AT_ONCE - 1, MAX_AT_ONCE, 3000];
        for count in counts.map(|count| count as u64) {
            let recent = recent(count);
            assert_eq!(compare(&recent, b"z", 0), Compared::Changed);
            let all = Compared::UnchangedUpTo(SequenceNumber(count + 1));
            assert_eq!(compare(&recent, b"a", 0), all, "{count}");
            // From its last commit on there is nothing to compare.
            assert_eq!(compare(&recent, b"z", count + 1), all);
        }
    }

    #[test]
    fn under_the_lock_only_a_few_commits_are_compared() {
        let most = MAX_UNDER_LOCK as u64;
        let few = recent(most - 1);
        let begun = SequenceNumber(0);
        assert_eq!(
            few.compare_few(&reads(b"z"), begun),
            Some(Compared::Changed)
        );
        assert_eq!(
            few.compare_few(&reads(b"a"), begun),
            Some(Compared::UnchangedUpTo(SequenceNumber(most)))
        );
        let many = recent(most);
        assert_eq!(many.compare_few(&reads(b"a"), begun), None);
        let some = many.compare_few(&reads(b"z"), SequenceNumber(1));
        assert_eq!(some, Some(Compared::Changed));
    }

    #[test]
    fn what_is_forgotten_is_said_to_be() {
        let recent = recent(3);
        recent.add(SequenceNumber(9), &batch(&vec![0; 1 << 20]));
        let forgotten = Compared::ForgottenUpTo(SequenceNumber(9));
        let reads = reads(b"a");
        assert_eq!(compare(&recent, b"a", 8), forgotten);
        assert_eq!(recent.compare_few(&reads, SequenceNumber(8)), None);
        let known = Compared::UnchangedUpTo(SequenceNumber(9));
        assert_eq!(compare(&recent, b"a", 9), known);
    }
}
