//! The numbers of new files. A number names one file for ever (SET-4 of `set.rs`).

use crate::key::FileNumber;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Gives out file numbers, to any thread, without a lock (SET-4).
pub(crate) struct FileNumbers(AtomicU64);

impl FileNumbers {
    /// Begins with `next`.
    pub(super) fn starting_at(next: FileNumber) -> FileNumbers {
        FileNumbers(AtomicU64::new(next.0))
    }

    /// A number that no file has had.
    pub(crate) fn allocate(&self) -> FileNumber {
        FileNumber(self.0.fetch_add(1, Ordering::Relaxed))
    }

    /// The number that is given out next.
    pub(super) fn next(&self) -> FileNumber {
        FileNumber(self.0.load(Ordering::Relaxed))
    }
}
