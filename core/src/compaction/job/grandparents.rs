//! The tables two levels below the inputs, which limit how far an output may reach.

use crate::compaction::picker::max_grandparent_bytes;
use crate::sync::Arc;
use crate::version::FileMeta;

/// Decides where to end an output, so that none overlaps too much of the level below.
pub(super) struct Grandparents<'a> {
    files: &'a [Arc<FileMeta>],
    /// Bytes of the tables that were passed since the output was begun.
    passed: u64,
    limit: u64,
}

impl<'a> Grandparents<'a> {
    pub(super) fn new(files: &'a [Arc<FileMeta>], target_file_size: u64) -> Grandparents<'a> {
        Grandparents {
            files,
            passed: 0,
            limit: max_grandparent_bytes(target_file_size),
        }
    }

    /// Notes that an output begins at `user_key`. Tables below the gap before it do not count for it.
    pub(super) fn begin_output(&mut self, user_key: &[u8]) {
        self.ends_output(user_key);
        self.passed = 0;
    }

    /// Whether an output that has come this far should end before `user_key`.
    pub(super) fn ends_output(&mut self, user_key: &[u8]) -> bool {
        while let Some((first, rest)) = self.files.split_first() {
            if first.largest_key().user_key >= user_key {
                break;
            }
            self.passed = self.passed.saturating_add(first.size);
            self.files = rest;
        }
        self.passed > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::tests::{Bench, Entries, insert};
    use crate::version::{TableInfo, Version, VersionEdit};

    #[test]
    fn an_output_ends_when_it_has_passed_more_than_ten_target_sizes_of_the_level_below() {
        let bench = Bench::new();
        let mut edit = VersionEdit::default();
        for (key, size) in [("b", 60), ("d", 40), ("f", 1), ("h", 100)] {
            let mut entries = Entries::new();
            insert(&mut entries, key.as_bytes(), 1, Some(b""));
            edit.add(
                3,
                TableInfo {
                    size,
                    ..bench.table(&entries)
                },
            );
        }
        let version = bench.apply(&Version::empty(), &edit);
        let mut below = Grandparents::new(version.files(3), 10);
        assert_eq!(below.limit, 100);
        // A table counts as passed after its last key.
        let answers = ["a", "b", "c", "d", "e", "f", "g"];
        let passed = answers.map(|key| (below.ends_output(key.as_bytes()), below.passed));
        assert_eq!(
            passed,
            [
                (false, 0),
                (false, 0),
                (false, 60),
                (false, 60),
                (false, 100),
                (false, 100),
                (true, 101)
            ]
        );
    }
}
