//! A place in one of the levels below a plan, which goes along with the keys of the job.
//!
//! Elsewhere: the same question, answered by a search (`ranges.rs`).

use crate::sync::Arc;
use crate::version::FileMeta;

/// Finds out whether any table of a sorted level may have a key. The keys must ascend from call to call.
pub(super) struct LevelCursor<'a> {
    files: &'a [Arc<FileMeta>],
}

impl<'a> LevelCursor<'a> {
    pub(super) fn new(files: &'a [Arc<FileMeta>]) -> LevelCursor<'a> {
        LevelCursor { files }
    }

    pub(super) fn may_hold(&mut self, user_key: &[u8]) -> bool {
        while let Some((first, rest)) = self.files.split_first() {
            if first.largest_key().user_key >= user_key {
                return first.smallest_key().user_key <= user_key;
            }
            self.files = rest;
        }
        false
    }
}
