//! A live table file with a reference count, and the queue of files that are no longer needed.
//!
//! * FILE-1  A file is deleted only after the edit that removed it is durable *and* its last reader has
//!           released it: the version set marks it, and dropping the last reference queues its number.
//! * FILE-2  Dropping does no disk work, and takes no lock that a thread may hold during disk work: readers drop
//!           versions anywhere.
//! * FILE-3  In a forked child nothing is queued: the files belong to the parent, and a thread that exists only
//!           there may hold the queue's lock.
//! * FILE-4  A table is read only as one of the keyspace that it says it belongs to.
//!
//! Elsewhere: emptying the queue and deleting the files (`db`).

use std::fmt;
use std::ops::Deref;

use super::table_info::TableInfo;
use crate::cache::TableHandle;
use crate::key::{FileNumber, KeyRef, KeyspaceId};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// Numbers of tables that may be deleted now.
pub(crate) struct ObsoleteFiles {
    numbers: Mutex<Vec<FileNumber>>,
    /// Called after a number was queued. It runs wherever a reader is dropped (FILE-2), so it must not lock or block;
    /// it sets a flag or unparks a thread.
    wake: Box<dyn Fn() + Send + Sync>,
    /// The process it belongs to (FILE-3).
    forks: u32,
}

impl ObsoleteFiles {
    /// An empty queue that calls `wake` whenever a number is added.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<ObsoleteFiles> {
        Arc::new(ObsoleteFiles {
            numbers: Mutex::new(Vec::new()),
            wake: Box::new(wake),
            forks: crate::env::fork_count(),
        })
    }

    /// Takes the number that was queued last.
    pub(crate) fn pop(&self) -> Option<FileNumber> {
        self.numbers.lock().pop()
    }

    /// Takes all queued numbers.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<FileNumber> {
        std::mem::take(&mut self.numbers.lock())
    }

    /// Adds the number of a table that no version holds.
    pub(crate) fn push(&self, number: FileNumber) {
        if crate::env::fork_count() != self.forks {
            return;
        }
        self.numbers.lock().push(number);
        (self.wake)();
    }
}

/// A live table: the manifest's facts about it (by `Deref`), and the handle by which the table cache opens it.
pub(crate) struct FileMeta {
    pub(crate) info: TableInfo,
    pub(crate) handle: Arc<TableHandle>,
    is_obsolete: AtomicBool,
    queue: Arc<ObsoleteFiles>,
}

impl FileMeta {
    /// A table of `keyspace`.
    pub(crate) fn new(
        keyspace: KeyspaceId,
        info: TableInfo,
        queue: Arc<ObsoleteFiles>,
    ) -> Arc<FileMeta> {
        let handle = TableHandle::new(keyspace, info.number, info.file_id, info.size);
        Arc::new(FileMeta {
            info,
            handle,
            is_obsolete: AtomicBool::new(false),
            queue,
        })
    }

    /// The same file under a separate handle, which is not open yet and never deletes the file.
    pub(crate) fn past_caches(&self) -> Arc<FileMeta> {
        FileMeta::new(
            self.handle.keyspace,
            self.info.clone(),
            Arc::clone(&self.queue),
        )
    }

    /// Has the file deleted after its last reference is dropped. Requires that its removal is durable (FILE-1).
    pub(super) fn mark_obsolete(&self) {
        debug_assert!(
            !self.is_obsolete.load(Ordering::Relaxed),
            "FILE-1: a table is removed once"
        );
        // The thread that drops the last reference sees this: dropping an Arc orders all earlier uses before
        // it.
        self.is_obsolete.store(true, Ordering::Relaxed);
    }

    /// Whether the table may have an entry of the key at or after its trailer.
    #[inline]
    pub(super) fn may_answer(&self, key: KeyRef<'_>) -> bool {
        self.smallest_sequence <= key.trailer.sequence()
            && self.overlaps(Some(key.user_key), Some(key.user_key))
    }

    /// Whether the table's keys reach into `[start, end]`; `None` is open.
    pub(crate) fn overlaps(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> bool {
        start.is_none_or(|start| self.largest_key().user_key >= start)
            && end.is_none_or(|end| self.smallest_key().user_key <= end)
    }
}

impl Deref for FileMeta {
    type Target = TableInfo;

    fn deref(&self) -> &TableInfo {
        &self.info
    }
}

impl Drop for FileMeta {
    fn drop(&mut self) {
        if *self.is_obsolete.get_mut() {
            self.queue.push(self.info.number);
        }
    }
}

impl fmt::Debug for FileMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.info.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_reference_to_an_obsolete_file_queues_it() {
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        let queue = ObsoleteFiles::new(move || flag.store(true, Ordering::Relaxed));
        let info = |number| TableInfo {
            number: FileNumber(number),
            ..TableInfo::default()
        };
        let (kept, gone) = (
            FileMeta::new(KeyspaceId::DEFAULT, info(1), queue.clone()),
            FileMeta::new(KeyspaceId::DEFAULT, info(2), queue.clone()),
        );
        let reader = gone.clone();
        gone.mark_obsolete();
        drop((kept, gone));
        assert_eq!(queue.take(), []);
        assert!(!woken.load(Ordering::Relaxed));
        drop(reader);
        assert_eq!(queue.take(), [FileNumber(2)]);
        assert!(woken.load(Ordering::Relaxed));
    }
}
