//! `LogNeeds`: which logs have writes that are in no durable table yet, of any tree.
//!
//! * NEEDS-1  The manifest begins the logs with the oldest one that any tree needs. No log from there on is removed.
//! * NEEDS-2  The logs that a tree needs only get newer.

use crate::key::FileNumber;
use crate::sync::Mutex;

/// A tree whose writes the logs have.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct TreeId(usize);

/// For each tree the oldest log that it needs.
#[derive(Default)]
pub(super) struct LogNeeds(Mutex<Vec<FileNumber>>);

impl LogNeeds {
    /// Adds a tree that needs the logs from `oldest` on.
    pub(super) fn add(&self, oldest: FileNumber) -> TreeId {
        let mut trees = self.0.lock();
        trees.push(oldest);
        TreeId(trees.len() - 1)
    }

    /// The oldest log that any tree needs, if `tree` needs only those from `oldest` on.
    pub(super) fn oldest_if(&self, tree: TreeId, oldest: FileNumber) -> FileNumber {
        let trees = self.0.lock();
        let others = trees.iter().enumerate();
        let others = others.filter_map(|(other, needed)| (other != tree.0).then_some(*needed));
        others.fold(oldest, FileNumber::min)
    }

    /// Records that no tree needs a log before `oldest`.
    pub(super) fn raise_all(&self, oldest: FileNumber) {
        for needed in self.0.lock().iter_mut() {
            *needed = oldest.max(*needed);
        }
    }

    /// Records that `tree` needs only the logs from `oldest` on. Returns the oldest one that any tree needs.
    pub(super) fn raise(&self, tree: TreeId, oldest: FileNumber) -> FileNumber {
        let mut trees = self.0.lock();
        // A flush says it after its edit is shown; meanwhile the tree may have been found idle.
        let needed = oldest.max(trees[tree.0]);
        trees[tree.0] = needed;
        trees.iter().copied().fold(needed, FileNumber::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NEEDS-1.
    #[test]
    fn a_log_is_needed_as_long_as_any_tree_needs_it() {
        let needs = LogNeeds::default();
        let first = needs.add(FileNumber(3));
        assert_eq!(needs.oldest_if(first, FileNumber(5)), FileNumber(5));
        let second = needs.add(FileNumber(4));
        assert_eq!(needs.oldest_if(first, FileNumber(5)), FileNumber(4));
        assert_eq!(needs.oldest_if(second, FileNumber(9)), FileNumber(3));
        assert_eq!(needs.raise(second, FileNumber(9)), FileNumber(3));
        assert_eq!(needs.raise(first, FileNumber(5)), FileNumber(5));
        assert_eq!(needs.raise(first, FileNumber(12)), FileNumber(9));
    }

    /// NEEDS-2.
    #[test]
    fn what_no_tree_needs_is_needed_by_none_and_newer_needs_stay() {
        let needs = LogNeeds::default();
        let (first, second) = (needs.add(FileNumber(3)), needs.add(FileNumber(8)));
        needs.raise_all(FileNumber(6));
        assert_eq!(needs.oldest_if(second, FileNumber(9)), FileNumber(6));
        assert_eq!(needs.oldest_if(first, FileNumber(9)), FileNumber(8));
        // A flush that began earlier says it late.
        assert_eq!(needs.raise(first, FileNumber(5)), FileNumber(6));
    }
}
